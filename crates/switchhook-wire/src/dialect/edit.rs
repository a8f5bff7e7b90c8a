//! What a request asks for, and what it makes of the bodies of a webhook's resources.
//!
//! The bodies are in the shape of the configuration file. Only what the request names is touched, and of that only what
//! differs from what is there: a body that was read and sent back unchanged changes nothing, whatever the dialect cannot
//! express. A retry policy that looks the same in the dialect stays as it is, even if the model knows more of it.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::{Map, Value as Json, json};
use switchhook_core::alert;
use switchhook_core::event::OWN_SOURCE;
use switchhook_core::filter::TypePattern;
use switchhook_core::retry::Policy;
use uuid::Uuid;

use super::read::{self, Strange};
use super::secret::{Use, secret_name, taken_out};
use super::view::{filters_of, security_of, types_of};
use super::{
    CONTENT_TYPE, EventFilter, Fault, FieldMapping, Given, MASK, Retry, SecretChange, SecurityKind,
};
use crate::config::is_credential_property;

/// What a request asks for; `None` leaves what is there.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The id that the body names, to be compared with that of the path.
    pub id: Option<String>,
    /// The version that the body is meant for.
    pub version: Option<u64>,
    /// What a person calls it.
    pub title: Option<String>,
    /// `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Where deliveries go.
    pub url: Option<String>,
    /// `POST` or `PUT`.
    pub method: Option<&'static str>,
    /// What is sent as `Content-Type`.
    pub content_type: Option<String>,
    /// All headers; those left out go.
    pub headers: Option<BTreeMap<String, String>>,
    /// Whether anything is sent.
    pub enabled: Option<bool>,
    /// Which event types it takes.
    pub events: Option<Events>,
    /// All properties; those left out go.
    pub properties: Option<BTreeMap<String, String>>,
    /// The secret that signs deliveries.
    pub signature: Given,
    /// `Some(None)` goes back to the standard policy.
    pub retry: Option<Option<Retry>>,
    /// All fields of the body; an empty list sends the event's own body.
    pub fields: Option<Vec<FieldMapping>>,
    /// Who we are to the endpoint.
    pub security: Option<(SecurityKind, Given)>,
    /// Event types in [`Edit::events`] that are not in the catalogue.
    pub(super) strange: Vec<Strange>,
}

/// Which event types a webhook is to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// These and no others. A filter of one that stays is kept.
    These(Vec<String>),
    /// These with these filters.
    Filtered(Vec<EventFilter>),
    /// These besides those that it takes already.
    Also(Vec<String>),
}

impl Events {
    /// The types that are named.
    pub fn kinds(&self) -> Vec<&str> {
        match self {
            Self::These(kinds) | Self::Also(kinds) => kinds.iter().map(String::as_str).collect(),
            Self::Filtered(events) => events.iter().map(|event| event.kind.as_str()).collect(),
        }
    }
}

/// The bodies of a webhook's resources, each an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bodies {
    /// Of the subscription.
    pub subscription: Map<String, Json>,
    /// Of its endpoint, or of the first member of its group.
    pub endpoint: Map<String, Json>,
    /// Of its policy.
    pub policy: Map<String, Json>,
}

/// What else an edit needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Name of the subscription.
    pub name: &'a str,
    /// Its id.
    pub id: Uuid,
    /// Ranges that endpoints made by dialects may lie in although they are private.
    pub allow_private: &'a [IpNet],
    /// Whether the endpoint was made by a dialect.
    pub is_own_endpoint: bool,
    /// The policy in force.
    pub policy: &'a Policy,
}

/// What an edit does besides changing bodies.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Secrets that the bodies name now, or no longer.
    pub secrets: Vec<SecretChange>,
    /// The subscription is to have the standard policy.
    pub is_retry_reset: bool,
    /// Why the address guard refuses the new URL.
    pub is_blocked: Option<Fault>,
    /// Event types that nobody knows and that the webhook did not take before.
    pub faults: Vec<Fault>,
    /// Why the retry policy cannot be: its delays are longer than a delivery may be tried for.
    pub too_long: Option<String>,
}

impl Bodies {
    /// Those of a webhook that is being made: nothing is taken and nothing is known yet but where events come from.
    #[must_use]
    pub fn new() -> Self {
        // In order per conversation, as from the sources of Genesys Cloud; an event without a key does not wait.
        let subscription = json!({ "sources": ["*"], "types": [], "order": "key" });
        Self {
            subscription: subscription.as_object().cloned().unwrap_or_default(),
            endpoint: Map::new(),
            policy: Map::new(),
        }
    }
}

