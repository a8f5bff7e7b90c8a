//! The gate before an endpoint: how many requests may be under way, and from when on.
//!
//! All deliveries to an endpoint, of whatever subscription, pass the one gate. `Retry-After` closes the
//! gate, not a single delivery: what the endpoint asked for holds for everything that is sent there.
//! Lanes that found it full or closed wait in line and are let in one at a time, in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::time::UnixMs;

use super::LaneId;

/// Names a gate within the engine. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GateId(u64);

#[derive(Debug)]
struct Gate {
    name: Arc<str>,
    /// `None` once the plan has it no more; kept while requests are under way.
    endpoint: Option<Arc<Endpoint>>,
    in_flight: usize,
    closed_until: UnixMs,
    waiters: VecDeque<LaneId>,
}

/// Whether an attempt may start.
#[derive(Debug)]
pub(super) enum Admission {
    /// Yes; the slot is taken.
    Yes(Arc<Endpoint>),
    /// All slots are taken.
    Full,
    /// The endpoint asked to be left alone until then.
    ClosedUntil(UnixMs),
    /// There is no such endpoint any more.
    Gone,
}

/// All gates.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: BTreeMap<GateId, Gate>,
    by_name: BTreeMap<Arc<str>, GateId>,
    next: u64,
}

impl Gates {
    /// Takes over the endpoints of a plan. A gate that stays keeps its state.
    pub(super) fn set(&mut self, endpoints: &BTreeMap<Arc<str>, Arc<Endpoint>>) {
        for gate in self.gates.values_mut() {
            gate.endpoint = endpoints.get(&gate.name).cloned();
            // All lanes are woken and line up anew; one that is gone must not be let in for the others.
            gate.waiters.clear();
        }
        self.by_name.retain(|name, _| endpoints.contains_key(name));
        self.gates
            .retain(|_, gate| gate.endpoint.is_some() || gate.in_flight > 0);
        for (name, endpoint) in endpoints {
            if self.by_name.contains_key(name) {
                continue;
            }
            let left_over = self
                .gates
                .iter()
                .find(|(_, gate)| gate.name == *name)
                .map(|(id, _)| *id);
            let id = left_over.unwrap_or(GateId(self.next));
            if left_over.is_none() {
                self.next = self.next.saturating_add(1);
                self.gates.insert(
                    id,
                    Gate {
                        name: name.clone(),
                        endpoint: Some(endpoint.clone()),
                        in_flight: 0,
                        closed_until: UnixMs(0),
                        waiters: VecDeque::new(),
                    },
                );
            }
            self.by_name.insert(name.clone(), id);
        }
    }

    pub(super) fn id(&self, name: &str) -> Option<GateId> {
        self.by_name.get(name).copied()
    }

    /// Takes a slot if there is one.
    pub(super) fn admit(&mut self, id: GateId, now: UnixMs) -> Admission {
        let Some(gate) = self.gates.get_mut(&id) else {
            return Admission::Gone;
        };
        let Some(endpoint) = &gate.endpoint else {
            return Admission::Gone;
        };
        if gate.closed_until > now {
            return Admission::ClosedUntil(gate.closed_until);
        }
        if gate.in_flight >= usize::from(endpoint.concurrency) {
            return Admission::Full;
        }
        gate.in_flight = gate.in_flight.saturating_add(1);
        Admission::Yes(endpoint.clone())
    }

    /// Gives a slot back; returns the lane that waited longest.
    pub(super) fn leave(&mut self, id: GateId) -> Option<LaneId> {
        let gate = self.gates.get_mut(&id)?;
        gate.in_flight = gate.in_flight.saturating_sub(1);
        gate.waiters.pop_front()
    }

    /// The lane that waited longest, if there is a slot for it.
    pub(super) fn pass_on(&mut self, id: GateId, now: UnixMs) -> Option<LaneId> {
        let gate = self.gates.get_mut(&id)?;
        let slots = gate
            .endpoint
            .as_ref()
            .map_or(0, |endpoint| usize::from(endpoint.concurrency));
        if gate.in_flight < slots && gate.closed_until <= now {
            gate.waiters.pop_front()
        } else {
            None
        }
    }

    /// Lets nothing start before `until`. An earlier time does not shorten a later one.
    pub(super) fn close_until(&mut self, id: GateId, until: UnixMs) {
        if let Some(gate) = self.gates.get_mut(&id) {
            gate.closed_until = gate.closed_until.max(until);
        }
    }

    /// The clock went back: what is left of each pause stays as long as it is.
    pub(super) fn clock_went_back(&mut self, by_ms: u64) {
        for gate in self.gates.values_mut() {
            gate.closed_until = gate.closed_until.minus_ms(by_ms);
        }
    }

    pub(super) fn wait(&mut self, id: GateId, lane: LaneId) {
        if let Some(gate) = self.gates.get_mut(&id) {
            gate.waiters.push_back(lane);
        }
    }

    pub(super) fn take_waiters(&mut self, id: GateId) -> VecDeque<LaneId> {
        self.gates
            .get_mut(&id)
            .map(|gate| std::mem::take(&mut gate.waiters))
            .unwrap_or_default()
    }

    pub(super) fn has_waiters(&self, id: GateId) -> bool {
        self.gates
            .get(&id)
            .is_some_and(|gate| !gate.waiters.is_empty())
    }

    pub(super) fn in_flight(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.gates.values().map(|gate| (&gate.name, gate.in_flight))
    }
}
