//! `switchhook token`: API tokens, made, listed and revoked.
//!
//! A token is printed once, when it is made, on stdout and nowhere else.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{PAGE_SIZE_MAX, TokenMade, TokenRequest, TokenView};

use super::breaker::{ago, ahead};
use super::resource::LIST_MAX;
use crate::client::Client;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, list, table};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token, and print it: it cannot be seen again
    Create {
        /// What the audit log calls its holder
        name: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// List all tokens; never a token itself
    List,
    /// Revoke a token: its next request is refused
    Revoke {
        /// Its id, `tok_…`, or its name
        token: String,
        /// Also if nobody else has the scope `admin`
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// What tokens and clients have in common.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// What it may do: read, write, replay, secrets, admin
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        value_delimiter = ',',
        required = true
    )]
    pub(super) scopes: Vec<String>,
    /// After how long it ends, for example 90d [default: never]
    #[arg(long, value_name = "TIME")]
    pub(super) expires: Option<String>,
    /// Requests a minute
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<u32>,
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    match command {
        Command::Create { name, terms } => {
            let asked = TokenRequest {
                name,
                scopes: terms.scopes,
                expires_at: None,
                expires_in: terms.expires,
                rate_per_minute: terms.rate,
            };
            let made: TokenMade = client.send(Method::POST, &["v1", "tokens"], &asked).await?;
            output.say("the token, shown this once:");
            output.show(&made, |made| {
                let TokenMade { view, token } = made;
                let token = token.as_deref().unwrap_or_default();
                format!("{}  {}\n{token}", view.id, view.name)
            })
        }
        Command::List => {
            let now = config::now();
            list(output, &all(client).await?, "tokens", |all| {
                tokens_table(all, now)
            })
        }
        Command::Revoke { token, force, yes } => {
            let all = all(client).await?;
            let found = all
                .iter()
                .find(|known| known.id == token || known.name == token);
            let TokenView { id, name, .. } = found.ok_or_else(|| {
                Failure::new(Code::NotFound, format!("there is no token `{token}`"))
                    .hint("`switchhook token list` shows all")
            })?;
            if !yes {
                output.confirm(&format!("revoking the token {name}"), None)?;
            }
            let query = json!({ "force": force.then_some(true) });
            client.delete(&["v1", "tokens", id], &query).await?;
            let done = json!({ "kind": "token", "id": id, "name": name, "revoked": true });
            output.show(&done, |_| format!("{id}  {name}  revoked"))
        }
    }
}

async fn all(client: &Client) -> Result<Vec<TokenView>, Failure> {
    let query = json!({ "pageSize": PAGE_SIZE_MAX });
    Ok(client.list(&["v1", "tokens"], &query, LIST_MAX).await?)
}

/// When it ends: `in 89d23h`, `never`, `expired`.
pub(super) fn end(expires_at: Option<&str>, expired: bool, now: UnixMs) -> String {
    match expires_at {
        _ if expired => "expired".to_owned(),
        None => "never".to_owned(),
        Some(at) => ahead(at, now),
    }
}

/// How long ago, or `never`.
pub(super) fn used(last_used_at: Option<&str>, now: UnixMs) -> String {
    last_used_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at, now)))
}

fn tokens_table(all: &[TokenView], now: UnixMs) -> String {
    let rows = all.iter().map(|token| {
        [
            token.id.clone(),
            token.name.clone(),
            token.scopes.join(" "),
            end(token.expires_at.as_deref(), token.expired, now),
            used(token.last_used_at.as_deref(), now),
            format!("{}/min", token.rate_per_minute),
            token.created_by.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    table(
        [
            "ID",
            "NAME",
            "SCOPES",
            "ENDS",
            "LAST USED",
            "RATE",
            "MADE BY",
        ],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_tokens_says_when_they_end_and_were_used() {
        let token = |name: &str| TokenView {
            id: format!("tok_{name}"),
            name: name.to_owned(),
            scopes: vec!["read".to_owned(), "webhook:write".to_owned()],
            rate_per_minute: 6_000,
            ..TokenView::default()
        };
        let all = [
            token("first"),
            TokenView {
                expires_at: Some("2026-11-20T10:01:00.000Z".to_owned()),
                last_used_at: Some("2026-11-20T09:59:00.000Z".to_owned()),
                created_by: Some("first".to_owned()),
                ..token("ci")
            },
            TokenView {
                expires_at: Some("2026-11-20T09:59:00.000Z".to_owned()),
                expired: true,
                ..token("old")
            },
        ];
        // 2026-11-20T10:00:00Z
        insta::assert_snapshot!(tokens_table(&all, UnixMs(1_795_168_800_000)), @r"
        ID         NAME   SCOPES              ENDS     LAST USED  RATE      MADE BY
        tok_first  first  read webhook:write  never    never      6000/min  -
        tok_ci     ci     read webhook:write  in 1m    1m ago     6000/min  first
        tok_old    old    read webhook:write  expired  never      6000/min  -
        ");
    }
}
