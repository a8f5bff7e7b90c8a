//! A lane: one subscription's way through the log, and its deliveries that wait for a slot.
//!
//! Two queues feed it: `fresh` from the log, in order, and `due` from waiting rows. They take turns, so
//! that neither a backlog of retries nor a flood of new events starves the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{DeliveryKey, WaitReason, Waiting};
use crate::event::Event;
use crate::id::Offset;
use crate::retry::Policy;
use crate::subscription::Subscription;
use crate::time::UnixMs;

use super::flight::{Flights, Ticket};
use super::gate::GateId;
use super::next::Standing;
use super::{DUE_MAX, FRESH_MAX, WINDOW};

/// A delivery in memory.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) event: Arc<Event>,
    pub(super) standing: Standing,
    /// Whether the store has a waiting row for it.
    pub(super) has_row: bool,
}

/// Where an unsettled event that has no row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    Fresh,
    UnderWay(Ticket),
}

/// A row to let go of once its batch is on disk.
#[derive(Debug, Clone, Copy)]
struct Release {
    batch: u64,
    offset: Offset,
    /// When the row as written is due, if it is still there.
    due_at: Option<UnixMs>,
}

#[derive(Debug)]
pub(super) struct Lane {
    subscription: Arc<Subscription>,
    pub(super) policy: Arc<Policy>,
    pub(super) gate: GateId,
    /// Next position to take from the log.
    position: Offset,
    /// Before `position`, neither settled nor with a row.
    open: BTreeMap<Offset, Whereabouts>,
    /// As last recorded.
    committed: Offset,
    /// Recorded before a restart, at or after the cursor: to be passed over.
    settled: BTreeSet<Offset>,
    fresh: VecDeque<Pending>,
    due: VecDeque<Pending>,
    /// Rows in `due`, under way, or changed by a batch that is not on disk yet.
    taken: BTreeSet<Offset>,
    releases: VecDeque<Release>,
    /// No row that is not taken is due before this; `None` when there is none at all.
    next_due: Option<UnixMs>,
    reading_log: bool,
    reading_due: bool,
    /// Rows were written by someone else during a read of due rows.
    reread: bool,
    due_turn: bool,
    pub(super) runnable: bool,
    pub(super) at_gate: bool,
    pub(super) timer: Option<UnixMs>,
    /// Not in the plan any more; see [`Lane::retire`].
    retired: bool,
}

impl Lane {
    pub(super) fn new(
        subscription: Arc<Subscription>,
        policy: Arc<Policy>,
        gate: GateId,
        cursor: Offset,
        settled: BTreeSet<Offset>,
    ) -> Self {
        Self {
            subscription,
            policy,
            gate,
            position: cursor,
            open: BTreeMap::new(),
            committed: cursor,
            settled,
            fresh: VecDeque::new(),
            due: VecDeque::new(),
            taken: BTreeSet::new(),
            releases: VecDeque::new(),
            next_due: Some(UnixMs(0)),
            reading_log: false,
            reading_due: false,
            reread: false,
            due_turn: false,
            runnable: false,
            at_gate: false,
            timer: None,
            retired: false,
        }
    }

    /// Goes on under a changed definition.
    pub(super) fn adopt(
        &mut self,
        subscription: Arc<Subscription>,
        policy: Arc<Policy>,
        gate: GateId,
    ) {
        self.subscription = subscription;
        self.policy = policy;
        self.gate = gate;
        self.at_gate = false;
        if std::mem::take(&mut self.retired) {
            self.rows_changed();
        }
    }

