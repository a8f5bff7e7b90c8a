//! The way in: `/in/{source}`. Verifies a request, stores what it brings, and answers when that is on disk.
//!
//! * [`accept`] reads a body within limits of size and time.
//! * [`batch`] takes a JSON array apart without touching the bytes of its elements.
//! * [`respond`] writes the answers.
//!
//! Invariants: 202 goes out only after the store has reported the commit. The event's bytes are the sender's bytes.
//! A request is refused before its body is read wherever its head already tells. Nothing that is refused is stored.
//!
//! Bounds: [`STORING_MAX`] requests wait for the store at once, and the bodies of all requests under way together hold
//! at most [`Ingest::BUFFERED_BYTES_MAX`]. What is beyond them is told 503 with `Retry-After`.

pub mod accept;
pub mod batch;
mod respond;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Body;
use switchhook_core::dedup::Identity;
use switchhook_core::id::EventId;
use switchhook_core::intake;
use switchhook_core::plan::Plan;
use switchhook_core::secret::SecretRef;
use switchhook_core::source::{DedupBy, Source, Verify};
use switchhook_core::time::UnixMs;
use switchhook_core::verify::{VerifyError, verify};
use switchhook_store::batch::{DedupEntry, NewEvent};
use switchhook_store::{Appended, Batch, Conflict, Error, First, Receipt, Store};
use switchhook_wire::problem::{self, Kind};
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::{NoContext, Timestamp, Uuid};

use self::accept::{Buffered, Received, Unread};
use crate::clock::Clock;
use crate::secrets::Secrets;

/// Requests that wait for the store at once. At 20,000 events a second and 10 ms a commit some 200 do; twenty times
/// that is a store that does not keep up.
pub const STORING_MAX: usize = 4_096;

/// Most header fields of a request (SEC-4).
pub const FIELDS_MAX: usize = 64;

/// A whole body must have arrived after this (SEC-4).
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// Is told what came of each request. Called on the hot path: must not block.
pub trait Observer: Send + Sync + 'static {
    /// An event is on disk; `ack_us` microseconds after its request's head was read.
    fn accepted(&self, source: &str, ack_us: u64, bytes: usize);
    /// An event was there already.
    fn duplicate(&self, source: &str);
    /// A request was refused for the reason `code`; `source` is `None` where there is no such source.
    fn rejected(&self, source: Option<&str>, code: &'static str);
}

/// Everything that taking a request in needs.
pub struct Ingest {
    plan: Arc<ArcSwap<Plan>>,
    store: Arc<dyn Store>,
    secrets: Arc<Secrets>,
    clock: Clock,
    observer: Arc<dyn Observer>,
    storing: Arc<Semaphore>,
    buffered: Arc<Buffered>,
    body_time: Duration,
    fatal: Option<mpsc::UnboundedSender<Error>>,
}

/// Why a request is refused. Boxed, since most are not.
type Refusal = Box<problem::Body>;

impl Ingest {
    /// Most bytes of bodies in memory at once: 50 of the largest, or a quarter of a million of usual ones.
    pub const BUFFERED_BYTES_MAX: usize = 256 * 1024 * 1024;

