//! `Idempotency-Key`: a request that is repeated is answered with the answer of the first one.
//!
//! The answer to a request with a key is kept for 24 hours, over restarts, if the request succeeded; one that was refused
//! has changed nothing and is judged anew. The same key with another method, path or body is refused (422), and while the
//! first request is under way a second one is told to come back (409). A change of resources keeps its answer in the
//! commit that makes the change ([`Claim::document`]); every other answer is kept right after what it tells about, so
//! that a crash between the two lets a repeat through, which the state of the thing itself then answers.
//!
//! Keys are those of one caller: two callers with the same key do not meet. Answers are sealed, since one may show a new
//! token. Bounds: a key has at most 255 characters, an answer that is kept [`ANSWER_BYTES_MAX`], a request with a key
//! [`BODY_BYTES_MAX`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::{DocumentChange, Room};
use switchhook_wire::problem::{self, Kind};

use super::Control;
use super::answer::{Answer, Refusal};
use super::request::BODY_BYTES_MAX;
use crate::identity::Caller;
use crate::secrets::vault::Vault;

/// For how long an answer is kept: as `wire.md` promises, 24 hours.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 255;
/// Largest answer that is kept: that of a resource of the largest body.
const ANSWER_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// What of the head of an answer is kept. The rest belongs to the one request.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// The place where the answer to a request with a key is kept.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Of caller and key.
    id: Arc<str>,
    /// Of method, path and body.
    fingerprint: [u8; 32],
    /// Whether the answer has gone into a commit.
    is_kept: AtomicBool,
}

/// Keys whose requests are under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<BTreeSet<Arc<str>>>);

/// Takes its key out again, whatever becomes of the request.
struct Turn<'a>(&'a UnderWay, Arc<str>);

impl UnderWay {
    fn enter(&self, id: &Arc<str>) -> Option<Turn<'_>> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(id.clone()).then(|| Turn(self, id.clone()))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.1);
    }
}

impl Claim {
    fn new(caller: &Caller, key: &HeaderValue, request: &Request<Bytes>) -> Self {
        let mut id = Sha256::new();
        id.update((caller.id.len() as u64).to_be_bytes());
        id.update(&*caller.id);
        id.update(key.as_bytes());
        let mut fingerprint = Sha256::new();
        fingerprint.update(request.method().as_str());
        fingerprint.update(b" ");
        fingerprint.update(request.uri().to_string());
        fingerprint.update(b"\n");
        fingerprint.update(request.body());
        Self {
            id: HEXLOWER.encode(&id.finalize()).into(),
            fingerprint: fingerprint.finalize().into(),
            is_kept: AtomicBool::new(false),
        }
    }

    /// The answer as it is kept, to go into the commit of what it tells about.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub(crate) fn document(
        &self,
        answer: &Kept,
        vault: &Vault,
        now: UnixMs,
    ) -> Answer<DocumentChange> {
        let mut plain = self.fingerprint.to_vec();
        answer.write(&mut plain);
        let sealed = vault.seal(Room::Answer, &self.id, &plain);
        self.is_kept.store(true, Ordering::Relaxed);
        Ok(DocumentChange {
            room: Room::Answer,
            id: self.id.clone(),
            body: Some(sealed.map_err(Refusal::internal)?),
            at: now,
            expires_at: Some(UnixMs(now.0.saturating_add(KEPT_MS))),
        })
    }
}

/// An answer that is kept: status, some of its head, body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    /// What of `response` is kept, and `response` as it was; nothing is kept of one that is too large.
    pub(crate) async fn of(response: Response) -> Answer<(Self, Response)> {
        let (head, body) = response.into_parts();
        let body = to_bytes(body, ANSWER_BYTES_MAX).await;
        let body = body.map_err(Refusal::internal)?;
        let kept = KEPT_HEADERS
            .iter()
            .filter_map(|name| Some((name.clone(), head.headers.get(name)?.clone())));
        let kept = Self {
            status: head.status,
            headers: kept.collect(),
            body: body.clone(),
        };
        Ok((kept, Response::from_parts(head, Body::from(body))))
    }

    /// Lines of the head, an empty one, the body.
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(format!("{}\n", self.status.as_u16()).as_bytes());
        for (name, value) in &self.headers {
            to.extend_from_slice(name.as_str().as_bytes());
            to.extend_from_slice(b": ");
            to.extend_from_slice(value.as_bytes());
            to.push(b'\n');
        }
        to.push(b'\n');
        to.extend_from_slice(&self.body);
    }

    fn read(from: &[u8]) -> Option<Self> {
        let end = from.windows(2).position(|pair| pair == b"\n\n")?;
        let (head, rest) = from.split_at_checked(end)?;
        let mut lines = head.split(|byte| *byte == b'\n');
        let status = StatusCode::from_bytes(lines.next()?).ok()?;
        let header = |line: &[u8]| {
            let at = line.windows(2).position(|pair| pair == b": ")?;
            let name = HeaderName::from_bytes(line.get(..at)?).ok()?;
            Some((name, HeaderValue::from_bytes(line.get(at + 2..)?).ok()?))
        };
        Some(Self {
            status,
            headers: lines.map(header).collect::<Option<_>>()?,
            body: Bytes::copy_from_slice(rest.get(2..)?),
        })
    }
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.headers, self.body).into_response();
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// Answers a repeated request; lets every other one through, and keeps its answer.
pub(super) async fn layer(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get(IDEMPOTENCY_KEY).cloned();
    let caller = request.extensions().get::<Caller>().cloned();
    match (key, caller) {
        (Some(key), Some(caller)) if !request.method().is_safe() => {
            let answered = answer(&control, &key, &caller, request, next).await;
            answered.unwrap_or_else(IntoResponse::into_response)
        }
        _ => next.run(request).await,
    }
}

