//! The breaker of an endpoint: whether it is worth sending there now.
//!
//! This file says what is kept and decided; [`Breaker`] has the rules, those of `facts` 5.9. A breaker is a
//! value: no clock, no endpoint, no queue. It does not know `Retry-After`, which holds whatever its state is.

mod machine;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use machine::{Breaker, Call, Look, is_failure};

use crate::time::UnixMs;

/// When a breaker opens and closes. `None` in an endpoint switches the breaker off.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Opens at so many failures in a row, over at least two events (seed 000: 5).
    pub failures: u16,
    /// Opens when this share of the calls within `window_ms` failed; 0 to 1.
    pub share: f64,
    /// Fewer calls than this within the window say nothing.
    pub calls_min: u16,
    /// How far back the share looks, in milliseconds.
    pub window_ms: u64,
    /// First time it stays open, in milliseconds (seed 000: 30 s); doubled with each failed probe.
    pub open_ms: u64,
    /// It stays open no longer than this before the next probe, in milliseconds.
    pub open_max_ms: u64,
    /// So many probes in a row must succeed.
    pub successes: u16,
}

/// What a breaker is at the moment. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Requests go out.
    Closed = 1,
    /// None goes out.
    Open = 2,
    /// One at a time goes out, to see whether the endpoint is back.
    HalfOpen = 3,
}

/// Why a breaker is open. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// Too many requests failed.
    Failures = 1,
    /// It refuses our credentials (401, 403, 407): tried again every 15 minutes or when a secret changes.
    Auth = 2,
    /// It said that it is gone (410): closed by hand only.
    Gone = 3,
    /// A person paused it: closed by hand only.
    Operator = 4,
}

crate::delivery::named!(State { Closed = "closed", Open = "open", HalfOpen = "half-open" });
crate::delivery::named!(Cause { Failures = "failures", Auth = "auth", Gone = "gone", Operator = "operator" });

/// What of an endpoint's gate outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Name of the endpoint.
    pub endpoint: Arc<str>,
    /// What it is.
    pub state: State,
    /// Why it is not closed; `None` when it is.
    pub cause: Option<Cause>,
    /// When it was last closed, or ceased to be: what happened in between does not count.
    pub since: UnixMs,
    /// Open: when the next probe may go out; `None` when only a person can close it.
    pub until: Option<UnixMs>,
    /// Probes that failed one after the other.
    pub failed_probes: u16,
    /// What led to it, in words: the last failure, or what the operator said.
    pub reason: Option<Arc<str>>,
    /// The endpoint asked to be left alone until then (`Retry-After`).
    pub pause_until: UnixMs,
}

/// A breaker went from one state to another; for alerts, metrics, logs and live views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name of the endpoint.
    pub endpoint: Arc<str>,
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Why it is open, or was.
    pub cause: Cause,
    /// In words.
    pub reason: Option<Arc<str>>,
    /// When.
    pub at: UnixMs,
    /// When the next probe may go out.
    pub until: Option<UnixMs>,
}
