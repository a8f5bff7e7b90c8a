//! The heart of dispatch: which attempt to make now, and what follows from the last one.
//!
//! The engine is a value that is told what happened and asked what to do. It has no socket, no file,
//! no clock: the same engine runs in production and, in virtual time, in the simulation.
//!
//! * `handle_*`: something happened (the log grew, rows came back, an attempt ended, a batch is on disk).
//! * [`Engine::poll`]: what to do next ([`Command`]); call it until it has nothing more to say.
//! * [`Engine::take_records`]: what must be committed; report back with [`Engine::handle_committed`].
//! * [`Engine::next_wake`]: when to poll again if nothing else happens.
//!
//! A subscription is a cursor over the log, a [`lane`]. A matching event becomes a delivery in
//! memory; only one that is not simply done gets a row in the store, so that the cursor can go on.
//!
//! Invariants
//! * An event that a subscription takes is, at every commit, at or after the committed offset, or it has
//!   an attempt that settled it, a waiting row, or a dead letter.
//! * No more requests are under way to an endpoint than its concurrency, and none before the time that
//!   its `Retry-After` asked for.
//! * A row is never taken twice at once: it stays *taken* until the batch that settles it is on disk.
//!
//! Bounds: [`FRESH_MAX`] and [`DUE_MAX`] deliveries and [`LANE_BYTES_MAX`] bytes wait in a lane, a cursor
//! runs at most [`WINDOW`] positions ahead of what it has committed, and no attempt starts while
//! [`UNCOMMITTED_MAX`] results wait for the disk.

mod adopt;
mod flight;
mod gate;
mod lane;
mod next;
mod serve;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{Attempt, DeadReason, OutcomeKind, Records};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::id::Offset;
use crate::plan::Plan;
use crate::time::UnixMs;

use flight::Flights;
use gate::Gates;
use lane::Lane;

pub use flight::Ticket;
pub use next::{Next, Standing, next};

/// Most deliveries of a lane that were read from the log and wait for a slot.
pub const FRESH_MAX: usize = 256;
/// Most deliveries of a lane that are due and wait for a slot.
pub const DUE_MAX: usize = 128;
/// Most bytes of events that a lane asks for at once.
pub const LANE_BYTES_MAX: usize = 1024 * 1024;
/// A cursor runs at most this far ahead of its oldest unsettled event; then that event gets a row.
/// It bounds what a restart has to look at, and what one slow request can hold back.
pub const WINDOW: u64 = 8_192;
/// No attempt starts while this many results are not on disk: a stalled disk must not fill memory,
/// and a crash may repeat at most these.
pub const UNCOMMITTED_MAX: usize = 16_384;
/// A cursor that only passed over events is written at most this often, in milliseconds.
const CURSOR_FLUSH_MS: u64 = 1_000;

/// Names a lane to the shell. Never used twice, so that a late answer finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(u64);

/// Something to do.
#[derive(Debug, Clone)]
pub enum Command {
    /// Make this attempt; answer with [`Engine::handle_outcome`].
    Start(Start),
    /// Read the log; answer with [`Engine::handle_log`].
    ReadLog(ReadLog),
    /// Read waiting rows that are due; answer with [`Engine::handle_due`].
    ReadDue(ReadDue),
}

/// An attempt to make now.
#[derive(Debug, Clone)]
pub struct Start {
    /// To be handed back with the outcome.
    pub ticket: Ticket,
    /// The subscription.
    pub subscription: Arc<str>,
    /// Where to send.
    pub endpoint: Arc<Endpoint>,
    /// What to send.
    pub event: Arc<Event>,
    /// 0, or the number of the replay.
    pub chain: u16,
    /// 1, 2, … within the chain.
    pub n: u16,
}

/// A request for events in log order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLog {
    /// To be handed back.
    pub lane: LaneId,
    /// First position wanted.
    pub from: Offset,
    /// At most so many events.
    pub items: usize,
    /// Stop at so many bytes, but return at least one.
    pub bytes: usize,
}

