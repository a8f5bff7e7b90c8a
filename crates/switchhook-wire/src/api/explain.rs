//! Explanations: for every subscription, why it took an event or not, and where the delivery is and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::event::Event;
use switchhook_core::subscription::{Mismatch, Selection};

use super::breaker::BreakerState;
use super::delivery::DeliveryState;
use super::time::rfc3339;

/// Everything about one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The event.
    pub event: ExplainedEvent,
    /// Every subscription, by name.
    pub subscriptions: Vec<ExplainedSubscription>,
}

/// The event that is explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEvent {
    /// `evt_…`
    pub id: String,
    /// Position in the log.
    pub offset: u64,
    /// Name of the source.
    pub source: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was accepted.
    pub received_at: String,
}

impl From<&Event> for ExplainedEvent {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id.to_string(),
            offset: event.offset.0,
            source: event.source.to_string(),
            kind: event.kind.to_string(),
            key: event.key.as_deref().map(str::to_owned),
            received_at: rfc3339(event.received_at),
        }
    }
}

/// What a subscription makes of the event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSubscription {
    /// Its name.
    pub subscription: String,
    /// Whether it takes it.
    pub taken: bool,
    /// Why, or why not.
    pub why: Why,
    /// The same in one sentence.
    pub text: String,
    /// What exactly: the criterion, the path that is missing, the words of a filter that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The delivery, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<ExplainedDelivery>,
}

/// Why a subscription takes an event, or does not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Everything fits.
    Taken,
    /// The event comes from another source.
    Source,
    /// Its type fits no pattern.
    Type,
    /// The filter of its type does not hold, or asks for something that the event does not have.
    Filter,
    /// A criterion does not hold.
    Criterion,
    /// `when` is false.
    When,
    /// `when` asks for something that the event does not have.
    Missing,
    /// The filter failed on the event: the delivery is a dead letter.
    FilterFailed,
    /// The subscription began after the event.
    BeforeStart,
    /// A seek left it out, or retention forgot what became of it.
    PassedOver,
}

impl From<&Selection> for Why {
    fn from(selection: &Selection) -> Self {
        match selection {
            Selection::Taken => Self::Taken,
            Selection::Failed(_) => Self::FilterFailed,
            Selection::PassedOver(mismatch) => match mismatch {
                Mismatch::Source => Self::Source,
                Mismatch::Type => Self::Type,
                Mismatch::Filter { .. } => Self::Filter,
                Mismatch::Criterion(_) => Self::Criterion,
                Mismatch::When => Self::When,
                Mismatch::Missing(_) => Self::Missing,
            },
        }
    }
}

/// Where a delivery is, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedDelivery {
    /// `dlv_…`
    pub id: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// One sentence: why it is there.
    pub why: String,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// The earlier event of its key that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    /// The endpoint it goes to now; absent while its partition is given to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its partition, with a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u16>,
    /// How the endpoint stands, where that keeps the delivery waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerState>,
    /// Attempts made, over all chains.
    pub attempts: u64,
}

/// An event that a delivery waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    /// Its id; absent when retention took the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Its position in the log.
    pub offset: u64,
}
