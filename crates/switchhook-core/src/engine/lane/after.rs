//! What becomes of a delivery of a lane once it is judged, passed over or skipped, and of those behind it.

use crate::delivery::{Release, WaitReason, Waiting};
use crate::group::KeyHash;
use crate::id::Offset;
use crate::subscription::Order;
use crate::time::UnixMs;

use super::super::WINDOW;
use super::super::flight::Flights;
use super::super::order::Then;
use super::{Lane, Pending, Whereabouts};

/// What a judgement means for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum After {
    /// Nobody waits for it any more.
    Settled,
    /// It has a row from now on, due then.
    Waits(UnixMs),
    /// It is a dead letter, and its key goes no further.
    Halts,
}

impl Lane {
    /// A delivery has been judged; `batch` will say so on disk. Returns the rows of those that waited behind it, and
    /// what is to be released, where its key does not go on in memory.
    pub(in crate::engine) fn judged(
        &mut self,
        pending: &Pending,
        next: &After,
        batch: u64,
        now: UnixMs,
    ) -> (Vec<Waiting>, Option<Release>) {
        let (offset, key) = (pending.event.offset, pending.place.key);
        let due_at = match *next {
            After::Waits(due_at) => Some(due_at),
            After::Settled | After::Halts => None,
        };
        if pending.row.is_none() {
            self.open.remove(&offset);
        }
        if pending.row.is_some() || due_at.is_some() {
            self.rows.release_after(batch, offset, due_at);
        }
        let behind = match next {
            After::Settled => {
                self.done = self.done.saturating_add(1);
                return (Vec::new(), self.settle(key, offset, batch, now));
            }
            After::Waits(_) => self.keys.wait(key, offset),
            After::Halts => self.keys.halt(key, offset),
        };
        let held = self.hold_all(behind, batch);
        // Another letter that halts the key may be in the queue, replayed.
        let then = self.keys.go_on(key);
        (held, self.follow(key, then, batch, now))
    }

    /// The row of a delivery that waits behind another one.
    pub(super) fn order_row(&self, pending: &Pending) -> Waiting {
        let key = self.key_of(pending.event.offset);
        let (never, place) = (UnixMs::NEVER, pending.place);
        pending
            .standing
            .waiting(key, place, never, 0, WaitReason::Order)
    }

    /// Deliveries that were in memory get rows behind another one, with `batch`.
    pub(super) fn hold_all(&mut self, behind: Vec<Pending>, batch: u64) -> Vec<Waiting> {
        for pending in &behind {
            let offset = pending.event.offset;
            if pending.row.is_none() {
                self.open.remove(&offset);
            } else {
                self.rows.release_after(batch, offset, None);
            }
        }
        behind.iter().map(|p| self.order_row(p)).collect()
    }

    /// The delivery at `offset` stands in nobody's way any more.
    pub(in crate::engine) fn settle(
        &mut self,
        key: Option<KeyHash>,
        offset: Offset,
        batch: u64,
        now: UnixMs,
    ) -> Option<Release> {
        let then = self.keys.settle(key, offset);
        self.follow(key, then, batch, now)
    }

    /// The dead letter at `offset` stands in nobody's way any more.
    pub(in crate::engine) fn discard(
        &mut self,
        key: Option<KeyHash>,
        offset: Offset,
        batch: u64,
        now: UnixMs,
    ) -> Option<Release> {
        let then = self.keys.discard(key, offset);
        self.follow(key, then, batch, now)
    }

    /// What follows for a key without a head.
    fn follow(
        &mut self,
        key: Option<KeyHash>,
        then: Then,
        batch: u64,
        now: UnixMs,
    ) -> Option<Release> {
        match then {
            Then::Ready(pending) if pending.row.is_some() => self.rows.push_due(pending),
            Then::Ready(pending) => self.fresh.push_back(pending),
            Then::Release(items) => return Some(self.release_held(key, items, batch, now)),
            Then::Nothing => {}
        }
        None
    }

