//! The counters of each source, endpoint and subscription.
//!
//! A meter is found by its name in a map that is swapped when the plan changes, then only atomics move: no lock, no
//! allocation. Names that are not configured share one meter called [`OTHER`], so that no label grows with what comes in.
//! A meter whose resource goes is dropped with it; one that stays keeps its counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use switchhook_core::breaker::{Cause, Change, State};
use switchhook_core::delivery::{DeadReason, Failure, OutcomeKind, Verdict};
use switchhook_core::engine::Judged;
use switchhook_core::event::OWN_SOURCE;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_wire::problem::Kind;

use super::histogram::{AGE_MS, BODY_BYTES, DURATION_US, Histogram};
use super::recent::{Durations, Rate};

/// The label of everything that is not configured.
pub(super) const OTHER: &str = "other";

/// All meters of one plan.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) sources: Named<Source>,
    pub(super) endpoints: Named<Endpoint>,
    pub(super) subscriptions: Named<Subscription>,
}

/// Meters by name, and the one for all other names.
#[derive(Debug)]
pub(super) struct Named<T> {
    by_name: BTreeMap<Arc<str>, Arc<T>>,
    other: Arc<T>,
}

impl<T: Default> Named<T> {
    fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
            other: Arc::default(),
        }
    }

    /// The meters for `names`, with the counts of those that were there before.
    fn renamed<'n>(&self, names: impl Iterator<Item = &'n Arc<str>>) -> Self {
        let meter = |name: &Arc<str>| self.by_name.get(name).cloned().unwrap_or_default();
        Self {
            by_name: names.map(|name| (name.clone(), meter(name))).collect(),
            other: self.other.clone(),
        }
    }

    pub(super) fn get(&self, name: &str) -> &T {
        self.by_name.get(name).unwrap_or(&self.other)
    }

    /// The label for `name`: itself if it is configured.
    pub(super) fn label<'n>(&self, name: &'n str) -> &'n str {
        if self.by_name.contains_key(name) {
            name
        } else {
            OTHER
        }
    }

    /// Every configured name with its meter.
    pub(super) fn configured(&self) -> impl Iterator<Item = (&str, &T)> {
        self.by_name.iter().map(|(name, meter)| (&**name, &**meter))
    }

    /// Every name with its meter, the one for all others last.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &T)> {
        self.configured().chain([(OTHER, &*self.other)])
    }
}

impl Meters {
    /// Meters for a plan without resources.
    pub(super) fn new() -> Self {
        Self {
            sources: Named::new(),
            endpoints: Named::new(),
            subscriptions: Named::new(),
        }
    }

    /// The meters for `plan`, with the counts of what was there before.
    pub(super) fn adopt(&self, plan: &Plan) -> Self {
        let own = Arc::from(OWN_SOURCE);
        Self {
            sources: self.sources.renamed(plan.sources.keys().chain([&own])),
            endpoints: self.endpoints.renamed(plan.endpoints.keys()),
            subscriptions: self.subscriptions.renamed(plan.subscriptions.keys()),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Reasons for refusing a request: those of the problem table, and any other.
pub(super) const REJECTIONS: usize = Kind::ALL.len() + 1;

/// What came in through one source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) accepted: Count,
    pub(super) duplicates: Count,
    rejected: [Count; REJECTIONS],
    pub(super) ack: Histogram,
    pub(super) body: Histogram,
    pub(super) rate: Rate,
    pub(super) recent: Durations,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            accepted: Count::default(),
            duplicates: Count::default(),
            rejected: [const { Count(AtomicU64::new(0)) }; REJECTIONS],
            ack: Histogram::new(&DURATION_US),
            body: Histogram::new(&BODY_BYTES),
            rate: Rate::default(),
            recent: Durations::default(),
        }
    }
}

impl Source {
    pub(super) fn accept(&self, ack_us: u64, bytes: usize, now_us: u64) {
        self.accepted.add_one();
        self.ack.record(ack_us);
        self.body.record(bytes as u64);
        self.rate.record(now_us);
        self.recent.record(now_us, ack_us);
    }

