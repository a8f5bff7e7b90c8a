//! `switchhook bench`: what this machine can do, with the gateway, the receiver and the driver in processes
//! of their own, and the same load against a bare proxy that keeps nothing.
//!
//! Parameters are printed first. Each subject is warmed up, then measured once: the driver sends for the
//! given time, and the clock runs on until everything that was acknowledged has been delivered. CPU time and
//! peak memory are those of the measured process alone, from `/proc`.
//! Bounds: [`DURATION_MAX`], [`FAN_OUT_MAX`], the driver's connections, and [`DELIVER_WITHIN`] after the load.

mod child;
mod features;
mod figures;
mod gateway;
mod role;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use switchhook_sim::load::{Pace, Plan, Until, ask, drive, driver};
use switchhook_wire::size;

use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;
use crate::signals::Signals;
use child::Child;
use features::Features;
use figures::{Figures, Results};

pub(super) use role::{Role, run as run_role};

/// Longest load.
const DURATION_MAX: Duration = Duration::from_secs(600);

/// Most subscriptions.
const FAN_OUT_MAX: u16 = 100;

/// Requests under way at once for each endpoint, and as many for each of the proxy's targets.
const CONCURRENCY: u16 = 64;

/// How long deliveries may take to arrive after the load has ended.
const DELIVER_WITHIN: Duration = Duration::from_secs(60);

/// How long a subject is warmed up: connections are open and code is in the caches then.
const WARM_UP: Duration = Duration::from_millis(500);

/// The secret of the bench's source. It guards nothing.
const SECRET: &[u8] = b"bench";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long to send
    #[arg(long, default_value = "5s", value_name = "SPAN", value_parser = duration)]
    duration: Duration,
    /// Connections of the driver
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=2048))]
    connections: u16,
    /// Size of each event
    #[arg(long, default_value = "1KiB", value_name = "SIZE", value_parser = payload)]
    payload: usize,
    /// Subscriptions that take each event
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(FAN_OUT_MAX)))]
    fan_out: u16,
    /// Endpoints that the subscriptions go to, each at least one [default: one for each subscription]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(FAN_OUT_MAX)))]
    endpoints: Option<u16>,
    /// Endpoints among these that never answer
    #[arg(long, default_value_t = 0, value_name = "N")]
    black_hole: u16,
    /// Send this many events a second instead of as fast as they are acknowledged
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Measure a bare proxy beside it: the same load, nothing stored
    #[arg(long)]
    proxy: bool,
    #[command(flatten)]
    features: Features,
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = config::span(text).map_err(|error| error.to_string())?;
    if span.is_zero() || span > DURATION_MAX {
        return Err(format!(
            "a load lasts from 1ms to {} s",
            DURATION_MAX.as_secs()
        ));
    }
    Ok(span)
}

fn payload(text: &str) -> Result<usize, String> {
    let bytes = size::parse(text).map_err(|error| error.to_string())?;
    let bytes_max = switchhook_core::source::BODY_BYTES_MAX;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= bytes_max)
        .ok_or_else(|| format!("an event has at most {bytes_max} bytes"))
}

impl Args {
    fn endpoints(&self) -> u16 {
        self.endpoints.unwrap_or(self.fan_out)
    }

    fn subscriptions(&self) -> u16 {
        self.fan_out.max(self.endpoints())
    }

    /// The path of endpoint `n` at the receiver.
    fn path(&self, n: u16) -> String {
        if n < self.black_hole {
            format!("black-hole-{n}")
        } else {
            self.features.path(n)
        }
    }

    /// Subscriptions whose endpoint answers.
    fn live_subscriptions(&self) -> u64 {
        let live = (0..self.subscriptions()).filter(|n| n % self.endpoints() >= self.black_hole);
        live.count() as u64
    }

    /// Deliveries that are expected of so many events.
    fn expected(&self, accepted: u64) -> u64 {
        self.features.delivered(accepted) * self.live_subscriptions()
    }

