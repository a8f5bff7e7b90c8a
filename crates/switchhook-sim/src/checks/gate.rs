//! The books of each endpoint: requests under way, and until when it asked to be left alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::plan::Plan;

use super::{Checked, Invariant, check};

/// One endpoint.
#[derive(Debug, Clone, Default)]
struct Gate {
    in_flight: usize,
    /// Whether all its slots are taken, and when they last were.
    full: bool,
    full_at_ms: u64,
    /// Nothing may start before this, forward jumps since [`Gate::forward_ms`] taken off.
    closed_until_ms: u64,
    forward_ms: u64,
    /// By then it is open again for certain.
    open_by_ms: u64,
}

/// All endpoints, by name, as the present process must treat them.
#[derive(Debug, Default)]
pub(crate) struct Gates(BTreeMap<Arc<str>, Gate>);

impl Gates {
    /// The process is gone: its requests are cut, and what endpoints asked it for is forgotten.
    pub(crate) fn process_ended(&mut self) {
        self.0.clear();
    }

    /// An endpoint that leaves the plan is a new one when it comes back.
    pub(crate) fn planned(&mut self, plan: &Plan, now_ms: u64) {
        for (name, gate) in &mut self.0 {
            gate.full_at_ms = now_ms;
            if !plan.endpoints.contains_key(name) {
                gate.closed_until_ms = 0;
            }
        }
    }

    /// I6: a request leaves only while fewer are under way than the endpoint takes.
    pub(crate) fn within_concurrency(&mut self, endpoint: &Arc<str>, plan: &Plan) -> Checked {
        let slots = plan
            .endpoints
            .get(endpoint)
            .map_or(0, |endpoint| usize::from(endpoint.concurrency));
        let gate = self.0.entry(endpoint.clone()).or_default();
        gate.in_flight += 1;
        gate.full = gate.in_flight >= slots;
        let in_flight = gate.in_flight;
        check(in_flight <= slots, Invariant::SlotLimit, || {
            format!("{in_flight} requests are under way to {endpoint}, which takes {slots}")
        })
    }

    /// I8: no request leaves while the endpoint wants to be left alone.
    pub(crate) fn not_before_retry_after(
        &self,
        endpoint: &str,
        now_ms: u64,
        forward_ms: u64,
    ) -> Checked {
        let Some(gate) = self.0.get(endpoint) else {
            return Ok(());
        };
        let jumped_ms = forward_ms.saturating_sub(gate.forward_ms);
        check(
            now_ms.saturating_add(jumped_ms) >= gate.closed_until_ms,
            Invariant::NotEarly,
            || {
                format!(
                    "{endpoint} asked to be left alone until {} ms, it is {now_ms}",
                    gate.closed_until_ms
                )
            },
        )
    }

    /// A request has ended; `asked_ms` is for how long the endpoint wants to be left alone.
    pub(crate) fn left(
        &mut self,
        endpoint: &Arc<str>,
        asked_ms: Option<u64>,
        now_ms: u64,
        forward_ms: u64,
    ) {
        let gate = self.0.entry(endpoint.clone()).or_default();
        if std::mem::take(&mut gate.full) {
            gate.full_at_ms = now_ms;
        }
        gate.in_flight = gate.in_flight.saturating_sub(1);
        let Some(asked_ms) = asked_ms else { return };
        let jumped_ms = forward_ms.saturating_sub(gate.forward_ms);
        gate.closed_until_ms = gate
            .closed_until_ms
            .saturating_sub(jumped_ms)
            .max(now_ms + asked_ms);
        gate.forward_ms = forward_ms;
        gate.open_by_ms = gate.open_by_ms.max(now_ms + asked_ms);
    }

    /// The wall clock went back. What is left of a pause may have been measured so long before.
    pub(crate) fn jumped_back(&mut self, now_ms: u64, measured_ms: u64) {
        let recent = |gate: &&mut Gate| gate.open_by_ms + measured_ms > now_ms;
        for gate in self.0.values_mut().filter(recent) {
            gate.open_by_ms += measured_ms;
        }
    }

    /// Whether it has had a free slot and an open gate ever since `since_ms`.
    pub(crate) fn idle_since(&self, endpoint: &str, plan: &Plan, since_ms: u64) -> bool {
        let slots = plan
            .endpoints
            .get(endpoint)
            .map_or(0, |endpoint| usize::from(endpoint.concurrency));
        self.0.get(endpoint).is_none_or(|gate| {
            gate.in_flight < slots && gate.full_at_ms < since_ms && gate.open_by_ms < since_ms
        })
    }

    /// The number of requests under way to each endpoint that has any.
    pub(crate) fn in_flight(&self) -> BTreeMap<Arc<str>, usize> {
        let busy = self.0.iter().filter(|(_, gate)| gate.in_flight > 0);
        busy.map(|(name, gate)| (name.clone(), gate.in_flight))
            .collect()
    }
}
