//! A lane: one partition of a subscription on its way through the log, and its deliveries that wait for a slot.
//!
//! Two queues feed it: `fresh` from the log, and `due` from waiting rows. They take turns, so that neither a backlog
//! of retries nor a flood of new events starves the other. Before both stands [`Keys`], which lets one
//! delivery of a key through at a time where the subscription keeps an order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{DeliveryKey, Place, Release, WaitReason, Waiting};
use crate::event::Event;
use crate::group::{self, Group};
use crate::id::Offset;
use crate::retry::Policy;
use crate::subscription::{Order, Selection, Subscription};
use crate::time::UnixMs;

use super::flight::Ticket;
use super::gate::GateId;
use super::next::Standing;
use super::order::{Keys, Turn};
use super::{DUE_MAX, FRESH_MAX, KEYS_MAX, Recovered, WINDOW};

mod after;
mod locate;
mod rows;

pub(in crate::engine) use after::After;
pub use locate::Located;

/// Most deliveries from the log that wait in memory behind others of their key while there is more to read.
const BEHIND_MAX: usize = FRESH_MAX / 4;

/// A delivery in memory.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) event: Arc<Event>,
    pub(super) place: Place,
    pub(super) standing: Standing,
    /// Why it waits according to its row, if the store has one.
    pub(super) row: Option<WaitReason>,
}

/// Where an unsettled event that has no row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// In `fresh`, or behind another one of its key.
    InMemory,
    UnderWay(Ticket),
}

/// The two queues of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// From the log.
    Fresh,
    /// From rows.
    Due,
}

/// What a lane is made of; it can change while the lane works.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) subscription: Arc<Subscription>,
    pub(super) policy: Arc<Policy>,
    /// `None` where the subscription has a single endpoint.
    pub(super) group: Option<Arc<Group>>,
}

/// What came of events from the log.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Whether the cursor may have moved.
    pub(super) moved: bool,
    /// Rows to write.
    pub(super) rows: Vec<Waiting>,
    /// Rows to be made due.
    pub(super) released: Vec<Release>,
    /// Events on which the filter failed, and how.
    pub(super) failed: Vec<(Arc<Event>, Place, Arc<str>)>,
}

#[derive(Debug)]
pub(super) struct Lane {
    definition: Definition,
    partition: u16,
    /// The endpoint that it sends to: the only one, or the member it is assigned to.
    pub(super) member: Option<Arc<str>>,
    pub(super) gate: Option<GateId>,
    /// Next position to take from the log.
    position: Offset,
    /// Before `position`, neither settled nor with a row.
    open: BTreeMap<Offset, Whereabouts>,
    /// As last recorded.
    committed: Offset,
    /// Recorded before a restart, at or after the cursor: to be passed over. Let go of at `recovered_at`.
    recorded: Arc<BTreeSet<Offset>>,
    /// Taken before it was retired, and not to be taken again.
    settled: BTreeSet<Offset>,
    /// Nothing from here on was recorded before the restart.
    recovered_at: Offset,
    /// The end of the log when it was last asked for events.
    asked_end: Offset,
    fresh: VecDeque<Pending>,
    keys: Keys,
    rows: rows::Rows,
    due_turn: bool,
    pub(super) runnable: bool,
    /// In whose line it stands.
    pub(super) at_gate: Option<GateId>,
    /// Waits for any slot at all.
    pub(super) in_line: bool,
    pub(super) timer: Option<UnixMs>,
    /// Deliveries settled since the process started.
    pub(super) done: u64,
    /// A person stopped it.
    paused: bool,
    /// Not in the plan any more; see [`Lane::retire`].
    retired: bool,
}

impl Lane {
    pub(super) fn new(definition: Definition, partition: u16, known: &Recovered) -> Self {
        let recovered_at = known
            .settled
            .last()
            .map_or(known.cursor, |last| last.next());
        Self {
            keys: Keys::new(
                definition.subscription.order,
                &known.keys,
                known.cursor < recovered_at,
            ),
            recovered_at,
            asked_end: known.cursor,
            definition,
            partition,
            member: known.member.clone(),
            gate: None,
            position: known.cursor,
            open: BTreeMap::new(),
            committed: known.cursor,
            recorded: known.settled.clone(),
            settled: BTreeSet::new(),
            fresh: VecDeque::new(),
            rows: rows::Rows::default(),
            due_turn: false,
            runnable: false,
            at_gate: None,
            in_line: false,
            timer: None,
            done: 0,
            paused: false,
            retired: false,
        }
    }

    /// Goes on under a changed definition; its order and partitions are the same. Whether it had been retired.
    pub(super) fn adopt(&mut self, definition: Definition) -> bool {
        self.definition = definition;
        self.at_gate = None;
        let was_retired = std::mem::take(&mut self.retired);
        if was_retired {
            self.rows.changed();
        }
        was_retired
    }

