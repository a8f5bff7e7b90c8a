//! What must not be shown: literal secrets in answers and in the lines that errors quote.
//!
//! Judged by where a value stands (`secrets`, a header or key that is named like a credential) and by what
//! it looks like (user information in a URL). A reference to a secret or to a variable is no secret;
//! a reference with a default is, since the default may be one. What a subscription says about itself is judged by the
//! names of its properties alone.

use std::ops::Range;

use serde_json::Value as Json;

use super::codes;
use super::node::{Node, Value};
use super::read::{Item, Report};

/// What stands in place of a masked value.
pub(crate) const MASK: &str = "***";

/// Reports a `text` that is the mask itself: what was shown must not become the secret when it is sent back.
pub(super) fn refuse_mask(text: &str, item: &Item<'_>, report: &mut Report) -> bool {
    let is_mask = text == MASK;
    if is_mask {
        let message = format!("`{MASK}` stands for a secret that is not shown");
        let hint = "write `{{secret:NAME}}`, or the value".to_owned();
        report.add(codes::MASKED, item, message, Some(hint));
    }
    is_mask
}

/// Whether a header or key is named like something that carries a credential.
pub(crate) fn is_credential_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    if name == "value" {
        return true;
    }
    // `token-url` says where a token comes from.
    let is_place = name.ends_with("-url");
    [
        "authorization",
        "cookie",
        "token",
        "secret",
        "password",
        "passphrase",
        "credential",
        "api-key",
        "apikey",
        "client-key",
        "private-key",
        "routing-key",
    ]
    .iter()
    .any(|part| !is_place && name.contains(part))
}

/// Whether `name` in `parent` is a credential: a key of `auth` and the previous secret of `sign` are; what a
/// criterion compares with is none, nor the path of a field that is called like one.
fn is_credential_at(parent: &str, name: &str) -> bool {
    match (parent, name) {
        ("auth", "key") | ("sign", "previous") => true,
        ("match_criteria" | "matchCriteria", "value") | ("map", _) => false,
        _ => is_credential_name(name),
    }
}

/// Whether a value looks like a credential whatever it is called.
pub(crate) fn is_credential_text(text: &str) -> bool {
    let start: String = text
        .chars()
        .take(7)
        .collect::<String>()
        .to_ascii_lowercase();
    ["bearer ", "basic ", "whsec_", "whsk_"]
        .iter()
        .any(|prefix| start.starts_with(prefix))
        || text.contains("PRIVATE KEY-----")
}

/// Whether `text`, under `name` in `parent`, must not be shown.
fn is_hidden(parent: &str, name: &str, text: &str) -> bool {
    let is_reference =
        (text.starts_with("{{secret:") && text.ends_with("}}") && text.matches("{{").count() == 1)
            || (text.starts_with("${env:")
                && text.ends_with('}')
                && !text.contains(":-")
                && text.matches("${").count() == 1);
    let has_userinfo = text.split_once("://").is_some_and(|(_, rest)| {
        rest.split(['/', '?', '#'])
            .next()
            .is_some_and(|authority| authority.contains('@'))
    });
    !is_reference && (is_credential_at(parent, name) || is_credential_text(text) || has_userinfo)
}

/// Whether a property of a subscription is named like a credential. `value` says nothing here.
pub(crate) fn is_credential_property(key: &str) -> bool {
    key != "value" && is_credential_name(key)
}

/// The body of a resource with what must not be shown replaced.
///
/// What a subscription says about itself is free text, and what it looks like means nothing: title and description are
/// always shown, properties unless they are named like a credential.
pub(crate) fn masked(json: &Json) -> Json {
    let Json::Object(fields) = json else {
        return mask_under("", "", json);
    };
    let shown = fields.iter().map(|(key, value)| {
        let shown = match (&**key, value) {
            ("title" | "description", Json::String(_)) => value.clone(),
            ("properties", Json::Object(properties)) => properties.iter().map(property).collect(),
            _ => mask_under("", key, value),
        };
        (key.clone(), shown)
    });
    Json::Object(shown.collect())
}

fn property((key, value): (&String, &Json)) -> (String, Json) {
    let is_shown = value.is_string() && !is_credential_property(key);
    let shown = if is_shown {
        value.clone()
    } else {
        mask_under("properties", key, value)
    };
    (key.clone(), shown)
}

fn mask_under(parent: &str, name: &str, json: &Json) -> Json {
    match json {
        Json::String(text) if is_hidden(parent, name, text) => Json::String(mask_text(text)),
        Json::Array(items) => {
            let masked = items.iter().map(|item| mask_under(parent, name, item));
            Json::Array(masked.collect())
        }
        Json::Object(fields) => Json::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), mask_under(name, key, value)))
                .collect(),
        ),
        Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
    }
}

