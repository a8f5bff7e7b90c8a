//! Resources: sources, endpoints, groups, subscriptions and policies, and the preview of a policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_core::retry::{Policy, bands};

/// A resource as its owner wrote it, with literal secrets masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceView {
    /// `source`, `endpoint`, `group`, `subscription` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of a subscription: the id under which every dialect knows it, and which `X-Integration-Id` carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// 1 at first, one more with each change through the API; 0 for one of the file.
    pub version: u64,
    /// Its strong tag, as in the `ETag` header: what `If-Match` must name.
    #[serde(default)]
    pub etag: String,
    /// Who may change it.
    pub owner: Owner,
    /// File and line, for example `switchhook.toml:42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defined_at: Option<String>,
    /// The file that declares it by `switchhook apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Last change through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// In the shape of the configuration file.
    pub body: Value,
}

/// Who may change a resource. There is exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The configuration file.
    File,
    /// The API.
    Api,
    /// The gateway itself: the built-in policy.
    BuiltIn,
}

/// Resources of one kind, by name.
pub type ResourceList = super::Page<ResourceView>;

/// The schedule that a policy gives, from the function that schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPreview {
    /// Name of the policy.
    pub policy: String,
    /// Most attempts, the first included.
    pub max_attempts: u16,
    /// It gives up after this.
    pub max_age_ms: u64,
    /// One for each retry.
    pub bands: Vec<BandView>,
    /// The number of the last attempt that comes before `maxAgeMs` even when every delay is the longest.
    pub attempts_that_fit: u16,
}

/// When one retry happens. Delays count from the attempt before, totals from the first attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BandView {
    /// 2, 3, …
    pub attempt: u16,
    /// Shortest delay.
    pub earliest_ms: u64,
    /// Middle delay.
    pub expected_ms: u64,
    /// Longest delay.
    pub latest_ms: u64,
    /// Sum of the shortest delays so far.
    pub earliest_total_ms: u64,
    /// Sum of the middle delays so far.
    pub expected_total_ms: u64,
    /// Sum of the longest delays so far.
    pub latest_total_ms: u64,
}

impl From<&Policy> for PolicyPreview {
    fn from(policy: &Policy) -> Self {
        let (mut earliest, mut expected, mut latest) = (0_u64, 0_u64, 0_u64);
        let mut fit = 1;
        let bands = bands(policy)
            .into_iter()
            .map(|band| {
                earliest = earliest.saturating_add(band.earliest_ms);
                expected = expected.saturating_add(band.expected_ms);
                latest = latest.saturating_add(band.latest_ms);
                if latest <= policy.max_age_ms {
                    fit = band.attempt;
                }
                BandView {
                    attempt: band.attempt,
                    earliest_ms: band.earliest_ms,
                    expected_ms: band.expected_ms,
                    latest_ms: band.latest_ms,
                    earliest_total_ms: earliest,
                    expected_total_ms: expected,
                    latest_total_ms: latest,
                }
            })
            .collect();
        Self {
            policy: policy.name.to_string(),
            max_attempts: policy.max_attempts,
            max_age_ms: policy.max_age_ms,
            bands,
            attempts_that_fit: fit,
        }
    }
}
