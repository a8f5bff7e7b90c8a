//! The herd of `facts` finding 5: 10,000 messages, an outage of an hour, then an endpoint that bears 50 requests in a
//! second. The real engine over the in-memory store, in virtual time.
//!
//! How it is counted. *Peak*: most requests that arrive in any second, wherever it begins, from the moment the endpoint is
//! back. *Drained*: from the first request that reaches the endpoint after it is back (what is left of the open time
//! passes before) to the last answer. Ideal are 200 s, the 10,000 messages at 50 a second.
//!
//! `SWITCHHOOK_WRITE_HERD=1` writes `docs/herd.svg` anew.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod herd_plot;

use std::collections::BTreeMap;
use std::sync::mpsc;

use switchhook_core::breaker;
use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::endpoint::Endpoint;
use switchhook_core::engine::{Command, Engine, Known, Outcome, Ticket};
use switchhook_core::event::Headers;
use switchhook_core::filter::TypePattern;
use switchhook_core::id::EventId;
use switchhook_core::plan::Plan;
use switchhook_core::retry::{Jitter, Policy, Schedule};
use switchhook_core::subscription::{Subscription, Target};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::NewEvent;
use switchhook_store::memory::Memory;
use switchhook_store::query::Limit;
use switchhook_store::{Batch, Store, tail};

const MESSAGES: u64 = 10_000;
const CAPACITY: u64 = 50;
const IDEAL_MS: u64 = MESSAGES * 1_000 / CAPACITY;
const OUTAGE_MS: u64 = 3_600_000;
/// A world that lasts longer does not end.
const WORLD_MS: u64 = 10 * OUTAGE_MS;
const BEGIN: UnixMs = UnixMs(1_767_225_600_000);
/// A commit takes so long, in milliseconds.
const COMMIT_MS: u64 = 2;

/// What an endpoint does with more than it bears.
#[derive(Debug, Clone, Copy)]
enum Receiver {
    /// Lets it wait: one request after the other, 20 ms each.
    Queues,
    /// Answers 503 to all beyond 50 in each second; everything takes so many milliseconds.
    Refuses(u64),
}

/// When the messages come.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    Before,
    OverTheHour,
}

/// A course of things.
#[derive(Debug, Clone, Copy)]
struct Case {
    receiver: Receiver,
    arrival: Arrival,
    concurrency: u16,
    breaker: bool,
}

/// What was seen. All times in milliseconds since the outage began.
#[derive(Debug, Default)]
struct Seen {
    /// When each request arrived.
    calls: Vec<u64>,
    /// When each message was delivered, and when it came.
    delivered: Vec<u64>,
    arrived: Vec<u64>,
    dead: u64,
}

enum Happening {
    Arrive(u64),
    Answer(Ticket, OutcomeKind, u64),
    Committed(u64),
}

struct Rig {
    case: Case,
    engine: Engine,
    store: Memory,
    now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    free_at: u64,
    second: (u64, u64),
    seen: Seen,
}

fn plan(case: Case) -> Plan {
    let usual = breaker::Settings {
        failures: 5,
        share: 0.5,
        calls_min: 20,
        window_ms: 30_000,
        open_ms: 30_000,
        open_max_ms: 300_000,
        successes: 2,
    };
    let endpoint = Endpoint {
        concurrency: case.concurrency,
        breaker: case.breaker.then_some(usual),
        ..Endpoint::new("crm", "http://crm.invalid/".parse().unwrap())
    };
    let subscription = Subscription::new(
        "all",
        vec!["web".into()],
        vec![TypePattern::parse("*").unwrap()],
        Target::Endpoint("crm".into()),
        "usual",
    );
    let policy = Policy {
        name: "usual".into(),
        schedule: Schedule::Exponential {
            initial_ms: 1_000,
            factor: 2.0,
            max_ms: 15 * 60_000,
        },
        jitter: Jitter::Additive(0.25),
        max_attempts: 16,
        max_age_ms: 86_400_000,
        retry_after_max_ms: 3_600_000,
        rules: vec![],
    };
    Plan {
        endpoints: [("crm".into(), endpoint.into())].into(),
        subscriptions: [("all".into(), subscription.into())].into(),
        policies: [("usual".into(), policy.into())].into(),
        ..Plan::default()
    }
}

