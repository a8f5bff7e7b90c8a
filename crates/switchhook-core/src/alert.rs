//! Events of our own: what the gateway tells about itself.
//!
//! `integration.message.failed` tells of a dead letter and is appended in the commit that makes it; the
//! others tell of an endpoint's breaker ([`breaker_changed`]) or of a watched figure ([`watch`]). A
//! subscription takes them like any other event, from source `switchhook`. A dead letter of such an event
//! makes no further one: it cannot loop.
//!
//! Every body is a JSON object with `title`, `severity` (`info`, `warning`, `error`, `critical`), `state`
//! (`raised` or `cleared`), `subject` (`kind` and `name`: what it is about, the same when it is cleared),
//! `summary` (one sentence) and `at` (RFC 3339), so that one template fits all of them, and with details of
//! its own. None holds a body that an endpoint sent, or any part of an event but its names.

mod endpoint;
mod text;
pub mod watch;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::delivery::{Dead, OutcomeKind};
use crate::event::{Event, Headers, OWN_SOURCE};
use crate::id::{DeliveryId, EventId};
use crate::sight::Sight;
use crate::time::{UnixMs, rfc3339};

pub use endpoint::{
    BREAKER_CLOSED, BREAKER_OPENED, ENDPOINT_AUTH_HOLD, ENDPOINT_GONE, ENDPOINT_PAUSED,
    ENDPOINT_RESUMED, breaker_changed,
};
pub use watch::{ALERT_CLEARED, ALERT_RAISED, watched};

/// Type of the event that tells of a dead letter (seed 004's name).
pub const MESSAGE_FAILED: &str = "integration.message.failed";

/// Type: a job has ended, whatever the way.
pub const JOB_FINISHED: &str = "switchhook.job.finished";

/// The types of all events of our own.
pub const TYPES: &[&str] = &[
    MESSAGE_FAILED,
    BREAKER_OPENED,
    BREAKER_CLOSED,
    ENDPOINT_AUTH_HOLD,
    ENDPOINT_GONE,
    ENDPOINT_PAUSED,
    ENDPOINT_RESUMED,
    ALERT_RAISED,
    ALERT_CLEARED,
    JOB_FINISHED,
];

/// An event of ours that has no offset yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEvent {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub kind: Arc<str>,
    /// Ordering key: that of the event it tells about, or the name of its subject.
    pub key: Option<Arc<str>>,
    /// When it was made.
    pub at: UnixMs,
    /// Always `content-type: application/json`.
    pub headers: Headers,
    /// JSON.
    pub body: Bytes,
}

/// What all bodies have in common.
struct Notice<'a> {
    title: String,
    severity: &'static str,
    raised: bool,
    /// Kind and name.
    subject: (&'static str, &'a str),
    summary: String,
    at: UnixMs,
}

impl Notice<'_> {
    /// The body, with the entries of `details` besides.
    fn body(&self, mut details: Value) -> Bytes {
        let (kind, name) = self.subject;
        if let Some(entries) = details.as_object_mut() {
            for (key, value) in [
                ("title", json!(self.title)),
                ("severity", json!(self.severity)),
                (
                    "state",
                    json!(if self.raised { "raised" } else { "cleared" }),
                ),
                ("subject", json!({ "kind": kind, "name": name })),
                ("summary", json!(self.summary)),
                ("at", json!(rfc3339(self.at))),
            ] {
                entries.insert(key.into(), value);
            }
        }
        Bytes::from(details.to_string())
    }

    /// The event of this type. `number` tells it from another one about the same subject at the same time.
    fn event(&self, kind: &'static str, number: u64, details: Value) -> OwnEvent {
        let (_, name) = self.subject;
        let mut hash = Sha256::new();
        for part in [
            kind.as_bytes(),
            &[0],
            name.as_bytes(),
            &[0],
            &number.to_be_bytes(),
        ] {
            hash.update(part);
        }
        OwnEvent {
            id: own_id(self.at, &hash.finalize()),
            kind: kind.into(),
            key: Some(name.into()),
            at: self.at,
            headers: json_headers(),
            body: self.body(details),
        }
    }
}

