//! One attempt: builds the request of a delivery, has it sent, and reports the bare result.
//!
//! It judges nothing: which result means what is decided by the engine's rules. The body is the event's exact bytes.
//! Headers with templates are filled here, so that a rotated secret counts at the next attempt.
//!
//! Texts that leave here name the host and what happened. They hold no header value; and the kept start of a refusing
//! answer has the endpoint's secrets blotted out, since some servers answer with what they were sent.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use switchhook_core::delivery::{Failure, OutcomeKind, detail};
use switchhook_core::endpoint::{self, Endpoint};
use switchhook_core::engine::{Outcome, Start};
use switchhook_core::event::Event;
use switchhook_core::id::DeliveryId;
use switchhook_core::retry::parse_retry_after;
use switchhook_core::secret::Lookup;
use switchhook_core::template::{TemplateError, Values};
use tokio::time::Instant;

use super::guard::Fault;
use super::transport::{Answer, Transport};
use crate::clock::Clock;
use crate::secrets::Secrets;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("switchhook/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const DELIVERY_ID: HeaderName = HeaderName::from_static("x-delivery-id");
const DELIVERY_ATTEMPT: HeaderName = HeaderName::from_static("x-delivery-attempt");
const INTEGRATION_ID: HeaderName = HeaderName::from_static("x-integration-id");
const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What stands where a secret stood.
const BLOT: &str = "[secret]";

/// Makes attempts.
pub struct Sender {
    transport: Arc<Transport>,
    secrets: Arc<Secrets>,
    clock: Clock,
}

/// What a request is made of.
struct Attempt<'a> {
    subscription: &'a str,
    endpoint: &'a Arc<Endpoint>,
    event: &'a Event,
    chain: u16,
    n: u16,
}

impl Sender {
    /// Sends through `transport`, with secrets from `secrets`.
    #[must_use]
    pub fn new(transport: Arc<Transport>, secrets: Arc<Secrets>, clock: Clock) -> Self {
        Self {
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
        let Start {
            subscription,
            endpoint,
            event,
            chain,
            n,
            ..
        } = start;
        self.make(&Attempt {
            subscription,
            endpoint,
            event,
            chain: *chain,
            n: *n,
        })
        .await
    }

    async fn make(&self, attempt: &Attempt<'_>) -> Outcome {
        let (at, began) = (self.clock.now(), Instant::now());
        let endpoint = attempt.endpoint;
        let deadline = began + Duration::from_millis(endpoint.timeout_ms);
        let result = match request_headers(attempt, &*self.secrets) {
            Ok(headers) => {
                let body = attempt.event.body.clone();
                self.transport
                    .send(endpoint, method(endpoint), headers, body, deadline)
                    .await
            }
            Err(fault) => Err(fault),
        };
        let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        match result {
            Ok(answer) => Outcome {
                at,
                duration_ms,
                kind: OutcomeKind::Status(answer.status.as_u16()),
                detail: refusal_text(&answer, endpoint, &*self.secrets),
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
}

fn method(endpoint: &Endpoint) -> Method {
    match endpoint.method {
        endpoint::Method::Post => Method::POST,
        endpoint::Method::Put => Method::PUT,
    }
}

/// All headers of the request but those of the transport. `wire.md` 5 has the table.
fn request_headers(attempt: &Attempt<'_>, secrets: &dyn Lookup) -> Result<HeaderMap, Fault> {
    let &Attempt {
        subscription,
        endpoint,
        event,
        n,
        ..
    } = attempt;
    let delivery = DeliveryId::derive(event.id, subscription);
    let mut headers = HeaderMap::with_capacity(12 + endpoint.headers.len());
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONTENT_TYPE, content_type(endpoint, event));
    let values = Values {
        event,
        delivery,
        attempt: n,
        secrets,
    };
    for template in &endpoint.headers {
        let value = template.value.fill(&values).map_err(|error| {
            let no_secret = matches!(error, TemplateError::Secret(_));
            let failure = if no_secret {
                Failure::Secret
            } else {
                Failure::Template
            };
            Fault::new(
                failure,
                format!("header `{}` cannot be filled: {error}", template.name),
            )
        })?;
        headers.insert(template.name.clone(), value);
    }
    headers.insert(DELIVERY_ID, text_value(&delivery.to_string())?);
    headers.insert(DELIVERY_ATTEMPT, n.into());
    headers.insert(INTEGRATION_ID, text_value(subscription)?);
    headers.insert(EVENT_ID, text_value(&event.id.to_string())?);
    if let Some(traceparent) = event
        .header("traceparent")
        .and_then(|parent| continued(parent, delivery, attempt))
    {
        headers.insert(TRACEPARENT, text_value(&traceparent)?);
        if let Some(state) = event
            .header("tracestate")
            .and_then(|state| HeaderValue::from_str(state).ok())
        {
            headers.insert(TRACESTATE, state);
        }
    }
    Ok(headers)
}

fn content_type(endpoint: &Endpoint, event: &Event) -> HeaderValue {
    let written = endpoint
        .content_type
        .as_deref()
        .or_else(|| event.header("content-type"));
    written
        .and_then(|written| HeaderValue::from_str(written).ok())
        .unwrap_or(JSON)
}

fn text_value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|_| {
        Fault::new(
            Failure::Template,
            format!("`{}` cannot stand in a header", text.escape_debug()),
        )
    })
}

/// The sender's trace with a span of ours (W3C Trace Context). The span id belongs to the attempt and needs no chance.
fn continued(traceparent: &str, delivery: DeliveryId, attempt: &Attempt<'_>) -> Option<String> {
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let known = version == "00" && parts.next().is_none();
    let later = is_hex(version, 2) && version != "00" && version != "ff";
    let whole = is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    if !(known || later) || !whole || zero(trace) || zero(parent) {
        return None;
    }
    let number = u32::from(attempt.chain) << 16 | u32::from(attempt.n);
    Some(format!(
        "00-{trace}-{:016x}-{flags}",
        delivery.entropy(number).max(1)
    ))
}

/// The start of a refusing answer's body, for people; `None` for an answer that does not refuse or says nothing.
fn refusal_text(answer: &Answer, endpoint: &Endpoint, secrets: &dyn Lookup) -> Option<Arc<str>> {
    if answer.status.is_success() || answer.excerpt.is_empty() {
        return None;
    }
    let mut text = String::from_utf8_lossy(&answer.excerpt);
    for name in endpoint
        .headers
        .iter()
        .flat_map(|header| header.value.secrets())
    {
        let Ok(secret) = secrets.secret(name) else {
            continue;
        };
        // A secret of a letter or two would blot out everything, and is none.
        if let Ok(secret) = std::str::from_utf8(secret.expose())
            && secret.len() > 2
            && text.contains(secret)
        {
            text = Cow::Owned(text.replace(secret, BLOT));
        }
    }
    let printable = text.replace(|letter: char| letter.is_control() && letter != '\n', " ");
    Some(detail(printable.trim()))
}
