//! The endpoint lab: receivers that behave as they are told, and the harness of seed 003.
//!
//! | request | answer |
//! |---|---|
//! | `POST /webhook/test`, `GET /metrics` | the harness (`harness`), when a secret was handed in |
//! | `GET /records` | the counters of every receiver |
//! | `/hook` | the first receiver |
//! | `/{name}` | the receiver of that name |
//! | anything else | 404 naming the receivers |
//!
//! What a receiver answers is decided in [`behaviour`], what it keeps in [`record`]; this room only
//! carries it out. Bounds: bodies of at most 5 MB (413), [`BLACK_HOLE_MAX`] of silence,
//! [`HUGE_BYTES_MAX`] of an answer without end, [`crate::serve::CONNECTIONS_MAX`] connections.

pub mod behaviour;
mod harness;
pub mod record;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use switchhook_core::secret::Secret;
use tokio::time::Instant;

pub use self::behaviour::{Behaviour, BehaviourError, Reply};
use self::harness::Harness;
pub use self::harness::PAYLOAD_BYTES_MAX;
use self::record::{End, Lines, Record};
use crate::entropy::Entropy;
use crate::serve::{self, Body, Cut, Running};

/// How long a black hole holds a request at most: longer than any request timeout that can be set.
pub const BLACK_HOLE_MAX: Duration = Duration::from_secs(600);

/// Where even an answer without end ends, in bytes: far above what any client should read.
pub const HUGE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// How much of a body that is too large is read and thrown away, in bytes.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Names that a receiver cannot have, since the lab answers there itself.
pub const OWN_PATHS: &[&str] = &["hook", "webhook", "metrics", "records"];

/// A receiver to serve.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its path, without the slash.
    pub name: Arc<str>,
    /// How it answers.
    pub behaviour: Behaviour,
}

/// A lab that has not been started.
#[derive(Debug, Default)]
pub struct Lab {
    /// What it serves.
    pub receivers: Vec<Receiver>,
    /// Seed of the chances that scripts take.
    pub seed: u64,
    /// Secret of the harness; without one `/webhook/test` is not served.
    pub secret: Option<Secret>,
    /// Where the harness appends payloads that it refuses, as JSON lines.
    pub dead_letters: Option<PathBuf>,
    /// Where every request to a receiver is recorded as a JSON line, besides the counters in memory.
    pub records: Option<PathBuf>,
}

/// A lab that runs.
#[derive(Debug)]
pub struct RunningLab {
    state: Arc<State>,
    server: Running,
}

#[derive(Debug)]
struct State {
    desks: Vec<Desk>,
    harness: Option<Harness>,
    entropy: Mutex<Entropy>,
    started: Instant,
}

/// A receiver at work.
#[derive(Debug)]
struct Desk {
    name: Arc<str>,
    behaviour: Mutex<Behaviour>,
    record: Record,
}

impl Lab {
    /// A lab with these receivers, without harness and files.
    #[must_use]
    pub fn new(receivers: Vec<Receiver>) -> Self {
        Self {
            receivers,
            ..Self::default()
        }
    }

    /// Serves on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound, a file cannot be opened, or a receiver's name is taken or
    /// cannot stand in a path.
    pub async fn start(self, addr: SocketAddr) -> io::Result<RunningLab> {
        check_names(&self.receivers)?;
        let lines = |path: Option<PathBuf>| path.map(|path| Lines::open(&path)).transpose();
        let (records, dead_letters) = (lines(self.records)?, lines(self.dead_letters)?);
        let desk = |receiver: Receiver| Desk {
            record: Record::new(Arc::clone(&receiver.name), records.clone()),
            name: receiver.name,
            behaviour: Mutex::new(receiver.behaviour),
        };
        let state = Arc::new(State {
            desks: self.receivers.into_iter().map(desk).collect(),
            harness: self.secret.map(|secret| Harness::new(secret, dead_letters)),
            entropy: Mutex::new(Entropy::new(self.seed)),
            started: Instant::now(),
        });
        let serving = Arc::clone(&state);
        let handler = Arc::new(move |request| answer(Arc::clone(&serving), request));
        let server =
            Running::launch(addr, |listener, stop| serve::http(listener, stop, handler)).await?;
        Ok(RunningLab { state, server })
    }
}

