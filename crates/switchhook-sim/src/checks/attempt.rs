//! At the start and the end of every attempt: it may be made, it is not early, and what must follow.

use std::sync::Arc;

use switchhook_core::breaker;
use switchhook_core::classify;
use switchhook_core::delivery::OutcomeKind;
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::retry::{Action, HOLD_MS, Policy, delay_ms};
use switchhook_core::time::UnixMs;

use super::ledger::{Cell, Ended, Place, Wait};
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
    /// It was sent to see whether the endpoint is back.
    pub(crate) probe: bool,
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
        let goes = account.enabled && !account.paused;
        check(goes, Invariant::Paused, || {
            format!("{starting:?}, which is paused or switched off")
        })?;
        let unrecorded = account.ended.contains_key(&starting.offset);
        let wait = account.waits.get(&starting.offset).copied();
        let attempts_max = account.attempts_max;
        let cell = *account.known(starting.offset)?;
        no_attempt_after_the_end(starting, &cell, unrecorded)?;
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
        account.in_order(starting, cell.stands)?;
        account.let_go(starting.offset)?;
        account.known(starting.offset)?.in_flight = true;
        Ok(())
    }

    /// A request has ended and the engine is told.
    pub(crate) fn ended(&mut self, ending: &Ending<'_>) -> Checked {
        let account = self.known(ending.subscription)?;
        let (soonest, latest) = account.deadline(ending.event);
        let action = classify::judge(&ending.policy.rules, ending.kind).action;
        let cell = account.known(ending.event.offset)?;
        cell.in_flight = false;
        let stands = cell.stands;
        let free = ending.probe && breaker::is_failure(ending.kind);
        let kept = action == Action::Hold
            && matches!(ending.kind, OutcomeKind::Status(401 | 403 | 407 | 410));
        let ended = Ended {
            free,
            kept,
            chain: ending.chain,
            n: ending.n,
            kind: ending.kind,
            action,
            last: action == Action::Retry
                && !free
                && cell.counted + 1 >= ending.policy.max_attempts,
            expired: (ending.wall >= latest, ending.wall >= soonest),
            honest: !matches!(ending.kind, OutcomeKind::Status(seen) if ending.taken != Some(seen)),
            wait: wait_of(ending, action, cell.counted + 1, soonest, free, kept),
        };
        account.keys.ended(stands, ending.now_ms);
        account.ended.insert(ending.event.offset, ended);
        Ok(())
    }
}

/// I3: while a delivery is being sent, or its result is not recorded, or it has ended, it is not sent.
fn no_attempt_after_the_end(starting: &Starting<'_>, cell: &Cell, unrecorded: bool) -> Checked {
    let open = matches!(cell.place, Place::Pending | Place::Waiting);
    let wanted = !cell.fails || cell.place == Place::Waiting;
    check(
        open && wanted && !cell.in_flight && !unrecorded,
        Invariant::NoRepeat,
        || format!("{starting:?}: {cell:?}, result not yet recorded: {unrecorded}"),
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

/// How long to wait after an attempt, from the policy alone; `deadline` may cut it short. After a `free` one it
/// does not, and one that is `kept` waits for its endpoint only.
fn wait_of(
    ending: &Ending<'_>,
    action: Action,
    failed: u16,
    deadline: UnixMs,
    free: bool,
    kept: bool,
) -> Wait {
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
        Action::Hold if kept => (0, 0),
        Action::Hold => (HOLD_MS.max(asked_ms), HOLD_MS.max(asked_ms)),
        Action::Retry | Action::Done | Action::DeadLetter => (
            own_ms(0, 0).max(asked_ms),
            own_ms(u64::MAX / 4, u64::MAX).max(asked_ms),
        ),
    };
    let left_ms = if free {
        u64::MAX
    } else {
        deadline.since_ms(ending.wall)
    };
    Wait {
        from_ms: ending.now_ms,
        earliest_ms: earliest_ms.min(left_ms),
        latest_ms,
        forward_ms: ending.forward_ms,
        held: false,
    }
}
