//! The content of a store in maps, and what each batch does to it.
//!
//! No lock, no clock, no order that changes from run to run: the same batches make the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use switchhook_core::alert::OwnEvent;
use switchhook_core::delivery::{
    Attempt, Cursor, Dead, DeliveryKey, Records, Release, WaitReason, Waiting,
};
use switchhook_core::event::{Event, OWN_SOURCE};
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

use super::control::Control;
use super::documents::Documents;
use crate::batch::{DedupEntry, NewEvent, Replay};
use crate::conflict;
use crate::query::DeadPosition;
use crate::{Appended, Batch, Receipt};

/// A subscription and one of its partitions.
pub(super) type Lane = (Arc<str>, u16);

/// Everything a store holds, in maps.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) log: BTreeMap<Offset, Arc<Event>>,
    /// The highest offset ever given.
    last: Offset,
    pub(super) ids: BTreeMap<EventId, Offset>,
    seen: BTreeMap<[u8; 16], Seen>,
    pub(super) cursors: BTreeMap<Lane, Cursor>,
    /// The highest offset for which a partition ever had a record.
    pub(super) tops: BTreeMap<Lane, Offset>,
    pub(super) attempts: BTreeMap<DeliveryKey, BTreeMap<(u16, u16), Attempt>>,
    pub(super) waiting: BTreeMap<DeliveryKey, Waiting>,
    /// Subscription, partition, due time, offset of every row in `waiting`.
    pub(super) due: BTreeSet<(Arc<str>, u16, UnixMs, Offset)>,
    pub(super) dead: BTreeMap<DeliveryKey, Dead>,
    /// The order in which dead letters are listed.
    pub(super) dead_order: BTreeSet<DeadPosition>,
    pub(super) control: Control,
    pub(super) documents: Documents,
}

/// A remembered identity.
#[derive(Debug, Clone, Copy)]
struct Seen {
    id: EventId,
    body_hash: u64,
    expires_at: UnixMs,
}

