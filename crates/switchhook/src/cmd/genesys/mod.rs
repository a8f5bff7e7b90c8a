//! `switchhook genesys`: webhooks at a management API that is not necessarily this gateway's.
//!
//! The API is named by a base URL or a region, the client by its id and secret. The secret comes from the environment or
//! a file, never from the command line. What changes something goes through the journal in the state directory, so that it
//! is finished with the same idempotency key after a crash; see `switchhook changes`.

mod access;
mod apply;
mod show;
mod webhooks;

use clap::{Args, Subcommand};
use serde_json::json;
use switchhook_core::time::rfc3339;
use switchhook_genesys::change::{Changes, Operation, Wish};
use switchhook_genesys::dialect::Dialect;
use switchhook_genesys::{catalogue, check, webhook};

pub(super) use access::Access;
pub(super) use show::{failure, figures_text, invalid, made_json, made_text};
pub(crate) use webhooks::Command as WebhooksCommand;

use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, cut, list, table};

/// What to ask, and whom.
#[derive(Debug, Args)]
pub(crate) struct GenesysArgs {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

/// What to ask a management API.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who we are there, and what we may read
    Whoami,
    /// List the event types that the API knows
    EventTypes {
        /// Only those with this text in their id or name
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
    },
    /// The token
    #[command(subcommand)]
    Token(TokenCommand),
    /// Webhooks, in each of the dialects
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// Retry policies of webhooks
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// What to do with the token.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Fetch a token and say how long it is good; never show it
    Status,
}

/// What to do with retry policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Set how deliveries of a webhook are retried
    Set {
        /// Its id or name
        webhook: String,
        /// Delays between attempts: as many attempts as delays, which add up to the duration
        #[arg(long, value_name = "D,D,…", value_delimiter = ',', conflicts_with_all = ["max_attempts", "retry_duration"], required_unless_present = "max_attempts")]
        delays: Vec<String>,
        /// Attempts, 1 to 100
        #[arg(long, value_name = "N", requires = "retry_duration")]
        max_attempts: Option<usize>,
        /// What the delays add up to, in seconds, 1 to 86400
        #[arg(long, value_name = "SECONDS", requires = "max_attempts")]
        retry_duration: Option<u64>,
        /// Only print what would be sent
        #[arg(long)]
        dry_run: bool,
    },
}

/// Does it.
pub(super) async fn run(args: GenesysArgs, output: Output) -> Outcome {
    let GenesysArgs { access, command } = args;
    match command {
        Command::Whoami => access::whoami(&access, output).await,
        Command::EventTypes { filter } => event_types(&access, filter, output).await,
        Command::Token(TokenCommand::Status) => token_status(&access, output).await,
        Command::Webhooks(command) => webhooks::run(command, &access, output).await,
        Command::Policy(PolicyCommand::Set {
            webhook,
            delays,
            max_attempts,
            retry_duration,
            dry_run,
        }) => {
            let policy = match max_attempts {
                Some(attempts) => check::policy(attempts, retry_duration.unwrap_or_default()),
                None => check::delays(&delays),
            };
            let policy = policy.map_err(|faults| invalid("the policy", &faults))?;
            let body = json!({"retryPolicy": {"maxAttempts": policy.max_attempts, "retryDuration": policy.retry_duration}});
            if dry_run {
                let path = format!("/api/v2/notifications/webhooks/{webhook}");
                return output.show(
                    &json!([{"method": "PUT", "path": path, "body": body}]),
                    |_| format!("PUT {path}\n{body}"),
                );
            }
            set_policy(&access, &webhook, body, output).await
        }
    }
}

async fn event_types(access: &Access, filter: Option<String>, output: Output) -> Outcome {
    let client = access.client()?;
    let mut types = catalogue::event_types(&client)
        .await
        .map_err(|error| failure(&error))?;
    if let Some(text) = filter {
        types.retain(|kind| kind.id.contains(&text) || kind.name.contains(&text));
    }
    list(output, &types, "event types", |types| {
        let rows = types
            .iter()
            .map(|kind| [cut(&kind.id, 80), cut(&kind.description, 80)]);
        table(["EVENT TYPE", "DESCRIPTION"], rows)
    })
}

async fn token_status(access: &Access, output: Output) -> Outcome {
    let client = access.client()?;
    let token = client.token().await.map_err(|error| failure(&error))?;
    let status = json!({
        "base": client.bases().api.as_str(),
        "login": client.bases().login.as_str(),
        "clientId": access.client_id()?,
        "fetchedAt": rfc3339(token.fetched_at),
        "renewedAt": rfc3339(token.used_until),
        "endsAt": rfc3339(token.ends_at),
        "scope": token.scope,
    });
    output.show(&status, |_| {
        let scope = token
            .scope
            .as_deref()
            .map(|scope| format!("\nscope {}", cut(scope, 400)));
        format!(
            "token of {} from {}\ngood until {}, renewed from {} on{}",
            access.client_id().unwrap_or_default(),
            client.bases().login,
            rfc3339(token.ends_at),
            rfc3339(token.used_until),
            scope.unwrap_or_default(),
        )
    })
}

async fn set_policy(
    access: &Access,
    name: &str,
    body: serde_json::Value,
    output: Output,
) -> Outcome {
    let client = access.client()?;
    let mut changes = access.changes()?;
    let found = webhook::get(&client, Dialect::Webhooks, name)
        .await
        .map_err(|error| failure(&error))?;
    let title = Dialect::Webhooks.title(&found.body).map(str::to_owned);
    let wish = Wish {
        operation: Operation::SetPolicy,
        dialect: Dialect::Webhooks,
        target: found.id,
        body,
    };
    let made = changes.make(&client, &wish).await;
    // The change is kept by the id, which stays when somebody renames the webhook; people know it by its name.
    let named = Wish {
        target: title.unwrap_or_else(|| name.to_owned()),
        ..wish
    };
    ended(&changes, &named, made, output)
}

/// Shows the end of one change.
pub(super) fn ended(
    changes: &Changes,
    wish: &Wish,
    made: Result<switchhook_genesys::change::Made, switchhook_genesys::refusal::Error>,
    output: Output,
) -> Outcome {
    match made {
        Ok(made) => {
            let value = json!({"results": [made_json(wish, &made)], "stats": changes.figures()});
            output.show(&value, |_| made_text(wish, &made))
        }
        Err(error) => Err(kept(changes, failure(&error))),
    }
}

/// Says where a change that failed is kept, if it is.
pub(super) fn kept(changes: &Changes, failure: Failure) -> Failure {
    match changes.dead().last() {
        Some(dead) if failure.hint.is_none() => {
            let id = &dead.id;
            failure.hint(format!(
                "it is kept: `switchhook changes retry {id}` tries it again"
            ))
        }
        Some(_) | None => failure,
    }
}

/// The wall clock of the machine.
pub(super) fn now() -> switchhook_core::time::UnixMs {
    config::now()
}
