//! What the dialects of webhook management have in common for a client: where a webhook is, what can be written of it,
//! and what of it must not be kept in clear. Pure; the shapes themselves are `switchhook_wire::dialect`.

use serde_json::{Map, Value, json};
use switchhook_wire::dialect::{self as wire, MASK, SIGNATURE_PROPERTY, TYPES_MAX};

/// The dialects in which webhooks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// A: `/api/v2/webhooks`
    #[default]
    Webhooks,
    /// B: `/api/v2/webhooks/webhooks`
    Lifecycle,
    /// D: `/api/v2/integrations`
    Integrations,
}

/// What a webhook is to be, in the few words that the command line has for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// What a person calls it.
    pub name: String,
    /// The URL.
    pub url: String,
    /// Its event types.
    pub event_types: Vec<String>,
}

impl Dialect {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Webhooks, Self::Lifecycle, Self::Integrations];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Lifecycle => "lifecycle",
            Self::Integrations => "integrations",
        }
    }

    /// The dialect with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The same for whoever reads bodies.
    #[must_use]
    pub const fn wire(self) -> wire::Dialect {
        match self {
            Self::Webhooks => wire::Dialect::Webhooks,
            Self::Lifecycle => wire::Dialect::Lifecycle,
            Self::Integrations => wire::Dialect::Integrations,
        }
    }

    /// Segments of the path of its list.
    #[must_use]
    pub const fn list(self) -> &'static [&'static str] {
        match self {
            Self::Webhooks => &["api", "v2", "webhooks"],
            Self::Lifecycle => &["api", "v2", "webhooks", "webhooks"],
            Self::Integrations => &["api", "v2", "integrations"],
        }
    }

    /// Most event types of one webhook; `None` where there is no such limit.
    #[must_use]
    pub const fn event_types_max(self) -> Option<usize> {
        match self {
            Self::Webhooks => Some(TYPES_MAX),
            Self::Lifecycle | Self::Integrations => None,
        }
    }

    /// The fields that can be written. The rest of an answer says where and what it is.
    const fn writable(self) -> &'static [&'static str] {
        match self {
            Self::Webhooks => &[
                "name",
                "endpoint",
                "eventTypes",
                "retryPolicy",
                "state",
                "description",
            ],
            Self::Lifecycle => &[
                "name",
                "address",
                "enabled",
                "eventFilters",
                "customProperties",
            ],
            Self::Integrations => &["name", "type", "enabled", "settings"],
        }
    }

    /// The object inside the body that is written member by member.
    const fn merged(self) -> Option<&'static str> {
        match self {
            Self::Webhooks => None,
            Self::Lifecycle => Some("customProperties"),
            Self::Integrations => Some("settings"),
        }
    }

    /// The body of a webhook as drafted. Event types of an integration are bound afterwards; they stand in `events`.
    #[must_use]
    pub fn draft(self, draft: &Draft) -> Value {
        let Draft {
            name,
            url,
            event_types,
        } = draft;
        match self {
            Self::Webhooks => json!({"name": name, "endpoint": url, "eventTypes": event_types}),
            Self::Lifecycle => {
                let filters: Vec<Value> = event_types
                    .iter()
                    .map(|kind| json!({"eventType": kind, "filter": "true"}))
                    .collect();
                json!({"name": name, "address": url, "eventFilters": filters})
            }
            Self::Integrations => {
                json!({"name": name, "type": "webhook", "settings": {"url": url}, "events": event_types})
            }
        }
    }

    /// What a person calls the webhook in `body`.
    #[must_use]
    pub fn title(self, body: &Value) -> Option<&str> {
        body.get("name")?.as_str()
    }

    /// Its URL.
    #[must_use]
    pub fn url(self, body: &Value) -> Option<&str> {
        match self {
            Self::Webhooks => body.get("endpoint")?.as_str(),
            Self::Lifecycle => body.get("address")?.as_str(),
            Self::Integrations => body.get("settings")?.get("url")?.as_str(),
        }
    }

    /// Puts another URL, name and event types into `body`: one part of several.
    pub fn set(self, body: &mut Value, draft: &Draft) {
        let Value::Object(fresh) = self.draft(draft) else {
            return;
        };
        let old_filters = body.get("eventFilters").cloned();
        for (key, value) in fresh {
            match (body.get_mut(&key), value) {
                (Some(Value::Object(there)), Value::Object(value)) => there.extend(value),
                (_, value) => {
                    if let Some(object) = body.as_object_mut() {
                        object.insert(key, value);
                    }
                }
            }
        }
        // A type keeps the filter that the body had for it.
        let old = old_filters.as_ref().and_then(Value::as_array);
        let new = body.get_mut("eventFilters").and_then(Value::as_array_mut);
        if let (Some(old), Some(new)) = (old, new) {
            for filter in new {
                let same = old
                    .iter()
                    .find(|other| other.get("eventType") == filter.get("eventType"));
                if let Some(same) = same {
                    *filter = same.clone();
                }
            }
        }
    }

    /// The event types in `body`.
    #[must_use]
    pub fn event_types(self, body: &Value) -> Vec<String> {
        let list = |name: &str| {
            body.get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let texts = |values: &mut dyn Iterator<Item = &Value>| {
            values
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect()
        };
        match self {
            Self::Webhooks => texts(&mut list("eventTypes")),
            Self::Lifecycle => {
                texts(&mut list("eventFilters").filter_map(|filter| filter.get("eventType")))
            }
            Self::Integrations => texts(&mut list("events")),
        }
    }

    /// `body` without the event types that are bound afterwards, and these.
    #[must_use]
    pub fn split(self, body: &Value) -> (Value, Option<Vec<String>>) {
        let mut body = body.clone();
        let bound = match (self, body.as_object_mut()) {
            (Self::Integrations, Some(object)) => object.remove("events"),
            (Self::Webhooks | Self::Lifecycle | Self::Integrations, _) => None,
        };
        let texts = bound.as_ref().and_then(Value::as_array).map(|events| {
            events
                .iter()
                .filter_map(|event| event.as_str().map(str::to_owned))
                .collect()
        });
        (body, texts)
    }

    /// What to send so that `wish` counts and everything else stays as `current` has it.
    #[must_use]
    pub fn merge(self, current: &Value, wish: &Value) -> Value {
        let mut merged = Map::new();
        for key in self.writable() {
            let (now, wanted) = (current.get(key), wish.get(key));
            let value = match (now, wanted) {
                (Some(Value::Object(now)), Some(Value::Object(wanted)))
                    if self.merged() == Some(key) =>
                {
                    let mut both = now.clone();
                    both.extend(wanted.clone());
                    Value::Object(both)
                }
                (_, Some(wanted)) => wanted.clone(),
                (Some(now), None) => now.clone(),
                (None, None) => continue,
            };
            merged.insert((*key).to_owned(), value);
        }
        // What the wish has beyond that is refused by the other side, not dropped here.
        for (key, value) in wish.as_object().into_iter().flatten() {
            merged.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(merged)
    }

    /// Whether `current` is already all that `wish` asks for.
    #[must_use]
    pub fn covers(self, current: &Value, wish: &Value) -> bool {
        let Some(wish) = wish.as_object() else {
            return false;
        };
        wish.iter()
            .all(|(key, wanted)| match (current.get(key), wanted) {
                (Some(Value::Object(now)), Value::Object(wanted)) => wanted
                    .iter()
                    .all(|(key, wanted)| now.get(key) == Some(wanted)),
                (now, wanted) => now == Some(wanted),
            })
    }
}

/// Words in the name of a header or property whose value is a credential.
const CREDENTIAL_WORDS: [&str; 8] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "credential",
    "api-key",
    "apikey",
];