fn check_names(receivers: &[Receiver]) -> io::Result<()> {
    for (at, Receiver { name, .. }) in receivers.iter().enumerate() {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let twice = receivers.iter().take(at).any(|other| other.name == *name);
        let what = if name.is_empty() || !name.chars().all(plain) {
            "needs letters, digits, `-`, `_` and `.` only"
        } else if OWN_PATHS.contains(&&**name) {
            "is a path that the lab keeps for itself"
        } else if twice {
            "is given twice"
        } else {
            continue;
        };
        let error = format!("receiver name `{name}` {what}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    }
    Ok(())
}

impl RunningLab {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The URL of a receiver.
    #[must_use]
    pub fn url(&self, receiver: &str) -> String {
        format!("http://{}/{receiver}", self.addr())
    }

    /// The record of a receiver.
    #[must_use]
    pub fn record(&self, receiver: &str) -> Option<&Record> {
        self.state
            .desks
            .iter()
            .find(|desk| &*desk.name == receiver)
            .map(|desk| &desk.record)
    }

    /// Gives a receiver another script. `false` when there is no such receiver.
    pub fn set_behaviour(&self, receiver: &str, behaviour: Behaviour) -> bool {
        let desk = self.state.desks.iter().find(|desk| &*desk.name == receiver);
        desk.is_some_and(|desk| {
            *desk
                .behaviour
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = behaviour;
            true
        })
    }

    /// Stops gracefully; the records stay readable until the lab is dropped.
    pub async fn stop(self) -> Records {
        self.server.stop().await;
        Records(self.state)
    }
}

/// The records of a lab that has stopped.
#[derive(Debug)]
pub struct Records(Arc<State>);

impl Records {
    /// The name and record of every receiver, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.0.desks.iter().map(|desk| (&*desk.name, &desk.record))
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    match (&state.harness, request.method(), path.as_str()) {
        (Some(harness), &Method::POST, "webhook/test") => Ok(test(harness, request).await),
        (Some(harness), &Method::GET, "metrics") => {
            Ok(json_answer(StatusCode::OK, harness.metrics().to_string()))
        }
        (_, &Method::GET, "records") => {
            Ok(json_answer(StatusCode::OK, state.records().to_string()))
        }
        (_, _, name) => match state.desk(name) {
            Some(desk) => receive(&state, desk, request).await,
            None => Ok(json_answer(
                StatusCode::NOT_FOUND,
                state.not_found(name).to_string(),
            )),
        },
    }
}

impl State {
    fn desk(&self, name: &str) -> Option<&Desk> {
        if name == "hook" {
            return self.desks.first();
        }
        self.desks.iter().find(|desk| &*desk.name == name)
    }

    fn not_found(&self, name: &str) -> Value {
        let receivers: Vec<_> = self.desks.iter().map(|desk| &*desk.name).collect();
        json!({"error": format!("no receiver `{name}`"), "receivers": receivers})
    }

    fn records(&self) -> Value {
        let record = |desk: &Desk| {
            let mut summary = desk.record.summary().json();
            let behaviour = desk
                .behaviour
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .to_string();
            if let Some(summary) = summary.as_object_mut() {
                summary.insert("behaviour".into(), behaviour.into());
            }
            (desk.name.to_string(), summary)
        };
        json!({"receivers": self.desks.iter().map(record).collect::<serde_json::Map<_, _>>()})
    }

    fn next(&self, desk: &Desk) -> Reply {
        let bits = self
            .entropy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .draw();
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        desk.behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(now_ms, bits)
    }
}

/// `POST /webhook/test`.
async fn test(harness: &Harness, request: Request<Incoming>) -> Response<Body> {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let mut payload = Vec::new();
    let (status, answer) = match read(body, |piece| payload.extend_from_slice(piece)).await {
        Ok(()) => harness.judge(&head.headers, Some(&payload), crate::now()),
        Err(Unread::TooLarge) => harness.judge(&head.headers, None, crate::now()),
        Err(Unread::Broken) => (
            StatusCode::BAD_REQUEST,
            harness::error("Invalid payload structure"),
        ),
    };
    harness.count(status, started.elapsed());
    json_answer(status, answer)
}

/// Carries out what the script of `desk` says. The record is made before anything is answered.
async fn receive(
    state: &State,
    desk: &Desk,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let reply = state.next(desk);
    let (head, body) = request.into_parts();
    let enter = |end| desk.record.enter(crate::now(), &head.headers, end);
    if reply == Reply::ResetBefore {
        enter(End::Reset);
        return Err(Cut);
    }
    match read(body, |_| {}).await {
        Ok(()) => {}
        Err(Unread::TooLarge) => {
            enter(End::Status(413));
            return Ok(json_answer(
                StatusCode::PAYLOAD_TOO_LARGE,
                harness::error("Payload too large"),
            ));
        }
        Err(Unread::Broken) => {
            enter(End::Reset);
            return Err(Cut);
        }
    }
    match reply {
        Reply::Answer {
            status,
            after_ms,
            retry_after_s,
            location,
        } => {
            if after_ms > 0 {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            enter(End::Status(status));
            Ok(scripted(status, retry_after_s, location.as_deref()))
        }
        Reply::BlackHole => {
            enter(End::Silence);
            tokio::time::sleep(BLACK_HOLE_MAX).await;
            Err(Cut)
        }
        Reply::ResetBefore | Reply::ResetAfter => {
            enter(End::Reset);
            Err(Cut)
        }
        Reply::Huge => {
            enter(End::Status(200));
            Ok(Response::new(Endless::new().boxed()))
        }
    }
}

/// Why a body was not read to its end.
enum Unread {
    TooLarge,
    Broken,
}

/// Reads a body to its end and hands `take` its pieces up to [`PAYLOAD_BYTES_MAX`]. What is longer is
/// still read up to [`DRAIN_BYTES_MAX`], so that the sender gets to see the 413.
async fn read(mut body: Incoming, mut take: impl FnMut(&[u8])) -> Result<(), Unread> {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        total += piece.len();
        if total > DRAIN_BYTES_MAX {
            break;
        }
        if total <= PAYLOAD_BYTES_MAX {
            take(&piece);
        }
    }
    if total > PAYLOAD_BYTES_MAX {
        Err(Unread::TooLarge)
    } else {
        Ok(())
    }
}

fn json_answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn scripted(status: u16, retry_after_s: Option<u32>, location: Option<&str>) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json_answer(status, format!(r#"{{"status":{}}}"#, status.as_u16()));
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    // The behaviour has checked that it fits a header.
    if let Some(Ok(location)) = location.map(header::HeaderValue::from_str) {
        headers.insert(header::LOCATION, location);
    }
    answer.headers_mut().extend(headers);
    answer
}

/// A body of [`HUGE_BYTES_MAX`], the same piece over and over.
struct Endless {
    piece: Bytes,
    left: u64,
}

impl Endless {
    fn new() -> Self {
        Self {
            piece: Bytes::from(vec![b'.'; 64 * 1024]),
            left: HUGE_BYTES_MAX,
        }
    }
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(self.piece.len() as u64) else {
            return Poll::Ready(None);
        };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}