/// The event that tells of `dead`, or `None` where `event` is itself one of ours.
///
/// Its id is derived from the delivery and chain, so that a repeated decision makes the same event.
#[must_use]
pub fn message_failed(event: &Event, dead: &Dead) -> Option<OwnEvent> {
    if &*event.source == OWN_SOURCE {
        return None;
    }
    // It goes to receivers, and everybody who may look at events can read it.
    let dead = &Sight::Outside.dead(dead);
    let delivery = DeliveryId::derive(event.id, &dead.key.subscription);
    let (status, error) = match dead.outcome {
        Some(OutcomeKind::Status(status)) => (Some(status), None),
        Some(OutcomeKind::Failed(failure)) => (None, Some(failure.name())),
        None => (None, None),
    };
    let subscription = &*dead.key.subscription;
    let (reason, attempts) = (dead.reason.name(), dead.attempts);
    let notice = Notice {
        title: format!("A delivery of {subscription} was given up"),
        severity: "error",
        raised: true,
        subject: ("subscription", subscription),
        summary: format!(
            "Event {} for subscription {subscription} was given up after {attempts} attempts at endpoint {} \
             ({reason}); it can be replayed.",
            event.id, dead.endpoint,
        ),
        at: dead.at,
    };
    let body = notice.body(json!({
        "eventId": event.id.to_string(),
        "deliveryId": delivery.to_string(),
        "source": &*event.source,
        "type": &*event.kind,
        "key": event.key.as_deref(),
        "subscription": subscription,
        "endpoint": &*dead.endpoint,
        "reason": reason,
        "attempts": attempts,
        "status": status,
        "error": error,
        "receivedAt": event.received_at.0,
        "failedAt": dead.at.0,
    }));
    let chain = u32::from(dead.chain);
    let random = (u128::from(delivery.entropy(chain)) << 64)
        | u128::from(delivery.entropy(chain | 0x1_0000));
    Some(OwnEvent {
        id: own_id(dead.at, &random.to_be_bytes()),
        kind: MESSAGE_FAILED.into(),
        key: event.key.clone(),
        at: dead.at,
        headers: json_headers(),
        body,
    })
}

fn json_headers() -> Headers {
    Arc::from([("content-type".into(), "application/json".into())])
}

/// A `UUIDv7` whose random part is the first ten of these bytes.
fn own_id(at: UnixMs, bytes: &[u8]) -> EventId {
    let mut ten = [0_u8; 10];
    for (to, from) in ten.iter_mut().zip(bytes) {
        *to = *from;
    }
    EventId(uuid::Builder::from_unix_timestamp_millis(at.0, &ten).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeadReason, DeliveryKey, Failure, Gap, Place};
    use crate::id::Offset;

    fn event(source: &str) -> Event {
        Event {
            offset: Offset(7),
            id: EventId(uuid::Uuid::from_u128(7)),
            source: source.into(),
            kind: "a.b".into(),
            key: Some("k".into()),
            received_at: UnixMs(1_000),
            headers: [].into(),
            body: Bytes::from_static(b"{\"name\":\"Ada\"}"),
        }
    }

    fn dead() -> Dead {
        Dead {
            key: DeliveryKey {
                subscription: "orders".into(),
                offset: Offset(7),
            },
            place: Place::default(),
            chain: 0,
            attempts: 3,
            at: UnixMs(9_000),
            reason: DeadReason::Exhausted,
            outcome: Some(OutcomeKind::Failed(Failure::Timeout)),
            endpoint: "crm".into(),
            detail: Some("body of the answer".into()),
            gap: Gap::None,
        }
    }

    #[test]
    fn a_dead_letter_is_told_in_the_common_words_and_its_own() {
        let told = message_failed(&event("web"), &dead()).unwrap();
        let body: Value = serde_json::from_slice(&told.body).unwrap();
        for (key, value) in [
            ("title", json!("A delivery of orders was given up")),
            ("severity", json!("error")),
            ("state", json!("raised")),
            (
                "subject",
                json!({ "kind": "subscription", "name": "orders" }),
            ),
            ("at", json!("1970-01-01T00:00:09.000Z")),
            ("type", json!("a.b")),
            ("key", json!("k")),
            ("endpoint", json!("crm")),
            ("reason", json!("exhausted")),
            ("attempts", json!(3)),
            ("error", json!("timeout")),
            ("receivedAt", json!(1_000)),
            ("failedAt", json!(9_000)),
        ] {
            assert_eq!(body[key], value, "{key}");
        }
        assert_eq!(told.key.as_deref(), Some("k"));
        assert_eq!(
            message_failed(&event("web"), &dead()),
            Some(told),
            "the same again"
        );
    }

    #[test]
    fn nothing_of_a_body_gets_into_the_event() {
        let told = message_failed(&event("web"), &dead()).unwrap();
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        assert!(!text.contains("Ada") && !text.contains("answer"), "{text}");
    }

    #[test]
    fn a_dead_letter_of_our_own_event_tells_nobody() {
        assert_eq!(message_failed(&event(OWN_SOURCE), &dead()), None);
    }
}
