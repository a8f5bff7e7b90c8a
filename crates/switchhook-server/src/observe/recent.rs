//! What happened lately: a rate over the last seconds and a percentile over the last minute.
//!
//! Both are rings of slots, each stamped with the piece of time it counts for. A slot is taken over by the
//! first who finds it stamped with older time; what two threads do to one slot in that instant may miscount by a
//! few, which a live figure can bear. Nothing here is exact or kept: the metrics are.
//!
//! Durations fall into buckets of an eighth of a power of two, so a percentile is at most 12.5 % too high. Time is
//! the monotonic clock in microseconds. Memory: 250 bytes for a rate; 7 KiB for durations, taken at the first one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

const SECOND_US: u64 = 1_000_000;

/// A rate looks back over so many seconds.
const RATE_SECONDS: u64 = 10;
/// One more than a rate looks at, and one for the second that has just begun.
const RATE_SLOTS: usize = 12;

/// Length of a slot of durations.
const SLOT_US: u64 = 10 * SECOND_US;
/// Six slots make a minute; the seventh is the one that has just begun.
const DURATION_SLOTS: usize = 7;
/// Buckets for 1 µs to 2^33 µs, more than two hours; no request may take longer than a minute.
const BUCKETS: usize = 8 * 31;

/// How many a second, over the last ten.
#[derive(Debug, Default)]
pub(super) struct Rate {
    slots: [RateSlot; RATE_SLOTS],
}

#[derive(Debug, Default)]
struct RateSlot {
    /// The second it counts for, plus one, so that an unused slot is that of no second.
    stamp: AtomicU64,
    count: AtomicU64,
}

impl Rate {
    pub(super) fn record(&self, now_us: u64) {
        let second = now_us / SECOND_US;
        let Some(slot) = slot(&self.slots, second) else {
            return;
        };
        if take_over(&slot.stamp, second) {
            slot.count.store(0, Relaxed);
        }
        slot.count.fetch_add(1, Relaxed);
    }

    /// A second, over the last ten or since the clock began. The oldest second counts for the part of it that
    /// still lies within.
    pub(super) fn per_second(&self, now_us: u64) -> f64 {
        let (second, part) = (
            now_us / SECOND_US,
            (now_us % SECOND_US) as f64 / SECOND_US as f64,
        );
        let count = |second: u64| {
            let slot = slot(&self.slots, second)?;
            (slot.stamp.load(Relaxed) == second + 1).then(|| slot.count.load(Relaxed) as f64)
        };
        let oldest = second
            .checked_sub(RATE_SECONDS)
            .and_then(count)
            .unwrap_or(0.0);
        let first = (second + 1).saturating_sub(RATE_SECONDS);
        let whole: f64 = (first..=second).filter_map(count).sum();
        let span = (now_us as f64 / SECOND_US as f64).clamp(1.0, RATE_SECONDS as f64);
        (whole + oldest * (1.0 - part)) / span
    }
}

/// Durations of the last minute.
#[derive(Debug, Default)]
pub(super) struct Durations {
    slots: OnceLock<Box<[DurationSlot]>>,
}

#[derive(Debug)]
struct DurationSlot {
    stamp: AtomicU64,
    counts: [AtomicU32; BUCKETS],
}

