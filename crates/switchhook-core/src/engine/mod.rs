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
//! A partition of a subscription is a cursor over the log, a [`lane`]. A matching event becomes a delivery in
//! memory; only one that is not simply done gets a row in the store, so that the cursor can go on. Inside a lane
//! [`order`] lets the deliveries of a key through one at a time; before each endpoint stands a [`gate`] with its breaker
//! and limits; [`assign`] gives the lanes of a group to its members.
//!
//! Invariants
//! * An event that a subscription takes is, at every commit, at or after the committed offset, or it has
//!   an attempt that settled it, a waiting row, or a dead letter.
//! * No more requests are under way to an endpoint than its gate lets in, and none before the time that
//!   its `Retry-After` asked for; no more than the plan's slots over all endpoints.
//! * Of a key with an order at most one delivery is under way, and none overtakes an earlier one.
//! * A row is never taken twice at once: it stays *taken* until the batch that settles it is on disk.
//!
//! Bounds: [`FRESH_MAX`] and [`DUE_MAX`] deliveries and [`LANE_BYTES_MAX`] bytes wait in a lane, which knows at most
//! [`KEYS_MAX`] keys that are not free; a cursor runs at most [`WINDOW`] positions ahead of what it has committed, and no
//! attempt starts while [`UNCOMMITTED_MAX`] results wait for the disk.

mod adopt;
mod assign;
mod flight;
mod gate;
mod lane;
mod next;
mod operate;
mod order;
mod serve;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::breaker::Change;
use crate::delivery::{Attempt, Cursor, DeadReason, OutcomeKind, Records};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::group::KeyHash;
use crate::id::Offset;
use crate::plan::Plan;
use crate::retry::Policy;
use crate::subscription::Subscription;
use crate::time::UnixMs;

use flight::Flights;
use gate::Gates;
use lane::Lane;

pub use adopt::Known;
pub use assign::Move;
pub use flight::Ticket;
pub use gate::{EndpointNow, Operator};
pub use lane::Located;
pub use next::{Decision, Next, Standing, next};
pub use operate::LaneNow;

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
    pub subscription: Arc<Subscription>,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Where to send.
    pub endpoint: Arc<Endpoint>,
    /// What to send.
    pub event: Arc<Event>,
    /// 0, or the number of the replay.
    pub chain: u16,
    /// 1, 2, … within the chain.
    pub n: u16,
    /// It shows whether the endpoint is back.
    pub probe: bool,
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
    /// Its partition.
    pub partition: u16,
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

/// What the store knew of a partition of a subscription when the process started.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Its committed offset.
    pub cursor: Offset,
    /// The member it was assigned to.
    pub member: Option<Arc<str>>,
    /// Offsets from there on that have an attempt, a row or a dead letter, in this partition or another. Shared by
    /// partitions with one cursor: after a change of layout there may be as many as the log is long.
    pub settled: Arc<BTreeSet<Offset>>,
    /// What keeps its keys from going on.
    pub keys: BTreeMap<KeyHash, KeyRows>,
}

/// What the store has of one key of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRows {
    /// Rows with a reason other than `order`.
    pub waiting: Vec<Offset>,
    /// Rows with reason `order` whose turn has not come.
    pub held: u32,
    /// Rows with reason `order` that are due.
    pub released: u32,
    /// Dead letters that halt the key.
    pub halted: Vec<Offset>,
}

/// Most keys of a lane that are not free. A lane with so many takes nothing from the log until some are.
pub const KEYS_MAX: usize = 1_000_000;

