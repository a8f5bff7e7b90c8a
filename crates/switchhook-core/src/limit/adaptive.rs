//! How many requests at once an endpoint bears, found out by trying: additive increase, multiplicative
//! decrease.
//!
//! A round is as many good answers as the limit allows at once. A round without trouble raises the limit by
//! one, if it was reached at all: what is not used is not tried. A timeout, 429 or 503 takes it to 0.7
//! (`facts` 5.10), and so does a round whose answers took longer than usual: over the running average by 2.5
//! deviations, and by [`NOISE`] of it and [`NOISE_MS`], since a quiet network has next to no deviation.
//! What was started before the last decrease does not lower it again.

use crate::delivery::OutcomeKind;
use crate::time::UnixMs;

use super::{is_answer, is_overload};

/// Between what the adaptive concurrency moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never fewer requests at once; at least 1.
    pub min: u16,
    /// Never more; at most [`CONCURRENCY_MAX`].
    pub max: u16,
}

/// Highest bound (`facts` 5.10).
pub const CONCURRENCY_MAX: u16 = 64;
/// Where it begins, within its bounds (seed 002's concurrency).
pub const CONCURRENCY_START: u16 = 5;
/// Deviations over the average that count as slow (Vector's adaptive concurrency).
const DEVIATIONS: f64 = 2.5;
/// Share of the newest round in the averages (Vector's adaptive concurrency).
const NEWEST: f64 = 0.4;
/// A round slower than the average by less than this share of it is not slow.
const NOISE: f64 = 0.1;
/// Nor one slower by less than this, in milliseconds: times come in whole ones.
const NOISE_MS: f64 = 5.0;

impl Default for Bounds {
    fn default() -> Self {
        Self {
            min: 1,
            max: CONCURRENCY_MAX,
        }
    }
}

/// The limit and what it learns from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adaptive {
    bounds: Bounds,
    limit: u16,
    answers: u16,
    took_ms: u64,
    /// The limit was reached in this round.
    reached: bool,
    /// Running average of how long a round's answers took, and of how far rounds are off it.
    usual_ms: Option<(f64, f64)>,
    lowered_at: UnixMs,
}

