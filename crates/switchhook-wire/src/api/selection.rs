//! Selections: bulk actions act on a filter, never on a page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which dead letters. Everything that is set must hold; nothing set selects all, which a bulk action refuses
/// unless it says so: see [`SelectionRequest::all`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLetterFilter {
    /// Endpoint name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Subscription name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Exact event type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `exhausted`, `expired`, `refused`, `blocked`, `template` or `filter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// This event only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Given up at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Given up before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The query of a list of dead letters: a [`DeadLetterFilter`] and a place in the list.
///
/// Written out, since a query string cannot be read into nested structs with numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLetterQuery {
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// As in the filter.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// As in the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Where the page before ended, as its `nextUri` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

impl DeadLetterQuery {
    /// The filter in it.
    #[must_use]
    pub fn filter(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            endpoint: self.endpoint.clone(),
            subscription: self.subscription.clone(),
            kind: self.kind.clone(),
            status: self.status,
            reason: self.reason.clone(),
            event_id: self.event_id.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
        }
    }
}

impl From<DeadLetterFilter> for DeadLetterQuery {
    fn from(filter: DeadLetterFilter) -> Self {
        Self {
            endpoint: filter.endpoint,
            subscription: filter.subscription,
            kind: filter.kind,
            status: filter.status,
            reason: filter.reason,
            event_id: filter.event_id,
            since: filter.since,
            until: filter.until,
            after: None,
            page_size: None,
        }
    }
}

/// A bulk action on all that match, as they were when the request came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectionRequest {
    /// Which. Must be written, even when empty.
    pub filter: DeadLetterFilter,
    /// Everything is meant. Needed with a filter that sets nothing, so that a forgotten one cannot select all.
    #[serde(default)]
    pub all: bool,
    /// Only count; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a bulk action did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// How many matched.
    pub matched: u64,
    /// How many wait again, for a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<u64>,
    /// How many are gone, for a discard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<u64>,
    /// How many could not be acted on, for example since their subscription is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
}
