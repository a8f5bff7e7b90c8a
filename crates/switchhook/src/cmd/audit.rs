//! `switchhook audit`: who did what through the API or the command line, and the proof of it.

mod lines;
mod notes;
mod verify;

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use switchhook_core::time::{UnixMs, rfc3339};
use switchhook_wire::api::{
    AuditExportQuery, AuditLine, AuditList, AuditQuery, AuditView, PAGE_SIZE_MAX,
};

use super::Global;
use crate::client::{Client, Lines};
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut, list, table};

/// How often `tail` asks for what is new: soon enough for a person who watches, and a small part of a token's rate.
const TAIL_INTERVAL: Duration = Duration::from_secs(1);

/// The media type of the export.
const JSON_LINES: &str = "application/x-ndjson";

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what was done, newest first
    List {
        /// Done by this one: the name of a token or client
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// Exactly this, for example resource.put
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// To this, for example endpoint/crm, or every endpoint with endpoint
        #[arg(long, value_name = "KIND/NAME")]
        object: Option<String>,
        /// Done since: a time, or a span such as 15m
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Done before: a time, or a span such as 15m
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Most entries to list
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Show the last entries, and new ones as they come
    Tail {
        /// Entries from before to show first
        #[arg(long, default_value_t = 10, value_name = "N")]
        last: usize,
        /// End after this many entries
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Write the log as JSON lines, each with exactly what was hashed, so that anybody can verify it
    Export {
        /// Number of the first entry
        #[arg(long, default_value_t = 1, value_name = "N")]
        from: u64,
        /// Write it to this file, which must not exist [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check that nothing was edited, deleted, swapped, inserted, written anew, cut or rolled back
    Verify(verify::Args),
}

/// Does it.
pub(super) async fn run(command: Command, global: &Global, output: Output) -> Outcome {
    match command {
        Command::List {
            actor,
            action,
            object,
            since,
            until,
            limit,
        } => {
            let query = AuditQuery {
                actor,
                action,
                object,
                since: config::instant(since.as_deref())?,
                until: config::instant(until.as_deref())?,
                before: None,
                page_size: Some(limit.clamp(1, PAGE_SIZE_MAX)),
            };
            let client = global.client()?;
            let entries: Vec<AuditView> = client.list(&["v1", "audit"], &query, limit).await?;
            list(output, &entries, "entries", entries_table)
        }
        Command::Tail { last, limit } => tail(last, limit, &global.client()?, output).await,
        Command::Export { from, output: file } => {
            let lines = exported(&global.client()?, from).await?;
            match file {
                Some(path) => export_to(&path, lines, output).await,
                None => export(lines, output).await,
            }
        }
        Command::Verify(args) => verify::run(args, global, output).await,
    }
}

/// The lines of the log from number `from` on.
async fn exported(client: &Client, from: u64) -> Result<Lines, Failure> {
    let query = AuditExportQuery { from: Some(from) };
    Ok(client
        .stream(&["v1", "audit:export"], &query, JSON_LINES)
        .await?)
}

async fn export(mut lines: Lines, output: Output) -> Outcome {
    while let Some(line) = lines.next().await? {
        output.line(&line)?;
    }
    Ok(())
}

async fn export_to(path: &Path, mut lines: Lines, output: Output) -> Outcome {
    let failed = |error: io::Error| {
        let code = if error.kind() == io::ErrorKind::AlreadyExists {
            Code::Conflict
        } else {
            Code::Unexpected
        };
        let message = format!("{} cannot be written: {error}", path.display());
        Failure::new(code, message)
    };
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = BufWriter::new(opened.map_err(failed)?);
    let mut entries = 0;
    while let Some(line) = lines.next().await? {
        writeln!(file, "{line}").map_err(failed)?;
        entries += 1;
    }
    file.flush().map_err(failed)?;
    let written = json!({ "file": path, "entries": entries });
    output.show(&written, |_| {
        let what = if entries == 1 { "entry" } else { "entries" };
        format!("{entries} {what} written to {}", path.display())
    })
}

async fn tail(last: usize, limit: Option<u64>, client: &Client, output: Output) -> Outcome {
    let query = AuditQuery {
        page_size: Some(last.clamp(1, PAGE_SIZE_MAX)),
        ..AuditQuery::default()
    };
    let newest: AuditList = client.query(&["v1", "audit"], &query).await?;
    let mut next = newest.entities.first().map_or(1, |entry| entry.number + 1);
    let mut shown = 0;
    let is_over = |shown| limit.is_some_and(|limit| shown >= limit);
    let mut before: Vec<AuditView> = newest.entities.into_iter().take(last).collect();
    while !is_over(shown)
        && let Some(entry) = before.pop()
    {
        output.show(&entry, entry_line)?;
        shown += 1;
    }
    output.say("watching; Ctrl-C ends it");
    let follow = async {
        while !is_over(shown) {
            let mut lines = exported(client, next).await?;
            while !is_over(shown)
                && let Some(line) = lines.next().await?
            {
                let line: AuditLine = serde_json::from_str(&line)
                    .map_err(|error| Failure::unexpected("the gateway sent no entry", error))?;
                next = line.number + 1;
                output.show(&view(line), entry_line)?;
                shown += 1;
            }
            if !is_over(shown) {
                tokio::time::sleep(TAIL_INTERVAL).await;
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = follow => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure::silent(Code::Interrupted)),
    }
}

/// A line of the export as the list shows it.
fn view(line: AuditLine) -> AuditView {
    AuditView {
        number: line.number,
        at: rfc3339(UnixMs(line.at_ms)),
        actor: line.actor,
        action: line.action,
        object: line.object,
        detail: serde_json::from_str(&line.detail).unwrap_or_default(),
        hash: line.hash,
    }
}

fn columns(entry: &AuditView) -> [String; 6] {
    [
        entry.number.to_string(),
        entry.at.clone(),
        cut(&entry.actor, 32),
        entry.action.clone(),
        cut(&entry.object, 64),
        cut(&entry.detail.to_string(), 100),
    ]
}

fn entry_line(entry: &AuditView) -> String {
    columns(entry).join("  ")
}

fn entries_table(entries: &[AuditView]) -> String {
    let header = ["NO", "AT", "WHO", "DID", "TO", "DETAIL"];
    table(header, entries.iter().map(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_shown_with_who_did_what() {
        let line = AuditLine {
            number: 7,
            at_ms: 1_795_168_800_000,
            actor: "first".into(),
            action: "breaker.open".into(),
            object: "endpoint/crm".into(),
            detail: r#"{ "reason":"maintenance"}"#.into(),
            hash: String::new(),
        };
        insta::assert_snapshot!(entries_table(&[view(line)]), @r#"
        NO  AT                        WHO    DID           TO            DETAIL
        7   2026-11-20T10:00:00.000Z  first  breaker.open  endpoint/crm  {"reason":"maintenance"}
        "#);
    }
}