    /// Once the log is read again up to where the process died: releases rows that nobody else would. Those of keys
    /// without a head, and where the order is none now the first of them; [`Lane::free`] goes on.
    pub(in crate::engine) fn resume(&mut self, batch: u64, now: UnixMs) -> Vec<Release> {
        if self.definition.subscription.order == Order::None {
            return self.free(batch, now).into_iter().collect();
        }
        if self.keys.is_recovering() && self.position() < self.recovered_at {
            return Vec::new();
        }
        let stalled = self.keys.resume().into_iter();
        stalled
            .filter_map(|(key, then)| self.follow(Some(key), then, batch, now))
            .collect()
    }

    /// The next rows that are held although the order is none now become due with `batch`, if those before are on disk.
    /// To be asked for when no row is due any more.
    pub(in crate::engine) fn free(&mut self, batch: u64, now: UnixMs) -> Option<Release> {
        if self.rows.is_releasing() {
            return None;
        }
        let items = self.keys.free_unordered_rows()?;
        Some(self.release_held(None, items, batch, now))
    }

    /// Held rows of a key, or of all keys, become due with `batch`.
    pub(in crate::engine) fn release_held(
        &mut self,
        key: Option<KeyHash>,
        items: u32,
        batch: u64,
        now: UnixMs,
    ) -> Release {
        self.rows.look_after(batch, now);
        Release {
            subscription: self.name().clone(),
            partition: self.partition,
            key,
            items,
            due_at: now,
        }
    }

    /// Passes over what lies before `to`, but for what is under way or has a row.
    pub(in crate::engine) fn skip_to(
        &mut self,
        to: Offset,
        batch: u64,
        now: UnixMs,
    ) -> Vec<Release> {
        for pending in self.keys.skip_to(to) {
            self.open.remove(&pending.event.offset);
        }
        let mut releases = Vec::new();
        while let Some(at) = self.fresh.iter().position(|p| p.event.offset < to) {
            let Some(pending) = self.fresh.remove(at) else {
                break;
            };
            self.open.remove(&pending.event.offset);
            releases.extend(self.settle(pending.place.key, pending.event.offset, batch, now));
        }
        self.position = self.position.max(to);
        releases
    }

    /// Rows for the oldest unsettled event, and for those that wait behind it, when the cursor has run too far ahead.
    ///
    /// One that was not under way is read back as due once `batch`, which writes the row, is on disk.
    /// The row is due by `now`: an event may come from before the clock went back.
    pub(in crate::engine) fn pass_over(
        &mut self,
        flights: &mut Flights,
        batch: u64,
        now: UnixMs,
    ) -> Vec<Waiting> {
        let Some((&offset, &whereabouts)) = self.open.first_key_value() else {
            return Vec::new();
        };
        if self.position.0.saturating_sub(offset.0) <= WINDOW {
            return Vec::new();
        }
        let row = |lane: &Self, pending: &Pending| {
            let due_at = pending.event.received_at.min(now);
            let (key, place) = (lane.key_of(offset), pending.place);
            pending
                .standing
                .waiting(key, place, due_at, 0, WaitReason::InFlight)
        };
        if let Whereabouts::UnderWay(ticket) = whereabouts {
            let Some(flight) = flights.get_mut(ticket) else {
                return Vec::new();
            };
            flight.pending.row = Some(WaitReason::InFlight);
            self.open.pop_first();
            self.rows.take(offset);
            return vec![row(self, &flight.pending)];
        }
        let ready = self.fresh.iter().position(|p| p.event.offset == offset);
        let Some(pending) = ready.and_then(|at| self.fresh.remove(at)) else {
            let behind = self.keys.relieve(Some(offset));
            return self.hold_all(behind, batch);
        };
        self.open.pop_first();
        let first = row(self, &pending);
        self.rows.release_after(batch, offset, Some(first.due_at));
        let mut rows = vec![first];
        let behind = self.keys.wait(pending.place.key, offset);
        rows.extend(self.hold_all(behind, batch));
        rows
    }
}
