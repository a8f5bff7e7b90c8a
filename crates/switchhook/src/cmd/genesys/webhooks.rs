//! `switchhook genesys webhooks`: list, show, apply and delete webhooks in each of the dialects.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use switchhook_genesys::change::{Operation, Wish};
use switchhook_genesys::client::{Ask, Client};
use switchhook_genesys::dialect::Dialect;
use switchhook_genesys::webhook;
use switchhook_wire::dialect::log::Attempt;

use super::{Access, apply, ended, failure};
use crate::exit::{Failure, Outcome};
use crate::output::{Output, cut, list, table};

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all
    List {
        #[command(flatten)]
        dialect: DialectFlag,
    },
    /// Show one as its dialect has it
    Get {
        /// Its id or name
        webhook: String,
        #[command(flatten)]
        dialect: DialectFlag,
        /// Show the flat view of an integration
        #[arg(long, conflicts_with = "dialect")]
        flat: bool,
    },
    /// Show the deliveries of one, newest first
    Logs {
        /// Its id or name
        webhook: String,
        /// Only those answered with this status
        #[arg(long, value_name = "STATUS")]
        status_code: Option<u16>,
        /// Most of them
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u64,
    },
    /// Make webhooks, or change those that are called so
    Apply(ApplyArgs),
    /// Delete one
    Delete {
        /// Its id or name
        webhook: String,
        #[command(flatten)]
        dialect: DialectFlag,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// In which dialect.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DialectFlag {
    /// Dialect of the bodies
    #[arg(long, value_enum, default_value_t = DialectName::Webhooks)]
    dialect: DialectName,
}

/// The dialects by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectName {
    /// /api/v2/webhooks
    Webhooks,
    /// /api/v2/webhooks/webhooks
    Lifecycle,
    /// /api/v2/integrations
    Integrations,
}

impl DialectFlag {
    pub(super) const fn get(self) -> Dialect {
        match self.dialect {
            DialectName::Webhooks => Dialect::Webhooks,
            DialectName::Lifecycle => Dialect::Lifecycle,
            DialectName::Integrations => Dialect::Integrations,
        }
    }
}

/// What to apply.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(super) dialect: DialectFlag,
    /// JSON file with one body or a list of them; `-` is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["name", "url"])]
    pub(super) file: Option<PathBuf>,
    /// What the webhook is called
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    pub(super) name: Option<String>,
    /// Where it sends to
    #[arg(long, value_name = "URL", conflicts_with = "pool")]
    pub(super) url: Option<String>,
    /// An event type that it takes; may be given often
    #[arg(long = "event-type", value_name = "TYPE", value_delimiter = ',')]
    pub(super) event_types: Vec<String>,
    /// An endpoint of a pool that the event types are spread over; may be given often
    #[arg(long, value_name = "URL")]
    pub(super) pool: Vec<String>,
    /// Only print what would be sent
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask the targets whether they answer
    #[arg(long)]
    pub(super) no_probe: bool,
    /// A network with private addresses that the targets may be asked at, for example 10.0.0.0/8
    #[arg(long, value_name = "CIDR")]
    pub(super) allow_private: Vec<ipnet::IpNet>,
}

/// Does it.
pub(super) async fn run(command: Command, access: &Access, output: Output) -> Outcome {
    match command {
        Command::List { dialect } => show_list(&access.client()?, dialect.get(), output).await,
        Command::Get {
            webhook,
            dialect,
            flat,
        } => {
            let client = access.client()?;
            let body = match flat {
                true => flat_view(&client, &webhook).await?,
                false => one(&client, dialect.get(), &webhook).await?,
            };
            output.show(&body, |body| {
                serde_json::to_string_pretty(body).unwrap_or_default()
            })
        }
        Command::Logs {
            webhook,
            status_code,
            limit,
        } => logs(&access.client()?, &webhook, status_code, limit, output).await,
        Command::Apply(args) => apply::run(args, access, output).await,
        Command::Delete {
            webhook,
            dialect,
            yes,
        } => {
            if !yes {
                output.confirm(&format!("deleting webhook {webhook}"), None)?;
            }
            let (client, mut changes) = (access.client()?, access.changes()?);
            let wish = Wish {
                operation: Operation::Delete,
                dialect: dialect.get(),
                target: webhook,
                body: Value::Null,
            };
            let made = changes.make(&client, &wish).await;
            ended(&changes, &wish, made, output)
        }
    }
}

