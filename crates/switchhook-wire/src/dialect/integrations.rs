//! Dialect D: `/api/v2/integrations` with its event bindings (seed 004).

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::Code;
use super::read::{How, Object, Reader, parse};
use super::retry::{DELAY_MAX_MS, Growth, RETRIES_MAX};
use super::{CONTENT_TYPE, Dialect, Edit, Events, Fault, FieldMapping, Retry, Webhook};

/// An integration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// Given by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What a person calls it.
    pub name: String,
    /// Always `webhook`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether anything is sent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What is sent, and how.
    pub settings: Settings,
    /// Changes with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_uri: Option<String>,
}

/// What is sent, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Where to.
    pub url: String,
    /// `POST` or `PUT`.
    #[serde(default = "post")]
    pub http_method: String,
    /// What is sent as `Content-Type`.
    #[serde(default = "json")]
    pub content_type: String,
    /// Further headers; values may hold `{{secret:name}}` and `{{eventId}}`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How deliveries are retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// What the body is made of; empty sends the event's own.
    #[serde(default)]
    pub transformations: Vec<Transformation>,
}

/// How deliveries are retried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts after the first, 0 to 99.
    pub max_retries: u16,
    /// The first delay, in milliseconds.
    pub retry_delay: u64,
    /// `exponential`, `linear` or `fixed`.
    pub retry_policy_type: String,
    /// Whether delays are spread.
    pub jitter: bool,
}

/// A step that makes the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transformation {
    /// Always `fieldMapping`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A path into the event's body.
    pub source: String,
    /// The field that is made.
    pub destination: String,
}

/// The event types of an integration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bindings {
    /// The integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration_id: Option<String>,
    /// Those to add, or all that there are.
    pub events: Vec<String>,
}

const fn yes() -> bool {
    true
}

fn post() -> String {
    "POST".to_owned()
}

fn json() -> String {
    CONTENT_TYPE.to_owned()
}

const KIND: &str = "webhook";
const FIELD_MAPPING: &str = "fieldMapping";
const KEYS: [&str; 7] = [
    "id", "name", "type", "enabled", "settings", "version", "selfUri",
];
const SETTINGS_KEYS: [&str; 6] = [
    "url",
    "httpMethod",
    "contentType",
    "headers",
    "retryPolicy",
    "transformations",
];
const RETRY_KEYS: [&str; 4] = ["maxRetries", "retryDelay", "retryPolicyType", "jitter"];
/// Most event types: those that a subscription may name.
const BINDINGS_MAX: usize = 1_000;
/// Most headers, and the longest value, in characters: those of an endpoint.
const HEADERS_MAX: usize = 64;
const HEADER_CHARS_MAX: usize = 8_192;
/// Most mapped fields: those of a subscription.
const TRANSFORMATIONS_MAX: usize = 200;

/// Which field stands for what of the resources.
pub(super) const FIELDS: [(&str, &str, &str); 9] = [
    ("subscription", "/title", "name"),
    ("subscription", "/types", "events"),
    ("subscription", "/enabled", "enabled"),
    ("subscription", "/map", "settings.transformations"),
    ("endpoint", "/url", "settings.url"),
    ("endpoint", "/method", "settings.httpMethod"),
    ("endpoint", "/content_type", "settings.contentType"),
    ("endpoint", "/headers", "settings.headers"),
    ("policy", "", "settings.retryPolicy"),
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
        if object.get("type").is_none() && how == How::Create {
            reader.missing(&object, "type");
        }
        reader.choice(&object, "type", &[(KIND, ())]);
        edit.enabled = reader
            .boolean(&object, "enabled")
            .or_else(|| how.is_whole().then_some(true));
        match reader.inner(&object, "settings", &SETTINGS_KEYS) {
            Some(inner) => settings(&inner, how, &mut reader, &mut edit),
            None if object.get("settings").is_none() && how.is_whole() => {
                reader.missing(&object, "settings");
            }
            None => {}
        }
    }
    reader.finish(edit)
}

fn settings(settings: &Object<'_>, how: How, reader: &mut Reader<'_>, edit: &mut Edit) {
    edit.url = reader.url(settings, "url", how);
    let methods = [("POST", "POST"), ("PUT", "PUT")];
    edit.method = reader
        .choice(settings, "httpMethod", &methods)
        .or_else(|| how.is_whole().then_some("POST"));
    edit.content_type = reader
        .text(settings, "contentType", 256)
        .map(str::to_owned)
        .or_else(|| how.is_whole().then(json));
    let headers = reader.texts(settings, "headers", HEADER_CHARS_MAX);
    if let Some(headers) = &headers
        && headers.len() > HEADERS_MAX
    {
        let detail = format!(
            "has {} headers, at most {HEADERS_MAX} are allowed",
            headers.len()
        );
        reader.fault(settings.at("headers"), Code::Range, detail, None);
    }
    edit.headers = headers.or_else(|| how.is_whole().then(BTreeMap::new));
    edit.retry = match reader.inner(settings, "retryPolicy", &RETRY_KEYS) {
        Some(policy) => retry(&policy, reader).map(Some),
        None => (how.is_whole() || settings.has("retryPolicy")).then_some(None),
    };
    edit.fields = transformations(settings, reader).or_else(|| how.is_whole().then(Vec::new));
}

