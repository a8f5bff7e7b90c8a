//! The model: a store in ordinary maps, applied at once.
//!
//! It says in the plainest form what a store does, so that the embedded engine can be compared with it,
//! and it is the store of the seeded simulation: fast, and the same on every run (ordered maps only).
//!
//! * [`State`] is the content, with a pure [`State::apply`]. A simulation that crashes takes it out with
//!   [`Memory::into_state`] or keeps its own, drops the batches it never applied, and goes on from there.
//! * [`Memory`] puts a lock and a [`Tail`] around it. [`Store::submit`] applies and answers at once.
//!
//! It is durable for as long as the process lives, and bounded by nothing but memory.

mod control;
mod documents;
mod partitions;
mod read;
mod retention;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchhook_core::breaker;
use switchhook_core::delivery::{Cursor, Waiting};
use switchhook_core::engine::KeyRows;
use switchhook_core::event::Event;
use switchhook_core::group::KeyHash;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

pub use state::State;
pub(crate) use state::own_event;

use crate::batch::{Document, Job, Pause, Resource, Room};
use crate::query::{
    AttemptFilter, AttemptPage, Audited, Budget, Counts, DeadFilter, DeadLetter, DeadPosition,
    DueWork, EventFilter, History, Limit,
};
use crate::tail::Tail;
use crate::{Batch, Done, Error, Store};

/// A store in memory.
pub struct Memory {
    inner: Mutex<Inner>,
    tail: Tail,
}

struct Inner {
    state: State,
    closed: bool,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with(State::default())
    }

    /// A store with this content, as if it had been opened again: its tail is empty.
    #[must_use]
    pub fn with(state: State) -> Self {
        let tail = Tail::new(state.end());
        Self {
            inner: Mutex::new(Inner {
                state,
                closed: false,
            }),
            tail,
        }
    }

    /// A copy of the content.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// The content itself: what a crash leaves.
    #[must_use]
    pub fn into_state(self) -> State {
        self.inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .state
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for Memory {
    fn submit(&self, mut batch: Batch, done: Done) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            return done(Err(Error::Closed));
        }
        if let Some(refusal) = batch.refusal() {
            drop(inner);
            return done(Err(refusal));
        }
        let end = inner.state.end();
        let retain = batch.retain.take();
        let mut receipt = inner.state.apply(batch);
        if inner.state.end() > end {
            // Under the lock, so that batches from two threads reach the tail in their order.
            self.tail.push(inner.state.from(end).cloned());
        }
        // After the tail has what is new: it takes events without a gap.
        if let Some(retain) = retain.filter(|_| receipt.conflict.is_none()) {
            self.tail.forget_before(retain.keep_from);
            receipt.retained = inner.state.retain(&retain);
        }
        drop(inner);
        done(Ok(receipt));
    }

    fn tail(&self) -> &Tail {
        &self.tail
    }

    fn read_log(&self, from: Offset, limit: Limit) -> Result<Vec<Arc<Event>>, Error> {
        Ok(self.lock().state.read_log(from, limit))
    }

    fn cursors(&self) -> Result<Vec<Cursor>, Error> {
        Ok(self.lock().state.cursors())
    }

    fn settled_from(
        &self,
        subscription: &str,
        partition: u16,
        from: Offset,
    ) -> Result<BTreeSet<Offset>, Error> {
        Ok(self
            .lock()
            .state
            .settled_from(subscription, partition, from))
    }

    fn keys(
        &self,
        subscription: &str,
        partition: u16,
    ) -> Result<BTreeMap<KeyHash, KeyRows>, Error> {
        Ok(self.lock().state.keys(subscription, partition))
    }

    fn due(
        &self,
        subscription: &str,
        partition: u16,
        until: UnixMs,
        skip: &BTreeSet<Offset>,
        limit: Limit,
    ) -> Result<DueWork, Error> {
        let inner = self.lock();
        Ok(inner.state.due(subscription, partition, until, skip, limit))
    }

    fn waiting(
        &self,
        subscription: &str,
        from: Offset,
        limit: Limit,
    ) -> Result<Vec<(Waiting, Arc<Event>)>, Error> {
        Ok(self.lock().state.waiting(subscription, from, limit))
    }

    fn breakers(&self) -> Result<Vec<breaker::Record>, Error> {
        Ok(self.lock().state.control.breakers())
    }

    fn layouts(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, Error> {
        Ok(self.lock().state.control.layouts.clone())
    }

    fn pauses(&self) -> Result<BTreeMap<Arc<str>, Pause>, Error> {
        Ok(self.lock().state.control.pauses.clone())
    }

    fn jobs(&self) -> Result<Vec<Job>, Error> {
        Ok(self.lock().state.control.jobs())
    }

    fn audit(&self, before: Option<u64>, items: usize) -> Result<Vec<Audited>, Error> {
        Ok(self.lock().state.control.audit(before, items))
    }

    fn audit_from(&self, from: u64, items: usize) -> Result<Vec<Audited>, Error> {
        Ok(self.lock().state.control.audit_from(from, items))
    }

    fn offset_at(&self, time: UnixMs) -> Result<Offset, Error> {
        Ok(self.lock().state.offset_at(time))
    }

    fn scan(
        &self,
        filter: &EventFilter,
        from: Offset,
        limit: Limit,
    ) -> Result<(Vec<Arc<Event>>, Offset), Error> {
        Ok(self.lock().state.scan(filter, from, limit))
    }

    fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, Error> {
        Ok(self.lock().state.with_id(id).cloned())
    }

    fn events(
        &self,
        filter: &EventFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> Result<Vec<Arc<Event>>, Error> {
        Ok(self.lock().state.events(filter, before, limit))
    }

    fn history(&self, offset: Offset) -> Result<History, Error> {
        Ok(self.lock().state.history(offset))
    }

    fn dead(
        &self,
        filter: &DeadFilter,
        after: Option<&DeadPosition>,
        limit: Limit,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut budget = Budget::new(limit);
        let inner = self.lock();
        let letters = inner.state.dead_matching(filter, after);
        Ok(letters
            .take_while(|letter| budget.take(letter.event.weight()))
            .collect())
    }

    fn count_dead(&self, filter: &DeadFilter) -> Result<u64, Error> {
        Ok(self
            .lock()
            .state
            .dead_matching(filter, None)
            .map(|_| 1)
            .sum())
    }

    fn counts(&self) -> Result<Counts, Error> {
        Ok(self.lock().state.counts())
    }

    fn attempts(
        &self,
        filter: &AttemptFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> Result<AttemptPage, Error> {
        Ok(self.lock().state.attempts(filter, before, limit))
    }

    fn documents(
        &self,
        room: Room,
        after: Option<&str>,
        items: usize,
        now: UnixMs,
    ) -> Result<Vec<Document>, Error> {
        Ok(self.lock().state.documents.list(room, after, items, now))
    }

    fn document(&self, room: Room, id: &str, now: UnixMs) -> Result<Option<Document>, Error> {
        Ok(self.lock().state.documents.get(room, id, now))
    }

    fn resources(&self) -> Result<Vec<Resource>, Error> {
        Ok(self.lock().state.control.resources())
    }

    /// A store in memory has nothing that could be copied to a file.
    fn backup(&self, path: &Path) -> Result<(), Error> {
        Err(Error::File {
            path: path.into(),
            reason: "a store in memory cannot be backed up".into(),
        })
    }

    fn close(&self) {
        self.lock().closed = true;
    }
}
