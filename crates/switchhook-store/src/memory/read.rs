//! What can be read from the content of a store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchhook_core::delivery::{Cursor, DeliveryKey, Gap, WaitReason, Waiting};
use switchhook_core::engine::KeyRows;
use switchhook_core::event::Event;
use switchhook_core::group::KeyHash;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

use super::State;
use crate::keys::Keys;
use crate::query::{
    AttemptFilter, AttemptPage, AttemptWalk, Budget, Counts, DeadFilter, DeadLetter, DeadPosition,
    DueWork, EventFilter, History, Limit, SCANNED_MAX,
};

impl State {
    pub(super) fn at(&self, offset: Offset) -> Option<&Arc<Event>> {
        self.log.get(&offset)
    }

    /// The events at and after `offset`.
    pub(super) fn from(&self, offset: Offset) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.log.range(offset..).map(|(_, event)| event)
    }

    pub(super) fn with_id(&self, id: EventId) -> Option<&Arc<Event>> {
        self.at(*self.ids.get(&id)?)
    }

    pub(super) fn read_log(&self, from: Offset, limit: Limit) -> Vec<Arc<Event>> {
        let mut budget = Budget::new(limit);
        self.from(from)
            .take_while(|event| budget.take(event.weight()))
            .cloned()
            .collect()
    }

    pub(super) fn offset_at(&self, time: UnixMs) -> Offset {
        let mut events = self.log.values();
        let found = events.find(|event| event.received_at >= time);
        found.map_or(self.end(), |event| event.offset)
    }

    pub(super) fn scan(
        &self,
        filter: &EventFilter,
        from: Offset,
        limit: Limit,
    ) -> (Vec<Arc<Event>>, Offset) {
        let from = from.max(filter.from.unwrap_or_default());
        let end = filter.to.map_or(self.end(), |to| to.min(self.end()));
        let first = self.from(from).next().map_or(end, |event| event.offset);
        let to = Offset(first.0.saturating_add(SCANNED_MAX)).min(end);
        let mut budget = Budget::new(limit);
        let mut found = Vec::new();
        let looked_at = self.from(first).take_while(|event| event.offset < to);
        for event in looked_at.filter(|event| filter.matches(event)) {
            if !budget.take(event.weight()) {
                return (found, event.offset);
            }
            found.push(event.clone());
        }
        (found, to.max(from))
    }

    pub(super) fn cursors(&self) -> Vec<Cursor> {
        self.cursors.values().cloned().collect()
    }

    pub(super) fn settled_from(
        &self,
        subscription: &str,
        partition: u16,
        from: Offset,
    ) -> BTreeSet<Offset> {
        let name: Arc<str> = subscription.into();
        let top = self.tops.get(&(name.clone(), partition));
        let key = |offset| DeliveryKey {
            subscription: name.clone(),
            offset,
        };
        let Some(top) = top.filter(|top| **top >= from) else {
            return BTreeSet::new();
        };
        let range = || key(from)..=key(*top);
        let attempts = self.attempts.range(range()).map(|(key, _)| key.offset);
        let waiting = self.waiting.range(range()).map(|(key, _)| key.offset);
        let dead = self.dead.range(range()).map(|(key, _)| key.offset);
        attempts.chain(waiting).chain(dead).collect()
    }

    pub(super) fn keys(&self, subscription: &str, partition: u16) -> BTreeMap<KeyHash, KeyRows> {
        let mut keys = Keys::default();
        let of = |key: &DeliveryKey, at: u16| &*key.subscription == subscription && at == partition;
        for row in self.waiting.values() {
            if let Some(hash) = row.place.key.filter(|_| of(&row.key, row.place.partition)) {
                keys.waits(hash, row.key.offset, row.reason, row.due_at);
            }
        }
        for dead in self.dead.values().filter(|dead| dead.gap == Gap::Halted) {
            if let Some(hash) = dead
                .place
                .key
                .filter(|_| of(&dead.key, dead.place.partition))
            {
                keys.halts(hash, dead.key.offset);
            }
        }
        keys.sorted()
    }

    pub(super) fn due(
        &self,
        subscription: &str,
        partition: u16,
        until: UnixMs,
        skip: &BTreeSet<Offset>,
        limit: Limit,
    ) -> DueWork {
        let name: Arc<str> = subscription.into();
        let range = (name.clone(), partition, UnixMs(0), Offset(0))
            ..(name.clone(), partition, UnixMs::NEVER, Offset(0));
        let mut work = DueWork::default();
        let mut budget = Budget::new(limit);
        for (_, _, due_at, offset) in self
            .due
            .range(range)
            .filter(|(_, _, _, offset)| !skip.contains(offset))
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

    pub(super) fn waiting(
        &self,
        subscription: &str,
        from: Offset,
        limit: Limit,
    ) -> Vec<(Waiting, Arc<Event>)> {
        let first = DeliveryKey {
            subscription: subscription.into(),
            offset: from,
        };
        let mut budget = Budget::new(limit);
        self.waiting
            .range(first..)
            .take_while(|(key, _)| &*key.subscription == subscription)
            .filter_map(|(key, row)| Some((row.clone(), self.at(key.offset)?.clone())))
            .take_while(|(_, event)| budget.take(event.weight()))
            .collect()
    }

    pub(super) fn events(
        &self,
        filter: &EventFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> Vec<Arc<Event>> {
        let mut budget = Budget::new(limit);
        self.log
            .values()
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

    pub(super) fn attempts(
        &self,
        filter: &AttemptFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> AttemptPage {
        let mut walk = AttemptWalk::new(limit);
        let attempted = self.attempted();
        let events = attempted.range(..before.unwrap_or(self.end())).rev();
        for (offset, keys) in events {
            let Some(event) = self.at(*offset) else {
                continue;
            };
            let made = keys.iter().filter_map(|key| self.attempts.get(key));
            for attempt in made.flat_map(BTreeMap::values) {
                if walk.ends_before(*offset) {
                    return walk.page();
                }
                if filter.matches(attempt) {
                    walk.take(attempt.clone(), event.id);
                }
            }
        }
        walk.page()
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
        let first = self.log.keys().next();
        let mut counts = Counts {
            events: self.log.len() as u64,
            end: self.end(),
            first: first.copied().unwrap_or(self.end()),
            free_bytes: u64::MAX,
            ..Counts::default()
        };
        for (name, partition, due_at, _) in &self.due {
            *counts.waiting.entry(name.clone()).or_default() += 1;
            let lane = (name.clone(), *partition);
            *counts.partitions.entry(lane).or_default() += 1;
            if *due_at < UnixMs::NEVER {
                let earliest = counts.oldest_due.entry(name.clone()).or_insert(*due_at);
                *earliest = (*earliest).min(*due_at);
            }
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
}
