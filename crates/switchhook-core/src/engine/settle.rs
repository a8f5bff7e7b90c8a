//! From the end of an attempt to the records that say what became of it.

use std::sync::Arc;

use crate::alert;
use crate::breaker::Change;
use crate::delivery::{
    Attempt, Dead, DeadReason, DeliveryKey, Gap, OutcomeKind, Place, Verdict, WaitReason, detail,
};
use crate::event::Event;
use crate::id::DeliveryId;
use crate::subscription::{OnExhausted, Order, Subscription};
use crate::time::UnixMs;

use super::flight::Flight;
use super::gate::Ended;
use super::lane::After;
use super::{Decision, Engine, Judged, LaneId, Next, Outcome, Standing, Ticket, next};

impl Engine {
    /// An attempt has ended. Returns how it was judged, or `None` for a ticket that is not out.
    pub fn handle_outcome(
        &mut self,
        ticket: Ticket,
        outcome: &Outcome,
        now: UnixMs,
    ) -> Option<Judged> {
        self.see(now);
        let flight = self.flights.remove(ticket)?;
        let (event, standing) = (&flight.pending.event, flight.pending.standing);
        let delivery = DeliveryId::derive(event.id, &flight.subscription.name);
        let decision = next(
            &flight.policy,
            standing,
            delivery,
            outcome,
            flight.probe,
            now,
        );
        let ended = Ended {
            probe: flight.probe,
            offset: event.offset,
            outcome,
            hold: decision.hold,
            pause_until: decision.pause_until,
            entropy: delivery.entropy(u32::from(standing.attempts) << 16 | ENTROPY_OF_THE_GATE),
        };
        let left = self.gates.leave(flight.gate, &ended, now);
        let attempt = self.record(&flight, outcome, &decision, now);
        self.go_on(&flight, &decision.next, now);
        // Who waited for the slot comes before the lane that had it.
        if let Some(waiter) = left.waiter {
            self.wake_waiter(waiter);
        }
        self.wake_line();
        self.wake(flight.lane);
        self.breakers_changed(left.change.as_ref(), now);
        let dead = match decision.next {
            Next::Dead(reason) => Some(reason),
            Next::Done | Next::Wait { .. } => None,
        };
        Some(Judged {
            attempt,
            event: flight.pending.event,
            dead,
            breaker: left.change,
        })
    }

    /// Tells of a breaker that changed, and gives its partitions to others where it is time for that.
    pub(super) fn breakers_changed(&mut self, change: Option<&Change>, now: UnixMs) {
        let Some(change) = change else { return };
        let own = alert::breaker_changed(change, self.batch);
        self.records.own_events.extend(own);
        self.assign(now);
    }

    /// Lets the lane go on after a judgement.
    fn go_on(&mut self, flight: &Flight, next: &Next, now: UnixMs) {
        let after = match *next {
            Next::Wait { due_at, .. } => After::Waits(due_at),
            Next::Dead(_) if gap(&flight.subscription, flight.pending.place) == Gap::Halted => {
                After::Halts
            }
            Next::Done | Next::Dead(_) => After::Settled,
        };
        let Some(lane) = self.lanes.get_mut(&flight.lane) else {
            return;
        };
        let (held, released) = lane.judged(&flight.pending, &after, self.batch, now);
        self.moved.insert(flight.lane);
        self.uncommitted = self.uncommitted.saturating_add(held.len());
        self.records.waiting.extend(held);
        self.records.released.extend(released);
    }