    pub(super) fn reject(&self, code: &str) {
        let known = Kind::ALL.iter().position(|kind| kind.slug() == code);
        if let Some(count) = self.rejected.get(known.unwrap_or(REJECTIONS - 1)) {
            count.add_one();
        }
    }

    /// Requests refused, by reason.
    pub(super) fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = Kind::ALL.iter().map(|kind| kind.slug()).chain([OTHER]);
        reasons.zip(self.rejected.iter().map(Count::get))
    }
}

/// Results of attempts: five classes of status, statuses outside of them, and each kind of failure.
pub(super) const RESULTS: usize = 6 + Failure::ALL.len();

/// The labels `status_class` and `reason` of result `index`.
fn result_labels(index: usize) -> (&'static str, &'static str) {
    const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", OTHER];
    match (
        CLASSES.get(index),
        index
            .checked_sub(CLASSES.len())
            .and_then(|at| Failure::ALL.get(at)),
    ) {
        (Some(class), _) => (class, "status"),
        (None, Some(failure)) => ("none", failure.name()),
        (None, None) => ("none", OTHER),
    }
}

fn result_index(outcome: OutcomeKind) -> usize {
    match outcome {
        OutcomeKind::Status(status @ 100..=599) => usize::from(status / 100).saturating_sub(1),
        OutcomeKind::Status(_) => 5,
        OutcomeKind::Failed(failure) => 5 + usize::from(failure.code()),
    }
}

/// What went to one endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// By verdict and result.
    attempts: [[Count; RESULTS]; Verdict::ALL.len()],
    /// By reason.
    dead: [Count; DeadReason::ALL.len()],
    pub(super) age: Histogram,
    /// Duration of attempts that delivered.
    pub(super) delivered_in: Histogram,
    /// Duration of the others.
    pub(super) failed_in: Histogram,
    pub(super) retry_delay: Histogram,
    pub(super) rate: Rate,
    pub(super) recent: Durations,
    /// Changes of its breaker, by what it became and why.
    transitions: [[Count; Cause::ALL.len()]; State::ALL.len()],
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            attempts: Default::default(),
            dead: Default::default(),
            age: Histogram::new(&AGE_MS),
            delivered_in: Histogram::new(&DURATION_US),
            failed_in: Histogram::new(&DURATION_US),
            retry_delay: Histogram::new(&AGE_MS),
            rate: Rate::default(),
            recent: Durations::default(),
            transitions: Default::default(),
        }
    }
}

impl Endpoint {
    pub(super) fn judged(&self, judged: &Judged, now: UnixMs, now_us: u64) {
        let attempt = &judged.attempt;
        let verdict = usize::from(attempt.verdict.code()).saturating_sub(1);
        let counts = self
            .attempts
            .get(verdict)
            .and_then(|results| results.get(result_index(attempt.outcome)));
        if let Some(count) = counts {
            count.add_one();
        }
        let duration_us = u64::from(attempt.duration_ms) * 1_000;
        self.rate.record(now_us);
        self.recent.record(now_us, duration_us);
        if attempt.verdict == Verdict::Delivered {
            self.delivered_in.record(duration_us);
            self.age.record(now.since_ms(judged.event.received_at));
        } else {
            self.failed_in.record(duration_us);
        }
        if let (Verdict::Retry, Some(next_at)) = (attempt.verdict, attempt.next_at) {
            self.retry_delay.record(next_at.since_ms(now));
        }
        let dead = judged
            .dead
            .and_then(|reason| self.dead.get(usize::from(reason.code()).saturating_sub(1)));
        if let Some(count) = dead {
            count.add_one();
        }
    }

    pub(super) fn breaker_changed(&self, change: &Change) {
        let to = usize::from(change.to.code()).saturating_sub(1);
        let cause = usize::from(change.cause.code()).saturating_sub(1);
        let counts = self.transitions.get(to);
        if let Some(count) = counts.and_then(|causes| causes.get(cause)) {
            count.add_one();
        }
    }