fn retry(policy: &Object<'_>, reader: &mut Reader<'_>) -> Option<Retry> {
    for name in ["maxRetries", "retryDelay"] {
        if policy.get(name).is_none() {
            reader.missing(policy, name);
        }
    }
    let retries = reader.whole(policy, "maxRetries", 0..=RETRIES_MAX, "");
    let delay_ms = reader.whole(policy, "retryDelay", 1..=DELAY_MAX_MS, " ms");
    let has_growth = policy.get("retryPolicyType").is_some();
    let growth = reader.choice(policy, "retryPolicyType", &Growth::WORDS);
    let growth = growth.or((!has_growth).then_some(Growth::Exponential));
    let has_jitter = policy.get("jitter").is_some();
    let jitter = reader.boolean(policy, "jitter");
    Some(Retry::Backoff {
        retries: u16::try_from(retries?).ok()?,
        delay_ms: delay_ms?,
        growth: growth?,
        jitter: jitter.or((!has_jitter).then_some(true))?,
    })
}

fn transformations(settings: &Object<'_>, reader: &mut Reader<'_>) -> Option<Vec<FieldMapping>> {
    let mut fields: Vec<FieldMapping> = Vec::new();
    for (field, item) in reader.list(settings, "transformations", TRANSFORMATIONS_MAX)? {
        let Some(step) = reader.object(item, &field, &["type", "source", "destination"]) else {
            continue;
        };
        for name in ["type", "source", "destination"] {
            if step.get(name).is_none() {
                reader.missing(&step, name);
            }
        }
        reader.choice(&step, "type", &[(FIELD_MAPPING, ())]);
        let source = reader.text(&step, "source", HEADER_CHARS_MAX);
        let destination = reader.text(&step, "destination", HEADER_CHARS_MAX);
        let (Some(source), Some(destination)) = (source, destination) else {
            continue;
        };
        if fields.iter().any(|field| field.destination == destination) {
            let detail = "is the destination of an earlier step too".to_owned();
            reader.fault(step.at("destination"), Code::Value, detail, None);
        }
        fields.push(FieldMapping {
            source: source.to_owned(),
            destination: destination.to_owned(),
        });
    }
    Some(fields)
}

/// What a body of event bindings asks for: types besides those that there are.
///
/// # Errors
/// Every fault of it.
pub fn decode_bindings(body: &[u8]) -> Result<Edit, Vec<Fault>> {
    let json = parse(body)?;
    let mut reader = Reader::default();
    let mut edit = Edit::default();
    if let Some(object) = reader.object(&json, "", &["events", "integrationId"]) {
        if object.get("events").is_none() {
            reader.missing(&object, "events");
        }
        edit.id = reader.text(&object, "integrationId", 64).map(str::to_owned);
        edit.events = reader
            .event_types(&object, "events", BINDINGS_MAX)
            .map(Events::Also);
    }
    reader.finish(edit)
}

/// The body that shows `webhook`.
#[must_use]
pub fn encode(webhook: &Webhook) -> Body {
    let retry_policy = match Retry::backoff(&webhook.retry) {
        Retry::Backoff {
            retries,
            delay_ms,
            growth,
            jitter,
        } => Some(RetryPolicy {
            max_retries: retries,
            retry_delay: delay_ms,
            retry_policy_type: growth.name().to_owned(),
            jitter,
        }),
        Retry::Interval { .. } | Retry::Spread { .. } => None,
    };
    let fields = webhook.fields.iter().map(|field| Transformation {
        kind: FIELD_MAPPING.to_owned(),
        source: field.source.clone(),
        destination: field.destination.clone(),
    });
    Body {
        id: Some(webhook.id.to_string()),
        name: webhook.title.clone(),
        kind: KIND.to_owned(),
        enabled: webhook.enabled,
        settings: Settings {
            url: webhook.url.clone(),
            http_method: webhook.method.clone(),
            content_type: webhook.content_type.clone().unwrap_or_else(json),
            headers: webhook.headers.clone(),
            retry_policy,
            transformations: fields.collect(),
        },
        version: Some(webhook.version),
        self_uri: Some(Dialect::Integrations.path(webhook.id)),
    }
}

/// The body that shows the event types of `webhook`.
#[must_use]
pub fn encode_bindings(webhook: &Webhook) -> Bindings {
    let kinds = webhook.events.iter().map(|event| event.kind.clone());
    Bindings {
        integration_id: Some(webhook.id.to_string()),
        events: kinds.collect(),
    }
}
