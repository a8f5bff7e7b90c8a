//! The content of a store in maps, and what each batch does to it.
//!
//! No lock, no clock, no order that changes from run to run: the same batches make the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use switchhook_core::alert::OwnEvent;
use switchhook_core::delivery::{Attempt, Dead, DeliveryKey, Records, WaitReason, Waiting};
use switchhook_core::event::{Event, OWN_SOURCE};
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

use crate::batch::{DedupEntry, NewEvent, Replay, Resource, ResourceChange, Token};
use crate::conflict;
use crate::query::{
    Budget, Counts, DeadFilter, DeadLetter, DeadPosition, DueWork, EventFilter, History, Limit,
};
use crate::{Appended, Batch, Receipt};

/// Everything a store holds, in maps.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The event at offset `n` stands at `n - 1`.
    log: Vec<Arc<Event>>,
    ids: BTreeMap<EventId, Offset>,
    seen: BTreeMap<[u8; 16], Seen>,
    pub(super) cursors: BTreeMap<Arc<str>, Offset>,
    attempts: BTreeMap<DeliveryKey, BTreeMap<(u16, u16), Attempt>>,
    waiting: BTreeMap<DeliveryKey, Waiting>,
    /// Subscription, due time, offset of every row in `waiting`.
    due: BTreeSet<(Arc<str>, UnixMs, Offset)>,
    dead: BTreeMap<DeliveryKey, Dead>,
    /// The order in which dead letters are listed.
    dead_order: BTreeSet<DeadPosition>,
    /// By kind and name; without a body once deleted, so that versions go on.
    resources: BTreeMap<(Arc<str>, Arc<str>), Slot>,
    tokens: BTreeMap<[u8; 32], Token>,
}

/// A remembered identity.
#[derive(Debug, Clone, Copy)]
struct Seen {
    id: EventId,
    body_hash: u64,
    expires_at: UnixMs,
}

#[derive(Debug, Clone)]
struct Slot {
    version: u64,
    body: Option<Arc<str>>,
    updated_at: UnixMs,
}

impl State {
    /// Offset of the next event to be appended.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.log
            .last()
            .map_or(Offset(1), |event| event.offset.next())
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
        receipt.discarded = count(batch.discards, |(key, chain)| self.remove_dead(&key, chain));
        for change in batch.resources {
            self.change(change);
        }
        for token in batch.tokens {
            self.tokens.insert(token.hash, token);
        }
        if let Some(now) = batch.rebase {
            self.rebase(now);
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
        self.ids.insert(event.id, event.offset);
        self.log.push(Arc::new(event));
    }

