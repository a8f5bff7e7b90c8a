//! `switchhook serve`: the gateway.
//!
//! It says READY on stderr in all output modes, and only after both listeners have answered a real
//! request. The first signal drains: requests under way may end, their results are stored. A second one
//! ends at once, which is as safe as a power cut. SIGHUP, and with `--watch` a file that has changed, has the gateway read
//! its file again. When the store fails, the process ends with exit code 74.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use switchhook_server::gateway::{Gateway, Running, Start, StartError};
use switchhook_server::reload::Cue;
use switchhook_server::secrets::vault;
use switchhook_wire::config::{Config, render_all};

use super::store;
use crate::client::{Client, Trust};
use crate::config::Stamp;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;
use crate::signals::{Hangups, Signals};
use crate::{config, logs};

/// How long the listeners may take to answer after the start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Wait between two looks at the configuration file. A change counts after two of them.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Wait between two looks at readiness.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file [default: switchhook.toml if it is there, else every default]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the file again whenever it changes
    #[arg(long)]
    watch: bool,
    /// Start although the file was changed in a way that concerns deliveries that wait
    #[arg(long)]
    force: bool,
}

/// Runs the gateway until a signal or a failure of the store.
pub(super) async fn run(args: Args, output: Output) -> Outcome {
    logs::start("info", output);
    keep_memory_private();
    let (mut signals, hangups) = (Signals::listen()?, Hangups::listen()?);
    let file = Arc::new(config::File::new(args.config));
    let seen = file.stamp();
    let text = file.text()?;
    let config = file.load(&text, output)?;
    let (begun, drain) = (
        Instant::now(),
        Duration::from_millis(config.server.shutdown_drain_ms),
    );
    let steps = config.plan.sources.is_empty().then_some(FIRST_STEPS);
    let mut start = Start::new(config, config::variable);
    // Standard input can be read once.
    if !file.is_stdin() {
        start = start.with_file(file.clone(), text, args.force);
    }
    let mut running = begin(start, output).await?;
    await_ready(&running).await?;
    if let Some(steps) = steps {
        output.say(steps);
    }
    announce(&running, begun.elapsed(), output)?;
    let watched = args.watch.then_some((file, seen));
    let reloads = tokio::spawn(follow(running.gateway().clone(), hangups, watched));
    let signal = tokio::select! {
        error = running.failed() => return Err(store::failure(error)),
        signal = signals.next() => signal,
    };
    reloads.abort();
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

/// Leaves no memory behind when the process crashes, and none to be looked into by others of the same user: secrets are in
/// it in clear.
fn keep_memory_private() {
    // Where it cannot be had the gateway works all the same; the service's `LimitCORE=0` does the first half.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).ok();
}

/// Has the gateway read its file again: at a hangup, and where it is watched whenever it has changed. What comes of it is
/// in the log.
async fn follow(
    gateway: Arc<Gateway>,
    mut hangups: Hangups,
    watched: Option<(Arc<config::File>, Option<Stamp>)>,
) {
    let (file, mut seen) = match watched {
        Some((file, seen)) => (Some(file), seen),
        None => (None, None),
    };
    loop {
        let cue = tokio::select! {
            () = hangups.next() => Cue::Signal,
            () = changed(file.as_deref(), &mut seen) => Cue::Watch,
        };
        // The log says why not, with every problem.
        let _refused = gateway.reload_file(cue).await;
    }
}

/// Resolves when the file is another one than was `seen`, and has stayed so for one look: nobody writes at it any more.
async fn changed(file: Option<&config::File>, seen: &mut Option<Stamp>) {
    let Some(file) = file else {
        return std::future::pending().await;
    };
    let mut before = *seen;
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let now = file.stamp();
        if now.is_some() && now != *seen && now == before {
            *seen = now;
            return;
        }
        before = now;
    }
}

/// Starts a gateway whose configuration is never read again.
pub(super) async fn start(config: Config, output: Output) -> Result<Running, Failure> {
    begin(Start::new(config, config::variable), output).await
}

/// Starts a gateway; every way in which that fails has its exit code.
async fn begin(start: Start, output: Output) -> Result<Running, Failure> {
    raise_open_files();
    Gateway::start_with(start)
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
            StartError::Stranded(ref concerned) => {
                let concerned: Vec<String> =
                    concerned.iter().map(|line| format!("\n  {line}")).collect();
                Failure::new(Code::Invalid, format!("{error}:{}", concerned.concat()))
                    .hint("put back what they need, or start once with `switchhook serve --force`")
            }
            StartError::Pinned(problems) => {
                output.must_say(&render_all(&problems));
                Failure::new(Code::Invalid, "the pinned version of the configuration cannot be used")
                    .hint("change the file: then it counts again")
            }
            StartError::Listen { .. } => Failure::new(Code::Unavailable, error.to_string())
                .hint("another process may listen there; name another address: `[server]` in the file, `--port` of the demo"),
            StartError::Certificate(_) => Failure::new(Code::Invalid, error.to_string())
                .hint("`[server.tls]` and `[server.admin_tls]` name a PEM chain and its key"),
            StartError::Vault(vault::StartError::Store(error)) => store::failure(error),
            StartError::Vault(error) => Failure::new(Code::Invalid, error.to_string())
                .hint("nothing was changed and nothing was served; docs/security.md says which keys there are and where they are read from"),
            StartError::Tls(_) | StartError::Dispatch(_) | _ => {
                Failure::new(Code::Unexpected, error.to_string())
            }
        })
}

/// Resolves once both listeners have answered a request and `/readyz` says yes.
pub(super) async fn await_ready(running: &Running) -> Outcome {
    let admin = Client::new(
        &admin_url(running),
        None,
        &shown(&running.admin_certificate),
    )?;
    let trust = shown(&running.ingest_certificate);
    let ingest = Client::new(&ingest_url(running), None, &trust)?;
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

/// The API as others reach it on this machine.
pub(super) fn admin_url(running: &Running) -> String {
    url(running.admin, running.admin_certificate.is_some())
}

/// The way in as others reach it on this machine.
pub(super) fn ingest_url(running: &Running) -> String {
    url(running.ingest, running.ingest_certificate.is_some())
}

/// The gateway in this process is asked by its address, and known by what it shows.
fn shown(certificate: &Option<CertificateDer<'static>>) -> Trust {
    certificate.clone().map_or(Trust::Machine, Trust::Only)
}

fn url(address: SocketAddr, is_secure: bool) -> String {
    let loopback = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let ip = if address.ip().is_unspecified() {
        loopback
    } else {
        address.ip()
    };
    let scheme = if is_secure { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

fn announce(running: &Running, took: Duration, output: Output) -> Outcome {
    let (ingest, admin) = (ingest_url(running), admin_url(running));
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
const FIRST_STEPS: &str = "no source is configured yet; with the token set, in another terminal:
  switchhook sim endpoint crm=ok &
  echo change-me | switchhook secret set web
  switchhook source set web --preset open-messaging --secret web
  switchhook endpoint set crm --url http://127.0.0.1:9000/crm --allow-private 127.0.0.0/8
  switchhook subscription set web-to-crm --source web --endpoint crm
  switchhook send web --wait
";

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
            assert_eq!(url(bound.parse().unwrap(), false), shown);
        }
    }
}
