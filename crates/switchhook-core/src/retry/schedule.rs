//! stub
use super::{Jitter, Policy, Schedule};
/// Delay before attempt `failed + 1` after `failed` counted attempts, in ms.
#[must_use]
pub fn delay_ms(schedule: &Schedule, jitter: Jitter, failed: u16, previous_ms: u64, entropy: u64) -> u64 {
    let _ = (schedule, jitter, failed, previous_ms, entropy);
    1000
}
/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// 2, 3, …: which attempt the delay comes before.
    pub attempt: u16,
    /// Shortest delay, ms.
    pub earliest_ms: u64,
    /// Middle.
    pub expected_ms: u64,
    /// Longest.
    pub latest_ms: u64,
}
/// stub
#[must_use]
pub fn bands(policy: &Policy) -> Vec<Band> { let _ = policy; vec![] }