impl Default for Bodies {
    fn default() -> Self {
        Self::new()
    }
}

impl Edit {
    /// Does it to `bodies`. What the result is worth is judged when the resources are checked.
    pub fn apply(&self, bodies: &mut Bodies, own: Own<'_>) -> Applied {
        let known = types_of(&bodies.subscription);
        let strange = self.strange.iter();
        let strange = strange.filter(|strange| !known.contains(&strange.kind));
        let mut applied = Applied {
            faults: strange.map(|strange| strange.fault.clone()).collect(),
            ..Applied::default()
        };
        let url_before = bodies.endpoint.get("url").cloned();
        self.to_subscription(&mut bodies.subscription);
        self.to_endpoint(&mut bodies.endpoint, own);
        if bodies.endpoint.get("url") != url_before.as_ref() {
            applied.is_blocked = blocked(&bodies.endpoint);
        }
        self.to_headers(&mut bodies.endpoint, own, &mut applied);
        if let Some((kind, value)) = &self.security {
            secure(&mut bodies.endpoint, *kind, value, own, &mut applied);
        }
        sign(&mut bodies.endpoint, &self.signature, own, &mut applied);
        match self.retry {
            Some(Some(retry)) if !retry.is_that_of(own.policy) || bodies.policy.is_empty() => {
                applied.too_long = retry.too_long();
                retry.apply(&mut bodies.policy);
            }
            Some(None) => applied.is_retry_reset = true,
            Some(Some(_)) | None => {}
        }
        applied
    }

    fn to_subscription(&self, body: &mut Map<String, Json>) {
        if let Some(title) = &self.title {
            set(body, "title", Some(title.as_str().into()), None);
        }
        if let Some(description) = &self.description {
            set(
                body,
                "description",
                description.as_deref().map(Json::from),
                None,
            );
        }
        if let Some(enabled) = self.enabled {
            set(body, "enabled", Some(enabled.into()), Some(true.into()));
        }
        if let Some(events) = &self.events {
            take(body, events);
        }
        if let Some(properties) = &self.properties {
            let properties = behind_the_mask(properties, body.get("properties"));
            let properties = (!properties.is_empty()).then(|| json!(properties));
            set(body, "properties", properties, None);
        }
        if let Some(fields) = &self.fields {
            map(body, fields);
        }
    }

    fn to_endpoint(&self, body: &mut Map<String, Json>, own: Own<'_>) {
        // Without one an event's own is sent, mostly this: what shows it need not write it out.
        let unwritten = body.contains_key("url").then(|| CONTENT_TYPE.into());
        if let Some(url) = &self.url {
            let is_new = body.get("url").and_then(Json::as_str) != Some(url);
            if is_new && own.is_own_endpoint {
                allow(body, own.allow_private);
            }
            set(body, "url", Some(url.as_str().into()), None);
        }
        if let Some(method) = self.method {
            set(body, "method", Some(method.into()), Some("POST".into()));
        }
        if let Some(content_type) = &self.content_type {
            let wanted = Some(content_type.as_str().into());
            set(body, "content_type", wanted, unwritten);
        }
    }

    fn to_headers(&self, body: &mut Map<String, Json>, own: Own<'_>, applied: &mut Applied) {
        let Some(wanted) = &self.headers else {
            return;
        };
        let before = body.get("headers").and_then(Json::as_object).cloned();
        let before = before.unwrap_or_default();
        let mut headers = Map::new();
        for (header, value) in wanted {
            let known = before
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(header));
            let secret = secret_name(own.name, own.id, Use::Header(header));
            let kept = match (taken_out(header, value, &secret), known) {
                (Some((text, value)), _) => {
                    applied.secrets.push(SecretChange {
                        name: secret,
                        value: Some(value),
                    });
                    text.into()
                }
                (None, Some((_, known))) if value == MASK => known.clone(),
                (None, _) => Json::from(value.as_str()),
            };
            headers.insert(header.clone(), kept);
        }
        for header in before.keys() {
            let name = secret_name(own.name, own.id, Use::Header(header));
            let is_named = |value: &Json| value.as_str().is_some_and(|text| names(text, &name));
            if before.get(header).is_some_and(is_named) && !headers.values().any(is_named) {
                applied.secrets.push(SecretChange { name, value: None });
            }
        }
        let headers = (!headers.is_empty()).then_some(Json::Object(headers));
        set(body, "headers", headers, Some(json!({})));
    }
}

