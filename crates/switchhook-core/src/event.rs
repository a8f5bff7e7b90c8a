//! An event as it was accepted: exact bytes, and what the source's rules read out of them.
//!
//! Invariant: `body` is what the sender sent, byte for byte; nothing re-serialises it.

use std::sync::Arc;

use bytes::Bytes;

use crate::id::{EventId, Offset};
use crate::time::UnixMs;

/// The source name of the events that the gateway itself makes. No configured source may take it.
pub const OWN_SOURCE: &str = "switchhook";

/// An accepted event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the log; given by the store when it appends.
    pub offset: Offset,
    /// The id that the sender was told.
    pub id: EventId,
    /// Name of the source it came through.
    pub source: Arc<str>,
    /// Event type, for example `v2.detail.events.conversation.{id}.customer.end`.
    pub kind: Arc<str>,
    /// Ordering key, for example a conversation id.
    pub key: Option<Arc<str>>,
    /// When it was accepted.
    pub received_at: UnixMs,
    /// The request headers that the source keeps, names in lower case.
    pub headers: Headers,
    /// The exact bytes received.
    pub body: Bytes,
}

/// Header names (lower case) and values, in the order received.
pub type Headers = Arc<[(Arc<str>, Arc<str>)]>;

impl Event {
    /// The value of the kept header `name` (lower case), the first if it came more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| &**n == name)
            .map(|(_, value)| &**value)
    }

    /// What the event costs in memory, in bytes: body, headers and a fixed part.
    #[must_use]
    pub fn weight(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(n, v)| n.len() + v.len() + 32)
            .sum();
        self.body.len() + headers + 256
    }
}
