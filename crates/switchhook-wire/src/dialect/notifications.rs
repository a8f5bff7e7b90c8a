//! Dialect C: the retry policy of a webhook, `/api/v2/notifications/webhooks/{id}` (seed 000).

use serde::{Deserialize, Serialize};

use super::read::{How, Object, Reader, parse};
use super::retry::SPREAD_MAX_S;
use super::{Dialect, Edit, Fault, Retry, Webhook};

/// A webhook, as far as its retries go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// Given by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What a person calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How deliveries are retried.
    pub retry_policy: RetryPolicy,
    /// Changes with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_uri: Option<String>,
}

/// How deliveries are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts, the first included; 1 to 100.
    pub max_attempts: u16,
    /// What the delays between them add up to, in seconds; 1 to 86400.
    pub retry_duration: u64,
}

const KEYS: [&str; 7] = [
    "id",
    "name",
    "retryPolicy",
    "version",
    "selfUri",
    "maxAttempts",
    "retryDuration",
];
const RETRY_KEYS: [&str; 2] = ["maxAttempts", "retryDuration"];
/// Most attempts (seed 000).
const ATTEMPTS_MAX: u64 = switchhook_core::retry::ATTEMPTS_MAX as u64;

/// Which field stands for what of the resources.
pub(super) const FIELDS: [(&str, &str, &str); 2] = [
    ("subscription", "/title", "name"),
    ("policy", "", "retryPolicy"),
];

/// What `body` asks for: `{"retryPolicy": {…}}`, or the inner object alone.
///
/// # Errors
/// Every fault of it.
pub fn decode(body: &[u8]) -> Result<Edit, Vec<Fault>> {
    let json = parse(body)?;
    let mut reader = Reader::default();
    let mut edit = Edit::default();
    let is_inner =
        json.get("retryPolicy").is_none() && RETRY_KEYS.iter().any(|name| json.get(name).is_some());
    let known = if is_inner { &KEYS[..] } else { &KEYS[..5] };
    if let Some(object) = reader.object(&json, "", known) {
        reader.identity(&object, How::Replace, &mut edit);
        edit.title = reader.title(&object, How::Patch);
        edit.retry = if is_inner {
            retry(&object, &mut reader).map(Some)
        } else if object.get("retryPolicy").is_none() {
            reader.missing(&object, "retryPolicy");
            None
        } else {
            let inner = reader.inner(&object, "retryPolicy", &RETRY_KEYS);
            inner.and_then(|inner| retry(&inner, &mut reader).map(Some))
        };
    }
    reader.finish(edit)
}

fn retry(policy: &Object<'_>, reader: &mut Reader<'_>) -> Option<Retry> {
    for name in RETRY_KEYS {
        if policy.get(name).is_none() {
            reader.missing(policy, name);
        }
    }
    let attempts = reader.whole(policy, "maxAttempts", 1..=ATTEMPTS_MAX, "");
    let duration_s = reader.whole(policy, "retryDuration", 1..=SPREAD_MAX_S, " seconds");
    Some(Retry::Spread {
        attempts: u16::try_from(attempts?).ok()?,
        duration_s: duration_s?,
    })
}

/// The body that shows `webhook`.
#[must_use]
pub fn encode(webhook: &Webhook) -> Body {
    let retry_policy = match Retry::spread(&webhook.retry) {
        Retry::Spread {
            attempts,
            duration_s,
        } => RetryPolicy {
            max_attempts: attempts,
            retry_duration: duration_s,
        },
        Retry::Interval { .. } | Retry::Backoff { .. } => RetryPolicy::default(),
    };
    Body {
        id: Some(webhook.id.to_string()),
        name: Some(webhook.title.clone()),
        retry_policy,
        version: Some(webhook.version),
        self_uri: Some(Dialect::Notifications.path(webhook.id)),
    }
}
