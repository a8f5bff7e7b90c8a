//! `switchhook sim endpoint`: receivers that answer as they are told, for trying things out and for tests.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Subcommand;
use serde_json::json;
use switchhook_core::secret::Secret;
use switchhook_sim::endpoint::{Behaviour, Lab, OWN_PATHS, Receiver, RunningLab};

use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, table};
use crate::signals::Signals;

/// Where the lab listens when nothing is said.
const LISTEN_DEFAULT: &str = "127.0.0.1:9000";

/// What to simulate.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Receivers that answer well or badly, and keep exact records
    Endpoint(Args),
}

/// A lab.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Receivers and how each answers: ok, ok:12ms, slow:2s, status:503, sequence:503,503,200, fail:50%,
    /// outage:5s/10s, rate-limit:429/3s/20%, redirect, black-hole, reset-before, reset-after, huge
    #[arg(value_name = "NAME=BEHAVIOUR", default_value = "crm=ok")]
    receivers: Vec<Named>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = LISTEN_DEFAULT, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// File with the secret of the receiver harness at /webhook/test
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Environment variable with that secret
    #[arg(long, value_name = "VARIABLE", conflicts_with = "secret_file")]
    secret_env: Option<String>,
    /// File to append payloads to that the harness refuses
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// File to append one JSON line to for every request
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Seed of the chances that behaviours take
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Clone)]
struct Named(Receiver);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, behaviour) = text.split_once('=').unwrap_or((text, "ok"));
        let behaviour: Behaviour = behaviour.parse().map_err(|error| format!("{error}"))?;
        Ok(Self(Receiver {
            name: name.into(),
            behaviour,
        }))
    }
}

/// Serves until a signal, then shows what each receiver got.
pub(super) async fn run(command: Command, output: Output) -> Outcome {
    let Command::Endpoint(args) = command;
    let mut signals = Signals::listen()?;
    let names: Vec<_> = args
        .receivers
        .iter()
        .map(|Named(receiver)| receiver.name.clone())
        .collect();
    let (listen, harness) = (
        args.listen,
        args.secret_file.is_some() || args.secret_env.is_some(),
    );
    let started = lab(args)?.start(listen).await;
    let lab = started.map_err(|error| unstarted(&error, listen))?;
    announce(&lab, &names, harness, output)?;
    signals.next().await;
    let records = signals.unless_again(lab.stop()).await?;
    let mut rows = Vec::new();
    for (name, record) in records.iter() {
        let summary = record.summary();
        rows.push((name.to_owned(), summary));
    }
    let value: serde_json::Map<_, _> = rows
        .iter()
        .map(|(name, summary)| (name.clone(), summary.json()))
        .collect();
    output.show(&json!({"receivers": value}), |_| {
        let rows = rows.iter().map(|(name, summary)| {
            [
                name.clone(),
                summary.requests.to_string(),
                summary.delivered.to_string(),
                summary.repeats.to_string(),
            ]
        });
        table(["RECEIVER", "REQUESTS", "DELIVERED", "REPEATS"], rows)
    })
}

/// Why there is no lab: a receiver's name, or the address.
fn unstarted(error: &io::Error, listen: SocketAddr) -> Failure {
    if error.kind() == io::ErrorKind::InvalidInput {
        let reserved = OWN_PATHS.join(", ");
        return Failure::usage(error.to_string())
            .hint(format!("choose another name; reserved are: {reserved}"));
    }
    Failure::new(
        Code::Unavailable,
        format!("the receivers cannot be started on {listen}: {error}"),
    )
    .hint("name another address with --listen")
}

fn lab(args: Args) -> Result<Lab, Failure> {
    let secret = match (&args.secret_file, &args.secret_env) {
        (Some(path), _) => Some(config::token(Some(path))?),
        (None, Some(name)) => Some(config::setting(name)),
        (None, None) => None,
    };
    let secret = match secret {
        Some(Some(text)) => Some(Secret::new(text.into_bytes())),
        Some(None) => {
            return Err(Failure::usage(
                "the variable named by --secret-env is not set",
            ));
        }
        None => None,
    };
    Ok(Lab {
        receivers: args
            .receivers
            .into_iter()
            .map(|Named(receiver)| receiver)
            .collect(),
        seed: args.seed,
        secret,
        dead_letters: args.dead_letters,
        records: args.record,
    })
}

fn announce(
    lab: &RunningLab,
    names: &[std::sync::Arc<str>],
    harness: bool,
    output: Output,
) -> Outcome {
    for name in names {
        output.say(&format!("  {name:<12}{}", lab.url(name)));
    }
    if harness {
        output.say(&format!("  harness     http://{}/webhook/test", lab.addr()));
    }
    output.must_say("READY");
    if output.is_json() {
        output.json(&json!({"type": "ready", "listen": lab.addr().to_string()}))?;
    }
    Ok(())
}