/// `body` with every credential masked, and whether there was one. A reference to a secret of the gateway is none.
#[must_use]
pub fn masked(body: &Value) -> (Value, bool) {
    let mut body = body.clone();
    let mut is_masked = false;
    for path in [
        "/customProperties",
        "/settings/headers",
        "/headers",
        "/security",
    ] {
        let Some(Value::Object(object)) = body.pointer_mut(path) else {
            continue;
        };
        for (name, value) in object {
            let lower = name.to_ascii_lowercase().replace('_', "-");
            let is_credential = lower == SIGNATURE_PROPERTY
                || (path == "/security" && lower == "value")
                || CREDENTIAL_WORDS.iter().any(|word| lower.contains(word));
            let is_harmless = value
                .as_str()
                .is_some_and(|text| text.is_empty() || text == MASK || text.contains("{{secret:"));
            if is_credential && !is_harmless {
                *value = MASK.into();
                is_masked = true;
            }
        }
    }
    (body, is_masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_a_body_that_the_other_side_reads() {
        let draft = Draft {
            name: "a".into(),
            url: "https://a.example/hook".into(),
            event_types: vec!["call:created".into()],
        };
        for dialect in Dialect::ALL {
            let (body, bound) = dialect.split(&dialect.draft(&draft));
            let read = dialect
                .wire()
                .decode(body.to_string().as_bytes(), wire::How::Create);
            assert!(read.is_ok(), "{dialect:?}: {read:?}");
            assert_eq!(bound.is_some(), dialect == Dialect::Integrations);
            assert_eq!(dialect.url(&body), Some("https://a.example/hook"));
            assert_eq!(
                dialect.event_types(&dialect.draft(&draft)),
                ["call:created"]
            );
        }
    }

    #[test]
    fn an_update_keeps_what_the_wish_does_not_name_and_sends_nothing_that_only_tells() {
        let current = json!({"id": "1", "version": 3, "selfUri": "/x", "name": "a", "address": "https://old.example/",
            "enabled": false, "eventFilters": [], "customProperties": {"owner": "crm", "webhook.signature.secret": "***"}});
        let wish = json!({"name": "a", "address": "https://new.example/", "customProperties": {"webhook.version": "2.0"}});
        assert_eq!(
            Dialect::Lifecycle.merge(&current, &wish),
            json!({"name": "a", "address": "https://new.example/", "enabled": false, "eventFilters": [],
                "customProperties": {"owner": "crm", "webhook.signature.secret": "***", "webhook.version": "2.0"}})
        );
        let odd = Dialect::Webhooks.merge(&json!({"id": "1", "name": "a"}), &json!({"naem": "b"}));
        assert_eq!(
            odd,
            json!({"name": "a", "naem": "b"}),
            "a mistake reaches the other side"
        );
    }

    #[test]
    fn a_wish_is_covered_when_all_it_names_is_there() {
        let current =
            json!({"name": "a", "settings": {"url": "u", "httpMethod": "POST"}, "version": 1});
        let covers = |wish: Value| Dialect::Integrations.covers(&current, &wish);
        assert!(covers(json!({"name": "a", "settings": {"url": "u"}})));
        assert!(!covers(json!({"name": "a", "settings": {"url": "v"}})));
        assert!(!covers(json!({"enabled": true})));
    }

    #[test]
    fn credentials_are_masked_and_references_are_not() {
        let body = json!({
            "customProperties": {"webhook.signature.secret": "s3cret", "owner": "crm"},
            "settings": {"headers": {"Authorization": "Bearer {{secret:crm}}", "X-Api-Key": "k3y", "X-Other": "o"}},
            "security": {"type": "bearer", "value": "t0ken"},
        });
        let (shown, is_masked) = masked(&body);
        let text = shown.to_string();
        assert!(
            is_masked
                && !text.contains("s3cret")
                && !text.contains("k3y")
                && !text.contains("t0ken"),
            "{text}"
        );
        assert!(
            text.contains("{{secret:crm}}") && text.contains("\"o\"") && text.contains("\"crm\""),
            "{text}"
        );
        assert!(!masked(&shown).1, "what is masked already holds no secret");
    }

    #[test]
    fn a_part_keeps_the_rest_of_the_body_and_the_filters_of_its_types() {
        let mut body = json!({"name": "a", "address": "x", "enabled": false,
            "eventFilters": [{"eventType": "t1", "filter": "a == 1"}, {"eventType": "t2", "filter": "true"}]});
        let draft = Draft {
            name: "a-1".into(),
            url: "https://e.example/".into(),
            event_types: vec!["t1".into()],
        };
        Dialect::Lifecycle.set(&mut body, &draft);
        assert_eq!(
            body,
            json!({"name": "a-1", "address": "https://e.example/", "enabled": false,
                "eventFilters": [{"eventType": "t1", "filter": "a == 1"}]})
        );
    }
}
