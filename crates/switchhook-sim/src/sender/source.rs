//! A task that sends events to a gateway, signed, and counts what was accepted.
//!
//! Each of its connections has one event in hand: it is signed, sent, and sent again (the same bytes,
//! the same id) until the gateway answers for it. 503, 429 and other 5xx are waited out, `Retry-After`
//! is kept; a broken connection is tried again. Any other answer ends the event as refused. Events of one
//! conversation may pass each other, as they do at Genesys.
//! Bounds: [`CONNECTIONS_MAX`] events in hand, [`IDS_MAX`] ids kept, [`RETRY_AFTER_MAX`] per wait, and
//! [`GIVE_UP_AFTER`] once it is told to stop.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use switchhook_core::id::EventId;
use switchhook_core::secret::SecretError;
use switchhook_core::source::Verify;
use switchhook_core::time::UnixMs;
use switchhook_core::verify::prove;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::floor::Made;
use crate::NoNames;
use crate::serve::stopped;

/// Most connections of a source: what the bench opens.
pub const CONNECTIONS_MAX: usize = 512;

/// Accepted ids kept: 16 MB.
pub const IDS_MAX: usize = 1_000_000;

/// Longest wait that a `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How long an event in hand is still tried after the stop.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// Wait before another try when the gateway names none.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer is awaited this long: what Open Messaging waits (`facts/genesys` 2.4).
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where events of one preset go, and how they are signed.
#[derive(Debug, Clone)]
pub struct Way {
    /// The [`Made::source_hint`] that goes here.
    pub hint: String,
    /// `http://…/in/{source}`. Plain HTTP only: this is a tool for a gateway on the same machine.
    pub url: Uri,
    /// How a request proves itself; its first secret is used and must be written out.
    pub proof: Verify,
}

/// A source that has not been started.
pub struct Source {
    /// Where events go: the first whose hint fits, else the first.
    pub ways: Vec<Way>,
    /// Makes the next event.
    pub next: Box<dyn FnMut(UnixMs) -> Made + Send>,
    /// Events per second over all connections; `None` sends as fast as the gateway answers.
    pub rate_per_s: Option<f64>,
    /// Connections, and so events in hand, 1 to [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Whether the ids that the gateway gave are kept.
    pub keep_ids: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("ways", &self.ways)
            .finish_non_exhaustive()
    }
}

/// What a source has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Events that the gateway accepted as new.
    pub accepted: u64,
    /// Events that it knew already: an earlier try got through, its answer did not.
    pub duplicates: u64,
    /// Events that it refused (a 4xx other than 429).
    pub refused: u64,
    /// Answers that asked to try again.
    pub pushed_back: u64,
    /// Tries without an answer.
    pub broken: u64,
    /// Events given up after the stop: whether the gateway has them is not known.
    pub unsettled: u64,
    /// The ids given for accepted events and duplicates, in the order of the answers, if asked for.
    pub ids: Vec<EventId>,
    /// Ids not kept, because [`IDS_MAX`] was reached or the answer had none that could be read.
    pub unkept: u64,
}

/// A source that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Sending {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

struct Shared {
    ways: Vec<Way>,
    queue: Mutex<Queue>,
    keep_ids: bool,
    sent: Mutex<Sent>,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Queue {
    next: Box<dyn FnMut(UnixMs) -> Made + Send>,
    interval: Duration,
    due: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("ways", &self.ways)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Starts to send.
    ///
    /// # Errors
    /// When there is no way, a URL is not `http://` with a host, or a secret is not written out.
    pub fn start(self) -> io::Result<Sending> {
        let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if self.ways.is_empty() {
            return invalid("a source needs at least one way to send to".into());
        }
        for way in &self.ways {
            if way.url.scheme_str() != Some("http") || way.url.authority().is_none() {
                return invalid(format!(
                    "`{}` is not a URL of the form http://host:port/path",
                    way.url
                ));
            }
            prove(&way.proof, "", b"", &NoNames, UnixMs(0)).map_err(io::Error::other)?;
        }
        let connections = self.connections.clamp(1, CONNECTIONS_MAX);
        let rate = self.rate_per_s.filter(|rate| *rate > 0.0);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(connections)
            .build(connector);
        let interval = rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64((1.0 / rate).min(3600.0))
        });
        let queue = Mutex::new(Queue {
            next: self.next,
            interval,
            due: Instant::now(),
        });
        let (ways, keep_ids) = (self.ways, self.keep_ids);
        let shared = Arc::new(Shared {
            ways,
            queue,
            keep_ids,
            sent: Mutex::default(),
            client,
        });
        let (stop, stopping) = watch::channel(false);
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            workers.spawn(work(Arc::clone(&shared), stopping.clone()));
        }
        Ok(Sending {
            shared,
            stop,
            workers,
        })
    }
}

