//! The way back to full load after an outage.
//!
//! What waited during an outage must not fall upon the endpoint at once when it is back (the herd of
//! `facts` finding 5). A ramp limits both what is under way and the pace, and raises both as long as the
//! endpoint shows that it bears them:
//!
//! * under way: 1, 2, 4, … after each round of good answers, a round being as many as are allowed at once;
//! * pace: from [`PACE_START`] a second it doubles up to [`PACE_STEEP`], then grows by a factor of 1.19, in
//!   steps. A step is due when a request has been answered well that was started a second or more after
//!   the last step: so the endpoint has borne a whole second of the pace in force, however long its
//!   answers take. Growing by 1.19 the first excess over an unknown capacity is less than 1.2 of it.
//! * A 429, 503 or timeout takes the pace to 0.7, at most once in a second: what is refused in the rest of a
//!   second is a consequence of the same excess. Nor does it count for the breaker: where an endpoint counts
//!   its requests by the second, an excess of a fifth is refused in a row, and the breaker would open in
//!   each ramp. An endpoint that is down again still opens it, with one failure a second. The pace that was
//!   too much is remembered: up to 0.9 of it the way back is 1.1 a step, from there 1.02, and beyond it 1.05,
//!   since the endpoint may have become faster. This keeps the average near 0.9 of the capacity, where 1.02 all
//!   the way from 0.7 gives 0.84.
//! * Refused twice with no good answer between is no excess but a short outage. It says nothing about what the
//!   endpoint bears: after it the pace doubles up to what was borne before.
//!
//! The pace grows only while somebody waits for it. The ramp is over when nobody had to for
//! [`OVER_AFTER_MS`].

use crate::delivery::OutcomeKind;
use crate::time::UnixMs;

use super::{is_answer, is_overload};

/// Requests in the first second.
pub const PACE_START: u32 = 1;
/// Up to this many requests in a second the pace doubles: what a small endpoint bears.
pub const PACE_STEEP: u32 = 16;
/// The ramp is over when nobody had to wait for it for so long, in milliseconds.
pub const OVER_AFTER_MS: u64 = 10_000;
/// Between two steps lies this much time and one answer at least, in milliseconds.
const STEP_MS: u64 = 1_000;
/// A caller that comes late by up to this, in milliseconds, makes up for it; timers are not exact. It is the
/// largest burst: a fiftieth of a second's requests.
const LATE_MS: u64 = 20;
/// Paces are kept in thousandths of a request in a second.
const MILLI: u64 = 1_000;
/// No pace is higher: it would not limit anything.
const PACE_MAX: u64 = 100_000 * MILLI;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// Requests that may be under way at once.
    slots: u16,
    /// Good answers since `slots` grew.
    answers: u16,
    /// In thousandths of a request in a second.
    pace: u64,
    /// The pace that was too much, if one was.
    too_much: Option<u64>,
    /// The highest pace that was borne.
    borne: u64,
    /// How often the pace was lowered since the last good answer.
    lowered_in_a_row: u8,
    /// The next request may go then, in microseconds since 1970.
    next_us: u64,
    /// When the pace last changed.
    step_at: UnixMs,
    /// Somebody waited for the pace since then.
    wanted: bool,
    /// When the pace was last lowered.
    lowered_at: Option<UnixMs>,
    /// When somebody last had to wait for the ramp.
    limited_at: UnixMs,
}

impl Ramp {
    /// One that begins now.
    #[must_use]
    pub const fn new(now: UnixMs) -> Self {
        Self {
            slots: 1,
            answers: 0,
            pace: PACE_START as u64 * MILLI,
            too_much: None,
            borne: 0,
            lowered_in_a_row: 0,
            next_us: now.0.saturating_mul(1_000),
            step_at: now,
            wanted: false,
            lowered_at: None,
            limited_at: now,
        }
    }

    /// Requests that may be under way at once.
    #[must_use]
    pub const fn slots(&self) -> u16 {
        self.slots
    }

    /// Requests in a second, rounded up.
    #[must_use]
    pub fn pace_per_second(&self) -> u32 {
        u32::try_from(self.pace.div_ceil(MILLI)).unwrap_or(u32::MAX)
    }

    /// Whether nobody had to wait for it for so long that it can be done without.
    #[must_use]
    pub const fn is_over(&self, now: UnixMs) -> bool {
        now.since_ms(self.limited_at) >= OVER_AFTER_MS
    }

