//! Deliveries: what became of an event for each subscription, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::delivery::{Attempt, Dead, OutcomeKind};
use switchhook_core::event::Event;
use switchhook_core::id::DeliveryId;

use super::event::{BodyForm, EventView};
use super::explain::Behind;
use super::time::rfc3339;

/// One HTTP request of a delivery and how it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// 0 for the first chain, one more for each replay.
    pub chain: u16,
    /// 1, 2, … within the chain.
    pub n: u16,
    /// Name of the endpoint that was called.
    pub endpoint: String,
    /// Partition of its subscription; 0 where that has a single endpoint.
    #[serde(default)]
    pub partition: u16,
    /// When the request was started.
    pub at: String,
    /// From start to answer or failure.
    pub duration_ms: u32,
    /// Status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none: `timeout`, `connect`, `tls`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The rule that judged it.
    pub rule: String,
    /// `delivered`, `retry`, `hold` or `dead`.
    pub verdict: String,
    /// The failure in words, or the start of a refusing answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let (status, error) = outcome_words(Some(attempt.outcome));
        Self {
            chain: attempt.chain,
            n: attempt.n,
            endpoint: attempt.endpoint.to_string(),
            partition: attempt.partition,
            at: rfc3339(attempt.at),
            duration_ms: attempt.duration_ms,
            status,
            error,
            rule: attempt.rule.to_string(),
            verdict: attempt.verdict.name().to_owned(),
            detail: attempt.detail.as_deref().map(str::to_owned),
            next_at: attempt.next_at.map(rfc3339),
        }
    }
}

/// One HTTP request in the list of all: what an audit of deliveries asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptEntry {
    /// Id of the event, `evt_…`.
    pub event: String,
    /// Id of the delivery, `dlv_…`; the receiver got it as `X-Delivery-Id`.
    pub delivery: String,
    /// Name of the subscription.
    pub subscription: String,
    /// Where the endpoint is now; absent when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptView,
}

/// Which attempts to list. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AttemptQuery {
    /// Name of the subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Name of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Made at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Made before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Of events before this offset: where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most attempts of a page; those of one event are never parted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// Attempts, the newest event first; within a page by time, the newest first.
pub type AttemptList = super::Page<AttemptEntry>;

/// Status and failure word of an outcome; at most one of them.
fn outcome_words(outcome: Option<OutcomeKind>) -> (Option<u16>, Option<String>) {
    match outcome {
        Some(OutcomeKind::Status(status)) => (Some(status), None),
        Some(OutcomeKind::Failed(failure)) => (None, Some(failure.name().to_owned())),
        None => (None, None),
    }
}

/// Where a delivery stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// Done.
    Delivered,
    /// It waits for its next attempt.
    Waiting,
    /// It waits for something other than time: an operator, a changed secret, a closed breaker, an earlier event of
    /// its key.
    Held,
    /// Its subscription is paused, or switched off in the configuration.
    Paused,
    /// It waits for a slot of its endpoint.
    Queued,
    /// A request is under way.
    InFlight,
    /// Given up; it can be replayed.
    Dead,
    /// The subscription has not come to it yet.
    Pending,
    /// The subscription does not take it.
    NotMatched,
}

impl DeliveryState {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead | Self::NotMatched)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Queued => "queued",
            Self::InFlight => "in-flight",
            Self::Dead => "dead",
            Self::Pending => "pending",
            Self::NotMatched => "not-matched",
        }
    }
}

/// One event for one subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// `dlv_…`
    pub id: String,
    /// Name of the subscription.
    pub subscription: String,
    /// Name of the endpoint it goes to now; of the group, while its partition is given to no member.
    pub endpoint: String,
    /// Its partition; 0 where the subscription has a single endpoint.
    #[serde(default)]
    pub partition: u16,
    /// Where it stands.
    pub state: DeliveryState,
    /// 0, or the number of the last replay.
    pub chain: u16,
    /// Over all chains, in order.
    pub attempts: Vec<AttemptView>,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// Why it waits or was given up: `retry`, `hold`, `order`, `exhausted`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The earlier event of its key that it waits for, when the reason is `order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    /// One sentence: where it is and why.
    pub why: String,
}

/// An event and what became of it everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineView {
    /// The event.
    pub event: EventView,
    /// One per subscription, those that do not take it included.
    pub deliveries: Vec<DeliveryView>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// `dlv_…`
    pub id: String,
    /// Name of the subscription.
    pub subscription: String,
    /// Name of the endpoint it was meant for.
    pub endpoint: String,
    /// Its partition; 0 where the subscription has a single endpoint.
    #[serde(default)]
    pub partition: u16,
    /// The chain that ended.
    pub chain: u16,
    /// Attempts made in that chain.
    pub attempts: u16,
    /// When it was given up.
    pub at: String,
    /// `exhausted`, `expired`, `refused`, `blocked`, `template` or `filter`.
    pub reason: String,
    /// What it means for the later events of its key: `none`, `skipped` (they went on without it) or `halted` (they
    /// wait until it is replayed or discarded).
    pub gap: String,
    /// Status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The last failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The event.
    pub event: EventView,
}

impl DeadLetterView {
    /// A view of `dead`, whose event is `event`.
    #[must_use]
    pub fn new(dead: &Dead, event: &Event, form: BodyForm) -> Self {
        let (status, error) = outcome_words(dead.outcome);
        Self {
            id: DeliveryId::derive(event.id, &dead.key.subscription).to_string(),
            subscription: dead.key.subscription.to_string(),
            endpoint: dead.endpoint.to_string(),
            partition: dead.place.partition,
            chain: dead.chain,
            attempts: dead.attempts,
            at: rfc3339(dead.at),
            reason: dead.reason.name().to_owned(),
            gap: dead.gap.name().to_owned(),
            status,
            error,
            detail: dead.detail.as_deref().map(str::to_owned),
            event: EventView::new(event, form),
        }
    }
}

/// Oldest dead letters first.
pub type DeadLetterList = super::Page<DeadLetterView>;

/// An attempt as it happens, for `tail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamItem {
    /// `evt_…`
    pub event_id: String,
    /// `dlv_…`
    pub delivery_id: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the source.
    pub source: String,
    /// Name of the subscription.
    pub subscription: String,
    /// What happened.
    pub attempt: AttemptView,
}

impl StreamItem {
    /// `attempt`, which was made for `event`.
    #[must_use]
    pub fn new(event: &Event, attempt: &Attempt) -> Self {
        Self {
            event_id: event.id.to_string(),
            delivery_id: DeliveryId::derive(event.id, &attempt.key.subscription).to_string(),
            kind: event.kind.to_string(),
            source: event.source.to_string(),
            subscription: attempt.key.subscription.to_string(),
            attempt: attempt.into(),
        }
    }
}
