//! At the start and the end of every attempt: it may be made, it is not early, and what must follow.

use std::sync::Arc;

use switchhook_core::classify;
use switchhook_core::delivery::OutcomeKind;
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::retry::{Action, HOLD_MS, Policy, delay_ms};
use switchhook_core::time::UnixMs;

use super::ledger::{Ended, Place, Wait};
use super::{Checked, Invariant, Ledger, check};

/// A request that is about to leave.
#[derive(Debug)]
pub(crate) struct Starting<'a> {
    pub(crate) subscription: &'a str,
    pub(crate) offset: Offset,
    pub(crate) chain: u16,
    pub(crate) n: u16,
    /// The world's time, in milliseconds, and all forward jumps until now.
    pub(crate) now_ms: u64,
    pub(crate) forward_ms: u64,
}

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    pub(crate) subscription: &'a str,
    pub(crate) event: &'a Arc<Event>,
    pub(crate) chain: u16,
    pub(crate) n: u16,
    /// In force when it started.
    pub(crate) policy: &'a Policy,
    pub(crate) kind: OutcomeKind,
    /// What the endpoint really answered.
    pub(crate) taken: Option<u16>,
    /// What its `Retry-After` means, in milliseconds.
    pub(crate) asked_ms: Option<u64>,
    pub(crate) wall: UnixMs,
    pub(crate) now_ms: u64,
    pub(crate) forward_ms: u64,
}

impl Ledger {
    /// A request leaves.
    pub(crate) fn started(&mut self, starting: &Starting<'_>) -> Checked {
        let account = self.known(starting.subscription)?;
        let unrecorded = account.ended.contains_key(&starting.offset);
        let wait = account.waits.get(&starting.offset).copied();
        let attempts_max = account.attempts_max;
        let cell = account.known(starting.offset)?;
        no_attempt_after_the_end(starting, cell.place, cell.in_flight, unrecorded)?;
        check(
            (starting.chain, starting.n) == (cell.chain, cell.n + 1),
            Invariant::NoRepeat,
            || {
                format!(
                    "{starting:?}, but recorded are chain {} and {} attempts",
                    cell.chain, cell.n
                )
            },
        )?;
        check(cell.counted < attempts_max, Invariant::AttemptLimit, || {
            format!(
                "{starting:?} after {} counted attempts; the policy allows {attempts_max}",
                cell.counted
            )
        })?;
        if let Some(wait) = wait {
            not_before_the_schedule(starting, wait)?;
        }
        cell.in_flight = true;
        if std::mem::take(&mut cell.held_by) > 0 {
            account.held = account.held.saturating_sub(1);
        }
        Ok(())
    }

    /// A request has ended and the engine is told.
    pub(crate) fn ended(&mut self, ending: &Ending<'_>) -> Checked {
        let account = self.known(ending.subscription)?;
        let (soonest, latest) = account.deadline(ending.event, ending.chain);
        let action = classify::judge(&ending.policy.rules, ending.kind).action;
        let cell = account.known(ending.event.offset)?;
        cell.in_flight = false;
        let ended = Ended {
            chain: ending.chain,
            n: ending.n,
            kind: ending.kind,
            action,
            last: action == Action::Retry && cell.counted + 1 >= ending.policy.max_attempts,
            expired: (ending.wall >= latest, ending.wall >= soonest),
            honest: !matches!(ending.kind, OutcomeKind::Status(seen) if ending.taken != Some(seen)),
            wait: wait_of(ending, action, cell.counted + 1, soonest),
        };
        account.ended.insert(ending.event.offset, ended);
        Ok(())
    }
}

/// I3: while a delivery is being sent, or its result is not recorded, or it has ended, it is not sent.
fn no_attempt_after_the_end(
    starting: &Starting<'_>,
    place: Place,
    in_flight: bool,
    unrecorded: bool,
) -> Checked {
    let open = matches!(place, Place::Pending | Place::Waiting);
    check(
        open && !in_flight && !unrecorded,
        Invariant::NoRepeat,
        || {
            format!(
                "{starting:?}: place {place:?}, in flight: {in_flight}, result not yet recorded: {unrecorded}"
            )
        },
    )
}

/// I8: not before the earliest moment that the schedule and `Retry-After` allow.
fn not_before_the_schedule(starting: &Starting<'_>, wait: Wait) -> Checked {
    let jumped_ms = starting.forward_ms.saturating_sub(wait.forward_ms);
    let waited_ms = starting
        .now_ms
        .saturating_sub(wait.from_ms)
        .saturating_add(jumped_ms);
    check(waited_ms >= wait.earliest_ms, Invariant::NotEarly, || {
        format!(
            "{starting:?} after {waited_ms} ms, not {} ms",
            wait.earliest_ms
        )
    })
}

/// How long to wait after an attempt, from the policy alone; `deadline` may cut it short.
fn wait_of(ending: &Ending<'_>, action: Action, failed: u16, deadline: UnixMs) -> Wait {
    let policy = ending.policy;
    let asked_ms = ending
        .asked_ms
        .map_or(0, |ms| ms.min(policy.retry_after_max_ms));
    let own_ms = |previous_ms, entropy| {
        delay_ms(
            &policy.schedule,
            policy.jitter,
            failed,
            previous_ms,
            entropy,
        )
        .max(classify::min_delay_ms(ending.kind))
    };
    let (earliest_ms, latest_ms) = match action {
        Action::Hold => (HOLD_MS, HOLD_MS),
        Action::Retry | Action::Done | Action::DeadLetter => {
            (own_ms(0, 0), own_ms(u64::MAX / 4, u64::MAX))
        }
    };
    Wait {
        from_ms: ending.now_ms,
        earliest_ms: earliest_ms
            .max(asked_ms)
            .min(deadline.since_ms(ending.wall)),
        latest_ms: latest_ms.max(asked_ms),
        forward_ms: ending.forward_ms,
    }
}