impl Adaptive {
    /// One that begins at [`CONCURRENCY_START`].
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let mut adaptive = Self {
            bounds,
            limit: CONCURRENCY_START,
            answers: 0,
            took_ms: 0,
            reached: false,
            usual_ms: None,
            lowered_at: UnixMs(0),
        };
        adaptive.configure(bounds);
        adaptive
    }

    /// Goes on within other bounds.
    pub fn configure(&mut self, bounds: Bounds) {
        let min = bounds.min.clamp(1, CONCURRENCY_MAX);
        let max = bounds.max.clamp(min, CONCURRENCY_MAX);
        self.bounds = Bounds { min, max };
        self.limit = self.limit.clamp(min, max);
    }

    /// Requests that may be under way at once.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// A request started at `at` has ended. `under_way`: so many were, this one included; `slots`: so many
    /// the endpoint's configuration allows.
    pub fn ended(
        &mut self,
        kind: OutcomeKind,
        at: UnixMs,
        duration_ms: u32,
        (under_way, slots): (usize, u16),
        now: UnixMs,
    ) {
        if is_overload(kind) {
            if at >= self.lowered_at {
                self.lower(now);
            }
            return;
        }
        if !is_answer(kind) {
            return;
        }
        self.reached |= under_way >= usize::from(self.limit);
        self.answers = self.answers.saturating_add(1);
        self.took_ms = self.took_ms.saturating_add(u64::from(duration_ms));
        if self.answers >= self.limit {
            self.end_round(slots, at, now);
        }
    }

    /// The clock went back.
    pub fn clock_went_back(&mut self, by_ms: u64) {
        self.lowered_at = self.lowered_at.minus_ms(by_ms);
    }

    fn end_round(&mut self, slots: u16, at: UnixMs, now: UnixMs) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "at most 64 durations of 32 bits: below 2^52"
        )]
        let took_ms = self.took_ms as f64 / f64::from(self.answers.max(1));
        let reached = self.reached;
        self.begin_round();
        let slow = self.usual_ms.is_some_and(|(usual, deviation)| {
            took_ms > usual + (DEVIATIONS * deviation).max(NOISE * usual).max(NOISE_MS)
        });
        self.usual_ms = Some(match self.usual_ms {
            None => (took_ms, 0.0),
            Some((usual, deviation)) => {
                let off = took_ms - usual;
                (
                    usual + NEWEST * off,
                    deviation + NEWEST * (off.abs() - deviation),
                )
            }
        });
        if slow {
            if at >= self.lowered_at {
                self.lower(now);
            }
        } else if reached {
            let most = self.bounds.max.min(slots).max(self.bounds.min);
            self.limit = self
                .limit
                .saturating_add(1)
                .min(most)
                .max(self.limit.min(most));
        }
    }

    /// To 0.7, and by one at least.
    fn lower(&mut self, now: UnixMs) {
        let lower = u32::from(self.limit) * 7 / 10;
        let lower = u16::try_from(lower).unwrap_or(self.bounds.min);
        self.limit = lower.max(self.bounds.min);
        // Later by one: a request of the same millisecond may have been started before.
        self.lowered_at = now.plus_ms(1);
        self.begin_round();
    }

    const fn begin_round(&mut self) {
        self.answers = 0;
        self.took_ms = 0;
        self.reached = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Failure;

    const OK: OutcomeKind = OutcomeKind::Status(200);

    /// Runs rounds of good answers with the limit used up.
    fn rounds(adaptive: &mut Adaptive, rounds: usize, took_ms: u32, slots: u16, now: UnixMs) {
        for _ in 0..rounds {
            for _ in 0..adaptive.limit() {
                let under_way = usize::from(adaptive.limit().min(slots));
                adaptive.ended(OK, now, took_ms, (under_way, slots), now);
            }
        }
    }

    #[test]
    fn each_good_round_adds_one_up_to_the_bound_and_the_configured_slots() {
        let mut adaptive = Adaptive::new(Bounds::default());
        rounds(&mut adaptive, 3, 20, 100, UnixMs(9));
        assert_eq!(adaptive.limit(), 8);
        rounds(&mut adaptive, 100, 20, 100, UnixMs(9));
        assert_eq!(adaptive.limit(), 64);
        let mut adaptive = Adaptive::new(Bounds::default());
        rounds(&mut adaptive, 100, 20, 7, UnixMs(9));
        assert_eq!(adaptive.limit(), 7);
    }

    #[test]
    fn a_limit_that_nobody_reaches_does_not_grow() {
        let mut adaptive = Adaptive::new(Bounds::default());
        for _ in 0..100 {
            adaptive.ended(OK, UnixMs(9), 20, (4, 64), UnixMs(9));
        }
        assert_eq!(adaptive.limit(), 5);
    }

    #[test]
    fn overload_takes_it_to_seven_tenths_once_for_all_that_was_under_way() {
        for kind in [
            OutcomeKind::Status(429),
            OutcomeKind::Status(503),
            OutcomeKind::Failed(Failure::Timeout),
        ] {
            let mut adaptive = Adaptive::new(Bounds { min: 2, max: 64 });
            rounds(&mut adaptive, 5, 20, 64, UnixMs(9));
            assert_eq!(adaptive.limit(), 10);
            for _ in 0..10 {
                adaptive.ended(kind, UnixMs(10), 20, (10, 64), UnixMs(30));
            }
            assert_eq!(adaptive.limit(), 7);
            adaptive.ended(kind, UnixMs(31), 20, (7, 64), UnixMs(40));
            assert_eq!(adaptive.limit(), 4);
            for started in 1..100 {
                adaptive.ended(
                    kind,
                    UnixMs(started * 100),
                    20,
                    (4, 64),
                    UnixMs(started * 100 + 20),
                );
            }
            assert_eq!(adaptive.limit(), 2, "never below its bound");
        }
    }

    #[test]
    fn other_failures_say_nothing_about_load() {
        let mut adaptive = Adaptive::new(Bounds::default());
        for kind in [
            OutcomeKind::Status(500),
            OutcomeKind::Failed(Failure::Connect),
        ] {
            for _ in 0..50 {
                adaptive.ended(kind, UnixMs(9), 20, (5, 64), UnixMs(9));
            }
        }
        assert_eq!(adaptive.limit(), 5);
    }

    #[test]
    fn answers_that_take_much_longer_than_usual_lower_it_and_noise_does_not() {
        let mut adaptive = Adaptive::new(Bounds::default());
        rounds(&mut adaptive, 10, 100, 64, UnixMs(9));
        rounds(&mut adaptive, 1, 108, 64, UnixMs(9));
        assert_eq!(adaptive.limit(), 16);
        rounds(&mut adaptive, 1, 200, 64, UnixMs(9));
        assert_eq!(adaptive.limit(), 11);
    }

    #[test]
    fn narrower_bounds_count_at_once() {
        let mut adaptive = Adaptive::new(Bounds::default());
        adaptive.configure(Bounds { min: 1, max: 3 });
        assert_eq!(adaptive.limit(), 3);
        adaptive.configure(Bounds { min: 9, max: 500 });
        assert_eq!(adaptive.limit(), 9);
    }
}
