//! `GET /api/v2/integrations/{id}/logs` (seed 004): the attempts of a webhook, with the members that seed 002 audits.

use serde::{Deserialize, Serialize};

/// One request of a delivery, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Stable over all attempts of one event to one webhook, as in the header `X-Delivery-Id`.
    pub delivery_id: String,
    /// The event.
    pub event_id: String,
    /// 1, 2, …
    pub attempt: u16,
    /// Where the endpoint that was called is now.
    pub url: String,
    /// What was answered, if anything was.
    pub status_code: Option<u16>,
    /// From start to answer or failure.
    pub latency_ms: u32,
    /// Why there was no answer, for example `timeout`.
    pub error_code: Option<String>,
    /// What follows: `delivered`, `retry`, `hold` or `dead`.
    pub result: String,
    /// When the request was started.
    pub timestamp: String,
}