    /// Writes down the attempt and the row it leads to.
    fn record(
        &mut self,
        flight: &Flight,
        outcome: &Outcome,
        decision: &Decision,
        now: UnixMs,
    ) -> Attempt {
        let standing = flight.pending.standing;
        let key = DeliveryKey {
            subscription: flight.subscription.name.clone(),
            offset: flight.pending.event.offset,
        };
        let (verdict, next_at) = match decision.next {
            Next::Done => (Verdict::Delivered, None),
            Next::Wait {
                due_at,
                reason: WaitReason::Hold,
                ..
            } => (Verdict::Hold, Some(due_at)),
            Next::Wait { due_at, .. } => (Verdict::Retry, Some(due_at)),
            Next::Dead(_) => (Verdict::Dead, None),
        };
        let attempt = Attempt {
            key: key.clone(),
            partition: flight.pending.place.partition,
            chain: standing.chain,
            n: standing.attempts.saturating_add(1),
            endpoint: flight.endpoint.clone(),
            at: outcome.at,
            duration_ms: outcome.duration_ms,
            outcome: outcome.kind,
            rule: decision.judgement.rule.clone(),
            verdict,
            detail: outcome
                .detail
                .clone()
                .filter(|_| verdict != Verdict::Delivered),
            next_at,
        };
        match decision.next {
            Next::Wait {
                due_at,
                delay_ms,
                reason,
                counts,
            } => {
                let after = Standing {
                    attempts: attempt.n,
                    counted: standing.counted.saturating_add(u16::from(counts)),
                    ..standing
                };
                let row = after.waiting(key, flight.pending.place, due_at, delay_ms, reason);
                self.records.waiting.push(row);
            }
            Next::Done | Next::Dead(_) if flight.pending.row.is_some() => {
                self.records.settled.push(key);
            }
            Next::Done | Next::Dead(_) => {}
        }
        if let Next::Dead(reason) = decision.next {
            let dead = dead_letter(flight, &attempt, reason, now);
            self.bury(&flight.pending.event, dead);
        }
        self.records.attempts.push(attempt.clone());
        self.uncommitted = self.uncommitted.saturating_add(1);
        attempt
    }

    /// Gives up an event on which the filter of a lane failed: nobody can say whether it is wanted.
    pub(super) fn filter_failed(
        &mut self,
        lane: LaneId,
        event: &Event,
        place: Place,
        how: &str,
        now: UnixMs,
    ) {
        let Some(lane) = self.lanes.get(&lane) else {
            return;
        };
        let dead = Dead {
            key: DeliveryKey {
                subscription: lane.name().clone(),
                offset: event.offset,
            },
            place,
            chain: 0,
            attempts: 0,
            at: now,
            reason: DeadReason::Filter,
            outcome: None::<OutcomeKind>,
            endpoint: lane.endpoint_name(),
            detail: Some(detail(how)),
            gap: Gap::None,
        };
        self.bury(event, dead);
        self.uncommitted = self.uncommitted.saturating_add(1);
    }

    /// Writes down a dead letter and, in the same batch, the event that tells of it.
    fn bury(&mut self, event: &Event, dead: Dead) {
        let own = alert::message_failed(event, &dead);
        self.records.own_events.extend(own);
        self.records.dead.push(dead);
    }
}

/// Sets the entropy of a gate apart from that of a schedule, whose low half is a number of attempts.
const ENTROPY_OF_THE_GATE: u32 = 0xffff;

fn dead_letter(flight: &Flight, attempt: &Attempt, reason: DeadReason, now: UnixMs) -> Dead {
    Dead {
        key: attempt.key.clone(),
        place: flight.pending.place,
        chain: attempt.chain,
        attempts: attempt.n,
        at: now,
        reason,
        outcome: Some(attempt.outcome),
        endpoint: attempt.endpoint.clone(),
        detail: attempt.detail.clone(),
        gap: gap(&flight.subscription, flight.pending.place),
    }
}

/// What giving up a delivery means for the later events of its key.
fn gap(subscription: &Arc<Subscription>, place: Place) -> Gap {
    match (subscription.order, subscription.on_exhausted) {
        (Order::None, _) => Gap::None,
        _ if place.key.is_none() => Gap::None,
        (Order::Key | Order::Strict, OnExhausted::Skip) => Gap::Skipped,
        (Order::Key | Order::Strict, OnExhausted::Halt) => Gap::Halted,
    }
}
