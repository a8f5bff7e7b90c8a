//! Schemas of the bodies of resources, which readers of the configuration read and not derived ones.
//!
//! They say which keys there are and what kind of value each takes. What a value must be like beyond that, the readers
//! say better: they name every fault at once, with what to do. A test holds the keys of both against each other.

use serde_json::{Map, Value, json};

use crate::config::Kind;

/// The name of the schema of a body.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "SourceBody",
        Kind::Policy => "PolicyBody",
        Kind::Endpoint => "EndpointBody",
        Kind::Group => "GroupBody",
        Kind::Subscription => "SubscriptionBody",
    }
}

/// What stands where a body of `kind` is meant.
pub(super) fn reference(kind: Kind) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", name(kind)) })
}

/// The schemas by name.
pub(super) fn schemas() -> Map<String, Value> {
    let schema = |kind: Kind| (name(kind).to_owned(), schema(kind));
    Kind::ALL.into_iter().map(schema).collect()
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Source => source(),
        Kind::Policy => policy(),
        Kind::Endpoint => endpoint(),
        Kind::Group => group(),
        Kind::Subscription => subscription(),
    }
}

/// An object with these members and no others.
fn object(description: &str, needed: &[&str], members: Value) -> Value {
    json!({
        "type": "object",
        "description": description,
        "required": needed,
        "properties": members,
        "additionalProperties": false,
    })
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// A span of time, with its unit.
fn span() -> Value {
    json!({ "type": "string", "examples": ["250ms", "5s", "15m", "24h", "7d"] })
}

fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn list_of(items: &Value, least: usize, most: usize) -> Value {
    json!({ "type": "array", "items": items, "minItems": least, "maxItems": most })
}

fn number(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn any_of(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}

fn switch() -> Value {
    json!({ "type": "boolean" })
}

fn source() -> Value {
    let pointers = list_of(&text(), 0, 16);
    let schemes = [
        "genesys-signature",
        "open-messaging",
        "standard-webhooks",
        "hmac",
        "bearer",
        "api-key",
        "basic",
        "none",
    ];
    let verify = object(
        "How a sender proves itself; which keys there are depends on the scheme",
        &[],
        json!({
            "scheme": words(&schemes),
            "secrets": list_of(&text(), 1, 16),
            "header": text(),
            "encoding": words(&["hex", "base64"]),
            "prefix": text(),
            "tolerance": span(),
            "user": text(),
        }),
    );
    let kind = object("", &[], json!({ "header": text(), "fixed": text() }));
    let dedup = object(
        "What makes two events the same: one of the first four",
        &[],
        json!({
            "id": any_of(&[text(), list_of(&text(), 1, 16)]),
            "header": text(),
            "content": switch(),
            "off": switch(),
            "window": span(),
        }),
    );
    object(
        "A way in",
        &["verify"],
        json!({
            "preset": words(&["open-messaging", "eventbridge", "genesys", "standard-webhooks", "webhook"]),
            "verify": verify,
            "type": any_of(&[text(), kind]),
            "key": pointers,
            "dedup": dedup,
            "body_max": { "type": "string", "examples": ["256KiB"] },
            "keep_headers": list_of(&text(), 0, 32),
            "allow_unverified": switch(),
        }),
    )
}

fn policy() -> Value {
    let growing = |step: &str| {
        let step_value = if step == "factor" {
            json!({ "type": "number" })
        } else {
            span()
        };
        object(
            "",
            &["initial"],
            json!({ "initial": span(), step: step_value, "max": span() }),
        )
    };
    let jitter = object(
        "One of both",
        &[],
        json!({ "plus-minus": { "type": "number" }, "additive": { "type": "number" } }),
    );
    let on = any_of(&[number(100, 999), text()]);
    let rule = object(
        "What is done after these results",
        &["on", "do"],
        json!({ "on": list_of(&on, 1, 32), "do": text() }),
    );
    object(
        "How hard to try: one of the first four says when",
        &[],
        json!({
            "exponential": growing("factor"),
            "linear": growing("step"),
            "fixed": object("", &["delay"], json!({ "delay": span() })),
            "matrix": object("", &["delays"], json!({ "delays": list_of(&span(), 1, 99) })),
            "jitter": any_of(&[text(), jitter]),
            "max_attempts": number(1, 100),
            "max_age": span(),
            "long": switch(),
            "retry_after_max": span(),
            "rule": list_of(&rule, 0, 32),
        }),
    )
}

fn endpoint() -> Value {
    let sign = object(
        "A signature",
        &["scheme"],
        json!({
            "scheme": words(&["standard-webhooks", "standard-webhooks-ed25519", "genesys"]),
            "secret": text(), "previous": text(), "header": text(),
        }),
    );
    let encrypt = object(
        "AES-256-GCM",
        &["secret"],
        json!({ "secret": text(), "key_id": text(), "compat": words(&["seed-002"]) }),
    );
    let auth = object(
        "Who we are to it; which keys there are depends on the scheme",
        &["scheme"],
        json!({
            "scheme": words(&["basic", "bearer", "api-key", "oauth2"]),
            "username": text(), "password": text(), "token": text(), "key": text(), "header": text(),
            "token_url": text(), "client_id": text(), "client_secret": text(), "scope": text(),
            "audience": text(), "in_body": switch(),
        }),
    );
    let tls = object(
        "Certificates",
        &[],
        json!({ "ca": text(), "client_cert": text(), "client_key": text(), "pins": list_of(&text(), 1, 16) }),
    );
    let breaker = object(
        "",
        &[],
        json!({
            "failures": number(1, 1_000), "share": { "type": "number" }, "calls": number(1, 10_000),
            "window": span(), "open": span(), "open_max": span(), "successes": number(1, 1_000),
        }),
    );
    let budget = object(
        "",
        &[],
        json!({ "share": { "type": "number", "minimum": 0, "maximum": 1 }, "per_second": number(0, 10_000) }),
    );
    let adaptive = object(
        "",
        &[],
        json!({ "min": number(1, 1_024), "max": number(1, 1_024) }),
    );
    object(
        "Where deliveries go",
        &["url"],
        json!({
            "url": text(),
            "method": words(&["POST", "PUT"]),
            "headers": { "type": "object", "additionalProperties": text(), "maxProperties": 64 },
            "content_type": text(),
            "timeout": span(),
            "allow_private": list_of(&text(), 0, 64),
            "concurrency": number(1, 1_024),
            "adaptive": any_of(&[switch(), adaptive]),
            "rate": { "type": "string", "examples": ["200/s", "10/min"] },
            "retry_budget": any_of(&[switch(), budget]),
            "breaker": any_of(&[switch(), breaker]),
            "sign": any_of(&[sign.clone(), list_of(&sign, 1, 4)]),
            "encrypt": encrypt,
            "auth": auth,
            "tls": tls,
        }),
    )
}

fn group() -> Value {
    object(
        "Endpoints that share the deliveries of subscriptions",
        &["members"],
        json!({
            "members": list_of(&text(), 1, 100),
            "affinity": words(&["key", "event-type"]),
            "partitions": number(1, 256),
            "failover_after": any_of(&[span(), switch()]),
            "members_max": number(1, 100),
            "types_per_member_max": number(1, 1_000),
        }),
    )
}

fn subscription() -> Value {
    let criterion = object(
        "As in a trigger of Genesys Cloud",
        &["jsonPath", "operator"],
        json!({ "jsonPath": text(), "operator": text(), "value": {}, "values": list_of(&json!({}), 1, 100) }),
    );
    let criteria = list_of(&criterion, 0, 64);
    let field = object(
        "",
        &["path"],
        json!({ "path": text(), "default": {}, "required": switch() }),
    );
    let start = object(
        "",
        &[],
        json!({ "offset": { "type": "integer", "minimum": 1 }, "time": text() }),
    );
    object(
        "What goes where; one of `endpoint` and `group`",
        &["sources"],
        json!({
            "title": { "type": "string", "minLength": 1, "maxLength": 256 },
            "description": { "type": "string", "maxLength": 1_024 },
            "properties": { "type": "object", "additionalProperties": text(), "maxProperties": 64 },
            "enabled": switch(),
            "sources": list_of(&text(), 1, 100),
            "types": list_of(&text(), 0, 1_000),
            "filters": { "type": "object", "additionalProperties": text() },
            "match_criteria": criteria,
            "matchCriteria": criteria,
            "when": text(),
            "map": { "type": "object", "additionalProperties": any_of(&[text(), field]), "maxProperties": 200 },
            "body": text(),
            "preset": words(&["slack", "teams", "pagerduty", "genesys"]),
            "format": words(&["raw", "envelope", "cloudevents", "cloudevents-binary"]),
            "endpoint": text(),
            "group": text(),
            "policy": text(),
            "order": words(&["none", "key", "strict"]),
            "on_exhausted": words(&["skip", "halt"]),
            "start": any_of(&[words(&["now", "earliest"]), start]),
        }),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_schemas_have_the_keys_that_the_readers_know() {
        for kind in Kind::ALL {
            let schema = schema(kind);
            let ours: BTreeSet<&str> = schema["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let theirs: BTreeSet<&str> = crate::config::keys(kind).into_iter().collect();
            assert_eq!(ours, theirs, "{kind:?}");
        }
    }
}
