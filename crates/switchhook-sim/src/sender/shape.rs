//! The JSON of one event, in each shape that the presets read.
//!
//! | shape | type | ordering key | identity |
//! |---|---|---|---|
//! | EventBridge | `/detail-type` | `/detail/eventBody/conversationId`, else `/detail/eventBody/queueId` | `/id` |
//! | Open Messaging | `/type` | `/channel/to/id` (the customer) | `/id` and `/channel/time` |
//! | plain | `/type` | `/key` | `/id` |
//!
//! The fields are those of `facts/genesys` 2.2 and 2.4. `eventTime` is a number of milliseconds as in
//! the real detail events, every other time is ISO 8601.

use serde_json::{Value, json};
use switchhook_core::time::UnixMs;

use crate::entropy::Entropy;

/// The event type of an EventBridge test event when none is named.
pub const TOPIC_DEFAULT: &str = "v2.detail.events.conversation.{id}.customer.end";

const ORG: &str = "5b1f7c2e-3a94-4c0d-9d5e-0f6a7b8c9d01";
const DIVISION: &str = "c7e1b0aa-52d4-4f0e-8a31-6f2d9b7c4e02";
const INTEGRATION: &str = "0d6f3c4b-71a2-4e58-b9c3-8a1e5d2f7b03";
const QUEUES: &[&str] = &[
    "1a2b6f10-8c4d-4e7a-9f01-a1b2c3d4e511",
    "2b3c7f20-9d5e-4f8b-8f02-b2c3d4e5f622",
    "3c4d8f30-ae6f-4a9c-9f03-c3d4e5f6a733",
];
const AGENTS: &[&str] = &[
    "7a10e5d1-04b2-4c66-8d11-00a1b2c3d401",
    "7a10e5d2-15c3-4d77-9d22-11b2c3d4e502",
    "7a10e5d3-26d4-4e88-8d33-22c3d4e5f603",
    "7a10e5d4-37e5-4f99-9d44-33d4e5f6a704",
];
const CODES: &[&str] = &["sale", "callback", "complaint", "wrong-number"];

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A Genesys topic inside an EventBridge envelope, as an API destination posts it.
    EventBridge,
    /// An Open Messaging notification to the customer's platform.
    OpenMessaging,
    /// `{id, type, key, time, data}`, for sources that are not Genesys.
    Plain,
}

impl Shape {
    /// The shape that sources with this preset expect; [`Shape::Plain`] for a preset without a shape
    /// of its own.
    #[must_use]
    pub fn of(preset: &str) -> Self {
        match preset {
            "eventbridge" => Self::EventBridge,
            "open-messaging" => Self::OpenMessaging,
            _ => Self::Plain,
        }
    }

    /// The name of the preset.
    #[must_use]
    pub const fn preset(self) -> &'static str {
        match self {
            Self::EventBridge => "eventbridge",
            Self::OpenMessaging => "open-messaging",
            Self::Plain => "plain",
        }
    }
}

/// Who and what an event is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) conversation: String,
    pub(crate) participant: String,
    pub(crate) session: String,
    pub(crate) customer: String,
    pub(crate) queue: &'static str,
    pub(crate) agent: &'static str,
    pub(crate) media: &'static str,
}

impl Subject {
    pub(crate) fn draw(entropy: &mut Entropy, media: &'static str) -> Self {
        Self {
            conversation: entropy.uuid(),
            participant: entropy.uuid(),
            session: entropy.uuid(),
            customer: format!("customer-{:05}", entropy.below(100_000)),
            queue: entropy.pick(QUEUES).copied().unwrap_or_default(),
            agent: entropy.pick(AGENTS).copied().unwrap_or_default(),
            media,
        }
    }
}

/// A realistic test event for a source with this preset, of type `kind` or a usual one.
///
/// The same arguments give the same event. A type that is no known topic gets the fields of a
/// conversation topic.
#[must_use]
pub fn fixture(preset: &str, kind: Option<&str>, id: &str, now: UnixMs) -> Value {
    let seed = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut entropy = Entropy::new(seed);
    let subject = Subject::draw(&mut entropy, "MESSAGE");
    match Shape::of(preset) {
        Shape::EventBridge => event_bridge(
            kind.unwrap_or(TOPIC_DEFAULT),
            &subject,
            id,
            &entropy.uuid(),
            now,
        ),
        Shape::OpenMessaging => open_message(
            kind.unwrap_or("Text"),
            &subject,
            id,
            "Hello from Switchhook",
            now,
        ),
        Shape::Plain => json!({
            "id": id,
            "type": kind.unwrap_or("test.event"),
            "key": subject.conversation,
            "time": iso(now),
            "data": {"message": "Hello from Switchhook"},
        }),
    }
}

