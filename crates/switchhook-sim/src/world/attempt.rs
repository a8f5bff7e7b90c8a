//! One request of the virtual world: from the engine's word to the answer and back.

use std::sync::Arc;

use switchhook_core::engine::{Outcome, Start, Ticket};
use switchhook_core::retry::{Policy, parse_retry_after};
use switchhook_core::subscription::Target;
use switchhook_core::time::UnixMs;

use super::process::Process;
use super::receiver::{self, Answer};
use super::{Happening, World};
use crate::checks::{Checked, Ending, Invariant, Leaving, Starting, check};
use crate::faults::{Sabotage, chance};

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
    pub(super) fn start(&mut self, process: &mut Process, mut start: Start) -> Checked {
        let (now_ms, forward_ms) = (self.clock.now_ms, self.clock.forward_ms);
        self.misdirect(&mut start);
        let (name, offset) = (start.endpoint.name.clone(), start.event.offset);
        let subscription = start.subscription.name.clone();
        let number = u64::from(start.chain) << 16 | u64::from(start.n);
        self.note(
            "start (subscription, offset, chain and n)",
            [digit(&subscription), offset.0, number],
        );
        self.goes_as_planned(process, &start)?;
        self.ledger.started(&Starting {
            subscription: &subscription,
            offset,
            chain: start.chain,
            n: start.n,
            now_ms,
            forward_ms,
        })?;
        let leaving = Leaving {
            endpoint: &name,
            probe: start.probe,
            now_ms,
            forward_ms,
        };
        self.gates.may_leave(&leaving, &self.plan)?;
        let planned = self.plan.subscriptions.get(&subscription);
        let policy = planned
            .and_then(|planned| self.plan.policies.get(&planned.policy))
            .cloned();
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

    /// The defect that sends some requests to another member of the group.
    fn misdirect(&mut self, start: &mut Start) {
        let Target::Group(group) = &start.subscription.target else {
            return;
        };
        if !self.is_sabotaged(Sabotage::TwoMembers) || !chance(&mut self.entropy, 200) {
            return;
        }
        let members = self
            .plan
            .groups
            .get(group)
            .map(|group| group.members.clone());
        let other = members
            .into_iter()
            .flatten()
            .find(|name| *name != start.endpoint.name);
        if let Some(other) = other.and_then(|name| self.plan.endpoints.get(&name)) {
            start.endpoint = other.clone();
        }
    }

    /// The plan says that it goes there; of a group, the one member that has the partition gets it.
    fn goes_as_planned(&self, process: &Process, start: &Start) -> Checked {
        let (name, endpoint) = (&start.subscription.name, &start.endpoint);
        let planned = self.plan.subscriptions.get(name);
        let is_meant = match planned.map(|planned| &planned.target) {
            Some(Target::Endpoint(meant)) => *meant == endpoint.name,
            Some(Target::Group(group)) => {
                let group = self.plan.groups.get(group);
                group.is_some_and(|group| group.members.contains(&endpoint.name))
            }
            None => false,
        };
        let as_written = self.plan.endpoints.get(&endpoint.name);
        let as_planned = is_meant && as_written.is_some_and(|planned| planned.url == endpoint.url);
        check(as_planned, Invariant::AsPlanned, || {
            let offset = start.event.offset;
            format!(
                "{offset} of {name} goes to {}, which the plan does not say",
                endpoint.url
            )
        })?;
        let Some(Target::Group(_)) = planned.map(|planned| &planned.target) else {
            return Ok(());
        };
        let place = planned.map(|planned| self.plan.place(planned, &start.event));
        let lane = process.engine.lanes().find(|lane| {
            lane.subscription == *name && Some(lane.partition) == place.map(|place| place.partition)
        });
        let has_it = lane
            .as_ref()
            .is_some_and(|lane| lane.endpoint.as_ref() == Some(&endpoint.name));
        check(has_it, Invariant::OneMember, || {
            format!(
                "{} gets {place:?} of {name}, which is {lane:?}'s",
                endpoint.name
            )
        })
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
            subscription: &start.subscription.name,
            event: &start.event,
            chain: start.chain,
            n: start.n,
            policy: &policy,
            kind: answer.kind,
            taken: answer.taken,
            probe: start.probe,
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
        if let Some(change) = judged.and_then(|judged| judged.breaker) {
            let planned = self.plan.endpoints.get(&change.endpoint);
            self.gates
                .changed(&change, planned, wall, now_ms, forward_ms);
        }
        let numbers = [
            digit(&start.subscription.name),
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
