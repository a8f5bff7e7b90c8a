//! A store that refuses every batch and is never read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use switchhook_core::breaker;
use switchhook_core::delivery::{Cursor, Waiting};
use switchhook_core::engine::KeyRows;
use switchhook_core::event::Event;
use switchhook_core::group::KeyHash;
use switchhook_core::id::Offset;
use switchhook_store::batch::{Document, Job, Pause, Resource, Room};
use switchhook_store::query::{
    AttemptFilter, AttemptPage, Audited, Counts, DeadFilter, DeadLetter, DeadPosition, DueWork,
    EventFilter, History, Limit,
};
use switchhook_store::{Done, tail::Tail};

use super::*;

pub(super) struct Failing {
    error: Error,
    tail: Tail,
}

impl Failing {
    pub(super) fn with(error: Error) -> Self {
        Self {
            error,
            tail: Tail::new(Offset(1)),
        }
    }

    fn failed<T>(&self) -> Result<T, Error> {
        Err(self.error.clone())
    }
}

impl Store for Failing {
    fn submit(&self, _: Batch, done: Done) {
        done(self.failed());
    }

    fn tail(&self) -> &Tail {
        &self.tail
    }

    fn read_log(&self, _: Offset, _: Limit) -> Result<Vec<Arc<Event>>, Error> {
        self.failed()
    }

    fn cursors(&self) -> Result<Vec<Cursor>, Error> {
        self.failed()
    }

    fn settled_from(&self, _: &str, _: u16, _: Offset) -> Result<BTreeSet<Offset>, Error> {
        self.failed()
    }

    fn keys(&self, _: &str, _: u16) -> Result<BTreeMap<KeyHash, KeyRows>, Error> {
        self.failed()
    }

    fn due(
        &self,
        _: &str,
        _: u16,
        _: UnixMs,
        _: &BTreeSet<Offset>,
        _: Limit,
    ) -> Result<DueWork, Error> {
        self.failed()
    }

    fn waiting(&self, _: &str, _: Offset, _: Limit) -> Result<Vec<(Waiting, Arc<Event>)>, Error> {
        self.failed()
    }

    fn breakers(&self) -> Result<Vec<breaker::Record>, Error> {
        self.failed()
    }

    fn layouts(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, Error> {
        self.failed()
    }

    fn pauses(&self) -> Result<BTreeMap<Arc<str>, Pause>, Error> {
        self.failed()
    }

    fn jobs(&self) -> Result<Vec<Job>, Error> {
        self.failed()
    }

    fn audit(&self, _: Option<u64>, _: usize) -> Result<Vec<Audited>, Error> {
        self.failed()
    }

    fn offset_at(&self, _: UnixMs) -> Result<Offset, Error> {
        self.failed()
    }

    fn scan(
        &self,
        _: &EventFilter,
        _: Offset,
        _: Limit,
    ) -> Result<(Vec<Arc<Event>>, Offset), Error> {
        self.failed()
    }

    fn event(&self, _: EventId) -> Result<Option<Arc<Event>>, Error> {
        self.failed()
    }

    fn events(
        &self,
        _: &EventFilter,
        _: Option<Offset>,
        _: Limit,
    ) -> Result<Vec<Arc<Event>>, Error> {
        self.failed()
    }

    fn history(&self, _: Offset) -> Result<History, Error> {
        self.failed()
    }

    fn dead(
        &self,
        _: &DeadFilter,
        _: Option<&DeadPosition>,
        _: Limit,
    ) -> Result<Vec<DeadLetter>, Error> {
        self.failed()
    }

    fn count_dead(&self, _: &DeadFilter) -> Result<u64, Error> {
        self.failed()
    }

    fn counts(&self) -> Result<Counts, Error> {
        self.failed()
    }

    fn audit_from(&self, _: u64, _: usize) -> Result<Vec<Audited>, Error> {
        self.failed()
    }

    fn attempts(
        &self,
        _: &AttemptFilter,
        _: Option<Offset>,
        _: Limit,
    ) -> Result<AttemptPage, Error> {
        self.failed()
    }

    fn documents(
        &self,
        _: Room,
        _: Option<&str>,
        _: usize,
        _: UnixMs,
    ) -> Result<Vec<Document>, Error> {
        self.failed()
    }

    fn document(&self, _: Room, _: &str, _: UnixMs) -> Result<Option<Document>, Error> {
        self.failed()
    }

    fn resources(&self) -> Result<Vec<Resource>, Error> {
        self.failed()
    }

    fn backup(&self, _: &Path) -> Result<(), Error> {
        self.failed()
    }

    fn close(&self) {}
}
