//! How each dialect writes a retry policy, and what a policy of the model looks like in each.
//!
//! * A ([`Retry::Interval`]): the same delay before each retry. Whether a timeout is retried is a rule of the policy.
//! * C ([`Retry::Spread`]): attempts, the first included, and the time that the delays between them add up to. Each delay
//!   is twice the one before: the end of delay *k* of *n* lies at `duration * (2^k - 1) / (2^n - 1)`, rounded to
//!   milliseconds, so that the sum is exact. There is no jitter, which would change it.
//! * D ([`Retry::Backoff`]): retries, the first delay, and how delays grow: doubled, by the same step, or not at all.
//!
//! What was written is read back as it was. A policy that was made elsewhere is shown as the nearest that the dialect has
//! words for. What a dialect does not say (rules, `Retry-After`, the longest delay, jitter in A) is kept; `max_age` is
//! raised where the delays would not fit into it.

use serde_json::{Map, Value as Json, json};
use switchhook_core::classify::judge;
use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::retry::{
    AGE_LONG_MAX_MS, AGE_MAX_MS, ATTEMPTS_MAX, Action, Jitter, Policy, Schedule, bands,
};

use crate::duration;

/// Most retries: attempts without the first.
pub const RETRIES_MAX: u64 = ATTEMPTS_MAX as u64 - 1;
/// Longest delay, in milliseconds.
pub const DELAY_MAX_MS: u64 = AGE_LONG_MAX_MS;
/// Longest time that the delays of dialect C add up to, in seconds.
pub const SPREAD_MAX_S: u64 = AGE_MAX_MS / 1_000;
/// Longest delay of a growing schedule where none is set, in milliseconds: the most retries of it still fit into
/// [`DELAY_MAX_MS`].
const GROWN_MAX_MS: u64 = 3_600_000;
/// Jitter of dialect D: seed 004 speaks of 10 to 20 %.
const JITTER_SHARE: f64 = 0.2;
/// Longest share of jitter that a schedule without a word about it has; see `config::policy`.
const JITTER_DEFAULT_SHARE: f64 = 0.25;
/// What each attempt itself may take, in milliseconds: room in `max_age` besides the delays.
const ATTEMPT_ROOM_MS: u64 = 60_000;

/// How delays grow in dialect D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Each is twice the one before.
    Exponential,
    /// Each is longer by the first.
    Linear,
    /// All are the same.
    Fixed,
}

impl Growth {
    /// The words for it.
    pub const WORDS: [(&str, Self); 3] = [
        ("exponential", Self::Exponential),
        ("linear", Self::Linear),
        ("fixed", Self::Fixed),
    ];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Linear => "linear",
            Self::Fixed => "fixed",
        }
    }
}

/// A retry policy in the words of a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// A
    Interval {
        /// Attempts after the first.
        retries: u16,
        /// Before each of them, in milliseconds.
        interval_ms: u64,
        /// Whether an attempt that timed out is followed by another.
        on_timeout: bool,
    },
    /// C
    Spread {
        /// Attempts, the first included.
        attempts: u16,
        /// What the delays add up to, in seconds.
        duration_s: u64,
    },
    /// D
    Backoff {
        /// Attempts after the first.
        retries: u16,
        /// The first delay, in milliseconds.
        delay_ms: u64,
        /// How the next ones grow.
        growth: Growth,
        /// Whether delays are spread.
        jitter: bool,
    },
}

impl Retry {
    /// `policy` as dialect A has it.
    #[must_use]
    pub fn interval(policy: &Policy) -> Self {
        let delays = plain_ms(policy);
        let interval_ms = match &policy.schedule {
            Schedule::Fixed { delay_ms } => *delay_ms,
            Schedule::Exponential { .. } | Schedule::Linear { .. } | Schedule::Matrix { .. } => {
                // The mean: so many retries take as long in all.
                let count = u64::try_from(delays.len()).unwrap_or(1).max(1);
                delays.iter().sum::<u64>().div_ceil(count).max(1)
            }
        };
        let timeout = judge(&policy.rules, OutcomeKind::Failed(Failure::Timeout));
        Self::Interval {
            retries: policy.max_attempts.saturating_sub(1),
            interval_ms,
            on_timeout: matches!(timeout.action, Action::Retry | Action::Hold),
        }
    }

    /// `policy` as dialect C has it.
    #[must_use]
    pub fn spread(policy: &Policy) -> Self {
        let mut total_ms: u64 = plain_ms(policy).iter().sum();
        if policy.max_attempts <= 1 {
            // Nothing is retried: the one delay that the schedule has keeps what was written.
            let once = Policy {
                max_attempts: 2,
                ..policy.clone()
            };
            total_ms = plain_ms(&once).iter().sum();
        }
        Self::Spread {
            attempts: policy.max_attempts,
            duration_s: total_ms.div_ceil(1_000).clamp(1, SPREAD_MAX_S),
        }
    }