/// Keeps what tells how a header is built: its scheme word and a reference at its end.
fn mask_text(text: &str) -> String {
    match text.split_once(' ') {
        Some((scheme, rest)) if is_credential_text(text) && !is_hidden("", "secret", rest) => {
            format!("{scheme} {rest}")
        }
        _ => MASK.to_owned(),
    }
}

/// The places of the text that must not be shown.
pub(super) fn hidden_spans(node: &Node) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    collect("", "", node, &mut spans);
    spans
}

fn collect(parent: &str, name: &str, node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(fields) => {
            for field in fields {
                // `[secret] web = "…"` is wrong, but it is a secret all the same.
                let direct = name == "secret" && matches!(field.node.value, Value::Text(_));
                let key = if direct { name } else { &field.key };
                collect(name, key, &field.node, spans);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(parent, name, item, spans)),
        Value::Text(text)
            if is_hidden(parent, name, &text.text) && mask_text(&text.text) == MASK =>
        {
            spans.extend(node.span.clone());
        }
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Other(_)
        | Value::Unfilled => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literal_secrets_are_masked_and_references_are_not() {
        let body = json!({
            "verify": {"scheme": "hmac", "secrets": ["s3cr3t", "{{secret:web}}", "${env:WEB}", "${env:WEB:-dflt}"]},
            "headers": {
                "Authorization": "Bearer abc", "X-Auth": "Bearer {{secret:crm}}", "X-Api-Key": "{{secret:a}}{{secret:b}}x",
                "X-Team": "blue",
            },
            "url": "https://user:pass@example.com/hook",
            "auth": {"scheme": "api-key", "key": "s3cr3t"},
            "sign": [{"scheme": "genesys", "secret": "{{secret:a}}", "previous": "s3cr3t"}],
            "encrypt": {"secret": "s3cr3t", "key_id": "k1"},
            "tls": {"client_key": "s3cr3t", "ca": "-----BEGIN CERTIFICATE-----", "pins": ["sha256/AA=="]},
        });
        assert_eq!(
            masked(&body),
            json!({
                "verify": {"scheme": "hmac", "secrets": ["***", "{{secret:web}}", "${env:WEB}", "***"]},
                "headers": {
                    "Authorization": "***", "X-Auth": "Bearer {{secret:crm}}", "X-Api-Key": "***", "X-Team": "blue",
                },
                "url": "***",
                "auth": {"scheme": "api-key", "key": "***"},
                "sign": [{"scheme": "genesys", "secret": "{{secret:a}}", "previous": "***"}],
                "encrypt": {"secret": "***", "key_id": "k1"},
                "tls": {"client_key": "***", "ca": "-----BEGIN CERTIFICATE-----", "pins": ["sha256/AA=="]},
            })
        );
    }

    #[test]
    fn what_is_only_called_like_a_secret_is_shown() {
        let body = json!({
            "auth": {"token_url": "https://login.example.com/token", "client_id": "id", "client_secret": "{{secret:a}}"},
            "match_criteria": [{"jsonPath": "$.a", "operator": "Equal", "value": "VOICE"}],
            "map": {"token": "data.token", "secret_id": {"path": "secretId"}},
            "key": ["/conversationId"],
            "dedup": {"id": "/id"},
        });
        assert_eq!(masked(&body), body);
    }

    #[test]
    fn what_a_subscription_says_about_itself_is_shown_but_for_properties_called_like_a_credential()
    {
        let body = json!({
            "title": "Basic plan events",
            "description": "see https://me@example.com/, Bearer of news",
            "properties": {
                "value": "4", "plan": "Basic plan", "link": "https://me@example.com/",
                "api-key": "s3cr3t", "access_token": "s3cr3t", "secret.ref": "{{secret:a}}",
            },
            "headers": {"title": "Basic s3cr3t", "properties": "Bearer s3cr3t"},
        });
        let mut shown = body.clone();
        shown["properties"]["api-key"] = MASK.into();
        shown["properties"]["access_token"] = MASK.into();
        shown["headers"] = json!({"title": MASK, "properties": MASK});
        assert_eq!(masked(&body), shown);
    }

    #[test]
    fn a_private_key_is_masked_wherever_it_stands() {
        let body = json!({"tls": {"client_cert": "-----BEGIN PRIVATE KEY-----\nabc"}});
        assert_eq!(masked(&body), json!({"tls": {"client_cert": "***"}}));
    }
}
