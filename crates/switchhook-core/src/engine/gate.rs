//! The gate before an endpoint: how many requests may be under way, and from when on.
//!
//! All deliveries to an endpoint, of whatever subscription, pass the one gate. It asks, in this order: the
//! breaker, the pause that the endpoint asked for (`Retry-After` closes the gate, not a single delivery),
//! the slots, the pace of the ramp, the configured rate, and for a retry the budget. A wait takes no slot.
//!
//! Lanes that found it full or closed wait in line and are let in one at a time, in order. Whoever is told
//! *not before* arms a timer that takes everybody out of the line then; so as long as such a time lies ahead
//! nobody needs to be woken earlier, and has no use for it.
//!
//! Invariants
//! * No request is under way beside a probe.
//! * Nobody is told that it is full while nothing is under way.
//! * Nothing goes before the time that `Retry-After` asked for, not even a probe. Only an operator who
//!   closes the breaker ends the pause too: a person knows better.

mod line;
mod one;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::breaker::{Cause, Change, Record, State};
use crate::endpoint::Endpoint;
use crate::id::Offset;
use crate::time::UnixMs;

use super::{LaneId, Outcome};
use one::Gate;

/// Names a gate within the engine. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GateId(u64);

/// Whether an attempt may start.
#[derive(Debug)]
pub(super) enum Admission {
    /// Yes; the slot is taken. To be given back with [`Gates::leave`].
    Yes(Permit),
    /// All slots are taken: wait in line, the next one that leaves lets somebody in.
    Full,
    /// Nothing goes before this: wait in line, and take everybody out of it then.
    NotBefore(UnixMs),
    /// No retry goes before this; first attempts may.
    RetryNotBefore(UnixMs),
    /// Nothing goes until a person opens it again: wait in line.
    Shut,
    /// There is no such endpoint any more.
    Gone,
}

/// A taken slot.
#[derive(Debug)]
pub(super) struct Permit {
    /// Where to send.
    pub(super) endpoint: Arc<Endpoint>,
    /// It shows whether the endpoint is back; to be told in [`Ended`].
    pub(super) probe: bool,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    /// As the [`Permit`] said.
    pub(super) probe: bool,
    /// Where its event stands in the log.
    pub(super) offset: Offset,
    /// What came of it.
    pub(super) outcome: &'a Outcome,
    /// Close the endpoint for this cause.
    pub(super) hold: Option<Cause>,
    /// The endpoint asked to be left alone until then.
    pub(super) pause_until: Option<UnixMs>,
    /// Any number, for jitter.
    pub(super) entropy: u64,
}

/// What follows from the end of an attempt.
#[derive(Debug)]
pub(super) struct Left {
    /// To be woken: it waited longest.
    pub(super) waiter: Option<LaneId>,
    /// What became of the breaker.
    pub(super) change: Option<Change>,
}

/// What a person wants of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Send nothing there.
    Open,
    /// Send again.
    Close,
}

/// How things stand with an endpoint at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointNow {
    /// Its name.
    pub endpoint: Arc<str>,
    /// Its breaker.
    pub state: State,
    /// Why that is not closed.
    pub cause: Option<Cause>,
    /// When it was last closed, or ceased to be: probes in between do not count.
    pub since: UnixMs,
    /// When the next probe may go out; `None` when it is closed, or only a person can close it.
    pub until: Option<UnixMs>,
    /// What led to the state, in words.
    pub reason: Option<Arc<str>>,
    /// It asked to be left alone until then; `None` when that is over.
    pub pause_until: Option<UnixMs>,
    /// Requests under way.
    pub in_flight: usize,
    /// Requests that may be under way now: the least of what is configured, adaptive and the ramp.
    pub slots_now: u16,
    /// Requests in a second that the ramp allows now; `None` without a ramp.
    pub pace_per_second: Option<u32>,
    /// Lanes that wait in line.
    pub waiting_lanes: usize,
}

/// All gates.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: BTreeMap<GateId, Gate>,
    by_name: BTreeMap<Arc<str>, GateId>,
    next: u64,
    /// Those whose record has changed since it was last taken.
    changed: BTreeSet<GateId>,
}