impl Rig {
    fn new(case: Case) -> Self {
        let store = Memory::new();
        let engine = Engine::new(&plan(case), &Known::default(), store.tail().end(), BEGIN);
        let mut rig = Self {
            case,
            engine,
            store,
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            free_at: 0,
            second: (0, 0),
            seen: Seen::default(),
        };
        for number in 0..MESSAGES {
            let at = match case.arrival {
                Arrival::Before => 0,
                Arrival::OverTheHour => number * OUTAGE_MS / MESSAGES,
            };
            rig.push(at, Happening::Arrive(number));
        }
        rig
    }

    fn push(&mut self, at: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    fn wall(&self) -> UnixMs {
        BEGIN.plus_ms(self.now)
    }

    fn run(mut self) -> Seen {
        while self.seen.delivered.len() as u64 + self.seen.dead < MESSAGES {
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let wake = self
                .engine
                .next_wake()
                .map(|at| at.since_ms(BEGIN).max(self.now + 1));
            let at = [next, wake]
                .into_iter()
                .flatten()
                .min()
                .expect("it stands still");
            assert!(
                at < WORLD_MS,
                "it does not end: {} delivered",
                self.seen.delivered.len()
            );
            self.now = at;
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= at) {
                let happening = entry.remove();
                self.happen(happening);
            }
            self.step();
        }
        self.seen
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(number) => {
                self.seen.arrived.push(self.now);
                let event = NewEvent {
                    id: EventId(uuid::Uuid::from_u128(u128::from(number) + 1)),
                    source: "web".into(),
                    kind: "a".into(),
                    key: None,
                    received_at: self.wall(),
                    headers: Headers::from([]),
                    body: bytes::Bytes::from_static(b"{}"),
                    dedup: None,
                };
                self.write(Batch {
                    events: vec![event],
                    ..Batch::default()
                });
            }
            Happening::Answer(ticket, kind, at) => {
                let outcome = Outcome {
                    at: BEGIN.plus_ms(at),
                    duration_ms: u32::try_from(self.now - at).unwrap(),
                    kind,
                    detail: None,
                    retry_after_ms: None,
                };
                let now = self.wall();
                let judged = self.engine.handle_outcome(ticket, &outcome, now).unwrap();
                self.seen.dead += u64::from(judged.dead.is_some());
                if kind == OutcomeKind::Status(200) {
                    self.seen.delivered.push(self.now);
                }
            }
            Happening::Committed(batch) => self.engine.handle_committed(batch),
        }
    }

    fn write(&self, batch: Batch) {
        let (told, receipt) = mpsc::channel();
        self.store
            .submit(batch, Box::new(move |result| told.send(result).unwrap()));
        receipt.try_recv().unwrap().unwrap();
    }

    /// One round of the shell.
    fn step(&mut self) {
        self.engine.handle_end(self.store.tail().end());
        while let Some(command) = self.engine.poll(self.wall()) {
            match command {
                Command::Start(start) => {
                    self.seen.calls.push(self.now);
                    let (kind, at) = self.answer();
                    self.push(at, Happening::Answer(start.ticket, kind, self.now));
                }
                Command::ReadLog(read) => {
                    let events = match self.store.tail().read(read.from, read.items, read.bytes) {
                        tail::Read::Events(events) => events,
                        tail::Read::AtEnd | tail::Read::Behind => vec![],
                    };
                    self.engine.handle_log(read.lane, read.from, &events);
                }
                Command::ReadDue(read) => {
                    let limit = Limit {
                        items: read.items,
                        bytes: read.bytes,
                    };
                    let due = self.store.due(
                        &read.subscription,
                        read.partition,
                        read.until,
                        &read.skip,
                        limit,
                    );
                    let due = due.unwrap();
                    self.engine.handle_due(read.lane, due.rows, due.next_due);
                }
            }
        }
        if let Some((number, records)) = self.engine.take_records(self.wall()) {
            self.write(Batch {
                records,
                ..Batch::default()
            });
            self.push(self.now + COMMIT_MS, Happening::Committed(number));
        }
    }

    /// What comes back for a request that arrives now, and when.
    fn answer(&mut self) -> (OutcomeKind, u64) {
        let now = self.now;
        if now < OUTAGE_MS {
            return (OutcomeKind::Failed(Failure::Connect), now + 3);
        }
        match self.case.receiver {
            Receiver::Queues => {
                self.free_at = now.max(self.free_at) + 1_000 / CAPACITY;
                (OutcomeKind::Status(200), self.free_at)
            }
            Receiver::Refuses(takes_ms) => {
                if self.second.0 != now / 1_000 {
                    self.second = (now / 1_000, 0);
                }
                self.second.1 += 1;
                let status = if self.second.1 > CAPACITY { 503 } else { 200 };
                (OutcomeKind::Status(status), now + takes_ms)
            }
        }
    }
}

