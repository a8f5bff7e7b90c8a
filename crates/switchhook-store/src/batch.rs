//! What is written: everything that must be true together, as one value.

use std::sync::Arc;

use bytes::Bytes;
use switchhook_core::delivery::{DeliveryKey, Records, Waiting};
use switchhook_core::event::Headers;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

/// One write. All of it is committed, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Events to append, in this order.
    pub events: Vec<NewEvent>,
    /// Whether nothing of the batch takes effect when one of `events` has the identity of another, in the log or
    /// in the batch, and a different body. Otherwise such an event alone is left out.
    pub refuse_conflicts: bool,
    /// What dispatch has done.
    pub records: Records,
    /// Dead letters to replay.
    pub replays: Vec<Replay>,
    /// Dead letters to discard: delivery and the chain that died.
    pub discards: Vec<(DeliveryKey, u16)>,
    /// Resources made, changed or deleted through the API.
    pub resources: Vec<ResourceChange>,
    /// API tokens to add.
    pub tokens: Vec<Token>,
    /// After the clock went back to this time: no row may wait longer than its planned delay from here.
    pub rebase: Option<UnixMs>,
}

/// An event that has no offset yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id, used unless it is a duplicate.
    pub id: EventId,
    /// Name of its source.
    pub source: Arc<str>,
    /// Event type.
    pub kind: Arc<str>,
    /// Ordering key.
    pub key: Option<Arc<str>>,
    /// When it was accepted.
    pub received_at: UnixMs,
    /// Headers kept.
    pub headers: Headers,
    /// Exact bytes.
    pub body: Bytes,
    /// What makes it the same as another one.
    pub dedup: Option<DedupEntry>,
}

/// The identity of an event within its source, and for how long it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupEntry {
    /// First 16 bytes of the SHA-256 of source and identity.
    pub key: [u8; 16],
    /// First 8 bytes of the SHA-256 of the body, to tell a repeat from a conflict.
    pub body_hash: u64,
    /// An entry older than this is forgotten, in milliseconds.
    pub window_ms: u64,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log.
    New {
        /// Its id.
        id: EventId,
        /// Its position.
        offset: Offset,
    },
    /// It was there already; nothing was appended.
    Duplicate {
        /// The id of the first.
        id: EventId,
        /// Whether the bodies are the same. If not, the sender used one identity for two events.
        same_body: bool,
    },
}

/// An event that has the identity of another one and a different body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Its place in [`Batch::events`].
    pub index: usize,
    /// The one that has the identity.
    pub first: First,
}

/// The event that was there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// One of the log.
    InLog(EventId),
    /// An earlier one of the same batch, by its place in it.
    InBatch(usize),
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Why nothing of the batch took effect: only with [`Batch::refuse_conflicts`]. All else is empty then.
    pub conflict: Option<Conflict>,
    /// One per event, in order. (Events that records bring along have none.)
    pub appended: Vec<Appended>,
    /// Dead letters that were there and now wait again.
    pub replayed: u64,
    /// Dead letters that were there and are gone.
    pub discarded: u64,
}

/// Puts a dead letter back to work, if it is still there with that chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The chain that died.
    pub dead_chain: u16,
    /// The row to write in its place.
    pub waiting: Waiting,
}

/// A resource made through the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `source`, `endpoint`, …
    pub kind: Arc<str>,
    /// Its name, unique within the kind.
    pub name: Arc<str>,
    /// 1 at first, one more with each change; never used again after a delete.
    pub version: u64,
    /// JSON, in the shape of the configuration file.
    pub body: Arc<str>,
    /// Last change.
    pub updated_at: UnixMs,
}

/// A change to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceChange {
    /// `source`, `endpoint`, …
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The new body, or `None` to delete.
    pub body: Option<Arc<str>>,
    /// When.
    pub at: UnixMs,
}

/// An API token. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it is called.
    pub name: Arc<str>,
    /// When it was made.
    pub created_at: UnixMs,
}