async fn show_list(client: &Client, dialect: Dialect, output: Output) -> Outcome {
    let all = webhook::list(client, dialect, &mut ())
        .await
        .map_err(|error| failure(&error))?;
    list(output, &all, "webhooks", |all| {
        let rows = all.iter().map(|body| {
            let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("-");
            let state = match body.get("enabled").and_then(Value::as_bool) {
                Some(true) => "enabled",
                Some(false) => "disabled",
                None => text("state"),
            };
            [
                cut(text("id"), 36),
                cut(text("name"), 48),
                cut(dialect.url(body).unwrap_or("-"), 64),
                cut(state, 12),
                dialect.event_types(body).len().to_string(),
            ]
        });
        table(["ID", "NAME", "URL", "STATE", "TYPES"], rows)
    })
}

/// One webhook; an integration with the event types that are bound to it.
async fn one(client: &Client, dialect: Dialect, name: &str) -> Result<Value, Failure> {
    let found = webhook::get(client, dialect, name)
        .await
        .map_err(|error| failure(&error))?;
    let mut body = found.body;
    if dialect == Dialect::Integrations && body.get("events").is_none() {
        let events = webhook::bound(client, &found.id)
            .await
            .map_err(|error| failure(&error))?;
        if let Some(object) = body.as_object_mut() {
            object.insert("events".to_owned(), events.into());
        }
    }
    Ok(body)
}

async fn flat_view(client: &Client, name: &str) -> Result<Value, Failure> {
    let found = webhook::get(client, Dialect::Integrations, name)
        .await
        .map_err(|error| failure(&error))?;
    let path = ["api", "v2", "integrations", &found.id, "webhook"];
    let answer = client
        .call(&Ask::get(&path), &mut ())
        .await
        .map_err(|error| failure(&error))?;
    Ok(answer.body)
}

async fn logs(
    client: &Client,
    name: &str,
    status_code: Option<u16>,
    limit: u64,
    output: Output,
) -> Outcome {
    let found = webhook::get(client, Dialect::Integrations, name)
        .await
        .map_err(|error| failure(&error))?;
    let path = ["api", "v2", "integrations", &found.id, "logs"];
    let mut query = vec![("pageSize", limit.clamp(1, 500).to_string())];
    query.extend(status_code.map(|status| ("statusCode", status.to_string())));
    let ask = Ask {
        query: &query,
        ..Ask::get(&path)
    };
    let answer = client
        .call(&ask, &mut ())
        .await
        .map_err(|error| failure(&error))?;
    let entities = answer.body.get("entities").cloned().unwrap_or_default();
    let attempts: Vec<Attempt> = serde_json::from_value(entities)
        .map_err(|error| Failure::unexpected("the log cannot be understood", error))?;
    list(output, &attempts, "deliveries", |attempts| {
        let rows = attempts.iter().map(|attempt| {
            let status = attempt.status_code.map(|status| status.to_string());
            [
                cut(&attempt.timestamp, 24),
                cut(&attempt.delivery_id, 40),
                attempt.attempt.to_string(),
                status
                    .or_else(|| attempt.error_code.clone())
                    .unwrap_or_default(),
                format!("{} ms", attempt.latency_ms),
                cut(&attempt.result, 12),
            ]
        });
        table(
            ["TIME", "DELIVERY", "ATTEMPT", "STATUS", "LATENCY", "RESULT"],
            rows,
        )
    })
}
