//! What one request would carry, with no secret read: body in clear, and every header.
//!
//! The order in which headers replace each other is that of dispatch: configured ones, those of the body's format, our
//! own, signatures, and the one that proves who we are. A signature is only shown to be there.

use std::collections::BTreeMap;

use http::HeaderValue;
use serde_json::Value;
use switchhook_core::endpoint::{Auth, Endpoint};
use switchhook_core::envelope::{Content, Payload, dress};
use switchhook_core::event::Event;
use switchhook_core::expression::Subject;
use switchhook_core::id::DeliveryId;
use switchhook_core::retry::Policy;
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::{self, Signer};
use switchhook_core::subscription::Subscription;
use switchhook_core::template::Values;
use switchhook_core::time::UnixMs;
use switchhook_core::transform::Transform;
use switchhook_core::transform::preset::{Preset, with_routing_key};

/// What stands where a signature would.
pub(super) const SIGNATURE: &str = "<signature>";
/// What stands where a token that is fetched would.
const TOKEN: &str = "<token>";
/// Content type of a body that is made here.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Keys that open nothing, so that the core can be asked which headers its schemes set: one for shared secrets, one
/// for ed25519.
const KEYS: [&str; 2] = [
    "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
];

/// What a request is made of.
pub(super) struct Attempt<'a> {
    pub(super) subscription: &'a Subscription,
    pub(super) policy: &'a Policy,
    pub(super) endpoint: &'a Endpoint,
    pub(super) event: &'a Event,
    /// 1, 2, …
    pub(super) n: u16,
    pub(super) at: UnixMs,
}

/// A request that is not sent.
#[derive(Debug)]
pub(super) struct Request {
    /// The body: JSON, or the text of one that is none.
    pub(super) body: Value,
    /// Headers by name, in lower case.
    pub(super) headers: BTreeMap<String, String>,
}

/// Gives every secret the same way: as its own name between brackets, or as a key that opens nothing.
enum Names {
    Shown,
    Key(&'static str),
}

impl Lookup for Names {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Shown => shown(name),
            Self::Key(key) => (*key).to_owned(),
        };
        Ok(Secret::new(text.into_bytes()))
    }
}

fn shown(name: &str) -> String {
    format!("<secret:{name}>")
}

/// What stands where the value of `secret` would.
fn placeholder(secret: &SecretRef) -> String {
    secret
        .name()
        .map_or_else(|| shown("literal"), |name| shown(name))
}

/// The request of `attempt`.
///
/// # Errors
/// When the body cannot be made or a header cannot be filled, in words.
pub(super) fn make(attempt: &Attempt<'_>) -> Result<Request, String> {
    let &Attempt {
        subscription,
        endpoint,
        event,
        ..
    } = attempt;
    let delivery = DeliveryId::derive(event.id, &subscription.name);
    let unmade = |error: &dyn std::fmt::Display| format!("the body cannot be made: {error}");
    let made = subscription.transform.apply(&Subject::new(event));
    let made = made.map_err(|error| unmade(&error))?;
    let made = match (made, &endpoint.auth) {
        (Some(body), Some(Auth::Bearer(key) | Auth::ApiKey { key, .. }))
            if subscription.transform == Transform::Preset(Preset::PagerDuty) =>
        {
            Some(with_routing_key(&body, &placeholder(key)))
        }
        (made, _) => made,
    };
    let content_type = content_type(endpoint, event, made.is_some());
    let content = Content {
        event,
        delivery,
        attempt: attempt.n,
        now: attempt.at,
        policy: attempt.policy,
        payload: Payload::Clear {
            body: made.as_ref().unwrap_or(&event.body),
            content_type: &content_type,
        },
    };
    let dressed = dress(subscription.format, &content).map_err(|error| unmade(&error))?;
    let mut headers = configured(attempt, delivery)?;
    let mut put = |name: &str, value: &[u8]| {
        headers.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
    };
    put("content-type", dressed.content_type.as_bytes());
    for (name, value) in &dressed.headers {
        put(name.as_str(), value.as_bytes());
    }
    for (name, value) in [
        ("x-delivery-id", delivery.to_string()),
        ("x-delivery-attempt", attempt.n.to_string()),
        ("x-integration-id", subscription.id.to_string()),
        ("x-event-id", event.id.to_string()),
    ] {
        put(name, value.as_bytes());
    }
    for signer in &endpoint.signers {
        signed(signer, delivery, attempt.at, &mut put)?;
    }
    if let Some(auth) = &endpoint.auth {
        let (name, value) = proof(auth);
        put(name, value.as_bytes());
    }
    let text = || Value::from(String::from_utf8_lossy(&dressed.body));
    Ok(Request {
        body: serde_json::from_slice(&dressed.body).unwrap_or_else(|_| text()),
        headers,
    })
}

fn content_type(endpoint: &Endpoint, event: &Event, is_made: bool) -> HeaderValue {
    let own = || event.header("content-type").filter(|_| !is_made);
    let written = endpoint.content_type.as_deref().or_else(own);
    let written = written.and_then(|written| HeaderValue::from_str(written).ok());
    written.unwrap_or(JSON)
}

/// The configured headers, filled for this attempt.
fn configured(
    attempt: &Attempt<'_>,
    delivery: DeliveryId,
) -> Result<BTreeMap<String, String>, String> {
    let values = Values {
        event: attempt.event,
        delivery,
        attempt: attempt.n,
        secrets: &Names::Shown,
    };
    let filled = attempt.endpoint.headers.iter().map(|header| {
        let value = header.value.fill(&values);
        let value =
            value.map_err(|error| format!("header `{}` cannot be filled: {error}", header.name))?;
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok((header.name.to_string(), text))
    });
    filled.collect()
}

/// Puts the headers that `signer` sets. Their values say no more than that they are there.
fn signed(
    signer: &Signer,
    delivery: DeliveryId,
    at: UnixMs,
    put: &mut impl FnMut(&str, &[u8]),
) -> Result<(), String> {
    let id = delivery.to_string();
    let attempts = KEYS.map(|key| {
        let signer = std::slice::from_ref(signer);
        sign::headers(signer, &id, at, b"", &Names::Key(key))
    });
    let [one, other] = attempts;
    let headers = one.or(other);
    let headers = headers.map_err(|error| format!("the request cannot be signed: {error}"))?;
    for (name, value) in headers {
        match name.as_str() {
            known @ ("webhook-id" | "webhook-timestamp") => put(known, value.as_bytes()),
            signature => put(signature, SIGNATURE.as_bytes()),
        }
    }
    Ok(())
}

/// The header that proves who we are, with the names of its secrets.
fn proof(auth: &Auth) -> (&str, String) {
    const AUTHORIZATION: &str = "authorization";
    match auth {
        Auth::Basic { username, password } => (
            AUTHORIZATION,
            format!("Basic {username}:{}", placeholder(password)),
        ),
        Auth::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", placeholder(token))),
        Auth::ApiKey { header, key } => (header.as_str(), placeholder(key)),
        Auth::ClientCredentials(_) => (AUTHORIZATION, format!("Bearer {TOKEN}")),
    }
}
