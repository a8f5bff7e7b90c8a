//! `switchhook demo`: gateway, signed source and three receivers in one process, with a temporary store.
//!
//! READY comes only after an event has made the round trip. With `--for` it ends by itself: the source
//! stops, retries get [`SETTLE`] to end, and every accepted delivery is accounted for ([`mod@audit`]).

mod audit;
mod scene;

use std::time::Duration;

use switchhook_server::gateway::Running;
use switchhook_sim::endpoint::RunningLab;
use switchhook_sim::sender::Sending;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior};

use super::{breaker, serve, store};
use crate::client::{Client, Trust};
use crate::exit::{Code, Failure, Outcome};
use crate::live::Live;
use crate::output::Output;
use crate::signals::{Signal, Signals};
use crate::{config, logs};
use audit::{Summary, audit};
use scene::PARTS;

/// How long retries may take to end after the source has stopped. Those that take longer are counted as waiting.
const SETTLE: Duration = Duration::from_secs(15);

/// How often the table is drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// How long the first round trip may take.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long requests under way may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// How to run the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End by itself after this long, with a summary
    #[arg(long = "for", value_name = "SPAN", value_parser = config::span)]
    duration: Option<Duration>,
    /// Events a second
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Port of ingest and API on loopback [default: 8081, or a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// Everything that runs.
struct Stage {
    running: Running,
    lab: RunningLab,
    sending: Sending,
    client: Client,
    /// Deleted when dropped, so it must go last.
    _dir: TempDir,
}

/// Runs the demo.
pub(super) async fn run(args: Args, output: Output) -> Outcome {
    logs::start("error", output);
    let mut signals = Signals::listen()?;
    let begun = Instant::now();
    let mut stage = Stage::set(&args, output).await?;
    stage.first_round_trip().await?;
    output.must_say(&format!(
        "READY {:.1} s   Ctrl-C ends it\n",
        begun.elapsed().as_secs_f64()
    ));
    let signal = stage.watch(args.duration, &mut signals, output).await?;
    output.say("source stopped; waiting for retries to end");
    let summary = signals.unless_again(stage.end()).await??;
    output.show(&summary.json(), |_| summary_text(&summary))?;
    match (summary.lost, signal) {
        (0, Some(signal)) => signal.outcome(),
        (0, None) => Ok(()),
        (lost, _) => Err(
            Failure::new(Code::Unexpected, format!("{lost} deliveries are lost"))
                .hint("this must never happen; please report it with the output above"),
        ),
    }
}

impl Stage {
    /// Starts everything.
    async fn set(args: &Args, output: Output) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()
            .map_err(|error| Failure::unexpected("no temporary directory can be made", error))?;
        let (secret, lab) = (scene::secret(), scene::lab().await?);
        let config = scene::config(dir.path(), scene::port(args.port), &secret, &lab)?;
        let running = serve::start(config, output).await?;
        serve::await_ready(&running).await?;
        let token = running.new_token.as_deref();
        let client = Client::new(&serve::admin_url(&running), token, &Trust::Machine)?;
        introduce(&running, output);
        let seed = u64::from(std::process::id());
        let sending = scene::source(running.ingest, &secret, f64::from(args.rate), seed)?;
        Ok(Self {
            running,
            lab,
            sending,
            client,
            _dir: dir,
        })
    }

    /// Resolves once a receiver has taken an event.
    async fn first_round_trip(&self) -> Outcome {
        let deadline = Instant::now() + READY_WITHIN;
        let taken = || {
            self.lab
                .record("crm")
                .map_or(0, |record| record.summary().delivered)
        };
        while taken() == 0 {
            if Instant::now() >= deadline {
                let message = format!(
                    "no event made the round trip within {} s",
                    READY_WITHIN.as_secs()
                );
                return Err(Failure::new(Code::Unavailable, message));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Shows the table until the time is over (`None`) or a signal comes.
    async fn watch(
        &mut self,
        duration: Option<Duration>,
        signals: &mut Signals,
        output: Output,
    ) -> Result<Option<Signal>, Failure> {
        let mut live = Live::new(output);
        let mut ticks = tokio::time::interval(DRAW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let end = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(None),
                signal = signals.next() => return Ok(Some(signal)),
                error = self.running.failed() => return Err(store::failure(error)),
                _ = ticks.tick() => {
                    let stats = self.client.get(&["v1", "stats"]).await?;
                    live.show(&stats, &breaker::all(&self.client).await?);
                }
            }
        }
    }

    /// Stops the source, lets retries end for a while, accounts for everything, and stops the rest.
    async fn end(self) -> Result<Summary, Failure> {
        let sent = self.sending.stop().await;
        let deadline = Instant::now() + SETTLE;
        let summary = loop {
            let summary = audit(&sent.ids, &self.lab, &self.client).await?;
            // A loss is believed only at the end: a record may be on its way to the disk.
            if summary.waiting + summary.lost == 0 || Instant::now() >= deadline {
                break summary;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        };
        self.running.stop(DRAIN).await.map_err(store::failure)?;
        self.lab.stop().await;
        Ok(summary)
    }
}

fn introduce(running: &Running, output: Output) {
    let at = serve::admin_url(running);
    let version = env!("CARGO_PKG_VERSION");
    output.say(&format!(
        "switchhook {version}  demo  temporary store, deleted at the end; loopback only"
    ));
    output.say(&format!(
        "  ingest     {at}/in/messages (signed, open-messaging) and /in/bus (eventbridge)"
    ));
    for part in &PARTS {
        output.say(&format!("  receiver   {}: {}", part.endpoint, part.words));
    }
    if let Some(token) = &running.new_token {
        output.say(&format!("  API        {at}/v1; in another terminal:"));
        output.say(&format!(
            "             export SWITCHHOOK_TOKEN={token} SWITCHHOOK_SERVER={at}"
        ));
        output.say("             switchhook send messages --wait");
    }
}

fn summary_text(summary: &Summary) -> String {
    format!(
        "{} events accepted, {} deliveries: {} delivered, {} waiting for a retry, {} dead letters, {} lost",
        summary.accepted,
        summary.deliveries,
        summary.delivered,
        summary.waiting,
        summary.dead,
        summary.lost,
    )
}