impl State {
    /// Offset of the next event to be appended.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.last.next()
    }

    /// Makes everything in `batch` true.
    pub fn apply(&mut self, batch: Batch) -> Receipt {
        let mut receipt = Receipt::default();
        if batch.refuse_conflicts {
            let Ok(conflict) = conflict::first(self, &batch.events);
            if conflict.is_some() {
                receipt.conflict = conflict;
                return receipt;
            }
        }
        for event in batch.events {
            let appended = self.append(event);
            receipt.appended.push(appended);
        }
        self.record(batch.records);
        receipt.replayed = count(batch.replays, |replay| self.replay(replay));
        receipt.discarded = count(batch.discards, |(key, chain)| {
            self.remove_dead(&key, Some(chain))
        });
        for change in batch.resources {
            self.control.change(change);
        }
        for change in batch.documents {
            self.documents.change(change);
        }
        for change in batch.pauses {
            self.control.pause(change);
        }
        self.control.save_jobs(batch.jobs);
        for layout in batch.layouts {
            self.lay_out(layout);
        }
        for entry in batch.audit {
            self.control.note(entry);
        }
        if let Some(now) = batch.rebase {
            self.rebase(now);
        }
        if let Some(retain) = batch.retain {
            receipt.retained = self.retain(&retain);
        }
        receipt
    }

    fn append(&mut self, new: NewEvent) -> Appended {
        if let Some(entry) = &new.dedup
            && let Some((id, same_body)) = self.identified(entry, new.received_at)
        {
            return Appended::Duplicate { id, same_body };
        }
        if let Some(first) = self.with_id(new.id) {
            return Appended::Duplicate {
                id: new.id,
                same_body: first.body == new.body,
            };
        }
        if let Some(entry) = new.dedup {
            let expires_at = new.received_at.plus_ms(entry.window_ms);
            self.seen.insert(
                entry.key,
                Seen {
                    id: new.id,
                    body_hash: entry.body_hash,
                    expires_at,
                },
            );
        }
        let id = new.id;
        let event = new.at(self.end());
        let offset = event.offset;
        self.push(event);
        Appended::New { id, offset }
    }

    /// The event that has this identity at `now`, and whether the bodies are the same.
    fn identified(&self, entry: &DedupEntry, now: UnixMs) -> Option<(EventId, bool)> {
        let seen = self.seen.get(&entry.key)?;
        (now <= seen.expires_at).then_some((seen.id, seen.body_hash == entry.body_hash))
    }

    fn push(&mut self, event: Event) {
        self.last = event.offset;
        self.ids.insert(event.id, event.offset);
        self.log.insert(event.offset, Arc::new(event));
    }

    fn record(&mut self, records: Records) {
        for attempt in records.attempts {
            self.touch(&attempt.key, attempt.partition);
            let made = self.attempts.entry(attempt.key.clone()).or_default();
            let place = (attempt.chain, attempt.n);
            made.insert(
                place,
                Attempt {
                    partition: 0,
                    ..attempt
                },
            );
        }
        for row in records.waiting {
            self.wait(row);
        }
        for key in records.settled {
            self.settle(&key);
        }
        for dead in records.dead {
            self.bury(dead);
        }
        for release in records.released {
            self.release(&release);
        }
        for cursor in records.cursors {
            let lane = (cursor.subscription.clone(), cursor.partition);
            self.cursors.insert(lane, cursor);
        }
        for breaker in records.breakers {
            self.control.save_breaker(breaker);
        }
        for own in records.own_events {
            if !self.ids.contains_key(&own.id) {
                self.push(own_event(own, self.end()));
            }
        }
    }

    fn touch(&mut self, key: &DeliveryKey, partition: u16) {
        let lane = (key.subscription.clone(), partition);
        let top = self.tops.entry(lane).or_default();
        *top = key.offset.max(*top);
    }

    fn wait(&mut self, row: Waiting) {
        self.touch(&row.key, row.place.partition);
        self.settle(&row.key);
        self.due.insert(due_entry(&row));
        self.waiting.insert(row.key.clone(), row);
    }

    fn settle(&mut self, key: &DeliveryKey) {
        if let Some(row) = self.waiting.remove(key) {
            self.due.remove(&due_entry(&row));
        }
    }

    fn bury(&mut self, dead: Dead) {
        self.touch(&dead.key, dead.place.partition);
        self.settle(&dead.key);
        self.remove_dead(&dead.key, None);
        self.dead_order.insert(DeadPosition {
            at: dead.at,
            key: dead.key.clone(),
        });
        self.dead.insert(dead.key.clone(), dead);
    }

    /// Removes the dead letter if it is there with that chain (`None`: any), and says whether it was.
    pub(super) fn remove_dead(&mut self, key: &DeliveryKey, chain: Option<u16>) -> bool {
        let found = self.dead.get(key);
        let Some(dead) = found.filter(|dead| chain.is_none_or(|chain| dead.chain == chain)) else {
            return false;
        };
        self.dead_order.remove(&DeadPosition {
            at: dead.at,
            key: key.clone(),
        });
        self.dead.remove(key);
        true
    }

    fn replay(&mut self, replay: Replay) -> bool {
        let mut row = replay.waiting;
        if replay.dead_chain.is_none() {
            if self.waiting.contains_key(&row.key) || !self.log.contains_key(&row.key.offset) {
                return false;
            }
            row.chain = self.next_chain(&row.key);
            self.remove_dead(&row.key, None);
        } else if !self.remove_dead(&row.key, replay.dead_chain) {
            return false;
        }
        self.wait(row);
        true
    }

    /// One more than the highest chain that is known of the delivery.
    fn next_chain(&self, key: &DeliveryKey) -> u16 {
        let attempts = self.attempts.get(key).into_iter().flatten();
        let dead = self.dead.get(key).map(|dead| dead.chain);
        let last = attempts.map(|((chain, _), _)| *chain).chain(dead).max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    fn release(&mut self, release: &Release) {
        let held = |row: &&Waiting| {
            row.key.subscription == release.subscription
                && row.place.partition == release.partition
                && release.key.is_none_or(|key| row.place.key == Some(key))
                && row.reason == WaitReason::Order
                && row.due_at == UnixMs::NEVER
        };
        let rows = self.waiting.values().filter(held);
        let rows: Vec<Waiting> = rows
            .take(usize::try_from(release.items).unwrap_or(usize::MAX))
            .cloned()
            .collect();
        for mut row in rows {
            row.due_at = release.due_at;
            self.wait(row);
        }
    }

    fn rebase(&mut self, now: UnixMs) {
        let late: Vec<Waiting> = self
            .waiting
            .values()
            .filter(|row| row.due_at > now.plus_ms(row.delay_ms) && row.due_at < UnixMs::NEVER)
            .cloned()
            .collect();
        for mut row in late {
            row.due_at = now.plus_ms(row.delay_ms);
            self.wait(row);
        }
    }
}

fn due_entry(row: &Waiting) -> (Arc<str>, u16, UnixMs, Offset) {
    let (name, partition) = (row.key.subscription.clone(), row.place.partition);
    (name, partition, row.due_at, row.key.offset)
}

impl conflict::Log for State {
    type Error = Infallible;

    fn known_identity(
        &mut self,
        entry: &DedupEntry,
        now: UnixMs,
    ) -> Result<Option<(EventId, bool)>, Infallible> {
        Ok(self.identified(entry, now))
    }

    fn known_id(&mut self, new: &NewEvent) -> Result<Option<bool>, Infallible> {
        let first = self.with_id(new.id);
        Ok(first.map(|first| first.body == new.body))
    }
}

fn count<T>(items: Vec<T>, mut done: impl FnMut(T) -> bool) -> u64 {
    items.into_iter().map(|item| u64::from(done(item))).sum()
}

impl NewEvent {
    /// The event that it becomes at `offset`.
    pub(crate) fn at(self, offset: Offset) -> Event {
        Event {
            offset,
            id: self.id,
            source: self.source,
            kind: self.kind,
            key: self.key,
            received_at: self.received_at,
            headers: self.headers,
            body: self.body,
        }
    }
}

/// The event that one of our own becomes at `offset`.
pub(crate) fn own_event(own: OwnEvent, offset: Offset) -> Event {
    Event {
        offset,
        id: own.id,
        source: OWN_SOURCE.into(),
        kind: own.kind,
        key: own.key,
        received_at: own.at,
        headers: own.headers,
        body: own.body,
    }
}