    /// Whether the pace lets a request go now.
    ///
    /// # Errors
    /// When it does, later than `now`.
    pub const fn look(&self, now: UnixMs) -> Result<(), UnixMs> {
        if self.next_us <= now.0.saturating_mul(1_000) {
            Ok(())
        } else {
            Err(UnixMs(self.next_us.div_ceil(1_000)))
        }
    }

    /// Somebody had to wait because too many are under way.
    pub const fn was_full(&mut self, now: UnixMs) {
        self.limited_at = now;
    }

    /// Somebody had to wait because of the pace.
    pub const fn was_early(&mut self, now: UnixMs) {
        self.limited_at = now;
        self.wanted = true;
    }

    /// A request goes out.
    pub fn sent(&mut self, now: UnixMs) {
        let late_us = now.minus_ms(LATE_MS).0.saturating_mul(1_000);
        let interval_us = 1_000_000 * MILLI / self.pace.max(1);
        self.next_us = self.next_us.max(late_us).saturating_add(interval_us);
    }

    /// A request started at `at` has ended. More than `slots_max` may never be under way.
    ///
    /// Whether it was refused for an excess that the ramp has seen and lowered the pace for: then it says
    /// nothing new about the endpoint.
    pub fn ended(&mut self, kind: OutcomeKind, at: UnixMs, slots_max: u16, now: UnixMs) -> bool {
        if is_overload(kind) {
            self.answers = 0;
            return !self.lower(at, now);
        }
        if is_answer(kind) {
            if std::mem::take(&mut self.lowered_in_a_row) > 1 {
                let bound = self.too_much.take().map_or(u64::MAX, |pace| pace / 10 * 9);
                self.borne = self.borne.min(bound);
            }
            self.answers = self.answers.saturating_add(1);
            if self.answers >= self.slots {
                self.answers = 0;
                self.slots = self.slots.saturating_mul(2).min(slots_max.max(1));
            }
            if self.wanted && at.since_ms(self.step_at) >= STEP_MS {
                self.raise(now);
            }
        }
        false
    }

    /// The clock went back: what is left of a wait stays as long as it is.
    pub fn clock_went_back(&mut self, by_ms: u64) {
        self.next_us = self.next_us.saturating_sub(by_ms.saturating_mul(1_000));
        self.step_at = self.step_at.minus_ms(by_ms);
        self.lowered_at = self.lowered_at.map(|at| at.minus_ms(by_ms));
        self.limited_at = self.limited_at.minus_ms(by_ms);
    }

    fn raise(&mut self, now: UnixMs) {
        let steep = (u64::from(PACE_STEEP) * MILLI).max(self.borne / 2 + 1);
        self.borne = self.borne.max(self.pace);
        let percent = match self.too_much {
            None if self.pace < steep => 200,
            None => 119,
            Some(too_much) if self.pace < too_much / 10 * 9 => 110,
            Some(too_much) if self.pace < too_much => 102,
            Some(_) => 105,
        };
        self.pace = (self.pace * percent / 100).min(PACE_MAX);
        self.step_at = now;
        self.wanted = false;
    }

