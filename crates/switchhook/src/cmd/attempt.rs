//! `switchhook attempt`: HTTP requests one by one, over all events: the audit of deliveries.

use clap::Subcommand;
use switchhook_wire::api::{AttemptEntry, AttemptQuery, PAGE_SIZE_MAX};

use crate::client::Client;
use crate::config;
use crate::exit::Outcome;
use crate::output::{Output, cut, list, table};

/// What to do with attempts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List attempts, those of the newest events first
    List {
        /// Only those of this subscription
        #[arg(long, value_name = "NAME")]
        subscription: Option<String>,
        /// Only those that called this endpoint
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// Only those with this status
        #[arg(long, value_name = "STATUS")]
        status: Option<u16>,
        /// Made since: a time, or a span such as 15m
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Made before: a time, or a span such as 15m
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Most attempts to list
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    let Command::List {
        subscription,
        endpoint,
        status,
        since,
        until,
        limit,
    } = command;
    let query = AttemptQuery {
        subscription,
        endpoint,
        status,
        since: config::instant(since.as_deref())?,
        until: config::instant(until.as_deref())?,
        before: None,
        page_size: Some(limit.clamp(1, PAGE_SIZE_MAX)),
    };
    let all: Vec<AttemptEntry> = client.list(&["v1", "attempts"], &query, limit).await?;
    list(output, &all, "attempts", attempts_table)
}

fn attempts_table(all: &[AttemptEntry]) -> String {
    let rows = all.iter().map(|entry| {
        let attempt = &entry.attempt;
        let status = attempt.status.map(|status| status.to_string());
        let result = status.or_else(|| attempt.error.clone()).unwrap_or_default();
        [
            attempt.at.clone(),
            entry.delivery.clone(),
            attempt.n.to_string(),
            cut(&entry.subscription, 32),
            result,
            format!("{} ms", attempt.duration_ms),
            attempt.verdict.clone(),
            cut(entry.url.as_deref().unwrap_or(&attempt.endpoint), 60),
        ]
    });
    table(
        [
            "AT",
            "DELIVERY",
            "N",
            "SUBSCRIPTION",
            "RESULT",
            "TOOK",
            "VERDICT",
            "URL",
        ],
        rows,
    )
}
