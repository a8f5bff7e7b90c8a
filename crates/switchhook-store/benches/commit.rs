//! How many events the embedded store takes and completes in a second.
//!
//! A driver keeps a number of events under way ("producers"): each commit that is answered lets it hand in
//! the next event. A second thread plays dispatch: it reads the tail and hands in the attempts of every
//! event, one per subscription, as records. An event counts when both are on disk.
//!
//! Then it fills a store with a million waiting deliveries, opens it again and asks for what is due.
//!
//! `cargo bench -p switchhook-store --bench commit [-- <seconds per case> <data directory>]`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchhook_core::delivery::{
    Attempt, Cursor, DeliveryKey, OutcomeKind, Place, Records, Verdict, WaitReason, Waiting,
};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{DedupEntry, NewEvent};
use switchhook_store::embedded::{Durability, Embedded, Options};
use switchhook_store::query::{EventFilter, Limit};
use switchhook_store::tail::Read;
use switchhook_store::{Batch, Store};
use uuid::Uuid;

const BODY_BYTES: usize = 1024;
const CASES: &[(usize, usize)] = &[(64, 1), (512, 1), (64, 10), (512, 10)];

/// Events that dispatch completes with one batch, at most.
const COMPLETED_TOGETHER: usize = 128;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let base = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "body {BODY_BYTES} B, dedup and key on, fsync on, {seconds} s per case, in {}, {} cores",
        base.display(),
        std::thread::available_parallelism()?
    );
    println!(
        "producers fan-out      ev/s  ack p50 ms  ack p99 ms  writer us/ev  process us/ev  disk B/payload B  peak MB"
    );
    for (producers, fan_out) in CASES {
        let dir = tempfile::tempdir_in(&base)?;
        case(
            dir.path(),
            *producers,
            *fan_out,
            Duration::from_secs(seconds),
        )?;
    }
    let dir = tempfile::tempdir_in(&base)?;
    backlog(dir.path())
}

/// Fills a store with a million waiting deliveries of 20 subscriptions.
fn fill(dir: &Path) -> Result<(), Box<dyn Error>> {
    const ROWS: u64 = 1_000_000;
    const TOGETHER: u64 = 500;
    let names: Vec<Arc<str>> = (0..20)
        .map(|n| format!("subscription-{n}").into())
        .collect();
    let store = Embedded::open(dir, unsynced())?;
    let (answer, answers) = mpsc::sync_channel(4);
    for block in 0..ROWS / TOGETHER {
        let numbers = block * TOGETHER + 1..=(block + 1) * TOGETHER;
        let rows = numbers.clone().zip(names.iter().cycle());
        let records = Records {
            waiting: rows.map(|(n, name)| waiting(n, name)).collect(),
            ..Records::default()
        };
        let events = numbers.map(event).collect();
        let answer = answer.clone();
        store.submit(
            Batch {
                events,
                ..Batch::default()
            },
            Box::new(|_| ()),
        );
        store.submit(
            Batch {
                records,
                ..Batch::default()
            },
            Box::new(move |result| answer.send(result.is_ok()).unwrap_or_default()),
        );
        answers.recv()?;
    }
    Ok(())
}

fn unsynced() -> Options {
    Options {
        hard_free_bytes: 0,
        durability: Durability::Os,
        ..Options::default()
    }
}

/// Opens that store again and asks it what a start asks.
fn backlog(dir: &Path) -> Result<(), Box<dyn Error>> {
    fill(dir)?;
    let mut marks = vec![("start", Instant::now())];
    let store = Embedded::open(dir, unsynced())?;
    marks.push(("open", Instant::now()));
    let limit = Limit {
        items: 100,
        bytes: usize::MAX,
    };
    let due = store.due(
        "subscription-0",
        0,
        UnixMs(u64::MAX),
        &BTreeSet::new(),
        limit,
    )?;
    marks.push(("100 due", Instant::now()));
    let counts = store.counts()?;
    marks.push(("counts", Instant::now()));
    let settled = store.settled_from("subscription-0", 0, Offset(999_000))?;
    marks.push(("settled of the last 1000", Instant::now()));
    let by_key = EventFilter {
        key: Some("nobody's".into()),
        ..EventFilter::default()
    };
    let found = store.events(&by_key, None, limit)?;
    marks.push(("events of an unknown key", Instant::now()));
    println!(
        "{} waiting deliveries, {:.0} MB resident:",
        counts.waiting.values().sum::<u64>(),
        field("/proc/self/status", "VmRSS:") / 1024.0
    );
    for ((_, from), (what, to)) in marks.iter().zip(marks.iter().skip(1)) {
        println!(
            "  {:>9.3} ms  {what}",
            to.duration_since(*from).as_secs_f64() * 1000.0
        );
    }
    println!(
        "  ({} due, {} settled, {} found)",
        due.rows.len(),
        settled.len(),
        found.len()
    );
    Ok(())
}

