//! A retry policy: schedule, jitter, limits and the rules that judge an attempt.

use std::sync::Arc;

/// How a subscription's deliveries are retried.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: Arc<str>,
    /// The delays before jitter.
    pub schedule: Schedule,
    /// How delays are spread.
    pub jitter: Jitter,
    /// Attempts in all, the first included; 1 to [`ATTEMPTS_MAX`].
    pub max_attempts: u16,
    /// Give up this long after acceptance (or replay), in milliseconds.
    pub max_age_ms: u64,
    /// Longest `Retry-After` that is honoured, in milliseconds; a longer one counts as this.
    pub retry_after_max_ms: u64,
    /// Judged in order, before the built-in ones.
    pub rules: Vec<Rule>,
}

/// Most attempts of a policy (seed 000).
pub const ATTEMPTS_MAX: u16 = 100;
/// Longest `max_age` (seed 000), in milliseconds.
pub const AGE_MAX_MS: u64 = 86_400_000;
/// Longest `max_age` where `long = true` is written out, in milliseconds: seven days.
pub const AGE_LONG_MAX_MS: u64 = 7 * 86_400_000;
/// Default and range of the longest `Retry-After` honoured, in milliseconds.
pub const RETRY_AFTER_MAX_DEFAULT_MS: u64 = 6 * 3_600_000;
/// See [`RETRY_AFTER_MAX_DEFAULT_MS`].
pub const RETRY_AFTER_MAX_RANGE_MS: (u64, u64) = (1_000, 86_400_000);
/// A held delivery is tried again after this long, in milliseconds.
pub const HOLD_MS: u64 = 15 * 60_000;

/// The delays between attempts, before jitter. All in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// `initial`, `initial * factor`, …, at most `max`.
    Exponential {
        /// Delay before the second attempt.
        initial_ms: u64,
        /// At least 1.
        factor: f64,
        /// No delay is longer.
        max_ms: u64,
    },
    /// Exactly these; the last one repeats when there are more attempts.
    Matrix {
        /// One per retry, not empty.
        delays_ms: Vec<u64>,
    },
    /// Always the same.
    Fixed {
        /// The delay.
        delay_ms: u64,
    },
    /// `initial`, `initial + step`, …, at most `max`.
    Linear {
        /// Delay before the second attempt.
        initial_ms: u64,
        /// Added each time.
        step_ms: u64,
        /// No delay is longer.
        max_ms: u64,
    },
}

/// How a delay `d` is spread. Shares are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// `d`
    None,
    /// `d * (1 - p)` to `d * (1 + p)`
    PlusMinus(f64),
    /// `d` to `d * (1 + p)`: never earlier, so the whole window never shrinks.
    Additive(f64),
    /// `d / 2` to `d`
    Equal,
    /// 0 to `d`
    Full,
    /// The first delay to three times the delay before, at most the schedule's longest.
    Decorrelated,
}

/// Which results a rule takes, and what it decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Any of these.
    pub on: Vec<Match>,
    /// What to do then.
    pub action: Action,
}

/// A result that a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// This status.
    Status(u16),
    /// A hundred of statuses: 5 is 500 to 599.
    Class(u8),
    /// From this status to that one, both included.
    Range(u16, u16),
    /// This failure.
    Failure(crate::delivery::Failure),
    /// Anything.
    Any,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is delivered.
    Done,
    /// Try again as the schedule says.
    Retry,
    /// Wait for an operator or a changed secret; tried again every [`HOLD_MS`].
    Hold,
    /// Give up at once.
    DeadLetter,
}
