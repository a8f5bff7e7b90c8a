//! The books of each endpoint: requests under way, its rate, and until when it asked to be left alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::breaker::Record;
use switchhook_core::endpoint::Endpoint;
use switchhook_core::limit::rate::Rate;
use switchhook_core::plan::Plan;
use switchhook_core::retry::RETRY_AFTER_MAX_RANGE_MS;
use switchhook_core::time::UnixMs;

use super::breaker::Watch;
use super::{Checked, Invariant, check};

/// One endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    pub(super) in_flight: usize,
    /// Whether all its slots are taken, and when they last were.
    full: bool,
    full_at_ms: u64,
    /// When a request last left or came back.
    pub(super) busy_at_ms: u64,
    /// Nothing may start before this, forward jumps since [`Gate::forward_ms`] taken off.
    closed_until_ms: u64,
    forward_ms: u64,
    /// By then it is open again for certain.
    open_by_ms: u64,
    pub(super) watch: Watch,
    /// Its breaker was not closed all the time that the process has run.
    pub(super) was_open: bool,
    bucket: Option<Bucket>,
}

/// What a rate has left.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: Rate,
    /// In requests times the length of the rate's unit.
    level: u128,
    /// Milliseconds, forward jumps included.
    at_ms: u64,
}

/// A request that is about to leave for an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving<'a> {
    pub(crate) endpoint: &'a Arc<str>,
    pub(crate) probe: bool,
    pub(crate) now_ms: u64,
    pub(crate) forward_ms: u64,
}

/// All endpoints, by name, as the present process must treat them.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    pub(super) gates: BTreeMap<Arc<str>, Gate>,
    /// When all slots of the process were last taken.
    full_at_ms: u64,
}

impl Gates {
    /// The process is gone: its requests are cut. What it keeps of its gates is on disk.
    pub(crate) fn process_ended(&mut self) {
        *self = Self::default();
    }