async fn answer(
    control: &Control,
    key: &HeaderValue,
    caller: &Caller,
    request: Request,
    next: Next,
) -> Answer {
    check_key(key)?;
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| Refusal::from(problem::Body::body_too_large(BODY_BYTES_MAX)))?;
    let request = Request::from_parts(head, body);
    let claim = Arc::new(Claim::new(caller, key, &request));
    let Some(_turn) = control.under_way.enter(&claim.id) else {
        return Err(Refusal::new(
            Kind::IdempotencyBusy,
            "the first request with this idempotency key has no answer yet",
        ));
    };
    if let Some(kept) = kept(control, &claim).await? {
        return Ok(kept.into_response());
    }
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(claim.clone());
    let response = next.run(request).await;
    if !response.status().is_success() || claim.is_kept.load(Ordering::Relaxed) {
        return Ok(response);
    }
    let (kept, response) = Kept::of(response).await?;
    let document = claim.document(&kept, &control.gateway.vault, control.gateway.clock.now())?;
    control
        .write(Batch {
            documents: vec![document],
            ..Batch::default()
        })
        .await?;
    Ok(response)
}

/// The answer that is kept for `claim`.
async fn kept(control: &Control, claim: &Claim) -> Answer<Option<Kept>> {
    let (id, now) = (claim.id.clone(), control.gateway.clock.now());
    let read = control.read(move |store| store.document(Room::Answer, &id, now));
    let Some(document) = read.await? else {
        return Ok(None);
    };
    let opened = control
        .gateway
        .vault
        .open(Room::Answer, &claim.id, &document.body);
    let opened = opened.map_err(Refusal::internal)?;
    let Some((fingerprint, rest)) = opened.expose().split_first_chunk::<32>() else {
        return Err(Refusal::internal("a kept answer is too short"));
    };
    if *fingerprint != claim.fingerprint {
        let body = problem::Body::new(
            Kind::IdempotencyMismatch,
            "this idempotency key was used for another method, path or body",
        );
        return Err(body
            .with_hint("use a new key for a new request; a key is known for 24 hours")
            .into());
    }
    let kept = Kept::read(rest).ok_or_else(|| Refusal::internal("a kept answer is unreadable"))?;
    Ok(Some(kept))
}

fn check_key(key: &HeaderValue) -> Answer<()> {
    let is_usable = (1..=KEY_CHARS_MAX).contains(&key.len())
        && key.as_bytes().iter().all(|byte| byte.is_ascii_graphic());
    if is_usable {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::InvalidRequest,
        format!("`Idempotency-Key` must have 1 to {KEY_CHARS_MAX} visible ASCII characters"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_kept_reads_back_as_itself() {
        for body in ["", "\n\n", "{\"a\":\"b: c\"}"] {
            let kept = Kept {
                status: StatusCode::CREATED,
                headers: HeaderMap::from_iter([
                    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (ETAG, HeaderValue::from_static("\"a: b\"")),
                ]),
                body: Bytes::from_static(body.as_bytes()),
            };
            let mut bytes = Vec::new();
            kept.write(&mut bytes);
            assert_eq!(Kept::read(&bytes), Some(kept));
        }
    }

    #[test]
    fn what_is_no_answer_is_not_read_as_one() {
        for text in ["", "200", "200\n\n ", "x\n\n", "200\nno header\n\n"] {
            let read = Kept::read(text.as_bytes());
            assert_eq!(read.is_some(), text == "200\n\n ", "{text:?}");
        }
    }

    #[test]
    fn a_key_is_under_way_until_its_request_has_ended() {
        let under_way = UnderWay::default();
        let id = Arc::from("a");
        let turn = under_way.enter(&id);
        assert!(turn.is_some() && under_way.enter(&id).is_none());
        drop(turn);
        assert!(under_way.enter(&id).is_some());
    }
}
