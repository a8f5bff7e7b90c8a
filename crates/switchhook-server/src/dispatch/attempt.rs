//! One attempt: builds the request of a delivery, has it sent, and reports the bare result.
//!
//! It judges nothing: which result means what is decided by the engine's rules. The [`body`] is made, the
//! [`headers`] are filled, the proof of who we are is added, all now, so that a rotated secret counts at the next
//! attempt. Everything happens within the endpoint's timeout.
//!
//! A request is sent a second time within an attempt in one case: the endpoint answers 401 to a token that was fetched
//! for an earlier one. Then the token may have been revoked, and a new one is fetched, once.
//!
//! Texts that leave here name the host and what happened. They hold no header value; and the kept start of a refusing
//! answer has the endpoint's secrets blotted out, since some servers answer with what they were sent.

mod headers;
#[cfg(test)]
pub(super) mod lab;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use switchhook_core::delivery::{OutcomeKind, detail};
use switchhook_core::endpoint::{self, Auth, Endpoint};
use switchhook_core::engine::{Outcome, Start};
use switchhook_core::event::Event;
use switchhook_core::id::DeliveryId;
use switchhook_core::retry::{Policy, parse_retry_after};
use switchhook_core::secret::{Lookup, Secret};
use switchhook_core::subscription::Subscription;
use tokio::time::Instant;

use super::auth::prove;
use super::body;
use super::guard::Fault;
use super::keys::Keys;
use super::token::{Token, Tokens};
use super::transport::{Answer, Transport};
use crate::clock::Clock;
use crate::secrets::Secrets;

pub(super) use headers::AGENT;

/// What stands where a secret stood.
const BLOT: &str = "[secret]";

/// Makes attempts.
pub struct Sender {
    transport: Arc<Transport>,
    secrets: Arc<Secrets>,
    clock: Clock,
    keys: Keys,
    tokens: Tokens,
}

/// What a request is made of.
pub(super) struct Attempt<'a> {
    pub(super) subscription: &'a Subscription,
    pub(super) policy: &'a Policy,
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) event: &'a Event,
    pub(super) delivery: DeliveryId,
    pub(super) chain: u16,
    pub(super) n: u16,
}

/// What is sent.
#[derive(Clone)]
struct Request<'a> {
    endpoint: &'a Arc<Endpoint>,
    headers: HeaderMap,
    body: Bytes,
    deadline: Instant,
}

impl<'a> Attempt<'a> {
    fn of(start: &'a Start) -> Self {
        Self {
            subscription: &start.subscription,
            policy: &start.policy,
            endpoint: &start.endpoint,
            event: &start.event,
            delivery: DeliveryId::derive(start.event.id, &start.subscription.name),
            chain: start.chain,
            n: start.n,
        }
    }
}

impl Sender {
    /// Sends through `transport`, with secrets from `secrets`.
    #[must_use]
    pub fn new(transport: Arc<Transport>, secrets: Arc<Secrets>, clock: Clock) -> Self {
        Self {
            tokens: Tokens::new(Arc::clone(&transport)),
            keys: Keys::default(),
            transport,
            secrets,
            clock,
        }
    }

    /// What requests go through; for a probe, which is no attempt.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Makes one attempt. Ends within the endpoint's timeout.
    pub async fn attempt(&self, start: &Start) -> Outcome {
        self.make(&Attempt::of(start)).await
    }

    async fn make(&self, attempt: &Attempt<'_>) -> Outcome {
        let (at, began) = (self.clock.now(), Instant::now());
        let deadline = began + Duration::from_millis(attempt.endpoint.timeout_ms);
        let mut shown = Vec::new();
        let result = self.exchange(attempt, deadline, &mut shown).await;
        let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        match result {
            Ok(answer) => Outcome {
                at,
                duration_ms,
                kind: OutcomeKind::Status(answer.status.as_u16()),
                detail: self.refusal_text(&answer, attempt.endpoint, shown),
                retry_after_ms: self.retry_after_ms(&answer.headers),
            },
            Err(Fault { failure, text }) => Outcome {
                at,
                duration_ms,
                kind: OutcomeKind::Failed(failure),
                detail: Some(detail(&text)),
                retry_after_ms: None,
            },
        }
    }