impl Gates {
    /// Takes over the endpoints of a plan. A gate that stays keeps its state; a new one takes it from
    /// `restored`. Empties all lines: every lane must be woken.
    pub(super) fn set(
        &mut self,
        endpoints: &BTreeMap<Arc<str>, Arc<Endpoint>>,
        restored: &BTreeMap<Arc<str>, Record>,
        now: UnixMs,
    ) {
        // Requests may be under way to one that the plan has no more; the slots they take still count
        // should it come back.
        self.gates
            .retain(|_, gate| endpoints.contains_key(gate.name()) || gate.in_flight() > 0);
        for gate in self.gates.values_mut() {
            gate.configure(endpoints.get(gate.name()), now);
        }
        self.by_name = self
            .gates
            .iter()
            .map(|(id, gate)| (gate.name().clone(), *id))
            .collect();
        for (name, endpoint) in endpoints {
            if !self.by_name.contains_key(name) {
                let id = GateId(self.next);
                self.next = self.next.saturating_add(1);
                let gate = Gate::new(endpoint, restored.get(name), now);
                self.gates.insert(id, gate);
                self.by_name.insert(name.clone(), id);
            }
        }
        self.by_name.retain(|name, _| endpoints.contains_key(name));
    }

    /// The gate before the endpoint of this name.
    pub(super) fn id(&self, name: &str) -> Option<GateId> {
        self.by_name.get(name).copied()
    }

    /// Takes a slot if an attempt may start now. `retry`: it is not the first of its delivery.
    pub(super) fn admit(&mut self, id: GateId, retry: bool, now: UnixMs) -> Admission {
        let gate = self.gates.get_mut(&id);
        gate.map_or(Admission::Gone, |gate| gate.admit(retry, now))
    }

    /// Gives a slot back, and learns from what came of it.
    pub(super) fn leave(&mut self, id: GateId, ended: &Ended<'_>, now: UnixMs) -> Left {
        let Some(gate) = self.gates.get_mut(&id) else {
            return Left {
                waiter: None,
                change: None,
            };
        };
        let (left, is_new) = gate.leave(ended, now);
        if is_new {
            self.changed.insert(id);
        }
        left
    }

    /// The lane that waited longest, if it can be let in now.
    pub(super) fn pass_on(&mut self, id: GateId, now: UnixMs) -> Option<LaneId> {
        self.gates.get_mut(&id)?.pass_on(now)
    }

    /// The clock went back: what is left of each wait stays as long as it is.
    pub(super) fn clock_went_back(&mut self, by_ms: u64) {
        for gate in self.gates.values_mut() {
            gate.clock_went_back(by_ms);
        }
    }

    /// A person opens or closes the breaker of the endpoint `name`; closing it ends its pause as well. Take
    /// the waiters out of the line after it.
    pub(super) fn operate(
        &mut self,
        name: &str,
        what: Operator,
        reason: Option<Arc<str>>,
        now: UnixMs,
    ) -> Option<Change> {
        let id = self.id(name)?;
        self.changed.insert(id);
        self.gates.get_mut(&id)?.operate(what, reason, now)
    }

    /// A secret got a new value. Returns the gates that were held for refused credentials and whose probe is
    /// due now: take the waiters out of their lines.
    pub(super) fn secret_changed(
        &mut self,
        uses: impl Fn(&Endpoint) -> bool,
        now: UnixMs,
    ) -> Vec<GateId> {
        let mut due = Vec::new();
        for (id, gate) in &mut self.gates {
            if gate.secret_changed(&uses, now) {
                due.push(*id);
            }
        }
        self.changed.extend(&due);
        due
    }

    /// Breakers and pauses that changed since the last call, to be committed.
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed);
        let gates = changed.iter().filter_map(|id| self.gates.get(id));
        gates.map(Gate::record).collect()
    }

    /// How things stand with each endpoint of the plan.
    pub(super) fn standing(&self, now: UnixMs) -> impl Iterator<Item = EndpointNow> {
        self.by_name
            .values()
            .filter_map(move |id| self.standing_at(*id, now))
    }

    /// How things stand with the endpoint behind this gate.
    pub(super) fn standing_at(&self, id: GateId, now: UnixMs) -> Option<EndpointNow> {
        self.gates.get(&id).map(|gate| gate.standing(now))
    }

    /// Puts a lane at the end of the line.
    pub(super) fn wait(&mut self, id: GateId, lane: LaneId) {
        if let Some(gate) = self.gates.get_mut(&id) {
            gate.line().wait(lane);
        }
    }

    /// Takes a lane out of the line: it goes to another gate.
    pub(super) fn forget(&mut self, id: GateId, lane: LaneId) {
        if let Some(gate) = self.gates.get_mut(&id) {
            gate.line().forget(lane);
        }
    }

    /// Takes everybody out of the line.
    pub(super) fn take_waiters(&mut self, id: GateId) -> VecDeque<LaneId> {
        let gate = self.gates.get_mut(&id);
        gate.map(|gate| gate.line().take_all()).unwrap_or_default()
    }

    /// Whether somebody else should have a turn before a lane takes its next slot.
    pub(super) fn has_waiters(&self, id: GateId) -> bool {
        self.gates.get(&id).is_some_and(Gate::has_waiters)
    }
}
