//! Dialect E: the flat view of an integration, `/api/v2/integrations/{id}/webhook` (seed 002).

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::read::{How, Object, Reader, parse};
use super::{Edit, Fault, Given, SecurityKind, Webhook};

/// An integration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// A UUID.
    #[serde(default)]
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Where to.
    pub url: String,
    /// `POST` or `PUT`.
    pub method: String,
    /// Further headers, if there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Who we are to the endpoint.
    pub security: Security,
    /// Changes with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Who we are to the endpoint.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Security {
    /// `none`, `basic` or `bearer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The token, or user name and password with a colon between; only for those who may read secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("kind", &self.kind)
            .field("has_value", &self.value.is_some())
            .finish()
    }
}

const KEYS: [&str; 8] = [
    "id", "name", "enabled", "url", "method", "headers", "security", "version",
];
/// Longest credential, in characters: it has to fit into a header.
const CREDENTIAL_CHARS_MAX: usize = 8_000;
/// Longest value of a header, in characters: that of an endpoint.
const HEADER_CHARS_MAX: usize = 8_192;

/// Which field stands for what of the resources.
pub(super) const FIELDS: [(&str, &str, &str); 6] = [
    ("subscription", "/title", "name"),
    ("subscription", "/enabled", "enabled"),
    ("endpoint", "/url", "url"),
    ("endpoint", "/method", "method"),
    ("endpoint", "/headers", "headers"),
    ("endpoint", "/auth", "security"),
];

/// What `body` asks for. Where endpoints may lie is only judged with `allow`, the private ranges that they may.
///
/// # Errors
/// Every fault of it.
pub fn decode(body: &[u8], allow: Option<&[IpNet]>) -> Result<Edit, Vec<Fault>> {
    let json = parse(body)?;
    let (mut reader, mut edit, how) = (Reader::new(allow), Edit::default(), How::Replace);
    if let Some(object) = reader.object(&json, "", &KEYS) {
        reader.identity(&object, how, &mut edit);
        edit.title = reader.title(&object, how);
        edit.enabled = reader.boolean(&object, "enabled").or(Some(true));
        edit.url = reader.url(&object, "url", how);
        let methods = [("POST", "POST"), ("PUT", "PUT")];
        edit.method = reader.choice(&object, "method", &methods).or(Some("POST"));
        let headers = reader.texts(&object, "headers", HEADER_CHARS_MAX);
        edit.headers = headers.or_else(|| Some(BTreeMap::new()));
        if object.get("security").is_none() {
            reader.missing(&object, "security");
        }
        let security = reader.inner(&object, "security", &["type", "value"]);
        edit.security = security.and_then(|security| read_security(&security, &mut reader));
    }
    reader.finish(edit)
}

fn read_security(security: &Object<'_>, reader: &mut Reader<'_>) -> Option<(SecurityKind, Given)> {
    if security.get("type").is_none() {
        reader.missing(security, "type");
    }
    let words = SecurityKind::ALL.map(|kind| (kind.name(), kind));
    let kind = reader.choice(security, "type", &words);
    let value = reader.text(security, "value", CREDENTIAL_CHARS_MAX);
    Some((kind?, value.map_or(Given::Kept, Given::of)))
}

/// The body that shows `webhook`; `credential` is its value in clear, for those who may read secrets.
#[must_use]
pub fn encode(webhook: &Webhook, credential: Option<String>) -> Body {
    Body {
        id: webhook.id.to_string(),
        name: webhook.title.clone(),
        enabled: webhook.enabled,
        url: webhook.url.clone(),
        method: webhook.method.clone(),
        headers: webhook.headers.clone(),
        security: Security {
            kind: webhook.security.name().to_owned(),
            value: credential,
        },
        version: Some(webhook.version),
    }
}
