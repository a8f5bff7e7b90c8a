//! Events of our own: what the gateway tells about itself.
//!
//! There is one so far: `integration.message.failed`, made for each dead letter and appended in the
//! commit that makes it. A subscription takes it like any other event, from source `switchhook`.
//! A dead letter of such an event makes no further one: it cannot loop.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::delivery::{Dead, OutcomeKind};
use crate::event::{Event, Headers, OWN_SOURCE};
use crate::id::{DeliveryId, EventId};
use crate::time::UnixMs;

/// Type of the event that tells of a dead letter (seed 004's name).
pub const MESSAGE_FAILED: &str = "integration.message.failed";

/// An event of ours that has no offset yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEvent {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub kind: Arc<str>,
    /// Ordering key: that of the event it tells about.
    pub key: Option<Arc<str>>,
    /// When it was made.
    pub at: UnixMs,
    /// Always `content-type: application/json`.
    pub headers: Headers,
    /// JSON.
    pub body: Bytes,
}

/// The event that tells of `dead`, or `None` where `event` is itself one of ours.
///
/// Its id is derived from the delivery and chain, so that a repeated decision makes the same event.
#[must_use]
pub fn message_failed(event: &Event, dead: &Dead) -> Option<OwnEvent> {
    if &*event.source == OWN_SOURCE {
        return None;
    }
    let delivery = DeliveryId::derive(event.id, &dead.key.subscription);
    let (status, error) = match dead.outcome {
        Some(OutcomeKind::Status(status)) => (Some(status), None),
        Some(OutcomeKind::Failed(failure)) => (None, Some(failure.name())),
        None => (None, None),
    };
    let body = json!({
        "eventId": event.id.to_string(),
        "deliveryId": delivery.to_string(),
        "source": &*event.source,
        "type": &*event.kind,
        "key": event.key.as_deref(),
        "subscription": &*dead.key.subscription,
        "endpoint": &*dead.endpoint,
        "reason": dead.reason.name(),
        "attempts": dead.attempts,
        "status": status,
        "error": error,
        "receivedAt": event.received_at.0,
        "failedAt": dead.at.0,
    });
    Some(OwnEvent {
        id: own_id(dead.at, delivery, dead.chain),
        kind: MESSAGE_FAILED.into(),
        key: event.key.clone(),
        at: dead.at,
        headers: Arc::from([("content-type".into(), "application/json".into())]),
        body: Bytes::from(body.to_string()),
    })
}

/// A `UUIDv7` whose random part is derived from the delivery and chain.
fn own_id(at: UnixMs, delivery: DeliveryId, chain: u16) -> EventId {
    let random = (u128::from(delivery.entropy(u32::from(chain))) << 64)
        | u128::from(delivery.entropy(u32::from(chain) | 0x1_0000));
    let bytes = random.to_be_bytes();
    let mut ten = [0_u8; 10];
    for (to, from) in ten.iter_mut().zip(bytes) {
        *to = from;
    }
    EventId(uuid::Builder::from_unix_timestamp_millis(at.0, &ten).into_uuid())
}
