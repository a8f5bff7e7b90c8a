//! Attempts that a test makes, and what is needed for one.

use std::collections::BTreeMap;

use http::HeaderName;
use switchhook_core::endpoint::HeaderTemplate;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::retry::{Jitter, Schedule};
use switchhook_core::secret::SecretRef;
use switchhook_core::subscription::Target;
use switchhook_core::template::Template;
use switchhook_core::time::UnixMs;

use super::*;
use crate::dispatch::transport::lab::{LONG, endpoint, transport};
use crate::secrets::Origin;

pub(in crate::dispatch) const LOOPBACK: &[&str] = &["127.0.0.0/8"];
pub(in crate::dispatch) const TOKEN: &str = "s3cret-token";

pub(in crate::dispatch) fn environment(variable: &str) -> Option<String> {
    match variable {
        "TOKEN" => Some(TOKEN.to_owned()),
        "UNSENDABLE" => Some("line\nbreak".to_owned()),
        _ => None,
    }
}

pub(in crate::dispatch) fn sender() -> Sender {
    let origins = BTreeMap::from([
        ("token".into(), Origin::Env("TOKEN".into())),
        ("unsendable".into(), Origin::Env("UNSENDABLE".into())),
    ]);
    let secrets = Secrets::new(origins, environment);
    Sender::new(transport(), Arc::new(secrets), Clock::system())
}

pub(in crate::dispatch) fn named(name: &str) -> SecretRef {
    SecretRef::Named(name.into())
}

pub(in crate::dispatch) fn with_header(url: &str, name: &'static str, template: &str) -> Endpoint {
    let header = HeaderTemplate {
        name: HeaderName::from_static(name),
        value: Template::parse(template).unwrap(),
    };
    Endpoint {
        headers: vec![header],
        ..endpoint(url, LOOPBACK)
    }
}

pub(in crate::dispatch) fn with_auth(url: &str, auth: Auth) -> Endpoint {
    Endpoint {
        auth: Some(auth),
        ..endpoint(url, LOOPBACK)
    }
}

pub(in crate::dispatch) fn event(headers: &[(&str, &str)]) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(uuid::Uuid::from_u128(7)),
        source: "web".into(),
        kind: "a".into(),
        key: None,
        received_at: UnixMs(0),
        headers: headers
            .iter()
            .map(|(name, value)| (Arc::from(*name), Arc::from(*value)))
            .collect(),
        body: Bytes::from_static(b" {\"a\" : 1.0}\n"),
    }
}

pub(in crate::dispatch) fn subscription() -> Subscription {
    let to = Target::Endpoint("crm".into());
    Subscription::new("web-to-crm", vec![], vec![], to, "p")
}

pub(in crate::dispatch) fn policy() -> Policy {
    Policy {
        name: "p".into(),
        schedule: Schedule::Fixed { delay_ms: 1_000 },
        jitter: Jitter::None,
        max_attempts: 3,
        max_age_ms: 60_000,
        retry_after_max_ms: 60_000,
        rules: vec![],
    }
}

/// Gives `test` the third attempt to send `event` for `subscription` to `endpoint`.
pub(in crate::dispatch) async fn with_attempt<T>(
    (subscription, endpoint, event): (&Subscription, Endpoint, &Event),
    test: impl AsyncFnOnce(&Attempt<'_>) -> T,
) -> T {
    let attempt = Attempt {
        subscription,
        policy: &policy(),
        endpoint: &Arc::new(endpoint),
        event,
        delivery: DeliveryId::derive(event.id, &subscription.name),
        chain: 0,
        n: 3,
    };
    test(&attempt).await
}

pub(in crate::dispatch) async fn attempt_by(
    sender: &Sender,
    endpoint: Endpoint,
    event: &Event,
) -> Outcome {
    let made = (&subscription(), endpoint, event);
    with_attempt(made, async |attempt| sender.make(attempt).await).await
}

pub(in crate::dispatch) async fn attempt(endpoint: Endpoint, event: &Event) -> Outcome {
    attempt_by(&sender(), endpoint, event).await
}

/// The body and headers of an attempt, with the sender that made them.
pub(in crate::dispatch) async fn built(
    subscription: &Subscription,
    endpoint: Endpoint,
    event: &Event,
) -> Result<(Bytes, HeaderMap), Fault> {
    let sender = sender();
    let late = Instant::now() + LONG;
    with_attempt((subscription, endpoint, event), async |attempt| {
        let now = sender.clock.now();
        let made = body::make(attempt, &sender.keys, &sender.secrets, now, late).await?;
        let headers = headers::of(attempt, &made, &*sender.secrets, now)?;
        Ok((made.body, headers))
    })
    .await
}