fn waiting(offset: u64, name: &Arc<str>) -> Waiting {
    Waiting {
        key: DeliveryKey {
            subscription: name.clone(),
            offset: Offset(offset),
        },
        place: Place::default(),
        chain: 0,
        attempts: 1,
        counted: 1,
        due_at: UnixMs(1_800_000_000_000 + offset.wrapping_mul(0x9e37_79b9) % 3_600_000),
        deadline: UnixMs(1_900_000_000_000),
        delay_ms: 5000,
        reason: WaitReason::Retry,
    }
}

fn case(dir: &Path, producers: usize, fan_out: usize, run: Duration) -> Result<(), Box<dyn Error>> {
    let options = Options {
        hard_free_bytes: 0,
        ..Options::default()
    };
    let store = Arc::new(Embedded::open(dir, options)?);
    let stop = Arc::new(AtomicBool::new(false));
    let completed = Arc::new(AtomicU64::new(0));
    let before = Usage::now();
    let started = Instant::now();
    let dispatch = {
        let (store, stop, completed) = (store.clone(), stop.clone(), completed.clone());
        std::thread::spawn(move || dispatch(&store, fan_out, &stop, &completed))
    };
    let mut latencies = drive(&store, producers, started + run);
    stop.store(true, Ordering::Relaxed);
    dispatch.join().map_err(|_| "dispatch panicked")?;
    let elapsed = started.elapsed();
    let after = Usage::now();
    store.close();
    latencies.sort_unstable();
    let events = completed.load(Ordering::Relaxed).max(1) as f64;
    let at = |permille: usize| {
        let latency = latencies.get(latencies.len() * permille / 1000);
        latency.map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    };
    println!(
        "{producers:>9} {fan_out:>7} {:>9.0} {:>11.2} {:>11.2} {:>13.1} {:>14.1} {:>17.2} {:>8.0}",
        events / elapsed.as_secs_f64(),
        at(500),
        at(990),
        (after.writer_us - before.writer_us) / events,
        (after.process_us - before.process_us) / events,
        (after.written_bytes - before.written_bytes) / events / BODY_BYTES as f64,
        after.peak_mb,
    );
    Ok(())
}

/// Keeps `producers` events under way until `deadline`, and returns how long each took.
fn drive(store: &Embedded, producers: usize, deadline: Instant) -> Vec<Duration> {
    let (answer, answers) = mpsc::channel::<Instant>();
    let mut latencies = Vec::new();
    let mut number = 0_u64;
    let mut submit = || {
        number += 1;
        let (answer, started) = (answer.clone(), Instant::now());
        let done = move |result: Result<_, _>| {
            if result.is_ok() {
                let _ = answer.send(started);
            }
        };
        store.submit(
            Batch {
                events: vec![event(number)],
                ..Batch::default()
            },
            Box::new(done),
        );
    };
    (0..producers).for_each(|_| submit());
    let mut open = producers;
    while open > 0
        && let Ok(started) = answers.recv_timeout(Duration::from_secs(60))
    {
        latencies.push(started.elapsed());
        if Instant::now() < deadline {
            submit();
        } else {
            open -= 1;
        }
    }
    latencies
}

