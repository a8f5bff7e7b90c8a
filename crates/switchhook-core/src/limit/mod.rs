//! How much may be sent to an endpoint at once and over time.
//!
//! Four limits that know nothing of each other: [`rate`] is what the configuration allows, [`budget`] keeps
//! retries from crowding out first attempts, [`adaptive`] finds out how many requests at once an endpoint
//! bears, [`ramp`] leads it back to full load after an outage. Each is a value without a clock that says
//! *now* or *not before*; the gate before an endpoint asks all of them.

pub mod adaptive;
pub mod budget;
pub mod ramp;
pub mod rate;
pub(crate) mod window;

use crate::delivery::{Failure, OutcomeKind};

/// Whether a result says that the endpoint got more than it bears (`facts` 5.10).
#[must_use]
pub const fn is_overload(kind: OutcomeKind) -> bool {
    matches!(
        kind,
        OutcomeKind::Status(429 | 503) | OutcomeKind::Failed(Failure::Timeout)
    )
}

/// Whether a result is an answer that shows no trouble with the endpoint itself.
#[must_use]
pub const fn is_answer(kind: OutcomeKind) -> bool {
    matches!(kind, OutcomeKind::Status(status) if status != 429 && status < 500)
}
