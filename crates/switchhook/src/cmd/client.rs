//! `switchhook client`: OAuth clients, made, listed, given new secrets and deleted.
//!
//! A secret is printed once, when it is made, on stdout and nowhere else.

use clap::Subcommand;
use http::Method;
use serde_json::json;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{ClientMade, ClientRequest, ClientRotation, ClientView, PAGE_SIZE_MAX};
use switchhook_wire::duration;

use super::resource::LIST_MAX;
use super::token::{Terms, end, used};
use crate::client::Client;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, list, table};

/// What to do with OAuth clients.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a client, and print its secret: it cannot be seen again
    Create {
        /// What the audit log calls it
        name: String,
        #[command(flatten)]
        terms: Terms,
        /// How long its access tokens live, 5m to 48h [default: 24h]
        #[arg(long, value_name = "TIME")]
        token_life: Option<String>,
    },
    /// List all clients; never a secret
    List,
    /// Give a client a new secret, and print it
    Rotate {
        /// Its id, `cli_…`, or its name
        client: String,
        /// How long the secret before it still counts [default: 24h]
        #[arg(long, value_name = "TIME")]
        overlap: Option<String>,
    },
    /// Delete a client and its access tokens
    Delete {
        /// Its id, `cli_…`, or its name
        client: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Does it.
pub(super) async fn run(command: Command, gateway: &Client, output: Output) -> Outcome {
    match command {
        Command::Create {
            name,
            terms,
            token_life,
        } => {
            let asked = ClientRequest {
                name,
                scopes: terms.scopes,
                expires_at: None,
                expires_in: terms.expires,
                rate_per_minute: terms.rate,
                access_token_life: token_life,
            };
            let path = ["v1", "clients"];
            let made: ClientMade = gateway.send(Method::POST, &path, &asked).await?;
            shown(&made, output)
        }
        Command::List => {
            let now = config::now();
            list(output, &all(gateway).await?, "clients", |all| {
                clients_table(all, now)
            })
        }
        Command::Rotate { client, overlap } => {
            let ClientView { id, .. } = found(gateway, &client).await?;
            let path = ["v1", "clients", &id, "rotate"];
            let asked = ClientRotation { overlap };
            let made: ClientMade = gateway.send(Method::POST, &path, &asked).await?;
            shown(&made, output)
        }
        Command::Delete { client, yes } => {
            let ClientView { id, name, .. } = found(gateway, &client).await?;
            if !yes {
                output.confirm(&format!("deleting the client {name}"), None)?;
            }
            gateway.delete(&["v1", "clients", &id], &json!({})).await?;
            let done = json!({ "kind": "client", "id": id, "name": name, "deleted": true });
            output.show(&done, |_| format!("{id}  {name}  deleted"))
        }
    }
}

fn shown(made: &ClientMade, output: Output) -> Outcome {
    output.say("client id and secret, shown this once:");
    if let Some(until) = &made.view.secret_overlap_until {
        output.say(&format!("the secret before it counts until {until}"));
    }
    output.show(made, |ClientMade { view, secret }| {
        let secret = secret.as_deref().unwrap_or_default();
        format!("{}  {}\n{secret}", view.id, view.name)
    })
}

async fn all(gateway: &Client) -> Result<Vec<ClientView>, Failure> {
    let query = json!({ "pageSize": PAGE_SIZE_MAX });
    Ok(gateway.list(&["v1", "clients"], &query, LIST_MAX).await?)
}

async fn found(gateway: &Client, client: &str) -> Result<ClientView, Failure> {
    let mut all = all(gateway).await?.into_iter();
    let found = all.find(|known| known.id == client || known.name == client);
    found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("there is no client `{client}`"))
            .hint("`switchhook client list` shows all")
    })
}

fn clients_table(all: &[ClientView], now: UnixMs) -> String {
    let rows = all.iter().map(|client| {
        let life = duration::format(client.access_token_life_ms);
        [
            client.id.clone(),
            client.name.clone(),
            client.scopes.join(" "),
            end(client.expires_at.as_deref(), client.expired, now),
            used(client.last_used_at.as_deref(), now),
            format!("{}/min", client.rate_per_minute),
            format!("{}, {life} each", client.access_tokens),
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
            "ACCESS TOKENS",
        ],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_clients_says_how_many_access_tokens_they_have() {
        let client = ClientView {
            id: "cli_1".to_owned(),
            name: "crm".to_owned(),
            scopes: vec!["webhook:write".to_owned()],
            rate_per_minute: 300,
            access_token_life_ms: 86_400_000,
            access_tokens: 2,
            ..ClientView::default()
        };
        insta::assert_snapshot!(clients_table(&[client], UnixMs(0)), @r"
        ID     NAME  SCOPES         ENDS   LAST USED  RATE     ACCESS TOKENS
        cli_1  crm   webhook:write  never  never      300/min  2, 1d each
        ");
    }
}
