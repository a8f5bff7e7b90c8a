//! The headers of one attempt, but those of the transport and the one that proves who we are. `wire.md` 5 has the table.
//!
//! Later ones replace earlier ones of the same name: the configured, then those of the body's format, then our own, then
//! the signatures, which cover the body as it is sent and carry the time of this attempt.

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use switchhook_core::delivery::Failure;
use switchhook_core::envelope::Dressed;
use switchhook_core::secret::Lookup;
use switchhook_core::sign::{self, SignError};
use switchhook_core::template::{TemplateError, Values};
use switchhook_core::time::UnixMs;

use super::Attempt;
use crate::dispatch::guard::Fault;

/// Who we say we are.
pub(in crate::dispatch) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("switchhook/", env!("CARGO_PKG_VERSION")));
const DELIVERY_ID: HeaderName = HeaderName::from_static("x-delivery-id");
const DELIVERY_ATTEMPT: HeaderName = HeaderName::from_static("x-delivery-attempt");
const INTEGRATION_ID: HeaderName = HeaderName::from_static("x-integration-id");
const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The headers of `attempt`, which sends `dressed` at `now`.
///
/// # Errors
/// When a template cannot be filled, or nothing can be signed.
pub(super) fn of(
    attempt: &Attempt<'_>,
    dressed: &Dressed,
    secrets: &dyn Lookup,
    now: UnixMs,
) -> Result<HeaderMap, Fault> {
    let &Attempt {
        endpoint,
        event,
        delivery,
        n,
        ..
    } = attempt;
    let mut headers = HeaderMap::with_capacity(16 + endpoint.headers.len());
    headers.insert(USER_AGENT, AGENT);
    fill(&mut headers, attempt, secrets)?;
    headers.insert(CONTENT_TYPE, dressed.content_type.clone());
    put(&mut headers, dressed.headers.iter().cloned());
    headers.insert(DELIVERY_ID, text_value(&delivery.to_string())?);
    headers.insert(DELIVERY_ATTEMPT, n.into());
    let subscription = attempt.subscription.id.to_string();
    headers.insert(INTEGRATION_ID, text_value(&subscription)?);
    headers.insert(EVENT_ID, text_value(&event.id.to_string())?);
    if let Some(traceparent) = event
        .header("traceparent")
        .and_then(|parent| continued(parent, attempt))
    {
        headers.insert(TRACEPARENT, text_value(&traceparent)?);
        if let Some(state) = event
            .header("tracestate")
            .and_then(|state| HeaderValue::from_str(state).ok())
        {
            headers.insert(TRACESTATE, state);
        }
    }
    if !endpoint.signers.is_empty() {
        let id = delivery.to_string();
        let signed = sign::headers(&endpoint.signers, &id, now, &dressed.body, secrets);
        put(&mut headers, signed.map_err(|error| unsigned(&error))?);
    }
    Ok(headers)
}

/// Each in place of what had its name: extending a map would keep both.
fn put(headers: &mut HeaderMap, more: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
    for (name, value) in more {
        headers.insert(name, value);
    }
}

/// The configured headers, filled for this attempt.
fn fill(headers: &mut HeaderMap, attempt: &Attempt<'_>, secrets: &dyn Lookup) -> Result<(), Fault> {
    let values = Values {
        event: attempt.event,
        delivery: attempt.delivery,
        attempt: attempt.n,
        secrets,
    };
    for template in &attempt.endpoint.headers {
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
    Ok(())
}

/// A clock that is not set is mended like a secret that is missing: meanwhile the attempt is repeated, and no endpoint is
/// blamed. The rest would not be better next time.
fn unsigned(error: &SignError) -> Fault {
    let failure = match error {
        SignError::Secret(_) | SignError::Clock(_) => Failure::Secret,
        SignError::Secrets { .. } | SignError::Header(_) | SignError::Id(_) => Failure::Template,
    };
    Fault::new(failure, format!("the request cannot be signed: {error}"))
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
pub(super) fn continued(traceparent: &str, attempt: &Attempt<'_>) -> Option<String> {
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
        attempt.delivery.entropy(number).max(1)
    ))
}
