//! Dialect A: `/api/v2/webhooks` (seed 001).

use ipnet::IpNet;
use jiff::{SignedDuration, Span, SpanRelativeTo, Unit};
use serde::{Deserialize, Serialize};

use super::error::Code;
use super::read::{How, Object, Reader, parse, shown};
use super::retry::{DELAY_MAX_MS, RETRIES_MAX};
use super::{Dialect, Edit, Events, Fault, Retry, TYPES_MAX, Webhook};

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// Given by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What a person calls it.
    pub name: String,
    /// The URL.
    pub endpoint: String,
    /// 1 to [`TYPES_MAX`].
    pub event_types: Vec<String>,
    /// How deliveries are retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// `enabled` or `disabled`.
    #[serde(default = "enabled")]
    pub state: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Changes with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
}

/// How deliveries are retried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts after the first, 0 to 99.
    pub retry_count: u16,
    /// Before each of them; ISO 8601, for example `PT1M`.
    pub retry_interval: String,
    /// Whether an attempt that timed out is followed by another.
    pub retry_on_timeout: bool,
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Links {
    /// Itself.
    #[serde(rename = "self")]
    pub this: String,
}

fn enabled() -> String {
    "enabled".to_owned()
}

const KEYS: [&str; 9] = [
    "id",
    "name",
    "endpoint",
    "eventTypes",
    "retryPolicy",
    "state",
    "description",
    "version",
    "links",
];
const RETRY_KEYS: [&str; 3] = ["retryCount", "retryInterval", "retryOnTimeout"];

/// Which field stands for what of the resources.
pub(super) const FIELDS: [(&str, &str, &str); 6] = [
    ("subscription", "/title", "name"),
    ("subscription", "/description", "description"),
    ("subscription", "/types", "eventTypes"),
    ("subscription", "/enabled", "state"),
    ("endpoint", "/url", "endpoint"),
    ("policy", "", "retryPolicy"),
];

/// What `body` asks for. Where endpoints may lie is only judged with `allow`, the private ranges that they may.
///
/// # Errors
/// Every fault of it.
pub fn decode(body: &[u8], how: How, allow: Option<&[IpNet]>) -> Result<Edit, Vec<Fault>> {
    let json = parse(body)?;
    let mut reader = Reader::new(allow);
    let mut edit = Edit::default();
    if let Some(object) = reader.object(&json, "", &KEYS) {
        reader.identity(&object, how, &mut edit);
        edit.title = reader.title(&object, how);
        edit.description = reader.description(&object, how);
        edit.url = reader.url(&object, "endpoint", how);
        edit.events = events(&object, how, &mut reader);
        let states = [("enabled", true), ("disabled", false)];
        edit.enabled = reader
            .choice(&object, "state", &states)
            .or_else(|| how.is_whole().then_some(true));
        edit.retry = match reader.inner(&object, "retryPolicy", &RETRY_KEYS) {
            Some(policy) => retry(&policy, &mut reader).map(Some),
            None => (how.is_whole() || object.has("retryPolicy")).then_some(None),
        };
    }
    reader.finish(edit)
}

fn events(object: &Object<'_>, how: How, reader: &mut Reader<'_>) -> Option<Events> {
    if object.get("eventTypes").is_none() {
        if how.is_whole() {
            reader.missing(object, "eventTypes");
        }
        return None;
    }
    let kinds = reader.event_types(object, "eventTypes", TYPES_MAX)?;
    let is_empty = object
        .get("eventTypes")
        .and_then(|types| types.as_array())
        .is_some_and(Vec::is_empty);
    if is_empty {
        let detail = format!("is empty, 1 to {TYPES_MAX} event types are allowed");
        reader.fault(object.at("eventTypes"), Code::Range, detail, None);
    }
    Some(Events::These(kinds))
}

fn retry(policy: &Object<'_>, reader: &mut Reader<'_>) -> Option<Retry> {
    for name in ["retryCount", "retryInterval"] {
        if policy.get(name).is_none() {
            reader.missing(policy, name);
        }
    }
    let retries = reader.whole(policy, "retryCount", 0..=RETRIES_MAX, "");
    let interval = reader
        .text(policy, "retryInterval", 64)
        .and_then(|text| interval(text, policy, reader));
    let on_timeout = reader.boolean(policy, "retryOnTimeout").unwrap_or(true);
    Some(Retry::Interval {
        retries: u16::try_from(retries?).ok()?,
        interval_ms: interval?,
        on_timeout,
    })
}

/// The milliseconds of an ISO 8601 duration. Days and weeks are 24 hours and 7 days; months and years have no length.
fn interval(text: &str, policy: &Object<'_>, reader: &mut Reader<'_>) -> Option<u64> {
    let span = text.parse::<Span>().ok();
    // Jiff reads friendlier forms as well (`5m`); the dialect has one.
    let span = span.filter(|_| text.starts_with(['P', 'p']));
    let whole = |span: Span| {
        let days = SpanRelativeTo::days_are_24_hours();
        let is_fixed = span.get_years() == 0 && span.get_months() == 0;
        span.total((Unit::Millisecond, days))
            .ok()
            .filter(|_| is_fixed)
            .map(f64::round)
    };
    match span.and_then(whole) {
        Some(ms) if (1.0..=DELAY_MAX_MS as f64).contains(&ms) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and within the range that was just checked"
            )]
            Some(ms as u64)
        }
        Some(_) => {
            let detail = format!("is `{}`, PT0.001S to P7D are allowed", shown(text));
            reader.fault(policy.at("retryInterval"), Code::Range, detail, None);
            None
        }
        None => {
            let detail = format!(
                "`{}` is not an ISO 8601 duration of fixed length",
                shown(text)
            );
            let hint = Some("write for example `PT30S`, `PT1M` or `P1D`".to_owned());
            reader.fault(policy.at("retryInterval"), Code::Value, detail, hint);
            None
        }
    }
}

/// The body that shows `webhook`.
#[must_use]
pub fn encode(webhook: &Webhook, base_url: &str) -> Body {
    let kinds = webhook.events.iter().map(|event| event.kind.clone());
    Body {
        id: Some(webhook.id.to_string()),
        name: webhook.title.clone(),
        endpoint: webhook.url.clone(),
        event_types: kinds.collect(),
        retry_policy: Some(RetryPolicy::of(Retry::interval(&webhook.retry))),
        state: if webhook.enabled {
            "enabled"
        } else {
            "disabled"
        }
        .to_owned(),
        description: webhook.description.clone(),
        version: Some(webhook.version),
        links: Some(Links {
            this: format!("{base_url}{}", Dialect::Webhooks.path(webhook.id)),
        }),
    }
}

impl RetryPolicy {
    fn of(retry: Retry) -> Self {
        match retry {
            Retry::Interval {
                retries,
                interval_ms,
                on_timeout,
            } => Self {
                retry_count: retries,
                retry_interval: iso_8601(interval_ms),
                retry_on_timeout: on_timeout,
            },
            Retry::Spread { .. } | Retry::Backoff { .. } => Self::default(),
        }
    }
}

/// `ms` as an ISO 8601 duration.
#[must_use]
pub fn iso_8601(ms: u64) -> String {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)).to_string()
}