/// Why the address guard refuses the URL of this endpoint, with what it allows. The fault has no field yet.
fn blocked(endpoint: &Map<String, Json>) -> Option<Fault> {
    let allow = endpoint.get("allow_private").and_then(Json::as_array);
    let allow = allow.into_iter().flatten().filter_map(Json::as_str);
    let allow: Vec<IpNet> = allow.filter_map(|range| range.parse().ok()).collect();
    let url = endpoint.get("url")?.as_str()?.parse().ok()?;
    read::blocked(&url, &allow, String::new())
}

/// Gives `key` the value, unless it has it already; `default` is what an absent one means.
fn set(body: &mut Map<String, Json>, key: &str, value: Option<Json>, default: Option<Json>) {
    let now = body.get(key).or(default.as_ref());
    if now == value.as_ref() || (value.is_none() && now == default.as_ref()) {
        return;
    }
    match value {
        Some(value) => {
            body.insert(key.to_owned(), value);
        }
        None => {
            body.remove(key);
        }
    }
}

/// `wanted`, with what stands `before` for each property that is sent back as it is shown. One with nothing behind its
/// mask is left, and refused with the resource.
fn behind_the_mask(
    wanted: &BTreeMap<String, String>,
    before: Option<&Json>,
) -> BTreeMap<String, String> {
    let kept = |key: &str| before?.get(key)?.as_str().map(str::to_owned);
    let whole = wanted.iter().map(|(key, value)| {
        let kept = (value == MASK && is_credential_property(key)).then(|| kept(key));
        let value = kept.flatten().unwrap_or_else(|| value.clone());
        (key.clone(), value)
    });
    whole.collect()
}

/// Whether `text` refers to the secret `name`.
fn names(text: &str, name: &str) -> bool {
    text.contains(&format!("{{{{secret:{name}}}}}"))
}

fn take(body: &mut Map<String, Json>, events: &Events) {
    let (kinds, filters) = (types_of(body), filters_of(body));
    let (wanted, filters): (Vec<String>, BTreeMap<String, String>) = match events {
        Events::These(wanted) => (wanted.clone(), filters),
        Events::Also(more) => {
            let new = more.iter().filter(|kind| !kinds.contains(kind));
            (kinds.iter().chain(new).cloned().collect(), filters)
        }
        Events::Filtered(events) => (
            events.iter().map(|event| event.kind.clone()).collect(),
            events
                .iter()
                .filter_map(|event| Some((event.kind.clone(), event.filter.clone()?)))
                .collect(),
        ),
    };
    let filters: BTreeMap<String, String> = filters
        .into_iter()
        .filter(|(kind, _)| wanted.contains(kind))
        .collect();
    if wanted != kinds {
        take_own(body, &kinds, &wanted);
    }
    set(body, "types", Some(json!(wanted)), Some(json!(["*"])));
    let filters = (!filters.is_empty()).then(|| json!(filters));
    set(body, "filters", filters, None);
}

/// Events of our own come from a source that must be named: it is, once one of them is taken.
fn take_own(body: &mut Map<String, Json>, before: &[String], after: &[String]) {
    let is_own = |kind: &String| {
        let pattern = TypePattern::parse(kind).ok().filter(|_| kind != "*");
        pattern.is_some_and(|pattern| alert::TYPES.iter().any(|own| pattern.matches(own)))
    };
    let sources = body.get("sources").and_then(Json::as_array).cloned();
    let mut sources = sources.unwrap_or_default();
    let has = sources.iter().any(|source| source == OWN_SOURCE);
    let is_ours = sources
        .iter()
        .all(|source| source == "*" || source == OWN_SOURCE);
    if after.iter().any(is_own) && !has {
        sources.push(OWN_SOURCE.into());
    } else if is_ours && has && before.iter().any(is_own) && !after.iter().any(is_own) {
        sources.retain(|source| source != OWN_SOURCE);
    } else {
        return;
    }
    body.insert("sources".into(), sources.into());
}

