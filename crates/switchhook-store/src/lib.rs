//! Where events and what became of them are kept: the seam, and the engines behind it.
//!
//! * The seam is [`Store`]: one way to write ([`Store::submit`], a whole [`Batch`] or nothing), and reads.
//! * [`embedded`] is the real engine: SQLite with a group-committing writer thread.
//! * [`memory`] is a second, simple one: the model for tests and the engine of the simulation.
//! * [`conformance`] is the suite that each of them passes.
//! * [`tail`] holds the newest events in memory, so that dispatch that keeps up reads nothing from disk.
//!
//! Invariants: when `submit` reports success, the batch is on disk. Batches take effect in the order of
//! their submission. Offsets are given in that order without gaps; retention makes gaps.

pub mod batch;
mod conflict;
pub mod conformance;
pub mod embedded;
mod error;
mod keys;
pub mod memory;
pub mod query;
pub mod tail;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use switchhook_core::breaker;
use switchhook_core::delivery::{Cursor, Waiting};
use switchhook_core::engine::KeyRows;
use switchhook_core::event::Event;
use switchhook_core::group::KeyHash;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

pub use batch::{Appended, Batch, Conflict, First, Receipt};
pub use error::Error;

/// Called once when a batch is on disk or has failed: from the engine's thread, or from within
/// [`Store::submit`] when the batch is refused at once. Must not block.
pub type Done = Box<dyn FnOnce(Result<Receipt, Error>) + Send>;

/// A store. Writes are batches; reads may block on the disk and belong on a blocking thread.
pub trait Store: Send + Sync + 'static {
    /// Hands in a batch. It is committed as a whole, together with others where that is faster.
    ///
    /// A batch with events is committed as soon as the disk is free; one without waits a few
    /// milliseconds for one to ride with. Within a batch the parts take effect in this order: events,
    /// records in the order of their fields, replays, discards, resources, documents, pauses, jobs, layouts, audit,
    /// rebase, retain. A dead letter also ends the waiting row of its delivery. The offsets that records
    /// name must be in the log. An event whose id is in the log already is a duplicate. Audit entries get their numbers
    /// and hashes here, so that the log has neither gaps nor branches.
    /// With [`Batch::refuse_conflicts`], a batch that holds a conflict is refused whole: the receipt names it.
    fn submit(&self, batch: Batch, done: Done);

    /// The newest events, in memory.
    fn tail(&self) -> &tail::Tail;

    /// Events from `from` on, in log order: at least one if there is any, else within `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn read_log(&self, from: Offset, limit: query::Limit) -> Result<Vec<Arc<Event>>, Error>;

    /// The cursor of every partition of every subscription that has one, by subscription and partition.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn cursors(&self) -> Result<Vec<Cursor>, Error>;

    /// Offsets from `from` on for which `subscription` has an attempt, a waiting row or a dead letter, up to the
    /// highest one with a record in `partition`; those of other partitions may be among them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn settled_from(
        &self,
        subscription: &str,
        partition: u16,
        from: Offset,
    ) -> Result<BTreeSet<Offset>, Error>;

    /// What keeps keys of a partition from going on: rows and dead letters that halt, by key. At most
    /// [`switchhook_core::engine::KEYS_MAX`] keys.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn keys(&self, subscription: &str, partition: u16)
    -> Result<BTreeMap<KeyHash, KeyRows>, Error>;

    /// Waiting deliveries of a partition due by `until`, oldest due first, then by offset, with their events; those
    /// in `skip` left out. Uses an index: the cost does not grow with the number of rows.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn due(
        &self,
        subscription: &str,
        partition: u16,
        until: UnixMs,
        skip: &BTreeSet<Offset>,
        limit: query::Limit,
    ) -> Result<query::DueWork, Error>;

    /// All waiting deliveries of `subscription` with offsets from `from` on, by offset, with their events.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn waiting(
        &self,
        subscription: &str,
        from: Offset,
        limit: query::Limit,
    ) -> Result<Vec<(Waiting, Arc<Event>)>, Error>;

    /// What outlives a restart of every gate that has something to keep.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn breakers(&self) -> Result<Vec<breaker::Record>, Error>;

    /// The text of the last [`batch::Layout`] of each subscription that ever had one.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn layouts(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, Error>;

    /// The paused subscriptions.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn pauses(&self) -> Result<BTreeMap<Arc<str>, batch::Pause>, Error>;

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn jobs(&self) -> Result<Vec<batch::Job>, Error>;

    /// Entries of the audit log, the newest first, with numbers below `before`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn audit(&self, before: Option<u64>, items: usize) -> Result<Vec<query::Audited>, Error>;

    /// The same in the order in which they were made, from number `from` on.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn audit_from(&self, from: u64, items: usize) -> Result<Vec<query::Audited>, Error>;

    /// The offset of the first event accepted at or after `time`; the end of the log if there is none. Where the
    /// clock jumped, one of those that the jump allows.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn offset_at(&self, time: UnixMs) -> Result<Offset, Error>;

    /// Events that match from `from` on in log order, and the offset to go on from; fewer than `limit` only at the end or
    /// after a bounded number of events was looked at.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scan(
        &self,
        filter: &query::EventFilter,
        from: Offset,
        limit: query::Limit,
    ) -> Result<(Vec<Arc<Event>>, Offset), Error>;

    /// The event with this id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, Error>;

    /// Events that match, newest first, strictly before offset `before`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn events(
        &self,
        filter: &query::EventFilter,
        before: Option<Offset>,
        limit: query::Limit,
    ) -> Result<Vec<Arc<Event>>, Error>;

    /// All that is kept of the deliveries of the event at `offset`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn history(&self, offset: Offset) -> Result<query::History, Error>;

    /// Dead letters that match, in the order (time, subscription, offset), strictly after `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead(
        &self,
        filter: &query::DeadFilter,
        after: Option<&query::DeadPosition>,
        limit: query::Limit,
    ) -> Result<Vec<query::DeadLetter>, Error>;

    /// How many dead letters match.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn count_dead(&self, filter: &query::DeadFilter) -> Result<u64, Error>;

    /// How much there is of everything.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn counts(&self) -> Result<query::Counts, Error>;

    /// Attempts that match, of events before offset `before`, the newest event first. A page ends with the event that
    /// reaches `limit`, or after a bounded number of attempts was looked at: it may be empty and not be the last. Of an
    /// event in it, all attempts that match are in it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn attempts(
        &self,
        filter: &query::AttemptFilter,
        before: Option<Offset>,
        limit: query::Limit,
    ) -> Result<query::AttemptPage, Error>;

    /// Documents of `room` with ids after `after`, by id; those that have expired by `now` left out. All their bytes are
    /// read at once: ask for few where they are large.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn documents(
        &self,
        room: batch::Room,
        after: Option<&str>,
        items: usize,
        now: UnixMs,
    ) -> Result<Vec<batch::Document>, Error>;

    /// The document of `room` with this id, unless it has expired by `now`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn document(
        &self,
        room: batch::Room,
        id: &str,
        now: UnixMs,
    ) -> Result<Option<batch::Document>, Error>;

    /// All resources made through the API, deleted ones without a body.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn resources(&self) -> Result<Vec<batch::Resource>, Error>;

    /// Writes a consistent copy of the whole store to `path`, which must not exist, while running.
    ///
    /// # Errors
    /// When the copy cannot be written.
    fn backup(&self, path: &Path) -> Result<(), Error>;

    /// Commits what was handed in, tidies up and stops. Later batches are refused.
    fn close(&self);
}
