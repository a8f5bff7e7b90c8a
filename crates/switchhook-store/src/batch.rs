//! What is written: everything that must be true together, as one value.

use std::sync::Arc;

use bytes::Bytes;
use switchhook_core::delivery::{DeliveryKey, Records, Waiting};
use switchhook_core::event::Headers;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

use crate::Error;

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
    /// Deliveries to make again.
    pub replays: Vec<Replay>,
    /// Dead letters to discard: delivery and the chain that died.
    pub discards: Vec<(DeliveryKey, u16)>,
    /// Resources made, changed or deleted through the API.
    pub resources: Vec<ResourceChange>,
    /// Documents made, changed or deleted.
    pub documents: Vec<DocumentChange>,
    /// Subscriptions paused or resumed.
    pub pauses: Vec<PauseChange>,
    /// Jobs made or gone on, each written over the one with its id.
    pub jobs: Vec<Job>,
    /// Subscriptions whose partitions are others from now on.
    pub layouts: Vec<Layout>,
    /// What people did, with this batch.
    pub audit: Vec<AuditEntry>,
    /// What may be forgotten.
    pub retain: Option<Retain>,
    /// After the clock went back to this time: no row may wait longer than its planned delay from here.
    pub rebase: Option<UnixMs>,
}

impl Batch {
    /// Why no engine takes it.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.documents.iter().find_map(|change| {
            let bytes = change.body.as_ref()?.len();
            let DocumentChange { room, id, .. } = change;
            (bytes > DOCUMENT_BYTES_MAX).then(|| {
                Error::Refused(format!(
                    "the document {room:?} `{id}` has {bytes} bytes, the limit is {DOCUMENT_BYTES_MAX}"
                ))
            })
        })
    }
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
    /// Replays that took effect.
    pub replayed: u64,
    /// Dead letters that were there and are gone.
    pub discarded: u64,
    /// What was forgotten.
    pub retained: Retained,
}

/// Makes a delivery again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// `Some`: it must still be a dead letter, and of this chain. `None`: whatever became of it, unless it
    /// waits; the store then sets the chain of the row to one more than the highest it knows of the delivery. The dead
    /// letter goes in either case.
    pub dead_chain: Option<u16>,
    /// The row to write.
    pub waiting: Waiting,
}

/// A subscription is paused, or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseChange {
    /// Its name.
    pub subscription: Arc<str>,
    /// `None`: it goes on.
    pub pause: Option<Pause>,
}

/// Why a subscription is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub at: UnixMs,
    /// What the operator said.
    pub reason: Option<Arc<str>>,
}

/// A job: something long that goes on after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// `job_` and a `UUIDv7`.
    pub id: Arc<str>,
    /// Whether it has ended; those that have are forgotten first.
    pub is_over: bool,
    /// JSON: what it does and how far it has got.
    pub body: Arc<str>,
    /// Last change.
    pub updated_at: UnixMs,
}

/// Most jobs that are kept; the oldest that are over go first.
pub const JOBS_MAX: usize = 1_000;

/// The partitions of a subscription from now on. Where their number changes, every new partition begins at the
/// lowest offset that an old one had; rows are moved by writing them with their new place in the same batch or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Its name.
    pub subscription: Arc<str>,
    /// How many.
    pub partitions: u16,
    /// What decides where a delivery stands, as `Plan::layout` says it; kept, and handed back by [`crate::Store::layouts`].
    pub text: Arc<str>,
}

/// Something that a person or a program did through the API or the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: UnixMs,
    /// Who: the name of the token.
    pub actor: Arc<str>,
    /// What, for example `replay.start`.
    pub action: Arc<str>,
    /// To what, for example `subscription/web-to-crm`.
    pub object: Arc<str>,
    /// JSON, without secrets.
    pub detail: Arc<str>,
}

/// What may be forgotten, in one step of bounded work. What a waiting delivery or a dead letter needs always stays,
/// and so does every event from `keep_from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// Events accepted before this go, with their attempts.
    pub events_before: UnixMs,
    /// The lowest offset that a subscription or a job still wants.
    pub keep_from: Offset,
    /// Attempts made before this go, also of events that stay.
    pub attempts_before: UnixMs,
    /// Dead letters made before this go, but for those that halt their key.
    pub dead_before: UnixMs,
    /// Documents that have expired by this time, the time of the step itself, go.
    pub now: UnixMs,
    /// At most so many rows of each kind in this step.
    pub items: u32,
    /// At most so many free pages are given back to the file system in this step.
    pub pages: u32,
}

/// What a step of retention did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Events that are gone.
    pub events: u64,
    /// Attempts that are gone.
    pub attempts: u64,
    /// Dead letters that are gone.
    pub dead: u64,
    /// Expired documents that are gone.
    pub documents: u64,
    /// Bytes given back to the file system.
    pub bytes: u64,
    /// Whether there is more to do.
    pub more: bool,
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
    /// JSON in the shape of the configuration file, or sealed by the server; `None` when it was deleted: its version
    /// goes on from here.
    pub body: Option<Arc<str>>,
    /// The file that declares it, if one does.
    pub managed_by: Option<Arc<str>>,
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
    /// The file that declares it from now on, by the name that `switchhook apply` gave; `None` for a change by hand of
    /// a resource that no file declares.
    pub managed_by: Option<Arc<str>>,
    /// When.
    pub at: UnixMs,
}

/// What kind of thing a [`Document`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// API tokens, and access tokens of OAuth clients; by the hex SHA-256 of the token.
    Token,
    /// OAuth clients, by their id.
    Client,
    /// Secrets, sealed; by name.
    Secret,
    /// Versions of the configuration file that were in force, sealed; by their number in 20 digits.
    Config,
    /// Answers by idempotency key, sealed.
    Answer,
    /// Signed checkpoints of the audit log, by their number in 20 digits.
    Checkpoint,
    /// Single things: what was pinned, keys that are made once.
    Setting,
}

impl Room {
    /// Every room.
    pub const ALL: [Self; 7] = [
        Self::Token,
        Self::Client,
        Self::Secret,
        Self::Config,
        Self::Answer,
        Self::Checkpoint,
        Self::Setting,
    ];

    /// The number that stands for it on disk; never used again for another one.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Token => 1,
            Self::Client => 2,
            Self::Secret => 3,
            Self::Config => 4,
            Self::Answer => 5,
            Self::Checkpoint => 6,
            Self::Setting => 7,
        }
    }

    /// The room with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|room| room.code() == code)
    }
}

/// Largest body of a document, in bytes: a configuration file is at most 8 MiB, and sealing adds a little.
pub const DOCUMENT_BYTES_MAX: usize = 9 * 1024 * 1024;

/// Something small that the server keeps by name, and that the store does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub room: Room,
    /// Unique within its room.
    pub id: Arc<str>,
    /// Its bytes.
    pub body: Bytes,
    /// Last change.
    pub updated_at: UnixMs,
    /// From then on it counts as deleted; the next steps of retention take it away.
    pub expires_at: Option<UnixMs>,
}

impl Document {
    /// Whether it is still there at `now`.
    #[must_use]
    pub fn is_there(&self, now: UnixMs) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// A change to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange {
    /// What it is.
    pub room: Room,
    /// Unique within its room.
    pub id: Arc<str>,
    /// The new bytes, at most [`DOCUMENT_BYTES_MAX`], or `None` to delete.
    pub body: Option<Bytes>,
    /// When.
    pub at: UnixMs,
    /// From then on it counts as deleted.
    pub expires_at: Option<UnixMs>,
}
