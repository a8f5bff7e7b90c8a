//! What is read: limits, filters and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::delivery::{Attempt, Dead, DeadReason, DeliveryKey, OutcomeKind, Waiting};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

/// How much one read may return. At least one item is returned if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// At most this many.
    pub items: usize,
    /// Stop when this many bytes of events are reached.
    pub bytes: usize,
}

/// Offsets that one scan looks at, at most: some tens of milliseconds, so that other reads need not wait long.
pub(crate) const SCANNED_MAX: u64 = 10_000;

/// What is left of a [`Limit`] during one read.
#[derive(Debug)]
pub(crate) struct Budget {
    items: usize,
    bytes: usize,
    first: bool,
}

impl Budget {
    pub(crate) const fn new(limit: Limit) -> Self {
        Self {
            items: limit.items,
            bytes: limit.bytes,
            first: true,
        }
    }

    /// Whether one more item may be looked for.
    pub(crate) const fn is_open(&self) -> bool {
        self.first || self.items > 0
    }

    /// Takes an item of that many bytes, or says that it does not fit and closes. The first always fits.
    pub(crate) const fn take(&mut self, bytes: usize) -> bool {
        if !self.first && (self.items == 0 || bytes > self.bytes) {
            self.items = 0;
            return false;
        }
        self.first = false;
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

/// Work that is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueWork {
    /// Oldest due first.
    pub rows: Vec<(Waiting, Arc<Event>)>,
    /// When the next row that is neither returned nor skipped is due.
    pub next_due: Option<UnixMs>,
}

/// Which events to list. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Source name.
    pub source: Option<String>,
    /// Exact event type.
    pub kind: Option<String>,
    /// Ordering key.
    pub key: Option<String>,
    /// Accepted at or after.
    pub since: Option<UnixMs>,
    /// Accepted before.
    pub until: Option<UnixMs>,
    /// At this offset or after.
    pub from: Option<Offset>,
    /// Before this offset.
    pub to: Option<Offset>,
}

impl EventFilter {
    /// Whether `event` is to be listed.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        holds(self.source.as_deref(), &event.source)
            && holds(self.kind.as_deref(), &event.kind)
            && self
                .key
                .as_deref()
                .is_none_or(|key| event.key.as_deref() == Some(key))
            && within(event.received_at, self.since, self.until)
            && self.from.is_none_or(|from| event.offset >= from)
            && self.to.is_none_or(|to| event.offset < to)
    }
}

fn holds(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

fn within(at: UnixMs, since: Option<UnixMs>, until: Option<UnixMs>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

/// Which dead letters. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Endpoint name.
    pub endpoint: Option<String>,
    /// Subscription name.
    pub subscription: Option<String>,
    /// Exact event type.
    pub kind: Option<String>,
    /// Status of the last answer.
    pub status: Option<u16>,
    /// Why it was given up.
    pub reason: Option<DeadReason>,
    /// This event only.
    pub offset: Option<Offset>,
    /// Given up at or after.
    pub since: Option<UnixMs>,
    /// Given up before.
    pub until: Option<UnixMs>,
}

impl DeadFilter {
    /// Whether `dead`, whose event has the type `kind`, is meant.
    #[must_use]
    pub fn matches(&self, dead: &Dead, kind: &str) -> bool {
        holds(self.endpoint.as_deref(), &dead.endpoint)
            && holds(self.subscription.as_deref(), &dead.key.subscription)
            && holds(self.kind.as_deref(), kind)
            && self
                .status
                .is_none_or(|status| dead.outcome == Some(OutcomeKind::Status(status)))
            && self.reason.is_none_or(|reason| dead.reason == reason)
            && self.offset.is_none_or(|offset| dead.key.offset == offset)
            && within(dead.at, self.since, self.until)
    }
}

/// A place in the list of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadPosition {
    /// When it was given up.
    pub at: UnixMs,
    /// The delivery.
    pub key: DeliveryKey,
}

/// A dead letter with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was given up, and why.
    pub dead: Dead,
    /// The event with its bytes.
    pub event: Arc<Event>,
}

/// All that is kept of one event's deliveries, over all subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// By subscription, chain and number. Where an attempt was made is not kept: each reads back with partition 0.
    pub attempts: Vec<Attempt>,
    /// Deliveries that wait.
    pub waiting: Vec<Waiting>,
    /// Deliveries given up.
    pub dead: Vec<Dead>,
}

/// How much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events in the log.
    pub events: u64,
    /// The next offset to be given.
    pub end: Offset,
    /// The oldest offset in the log; equal to `end` when it is empty.
    pub first: Offset,
    /// Waiting deliveries by subscription.
    pub waiting: BTreeMap<Arc<str>, u64>,
    /// Waiting deliveries by subscription and partition.
    pub partitions: BTreeMap<(Arc<str>, u16), u64>,
    /// Of these, the ones that are held, by subscription.
    pub held: BTreeMap<Arc<str>, u64>,
    /// When the oldest-due waiting delivery is due, by subscription.
    pub oldest_due: BTreeMap<Arc<str>, UnixMs>,
    /// Dead letters by endpoint and reason.
    pub dead: BTreeMap<(Arc<str>, DeadReason), u64>,
    /// Bytes on disk, all files together but the reserve for a full disk; 0 in memory.
    pub bytes: u64,
    /// Bytes free where the store lies; `u64::MAX` in memory.
    pub free_bytes: u64,
}

/// An entry of the audit log with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// 1, 2, … without gaps.
    pub number: u64,
    /// What was done.
    pub entry: crate::batch::AuditEntry,
}