/// An attempt that was judged, for logs, metrics and live views.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The record.
    pub attempt: Attempt,
    /// The event that was sent.
    pub event: Arc<Event>,
    /// Set when the delivery was given up with it.
    pub dead: Option<DeadReason>,
    /// Set when the breaker of the endpoint changed with it.
    pub breaker: Option<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Lane(LaneId),
    Gate(gate::GateId),
    Assign,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    lanes: BTreeMap<LaneId, Lane>,
    /// By subscription and partition.
    by_name: BTreeMap<(Arc<str>, u16), LaneId>,
    next_lane: u64,
    gates: Gates,
    flights: Flights,
    /// Most attempts under way, and the lanes that wait for one of them to end.
    slots: usize,
    line: VecDeque<LaneId>,
    runnable: VecDeque<LaneId>,
    timers: BTreeSet<(UnixMs, Timer)>,
    commands: VecDeque<Command>,
    records: Records,
    /// Lanes whose cursor has moved since it was last recorded.
    moved: BTreeSet<LaneId>,
    /// Lanes that are new or have another member since that was last recorded.
    changed_hands: BTreeSet<LaneId>,
    /// When partitions are assigned again, if that is planned.
    assign_at: Option<UnixMs>,
    /// Subscriptions of which a member of the group is on trial and has nothing to send.
    idle_trials: BTreeSet<Arc<str>>,
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
    pub fn new(plan: &Plan, known: &Known, end: Offset, now: UnixMs) -> Self {
        let mut engine = Self {
            lanes: BTreeMap::new(),
            by_name: BTreeMap::new(),
            next_lane: 0,
            gates: Gates::default(),
            flights: Flights::default(),
            slots: plan.slots_or_default(),
            line: VecDeque::new(),
            runnable: VecDeque::new(),
            timers: BTreeSet::new(),
            commands: VecDeque::new(),
            records: Records::default(),
            moved: BTreeSet::new(),
            changed_hands: BTreeSet::new(),
            assign_at: None,
            idle_trials: BTreeSet::new(),
            cursor_flush_at: UnixMs(0),
            end,
            batch: 0,
            committed: 0,
            uncommitted: 0,
            on_the_way: VecDeque::new(),
            draining: false,
            now,
        };
        engine.handle_plan(plan, known, now);
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
        if self.draining {
            lane.leave_log();
            return;
        }
        let taken = lane.take_log(from, events, self.end, self.batch, self.now);
        if taken.moved {
            self.moved.insert(id);
        }
        self.records.released.extend(taken.released);
        let mut rows = taken.rows;
        loop {
            let passed_over = lane.pass_over(&mut self.flights, self.batch, self.now);
            if passed_over.is_empty() {
                break;
            }
            rows.extend(passed_over);
        }
        self.uncommitted = self.uncommitted.saturating_add(rows.len());
        self.records.waiting.extend(rows);
        for (event, place, how) in taken.failed {
            self.filter_failed(id, &event, place, &how, self.now);
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
        let rows = if self.draining { Vec::new() } else { rows };
        if !self.draining && next_due.is_none_or(|at| at > self.now) {
            let freed = lane.free(self.batch, self.now);
            self.records.released.extend(freed);
        }
        let held = lane.take_due(rows, next_due, self.batch, self.now);
        lane.release(self.committed);
        self.uncommitted = self.uncommitted.saturating_add(held.len());
        self.records.waiting.extend(held);
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
        self.records.breakers.extend(self.gates.take_records());
        let cursors_are_due = !self.moved.is_empty() && now >= self.cursor_flush_at;
        if self.records.is_empty() && self.changed_hands.is_empty() && !cursors_are_due {
            return None;
        }
        self.record_cursors();
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

    fn record_cursors(&mut self) {
        let changed_hands = std::mem::take(&mut self.changed_hands);
        let mut lanes = std::mem::take(&mut self.moved);
        lanes.extend(&changed_hands);
        for id in lanes {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            let moved = lane.moved_cursor();
            if moved.is_some() || changed_hands.contains(&id) {
                let is_grouped = lane.definition().group.is_some();
                self.records.cursors.push(Cursor {
                    subscription: lane.name().clone(),
                    partition: lane.partition(),
                    offset: lane.cursor(),
                    member: lane.member.clone().filter(|_| is_grouped),
                });
            }
        }
    }

    /// No further attempt is started and nothing more is taken from the store; those under way may end.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing is under way and everything is on disk.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.flights.len() == 0
            && self.uncommitted == 0
            && self.on_the_way.is_empty()
            && self.records.is_empty()
            && self.changed_hands.is_empty()
            && self.moved.is_empty()
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
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
            self.wake_all();
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
            // A slot that this lane had no use for is for the next one in line.
            if self.flights.len() < self.slots {
                self.wake_line();
            }
        }
    }
}
