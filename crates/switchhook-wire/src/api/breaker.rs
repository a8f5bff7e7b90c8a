//! Breakers of endpoints and pauses of subscriptions: how they stand, and what a person wants of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::breaker::Change;
use switchhook_core::engine::EndpointNow;

use super::fault;
use super::time::rfc3339;
use crate::problem::FieldError;

/// How things stand with an endpoint: its breaker, and how much it gets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerState {
    /// Its name.
    pub endpoint: String,
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// Why it is not closed: `failures`, `auth`, `gone` or `operator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// In this state since.
    pub since: String,
    /// When the next probe may go out; absent when it is closed, or only a person can close it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What led to the state: the last failure, or what the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The endpoint asked to be left alone until then (`Retry-After`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests that may be under way now: fewer than configured while it recovers or is overloaded.
    pub slots: u16,
    /// Requests that may be under way by the configuration.
    pub slots_configured: u16,
    /// Requests in a second that it may get while it recovers; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace_per_second: Option<u32>,
}

impl BreakerState {
    /// How things stand, for an endpoint that may have so many requests under way by the configuration.
    #[must_use]
    pub fn new(now: &EndpointNow, slots_configured: u16) -> Self {
        Self {
            endpoint: now.endpoint.to_string(),
            state: now.state.name().to_owned(),
            cause: now.cause.map(|cause| cause.name().to_owned()),
            since: rfc3339(now.since),
            until: now.until.map(rfc3339),
            reason: now.reason.as_deref().map(str::to_owned),
            paused_until: now.pause_until.map(rfc3339),
            in_flight: u64::try_from(now.in_flight).unwrap_or(u64::MAX),
            slots: now.slots_now,
            slots_configured,
            pace_per_second: now.pace_per_second,
        }
    }
}

/// All breakers, by endpoint.
pub type BreakerList = super::Page<BreakerState>;

/// Opens or closes a breaker by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakerCommand {
    /// What it is to be.
    pub state: BreakerWish,
    /// Why; shown wherever the breaker is, and kept in the audit log.
    pub reason: String,
}

impl BreakerCommand {
    /// Everything that is wrong with it by itself.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        reason_fault(&self.reason).into_iter().collect()
    }
}

/// A reason that says nothing, or too much.
fn reason_fault(reason: &str) -> Option<FieldError> {
    let bytes = reason.len();
    if (1..=REASON_BYTES_MAX).contains(&bytes) {
        return None;
    }
    let detail = format!("a reason of {bytes} bytes is outside the limits 1 to {REASON_BYTES_MAX}");
    Some(fault("/reason", detail, "say in a sentence why"))
}

/// What a person can make of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerWish {
    /// Nothing is sent; deliveries wait and use up no attempt.
    Open,
    /// Requests go out again, at once.
    Closed,
}

/// Pauses a subscription, or every subscription of a group; also lets it go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PauseRequest {
    /// Why; shown wherever the pause is, and kept in the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PauseRequest {
    /// Everything that is wrong with it by itself.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let reason = self.reason.as_deref();
        reason.and_then(reason_fault).into_iter().collect()
    }
}

/// Why a subscription sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// The configuration says `enabled = false`, whether it is paused or not.
    Disabled,
    /// A person paused it.
    Paused,
}

impl Stopped {
    /// Why, if it does.
    #[must_use]
    pub const fn of(enabled: bool, paused: bool) -> Option<Self> {
        match (enabled, paused) {
            (false, _) => Some(Self::Disabled),
            (true, true) => Some(Self::Paused),
            (true, false) => None,
        }
    }
}

/// Whether a subscription is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseState {
    /// Its name.
    pub subscription: String,
    /// Whether it is.
    pub paused: bool,
    /// Why it sends nothing; absent where it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Longest reason of a breaker or pause, in bytes: a sentence or two.
pub const REASON_BYTES_MAX: usize = 512;

/// A breaker that went from one state to another, as it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerChange {
    /// Name of the endpoint.
    pub endpoint: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Why it is open, or was.
    pub cause: String,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: String,
    /// When the next probe may go out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl From<&Change> for BreakerChange {
    fn from(change: &Change) -> Self {
        Self {
            endpoint: change.endpoint.to_string(),
            from: change.from.name().to_owned(),
            to: change.to.name().to_owned(),
            cause: change.cause.name().to_owned(),
            reason: change.reason.as_deref().map(str::to_owned),
            at: rfc3339(change.at),
            until: change.until.map(rfc3339),
        }
    }
}