    /// Takes requests for the sources of the plan in force.
    #[must_use]
    pub fn new(
        plan: Arc<ArcSwap<Plan>>,
        store: Arc<dyn Store>,
        secrets: Arc<Secrets>,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            plan,
            store,
            secrets,
            clock,
            observer,
            storing: Arc::new(Semaphore::new(STORING_MAX)),
            buffered: Arc::new(Buffered::new(Self::BUFFERED_BYTES_MAX)),
            body_time: BODY_TIME,
            fatal: None,
        }
    }

    /// With another time for a body to arrive in than [`BODY_TIME`].
    #[must_use]
    pub fn with_body_time(mut self, body_time: Duration) -> Self {
        self.body_time = body_time;
        self
    }

    /// With somebody who is told when the store has failed, and stops the process: dispatch, while it has nothing to
    /// write, would not notice.
    #[must_use]
    pub fn with_fatal(mut self, fatal: mpsc::UnboundedSender<Error>) -> Self {
        self.fatal = Some(fatal);
        self
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let source = self.source_of(request.uri().path());
        let answer = match &source {
            Some(source) => self.answer(source, request).await,
            None => Err(unknown(request.uri().path())),
        };
        answer.unwrap_or_else(|refusal| {
            let code = refusal.known_kind().map_or("unknown", Kind::slug);
            self.observer
                .rejected(source.as_deref().map(|source| &*source.name), code);
            respond::refused(&refusal)
        })
    }

    fn source_of(&self, path: &str) -> Option<Arc<Source>> {
        self.plan
            .load()
            .sources
            .get(path.strip_prefix(PATH_PREFIX)?)
            .cloned()
    }

    async fn answer<B>(
        &self,
        source: &Source,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match *request.method() {
            Method::POST => self.take(source, request).await,
            Method::GET | Method::HEAD => self.probe(source),
            _ => Err(refuse(
                Kind::MethodNotAllowed,
                format!("{} is not taken here", request.method()),
            )),
        }
    }

    /// Whether the source could verify a request now.
    fn probe(&self, source: &Source) -> Result<Response<Full<Bytes>>, Refusal> {
        for secret in secrets_of(&source.verify) {
            secret
                .resolve(&*self.secrets)
                .map_err(|error| self.unverified(source, &VerifyError::Secret(error)))?;
        }
        Ok(respond::ready(&source.name))
    }

    async fn take<B>(
        &self,
        source: &Source,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let started_us = self.clock.monotonic_us();
        let (head, mut body) = request.into_parts();
        check_head(&head.headers)?;
        let received = match accept::read(
            &mut body,
            source.body_bytes_max,
            self.body_time,
            &self.buffered,
        )
        .await
        {
            Ok(received) => received,
            Err(unread) => {
                // A sender that waits to be told to continue has sent nothing that could be in the way.
                if unread == Unread::TooLarge && !head.headers.contains_key(header::EXPECT) {
                    accept::discard(&mut body).await;
                }
                return Err(unreadable(unread, source, self.body_time));
            }
        };
        let now = self.clock.now();
        verify(
            &source.verify,
            &head.headers,
            received.bytes(),
            &*self.secrets,
            now,
        )
        .map_err(|error| self.unverified(source, &error))?;
        let in_batch = head.uri.query().is_some_and(asks_for_batch);
        let events = if in_batch {
            batch_events(source, &head.headers, received.bytes(), now)?
        } else {
            vec![new_event(source, &head.headers, received.bytes(), now)?]
        };
        let sizes: Vec<_> = events.iter().map(|event| event.body.len()).collect();
        let batch = Batch {
            events,
            refuse_conflicts: in_batch,
            ..Batch::default()
        };
        let appended = self.store(batch, received).await?;
        let ack_us = self.clock.monotonic_us().saturating_sub(started_us);
        for (appended, bytes) in appended.iter().zip(sizes) {
            match appended {
                Appended::New { .. } => self.observer.accepted(&source.name, ack_us, bytes),
                Appended::Duplicate { .. } => self.observer.duplicate(&source.name),
            }
        }
        if in_batch {
            Ok(respond::batch(&appended))
        } else {
            single(&appended)
        }
    }

    /// Hands the events to the store and waits until they are on disk.
    ///
    /// The place and the buffered bytes are given back when the store is done, even if the sender has gone meanwhile.
    async fn store(&self, batch: Batch, received: Received) -> Result<Vec<Appended>, Refusal> {
        if batch.events.is_empty() {
            return Ok(Vec::new());
        }
        let Ok(place) = Arc::clone(&self.storing).try_acquire_owned() else {
            return Err(refuse(
                Kind::Overloaded,
                format!("{STORING_MAX} requests wait for the store already"),
            ));
        };
        let (done, on_disk) = oneshot::channel();
        let fatal = self.fatal.clone();
        self.store.submit(
            batch,
            Box::new(move |result| {
                drop((place, received));
                if let (Err(error @ Error::Fatal(_)), Some(fatal)) = (&result, fatal) {
                    // When nobody listens any more, the process is stopping already.
                    let _ = fatal.send(error.clone());
                }
                // The sender may have gone; then nobody waits for the answer.
                let _ = done.send(result);
            }),
        );
        match on_disk.await {
            Ok(Ok(Receipt {
                conflict: Some(conflict),
                ..
            })) => Err(conflicting(conflict)),
            Ok(Ok(Receipt { appended, .. })) => Ok(appended),
            Ok(Err(error)) => Err(not_stored(&error)),
            Err(_) => Err(refuse(Kind::StoreFailed, "the store gave no answer")),
        }
    }

    fn unverified(&self, source: &Source, error: &VerifyError) -> Refusal {
        if let VerifyError::Secret(error) = error {
            tracing::error!(source = &*source.name, %error, "requests cannot be verified");
        }
        Box::new(error.into())
    }
}

/// Where the sources are.
const PATH_PREFIX: &str = "/in/";

fn refuse(kind: Kind, detail: impl Into<String>) -> Refusal {
    Box::new(problem::Body::new(kind, detail))
}

fn unknown(path: &str) -> Refusal {
    match path.strip_prefix(PATH_PREFIX) {
        Some(name) => Box::new(problem::Body::source_unknown(name)),
        None => refuse(Kind::NotFound, "events are taken at /in/{source}"),
    }
}

/// What the head alone says against a request.
fn check_head(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.len() > FIELDS_MAX {
        let detail = format!(
            "the request has {} header fields, {FIELDS_MAX} are allowed",
            headers.len()
        );
        return Err(refuse(Kind::HeadersTooLarge, detail));
    }
    let encoded = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(encoded)
    {
        let refusal = problem::Body::new(
            Kind::UnsupportedMediaType,
            "the body has a content encoding",
        );
        return Err(Box::new(refusal.with_hint("send the body uncompressed")));
    }
    Ok(())
}

