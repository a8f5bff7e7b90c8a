//! The load driver: prebuilt requests over keep-alive connections.
//!
//! Closed loop: each connection sends its next request when the last one is answered. Open loop: send
//! times are fixed beforehand, and a latency counts from the time a request was due, so a gateway that
//! stalls cannot hide it by holding the driver up. One allowance is made: the timer wakes up to
//! 2 ms late on an idle connection; that is the driver's lateness and is not counted.
//! Only 2xx answers count as latencies; a quick refusal must not look like a quick ack.
//! Bounds: [`CONNECTIONS_MAX`] connections, 10 s after the end, one request in hand each.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use switchhook_core::source::Verify;
use switchhook_core::time::UnixMs;
use switchhook_core::verify::prove;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::frame;
use super::latency::{Latency, Quantiles};
use super::letter::Letter;
use crate::{NoNames, unix_us};

/// Most connections that a driver opens.
pub const CONNECTIONS_MAX: usize = 2048;

/// Different keys of a load that does not care.
pub const KEYS_DEFAULT: u16 = 4096;

/// How late the timer may wake without it counting: its step is one millisecond.
const TIMER_LATE_MAX: Duration = Duration::from_millis(2);

/// How long the last answers are awaited after the end.
const OVERTIME: Duration = Duration::from_secs(10);

/// Longest run, for a count that is never reached.
const RUN_MAX: Duration = Duration::from_secs(3600);

/// Wait before a broken connection is opened again.
const RECONNECT: Duration = Duration::from_millis(20);

/// A load to drive.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to.
    pub addr: SocketAddr,
    /// The request path, for example `/in/bench`.
    pub path: String,
    /// Connections, 1 to [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// When it ends.
    pub until: Until,
    /// Size of each body in bytes; the fields that stand in it set the least.
    pub body_bytes: usize,
    /// How requests prove themselves; `None` spares the driver the work. Secrets must be written out.
    pub proof: Option<Verify>,
    /// Makes the ids of this run different from those of others.
    pub run: u64,
    /// Different values of `key`, at least one; they follow each other.
    pub keys: u16,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as they are answered.
    Closed,
    /// This many a second over all connections, whatever the answers do.
    Open(f64),
}

/// When a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After this long.
    Elapsed(Duration),
    /// After this many requests.
    Count(u64),
}

/// What a load gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests whose connection broke, or that were not answered when the overtime was up.
    pub unanswered: u64,
    /// Times a connection could not be opened.
    pub unconnected: u64,
    /// Requests that were due (open loop) but not sent, since every connection was still waiting.
    pub unsent: u64,
    /// From the first send to the last answer.
    pub elapsed: Duration,
    /// Latencies of the 2xx answers.
    pub latency: Quantiles,
}

impl Report {
    /// Answers with 2xx.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.statuses.range(200..300).map(|(_, count)| count).sum()
    }

    /// 2xx answers per second.
    #[must_use]
    pub fn accepted_per_s(&self) -> f64 {
        self.accepted() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let statuses: serde_json::Map<_, _> = self
            .statuses
            .iter()
            .map(|(status, count)| (status.to_string(), json!(count)))
            .collect();
        json!({
            "sent": self.sent,
            "accepted": self.accepted(),
            "accepted_per_s": self.accepted_per_s(),
            "statuses": statuses,
            "unanswered": self.unanswered,
            "unconnected": self.unconnected,
            "unsent": self.unsent,
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "latency": self.latency.json(),
        })
    }
}

/// Drives the load to its end.
///
/// # Errors
/// When a connection cannot be opened at the start, or the proof's secret is not written out.
pub async fn drive(plan: Plan) -> io::Result<Report> {
    if let Some(rule) = &plan.proof {
        prove(rule, "", b"", &NoNames, UnixMs(0)).map_err(io::Error::other)?;
    }
    let count = plan.connections.clamp(1, CONNECTIONS_MAX);
    // Opened one after the other and before the clock starts: a burst of connects is no load of events.
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        lines.push(connect(plan.addr).await?);
    }
    let start = Instant::now();
    let run = Arc::new(Run {
        start,
        start_us: unix_us(),
        connections: count as u64,
        taken: AtomicU64::new(0),
        tally: Mutex::new(Tally {
            latency: Latency::new(),
            ..Tally::default()
        }),
        last_us: AtomicU64::new(0),
        plan,
    });
    let mut connections = JoinSet::new();
    for (n, line) in (0..).zip(lines) {
        connections.spawn(connection(Arc::clone(&run), n, line));
    }
    let limit = match run.plan.until {
        Until::Elapsed(time) => time.min(RUN_MAX) + OVERTIME,
        Until::Count(_) => RUN_MAX,
    };
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout_at(start + limit, all).await.ok();
    connections.shutdown().await;
    Ok(run.report())
}

/// A load under way.
struct Run {
    plan: Plan,
    start: Instant,
    start_us: u64,
    connections: u64,
    /// Requests handed out (closed loop).
    taken: AtomicU64,
    tally: Mutex<Tally>,
    /// When the last answer came, in microseconds from the start.
    last_us: AtomicU64,
}

#[derive(Default)]
struct Tally {
    sent: u64,
    statuses: BTreeMap<u16, u64>,
    unconnected: u64,
    unsent: u64,
    latency: Latency,
}

/// One request to send.
struct Slot {
    index: u64,
    due: Option<Instant>,
}