/// A request for rows that are due, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadDue {
    /// To be handed back.
    pub lane: LaneId,
    /// Whose rows.
    pub subscription: Arc<str>,
    /// Due at or before this.
    pub until: UnixMs,
    /// Rows that the engine has already.
    pub skip: BTreeSet<Offset>,
    /// At most so many rows.
    pub items: usize,
    /// Stop at so many bytes of events, but return at least one.
    pub bytes: usize,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When it was started.
    pub at: UnixMs,
    /// From start to answer or failure.
    pub duration_ms: u32,
    /// The bare result.
    pub kind: OutcomeKind,
    /// In words: the failure, or the start of a refusing answer's body.
    pub detail: Option<Arc<str>>,
    /// What the answer's `Retry-After` asked for, in milliseconds from its arrival.
    pub retry_after_ms: Option<u64>,
}

/// What the store knew of a subscription when the process started.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Its committed offset.
    pub cursor: Offset,
    /// Offsets from there on that have an attempt, a row or a dead letter.
    pub settled: BTreeSet<Offset>,
}

/// An attempt that was judged, for logs, metrics and live views.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The record.
    pub attempt: Attempt,
    /// The event that was sent.
    pub event: Arc<Event>,
    /// Set when the delivery was given up with it.
    pub dead: Option<DeadReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Lane(LaneId),
    Gate(gate::GateId),
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    lanes: BTreeMap<LaneId, Lane>,
    by_name: BTreeMap<Arc<str>, LaneId>,
    next_lane: u64,
    gates: Gates,
    flights: Flights,
    runnable: VecDeque<LaneId>,
    timers: BTreeSet<(UnixMs, Timer)>,
    commands: VecDeque<Command>,
    records: Records,
    /// Lanes whose cursor has moved since it was last recorded.
    moved: BTreeSet<LaneId>,
    cursor_flush_at: UnixMs,
    /// The offset that the next event will get.
    end: Offset,
    /// Number of the batch that is being collected.
    batch: u64,
    /// So many batches are on disk.
    committed: u64,
    /// Results in `records` and in batches that are not on disk yet.
    uncommitted: usize,
    /// Results in each batch that is on its way.
    on_the_way: VecDeque<(u64, usize)>,
    draining: bool,
    /// As last told.
    now: UnixMs,
}

impl Engine {
    /// An engine for `plan` over a log whose next offset is `end`.
    ///
    /// A subscription without a recovered cursor begins where it says, and the first batch records that.
    #[must_use]
    pub fn new(plan: &Plan, recovered: &BTreeMap<Arc<str>, Recovered>, end: Offset) -> Self {
        let mut engine = Self {
            lanes: BTreeMap::new(),
            by_name: BTreeMap::new(),
            next_lane: 0,
            gates: Gates::default(),
            flights: Flights::default(),
            runnable: VecDeque::new(),
            timers: BTreeSet::new(),
            commands: VecDeque::new(),
            records: Records::default(),
            moved: BTreeSet::new(),
            cursor_flush_at: UnixMs(0),
            end,
            batch: 0,
            committed: 0,
            uncommitted: 0,
            on_the_way: VecDeque::new(),
            draining: false,
            now: UnixMs(0),
        };
        engine.handle_plan(plan, recovered);
        engine
    }

