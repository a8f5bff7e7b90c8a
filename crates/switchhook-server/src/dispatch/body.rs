//! What one attempt sends: the body as the subscription and the endpoint want it, and what it is called.
//!
//! In this order: the subscription's transform, encryption, the format around both. The signature comes last, over the
//! bytes that are sent (see [`super::attempt`]). Without any of these the body is the event's own buffer: not copied,
//! and not read as JSON.
//!
//! `Content-Type`: what is delivered is, in this order, what the endpoint's `content_type` says; JSON, where a transform
//! made it; what the event came with; JSON. Formats that put something around it (the envelope, a structured `CloudEvent`,
//! encryption) have their own type, which nothing overrides: a receiver could not read the body by another.
//!
//! The preset for PagerDuty needs its routing key in the body: the key or token of the endpoint's `auth` is put there too.
//!
//! What fails here for one event fails for it always, so it is a template failure, which is not retried; but for keys.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::HeaderValue;
use switchhook_core::delivery::Failure;
use switchhook_core::endpoint::{Auth, Endpoint};
use switchhook_core::envelope::{Content, Dressed, Payload, dress};
use switchhook_core::event::Event;
use switchhook_core::expression::Subject;
use switchhook_core::secret::SecretRef;
use switchhook_core::time::UnixMs;
use switchhook_core::transform::Transform;
use switchhook_core::transform::preset::{Preset, with_routing_key};
use tokio::time::Instant;

use super::attempt::Attempt;
use super::guard::Fault;
use super::keys::Keys;
use crate::secrets::Secrets;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The body of `attempt`, made at `now`.
///
/// # Errors
/// When the event does not fit the transform or the format, or no key is to be had by `deadline`.
pub(super) async fn make(
    attempt: &Attempt<'_>,
    keys: &Keys,
    secrets: &Secrets,
    now: UnixMs,
    deadline: Instant,
) -> Result<Dressed, Fault> {
    let &Attempt {
        subscription,
        endpoint,
        event,
        delivery,
        ..
    } = attempt;
    let made = transformed(attempt, secrets)?;
    let content_type = content_type(endpoint, event, made.is_some());
    let body = made.as_ref().unwrap_or(&event.body);
    let sealed = match &endpoint.seal {
        Some(settings) => Some(
            keys.seal(settings, secrets, delivery, body, deadline)
                .await?,
        ),
        None => None,
    };
    let payload = match &sealed {
        Some(sealed) => Payload::Sealed(sealed),
        None => Payload::Clear {
            body,
            content_type: &content_type,
        },
    };
    let content = Content {
        event,
        delivery,
        attempt: attempt.n,
        now,
        policy: attempt.policy,
        payload,
    };
    dress(subscription.format, &content).map_err(|error| unmade(&error))
}

/// What the transform makes of the event; `None` when its bytes stay.
fn transformed(attempt: &Attempt<'_>, secrets: &Secrets) -> Result<Option<Bytes>, Fault> {
    let transform = &attempt.subscription.transform;
    let made = transform.apply(&Subject::new(attempt.event));
    let made = made.map_err(|error| unmade(&error))?;
    let is_pagerduty = *transform == Transform::Preset(Preset::PagerDuty);
    let (Some(body), true, Some(key)) = (&made, is_pagerduty, routing_key(attempt.endpoint)) else {
        return Ok(made);
    };
    let key = key.resolve(secrets).map_err(Fault::of_secret)?;
    let key = String::from_utf8_lossy(key.expose());
    Ok(Some(with_routing_key(body, &key)))
}

/// What PagerDuty wants to have in the body is what other servers want in a header: the endpoint's fixed key.
fn routing_key(endpoint: &Endpoint) -> Option<&SecretRef> {
    match &endpoint.auth {
        Some(Auth::Bearer(key) | Auth::ApiKey { key, .. }) => Some(key),
        Some(Auth::Basic { .. } | Auth::ClientCredentials(_)) | None => None,
    }
}

fn unmade(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        Failure::Template,
        format!("the body cannot be made: {error}"),
    )
}

fn content_type(endpoint: &Endpoint, event: &Event, is_made: bool) -> HeaderValue {
    let own = || event.header("content-type").filter(|_| !is_made);
    let written = endpoint.content_type.as_deref().or_else(own);
    written
        .and_then(|written| HeaderValue::from_str(written).ok())
        .unwrap_or(JSON)
}
