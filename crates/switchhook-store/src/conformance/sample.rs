//! The events and records that the checks write.

use std::sync::Arc;

use bytes::Bytes;
use switchhook_core::delivery::{
    Attempt, Cursor, Dead, DeadReason, DeliveryKey, Failure, Gap, OutcomeKind, Place, Records,
    Verdict, WaitReason, Waiting,
};
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use uuid::Uuid;

use super::Fixture;
use crate::batch::{DedupEntry, NewEvent};
use crate::query::Limit;
use crate::{Appended, Batch};

/// A limit that nothing here reaches.
pub(super) const ALL: Limit = Limit {
    items: 1000,
    bytes: usize::MAX,
};

/// Event number `n`, accepted `n` seconds after time 0, from source `web`.
pub(super) fn event(n: u64) -> NewEvent {
    NewEvent {
        id: id(n),
        source: "web".into(),
        kind: "order.made".into(),
        key: None,
        received_at: UnixMs(n * 1000),
        headers: Arc::from([("content-type".into(), "text/plain".into())]),
        body: Bytes::from(format!("body {n}")),
        dedup: None,
    }
}

/// Id number `n`.
pub(super) fn id(n: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(n)))
}

/// The same event with an identity that is remembered for `window_ms`.
pub(super) fn with_dedup(event: NewEvent, key: u8, body_hash: u64, window_ms: u64) -> NewEvent {
    NewEvent {
        dedup: Some(DedupEntry {
            key: [key; 16],
            body_hash,
            window_ms,
        }),
        ..event
    }
}

/// A batch of events.
pub(super) fn events(events: impl IntoIterator<Item = NewEvent>) -> Batch {
    Batch {
        events: events.into_iter().collect(),
        ..Batch::default()
    }
}

/// A batch of records.
pub(super) fn records(records: Records) -> Batch {
    Batch {
        records,
        ..Batch::default()
    }
}

/// A batch of waiting rows.
pub(super) fn rows(rows: impl IntoIterator<Item = Waiting>) -> Batch {
    records(Records {
        waiting: rows.into_iter().collect(),
        ..Records::default()
    })
}

/// A batch of dead letters.
pub(super) fn letters(dead: impl IntoIterator<Item = Dead>) -> Batch {
    records(Records {
        dead: dead.into_iter().collect(),
        ..Records::default()
    })
}

/// A batch of attempts.
pub(super) fn attempts(attempts: impl IntoIterator<Item = Attempt>) -> Batch {
    records(Records {
        attempts: attempts.into_iter().collect(),
        ..Records::default()
    })
}

/// Appends events 1 to `count`.
pub(super) fn fill(fixture: &Fixture, count: u64) {
    fixture.write(events((1..=count).map(event)));
}

pub(super) fn key(subscription: &str, offset: u64) -> DeliveryKey {
    DeliveryKey {
        subscription: subscription.into(),
        offset: Offset(offset),
    }
}

pub(super) fn waiting(subscription: &str, offset: u64, due_ms: u64) -> Waiting {
    Waiting {
        key: key(subscription, offset),
        place: Place::default(),
        chain: 0,
        attempts: 2,
        counted: 1,
        due_at: UnixMs(due_ms),
        deadline: UnixMs::NEVER,
        delay_ms: 500,
        reason: WaitReason::Hold,
    }
}

pub(super) fn dead(subscription: &str, offset: u64, at_ms: u64) -> Dead {
    Dead {
        key: key(subscription, offset),
        place: Place::default(),
        chain: 0,
        attempts: 3,
        at: UnixMs(at_ms),
        reason: DeadReason::Exhausted,
        outcome: Some(OutcomeKind::Status(503)),
        endpoint: "crm".into(),
        detail: Some("service unavailable".into()),
        gap: Gap::None,
    }
}

pub(super) fn attempt(subscription: &str, offset: u64, n: u16) -> Attempt {
    Attempt {
        key: key(subscription, offset),
        partition: 0,
        chain: 0,
        n,
        endpoint: "crm".into(),
        at: UnixMs(10 + u64::from(n)),
        duration_ms: 7,
        outcome: OutcomeKind::Failed(Failure::Timeout),
        rule: "default: timeout".into(),
        verdict: Verdict::Retry,
        detail: Some("no answer".into()),
        next_at: Some(UnixMs(99)),
    }
}

/// A cursor without a member.
pub(super) fn cursor(subscription: &str, partition: u16, offset: u64) -> Cursor {
    Cursor {
        subscription: subscription.into(),
        partition,
        offset: Offset(offset),
        member: None,
    }
}

/// A batch of cursors.
pub(super) fn cursors(cursors: impl IntoIterator<Item = Cursor>) -> Batch {
    records(Records {
        cursors: cursors.into_iter().collect(),
        ..Records::default()
    })
}

/// What is returned for an event that was appended.
pub(super) fn appended(n: u64, offset: u64) -> Appended {
    Appended::New {
        id: id(n),
        offset: Offset(offset),
    }
}

/// The offsets as plain numbers.
pub(super) fn numbers<'a>(offsets: impl IntoIterator<Item = &'a Offset>) -> Vec<u64> {
    offsets.into_iter().map(|offset| offset.0).collect()
}