    /// The log has grown: its next offset is now `end`.
    pub fn handle_end(&mut self, end: Offset) {
        if end <= self.end {
            return;
        }
        self.end = end;
        let wanting: Vec<LaneId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.wants_log(end))
            .map(|(id, _)| *id)
            .collect();
        for id in wanting {
            self.wake(id);
        }
    }

    /// Events from the log, as asked for. `events` is in order and starts at `from`.
    pub fn handle_log(&mut self, id: LaneId, from: Offset, events: &[Arc<Event>]) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        if lane.take_log(from, events) {
            self.moved.insert(id);
        }
        while let Some(row) = lane.pass_over(&mut self.flights, self.batch, self.now) {
            self.records.waiting.push(row);
            self.uncommitted = self.uncommitted.saturating_add(1);
        }
        self.wake(id);
    }

    /// Rows that are due, as asked for, and when the next one after them is.
    pub fn handle_due(
        &mut self,
        id: LaneId,
        rows: Vec<(crate::delivery::Waiting, Arc<Event>)>,
        next_due: Option<UnixMs>,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        lane.take_due(rows, next_due, self.now);
        lane.release(self.committed);
        self.wake(id);
    }

    /// Rows of this subscription were written by someone else (a replay, a changed clock).
    pub fn handle_rows_changed(&mut self, subscription: &str) {
        let Some(&id) = self.by_name.get(subscription) else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.rows_changed();
        }
        self.wake(id);
    }

    /// The batch with this number is on disk.
    pub fn handle_committed(&mut self, batch: u64) {
        let was_full = self.uncommitted >= UNCOMMITTED_MAX;
        self.committed = self.committed.max(batch.saturating_add(1));
        while let Some(&(number, results)) = self.on_the_way.front()
            && number <= batch
        {
            self.uncommitted = self.uncommitted.saturating_sub(results);
            self.on_the_way.pop_front();
        }
        let mut ready = Vec::new();
        for (id, lane) in &mut self.lanes {
            if lane.release(self.committed) || was_full {
                ready.push(*id);
            }
        }
        for id in ready {
            self.wake(id);
        }
    }

    /// What must be committed now, with the number to report back, or `None`.
    ///
    /// Hand the batches to the store in the order they are taken.
    pub fn take_records(&mut self, now: UnixMs) -> Option<(u64, Records)> {
        self.see(now);
        if self.records.is_empty() && (self.moved.is_empty() || now < self.cursor_flush_at) {
            return None;
        }
        for id in std::mem::take(&mut self.moved) {
            if let Some(lane) = self.lanes.get_mut(&id)
                && let Some(cursor) = lane.moved_cursor()
            {
                self.records.cursors.push((lane.name().clone(), cursor));
            }
        }
        self.cursor_flush_at = now.plus_ms(CURSOR_FLUSH_MS);
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return None;
        }
        let number = self.batch;
        self.batch = self.batch.saturating_add(1);
        let counted: usize = self.on_the_way.iter().map(|(_, results)| results).sum();
        self.on_the_way
            .push_back((number, self.uncommitted.saturating_sub(counted)));
        Some((number, records))
    }

    /// No further attempt is started; those under way may end.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Attempts under way to each endpoint.
    pub fn in_flight_by_endpoint(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.gates.in_flight()
    }

    /// How far each subscription has got: the offset before which everything is settled or has a row.
    pub fn cursors(&self) -> impl Iterator<Item = (&Arc<str>, Offset)> {
        let in_force = self.lanes.values().filter(|lane| !lane.is_retired());
        in_force.map(|lane| (lane.name(), lane.cursor()))
    }

    /// When to poll again if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<UnixMs> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let flush = (!self.moved.is_empty()).then_some(self.cursor_flush_at);
        match (timer, flush) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes note of the time. Where the clock went back, pauses go back with it: no wait may grow.
    fn see(&mut self, now: UnixMs) {
        let back_ms = self.now.since_ms(now);
        self.now = now;
        if back_ms > 0 {
            self.gates.clock_went_back(back_ms);
            self.cursor_flush_at = self.cursor_flush_at.minus_ms(back_ms);
            let all: Vec<LaneId> = self.lanes.keys().copied().collect();
            for id in all {
                self.wake(id);
            }
        }
    }

    /// What to do next, or `None` when there is nothing until something happens.
    pub fn poll(&mut self, now: UnixMs) -> Option<Command> {
        self.see(now);
        self.fire_timers(now);
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Some(command);
            }
            let id = self.runnable.pop_front()?;
            self.serve(id, now);
        }
    }
}