    /// Builds the request and sends it. What of it the endpoint must not be heard to repeat is added to `shown`.
    async fn exchange(
        &self,
        attempt: &Attempt<'_>,
        deadline: Instant,
        shown: &mut Vec<Secret>,
    ) -> Result<Answer, Fault> {
        let endpoint = attempt.endpoint;
        let now = self.clock.now();
        let dressed = body::make(attempt, &self.keys, &self.secrets, now, deadline).await?;
        // A key may have taken its time, and a signature must not be older than need be.
        let headers = headers::of(attempt, &dressed, &*self.secrets, self.clock.now())?;
        let request = Request {
            endpoint,
            headers,
            body: dressed.body,
            deadline,
        };
        let Some(auth) = &endpoint.auth else {
            return self.send(request).await;
        };
        let (answer, aged) = self.send_as(auth, None, &request, shown).await?;
        if let Some(token) = aged
            && answer.status == StatusCode::UNAUTHORIZED
        {
            let (answer, _) = self.send_as(auth, Some(&token), &request, shown).await?;
            return Ok(answer);
        }
        Ok(answer)
    }

    /// Sends `request` with a proof of who we are, other than the token that was `refused`. Returns the token it was sent
    /// with, too, if that was fetched for an earlier request.
    async fn send_as(
        &self,
        auth: &Auth,
        refused: Option<&Arc<Token>>,
        request: &Request<'_>,
        shown: &mut Vec<Secret>,
    ) -> Result<(Answer, Option<Arc<Token>>), Fault> {
        let (allow, deadline) = (&*request.endpoint.allow_private, request.deadline);
        let proof = prove(auth, allow, &self.secrets, &self.tokens, refused, deadline).await?;
        shown.push(proof.bare);
        let mut request = request.clone();
        request.headers.insert(proof.header, proof.value);
        Ok((self.send(request).await?, proof.aged))
    }

    async fn send(&self, request: Request<'_>) -> Result<Answer, Fault> {
        let Request {
            endpoint,
            headers,
            body,
            deadline,
        } = request;
        let method = match endpoint.method {
            endpoint::Method::Post => Method::POST,
            endpoint::Method::Put => Method::PUT,
        };
        self.transport
            .send(endpoint, method, headers, body, deadline)
            .await
    }

    fn retry_after_ms(&self, headers: &HeaderMap) -> Option<u64> {
        if !headers.contains_key(RETRY_AFTER) {
            return None;
        }
        // What is no text counts as a value that is none, so that it is not taken for absent.
        let values = headers
            .get_all(RETRY_AFTER)
            .iter()
            .map(|value| value.to_str().unwrap_or_default());
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        parse_retry_after(values, date, self.clock.now())
    }

    /// The start of a refusing answer's body, for people; `None` for an answer that does not refuse or says nothing.
    fn refusal_text(
        &self,
        answer: &Answer,
        endpoint: &Endpoint,
        shown: Vec<Secret>,
    ) -> Option<Arc<str>> {
        if answer.status.is_success() || answer.excerpt.is_empty() {
            return None;
        }
        let secrets = &*self.secrets;
        let named = endpoint.secrets().map(|name| secrets.secret(name));
        let own = endpoint.auth.iter().map(Auth::secret);
        let own = own.map(|secret| secret.resolve(secrets));
        let mut text = String::from_utf8_lossy(&answer.excerpt).into_owned();
        for secret in named.chain(own).flatten().chain(shown) {
            blot_out(&mut text, secret.expose());
        }
        let printable = text.replace(|letter: char| letter.is_control() && letter != '\n', " ");
        Some(detail(printable.trim()))
    }
}

/// Takes `secret` out of `text`, also where the end of the text has cut it off.
fn blot_out(text: &mut String, secret: &[u8]) {
    // A secret of a letter or two would blot out everything, and is none.
    let Some(secret) = std::str::from_utf8(secret)
        .ok()
        .filter(|secret| secret.len() > 2)
    else {
        return;
    };
    if text.contains(secret) {
        *text = text.replace(secret, BLOT);
    }
    let starts = secret.char_indices().rev().map(|(end, _)| end);
    let cut_off = starts
        .filter(|end| *end >= CUT_OFF_MIN)
        .filter_map(|end| secret.get(..end))
        .find(|start| text.ends_with(start));
    if let Some(start) = cut_off {
        text.truncate(text.len() - start.len());
        text.push_str(BLOT);
    }
}

/// So much of a secret at the end of a text is no accident, in bytes.
const CUT_OFF_MIN: usize = 8;
