//! Load, crash, restart, again and again; then the audit.
//!
//! The same for a killed process and for a power failure: what happens between the death and the next start is
//! the caller's. Load goes on over all of it: the sender keeps sending, and the receiver refuses a part of
//! what comes, so that retries and dead letters are under way at every crash.

use std::time::{Duration, Instant};

use switchhook_sim::entropy::Entropy;

use super::audit::{Arrival, Book, Findings, audit};
use super::receiver::Receiver;
use super::sender::{Sender, body};
use super::{Gateway, SOURCE, Site, pass, route, say};

/// Subscriptions that take every event.
pub(crate) const SUBSCRIPTIONS: [&str; 2] = ["steady", "flaky"];

/// Events that are sent at once, where nothing else is said.
pub(crate) const CONNECTIONS: usize = 6;

/// Events that are sent once more at the end, at most.
const REPEATED: usize = 50;

/// How long the backlog of all rounds may take to be delivered at the end.
const SETTLE: Duration = Duration::from_secs(120);

/// A policy with retries after milliseconds.
pub(crate) const QUICK: &str = r#"
[policy.quick]
exponential = { initial = "50ms", factor = 1.5, max = "400ms" }
max_attempts = 40
"#;

/// What is done to the gateway.
pub(crate) struct Ordeal {
    /// Crashes.
    pub(crate) rounds: u64,
    /// Decides when they come.
    pub(crate) seed: u64,
    /// What they are, for the line that tells the result.
    pub(crate) what: &'static str,
    /// Age of the process at its crash, in milliseconds: shortest and longest.
    pub(crate) age_ms: (u64, u64),
    /// Subscriptions that take every event.
    pub(crate) subscriptions: &'static [&'static str],
    /// Events that are sent at once.
    pub(crate) connections: usize,
}

/// The receiver that an ordeal needs: `steady` takes everything, `flaky` answers 503 to a part of all attempts
/// and refuses one event of fifty for good.
pub(crate) fn receiver(start: Instant) -> Receiver {
    Receiver::start(start, |it| {
        let doomed = chance(it, 0, 50) == 0;
        match (it.is_of("flaky"), doomed, chance(it, it.attempt, 10)) {
            (true, true, _) => 400,
            (true, false, 0..3) => 503,
            _ => 200,
        }
    })
}

/// A number below `below` that follows from the id of an arrival and `salt`.
pub(crate) fn chance(it: &Arrival, salt: u32, below: u64) -> u64 {
    let seed = it.id.bytes().fold(u64::from(salt), |sum, byte| {
        sum.wrapping_mul(31) + u64::from(byte)
    });
    Entropy::new(seed).below(below)
}

/// The configuration of an ordeal: both subscriptions go to `receiver`, with retries after milliseconds.
pub(crate) fn config(receiver: &Receiver) -> String {
    let mut config = SOURCE.to_owned() + QUICK;
    for name in SUBSCRIPTIONS {
        config += &route(name, &receiver.url(), "quick");
    }
    config
}

/// Runs it and tells what it found. `between` is called after each death, before the next start.
pub(crate) fn run(
    site: &Site,
    receiver: &Receiver,
    start: Instant,
    ordeal: &Ordeal,
    between: impl FnMut(u64),
) -> Findings {
    let (_gateway, book) = survive(site, receiver, start, ordeal, between);
    let findings = audit(&book);
    // A claim without its number is worth little.
    say(&format!(
        "{} {} with seed {}: {findings}",
        ordeal.rounds, ordeal.what, ordeal.seed
    ));
    findings
}

/// Runs it: the gateway as it stands at the end, and the book. At the end some events are sent once more: they must be
/// known under the id that they were acknowledged with.
pub(crate) fn survive(
    site: &Site,
    receiver: &Receiver,
    start: Instant,
    ordeal: &Ordeal,
    mut between: impl FnMut(u64),
) -> (Gateway, Book) {
    let mut entropy = Entropy::new(ordeal.seed);
    let mut crashes_ms = Vec::new();
    let mut gateway = site.start();
    let sender = Sender::start(site.ingest(), ordeal.seed, ordeal.connections);
    for round in 0..ordeal.rounds {
        let (youngest, oldest) = ordeal.age_ms;
        pass(Duration::from_millis(
            youngest + entropy.below(oldest - youngest),
        ));
        gateway.kill();
        crashes_ms.push(u64::try_from(start.elapsed().as_millis()).unwrap());
        between(round);
        gateway = site.start();
    }
    // The last start must be able to work, not only to be ready.
    sender.wait_for(sender.acked() + 1, SETTLE);
    let acked = sender.stop();
    gateway.settle(SETTLE);
    let mut book = Book {
        subscriptions: ordeal
            .subscriptions
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        held: gateway.held(),
        arrivals: receiver.arrivals(),
        acked,
        crashes_ms,
    };
    let again = book.acked.len().div_ceil(REPEATED);
    for (id, _) in book.acked.clone().into_iter().step_by(again) {
        let answer = gateway.send("web", &body(&id)).json();
        book.acked
            .push((id, answer["eventId"].as_str().unwrap().to_owned()));
    }
    (gateway, book)
}