    /// Stops, and lets go of every event that is not under way.
    ///
    /// The lane stays, since attempts under way and results not yet on disk belong to it: should the
    /// subscription come back, the store alone could not say what was sent. Only offsets are kept.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        for pending in std::mem::take(&mut self.due) {
            self.taken.remove(&pending.event.offset);
        }
        let fresh: BTreeSet<Offset> = std::mem::take(&mut self.fresh)
            .iter()
            .map(|pending| pending.event.offset)
            .collect();
        let Some(&first) = fresh.first() else { return };
        // The log is read again from there, but for what was taken from it since.
        let since = (first.0..self.position.0).map(Offset);
        self.settled
            .extend(since.filter(|offset| !fresh.contains(offset)));
        self.open
            .retain(|_, whereabouts| *whereabouts != Whereabouts::Fresh);
        self.position = first;
    }

    pub(super) const fn is_retired(&self) -> bool {
        self.retired
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.subscription.name
    }

    /// Everything before this is settled or has a row.
    pub(super) fn cursor(&self) -> Offset {
        self.open
            .first_key_value()
            .map_or(self.position, |(offset, _)| *offset)
    }

    /// The cursor, if it differs from the one last recorded.
    pub(super) fn moved_cursor(&mut self) -> Option<Offset> {
        let cursor = self.cursor();
        (std::mem::replace(&mut self.committed, cursor) != cursor).then_some(cursor)
    }

    pub(super) fn wants_log(&self, end: Offset) -> bool {
        !self.retired
            && !self.reading_log
            && self.position < end
            && self.fresh.len() < FRESH_MAX / 2
    }

    /// From where to read the log and how much, if there is room and something to read.
    pub(super) fn ask_log(&mut self, end: Offset) -> Option<(Offset, usize)> {
        if !self.wants_log(end) {
            return None;
        }
        self.reading_log = true;
        Some((self.position, FRESH_MAX.saturating_sub(self.fresh.len())))
    }

    /// Takes in what was read; whether the cursor may have moved.
    pub(super) fn take_log(&mut self, from: Offset, events: &[Arc<Event>]) -> bool {
        self.reading_log = false;
        if self.retired || from != self.position {
            return false;
        }
        for event in events {
            self.position = event.offset.next();
            if self.settled.remove(&event.offset) || !self.subscription.takes(event) {
                continue;
            }
            self.open.insert(event.offset, Whereabouts::Fresh);
            let standing = Standing::first(event.received_at.plus_ms(self.policy.max_age_ms));
            self.fresh.push_back(Pending {
                event: event.clone(),
                standing,
                has_row: false,
            });
        }
        !events.is_empty()
    }

    /// The row for the oldest unsettled event, when the cursor has run too far ahead of it.
    ///
    /// One that was not under way is read back as due once `batch`, which writes the row, is on disk.
    /// The row is due by `now`: an event may come from before the clock went back.
    pub(super) fn pass_over(
        &mut self,
        flights: &mut Flights,
        batch: u64,
        now: UnixMs,
    ) -> Option<Waiting> {
        let (&offset, &whereabouts) = self.open.first_key_value()?;
        if self.position.0.saturating_sub(offset.0) <= WINDOW {
            return None;
        }
        let (due_at, standing) = match whereabouts {
            Whereabouts::UnderWay(ticket) => {
                let pending = &mut flights.get_mut(ticket)?.pending;
                pending.has_row = true;
                (pending.event.received_at.min(now), pending.standing)
            }
            Whereabouts::Fresh => {
                let pending = self.fresh.pop_front()?;
                let due_at = pending.event.received_at.min(now);
                self.releases.push_back(Release {
                    batch,
                    offset,
                    due_at: Some(due_at),
                });
                (due_at, pending.standing)
            }
        };
        self.open.pop_first();
        self.taken.insert(offset);
        let key = DeliveryKey {
            subscription: self.name().clone(),
            offset,
        };
        Some(standing.waiting(key, due_at, 0, WaitReason::InFlight))
    }

    /// Which rows to skip and how many to read, if some may be due and there is room for them.
    pub(super) fn ask_due(&mut self, now: UnixMs) -> Option<(BTreeSet<Offset>, usize)> {
        if self.retired
            || self.reading_due
            || self.due.len() >= DUE_MAX / 2
            || self.next_due.is_none_or(|at| at > now)
        {
            return None;
        }
        self.reading_due = true;
        Some((self.taken.clone(), DUE_MAX.saturating_sub(self.due.len())))
    }

    /// When to look for due rows again, if that lies ahead.
    pub(super) fn due_timer(&self, now: UnixMs) -> Option<UnixMs> {
        self.next_due
            .filter(|at| !self.retired && !self.reading_due && *at > now)
    }

    /// Takes in rows that were read as due. Those that are not, since the clock went back, stay.
    pub(super) fn take_due(
        &mut self,
        rows: Vec<(Waiting, Arc<Event>)>,
        next_due: Option<UnixMs>,
        now: UnixMs,
    ) {
        self.reading_due = false;
        if self.retired {
            return;
        }
        self.next_due = if std::mem::take(&mut self.reread) {
            Some(UnixMs(0))
        } else {
            next_due
        };
        for (row, event) in rows {
            if row.due_at > now {
                self.look_at(row.due_at);
            } else if self.taken.insert(event.offset) {
                let standing = Standing::of(&row);
                self.due.push_back(Pending {
                    event,
                    standing,
                    has_row: true,
                });
            }
        }
    }

    /// A row is due at `at`.
    fn look_at(&mut self, at: UnixMs) {
        self.next_due = Some(self.next_due.map_or(at, |next| next.min(at)));
    }

    /// Rows were written behind the engine's back: look again at once.
    pub(super) fn rows_changed(&mut self) {
        self.reread = self.reading_due;
        self.next_due = Some(UnixMs(0));
    }

    /// Lets go of rows whose batch is on disk; whether there may be something to do now.
    ///
    /// Not while a read of due rows is under way: it may have seen the row as it was before.
    /// `committed`: so many batches are on disk.
    pub(super) fn release(&mut self, committed: u64) -> bool {
        let mut released = false;
        while !self.reading_due
            && let Some(release) = self.releases.front()
            && release.batch < committed
        {
            self.taken.remove(&release.offset);
            if let Some(at) = release.due_at {
                self.look_at(at);
            }
            self.releases.pop_front();
            released = true;
        }
        released
    }

    pub(super) fn has_work(&self) -> bool {
        !self.fresh.is_empty() || !self.due.is_empty()
    }

    /// The next delivery to attempt: due and fresh ones take turns.
    pub(super) fn next_pending(&mut self) -> Option<Pending> {
        self.due_turn = !self.due_turn;
        let (first, second) = if self.due_turn {
            (&mut self.due, &mut self.fresh)
        } else {
            (&mut self.fresh, &mut self.due)
        };
        first.pop_front().or_else(|| second.pop_front())
    }

    /// The event at `offset`, which has no row, is being sent.
    pub(super) fn under_way(&mut self, offset: Offset, ticket: Ticket) {
        self.open.insert(offset, Whereabouts::UnderWay(ticket));
    }

    /// A delivery has been judged; `batch` will say so on disk.
    ///
    /// `had_row`: the store had a row for it. `due_at`: it has one from now on, due then.
    pub(super) fn judged(
        &mut self,
        offset: Offset,
        had_row: bool,
        due_at: Option<UnixMs>,
        batch: u64,
    ) {
        if !had_row {
            self.open.remove(&offset);
        }
        if had_row || due_at.is_some() {
            self.taken.insert(offset);
            self.releases.push_back(Release {
                batch,
                offset,
                due_at,
            });
        }
    }
}