fn unreadable(unread: Unread, source: &Source, body_time: Duration) -> Refusal {
    match unread {
        Unread::TooLarge => Box::new(problem::Body::body_too_large(source.body_bytes_max)),
        Unread::TooSlow => refuse(
            Kind::RequestTimeout,
            format!(
                "the body did not arrive within {} ms",
                body_time.as_millis()
            ),
        ),
        Unread::Broken => refuse(Kind::InvalidRequest, "the body broke off"),
        Unread::NoRoom => refuse(Kind::Overloaded, "too many bodies are being received"),
    }
}

fn asks_for_batch(query: &str) -> bool {
    query.split('&').any(|pair| pair == "batch=true")
}

fn secrets_of(rule: &Verify) -> &[SecretRef] {
    match rule {
        Verify::Hmac { secrets, .. }
        | Verify::StandardWebhooks { secrets, .. }
        | Verify::Token { secrets, .. } => secrets,
        Verify::Basic { passwords, .. } => passwords,
        Verify::None => &[],
    }
}

fn batch_events(
    source: &Source,
    headers: &HeaderMap,
    body: &Bytes,
    now: UnixMs,
) -> Result<Vec<NewEvent>, Refusal> {
    let elements = batch::split(body).map_err(|error| refuse(error.kind(), error.to_string()))?;
    let mut events = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        // Its own copy: a part of the whole would keep the whole in memory for as long as it lives.
        let mut event = new_event(source, headers, &Bytes::copy_from_slice(element), now)?;
        if let (DedupBy::Header(_), Some(dedup)) = (&source.dedup.by, &mut event.dedup) {
            dedup.key = batch::key_of_element(dedup.key, index);
        }
        events.push(event);
    }
    Ok(events)
}

fn new_event(
    source: &Source,
    headers: &HeaderMap,
    body: &Bytes,
    now: UnixMs,
) -> Result<NewEvent, Refusal> {
    let intake = intake::read(source, headers, body)
        .map_err(|error| refuse(Kind::NotJson, error.to_string()))?;
    let dedup = intake
        .identity
        .map(|Identity { key, body_hash }| DedupEntry {
            key,
            body_hash,
            window_ms: source.dedup.window_ms,
        });
    Ok(NewEvent {
        id: new_id(now),
        source: Arc::clone(&source.name),
        kind: intake.kind,
        key: intake.key,
        received_at: now,
        headers: intake.headers,
        body: body.clone(),
        dedup,
    })
}

fn new_id(now: UnixMs) -> EventId {
    let subsec_ns = u32::try_from(now.0 % 1_000 * 1_000_000).unwrap_or(0);
    EventId(Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        now.0 / 1_000,
        subsec_ns,
    )))
}

/// The answer for one event: its id, or that its identity was used for another one.
fn single(appended: &[Appended]) -> Result<Response<Full<Bytes>>, Refusal> {
    match appended.first() {
        Some(&Appended::New { id, .. }) => Ok(respond::accepted(id, false)),
        Some(&Appended::Duplicate {
            id,
            same_body: true,
        }) => Ok(respond::accepted(id, true)),
        Some(&Appended::Duplicate {
            id,
            same_body: false,
        }) => Err(taken(format!(
            "{id} was accepted with the same identity and another body"
        ))),
        None => Err(refuse(Kind::StoreFailed, "the store gave no receipt")),
    }
}

/// A batch of which nothing was stored, since the identity of one element was used for another event.
fn conflicting(Conflict { index, first }: Conflict) -> Refusal {
    taken(match first {
        First::InLog(id) => format!(
            "element {index} has the identity of {id} and another body; nothing of the batch was stored"
        ),
        First::InBatch(earlier) => format!(
            "elements {earlier} and {index} have one identity and different bodies; nothing of the batch was stored"
        ),
    })
}

fn taken(detail: String) -> Refusal {
    let refusal = problem::Body::new(Kind::DedupConflict, detail);
    Box::new(refusal.with_hint("give each event its own id, or choose another dedup rule"))
}

fn not_stored(error: &Error) -> Refusal {
    match error {
        Error::Full { .. } => refuse(Kind::StoreFull, "the disk is almost full"),
        Error::Overloaded { .. } => refuse(Kind::Overloaded, "too many events wait to be written"),
        Error::Closed => refuse(Kind::ShuttingDown, "the store takes no more events"),
        Error::Fatal(_)
        | Error::Locked(_)
        | Error::Damaged { .. }
        | Error::TooNew { .. }
        | Error::Read(_)
        | Error::File { .. }
        | _ => {
            tracing::error!(%error, "an event could not be stored");
            refuse(Kind::StoreFailed, "the event could not be stored")
        }
    }
}
