//! When to try again: the policy as configured, the schedule it gives, and what the endpoint asked for.

mod policy;
mod retry_after;
mod schedule;

pub use policy::*;
pub use retry_after::parse_retry_after;
pub use schedule::{Band, bands, delay_ms};