    /// Whether the pace was lowered, which is done once for an excess.
    fn lower(&mut self, at: UnixMs, now: UnixMs) -> bool {
        let of_the_same_excess = |lowered: UnixMs| at.since_ms(lowered) < STEP_MS;
        if self.lowered_at.is_some_and(of_the_same_excess) {
            return false;
        }
        if self.lowered_in_a_row == 0 {
            self.too_much = Some(self.pace);
        }
        self.lowered_in_a_row = self.lowered_in_a_row.saturating_add(1);
        self.pace = (self.pace * 7 / 10).max(u64::from(PACE_START) * MILLI);
        self.step_at = now;
        self.lowered_at = Some(now);
        self.wanted = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Failure;

    const OK: OutcomeKind = OutcomeKind::Status(200);
    const START: UnixMs = UnixMs(1_000_000);

    /// Sends whenever it may and has every request answered at once; the paces it went through.
    fn climb(ramp: &mut Ramp, ms: u64) -> Vec<u32> {
        let mut paces = vec![ramp.pace_per_second()];
        let (mut now, end) = (ramp.step_at, ramp.step_at.plus_ms(ms));
        while now < end {
            match ramp.look(now) {
                Ok(()) => {
                    ramp.sent(now);
                    ramp.ended(OK, now, 64, now);
                    paces.push(ramp.pace_per_second());
                }
                Err(at) => {
                    ramp.was_early(now);
                    now = at;
                }
            }
        }
        paces.dedup();
        paces
    }

    #[test]
    fn the_pace_doubles_up_to_sixteen_and_then_grows_by_a_fifth_at_most() {
        let paces = climb(&mut Ramp::new(START), 15_000);
        assert_eq!(paces[..5], [1, 2, 4, 8, 16]);
        assert!(paces.last() > Some(&60), "{paces:?}");
        for pair in paces[4..].windows(2) {
            assert!(pair[1] * 100 <= pair[0] * 119 + 100, "{pair:?}");
        }
    }

    #[test]
    fn slots_double_with_each_good_round_and_not_with_a_bad_one() {
        let mut ramp = Ramp::new(START);
        let mut slots = vec![];
        for n in 0..14 {
            let kind = if n == 5 { OutcomeKind::Status(503) } else { OK };
            ramp.ended(kind, START, 10, START);
            slots.push(ramp.slots());
        }
        assert_eq!(slots, [2, 2, 4, 4, 4, 4, 4, 4, 4, 8, 8, 8, 8, 8]);
        for _ in 0..50 {
            ramp.ended(OK, START, 10, START);
        }
        assert_eq!(ramp.slots(), 10, "never more than are configured");
    }

    #[test]
    fn an_excess_lowers_the_pace_once_and_is_remembered() {
        let mut ramp = Ramp::new(START);
        climb(&mut ramp, 12_000);
        let (too_much, now) = (ramp.pace, ramp.step_at.plus_ms(900));
        let busy = OutcomeKind::Status(503);
        assert!(!ramp.ended(busy, now, 64, now), "the first one is news");
        assert_eq!(ramp.pace, too_much * 7 / 10);
        for ms in [0, 1, 500, 999] {
            assert!(ramp.ended(busy, now.plus_ms(ms), 64, now.plus_ms(ms)));
        }
        assert_eq!(
            ramp.pace,
            too_much * 7 / 10,
            "the rest of that second is no second excess"
        );
        let again = now.plus_ms(1_000);
        let slow = OutcomeKind::Failed(Failure::Timeout);
        let mut worse = ramp;
        assert!(!worse.ended(slow, again, 64, again));
        assert_eq!(worse.pace, too_much * 7 / 10 * 7 / 10);
        let paces = climb(&mut ramp, 30_000);
        let near = u32::try_from(too_much / MILLI).unwrap() * 95 / 100;
        for pair in paces.windows(2).filter(|pair| pair[0] > near) {
            assert!(pair[1] * 100 <= pair[0] * 105 + 100, "{pair:?}");
        }
        assert!(paces.last() > Some(&near), "{paces:?}");
    }

    #[test]
    fn after_a_short_outage_the_pace_doubles_up_to_what_was_borne_before() {
        let mut ramp = Ramp::new(START);
        let before = *climb(&mut ramp, 12_000).last().unwrap();
        let mut now = ramp.step_at;
        for _ in 0..5 {
            now = now.plus_ms(1_000);
            ramp.ended(OutcomeKind::Status(503), now, 64, now);
        }
        let paces = climb(&mut ramp, 5_000);
        assert!(paces[0] * 4 < before, "{paces:?}");
        assert!(paces[1] >= 2 * paces[0] - 1, "{paces:?}");
        assert!(paces.last() > Some(&(before / 2)), "{paces:?}");
    }

    #[test]
    fn what_nobody_waits_for_does_not_grow_and_is_over_after_ten_seconds() {
        let mut ramp = Ramp::new(START);
        for second in 0..20 {
            let now = START.plus_ms(second * 2_000);
            ramp.sent(now);
            ramp.ended(OK, now, 64, now);
        }
        assert_eq!(ramp.pace_per_second(), 1);
        assert!(!ramp.is_over(START.plus_ms(9_999)));
        assert!(ramp.is_over(START.plus_ms(10_000)));
        ramp.was_full(START.plus_ms(9_000));
        assert!(!ramp.is_over(START.plus_ms(18_999)));
    }

    #[test]
    fn without_answers_the_pace_stays() {
        let mut ramp = Ramp::new(START);
        for second in 0..20 {
            ramp.sent(START.plus_ms(second * 1_000));
            ramp.was_early(START.plus_ms(second * 1_000));
        }
        assert_eq!(ramp.pace_per_second(), 1);
    }

    #[test]
    fn the_lowest_pace_is_one_in_a_second() {
        let mut ramp = Ramp::new(START);
        for second in 0..20 {
            let now = START.plus_ms(second * 2_000);
            ramp.ended(OutcomeKind::Status(503), now, 64, now);
        }
        assert_eq!(ramp.pace_per_second(), PACE_START);
    }
}