    /// Changes of its breaker, by what it became and why; only those that there were.
    pub(super) fn transitions(&self) -> impl Iterator<Item = ((&'static str, &'static str), u64)> {
        let states = State::ALL.iter().zip(&self.transitions);
        states.flat_map(|(state, causes)| {
            let counted = Cause::ALL.iter().zip(causes);
            counted
                .map(|(cause, count)| ((state.name(), cause.name()), count.get()))
                .filter(|(_, count)| *count > 0)
        })
    }

    /// Attempts by verdict, class of status and reason; only those that there were.
    pub(super) fn attempts(
        &self,
    ) -> impl Iterator<Item = ((&'static str, &'static str, &'static str), u64)> {
        let verdicts = Verdict::ALL.iter().zip(&self.attempts);
        verdicts.flat_map(|(verdict, results)| {
            let counted = results
                .iter()
                .map(Count::get)
                .enumerate()
                .filter(|(_, count)| *count > 0);
            counted.map(|(index, count)| {
                let (class, reason) = result_labels(index);
                ((verdict.name(), class, reason), count)
            })
        })
    }

    /// Deliveries given up, by reason.
    pub(super) fn dead(&self) -> impl Iterator<Item = (&'static str, u64)> {
        DeadReason::ALL
            .iter()
            .map(|reason| reason.name())
            .zip(self.dead.iter().map(Count::get))
    }

    pub(super) fn delivered(&self) -> u64 {
        self.with_verdict(|verdict| verdict == Verdict::Delivered)
    }

    pub(super) fn failed(&self) -> u64 {
        self.with_verdict(|verdict| verdict != Verdict::Delivered)
    }

    fn with_verdict(&self, wanted: fn(Verdict) -> bool) -> u64 {
        let verdicts = Verdict::ALL.iter().zip(&self.attempts);
        verdicts
            .filter(|(verdict, _)| wanted(**verdict))
            .flat_map(|(_, counts)| counts)
            .map(Count::get)
            .sum()
    }
}

/// What was done for one subscription.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    pub(super) delivered: Count,
    pub(super) failed: Count,
    pub(super) rate: Rate,
    /// Those that were delivered.
    pub(super) done: Rate,
    pub(super) recent: Durations,
}

impl Subscription {
    pub(super) fn judged(&self, judged: &Judged, now_us: u64) {
        let delivered = judged.attempt.verdict == Verdict::Delivered;
        if delivered {
            &self.delivered
        } else {
            &self.failed
        }
        .add_one();
        if delivered {
            self.done.record(now_us);
        }
        self.rate.record(now_us);
        self.recent
            .record(now_us, u64::from(judged.attempt.duration_ms) * 1_000);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_result_has_labels_of_its_own() {
        let statuses = [0, 99, 100, 204, 301, 404, 503, 600, 999].map(OutcomeKind::Status);
        let failures = Failure::ALL.iter().copied().map(OutcomeKind::Failed);
        let labels = |outcome| result_labels(result_index(outcome));
        assert_eq!(
            statuses.map(|outcome| labels(outcome).0),
            [
                OTHER, OTHER, "1xx", "2xx", "3xx", "4xx", "5xx", OTHER, OTHER
            ]
        );
        assert!(
            failures
                .clone()
                .all(|outcome| result_index(outcome) < RESULTS)
        );
        assert!(
            failures
                .zip(Failure::ALL)
                .all(|(outcome, failure)| labels(outcome) == ("none", failure.name()))
        );
        assert_eq!(
            (0..RESULTS)
                .map(result_labels)
                .collect::<BTreeSet<_>>()
                .len(),
            RESULTS
        );
    }

    #[test]
    fn a_reason_outside_of_the_table_is_counted_as_other() {
        let source = Source::default();
        source.reject("signature-mismatch");
        source.reject("no-such-code");
        let counted: Vec<_> = source.rejected().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("signature-mismatch", 1), (OTHER, 1)]);
    }
}
