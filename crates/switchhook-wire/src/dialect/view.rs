//! The neutral view of a webhook, from the bodies of its resources.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use switchhook_core::retry::Policy;
use uuid::Uuid;

use super::{EventFilter, FieldMapping, SecurityKind, Webhook};

/// What a webhook is made of. Bodies are shown ones: literal secrets are masked.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The subscription's.
    pub id: Uuid,
    /// Name of the subscription.
    pub name: &'a str,
    /// Of the subscription.
    pub subscription: &'a Json,
    /// Of its endpoint, or of the first member of its group.
    pub endpoint: &'a Json,
    /// In force.
    pub policy: &'a Policy,
    /// Changes with every change.
    pub version: u64,
    /// With its quotes.
    pub etag: &'a str,
}

/// See the module.
#[must_use]
pub fn view(parts: Parts<'_>) -> Webhook {
    let empty = Map::new();
    let subscription = parts.subscription.as_object().unwrap_or(&empty);
    let endpoint = parts.endpoint.as_object().unwrap_or(&empty);
    let text = |body: &Map<String, Json>, key: &str| {
        body.get(key).and_then(Json::as_str).map(str::to_owned)
    };
    let filters = filters_of(subscription);
    let events = types_of(subscription).into_iter().map(|kind| EventFilter {
        filter: filters.get(&kind).cloned(),
        kind,
    });
    Webhook {
        id: parts.id,
        title: text(subscription, "title").unwrap_or_else(|| parts.name.to_owned()),
        description: text(subscription, "description"),
        url: text(endpoint, "url").unwrap_or_default(),
        method: text(endpoint, "method").unwrap_or_else(|| "POST".to_owned()),
        content_type: text(endpoint, "content_type"),
        headers: texts(endpoint.get("headers")),
        enabled: subscription.get("enabled") != Some(&Json::Bool(false)),
        events: events.collect(),
        properties: texts(subscription.get("properties")),
        is_signed: signers(endpoint).any(is_genesys_signature),
        retry: parts.policy.clone(),
        fields: fields_of(subscription),
        security: security_of(endpoint),
        version: parts.version,
        etag: parts.etag.to_owned(),
    }
}

/// The event types that a subscription names.
pub(super) fn types_of(subscription: &Map<String, Json>) -> Vec<String> {
    match subscription.get("types").and_then(Json::as_array) {
        Some(types) => types
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect(),
        None => vec!["*".to_owned()],
    }
}

/// The filters of its event types.
pub(super) fn filters_of(subscription: &Map<String, Json>) -> BTreeMap<String, String> {
    texts(subscription.get("filters"))
}

fn texts(value: Option<&Json>) -> BTreeMap<String, String> {
    let fields = value.and_then(Json::as_object).into_iter().flatten();
    fields
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn fields_of(subscription: &Map<String, Json>) -> Vec<FieldMapping> {
    let map = subscription.get("map").and_then(Json::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(destination, rule)| {
            let source = rule.as_str().or_else(|| rule.get("path")?.as_str())?;
            Some(FieldMapping {
                source: source.to_owned(),
                destination: destination.clone(),
            })
        })
        .collect()
}

fn signers(endpoint: &Map<String, Json>) -> impl Iterator<Item = &Json> {
    let (list, one) = match endpoint.get("sign") {
        Some(Json::Array(list)) => (list.as_slice(), None),
        one => (&[][..], one),
    };
    list.iter().chain(one)
}

/// Whether a signer sets `X-Genesys-Signature`: the header that is set unless another one is named.
pub(super) fn is_genesys_signature(signer: &Json) -> bool {
    let is_default = match signer.get("header").and_then(Json::as_str) {
        Some(header) => header.eq_ignore_ascii_case("x-genesys-signature"),
        None => true,
    };
    is_default
        && signer
            .get("scheme")
            .is_some_and(|scheme| scheme == "genesys")
}

/// How the endpoint is told who we are, by its `auth` or by a header.
pub(super) fn security_of(endpoint: &Map<String, Json>) -> SecurityKind {
    if let Some(scheme) = endpoint
        .get("auth")
        .and_then(|auth| auth.get("scheme")?.as_str())
    {
        return match scheme {
            "basic" => SecurityKind::Basic,
            // What is fetched from a token server is sent as a bearer token.
            "bearer" | "oauth2" => SecurityKind::Bearer,
            _ => SecurityKind::None,
        };
    }
    match authorization(endpoint).and_then(|value| value.split_once(' ')) {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("basic") => SecurityKind::Basic,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => SecurityKind::Bearer,
        Some(_) | None => SecurityKind::None,
    }
}

fn authorization(endpoint: &Map<String, Json>) -> Option<&str> {
    let headers = endpoint.get("headers")?.as_object()?;
    let (_, value) = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    value.as_str()
}

/// What the endpoint is told, as a text with references to secrets; `endpoint` is a body that is not masked, so the text may
/// hold a literal secret. A password stands behind its user name and a colon; a token that is fetched is not known.
#[must_use]
pub fn credential(endpoint: &Json) -> Option<String> {
    let endpoint = endpoint.as_object()?;
    if let Some(auth) = endpoint.get("auth") {
        let text = |key: &str| auth.get(key).and_then(Json::as_str);
        return match text("scheme")? {
            "basic" => Some(format!("{}:{}", text("username")?, text("password")?)),
            "bearer" => text("token").map(str::to_owned),
            _ => None,
        };
    }
    let (scheme, rest) = authorization(endpoint)?.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("basic") || scheme.eq_ignore_ascii_case("bearer");
    known.then(|| rest.to_owned())
}
