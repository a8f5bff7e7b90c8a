//! `switchhook serve`: the gateway.
//!
//! It says READY on stderr in all output modes, and only after both listeners have answered a real
//! request. The first signal drains: requests under way may end, their results are stored. A second one
//! ends at once, which is as safe as a power cut. When the store fails, the process ends with exit code 74.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use switchhook_server::gateway::{Gateway, Running, StartError};
use switchhook_wire::config::{Config, render_all};

use super::store;
use crate::client::Client;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;
use crate::signals::Signals;
use crate::{config, logs};

/// How long the listeners may take to answer after the start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Wait between two looks at readiness.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file [default: switchhook.toml if it is there, else every default]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the gateway until a signal or a failure of the store.
pub(super) async fn run(args: Args, output: Output) -> Outcome {
    logs::start("info", output);
    let mut signals = Signals::listen()?;
    let config = config::load(args.config, output)?;
    let (begun, drain) = (
        Instant::now(),
        Duration::from_millis(config.server.shutdown_drain_ms),
    );
    let steps = config
        .plan
        .sources
        .is_empty()
        .then(|| first_steps(&config.server.data_dir));
    let mut running = start(config, output).await?;
    await_ready(&running).await?;
    if let Some(steps) = steps {
        output.say(&steps);
    }
    announce(&running, begun.elapsed(), output)?;
    let signal = tokio::select! {
        error = running.failed() => return Err(store::failure(error)),
        signal = signals.next() => signal,
    };
    output.say("stopping: waiting for requests under way; a second signal ends at once");
    signals
        .unless_again(running.stop(drain))
        .await?
        .map_err(store::failure)?;
    signal.outcome()
}

/// Lets this process open as many files as it may: each connection is one, and shells start with 1,024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Without it the listeners say when they run out of files, and wait.
    setrlimit(Resource::Nofile, all).ok();
}

/// Starts a gateway; every way in which that fails has its exit code.
pub(super) async fn start(config: Config, output: Output) -> Result<Running, Failure> {
    raise_open_files();
    Gateway::start(config, config::variable)
        .await
        .map_err(|error| match error {
            StartError::Store(error) => store::failure(error),
            StartError::Resources(problems) => {
                output.must_say(&render_all(&problems));
                Failure::new(
                    Code::Invalid,
                    "resources made through the API do not fit the configuration file",
                )
                .hint("they were made while the file was another one: put back what they need, or take out what both declare; then delete them through the API")
            }
            StartError::Listen { .. } => Failure::new(Code::Unavailable, error.to_string())
                .hint("another process may listen there; name another address: `[server]` in the file, `--port` of the demo"),
            StartError::Tls(_) | StartError::Dispatch(_) | _ => {
                Failure::new(Code::Unexpected, error.to_string())
            }
        })
}

/// Resolves once both listeners have answered a request and `/readyz` says yes.
pub(super) async fn await_ready(running: &Running) -> Outcome {
    let admin = Client::new(&url(running.admin), None)?;
    let ingest = Client::new(&url(running.ingest), None)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let ready = admin.status(&["readyz"]).await.map(|status| status == 200);
        // Any answer shows that ingest answers; no source needs to exist.
        let answers = ingest.status(&["in", "-"]).await;
        match (ready, answers) {
            (Ok(true), Ok(_)) => return Ok(()),
            (ready, answers) if Instant::now() >= deadline => {
                let why = ready.err().or(answers.err()).map(|error| error.to_string());
                let why = why.unwrap_or_else(|| "/readyz does not say yes".to_owned());
                return Err(Failure::new(
                    Code::Unavailable,
                    format!("the gateway did not become ready: {why}"),
                ));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The address as others reach it on this machine.
pub(super) fn url(address: SocketAddr) -> String {
    let loopback = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let ip = if address.ip().is_unspecified() {
        loopback
    } else {
        address.ip()
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn announce(running: &Running, took: Duration, output: Output) -> Outcome {
    let (ingest, admin) = (url(running.ingest), url(running.admin));
    if let Some(token) = &running.new_token {
        output.must_say(&format!(
            "API token, shown this once: {token}\n  export SWITCHHOOK_TOKEN={token}"
        ));
    }
    output.must_say(&format!(
        "  ingest  {ingest}/in/{{source}}\n  admin   {admin}/v1"
    ));
    output.must_say(&format!("READY {:.1} s", took.as_secs_f64()));
    if output.is_json() {
        output.json(
            &json!({"type": "ready", "ingest": ingest, "admin": admin, "token": running.new_token}),
        )?;
    }
    Ok(())
}

/// How to get from an empty gateway to the first delivery, to be copied.
fn first_steps(data_dir: &Path) -> String {
    let dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    format!(
        "no source is configured yet; with the token set, in another terminal:
  switchhook sim endpoint crm=ok &
  echo change-me | switchhook secret set web --data-dir {}
  switchhook source set web --preset open-messaging --secret web
  switchhook endpoint set crm --url http://127.0.0.1:9000/crm --allow-private 127.0.0.0/8
  switchhook subscription set web-to-crm --source web --endpoint crm
  switchhook send web --wait
",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_interfaces_is_shown_as_one_that_can_be_called() {
        for (bound, shown) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("10.0.0.1:80", "http://10.0.0.1:80"),
        ] {
            assert_eq!(url(bound.parse().unwrap()), shown);
        }
    }
}
