//! `switchhook audit`: who did what through the API or the command line.

use clap::Subcommand;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{AuditQuery, AuditView, PAGE_SIZE_MAX, time};

use crate::client::Client;
use crate::config;
use crate::exit::Outcome;
use crate::output::{Output, cut, list, table};

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what was done, newest first
    List {
        /// Done since: a time, or a span such as 15m
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Most entries to list
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    let Command::List { since, limit } = command;
    let since = config::instant(since.as_deref())?;
    let since = since.and_then(|since| time::parse(&since).ok());
    let query = AuditQuery {
        before: None,
        page_size: Some(limit.clamp(1, PAGE_SIZE_MAX)),
    };
    let mut entries: Vec<AuditView> = client.list(&["v1", "audit"], &query, limit).await?;
    entries.retain(|entry| is_since(entry, since));
    list(output, &entries, "entries", entries_table)
}

/// Whether an entry is not older than `since`.
fn is_since(entry: &AuditView, since: Option<UnixMs>) -> bool {
    since.is_none_or(|since| time::parse(&entry.at).is_ok_and(|at| at >= since))
}

fn entries_table(entries: &[AuditView]) -> String {
    let rows = entries.iter().map(|entry| {
        [
            entry.number.to_string(),
            entry.at.clone(),
            cut(&entry.actor, 32),
            entry.action.clone(),
            cut(&entry.object, 64),
            cut(&entry.detail.to_string(), 100),
        ]
    });
    table(["NO", "AT", "WHO", "DID", "TO", "DETAIL"], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_shown_with_who_did_what_and_old_ones_are_left_out() {
        let entry = AuditView {
            number: 7,
            at: "2026-11-20T10:00:00.000Z".into(),
            actor: "first".into(),
            action: "breaker.open".into(),
            object: "endpoint/crm".into(),
            detail: json!({"reason": "maintenance"}),
        };
        insta::assert_snapshot!(entries_table(std::slice::from_ref(&entry)), @r#"
        NO  AT                        WHO    DID           TO            DETAIL
        7   2026-11-20T10:00:00.000Z  first  breaker.open  endpoint/crm  {"reason":"maintenance"}
        "#);
        let at = time::parse(&entry.at).unwrap();
        for (since, shown) in [(None, true), (Some(at), true), (Some(at.plus_ms(1)), false)] {
            assert_eq!(is_since(&entry, since), shown);
        }
    }
}
