//! `Idempotency-Key`: a request that is repeated is answered with the answer of the first one.
//!
//! The answer to a request with a key is kept for 24 hours, over restarts, if the request succeeded; one that was refused
//! has changed nothing and is judged anew. The same key with another method, path or body is refused (422), and while the
//! first request is under way a second one is told to come back (409). A change of resources keeps its answer in the
//! commit that makes the change ([`Claim::document`]); every other answer is kept right after what it tells about, so
//! that a crash between the two lets a repeat through, which the state of the thing itself then answers.
//!
//! Keys are those of one caller: two callers with the same key do not meet. Answers are sealed, since one may show a new
//! token. A trial (`?dryRun=true`) changes nothing, and its answer is not kept. Nor is one that is larger than
//! [`ANSWER_BYTES_MAX`] or of no known size: a repeat is judged anew then, and its tag says that it was done.
//!
//! Bounds: a key has at most 255 characters, a request with a key [`BODY_BYTES_MAX`]. A caller has at most
//! [`ANSWERS_MAX`] answers kept in 24 hours, so that no one fills the disk. That is counted in memory: a restart begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, HttpBody as _, to_bytes};
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
use super::request::{BODY_BYTES_MAX, Params};
use crate::identity::Caller;
use crate::secrets::vault::Vault;

/// For how long an answer is kept: as `wire.md` promises, 24 hours.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 255;
/// Largest answer that is kept, in bytes: that of any webhook and of nearly every resource.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Most answers that are kept for a caller in 24 hours: seven changes a minute, all day.
const ANSWERS_MAX: u32 = 10_000;

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

/// How many answers are kept for each caller. A caller whose 24 hours are over is forgotten when another one comes, so there
/// are no more here than used a key in a day.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<Arc<str>, Day>>);

/// 24 hours that begin with the first key.
#[derive(Debug)]
struct Day {
    began_at: UnixMs,
    answers: u32,
}

impl Day {
    const fn is_over(&self, now: UnixMs) -> bool {
        // A clock that went back before the beginning begins anew.
        now.0 < self.began_at.0 || now.0 - self.began_at.0 >= KEPT_MS
    }
}

impl Counts {
    /// Counts one more answer for `caller`.
    ///
    /// # Errors
    /// When there are too many.
    fn take(&self, caller: &Arc<str>, now: UnixMs) -> Answer<()> {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if days.get(caller).is_none_or(|day| day.is_over(now)) {
            days.retain(|_, day| !day.is_over(now));
        }
        let day = days.entry(caller.clone()).or_insert(Day {
            began_at: now,
            answers: 0,
        });
        if day.answers < ANSWERS_MAX {
            day.answers += 1;
            return Ok(());
        }
        let left_s = KEPT_MS.saturating_sub(now.0.saturating_sub(day.began_at.0)) / 1_000;
        let detail = format!(
            "{ANSWERS_MAX} answers are kept for the idempotency keys of this token or client, more are not allowed in 24 hours"
        );
        Err(problem::Body::new(Kind::TooManyRequests, detail)
            .with_hint(format!(
                "send the request without a key: `If-Match` keeps a change from being made twice; keys count again in {left_s} s"
            ))
            .into())
    }

    /// Takes one back that was not kept.
    fn give_back(&self, caller: &str) {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(day) = days.get_mut(caller) {
            day.answers = day.answers.saturating_sub(1);
        }
    }
}

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

    /// The answer as it is kept, to go into the commit of what it tells about; nothing of one that is not kept.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub(crate) fn document(
        &self,
        answer: Option<&Kept>,
        vault: &Vault,
        now: UnixMs,
    ) -> Answer<Option<DocumentChange>> {
        let Some(answer) = answer else {
            return Ok(None);
        };
        let mut plain = self.fingerprint.to_vec();
        answer.write(&mut plain);
        let sealed = vault.seal(Room::Answer, &self.id, &plain);
        self.is_kept.store(true, Ordering::Relaxed);
        Ok(Some(DocumentChange {
            room: Room::Answer,
            id: self.id.clone(),
            body: Some(sealed.map_err(Refusal::internal)?),
            at: now,
            expires_at: Some(UnixMs(now.0.saturating_add(KEPT_MS))),
        }))
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
    pub(crate) async fn of(response: Response) -> Answer<(Option<Self>, Response)> {
        let bytes_max = response.body().size_hint().upper();
        if bytes_max.is_none_or(|bytes| bytes > ANSWER_BYTES_MAX as u64) {
            return Ok((None, response));
        }
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
        Ok((Some(kept), Response::from_parts(head, Body::from(body))))
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
    if Params::of(request.uri()).flag("dryRun") {
        return Ok(next.run(request).await);
    }
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
    let counts = &control.answers_kept;
    counts.take(&caller.id, control.gateway.clock.now())?;
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(claim.clone());
    let response = next.run(request).await;
    let kept = keep(control, &claim, response).await;
    if !matches!(kept, Ok((_, true))) {
        counts.give_back(&caller.id);
    }
    kept.map(|(response, _)| response)
}

/// Keeps `response`, unless a commit has done so, and says whether it is kept.
async fn keep(control: &Control, claim: &Claim, response: Response) -> Answer<(Response, bool)> {
    if !response.status().is_success() {
        return Ok((response, false));
    }
    if claim.is_kept.load(Ordering::Relaxed) {
        return Ok((response, true));
    }
    let (kept, response) = Kept::of(response).await?;
    let (vault, now) = (&control.gateway.vault, control.gateway.clock.now());
    let Some(document) = claim.document(kept.as_ref(), vault, now)? else {
        return Ok((response, false));
    };
    control
        .write(Batch {
            documents: vec![document],
            ..Batch::default()
        })
        .await?;
    Ok((response, true))
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
    fn a_caller_has_so_many_answers_kept_in_a_day_and_no_more() {
        let (counts, caller, other) = (Counts::default(), Arc::from("a"), Arc::from("b"));
        let began_at = UnixMs(1_000);
        for _ in 0..ANSWERS_MAX {
            counts.take(&caller, began_at).unwrap();
        }
        let last = UnixMs(began_at.0 + KEPT_MS - 1);
        let refusal = counts.take(&caller, last).unwrap_err();
        assert_eq!(refusal.body().code, "too-many-requests");
        assert!(refusal.body().hint.is_some());
        assert!(counts.take(&other, last).is_ok());
        // One that was not kept makes room, and so does the next day.
        counts.give_back(&caller);
        assert!(counts.take(&caller, last).is_ok() && counts.take(&caller, last).is_err());
        let next = UnixMs(began_at.0 + KEPT_MS);
        assert!(counts.take(&caller, next).is_ok());
        // Days that are over are not kept for ever.
        let later = UnixMs(next.0 + 2 * KEPT_MS);
        counts.take(&other, later).unwrap();
        assert_eq!(counts.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_or_of_no_known_size_is_passed_on_and_not_kept() {
        for (bytes, is_kept) in [(ANSWER_BYTES_MAX, true), (ANSWER_BYTES_MAX + 1, false)] {
            let (kept, response) = Kept::of("x".repeat(bytes).into_response()).await.unwrap();
            assert_eq!(kept.is_some(), is_kept, "{bytes}");
            let whole = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(whole.len(), bytes);
        }
        let parts = [Ok::<_, std::io::Error>("a"), Ok("b")];
        let streamed = Body::from_stream(futures_util::stream::iter(parts));
        let (kept, response) = Kept::of(streamed.into_response()).await.unwrap();
        assert!(kept.is_none());
        assert_eq!(to_bytes(response.into_body(), 9).await.unwrap(), "ab");
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