    /// A process has read what an earlier one has kept of its gates.
    pub(crate) fn recovered<'r>(
        &mut self,
        records: impl Iterator<Item = &'r Record>,
        plan: &Plan,
        wall: UnixMs,
        (now_ms, forward_ms): (u64, u64),
    ) {
        for record in records {
            let Some(endpoint) = plan.endpoints.get(&record.endpoint) else {
                continue;
            };
            if self
                .gates
                .get(&record.endpoint)
                .is_some_and(|gate| gate.watch != Watch::default())
            {
                continue;
            }
            let gate = self.gates.entry(record.endpoint.clone()).or_default();
            gate.restore(record, endpoint, wall, now_ms, forward_ms);
            let left_ms = record
                .pause_until
                .since_ms(wall)
                .min(RETRY_AFTER_MAX_RANGE_MS.1);
            gate.closed_until_ms = now_ms + left_ms;
            gate.open_by_ms = now_ms + left_ms;
            gate.forward_ms = forward_ms;
        }
    }

    /// A plan is in force. An endpoint that leaves it is a new one when it comes back.
    pub(crate) fn planned(&mut self, plan: &Plan, now_ms: u64) {
        self.full_at_ms = now_ms;
        for (name, gate) in &mut self.gates {
            gate.full_at_ms = now_ms;
            match plan.endpoints.get(name) {
                Some(endpoint) => gate.configured(endpoint, now_ms),
                None => {
                    *gate = Gate {
                        in_flight: gate.in_flight,
                        full_at_ms: now_ms,
                        ..Gate::default()
                    }
                }
            }
        }
    }

    /// I6, I7 and I8: a request may leave.
    pub(crate) fn may_leave(&mut self, leaving: &Leaving<'_>, plan: &Plan) -> Checked {
        let gate = self.gates.entry(leaving.endpoint.clone()).or_default();
        gate.only_probes(leaving)?;
        self.not_before_retry_after(leaving)?;
        let gate = self.gates.entry(leaving.endpoint.clone()).or_default();
        gate.busy_at_ms = leaving.now_ms;
        if let Some(rate) = plan.endpoints.get(leaving.endpoint).and_then(|e| e.rate) {
            gate.within_rate(rate, leaving)?;
        }
        self.within_concurrency(leaving, plan)
    }

    /// I6: a request leaves only while fewer are under way than the endpoint takes, and than there are slots.
    fn within_concurrency(&mut self, leaving: &Leaving<'_>, plan: &Plan) -> Checked {
        let endpoint = leaving.endpoint;
        let slots = plan.endpoints.get(endpoint).map_or(0, |endpoint| {
            let adaptive = endpoint.adaptive.map_or(u16::MAX, |bounds| bounds.max);
            usize::from(endpoint.concurrency.min(adaptive))
        });
        let gate = self.gates.entry(endpoint.clone()).or_default();
        gate.in_flight += 1;
        gate.full = gate.in_flight >= slots;
        let in_flight = gate.in_flight;
        check(in_flight <= slots, Invariant::SlotLimit, || {
            format!("{in_flight} requests are under way to {endpoint}, which takes {slots}")
        })?;
        let all: usize = self.gates.values().map(|gate| gate.in_flight).sum();
        let slots = plan.slots_or_default();
        if all >= slots {
            self.full_at_ms = leaving.now_ms;
        }
        check(all <= slots, Invariant::SlotLimit, || {
            format!("{all} requests are under way, there are {slots} slots")
        })
    }

    /// I8: no request leaves while the endpoint wants to be left alone.
    fn not_before_retry_after(&self, leaving: &Leaving<'_>) -> Checked {
        let Some(gate) = self.gates.get(leaving.endpoint) else {
            return Ok(());
        };
        let jumped_ms = leaving.forward_ms.saturating_sub(gate.forward_ms);
        check(
            leaving.now_ms.saturating_add(jumped_ms) >= gate.closed_until_ms,
            Invariant::NotEarly,
            || {
                format!(
                    "{leaving:?} asked to be left alone until {} ms",
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
        let all: usize = self.gates.values().map(|gate| gate.in_flight).sum();
        self.full_at_ms = if all > 1 {
            self.full_at_ms.max(now_ms)
        } else {
            self.full_at_ms
        };
        let gate = self.gates.entry(endpoint.clone()).or_default();
        if std::mem::take(&mut gate.full) {
            gate.full_at_ms = now_ms;
        }
        gate.busy_at_ms = now_ms;
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

    /// A person has closed the breaker: the pause is over too.
    pub(crate) fn pause_ended(&mut self, endpoint: &str, now_ms: u64) {
        if let Some(gate) = self.gates.get_mut(endpoint) {
            gate.full_at_ms = now_ms;
            (gate.closed_until_ms, gate.open_by_ms) = (0, 0);
        }
    }

    /// The wall clock went back. What is left of a pause may have been measured so long before.
    pub(crate) fn jumped_back(&mut self, now_ms: u64, measured_ms: u64) {
        let recent = |gate: &&mut Gate| gate.open_by_ms + measured_ms > now_ms;
        for gate in self.gates.values_mut().filter(recent) {
            gate.open_by_ms += measured_ms;
        }
    }

    /// Whether it has had a free slot and an open gate ever since `since_ms`.
    pub(crate) fn idle_since(&self, endpoint: &str, plan: &Plan, since_ms: u64) -> bool {
        let Some(planned) = plan.endpoints.get(endpoint) else {
            return false;
        };
        if self.full_at_ms >= since_ms && plan.slots > 0 {
            return false;
        }
        self.gates.get(endpoint).is_none_or(|gate| {
            let free = gate.in_flight < usize::from(planned.concurrency)
                && gate.full_at_ms < since_ms
                && gate.open_by_ms < since_ms;
            let silent = gate.in_flight == 0 && gate.busy_at_ms < since_ms;
            free && gate.watch.lets_go_since(since_ms) && (silent || !gate.is_slowed(planned))
        })
    }

    /// The number of requests under way to each endpoint that has any.
    pub(crate) fn in_flight(&self) -> BTreeMap<Arc<str>, usize> {
        let busy = self.gates.iter().filter(|(_, gate)| gate.in_flight > 0);
        busy.map(|(name, gate)| (name.clone(), gate.in_flight))
            .collect()
    }
}

impl Gate {
    /// Whether it may let fewer go than there are slots, for as long as it likes.
    fn is_slowed(&self, endpoint: &Endpoint) -> bool {
        let Endpoint {
            rate,
            adaptive,
            retry_budget,
            ..
        } = endpoint;
        self.was_open || rate.is_some() || adaptive.is_some() || retry_budget.is_some()
    }

    pub(super) const fn pauses_beyond(&self, at_ms: u64) -> bool {
        self.open_by_ms > at_ms
    }

    fn configured(&mut self, endpoint: &Endpoint, now_ms: u64) {
        self.bucket = self
            .bucket
            .filter(|bucket| Some(bucket.rate) == endpoint.rate);
        self.watch.configured(endpoint.breaker.as_ref(), now_ms);
    }

    /// I6: what the rate brings, and what it brings in a second at once.
    fn within_rate(&mut self, rate: Rate, leaving: &Leaving<'_>) -> Checked {
        let (unit, count) = (u128::from(rate.per.ms()), u128::from(rate.count));
        let most = (count * 1_000).max(unit);
        let now_ms = leaving.now_ms + leaving.forward_ms;
        let before = self.bucket.unwrap_or(Bucket {
            rate,
            level: most,
            at_ms: now_ms,
        });
        let brought = u128::from(now_ms.saturating_sub(before.at_ms)) * count;
        let level = (before.level + brought).min(most);
        self.bucket = Some(Bucket {
            rate,
            level: level.saturating_sub(unit),
            at_ms: now_ms,
        });
        check(level >= unit, Invariant::RateLimit, || {
            format!("{leaving:?}: its rate is {rate}, {level} of {unit} are left")
        })
    }
}