impl Sending {
    /// The counters as they stand, without the ids.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let sent = self
            .shared
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Sent {
            ids: Vec::new(),
            ..*sent
        }
    }

    /// Takes no further event, settles those in hand within [`GIVE_UP_AFTER`], and reports.
    pub async fn stop(mut self) -> Sent {
        self.stop.send_replace(true);
        while self.workers.join_next().await.is_some() {}
        std::mem::take(
            &mut *self
                .shared
                .sent
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

async fn work(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    loop {
        let due = shared.slot();
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => return,
            () = tokio::time::sleep_until(due) => {}
        }
        let made = shared.make();
        settle(&shared, &made, &mut stopping).await;
    }
}

impl Shared {
    /// The time of the next event in the schedule. A source that fell behind does not catch up in a
    /// burst: the schedule goes on from now.
    fn slot(&self) -> Instant {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let due = queue.due.max(Instant::now());
        queue.due = due + queue.interval;
        due
    }

    fn make(&self) -> Made {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        (queue.next)(crate::now())
    }

    fn count(&self, change: impl FnOnce(&mut Sent)) {
        change(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn request(&self, made: &Made) -> Result<Request<Full<Bytes>>, Unsendable> {
        let way = self
            .ways
            .iter()
            .find(|way| way.hint == made.source_hint)
            .or_else(|| self.ways.first());
        let way = way.ok_or(Unsendable)?;
        let mut request =
            Request::post(way.url.clone()).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in prove(&way.proof, &made.id, &made.body, &NoNames, crate::now())? {
            request = request.header(name, value);
        }
        request
            .body(Full::new(made.body.clone()))
            .map_err(|_| Unsendable)
    }

    fn accept(&self, answer: &[u8]) {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let id = answer
            .get("eventId")
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok());
        let duplicate = answer
            .get("duplicate")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        self.count(|sent| {
            sent.accepted += u64::from(!duplicate);
            sent.duplicates += u64::from(duplicate);
            match id {
                Some(id) if self.keep_ids && sent.ids.len() < IDS_MAX => sent.ids.push(id),
                _ => sent.unkept += u64::from(self.keep_ids),
            }
        });
    }
}

/// A request that cannot be built; `start` has checked what can be checked.
struct Unsendable;

impl From<SecretError> for Unsendable {
    fn from(_: SecretError) -> Self {
        Self
    }
}

/// Sends one event until the gateway has answered for it, or the time after the stop is up.
async fn settle(shared: &Shared, made: &Made, stopping: &mut watch::Receiver<bool>) {
    let mut give_up_at = None;
    loop {
        let pause = match attempt(shared, made).await {
            Tried::Settled => return,
            Tried::Again(pause) => pause.min(RETRY_AFTER_MAX),
        };
        if give_up_at.is_none() {
            tokio::select! {
                () = tokio::time::sleep(pause) => continue,
                () = stopped(stopping) => give_up_at = Some(Instant::now() + GIVE_UP_AFTER),
            }
        }
        if give_up_at.is_none_or(|at| Instant::now() + pause > at) {
            shared.count(|sent| sent.unsettled += 1);
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

enum Tried {
    Settled,
    Again(Duration),
}

async fn attempt(shared: &Shared, made: &Made) -> Tried {
    let Ok(request) = shared.request(made) else {
        shared.count(|sent| sent.refused += 1);
        return Tried::Settled;
    };
    let exchange = async {
        let answer = shared.client.request(request).await.ok()?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.ok()?;
        Some((head, body.to_bytes()))
    };
    let Ok(Some((head, body))) = tokio::time::timeout(ANSWER_WITHIN, exchange).await else {
        shared.count(|sent| sent.broken += 1);
        return Tried::Again(PAUSE);
    };
    if head.status.is_success() {
        shared.accept(&body);
        return Tried::Settled;
    }
    if head.status == StatusCode::TOO_MANY_REQUESTS || head.status.is_server_error() {
        shared.count(|sent| sent.pushed_back += 1);
        let after = head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let seconds = after.and_then(|text| text.trim().parse().ok());
        return Tried::Again(seconds.map_or(PAUSE, Duration::from_secs));
    }
    shared.count(|sent| sent.refused += 1);
    Tried::Settled
}