    fn parameters(&self, dir: &Path) -> Value {
        let mut parameters = json!({
            "duration_ms": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "connections": self.connections,
            "payload_bytes": self.payload,
            "fan_out": self.subscriptions(),
            "endpoints": self.endpoints(),
            "black_holes": self.black_hole,
            "rate_per_s": self.rate,
            "concurrency_per_endpoint": CONCURRENCY,
            "data_dir": dir,
            "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        });
        if let Some(members) = parameters.as_object_mut() {
            members.extend(self.features.parameters());
        }
        parameters
    }

    fn plan(&self, addr: SocketAddr, run: u64) -> Plan {
        Plan {
            addr,
            path: "/in/bench".to_owned(),
            connections: usize::from(self.connections),
            pace: self
                .rate
                .map_or(Pace::Closed, |rate| Pace::Open(f64::from(rate))),
            until: Until::Elapsed(self.duration),
            body_bytes: self.payload,
            proof: Some(Verify::Hmac {
                header: "x-genesys-signature".into(),
                prefix: "".into(),
                encoding: Encoding::Hex,
                secrets: vec![SecretRef::Literal(Secret::new(SECRET.to_vec()))],
            }),
            run,
            keys: self.features.keys(),
        }
    }

    /// As the command line `line` says.
    #[cfg(test)]
    fn of(line: &str) -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let words = std::iter::once("bench").chain(line.split_whitespace());
        <Line as clap::Parser>::try_parse_from(words).unwrap().args
    }
}

/// Measures.
pub(super) async fn run(args: Args, output: Output) -> Outcome {
    if args.black_hole >= args.endpoints() {
        return Err(Failure::usage("at least one endpoint must answer")
            .hint("give --black-hole a smaller number than --endpoints"));
    }
    let mut signals = Signals::listen()?;
    tokio::select! {
        done = measure_all(&args, output) => done,
        signal = signals.next() => signal.outcome(),
    }
}

async fn measure_all(args: &Args, output: Output) -> Outcome {
    // Here and not in /tmp, which is often memory: then an fsync would cost nothing.
    let dir = tempfile::Builder::new()
        .prefix("switchhook-bench-")
        .tempdir_in(".")
        .map_err(|error| Failure::unexpected("no directory can be made here", error))?;
    let parameters = args.parameters(dir.path());
    output.say(&figures::parameters_text(&parameters));
    let receiver = Child::start("receiver", &["bench-role", "receiver"], dir.path()).await?;
    let to = receiver.addr("listen")?;
    let file = dir.path().join("bench.toml");
    fs::write(&file, gateway::toml(args, to))
        .map_err(|error| Failure::unexpected("the configuration cannot be written", error))?;
    let file = file.display().to_string();
    let gateway = Child::start("gateway", &["serve", "--json", "-c", &file], dir.path()).await?;
    let gateway_figures = measure(args, &gateway, gateway.addr("ingest")?, to, 1).await?;
    gateway.stop().await;
    let proxy_figures = if args.proxy {
        Some(proxy(args, to, dir.path()).await?)
    } else {
        None
    };
    receiver.stop().await;
    let results = Results {
        parameters,
        gateway: gateway_figures,
        proxy: proxy_figures,
    };
    output.show(&results.json(), |_| results.text())
}

async fn proxy(args: &Args, to: SocketAddr, dir: &Path) -> Result<Figures, Failure> {
    let live = (0..args.subscriptions()).map(|n| args.path(n % args.endpoints()));
    let targets = live
        .filter(|path| path.starts_with('e'))
        .map(|path| format!("http://{to}/{path}"));
    let concurrency = (u32::from(CONCURRENCY) * u32::from(args.endpoints())).to_string();
    let mut line = ["bench-role", "proxy", "--concurrency", &concurrency]
        .map(str::to_owned)
        .to_vec();
    line.extend(targets);
    let line: Vec<_> = line.iter().map(String::as_str).collect();
    let proxy = Child::start("proxy", &line, dir).await?;
    let figures = measure(args, &proxy, proxy.addr("listen")?, to, 3).await?;
    proxy.stop().await;
    Ok(figures)
}

/// Warms `subject` up and measures it. `run` and `run + 1` tell the events of its two loads apart.
async fn measure(
    args: &Args,
    subject: &Child,
    addr: SocketAddr,
    to: SocketAddr,
    run: u64,
) -> Result<Figures, Failure> {
    let failed =
        |error| Failure::unexpected(format!("the {} cannot be measured", subject.name()), error);
    let warm_up = Plan {
        until: Until::Elapsed(WARM_UP),
        ..args.plan(addr, run)
    };
    let warm = drive(warm_up).await.map_err(failed)?;
    arrived(to, args.expected(warm.accepted())).await?;
    ask(to, "/reset").await.map_err(failed)?;
    let (before, begun) = (subject.usage()?, Instant::now());
    let load: driver::Report = drive(args.plan(addr, run + 1)).await.map_err(failed)?;
    let expected = args.expected(load.accepted());
    let received = arrived(to, expected).await?;
    let (after, elapsed) = (subject.usage()?, begun.elapsed());
    Ok(Figures::new(
        &load,
        &received,
        expected,
        elapsed,
        after.since(before),
    ))
}

/// The receiver's report once `expected` deliveries have arrived, or the time for it is over.
async fn arrived(to: SocketAddr, expected: u64) -> Result<Value, Failure> {
    let deadline = Instant::now() + DELIVER_WITHIN;
    loop {
        let report = ask(to, "/report")
            .await
            .map_err(|error| Failure::unexpected("the receiver does not answer", error))?;
        let answered = report.get("answered").and_then(Value::as_u64).unwrap_or(0);
        if answered >= expected || Instant::now() >= deadline {
            return Ok(report);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process of the bench did not do its part.
fn broken(name: &str, what: &str) -> Failure {
    Failure::new(Code::Unexpected, format!("the {name} of the bench {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_gets_a_subscription() {
        let args = Args::of("--endpoints 20 --black-hole 1");
        assert_eq!((args.subscriptions(), args.live_subscriptions()), (20, 19));
    }

    #[test]
    fn what_is_expected_leaves_out_black_holes_and_keys_that_fail() {
        for (line, expected) in [
            ("", 1_000),
            ("--fan-out 3", 3_000),
            ("--endpoints 2 --black-hole 1", 1_000),
            ("--keys 100 --failing-share 1% --order key", 990),
            ("--keys 300 --failing-share 0.5%", 993),
        ] {
            assert_eq!(Args::of(line).expected(1_000), expected, "{line}");
        }
    }
}