impl Durations {
    pub(super) fn record(&self, now_us: u64, duration_us: u64) {
        let slots = self.slots.get_or_init(|| {
            let empty = || DurationSlot {
                stamp: AtomicU64::new(0),
                counts: [const { AtomicU32::new(0) }; BUCKETS],
            };
            (0..DURATION_SLOTS).map(|_| empty()).collect()
        });
        let piece = now_us / SLOT_US;
        let Some(slot) = slot(slots, piece) else {
            return;
        };
        if take_over(&slot.stamp, piece) {
            slot.counts.iter().for_each(|count| count.store(0, Relaxed));
        }
        if let Some(count) = slot.counts.get(bucket(duration_us)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The 99th percentile in milliseconds, at most 12.5 % too high; `None` when nothing was recorded.
    pub(super) fn p99_ms(&self, now_us: u64) -> Option<f64> {
        let piece = now_us / SLOT_US;
        let first = (piece + 2).saturating_sub(DURATION_SLOTS as u64);
        let mut counts = [0_u64; BUCKETS];
        for slot in self.slots.get()?.iter() {
            if (first..=piece).contains(&slot.stamp.load(Relaxed).wrapping_sub(1)) {
                counts
                    .iter_mut()
                    .zip(&slot.counts)
                    .for_each(|(sum, count)| *sum += u64::from(count.load(Relaxed)));
            }
        }
        let total: u64 = counts.iter().sum();
        let wanted = total - total / 100;
        let mut seen = 0;
        let found = counts.iter().position(|count| {
            seen += count;
            seen >= wanted && total > 0
        })?;
        Some(upper_bound_us(found) / 1_000.0)
    }
}

fn slot<T>(slots: &[T], piece: u64) -> Option<&T> {
    let index = piece.checked_rem(slots.len() as u64)?;
    slots.get(usize::try_from(index).ok()?)
}

/// Stamps a slot with `piece`; whether it was of another one before.
fn take_over(stamp: &AtomicU64, piece: u64) -> bool {
    let found = stamp.load(Relaxed);
    found != piece + 1
        && stamp
            .compare_exchange(found, piece + 1, Relaxed, Relaxed)
            .is_ok()
}

/// Values below 16 have a bucket each; above, each power of two has eight.
fn bucket(us: u64) -> usize {
    let power = u64::BITS
        .saturating_sub(us.leading_zeros())
        .saturating_sub(4);
    let index = u64::from(power) * 8 + (us >> power);
    usize::try_from(index)
        .unwrap_or(usize::MAX)
        .min(BUCKETS - 1)
}

/// The first value above bucket `index`.
fn upper_bound_us(index: usize) -> f64 {
    let power = (index / 8).saturating_sub(1);
    let step = (index + 1 - power * 8) as f64;
    step * 2_f64.powi(i32::try_from(power).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_covers_the_last_ten_seconds_and_forgets_older_ones() {
        let rate = Rate::default();
        for ms in 0..40_000 {
            rate.record(ms * 1_000); // 1,000 a second for 40 s
        }
        let at_end = rate.per_second(40 * SECOND_US);
        assert!((at_end - 1_000.0).abs() < 1.0, "{at_end}");
        let later = rate.per_second(45 * SECOND_US);
        assert!((later - 500.0).abs() < 1.0, "{later}");
        assert!(rate.per_second(51 * SECOND_US) < 1e-9);
    }

    #[test]
    fn a_young_rate_divides_by_the_time_that_there_was() {
        let rate = Rate::default();
        (0..200).for_each(|ms| rate.record(ms * 10_000)); // 100 a second for 2 s
        let per_second = rate.per_second(2 * SECOND_US);
        assert!((per_second - 100.0).abs() < 1.0, "{per_second}");
    }

    #[test]
    fn a_bucket_holds_its_value_within_an_eighth() {
        for us in (0..2_000).chain([4_095, 4_096, 1_000_000, 60_000_000, 1 << 32]) {
            let upper = upper_bound_us(bucket(us));
            assert!(
                upper > us as f64 && upper <= (us as f64 * 1.125).max(us as f64 + 1.0),
                "{us} {upper}"
            );
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_percentile_is_of_the_last_minute_only() {
        let durations = Durations::default();
        assert_eq!(durations.p99_ms(0), None);
        durations.record(0, 50_000_000);
        let now = 70 * SECOND_US;
        assert_eq!(durations.p99_ms(now), None);
        for n in 1..=1_000 {
            durations.record(now, n * 1_000);
        }
        let p99 = durations.p99_ms(now + 50 * SECOND_US).unwrap();
        assert!((990.0..=990.0 * 1.125).contains(&p99), "{p99}");
        assert_eq!(durations.p99_ms(now + 70 * SECOND_US), None);
    }

    #[test]
    fn one_slow_request_in_a_hundred_is_not_in_the_percentile_and_two_are() {
        let durations = Durations::default();
        (0..99).for_each(|_| durations.record(0, 1_000));
        durations.record(0, 1_000_000);
        assert!(durations.p99_ms(0).unwrap() < 2.0);
        durations.record(0, 1_000_000);
        assert!(durations.p99_ms(0).unwrap() > 900.0);
    }
}
