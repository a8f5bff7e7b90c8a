//! What must not be shown: literal secrets in answers and in the lines that errors quote.
//!
//! Judged by where a value stands (`secrets`, a header or key that is named like a credential) and by what
//! it looks like (user information in a URL). A reference to a secret or to a variable is no secret;
//! a reference with a default is, since the default may be one.

use std::ops::Range;

use serde_json::Value as Json;

use super::codes;
use super::node::{Node, Value};
use super::read::{Item, Report};

/// What stands in place of a masked value.
const MASK: &str = "***";

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
pub(super) fn is_credential_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    if name == "value" {
        return true;
    }
    [
        "authorization",
        "cookie",
        "token",
        "secret",
        "password",
        "credential",
        "api-key",
        "apikey",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// Whether a value looks like a credential whatever it is called.
pub(super) fn is_credential_text(text: &str) -> bool {
    let start: String = text
        .chars()
        .take(7)
        .collect::<String>()
        .to_ascii_lowercase();
    start.starts_with("bearer ") || start.starts_with("basic ") || start.starts_with("whsec_")
}

/// Whether `text`, under `name`, must not be shown.
fn is_hidden(name: &str, text: &str) -> bool {
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
    !is_reference && (is_credential_name(name) || is_credential_text(text) || has_userinfo)
}

/// `json` with what must not be shown replaced.
pub(super) fn masked(json: &Json) -> Json {
    mask_under("", json)
}

fn mask_under(name: &str, json: &Json) -> Json {
    match json {
        Json::String(text) if is_hidden(name, text) => Json::String(mask_text(text)),
        Json::Array(items) => {
            Json::Array(items.iter().map(|item| mask_under(name, item)).collect())
        }
        Json::Object(fields) => Json::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), mask_under(key, value)))
                .collect(),
        ),
        Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
    }
}

/// Keeps what tells how a header is built: its scheme word and a reference at its end.
fn mask_text(text: &str) -> String {
    match text.split_once(' ') {
        Some((scheme, rest)) if is_credential_text(text) && !is_hidden("secret", rest) => {
            format!("{scheme} {rest}")
        }
        _ => MASK.to_owned(),
    }
}

/// The places of the text that must not be shown.
pub(super) fn hidden_spans(node: &Node) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    collect("", node, &mut spans);
    spans
}

fn collect(name: &str, node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(fields) => {
            for field in fields {
                // `[secret] web = "…"` is wrong, but it is a secret all the same.
                let direct = name == "secret" && matches!(field.node.value, Value::Text(_));
                collect(if direct { name } else { &field.key }, &field.node, spans);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(name, item, spans)),
        Value::Text(text) if is_hidden(name, &text.text) && mask_text(&text.text) == MASK => {
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
        });
        assert_eq!(
            masked(&body),
            json!({
                "verify": {"scheme": "hmac", "secrets": ["***", "{{secret:web}}", "${env:WEB}", "***"]},
                "headers": {
                    "Authorization": "***", "X-Auth": "Bearer {{secret:crm}}", "X-Api-Key": "***", "X-Team": "blue",
                },
                "url": "***",
            })
        );
    }
}
