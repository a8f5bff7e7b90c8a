//! Dialect B: `/api/v2/webhooks/webhooks` (seed 003).

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::Code;
use super::read::{How, Object, Reader, parse};
use super::{Dialect, Edit, Events, Fault, Given, MASK, SIGNATURE_PROPERTY, Webhook};

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
    pub address: String,
    /// Whether anything is sent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Which events it takes.
    #[serde(default)]
    pub event_filters: Vec<Filter>,
    /// Free key and value pairs. [`SIGNATURE_PROPERTY`] sets the secret that signs deliveries and is shown masked; sent
    /// back as the mask, or left out, it stays, and an empty one removes it.
    #[serde(default)]
    pub custom_properties: BTreeMap<String, String>,
    /// Changes with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_uri: Option<String>,
}

/// An event type, and which events of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// A name, template or wildcard.
    pub event_type: String,
    /// An expression over the event; `true` takes all.
    #[serde(default = "all")]
    pub filter: String,
}

const fn yes() -> bool {
    true
}

fn all() -> String {
    "true".to_owned()
}

const KEYS: [&str; 8] = [
    "id",
    "name",
    "address",
    "enabled",
    "eventFilters",
    "customProperties",
    "version",
    "selfUri",
];
/// Most event types: those that a subscription may name.
const FILTERS_MAX: usize = 1_000;
/// Most properties, and the longest key and value, in characters: those of a subscription.
const PROPERTIES_MAX: usize = 64;
const PROPERTY_KEY_CHARS_MAX: usize = 128;
const PROPERTY_CHARS_MAX: usize = 1_024;

/// Which field stands for what of the resources.
pub(super) const FIELDS: [(&str, &str, &str); 7] = [
    ("subscription", "/title", "name"),
    ("subscription", "/types", "eventFilters"),
    ("subscription", "/filters", "eventFilters"),
    ("subscription", "/enabled", "enabled"),
    ("subscription", "/properties", "customProperties"),
    ("endpoint", "/url", "address"),
    (
        "endpoint",
        "/sign",
        "customProperties.webhook.signature.secret",
    ),
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
        edit.url = reader.url(&object, "address", how);
        edit.enabled = reader
            .boolean(&object, "enabled")
            .or_else(|| how.is_whole().then_some(true));
        if object.get("eventFilters").is_none() && how.is_whole() {
            reader.missing(&object, "eventFilters");
        }
        edit.events = reader
            .event_filters(&object, "eventFilters", FILTERS_MAX)
            .map(Events::Filtered);
        properties(&object, how, &mut reader, &mut edit);
    }
    reader.finish(edit)
}

fn properties(object: &Object<'_>, how: How, reader: &mut Reader<'_>, edit: &mut Edit) {
    let texts = reader.texts(object, "customProperties", PROPERTY_CHARS_MAX);
    let Some(mut texts) = texts.or_else(|| how.is_whole().then(BTreeMap::new)) else {
        return;
    };
    if let Some(secret) = texts.remove(SIGNATURE_PROPERTY) {
        edit.signature = Given::of(&secret);
    }
    let field = object.at("customProperties");
    if texts.len() > PROPERTIES_MAX {
        let detail = format!(
            "has {} entries, at most {PROPERTIES_MAX} are allowed",
            texts.len()
        );
        reader.fault(field, Code::Range, detail, None);
        return;
    }
    for key in texts.keys() {
        let chars = key.chars().count();
        if !(1..=PROPERTY_KEY_CHARS_MAX).contains(&chars) {
            let detail =
                format!("a key has {chars} characters, 1 to {PROPERTY_KEY_CHARS_MAX} are allowed");
            reader.fault(field.clone(), Code::Range, detail, None);
        }
    }
    edit.properties = Some(texts);
}

/// The body that shows `webhook`.
#[must_use]
pub fn encode(webhook: &Webhook) -> Body {
    let filters = webhook.events.iter().map(|event| Filter {
        event_type: event.kind.clone(),
        filter: event.filter.clone().unwrap_or_else(all),
    });
    let mut properties = webhook.properties.clone();
    if webhook.is_signed {
        properties.insert(SIGNATURE_PROPERTY.to_owned(), MASK.to_owned());
    }
    Body {
        id: Some(webhook.id.to_string()),
        name: webhook.title.clone(),
        address: webhook.url.clone(),
        enabled: webhook.enabled,
        event_filters: filters.collect(),
        custom_properties: properties,
        version: Some(webhook.version),
        self_uri: Some(Dialect::Lifecycle.path(webhook.id)),
    }
}
