//! `switchhook store`: the state of the store, its proof, and copies of it.
//!
//! `status` and `backup` ask the running gateway. `verify` and `restore` work on files and need none:
//! a damaged store keeps the gateway from starting, and that is when they are needed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use switchhook_store::{Error, embedded};
use switchhook_wire::api::{RetentionStatus, StoreStatus};
use switchhook_wire::duration;

use super::Global;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;

/// How long a backup may take: a disk of 100 MB/s copies 360 GB in it.
const BACKUP_PATIENCE: Duration = Duration::from_secs(3_600);

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show how much the running gateway's store holds
    Status,
    /// Check every record of a store; works without a gateway
    Verify {
        /// Data directory [default: that of the configuration file]
        dir: Option<PathBuf>,
        /// Configuration file that names the data directory
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Write a consistent copy while the gateway runs
    Backup {
        /// File to write, on the gateway's machine; must not exist
        path: PathBuf,
    },
    /// Make a data directory from a backup; works without a gateway
    Restore {
        /// The backup
        from: PathBuf,
        /// New or empty data directory
        dir: PathBuf,
    },
}

/// Does it.
pub(super) async fn run(command: Command, global: &Global, output: Output) -> Outcome {
    match command {
        Command::Status => {
            let status: StoreStatus = global.client()?.get(&["v1", "store", "status"]).await?;
            output.show(&status, status_text)
        }
        Command::Verify { dir, config } => verify(dir, config, output),
        Command::Backup { path } => {
            let path = std::path::absolute(&path)
                .map_err(|error| Failure::unexpected("the path cannot be made absolute", error))?;
            let client = global.client()?.with_patience(BACKUP_PATIENCE);
            let body = json!({"path": path});
            let done: Value = client
                .send(Method::POST, &["v1", "store", "backup"], &body)
                .await?;
            output.show(&done, |_| format!("{}  written", path.display()))
        }
        Command::Restore { from, dir } => {
            embedded::restore(&from, &dir).map_err(failure)?;
            let done = json!({"from": from, "dir": dir, "restored": true});
            output.show(&done, |_| {
                format!("{}  restored from {}", dir.display(), from.display())
            })
        }
    }
}

fn verify(dir: Option<PathBuf>, file: Option<PathBuf>, output: Output) -> Outcome {
    let dir = match dir {
        Some(dir) => dir,
        None => config::load(file, output)?.server.data_dir,
    };
    if !dir.is_dir() {
        return Err(Failure::new(
            Code::NotFound,
            format!("there is no data directory {}", dir.display()),
        )
        .hint("name it, or the configuration file with -c"));
    }
    let report = embedded::verify(&dir).map_err(failure)?;
    let value = json!({
        "dir": dir,
        "events": report.events,
        "attempts": report.attempts,
        "waiting": report.waiting,
        "dead": report.dead,
        "problems": report.problems,
    });
    output.show(&value, |_| {
        let mut text = format!(
            "{}  {} events, {} attempts, {} waiting, {} dead letters\n",
            dir.display(),
            report.events,
            report.attempts,
            report.waiting,
            report.dead,
        );
        for problem in &report.problems {
            text.push_str(&format!("  {problem}\n"));
        }
        if report.problems.is_empty() {
            text.push_str("no problem found\n");
        }
        text
    })?;
    match report.problems.len() {
        0 => Ok(()),
        count => Err(
            Failure::new(Code::Store, format!("the store has {count} problems")).hint(
                "keep it as it is, and restore a backup with `switchhook store restore FROM DIR`",
            ),
        ),
    }
}

/// How a failure of the store ends the process.
pub(super) fn failure(error: Error) -> Failure {
    let message = error.to_string();
    if let Error::Locked(_) = error {
        return Failure::new(Code::Conflict, message)
            .hint("one process owns a data directory; stop the other one");
    }
    if let Error::File { .. } = error {
        return Failure::new(Code::Unexpected, message)
            .hint("check that the path exists, and that this user may read and write there");
    }
    let failure = Failure::new(Code::Store, message);
    if let Error::Damaged { .. } = error {
        return failure.hint(
            "nothing was changed; `switchhook store verify` shows more, `switchhook store restore` makes a new directory from a backup",
        );
    }
    failure
}

fn status_text(status: &StoreStatus) -> String {
    let free = status
        .free_bytes
        .map(|bytes| format!(", {} free", mib(bytes)))
        .unwrap_or_default();
    let mut text = format!(
        "{} in {}, durability {}\nevents   {} (next offset {})\nwaiting  {}\ndisk     {}{free}\n",
        status.engine,
        status.data_dir,
        status.durability,
        status.events,
        status.end_offset,
        status.waiting,
        mib(status.bytes),
    );
    text.push_str(&retention_text(&status.retention));
    for dead in &status.dead {
        text.push_str(&format!(
            "dead     {} for {}, {}\n",
            dead.count, dead.endpoint, dead.reason
        ));
    }
    text
}

/// How long things stay, and what has gone since the start.
fn retention_text(retention: &RetentionStatus) -> String {
    let size = retention
        .bytes_max
        .map(|bytes| format!(", at most {}", mib(bytes)));
    format!(
        "keeps    events {}, attempts {}, dead letters {}{}\nforgot   {} events, {} attempts, {} dead letters since the start; {} given back\n",
        duration::format(retention.events_ms),
        duration::format(retention.attempts_ms),
        duration::format(retention.dead_ms),
        size.unwrap_or_default(),
        retention.events,
        retention.attempts,
        retention.dead,
        mib(retention.bytes),
    )
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}