    fn record(&mut self, records: Records) {
        for attempt in records.attempts {
            let chain = self.attempts.entry(attempt.key.clone()).or_default();
            chain.insert((attempt.chain, attempt.n), attempt);
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
        for own in records.own_events {
            if !self.ids.contains_key(&own.id) {
                self.push(own_event(own, self.end()));
            }
        }
        self.cursors.extend(records.cursors);
    }

    fn wait(&mut self, row: Waiting) {
        self.settle(&row.key);
        self.due
            .insert((row.key.subscription.clone(), row.due_at, row.key.offset));
        self.waiting.insert(row.key.clone(), row);
    }

    fn settle(&mut self, key: &DeliveryKey) {
        if let Some(row) = self.waiting.remove(key) {
            self.due
                .remove(&(row.key.subscription, row.due_at, row.key.offset));
        }
    }

    fn bury(&mut self, dead: Dead) {
        self.settle(&dead.key);
        if let Some(older) = self.dead.get(&dead.key) {
            let chain = older.chain;
            self.remove_dead(&dead.key, chain);
        }
        self.dead_order.insert(DeadPosition {
            at: dead.at,
            key: dead.key.clone(),
        });
        self.dead.insert(dead.key.clone(), dead);
    }

    /// Removes the dead letter if it is there with that chain, and says whether it was.
    fn remove_dead(&mut self, key: &DeliveryKey, chain: u16) -> bool {
        let Some(dead) = self.dead.get(key).filter(|dead| dead.chain == chain) else {
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
        let there = self.remove_dead(&replay.waiting.key, replay.dead_chain);
        if there {
            self.wait(replay.waiting);
        }
        there
    }

    fn change(&mut self, change: ResourceChange) {
        let key = (change.kind, change.name);
        let version = match self.resources.get(&key) {
            None if change.body.is_none() => return,
            None => 1,
            Some(slot) if slot.body.is_none() && change.body.is_none() => return,
            Some(slot) => slot.version + 1,
        };
        self.resources.insert(
            key,
            Slot {
                version,
                body: change.body,
                updated_at: change.at,
            },
        );
    }

    fn rebase(&mut self, now: UnixMs) {
        let late: Vec<Waiting> = self
            .waiting
            .values()
            .filter(|row| row.due_at > now.plus_ms(row.delay_ms))
            .cloned()
            .collect();
        for mut row in late {
            row.due_at = now.plus_ms(row.delay_ms);
            self.wait(row);
        }
    }

    fn at(&self, offset: Offset) -> Option<&Arc<Event>> {
        let index = usize::try_from(offset.0.checked_sub(1)?).ok()?;
        self.log.get(index)
    }

    pub(super) fn from(&self, offset: Offset) -> &[Arc<Event>] {
        let skip = usize::try_from(offset.0.saturating_sub(1)).unwrap_or(usize::MAX);
        self.log.get(skip..).unwrap_or_default()
    }

    pub(super) fn with_id(&self, id: EventId) -> Option<&Arc<Event>> {
        self.at(*self.ids.get(&id)?)
    }

    pub(super) fn read_log(&self, from: Offset, limit: Limit) -> Vec<Arc<Event>> {
        let mut budget = Budget::new(limit);
        self.from(from)
            .iter()
            .take_while(|event| budget.take(event.weight()))
            .cloned()
            .collect()
    }

    pub(super) fn settled_from(&self, subscription: &str, from: Offset) -> BTreeSet<Offset> {
        let first = DeliveryKey {
            subscription: subscription.into(),
            offset: from,
        };
        let last = DeliveryKey {
            subscription: subscription.into(),
            offset: Offset(u64::MAX),
        };
        let range = || first.clone()..=last.clone();
        let attempts = self.attempts.range(range()).map(|(key, _)| key.offset);
        let waiting = self.waiting.range(range()).map(|(key, _)| key.offset);
        let dead = self.dead.range(range()).map(|(key, _)| key.offset);
        attempts.chain(waiting).chain(dead).collect()
    }

    pub(super) fn due(
        &self,
        subscription: &str,
        until: UnixMs,
        skip: &BTreeSet<Offset>,
        limit: Limit,
    ) -> DueWork {
        let name: Arc<str> = subscription.into();
        let range = (name.clone(), UnixMs(0), Offset(0))
            ..=(name.clone(), UnixMs(u64::MAX), Offset(u64::MAX));
        let mut work = DueWork::default();
        let mut budget = Budget::new(limit);
        for (_, due_at, offset) in self
            .due
            .range(range)
            .filter(|(_, _, offset)| !skip.contains(offset))
        {
            let key = DeliveryKey {
                subscription: name.clone(),
                offset: *offset,
            };
            let (Some(row), Some(event)) = (self.waiting.get(&key), self.at(*offset)) else {
                continue;
            };
            if *due_at > until || !budget.take(event.weight()) {
                work.next_due = Some(*due_at);
                break;
            }
            work.rows.push((row.clone(), event.clone()));
        }
        work
    }

    pub(super) fn events(
        &self,
        filter: &EventFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> Vec<Arc<Event>> {
        let mut budget = Budget::new(limit);
        self.log
            .iter()
            .rev()
            .filter(|event| {
                before.is_none_or(|before| event.offset < before) && filter.matches(event)
            })
            .take_while(|event| budget.take(event.weight()))
            .cloned()
            .collect()
    }

    pub(super) fn history(&self, offset: Offset) -> History {
        let of = |key: &DeliveryKey| key.offset == offset;
        History {
            attempts: self
                .attempts
                .iter()
                .filter(|(key, _)| of(key))
                .flat_map(|(_, attempts)| attempts.values().cloned())
                .collect(),
            waiting: self
                .waiting
                .values()
                .filter(|row| of(&row.key))
                .cloned()
                .collect(),
            dead: self
                .dead
                .values()
                .filter(|dead| of(&dead.key))
                .cloned()
                .collect(),
        }
    }

    pub(super) fn dead_matching(
        &self,
        filter: &DeadFilter,
        after: Option<&DeadPosition>,
    ) -> impl Iterator<Item = DeadLetter> {
        self.dead_order
            .iter()
            .filter(move |position| after.is_none_or(|after| *position > after))
            .filter_map(|position| {
                let (dead, event) = (self.dead.get(&position.key)?, self.at(position.key.offset)?);
                Some(DeadLetter {
                    dead: dead.clone(),
                    event: event.clone(),
                })
            })
            .filter(|letter| filter.matches(&letter.dead, &letter.event.kind))
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            events: self.end().0 - 1,
            end: self.end(),
            free_bytes: u64::MAX,
            ..Counts::default()
        };
        for (subscription, due_at, _) in self.due.iter().rev() {
            *counts.waiting.entry(subscription.clone()).or_default() += 1;
            counts.oldest_due.insert(subscription.clone(), *due_at);
        }
        let held = self
            .waiting
            .values()
            .filter(|row| row.reason == WaitReason::Hold);
        for row in held {
            *counts.held.entry(row.key.subscription.clone()).or_default() += 1;
        }
        for dead in self.dead.values() {
            *counts
                .dead
                .entry((dead.endpoint.clone(), dead.reason))
                .or_default() += 1;
        }
        counts
    }

    pub(super) fn resources(&self) -> Vec<Resource> {
        self.resources
            .iter()
            .filter_map(|((kind, name), slot)| {
                Some(Resource {
                    kind: kind.clone(),
                    name: name.clone(),
                    version: slot.version,
                    body: slot.body.clone()?,
                    updated_at: slot.updated_at,
                })
            })
            .collect()
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.tokens.values().cloned().collect();
        tokens.sort_by_key(|token| token.created_at);
        tokens
    }
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