    /// `policy` as dialect D has it.
    #[must_use]
    pub fn backoff(policy: &Policy) -> Self {
        let (delay_ms, growth) = match &policy.schedule {
            Schedule::Exponential { initial_ms, .. } => (*initial_ms, Growth::Exponential),
            Schedule::Linear { initial_ms, .. } => (*initial_ms, Growth::Linear),
            Schedule::Fixed { delay_ms } => (*delay_ms, Growth::Fixed),
            Schedule::Matrix { delays_ms } => {
                let first = delays_ms.iter().copied().find(|ms| *ms > 0).unwrap_or(1);
                let is_fixed = delays_ms.iter().all(|ms| *ms == first);
                let growth = if is_fixed {
                    Growth::Fixed
                } else {
                    Growth::Exponential
                };
                (first, growth)
            }
        };
        Self::Backoff {
            retries: policy.max_attempts.saturating_sub(1),
            delay_ms,
            growth,
            jitter: policy.jitter != Jitter::None,
        }
    }

    /// The delays before jitter, in milliseconds.
    fn delays_ms(self) -> Vec<u64> {
        match self {
            Self::Interval {
                retries,
                interval_ms,
                ..
            } => vec![interval_ms; usize::from(retries)],
            Self::Spread {
                attempts,
                duration_s,
            } => spread_ms(attempts, duration_s.saturating_mul(1_000)),
            Self::Backoff {
                retries,
                delay_ms,
                growth,
                ..
            } => {
                let longest = GROWN_MAX_MS.max(delay_ms);
                (0..u32::from(retries))
                    .map(|step| match growth {
                        Growth::Fixed => delay_ms,
                        Growth::Linear => delay_ms.saturating_mul(u64::from(step) + 1).min(longest),
                        Growth::Exponential => delay_ms
                            .saturating_mul(1_u64.checked_shl(step).unwrap_or(u64::MAX))
                            .min(longest),
                    })
                    .collect()
            }
        }
    }

    /// In words, why its delays cannot be: a delivery is tried for at most [`DELAY_MAX_MS`].
    pub(super) fn too_long(self) -> Option<String> {
        let longest = self.longest_ms();
        let span = |ms: u64| duration::format(ms / 1_000 * 1_000);
        (longest > DELAY_MAX_MS).then(|| {
            format!(
                "all retries can take {}, at most {} are allowed",
                span(longest),
                span(DELAY_MAX_MS)
            )
        })
    }

    /// The longest that all delays can take with jitter, in milliseconds.
    #[must_use]
    pub fn longest_ms(self) -> u64 {
        let total = self
            .delays_ms()
            .into_iter()
            .fold(0_u64, u64::saturating_add);
        let share = match self {
            Self::Spread { .. } | Self::Backoff { jitter: false, .. } => 0.0,
            Self::Backoff { jitter: true, .. } => JITTER_SHARE,
            Self::Interval { .. } => JITTER_DEFAULT_SHARE,
        };
        total.saturating_add(share_of(total, share))
    }