/// Completes every event of the tail, with at most 64 batches under way.
fn dispatch(store: &Embedded, fan_out: usize, stop: &AtomicBool, completed: &Arc<AtomicU64>) {
    let names: Vec<Arc<str>> = (0..fan_out)
        .map(|n| format!("subscription-{n}").into())
        .collect();
    let (endpoint, rule): (Arc<str>, Arc<str>) = ("endpoint".into(), "default: 2xx".into());
    let (slot, slots) = mpsc::sync_channel(64);
    (0..64).for_each(|_| slot.send(()).unwrap_or_default());
    let (wake, woken) = mpsc::sync_channel(1);
    store.tail().on_append(Box::new(move || {
        let _ = wake.try_send(());
    }));
    let mut from = Offset(1);
    loop {
        let events = match store.tail().read(from, COMPLETED_TOGETHER, usize::MAX) {
            Read::Events(events) => events,
            Read::Behind => store
                .read_log(
                    from,
                    Limit {
                        items: COMPLETED_TOGETHER,
                        bytes: usize::MAX,
                    },
                )
                .unwrap_or_default(),
            Read::AtEnd if stop.load(Ordering::Relaxed) => break,
            Read::AtEnd => {
                let _ = woken.recv_timeout(Duration::from_millis(100));
                continue;
            }
        };
        let Some(last) = events.last() else { break };
        from = last.offset.next();
        let attempts = events.iter().flat_map(|event| {
            names
                .iter()
                .map(|name| attempt(event, name, &endpoint, &rule))
        });
        let records = Records {
            attempts: attempts.collect(),
            cursors: names.iter().map(|name| cursor(name, from)).collect(),
            ..Records::default()
        };
        let _ = slots.recv();
        let (slot, completed, count) = (slot.clone(), completed.clone(), events.len() as u64);
        store.submit(
            Batch {
                records,
                ..Batch::default()
            },
            Box::new(move |result| {
                completed.fetch_add(if result.is_ok() { count } else { 0 }, Ordering::Relaxed);
                let _ = slot.send(());
            }),
        );
    }
    (0..64).for_each(|_| slots.recv().unwrap_or_default());
}

fn cursor(name: &Arc<str>, offset: Offset) -> Cursor {
    Cursor {
        subscription: name.clone(),
        partition: 0,
        offset,
        member: None,
    }
}

fn attempt(event: &Event, name: &Arc<str>, endpoint: &Arc<str>, rule: &Arc<str>) -> Attempt {
    Attempt {
        key: DeliveryKey {
            subscription: name.clone(),
            offset: event.offset,
        },
        partition: 0,
        chain: 0,
        n: 1,
        endpoint: endpoint.clone(),
        at: event.received_at,
        duration_ms: 12,
        outcome: OutcomeKind::Status(200),
        rule: rule.clone(),
        verdict: Verdict::Delivered,
        detail: None,
        next_at: None,
    }
}

fn event(number: u64) -> NewEvent {
    // Spread like a hash, so that dedup keys fall anywhere in their table.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key.iter_mut()
        .zip(spread.to_be_bytes())
        .for_each(|(to, from)| *to = from);
    let now_ms = 1_800_000_000_000 + number / 20;
    NewEvent {
        id: EventId(
            uuid::Builder::from_unix_timestamp_millis(
                now_ms,
                &key.first_chunk().copied().unwrap_or([0; 10]),
            )
            .into_uuid(),
        ),
        source: "genesys".into(),
        kind: "v2.detail.events.conversation.{id}.customer.end".into(),
        key: Some(Uuid::from_u128(u128::from(spread / 8)).to_string().into()),
        received_at: UnixMs(now_ms),
        headers: Arc::from([("content-type".into(), "application/json".into())]),
        body: Bytes::from(vec![b'x'; BODY_BYTES]),
        dedup: Some(DedupEntry {
            key,
            body_hash: spread,
            window_ms: 90_000_000,
        }),
    }
}

/// What the system says this process has used.
struct Usage {
    process_us: f64,
    writer_us: f64,
    written_bytes: f64,
    peak_mb: f64,
}

impl Usage {
    fn now() -> Self {
        let writer = std::fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten()
            .find(|task| {
                std::fs::read_to_string(task.path().join("comm"))
                    .is_ok_and(|name| name.trim() == "store-writer")
            });
        Self {
            process_us: cpu_us(Path::new("/proc/self/stat")),
            writer_us: writer.map_or(0.0, |task| cpu_us(&task.path().join("stat"))),
            written_bytes: field("/proc/self/io", "write_bytes:"),
            peak_mb: field("/proc/self/status", "VmHWM:") / 1024.0,
        }
    }
}

/// User and system time, which the system counts in hundredths of a second.
fn cpu_us(path: &Path) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        * 10_000.0
}

fn field(path: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