/// Most requests in any second, wherever it begins.
fn peak(calls: &[u64]) -> u64 {
    let mut peak = 0;
    let mut from = 0;
    for (to, at) in calls.iter().enumerate() {
        while calls[from] + 1_000 <= *at {
            from += 1;
        }
        peak = peak.max(to + 1 - from);
    }
    peak as u64
}

fn back(seen: &Seen) -> Vec<u64> {
    seen.calls
        .iter()
        .copied()
        .filter(|at| *at >= OUTAGE_MS)
        .collect()
}

const RECEIVERS: [(Receiver, u16); 4] = [
    (Receiver::Queues, 5),
    (Receiver::Queues, 10),
    (Receiver::Refuses(20), 5),
    (Receiver::Refuses(100), 64),
];

#[test]
fn a_breaker_and_its_ramp_bring_the_herd_home() {
    for (receiver, concurrency) in RECEIVERS {
        for arrival in [Arrival::Before, Arrival::OverTheHour] {
            let case = Case {
                receiver,
                arrival,
                concurrency,
                breaker: true,
            };
            let seen = Rig::new(case).run();
            let after = back(&seen);
            assert_eq!(
                (seen.delivered.len() as u64, seen.dead),
                (MESSAGES, 0),
                "{case:?}"
            );
            let before = seen.calls.len() - after.len();
            assert!(
                before < 100,
                "{case:?}: {before} calls to an endpoint that is down"
            );
            assert!(
                after[0] - OUTAGE_MS <= 360_000,
                "{case:?}: the longest open time"
            );
            assert!(
                peak(&after) * 10 <= CAPACITY * 12,
                "{case:?}: peak {}",
                peak(&after)
            );
            let drained_ms = seen.delivered.last().unwrap() - after[0];
            assert!(
                drained_ms * 10 <= IDEAL_MS * 13,
                "{case:?}: drained in {drained_ms} ms"
            );
        }
    }
}

/// The plot shows the endpoint that refuses; its capacity is only seen where more than it bears arrives.
fn plotted(breaker: bool) -> Seen {
    let case = Case {
        receiver: Receiver::Refuses(100),
        arrival: Arrival::Before,
        concurrency: 64,
        breaker,
    };
    Rig::new(case).run()
}

#[test]
fn the_plot_shows_what_this_run_gives() {
    let (with, without) = (plotted(true), plotted(false));
    assert!(
        without.calls.len() > 5 * with.calls.len(),
        "a breaker spares the endpoint most calls"
    );
    assert!(
        without.delivered.last() > with.delivered.last(),
        "and is sooner at the end"
    );
    let svg = herd_plot::svg(&[
        (
            "with breaker and ramp",
            &with.calls,
            &with.arrived,
            &with.delivered,
        ),
        (
            "without",
            &without.calls,
            &without.arrived,
            &without.delivered,
        ),
    ]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/herd.svg");
    if std::env::var_os("SWITCHHOOK_WRITE_HERD").is_some() {
        std::fs::write(path, &svg).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == svg,
        "docs/herd.svg is out of date; write it with SWITCHHOOK_WRITE_HERD=1 cargo test -p switchhook-sim --test herd"
    );
}