    /// Writes it into the body of a policy; what it does not say stays.
    pub(super) fn apply(self, policy: &mut Map<String, Json>) {
        let before = std::mem::take(policy);
        *policy = before
            .iter()
            .filter(|(key, _)| {
                !["exponential", "linear", "fixed", "matrix"].contains(&key.as_str())
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let attempts = match self {
            Self::Interval { retries, .. } | Self::Backoff { retries, .. } => retries + 1,
            Self::Spread { attempts, .. } => attempts,
        };
        policy.insert("max_attempts".into(), attempts.into());
        let (kind, schedule) = self.schedule(&before);
        policy.insert(kind.into(), schedule);
        match self {
            Self::Interval { on_timeout, .. } => set_timeout_rule(policy, on_timeout),
            Self::Spread { .. } | Self::Backoff { jitter: false, .. } => {
                policy.insert("jitter".into(), "none".into());
            }
            Self::Backoff { jitter: true, .. } => {
                let is_there = policy.get("jitter").is_some_and(|jitter| jitter != "none");
                if !is_there {
                    policy.insert("jitter".into(), json!({ "plus-minus": JITTER_SHARE }));
                }
            }
        }
        self.make_room(policy);
    }

    fn schedule(self, before: &Map<String, Json>) -> (&'static str, Json) {
        let text = |ms: u64| duration::format(ms);
        match self {
            Self::Interval { interval_ms, .. } => ("fixed", json!({ "delay": text(interval_ms) })),
            Self::Spread {
                attempts,
                duration_s,
            } => {
                let mut delays = spread_ms(attempts, duration_s.saturating_mul(1_000));
                if delays.is_empty() {
                    delays.push(duration_s.saturating_mul(1_000));
                }
                let delays: Vec<String> = delays.into_iter().map(text).collect();
                ("matrix", json!({ "delays": delays }))
            }
            Self::Backoff {
                delay_ms, growth, ..
            } => {
                let kind = growth.name();
                // The longest delay has no word in the dialect: one that was set stays.
                let set = before
                    .get(kind)
                    .and_then(|table| table.get("max")?.as_str());
                let set = set.and_then(|text| duration::parse(text).ok());
                let max = text(set.unwrap_or(GROWN_MAX_MS).max(delay_ms));
                let initial = text(delay_ms);
                let table = match growth {
                    Growth::Fixed => json!({ "delay": initial }),
                    Growth::Linear => json!({ "initial": initial, "step": initial, "max": max }),
                    Growth::Exponential => {
                        json!({ "initial": initial, "factor": 2.0, "max": max })
                    }
                };
                (kind, table)
            }
        }
    }

    /// Raises `max_age` where the delays and the attempts themselves do not fit into it.
    fn make_room(self, policy: &mut Map<String, Json>) {
        let attempts = policy
            .get("max_attempts")
            .and_then(Json::as_u64)
            .unwrap_or(1);
        let needed = self
            .longest_ms()
            .saturating_add(attempts.saturating_mul(ATTEMPT_ROOM_MS))
            .min(AGE_LONG_MAX_MS);
        let set = policy.get("max_age").and_then(Json::as_str);
        let set = set.and_then(|text| duration::parse(text).ok());
        if needed > set.unwrap_or(AGE_MAX_MS) {
            policy.insert("max_age".into(), duration::format(needed).into());
            if needed > AGE_MAX_MS {
                policy.insert("long".into(), true.into());
            }
        }
    }
}

/// The plain delays of `policy`, in milliseconds.
fn plain_ms(policy: &Policy) -> Vec<u64> {
    let plain = Policy {
        jitter: Jitter::None,
        ..policy.clone()
    };
    bands(&plain).iter().map(|band| band.expected_ms).collect()
}

/// See the module. At most 99 delays of at most a day: the products stay below 2^127.
fn spread_ms(attempts: u16, duration_ms: u64) -> Vec<u64> {
    let count = u32::from(attempts.min(ATTEMPTS_MAX)).saturating_sub(1);
    let whole = (1_u128 << count) - 1;
    let end_of = |k: u32| {
        let part = u128::from(duration_ms) * ((1_u128 << k) - 1);
        let rounded = (part + whole / 2).checked_div(whole).unwrap_or(0);
        u64::try_from(rounded).unwrap_or(u64::MAX)
    };
    (1..=count).map(|k| end_of(k) - end_of(k - 1)).collect()
}

/// Has a timeout retried or given up. Rules about anything else stay as they are, in their order.
fn set_timeout_rule(policy: &mut Map<String, Json>, is_retried: bool) {
    let mut rules = match policy.remove("rule") {
        Some(Json::Array(rules)) => rules,
        Some(_) | None => Vec::new(),
    };
    for rule in &mut rules {
        if let Some(Json::Array(on)) = rule.get_mut("on") {
            on.retain(|result| result != "timeout");
        }
    }
    rules.retain(|rule| {
        rule.get("on")
            .and_then(Json::as_array)
            .is_none_or(|on| !on.is_empty())
    });
    // A rule that takes everything would decide about timeouts too: it goes behind.
    let by_star = |rule: &Json| {
        let on = rule.get("on").and_then(Json::as_array);
        on.is_some_and(|on| on.iter().any(|result| result == "*"))
    };
    if !is_retried {
        rules.insert(0, json!({ "on": ["timeout"], "do": "dead-letter" }));
    } else if rules.iter().any(by_star) {
        rules.insert(0, json!({ "on": ["timeout"], "do": "retry" }));
    }
    if !rules.is_empty() {
        policy.insert("rule".into(), rules.into());
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of at most 1 of a number of milliseconds"
)]
fn share_of(ms: u64, share: f64) -> u64 {
    (ms as f64 * share).ceil() as u64
}

impl Retry {
    /// Whether `policy` looks the same in the dialect.
    #[must_use]
    pub fn is_that_of(self, policy: &Policy) -> bool {
        let shown = match self {
            Self::Interval { .. } => Self::interval(policy),
            Self::Spread { .. } => Self::spread(policy),
            Self::Backoff { .. } => Self::backoff(policy),
        };
        self == shown
    }
}

#[cfg(test)]
mod tests;