fn map(body: &mut Map<String, Json>, fields: &[FieldMapping]) {
    if fields.is_empty() {
        body.remove("map");
        return;
    }
    let before = body.get("map").and_then(Json::as_object).cloned();
    let before = before.unwrap_or_default();
    let mut map = Map::new();
    for FieldMapping {
        source,
        destination,
    } in fields
    {
        // A default for it has no word in the dialect: it stays while the source is the same.
        let known = before.get(destination);
        let is_same = known
            .and_then(|rule| rule.get("path"))
            .is_some_and(|path| path == source);
        let rule = known.filter(|_| is_same).cloned();
        map.insert(
            destination.clone(),
            rule.unwrap_or_else(|| source.as_str().into()),
        );
    }
    if before != map {
        body.remove("body");
        body.remove("preset");
        body.insert("map".into(), map.into());
    }
}

/// Adds ranges to those that the endpoint may lie in.
fn allow(body: &mut Map<String, Json>, ranges: &[IpNet]) {
    let now = body.get("allow_private").and_then(Json::as_array).cloned();
    let mut now = now.unwrap_or_default();
    for range in ranges {
        let text = Json::from(range.to_string());
        if !now.contains(&text) {
            now.push(text);
        }
    }
    if !now.is_empty() {
        body.insert("allow_private".into(), now.into());
    }
}

fn secure(
    body: &mut Map<String, Json>,
    kind: SecurityKind,
    value: &Given,
    own: Own<'_>,
    applied: &mut Applied,
) {
    if security_of(body) == kind && !matches!(value, Given::Set(_)) {
        return;
    }
    let name = secret_name(own.name, own.id, Use::Credential);
    let reference = format!("{{{{secret:{name}}}}}");
    let was_named = body
        .get("auth")
        .is_some_and(|auth| names(&auth.to_string(), &name));
    if let Some(Json::Object(headers)) = body.get_mut("headers") {
        headers.retain(|header, _| !header.eq_ignore_ascii_case("authorization"));
    }
    let Given::Set(secret) = value else {
        match kind {
            SecurityKind::None => body.remove("auth"),
            // The check of the resource says what is missing.
            SecurityKind::Basic | SecurityKind::Bearer => {
                body.insert("auth".into(), json!({ "scheme": kind.name() }))
            }
        };
        if was_named {
            applied.secrets.push(SecretChange { name, value: None });
        }
        return;
    };
    let mut secret = secret.clone();
    let auth = match kind {
        SecurityKind::None => return,
        SecurityKind::Bearer => json!({ "scheme": "bearer", "token": reference }),
        SecurityKind::Basic => {
            let text = String::from_utf8_lossy(secret.expose()).into_owned();
            let (user, password) = text.split_once(':').unwrap_or((&text, ""));
            secret = switchhook_core::secret::Secret::new(password.as_bytes().to_vec());
            json!({ "scheme": "basic", "username": user, "password": reference })
        }
    };
    body.insert("auth".into(), auth);
    applied.secrets.push(SecretChange {
        name,
        value: Some(secret),
    });
}

/// Has deliveries signed with `X-Genesys-Signature`, or no longer. Other signatures stay.
fn sign(body: &mut Map<String, Json>, secret: &Given, own: Own<'_>, applied: &mut Applied) {
    let name = secret_name(own.name, own.id, Use::Signature);
    let mut signers = match body.get("sign") {
        Some(Json::Array(signers)) => signers.clone(),
        Some(one @ Json::Object(_)) => vec![one.clone()],
        Some(_) | None => Vec::new(),
    };
    let at = signers.iter().position(super::view::is_genesys_signature);
    match (secret, at) {
        (Given::Kept, _) | (Given::Removed, None) => return,
        (Given::Removed, Some(at)) => {
            let gone = signers.remove(at);
            if names(&gone.to_string(), &name) {
                applied.secrets.push(SecretChange { name, value: None });
            }
        }
        (Given::Set(value), at) => {
            let reference = Json::from(format!("{{{{secret:{name}}}}}"));
            match at.and_then(|at| signers.get_mut(at)) {
                Some(signer) => signer["secret"] = reference,
                None => signers.push(json!({ "scheme": "genesys", "secret": reference })),
            }
            applied.secrets.push(SecretChange {
                name,
                value: Some(value.clone()),
            });
        }
    }
    if signers.is_empty() {
        body.remove("sign");
    } else if body.get("sign") != Some(&Json::Array(signers.clone())) {
        body.insert("sign".into(), signers.into());
    }
}
