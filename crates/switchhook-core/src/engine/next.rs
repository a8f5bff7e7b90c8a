//! What follows from an attempt: done, wait until then, or give up. Pure: same arguments, same answer.
//!
//! Invariants: never earlier than the endpoint asked (up to the policy's cap); a hold is not counted;
//! a delivery past its deadline gets one attempt all the same, and the deadline itself gets the last one.
//! Source: `facts/reliability.md` 5.7, 5.8.

use crate::breaker::{self, Cause};
use crate::classify::{self, Judgement};
use crate::delivery::{DeadReason, DeliveryKey, Failure, OutcomeKind, Place, WaitReason, Waiting};
use crate::id::DeliveryId;
use crate::retry::{self, Action, HOLD_MS, Policy};
use crate::time::UnixMs;

use super::Outcome;

/// How far a delivery has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// 0, or the number of the replay.
    pub chain: u16,
    /// Attempts made in this chain.
    pub attempts: u16,
    /// Attempts that count against the policy.
    pub counted: u16,
    /// The policy gives up after this.
    pub deadline: UnixMs,
    /// The delay before the last attempt, in milliseconds.
    pub delay_ms: u64,
}

impl Standing {
    /// Before the first attempt.
    #[must_use]
    pub const fn first(deadline: UnixMs) -> Self {
        Self {
            chain: 0,
            attempts: 0,
            counted: 0,
            deadline,
            delay_ms: 0,
        }
    }

    /// As a waiting row says.
    #[must_use]
    pub const fn of(row: &Waiting) -> Self {
        Self {
            chain: row.chain,
            attempts: row.attempts,
            counted: row.counted,
            deadline: row.deadline,
            delay_ms: row.delay_ms,
        }
    }

    /// The waiting row for it.
    #[must_use]
    pub const fn waiting(
        self,
        key: DeliveryKey,
        place: Place,
        due_at: UnixMs,
        delay_ms: u64,
        reason: WaitReason,
    ) -> Waiting {
        Waiting {
            key,
            place,
            chain: self.chain,
            attempts: self.attempts,
            counted: self.counted,
            due_at,
            deadline: self.deadline,
            delay_ms,
            reason,
        }
    }
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Delivered.
    Done,
    /// Wait.
    Wait {
        /// Not before this.
        due_at: UnixMs,
        /// From now until then, in milliseconds.
        delay_ms: u64,
        /// Why.
        reason: WaitReason,
        /// Whether the attempt counts against the policy.
        counts: bool,
    },
    /// Give up.
    Dead(DeadReason),
}

/// What follows from an attempt, for its delivery and for its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// For the delivery.
    pub next: Next,
    /// The rule that says so.
    pub judgement: Judgement,
    /// The endpoint asked to be left alone until then.
    pub pause_until: Option<UnixMs>,
    /// Nothing goes to the endpoint for this cause.
    pub hold: Option<Cause>,
}

/// What follows from `outcome`. `probe`: the attempt was made to see whether the endpoint is back; that it is
/// not costs the delivery nothing, neither an attempt nor its deadline.
#[must_use]
pub fn next(
    policy: &Policy,
    standing: Standing,
    delivery: DeliveryId,
    outcome: &Outcome,
    probe: bool,
    now: UnixMs,
) -> Decision {
    let judgement = classify::judge(&policy.rules, outcome.kind);
    let asked_ms = outcome
        .retry_after_ms
        .map(|ms| ms.min(policy.retry_after_max_ms));
    let pause_until = match outcome.kind {
        OutcomeKind::Status(429 | 503) => asked_ms.map(|ms| now.plus_ms(ms)),
        OutcomeKind::Status(_) | OutcomeKind::Failed(_) => None,
    };
    let hold = held_for(judgement.action, outcome.kind);
    let is_free = probe && breaker::is_failure(outcome.kind);
    let next = match judgement.action {
        Action::Done => Next::Done,
        Action::DeadLetter => Next::Dead(match outcome.kind {
            OutcomeKind::Failed(Failure::Blocked) => DeadReason::Blocked,
            OutcomeKind::Failed(Failure::Template) => DeadReason::Template,
            OutcomeKind::Status(_) | OutcomeKind::Failed(_) => DeadReason::Refused,
        }),
        // The gate of the endpoint keeps it back, for as long as it takes.
        Action::Hold if hold.is_some() => Next::Wait {
            due_at: now,
            delay_ms: 0,
            reason: WaitReason::Hold,
            counts: false,
        },
        Action::Hold if !is_free && now >= standing.deadline => Next::Dead(DeadReason::Expired),
        Action::Hold => Wait {
            delay_ms: HOLD_MS.max(asked_ms.unwrap_or(0)),
            reason: WaitReason::Hold,
            counts: false,
        }
        .until(
            if is_free {
                UnixMs::NEVER
            } else {
                standing.deadline
            },
            now,
        ),
        Action::Retry => retry(
            policy,
            standing,
            delivery,
            outcome.kind,
            asked_ms,
            is_free,
            now,
        ),
    };
    Decision {
        next,
        judgement,
        pause_until,
        hold,
    }
}

/// Why nothing goes to the endpoint any more after a result that is held.
const fn held_for(action: Action, kind: OutcomeKind) -> Option<Cause> {
    match (action, kind) {
        (Action::Hold, OutcomeKind::Status(401 | 403 | 407)) => Some(Cause::Auth),
        (Action::Hold, OutcomeKind::Status(410)) => Some(Cause::Gone),
        (
            Action::Hold | Action::Done | Action::Retry | Action::DeadLetter,
            OutcomeKind::Status(_) | OutcomeKind::Failed(_),
        ) => None,
    }
}

fn retry(
    policy: &Policy,
    standing: Standing,
    delivery: DeliveryId,
    kind: OutcomeKind,
    asked_ms: Option<u64>,
    is_free: bool,
    now: UnixMs,
) -> Next {
    let failed = standing.counted.saturating_add(1);
    if !is_free && failed >= policy.max_attempts {
        return Next::Dead(DeadReason::Exhausted);
    }
    if !is_free && now >= standing.deadline {
        return Next::Dead(DeadReason::Expired);
    }
    // The chain is part of the entropy: a replay must not repeat the schedule of the chain before.
    let entropy = delivery.entropy(u32::from(standing.chain) << 16 | u32::from(failed));
    let own_ms = retry::delay_ms(
        &policy.schedule,
        policy.jitter,
        failed,
        standing.delay_ms,
        entropy,
    );
    let own_ms = own_ms.max(classify::min_delay_ms(kind));
    let wait = Wait {
        // The endpoint knows its own recovery better than our schedule does.
        delay_ms: asked_ms.map_or(own_ms, |asked| own_ms.max(asked)),
        reason: WaitReason::Retry,
        counts: !is_free,
    };
    let deadline = if is_free {
        UnixMs::NEVER
    } else {
        standing.deadline
    };
    wait.until(deadline, now)
}

/// A wait that is to be.
struct Wait {
    delay_ms: u64,
    reason: WaitReason,
    counts: bool,
}

impl Wait {
    /// Ends at the deadline at the latest: the deadline gets one last attempt.
    fn until(self, deadline: UnixMs, now: UnixMs) -> Next {
        let due_at = now.plus_ms(self.delay_ms).min(deadline);
        Next::Wait {
            due_at,
            delay_ms: due_at.since_ms(now),
            reason: self.reason,
            counts: self.counts,
        }
    }
}
