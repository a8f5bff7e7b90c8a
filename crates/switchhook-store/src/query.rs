//! What is read: limits, filters and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::audit;
use switchhook_core::delivery::{Attempt, Dead, DeadReason, DeliveryKey, OutcomeKind, Waiting};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::sight::Sight;
use switchhook_core::time::UnixMs;

use crate::batch::AuditEntry;

/// How much one read may return. At least one item is returned if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// At most this many.
    pub items: usize,
    /// Stop when this many bytes of events are reached.
    pub bytes: usize,
}

/// Offsets that one scan looks at, and attempts that one page does, at most: some tens of milliseconds, so that other reads need not wait long.
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
    /// Why it was given up, as `sight` sees it.
    pub reason: Option<DeadReason>,
    /// Who looks.
    pub sight: Sight,
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
            && self
                .reason
                .is_none_or(|reason| self.sight.reason(dead.reason) == reason)
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
    pub entry: AuditEntry,
    /// [`switchhook_core::audit::link`] of the entry before and this one.
    pub hash: audit::Hash,
}

impl Audited {
    /// What `entry` becomes as number `number`, after one whose hash is `before`.
    pub(crate) fn after(before: &audit::Hash, number: u64, entry: AuditEntry) -> Self {
        let hash = audit::link(before, &entry.hashed(number));
        Self {
            number,
            entry,
            hash,
        }
    }
}

impl AuditEntry {
    /// Itself as it is hashed.
    #[must_use]
    pub fn hashed(&self, number: u64) -> audit::Entry<'_> {
        audit::Entry {
            number,
            // What is later than the store can say reads back as that.
            at: self.at.min(UnixMs::NEVER),
            actor: &self.actor,
            action: &self.action,
            object: &self.object,
            detail: &self.detail,
        }
    }
}

/// Which attempts to list. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Subscription name.
    pub subscription: Option<String>,
    /// Endpoint name.
    pub endpoint: Option<String>,
    /// Statuses of the answer, both ends included; without it also attempts that had no answer.
    pub status: Option<(u16, u16)>,
    /// Made at or after.
    pub since: Option<UnixMs>,
    /// Made before.
    pub until: Option<UnixMs>,
}

impl AttemptFilter {
    /// Whether an attempt with these is meant.
    pub(crate) fn matches(&self, attempt: &Attempt) -> bool {
        holds(self.subscription.as_deref(), &attempt.key.subscription)
            && holds(self.endpoint.as_deref(), &attempt.endpoint)
            && self.has(attempt.outcome, attempt.at)
    }

    /// Whether result and time are meant.
    pub(crate) fn has(&self, outcome: OutcomeKind, at: UnixMs) -> bool {
        let is_status = self.status.is_none_or(|(low, high)| match outcome {
            OutcomeKind::Status(status) => (low..=high).contains(&status),
            OutcomeKind::Failed(_) => false,
        });
        is_status && within(at, self.since, self.until)
    }
}

/// One page of attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptPage {
    /// The newest first, each with the id of its event.
    pub attempts: Vec<(Attempt, EventId)>,
    /// Where the next page goes on; `None` at the end of the log.
    pub next: Option<Offset>,
}

/// A page of attempts that is being filled, event by event, the newest first: the same in every engine.
#[derive(Debug)]
pub(crate) struct AttemptWalk {
    limit: Limit,
    page: AttemptPage,
    bytes: usize,
    /// Attempts looked at.
    looked: u64,
    /// The event looked at last.
    at: Option<Offset>,
}

impl AttemptWalk {
    pub(crate) const fn new(limit: Limit) -> Self {
        Self {
            limit,
            page: AttemptPage {
                attempts: Vec::new(),
                next: None,
            },
            bytes: 0,
            looked: 0,
            at: None,
        }
    }

    /// Comes to an attempt of the event at `offset`, and says whether the page ends before it.
    pub(crate) fn ends_before(&mut self, offset: Offset) -> bool {
        let is_full = self.page.attempts.len() >= self.limit.items.max(1)
            || (self.bytes >= self.limit.bytes && self.bytes > 0)
            || self.looked >= SCANNED_MAX;
        if let Some(at) = self.at.filter(|at| *at != offset && is_full) {
            self.page.next = Some(at);
            return true;
        }
        self.at = Some(offset);
        self.looked += 1;
        false
    }

    /// Takes an attempt that matches.
    pub(crate) fn take(&mut self, attempt: Attempt, event: EventId) {
        let detail = attempt.detail.as_ref().map_or(0, |detail| detail.len());
        self.bytes = self.bytes.saturating_add(ATTEMPT_BYTES + detail);
        self.page.attempts.push((attempt, event));
    }

    /// The page: the newest attempt first, and of two at one time the one of the later event.
    pub(crate) fn page(mut self) -> AttemptPage {
        self.page.attempts.sort_by(|(a, _), (b, _)| {
            let newest = (b.at, b.key.offset).cmp(&(a.at, a.key.offset));
            let of_event = || a.key.subscription.cmp(&b.key.subscription);
            let last = || (b.chain, b.n).cmp(&(a.chain, a.n));
            newest.then_with(of_event).then_with(last)
        });
        self.page
    }
}

/// What an attempt weighs beside its text, roughly, in bytes.
const ATTEMPT_BYTES: usize = 160;
