//! One request of the virtual world: from the engine's word to the answer and back.

use std::sync::Arc;

use switchhook_core::engine::{Outcome, Start, Ticket};
use switchhook_core::retry::{Policy, parse_retry_after};
use switchhook_core::time::UnixMs;

use super::process::Process;
use super::receiver::{self, Answer};
use super::{Happening, World};
use crate::checks::{Checked, Ending, Invariant, Starting, check};
use crate::faults::Sabotage;

/// A request under way.
pub(super) struct Flight {
    start: Start,
    /// In force when it started.
    policy: Arc<Policy>,
    answer: Answer,
    at: UnixMs,
    at_ms: u64,
}

impl World {
    pub(super) fn start(&mut self, process: &mut Process, start: Start) -> Checked {
        let (now_ms, forward_ms) = (self.clock.now_ms, self.clock.forward_ms);
        let (name, offset) = (start.endpoint.name.clone(), start.event.offset);
        let number = u64::from(start.chain) << 16 | u64::from(start.n);
        self.note(
            "start (subscription, offset, chain and n)",
            [digit(&start.subscription), offset.0, number],
        );
        let planned = self.plan.subscriptions.get(&start.subscription);
        let policy = planned
            .and_then(|planned| self.plan.policies.get(&planned.policy))
            .cloned();
        let as_planned = planned.is_some_and(|planned| planned.endpoint == name)
            && self
                .plan
                .endpoints
                .get(&name)
                .is_some_and(|planned| planned.url == start.endpoint.url);
        check(as_planned, Invariant::AsPlanned, || {
            format!(
                "{} of {} goes to {}, which the plan does not say",
                offset.0, start.subscription, start.endpoint.url
            )
        })?;
        self.ledger.started(&Starting {
            subscription: &start.subscription,
            offset,
            chain: start.chain,
            n: start.n,
            now_ms,
            forward_ms,
        })?;
        self.gates
            .not_before_retry_after(&name, now_ms, forward_ms)?;
        self.gates.within_concurrency(&name, &self.plan)?;
        let answer = self.answer(&name, start.endpoint.timeout_ms);
        self.queue.push(
            now_ms + answer.after_ms,
            Happening::Answered(self.processes, start.ticket),
        );
        let Some(policy) = policy else { return Ok(()) };
        let at = self.clock.wall();
        process.flights.insert(
            start.ticket,
            Flight {
                start,
                policy,
                answer,
                at,
                at_ms: now_ms,
            },
        );
        Ok(())
    }

    fn answer(&mut self, endpoint: &str, timeout_ms: u64) -> Answer {
        let number = usize::try_from(digit(endpoint)).unwrap_or(0);
        match self.options.endpoints.get(number).filter(|_| !self.healed) {
            Some(options) => receiver::answer(
                &options.behaviour,
                timeout_ms,
                self.clock.now_ms,
                self.clock.wall(),
                &mut self.entropy,
            ),
            None => receiver::healthy(&mut self.entropy),
        }
    }

    /// The answer to a request is there, or what there is instead.
    pub(super) fn answered(&mut self, process: u32, ticket: Ticket) -> Checked {
        let Some(present) = self.process.as_mut().filter(|_| process == self.processes) else {
            return Ok(());
        };
        let Some(Flight {
            start,
            policy,
            answer,
            at,
            at_ms,
        }) = present.flights.remove(&ticket)
        else {
            return Ok(());
        };
        let (now_ms, forward_ms, wall) =
            (self.clock.now_ms, self.clock.forward_ms, self.clock.wall());
        let asked_ms = answer.wish.as_ref().and_then(|wish| wish.meant_ms);
        let heard = answer
            .wish
            .as_ref()
            .filter(|_| self.sabotage != Some(Sabotage::RetryAfterIgnored));
        let outcome = Outcome {
            at,
            duration_ms: u32::try_from(now_ms - at_ms).unwrap_or(u32::MAX),
            kind: answer.kind,
            detail: None,
            retry_after_ms: heard.and_then(|wish| {
                parse_retry_after(
                    wish.values.iter().map(String::as_str),
                    wish.date.as_deref(),
                    wall,
                )
            }),
        };
        self.ledger.ended(&Ending {
            subscription: &start.subscription,
            event: &start.event,
            chain: start.chain,
            n: start.n,
            policy: &policy,
            kind: answer.kind,
            taken: answer.taken,
            asked_ms,
            wall,
            now_ms,
            forward_ms,
        })?;
        let pause_ms = asked_ms.filter(|_| matches!(answer.taken, Some(429 | 503)));
        let pause_ms = pause_ms.map(|ms| ms.min(policy.retry_after_max_ms));
        self.gates
            .left(&start.endpoint.name, pause_ms, now_ms, forward_ms);
        let judged = present.engine.handle_outcome(ticket, &outcome, wall);
        check(judged.is_some(), Invariant::NoRepeat, || {
            "the engine knows nothing of this attempt".into()
        })?;
        let numbers = [
            digit(&start.subscription),
            start.event.offset.0,
            u64::from(answer.taken.unwrap_or(0)),
        ];
        self.note("end (subscription, offset, status given)", numbers);
        self.step_soon();
        Ok(())
    }
}

/// The number in a name like `e3`.
pub(super) fn digit(name: &str) -> u64 {
    name.trim_start_matches(|c: char| c.is_ascii_alphabetic())
        .parse()
        .unwrap_or(0)
}
