//! The delay before the next attempt, and the band in which it can lie.
//!
//! Two steps: the plain delay of the schedule (capped), then the jitter, which spreads it between an
//! earliest and a latest value. `entropy` chooses a point in that window: 0 is the earliest and
//! `u64::MAX` the latest, and a larger entropy never gives a shorter delay. So the bands that are
//! shown to users come from the very function that schedules.
//!
//! What else can move an attempt (`Retry-After`, the least delay of a failure, a deadline) is not
//! decided here. Nothing overflows: sums stop at the largest number, shares are clamped to 0..=1.

use super::{ATTEMPTS_MAX, Jitter, Policy, Schedule};

/// Delay before attempt `failed + 1`, in milliseconds, after `failed` (at least 1) counted failures.
///
/// `previous_ms` is the delay that led to the attempt that failed, 0 if there was none; only
/// decorrelated jitter looks at it.
#[must_use]
pub fn delay_ms(
    schedule: &Schedule,
    jitter: Jitter,
    failed: u16,
    previous_ms: u64,
    entropy: u64,
) -> u64 {
    let (earliest, latest) = window_ms(schedule, jitter, failed, previous_ms);
    earliest.saturating_add(part(latest.saturating_sub(earliest), entropy))
}

/// How soon and how late an attempt can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// Which attempt the delay comes before: 2, 3, …
    pub attempt: u16,
    /// Shortest delay, in milliseconds.
    pub earliest_ms: u64,
    /// Delay in the middle of the window, in milliseconds.
    pub expected_ms: u64,
    /// Longest delay, in milliseconds.
    pub latest_ms: u64,
}

/// The bands of all retries of `policy`, in order. At most [`ATTEMPTS_MAX`] − 1.
#[must_use]
pub fn bands(policy: &Policy) -> Vec<Band> {
    let (mut earliest_ms, mut expected_ms, mut latest_ms) = (0, 0, 0);
    (2..=policy.max_attempts.min(ATTEMPTS_MAX))
        .map(|attempt| {
            let next = |previous_ms, entropy| {
                delay_ms(
                    &policy.schedule,
                    policy.jitter,
                    attempt - 1,
                    previous_ms,
                    entropy,
                )
            };
            earliest_ms = next(earliest_ms, 0);
            expected_ms = next(expected_ms, u64::MAX / 2);
            latest_ms = next(latest_ms, u64::MAX);
            Band {
                attempt,
                earliest_ms,
                expected_ms,
                latest_ms,
            }
        })
        .collect()
}

/// Earliest and latest delay; the first is never the larger one.
fn window_ms(schedule: &Schedule, jitter: Jitter, failed: u16, previous_ms: u64) -> (u64, u64) {
    let plain = plain_ms(schedule, failed);
    match jitter {
        Jitter::None => (plain, plain),
        Jitter::PlusMinus(share) => {
            let spread = scaled(plain, share.clamp(0.0, 1.0));
            (plain.saturating_sub(spread), plain.saturating_add(spread))
        }
        Jitter::Additive(share) => (
            plain,
            plain.saturating_add(scaled(plain, share.clamp(0.0, 1.0))),
        ),
        Jitter::Equal => (plain / 2, plain),
        Jitter::Full => (0, plain),
        Jitter::Decorrelated => {
            let first = plain_ms(schedule, 1);
            let thrice = previous_ms.max(first).saturating_mul(3);
            (first, thrice.min(longest_ms(schedule)).max(first))
        }
    }
}

/// The delay of the schedule itself after `failed` failures.
fn plain_ms(schedule: &Schedule, failed: u16) -> u64 {
    let step = failed.saturating_sub(1);
    match schedule {
        Schedule::Exponential {
            initial_ms,
            factor,
            max_ms,
        } => {
            // `max` also turns a factor that is not a number into 1.
            scaled(*initial_ms, factor.max(1.0).powi(i32::from(step))).min(*max_ms)
        }
        Schedule::Matrix { delays_ms } => {
            let delay = delays_ms.get(usize::from(step)).or(delays_ms.last());
            delay.copied().unwrap_or(0)
        }
        Schedule::Fixed { delay_ms } => *delay_ms,
        Schedule::Linear {
            initial_ms,
            step_ms,
            max_ms,
        } => initial_ms
            .saturating_add(step_ms.saturating_mul(u64::from(step)))
            .min(*max_ms),
    }
}

/// The longest delay that the schedule can ever give.
fn longest_ms(schedule: &Schedule) -> u64 {
    match schedule {
        Schedule::Exponential { max_ms, .. } | Schedule::Linear { max_ms, .. } => *max_ms,
        Schedule::Matrix { delays_ms } => delays_ms.iter().copied().max().unwrap_or(0),
        Schedule::Fixed { delay_ms } => *delay_ms,
    }
}

/// `ms * by`, rounded; `by` is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 stops at the ends of u64 and makes 0 of what is not a number"
)]
fn scaled(ms: u64, by: f64) -> u64 {
    (ms as f64 * by).round() as u64
}

/// The part of `span` that `entropy` chooses: 0 gives 0, `u64::MAX` the whole span.
fn part(span: u64, entropy: u64) -> u64 {
    let product = u128::from(span) * u128::from(entropy) / u128::from(u64::MAX);
    u64::try_from(product).unwrap_or(span)
}

#[cfg(test)]
mod tests;