/// `now` as Genesys writes it, for example `2026-01-02T03:04:05.678Z`.
pub(crate) fn iso(now: UnixMs) -> String {
    let ms = i64::try_from(now.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The topic `kind` about `subject`, as EventBridge hands it on. `id` is the envelope's.
pub(crate) fn event_bridge(
    kind: &str,
    subject: &Subject,
    id: &str,
    correlation: &str,
    now: UnixMs,
) -> Value {
    let queue_topic = kind.starts_with("v2.routing.queues.");
    let named = if queue_topic {
        subject.queue
    } else {
        &subject.conversation
    };
    let body = if queue_topic {
        queue_body(subject, now)
    } else {
        conversation_body(kind, subject, now)
    };
    let written = iso(now);
    let second = written.get(..19).unwrap_or_default();
    json!({
        "version": "0",
        "id": id,
        "detail-type": kind,
        "source": format!("aws.partner/genesys.com/cloud/{ORG}/switchhook"),
        "account": "123456789012",
        "time": format!("{second}Z"),
        "region": "eu-central-1",
        "resources": [],
        "detail": {
            "topicName": kind.replace("{id}", named),
            "version": "2",
            "eventBody": body,
            "metadata": {"CorrelationId": correlation},
            "timestamp": written,
        },
    })
}

/// The body of `v2.routing.queues.{id}.users`: a member whose state in the queue changed.
fn queue_body(subject: &Subject, now: UnixMs) -> Value {
    json!({
        "id": subject.agent,
        "queueId": subject.queue,
        "joined": true,
        "memberBy": "user",
        "routingStatus": {"userId": subject.agent, "status": "IDLE", "startTime": iso(now)},
    })
}

/// The body of a `v2.detail.events.conversation.{id}.…` topic.
fn conversation_body(kind: &str, subject: &Subject, now: UnixMs) -> Value {
    let mut body = json!({
        "eventTime": now.0,
        "conversationId": subject.conversation,
        "participantId": subject.participant,
        "sessionId": subject.session,
        "mediaType": subject.media,
        "provider": if subject.media == "VOICE" { "Edge" } else { "PureCloud Messaging" },
        "direction": "INBOUND",
        "divisionId": DIVISION,
    });
    let more = match kind.rsplit_once(".{id}.").map(|(_, what)| what) {
        Some("customer.start") => {
            json!({"messageType": "OPEN", "externalContactId": subject.customer})
        }
        Some("customer.end") => {
            json!({"disconnectType": "ENDPOINT", "interactingDurationMs": 60_000})
        }
        Some("acd.start") => json!({"queueId": subject.queue}),
        Some("acd.end") => json!({"queueId": subject.queue, "disconnectType": "TRANSFER"}),
        Some("user.start") => json!({"queueId": subject.queue, "userId": subject.agent}),
        Some("user.end") => json!({"userId": subject.agent, "disconnectType": "PEER"}),
        Some("wrapup") => json!({
            "queueId": subject.queue,
            "userId": subject.agent,
            "wrapupCode": pick_by(&subject.conversation, CODES),
            "wrapupDurationMs": 12_000,
        }),
        _ => Value::Null,
    };
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// One of `choices`, the same for the same text.
fn pick_by(text: &str, choices: &[&'static str]) -> &'static str {
    let sum: usize = text.bytes().map(usize::from).sum();
    choices
        .get(sum % choices.len().max(1))
        .copied()
        .unwrap_or_default()
}

/// A notification of Open Messaging: `Text`, `Event` (typing) or `Receipt`.
pub(crate) fn open_message(
    kind: &str,
    subject: &Subject,
    id: &str,
    text: &str,
    now: UnixMs,
) -> Value {
    let mut message = json!({
        "id": id,
        "channel": {
            "id": INTEGRATION,
            "platform": "Open",
            "type": "Private",
            "messageId": id,
            "to": {"id": subject.customer, "idType": "Opaque"},
            "from": {"id": INTEGRATION},
            "time": iso(now),
        },
        "type": kind,
        "direction": "Outbound",
        "originatingEntity": "Human",
        "metadata": {"conversationId": subject.conversation},
    });
    let more = match kind {
        "Event" => {
            json!({"events": [{"eventType": "Typing", "typing": {"type": "On", "duration": 5000}}]})
        }
        "Receipt" => json!({"status": "Delivered", "isFinalReceipt": true}),
        _ => json!({"text": text, "content": []}),
    };
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_767_323_045_678);

    fn at<'v>(event: &'v Value, pointer: &str) -> &'v str {
        event
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{pointer} in {event}"))
    }

    #[test]
    fn every_fixture_has_type_identity_and_key_where_its_preset_reads_them() {
        let cases = [
            (
                "eventbridge",
                "/detail-type",
                "/id",
                "/detail/eventBody/conversationId",
            ),
            ("open-messaging", "/type", "/id", "/channel/to/id"),
            ("standard-webhooks", "/type", "/id", "/key"),
        ];
        for (preset, kind, id, key) in cases {
            let event = fixture(preset, Some("some.type"), "id-1", NOW);
            assert_eq!(
                (at(&event, kind), at(&event, id)),
                ("some.type", "id-1"),
                "{preset}"
            );
            assert!(!at(&event, key).is_empty(), "{preset}");
            assert_eq!(
                event,
                fixture(preset, Some("some.type"), "id-1", NOW),
                "{preset}"
            );
            assert_ne!(
                at(&event, key),
                at(&fixture(preset, None, "id-2", NOW), key),
                "{preset}"
            );
        }
    }

    #[test]
    fn a_topic_keeps_its_template_as_type_and_names_its_subject() {
        let event = fixture("eventbridge", None, "id-1", NOW);
        let conversation = at(&event, "/detail/eventBody/conversationId");
        assert_eq!(at(&event, "/detail-type"), TOPIC_DEFAULT);
        assert_eq!(
            at(&event, "/detail/topicName"),
            TOPIC_DEFAULT.replace("{id}", conversation)
        );
        assert_eq!(event["detail"]["eventBody"]["eventTime"], NOW.0);
        assert_eq!(event["detail"]["eventBody"]["disconnectType"], "ENDPOINT");
        assert_eq!(at(&event, "/time"), "2026-01-02T03:04:05Z");
        assert_eq!(at(&event, "/detail/timestamp"), "2026-01-02T03:04:05.678Z");

        let queue = fixture(
            "eventbridge",
            Some("v2.routing.queues.{id}.users"),
            "id-1",
            NOW,
        );
        let id = at(&queue, "/detail/eventBody/queueId");
        assert_eq!(
            at(&queue, "/detail/topicName"),
            format!("v2.routing.queues.{id}.users")
        );
    }
}
