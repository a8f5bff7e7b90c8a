//! Events: as listed and shown, as acknowledged by ingest, and as sent for a test.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_core::event::Event;

use super::time::rfc3339;

/// An accepted event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// `evt_…`
    pub id: String,
    /// Position in the log.
    pub offset: u64,
    /// Name of the source.
    pub source: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was accepted.
    pub received_at: String,
    /// Headers kept, names in lower case. Of one that came several times, the first.
    pub headers: BTreeMap<String, String>,
    /// Size of the body as received.
    pub body_bytes: usize,
    /// The body, where it is JSON and was asked for. Numbers and spacing may be written differently than
    /// received; `bodyBase64` is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The exact bytes, where they were asked for or are not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// How an [`EventView`] shows the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Not at all: in lists.
    Absent,
    /// As JSON where it is JSON, else as base64: for people.
    Readable,
    /// As base64: for exports that must be exact.
    Exact,
}

impl EventView {
    /// A view of `event`.
    #[must_use]
    pub fn new(event: &Event, form: BodyForm) -> Self {
        let body = match form {
            BodyForm::Readable => serde_json::from_slice(&event.body).ok(),
            BodyForm::Absent | BodyForm::Exact => None,
        };
        let exact = form != BodyForm::Absent && body.is_none();
        let mut headers = BTreeMap::new();
        for (name, value) in event.headers.iter() {
            headers
                .entry(name.to_string())
                .or_insert_with(|| value.to_string());
        }
        Self {
            id: event.id.to_string(),
            offset: event.offset.0,
            source: event.source.to_string(),
            kind: event.kind.to_string(),
            key: event.key.as_deref().map(str::to_owned),
            received_at: rfc3339(event.received_at),
            headers,
            body_bytes: event.body.len(),
            body,
            body_base64: exact.then(|| BASE64.encode(&event.body)),
        }
    }
}

/// Newest events first.
pub type EventList = super::Page<EventView>;

/// Which events to list. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EventQuery {
    /// Source name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Exact event type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Accepted at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Strictly before this offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// Ingest's answer to one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Id of the event; of the first one, when this is a repeat.
    pub event_id: String,
    /// Whether it was accepted before.
    pub duplicate: bool,
}

/// Ingest's answer to a batch, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedBatch {
    /// One per event.
    pub events: Vec<Accepted>,
}

/// Sends an event that the gateway makes up, through the whole of ingest, signed as the source needs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TestEventRequest {
    /// Event type; the source's rule says where it is written.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The body to start from; a realistic one for the source's preset when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Values to write into the body, by dotted path (`channel.from.id`) or JSON pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
}

/// The answer to a [`TestEventRequest`].
pub type TestEventAnswer = Accepted;