    /// Stops, and lets go of every event that is not under way.
    ///
    /// The lane stays, since attempts under way and results not yet on disk belong to it: should the
    /// subscription come back, the store alone could not say what was sent. Only offsets are kept.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        let due = self.rows.let_go();
        let ready = std::mem::take(&mut self.fresh);
        let behind = self.keys.retire(ready.iter().chain(&due));
        let mut fresh: BTreeSet<Offset> = ready.iter().map(|p| p.event.offset).collect();
        for pending in behind {
            if pending.row.is_some() {
                self.rows.untake(pending.event.offset);
            } else {
                fresh.insert(pending.event.offset);
            }
        }
        let Some(&first) = fresh.first() else { return };
        // The log is read again from there, but for what was taken from it since.
        let since = (first.0..self.position.0).map(Offset);
        self.settled
            .extend(since.filter(|offset| !fresh.contains(offset)));
        self.open
            .retain(|_, whereabouts| *whereabouts != Whereabouts::InMemory);
        // What it let go of comes before the rows that are held behind it.
        self.recovered_at = self.recovered_at.max(self.position);
        self.keys.recover();
        self.position = first;
    }

    pub(super) const fn is_retired(&self) -> bool {
        self.retired
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether the configuration wants anything sent.
    pub(super) fn is_enabled(&self) -> bool {
        self.definition.subscription.enabled
    }

    pub(super) const fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.definition.subscription.name
    }

    pub(super) const fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(super) const fn partition(&self) -> u16 {
        self.partition
    }

    pub(super) const fn position(&self) -> Offset {
        self.position
    }

    /// Everything before this is settled or has a row.
    pub(super) fn cursor(&self) -> Offset {
        // Where the lane was retired, what it let go of lies before what is under way.
        let first = self.open.first_key_value().map(|(offset, _)| *offset);
        first.map_or(self.position, |first| first.min(self.position))
    }

    /// The cursor, if it differs from the one last recorded.
    pub(super) fn moved_cursor(&mut self) -> Option<Offset> {
        let cursor = self.cursor();
        (std::mem::replace(&mut self.committed, cursor) != cursor).then_some(cursor)
    }

    /// Keys that are not free.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The endpoint, as dead letters name it.
    pub(super) fn endpoint_name(&self) -> Arc<str> {
        self.member.clone().unwrap_or_else(|| "".into())
    }

    fn is_still(&self) -> bool {
        self.retired || self.paused || !self.is_enabled()
    }

    pub(super) fn wants_log(&self, end: Offset) -> bool {
        !self.is_still()
            && !self.rows.reading_log
            && self.position < end
            && self.fresh_count() < FRESH_MAX / 2
            && self.keys.len() < KEYS_MAX
            // Nothing behind the head of a strict lane gets a row, so that the cursor stays where that is.
            && (self.definition.subscription.order != Order::Strict
                || self.position.0.saturating_sub(self.cursor().0) + FRESH_MAX as u64 <= WINDOW)
    }

    fn fresh_count(&self) -> usize {
        self.fresh.len().saturating_add(self.keys.queued_fresh())
    }

    /// From where to read the log and how much, if there is room and something to read.
    pub(super) fn ask_log(&mut self, end: Offset) -> Option<(Offset, usize)> {
        if !self.wants_log(end) {
            return None;
        }
        self.rows.reading_log = true;
        self.asked_end = end;
        Some((self.position, FRESH_MAX.saturating_sub(self.fresh_count())))
    }

    /// What was read is not wanted any more.
    pub(super) const fn leave_log(&mut self) {
        self.rows.reading_log = false;
    }

    /// Takes in what was read at `now`. `end` is the end of the log, `batch` the one that rows go with.
    pub(super) fn take_log(
        &mut self,
        from: Offset,
        events: &[Arc<Event>],
        end: Offset,
        batch: u64,
        now: UnixMs,
    ) -> Taken {
        self.rows.reading_log = false;
        let mut taken = Taken::default();
        if self.retired || from != self.position {
            return taken;
        }
        if events.is_empty() {
            // Retention has taken all that there was.
            self.position = self.position.max(self.asked_end);
        }
        taken.moved = !events.is_empty() || self.position > from;
        for event in events {
            self.position = event.offset.next();
            let was_taken =
                self.settled.remove(&event.offset) || self.recorded.contains(&event.offset);
            if !was_taken && self.is_ours(event) {
                self.take_event(event, &mut taken);
            }
        }
        if self.position >= self.recovered_at {
            self.recorded = Arc::default();
            if self.keys.is_recovering() {
                taken.released = self.resume(batch, now);
            }
        }
        // Those that wait behind others must not take all the room from those that could go.
        let orders_keys = self.definition.subscription.order == Order::Key;
        while orders_keys && self.position < end && self.keys.queued_fresh() >= BEHIND_MAX {
            let behind = self.keys.relieve(None);
            taken.rows.extend(self.hold_all(behind, batch));
        }
        taken
    }

    /// Whether it falls into the lane's partition.
    pub(super) fn is_ours(&self, event: &Event) -> bool {
        let Definition {
            group,
            subscription,
            ..
        } = &self.definition;
        group.as_ref().is_none_or(|group| {
            group::partition_of_event(group, &subscription.types, event) == self.partition
        })
    }

    fn take_event(&mut self, event: &Arc<Event>, taken: &mut Taken) {
        let Definition {
            subscription,
            group,
            ..
        } = &self.definition;
        let place = subscription.place(group.as_deref(), event);
        match subscription.select(event) {
            Selection::PassedOver(_) => return,
            Selection::Failed(how) => {
                taken.failed.push((event.clone(), place, how));
                return;
            }
            Selection::Taken => {}
        }
        let deadline = event.received_at.plus_ms(self.definition.policy.max_age_ms);
        let pending = Pending {
            event: event.clone(),
            place,
            standing: Standing::first(deadline),
            row: None,
        };
        match self.keys.arrive(pending) {
            Turn::Ready(pending) => {
                self.open.insert(event.offset, Whereabouts::InMemory);
                self.fresh.push_back(pending);
            }
            Turn::Queued => {
                self.open.insert(event.offset, Whereabouts::InMemory);
            }
            Turn::Held(pending) => taken.rows.push(self.order_row(&pending)),
        }
    }

    fn key_of(&self, offset: Offset) -> DeliveryKey {
        DeliveryKey {
            subscription: self.name().clone(),
            offset,
        }
    }

    /// Which rows to skip and how many to read, if some may be due and there is room for them.
    pub(super) fn ask_due(&mut self, now: UnixMs) -> Option<(BTreeSet<Offset>, usize)> {
        let in_memory = self.rows.len().saturating_add(self.keys.queued_rows());
        if self.is_still() || in_memory >= DUE_MAX / 2 {
            return None;
        }
        let skip = self.rows.ask(now)?;
        Some((skip, DUE_MAX.saturating_sub(in_memory)))
    }

    /// When to look for due rows again, if that lies ahead.
    pub(super) fn due_timer(&self, now: UnixMs) -> Option<UnixMs> {
        self.rows.timer(now).filter(|_| !self.is_still())
    }

    /// Takes in rows that were read as due; returns those that must wait behind another one, to be written with
    /// `batch`. Rows that are not due, since the clock went back, stay where they are.
    pub(super) fn take_due(
        &mut self,
        rows: Vec<(Waiting, Arc<Event>)>,
        next_due: Option<UnixMs>,
        batch: u64,
        now: UnixMs,
    ) -> Vec<Waiting> {
        self.rows.read(next_due);
        let mut held = Vec::new();
        if self.retired {
            return held;
        }
        for (row, event) in rows {
            if row.due_at > now {
                self.rows.look_at(row.due_at);
                continue;
            }
            if !self.rows.take(event.offset) {
                continue;
            }
            let pending = Pending {
                event,
                place: row.place,
                standing: Standing::of(&row),
                row: Some(row.reason),
            };
            match self.keys.come_back(pending, row.reason) {
                Turn::Ready(pending) => self.rows.push_due(pending),
                Turn::Queued => {}
                Turn::Held(pending) => held.extend(self.hold_all(vec![pending], batch)),
            }
        }
        held
    }

    /// Rows were written behind the engine's back: look again at once.
    pub(super) fn rows_changed(&mut self) {
        self.rows.changed();
    }

    /// Lets go of rows whose batch is on disk; whether there may be something to do now.
    pub(super) fn release(&mut self, committed: u64) -> bool {
        self.rows.release(committed)
    }

    pub(super) fn has_work(&self) -> bool {
        !self.is_still() && (!self.fresh.is_empty() || self.rows.len() > 0)
    }

    /// The two queues, the one whose turn it is first.
    pub(super) const fn turns(&self) -> [Queue; 2] {
        if self.due_turn {
            [Queue::Due, Queue::Fresh]
        } else {
            [Queue::Fresh, Queue::Due]
        }
    }

    /// The first of a queue.
    pub(super) fn first(&self, queue: Queue) -> Option<&Pending> {
        match queue {
            Queue::Fresh => self.fresh.front(),
            Queue::Due => self.rows.first(),
        }
    }

    /// Takes the first of a queue; the other one is next.
    pub(super) fn next(&mut self, queue: Queue) -> Option<Pending> {
        self.due_turn = queue == Queue::Fresh;
        match queue {
            Queue::Fresh => self.fresh.pop_front(),
            Queue::Due => self.rows.next(),
        }
    }

    /// The event at `offset`, which has no row, is being sent.
    pub(super) fn under_way(&mut self, offset: Offset, ticket: Ticket) {
        self.open.insert(offset, Whereabouts::UnderWay(ticket));
    }
}
