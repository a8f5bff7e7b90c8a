//! From the end of an attempt to the records that say what became of it.

use crate::alert;
use crate::delivery::{Attempt, Dead, DeadReason, DeliveryKey, Verdict, WaitReason};
use crate::id::DeliveryId;
use crate::time::UnixMs;

use super::flight::Flight;
use super::{Engine, Judged, Next, Outcome, Standing, Ticket, next};

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
        let delivery = DeliveryId::derive(flight.pending.event.id, &flight.subscription);
        let (next, judgement, pause) = next(
            &flight.policy,
            flight.pending.standing,
            delivery,
            outcome,
            now,
        );
        if let Some(until) = pause {
            self.gates.close_until(flight.gate, until);
        }
        let attempt = self.record(&flight, outcome, &next, judgement.rule, now);
        if let Some(lane) = self.lanes.get_mut(&flight.lane) {
            let due_at = match next {
                Next::Wait { due_at, .. } => Some(due_at),
                Next::Done | Next::Dead(_) => None,
            };
            lane.judged(
                flight.pending.event.offset,
                flight.pending.has_row,
                due_at,
                self.batch,
            );
            self.moved.insert(flight.lane);
        }
        // Who waited for the slot comes before the lane that had it.
        if let Some(waiter) = self.gates.leave(flight.gate) {
            self.wake_waiter(waiter);
        }
        self.wake(flight.lane);
        let dead = match next {
            Next::Dead(reason) => Some(reason),
            Next::Done | Next::Wait { .. } => None,
        };
        Some(Judged {
            attempt,
            event: flight.pending.event,
            dead,
        })
    }

    /// Writes down the attempt and the row it leads to.
    fn record(
        &mut self,
        flight: &Flight,
        outcome: &Outcome,
        next: &Next,
        rule: std::sync::Arc<str>,
        now: UnixMs,
    ) -> Attempt {
        let standing = flight.pending.standing;
        let key = DeliveryKey {
            subscription: flight.subscription.clone(),
            offset: flight.pending.event.offset,
        };
        let (verdict, next_at) = match *next {
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
            chain: standing.chain,
            n: standing.attempts.saturating_add(1),
            endpoint: flight.endpoint.clone(),
            at: outcome.at,
            duration_ms: outcome.duration_ms,
            outcome: outcome.kind,
            rule,
            verdict,
            detail: if verdict == Verdict::Delivered {
                None
            } else {
                outcome.detail.clone()
            },
            next_at,
        };
        match *next {
            Next::Wait {
                due_at,
                delay_ms,
                reason,
            } => {
                let counts = u16::from(reason != WaitReason::Hold);
                let after = Standing {
                    attempts: attempt.n,
                    counted: standing.counted.saturating_add(counts),
                    ..standing
                };
                self.records
                    .waiting
                    .push(after.waiting(key, due_at, delay_ms, reason));
            }
            Next::Done | Next::Dead(_) if flight.pending.has_row => self.records.settled.push(key),
            Next::Done | Next::Dead(_) => {}
        }
        if let Next::Dead(reason) = *next {
            self.bury(flight, &attempt, reason, now);
        }
        self.records.attempts.push(attempt.clone());
        self.uncommitted = self.uncommitted.saturating_add(1);
        attempt
    }

    /// Writes down a dead letter and, in the same batch, the event that tells of it.
    fn bury(&mut self, flight: &Flight, attempt: &Attempt, reason: DeadReason, now: UnixMs) {
        let dead = Dead {
            key: attempt.key.clone(),
            chain: attempt.chain,
            attempts: attempt.n,
            at: now,
            reason,
            outcome: Some(attempt.outcome),
            endpoint: attempt.endpoint.clone(),
            detail: attempt.detail.clone(),
        };
        self.records
            .own_events
            .extend(alert::message_failed(&flight.pending.event, &dead));
        self.records.dead.push(dead);
    }
}
