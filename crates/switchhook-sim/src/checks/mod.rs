//! What must always hold, and the books that it is checked against.
//!
//! The books ([`Ledger`], [`Gates`]) are kept from what really happened: what became durable, and what
//! went to the endpoints. They never ask the engine for its opinion. Each check is a function of its own,
//! named after what it claims; the first one that fails ends the world with a [`Violation`].
//!
//! * `ledger`, `account`: the books
//! * `commit`: at every commit; nothing is lost, nothing is in two places (I1, I10, I12, letters)
//! * `operation`: the same, for what people did
//! * `retention`: what was forgotten was not needed
//! * `attempt`: at the start and end of every attempt (I3, I4, I8, pauses)
//! * `order`: the same, for a key (I5)
//! * `gate`, `breaker`: the same, for an endpoint as a whole (I6, I7, I8)
//! * `audit`: the store's own content against the books, at every restart and at the end (I1, I12)
//! * `progress`: nothing that could go on stands still; all work ends (I2, progress, bounds)

mod account;
mod attempt;
mod audit;
mod breaker;
mod commit;
mod gate;
mod ledger;
mod operation;
mod order;
mod progress;
mod retention;

use std::fmt;

pub(crate) use attempt::{Ending, Starting};
pub(crate) use commit::Commit;
pub(crate) use gate::{Gates, Leaving};
pub(crate) use ledger::{Identity, Ledger};
pub(crate) use progress::{Idle, PATIENCE_MS};
pub(crate) use retention::Taken;

/// What must hold. The numbers are those of `facts/reliability.md` 4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// I1: an acknowledged event is, for each subscription that takes it, somewhere.
    Kept,
    /// I2: once all is well again everything ends; nothing is given up early or goes on past its deadline.
    SettledInTime,
    /// I3: no attempt while one is under way or not recorded, or after a recorded end.
    NoRepeat,
    /// I4: no more counted attempts than the policy allows.
    AttemptLimit,
    /// I5: of one key nothing overtakes what is not settled, and one request is under way.
    InOrder,
    /// I6: no more requests under way to an endpoint than its concurrency.
    SlotLimit,
    /// I6: no more requests over time than the endpoint's rate.
    RateLimit,
    /// I7: nothing goes to an endpoint whose breaker is open but one probe at a time, when it is due.
    ProbeOnly,
    /// I7: a probe that failed costs its delivery nothing.
    FreeProbes,
    /// Nothing goes out for a subscription that is paused, or switched off in the configuration.
    Paused,
    /// Every partition of a group is one member's, and every delivery has one partition.
    OneMember,
    /// Retention takes nothing that anybody needs.
    NeededKept,
    /// I8: no attempt before `Retry-After` or the schedule allows it.
    NotEarly,
    /// I10: one identity within its window is one event.
    OneEvent,
    /// I12: every delivery is in exactly one place, and the numbers add up.
    OnePlace,
    /// Nothing in memory grows beyond its stated bound.
    Bounds,
    /// Work that could be done is not left lying.
    Progress,
    /// Every dead letter of a foreign event has its one event that tells of it.
    Letters,
    /// A request goes where the plan in force says.
    AsPlanned,
}

/// An invariant that did not hold, with the facts.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was found, and what was expected.
    pub facts: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.facts)
    }
}

/// The result of a check.
pub(crate) type Checked = Result<(), Violation>;

/// Fails with `facts` unless `holds`.
pub(crate) fn check(holds: bool, invariant: Invariant, facts: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            facts: facts(),
        })
    }
}
