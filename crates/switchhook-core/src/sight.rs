//! What whoever asks may learn of results (SEC-13): the one rule, applied before a view is made.
//!
//! Who may set a URL and is no operator of the gateway must not learn from it what listens inside. That the address guard
//! refused an address and that nobody took a connection therefore look the same to them: [`Failure::Connect`], with the
//! same words (the guard sees to that), with no rule but that name, and with no duration. Only an operator sees which it was, since the two
//! are mended in different places. What leaves the gateway by itself, as events of our own do, is for outsiders.
//!
//! What is not hidden: that a blocked delivery is given up after one attempt, while one that finds nobody is tried again.
//! Whoever knows the address knows from its range that it is refused, so that tells nothing of what is there.

use crate::access::{Scope, Scopes};
use crate::delivery::{Attempt, Dead, DeadReason, Failure, OutcomeKind};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sight {
    /// Everything: an operator, or the gateway itself.
    #[default]
    Whole,
    /// Of blocked and refused no more than that there was no connection.
    Outside,
}

impl Sight {
    /// That of somebody with these scopes.
    #[must_use]
    pub const fn of(scopes: Scopes) -> Self {
        if scopes.allow(Scope::Admin) {
            Self::Whole
        } else {
            Self::Outside
        }
    }

    /// The failure as it is seen.
    #[must_use]
    pub const fn failure(self, failure: Failure) -> Failure {
        match (self, failure) {
            (Self::Outside, Failure::Blocked) => Failure::Connect,
            (Self::Whole | Self::Outside, other) => other,
        }
    }

    /// Whether how long a result took is seen: what was never tried is over at once.
    #[must_use]
    pub const fn has_time(self, outcome: OutcomeKind) -> bool {
        !matches!(
            (self, outcome),
            (
                Self::Outside,
                OutcomeKind::Failed(Failure::Connect | Failure::Blocked)
            )
        )
    }

    /// The result as it is seen.
    #[must_use]
    pub const fn outcome(self, outcome: OutcomeKind) -> OutcomeKind {
        match outcome {
            OutcomeKind::Failed(failure) => OutcomeKind::Failed(self.failure(failure)),
            OutcomeKind::Status(_) => outcome,
        }
    }

    /// The reason of a dead letter as it is seen.
    #[must_use]
    pub const fn reason(self, reason: DeadReason) -> DeadReason {
        match (self, reason) {
            (Self::Outside, DeadReason::Blocked) => DeadReason::Refused,
            (Self::Whole | Self::Outside, other) => other,
        }
    }

    /// The attempt as it is seen.
    #[must_use]
    pub fn attempt(self, attempt: &Attempt) -> Attempt {
        let outcome = self.outcome(attempt.outcome);
        if self.has_time(outcome) {
            return attempt.clone();
        }
        Attempt {
            duration_ms: 0,
            outcome,
            // A rule of the policy may have judged that nobody was there, and never judges what was blocked.
            rule: Failure::Connect.name().into(),
            ..attempt.clone()
        }
    }

    /// The dead letter as it is seen.
    #[must_use]
    pub fn dead(self, dead: &Dead) -> Dead {
        Dead {
            reason: self.reason(dead.reason),
            outcome: dead.outcome.map(|outcome| self.outcome(outcome)),
            ..dead.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify;
    use crate::delivery::{DeliveryKey, Gap, Place, Verdict};
    use crate::id::Offset;
    use crate::time::UnixMs;

    fn attempt(failure: Failure, duration_ms: u32) -> Attempt {
        let outcome = OutcomeKind::Failed(failure);
        Attempt {
            key: DeliveryKey {
                subscription: "s".into(),
                offset: Offset(1),
            },
            partition: 0,
            chain: 0,
            n: 1,
            endpoint: "crm".into(),
            at: UnixMs(0),
            duration_ms,
            outcome,
            rule: classify::judge(&[], outcome).rule,
            verdict: Verdict::Dead,
            detail: Some("no connection to crm port 443 could be made".into()),
            next_at: None,
        }
    }

    fn dead(reason: DeadReason, failure: Failure) -> Dead {
        Dead {
            key: attempt(failure, 0).key,
            place: Place::default(),
            chain: 0,
            attempts: 1,
            at: UnixMs(0),
            reason,
            outcome: Some(OutcomeKind::Failed(failure)),
            endpoint: "crm".into(),
            detail: None,
            gap: Gap::None,
        }
    }

    #[test]
    fn from_outside_what_was_blocked_is_what_found_nobody() {
        let sight = Sight::Outside;
        let (blocked, refused) = (attempt(Failure::Blocked, 0), attempt(Failure::Connect, 9));
        assert_eq!(sight.attempt(&blocked), sight.attempt(&refused));
        let blocked = dead(DeadReason::Blocked, Failure::Blocked);
        let refused = dead(DeadReason::Refused, Failure::Connect);
        assert_eq!(sight.dead(&blocked), sight.dead(&refused));
    }

    #[test]
    fn an_operator_sees_everything_and_an_outsider_all_else() {
        for failure in Failure::ALL.iter().copied() {
            let made = attempt(failure, 9);
            assert_eq!(Sight::Whole.attempt(&made), made);
            if !matches!(failure, Failure::Blocked | Failure::Connect) {
                assert_eq!(Sight::Outside.attempt(&made), made);
            }
        }
        for reason in DeadReason::ALL.iter().copied() {
            let letter = dead(reason, Failure::Timeout);
            assert_eq!(Sight::Whole.dead(&letter), letter);
            assert_eq!(
                Sight::Outside.dead(&letter) == letter,
                reason != DeadReason::Blocked
            );
        }
    }

    #[test]
    fn only_who_may_administer_is_an_operator() {
        for scope in Scope::ALL {
            let is_admin = scope == Scope::Admin;
            let sight = Sight::of([scope].into_iter().collect());
            assert_eq!(sight == Sight::Whole, is_admin, "{scope}");
        }
        assert_eq!(Sight::of(Scopes::default()), Sight::Outside);
    }
}