impl Run {
    /// The `k`-th request of connection `n`; `None` at the end.
    fn slot(&self, n: u64, k: u64) -> Option<Slot> {
        let (index, due) = match self.plan.pace {
            Pace::Closed => (self.taken.fetch_add(1, Ordering::Relaxed), None),
            Pace::Open(rate) => {
                let index = k * self.connections + n;
                let after_s = index as f64 / rate.max(f64::MIN_POSITIVE);
                let after = Duration::try_from_secs_f64(after_s)
                    .ok()
                    .filter(|after| *after <= RUN_MAX)?;
                (index, Some(self.start + after))
            }
        };
        let before_end = match self.plan.until {
            Until::Count(count) => index < count,
            Until::Elapsed(time) => due.unwrap_or_else(Instant::now) < self.start + time,
        };
        before_end.then_some(Slot { index, due })
    }

    /// Whether the time is up, so that what is late stays unsent.
    fn over(&self) -> bool {
        matches!(self.plan.until, Until::Elapsed(time) if self.start.elapsed() >= time)
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The wall clock at `instant`, in microseconds.
    fn wall_us(&self, instant: Instant) -> u64 {
        self.start_us + micros(instant.saturating_duration_since(self.start))
    }

    fn answered(&self, status: u16, from: Instant) {
        let now = Instant::now();
        self.last_us.fetch_max(
            micros(now.saturating_duration_since(self.start)),
            Ordering::Relaxed,
        );
        self.count(|tally| {
            *tally.statuses.entry(status).or_default() += 1;
            if (200..300).contains(&status) {
                tally.latency.record(now.saturating_duration_since(from));
            }
        });
    }

    fn report(&self) -> Report {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            sent: tally.sent,
            statuses: tally.statuses.clone(),
            unanswered: tally.sent - tally.statuses.values().sum::<u64>().min(tally.sent),
            unconnected: tally.unconnected,
            unsent: tally.unsent,
            elapsed: Duration::from_micros(self.last_us.load(Ordering::Relaxed)),
            latency: tally.latency.quantiles(),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

async fn connection(run: Arc<Run>, n: u64, line: TcpStream) {
    let mut letter = Letter::new(&run.plan);
    let mut answer = BytesMut::with_capacity(8 * 1024);
    let mut line = Some(line);
    let mut k = 0;
    while let Some(slot) = run.slot(n, k) {
        k += 1;
        let from = match slot.due {
            Some(due) if due > Instant::now() => {
                tokio::time::sleep_until(due).await;
                let woke = Instant::now();
                if woke - due <= TIMER_LATE_MAX {
                    woke
                } else {
                    due
                }
            }
            Some(_) if run.over() => {
                run.count(|tally| tally.unsent += 1);
                continue;
            }
            Some(due) => due,
            None => Instant::now(),
        };
        let Some(mut stream) = open(&run, line.take()).await else {
            run.count(|tally| tally.unsent += u64::from(slot.due.is_some()));
            continue;
        };
        let request = letter.write(slot.index, run.wall_us(from));
        run.count(|tally| tally.sent += 1);
        if let Ok(status) = exchange(&mut stream, request, &mut answer).await {
            run.answered(status, from);
            line = Some(stream);
        }
    }
}

/// The connection at hand, or a new one.
async fn open(run: &Run, line: Option<TcpStream>) -> Option<TcpStream> {
    if line.is_some() {
        return line;
    }
    match connect(run.plan.addr).await {
        Ok(stream) => Some(stream),
        Err(_) => {
            run.count(|tally| tally.unconnected += 1);
            tokio::time::sleep(RECONNECT).await;
            None
        }
    }
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `request` and reads the whole answer.
pub(super) async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    answer: &mut BytesMut,
) -> io::Result<u16> {
    stream.write_all(request).await?;
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = frame::head(answer)? else {
            continue;
        };
        if answer.len() >= head.length + head.body_length {
            return frame::status(answer).ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pace: Pace, until: Until) -> Plan {
        Plan {
            addr: ([127, 0, 0, 1], 9).into(),
            path: "/in/bench".into(),
            connections: 2,
            pace,
            until,
            body_bytes: 1024,
            proof: None,
            run: 0xabcd,
            keys: KEYS_DEFAULT,
        }
    }

    fn run(pace: Pace, until: Until) -> Run {
        Run {
            plan: plan(pace, until),
            start: Instant::now(),
            start_us: 0,
            connections: 2,
            taken: AtomicU64::new(0),
            tally: Mutex::default(),
            last_us: AtomicU64::new(0),
        }
    }

    #[test]
    fn an_open_loop_is_due_at_even_times_over_all_connections() {
        let run = run(Pace::Open(1000.0), Until::Count(5));
        let due_ms = |n, k| {
            run.slot(n, k)
                .map(|slot| (slot.due.unwrap() - run.start).as_millis())
        };
        assert_eq!(
            [due_ms(0, 0), due_ms(1, 0), due_ms(0, 1), due_ms(1, 1)],
            [Some(0), Some(1), Some(2), Some(3)]
        );
        assert_eq!((due_ms(0, 2), due_ms(1, 2)), (Some(4), None));
    }

    #[test]
    fn a_closed_loop_hands_out_exactly_its_count() {
        let run = run(Pace::Closed, Until::Count(3));
        let indices: Vec<_> = (0..9)
            .filter_map(|k| run.slot(k % 2, k))
            .map(|slot| slot.index)
            .collect();
        assert_eq!(indices, [0, 1, 2]);
    }
}
