//! `POST /v1/sources/{name}/test-event`: an event that goes through the whole of ingest, signed as the source needs it.
//!
//! The body is the asker's. Without one it is the smallest that this source's rules can read: a type, a key, and an
//! identity that no other event has. `type` and `set` are written into it. Nothing marks the event as a test further on:
//! that everything works is just what it shows.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use switchhook_core::source::{DedupBy, KindRule, Source};
use switchhook_core::verify::prove;
use switchhook_wire::api::TestEventRequest;
use switchhook_wire::problem::{Body as Problem, Kind};
use uuid::Uuid;

use super::Control;
use super::answer::{Answer, Refusal};
use super::request::{Faults, Params, optional_json};

/// The type of a test event that names none.
const KIND: &str = "switchhook.test";
/// Most elements that a list grows to when a value is set in it.
const ITEMS_MAX: usize = 1_000;

pub(super) async fn send(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let gateway = &control.gateway;
    let source = gateway.plan.load().sources.get(&*name).cloned();
    let source = source.ok_or_else(|| Problem::source_unknown(&name))?;
    let asked: TestEventRequest = optional_json(body).await?.unwrap_or_default();
    let id = format!("test_{}", Uuid::now_v7().simple());
    let (headers, body) = event(&source, asked, &id)?;
    let proof = prove(
        &source.verify,
        &id,
        &body,
        &*gateway.secrets,
        gateway.clock.now(),
    )
    .map_err(|error| Refusal::new(Kind::SecretUnavailable, error.to_string()))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("/in/{}", source.name)
        .parse()
        .map_err(Refusal::internal)?;
    *request.headers_mut() = headers;
    request.headers_mut().extend(proof);
    Ok(gateway.ingest.handle(request).await.map(Body::new))
}

/// Headers and body of the event, without the proof.
fn event(source: &Source, asked: TestEventRequest, id: &str) -> Answer<(HeaderMap, Bytes)> {
    let mut faults = Faults::default();
    let mut headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let is_ours = asked.body.is_none();
    let mut body = asked.body.unwrap_or_else(|| smallest(source, id));
    let kind = asked.kind.or_else(|| is_ours.then(|| KIND.to_owned()));
    match (&source.kind, kind) {
        (KindRule::Pointer(pointer), Some(kind)) => {
            write(
                &mut body,
                "type",
                &pointer.to_string(),
                kind.into(),
                &mut faults,
            );
        }
        (KindRule::Header(header), Some(kind)) => insert(&mut headers, header, &kind, &mut faults),
        (KindRule::Fixed(fixed), Some(kind)) if **fixed != *kind && !is_ours => {
            faults.malformed(
                "type",
                format!("every event of this source has the type `{fixed}`"),
            );
        }
        (KindRule::Fixed(_), _) | (_, None) => {}
    }
    for (path, value) in asked.set {
        write(&mut body, "set", &path, value, &mut faults);
    }
    if let DedupBy::Header(header) = &source.dedup.by {
        insert(&mut headers, header, id, &mut faults);
    }
    faults.none()?;
    Ok((headers, Bytes::from(body.to_string())))
}

/// The smallest body that the source's rules can read.
fn smallest(source: &Source, id: &str) -> Value {
    let mut body = json!({ "testId": id });
    // Where two rules point into each other, the first stands: it is a test, and `set` can mend it.
    let mut unheeded = Faults::default();
    if let Some(pointer) = source.key.first() {
        write(
            &mut body,
            "key",
            &pointer.to_string(),
            "test".into(),
            &mut unheeded,
        );
    }
    if let DedupBy::Pointers(pointers) = &source.dedup.by {
        for pointer in pointers {
            write(
                &mut body,
                "id",
                &pointer.to_string(),
                id.into(),
                &mut unheeded,
            );
        }
    }
    body
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str, faults: &mut Faults) {
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => {
            headers.insert(name, value);
        }
        _ => faults.malformed(
            "type",
            format!("the value cannot stand in the header `{name}`"),
        ),
    }
}

/// Writes `value` at `path`: a JSON pointer, or member names with dots between them.
fn write(body: &mut Value, member: &str, path: &str, value: Value, faults: &mut Faults) {
    let tokens: Vec<String> = match path.strip_prefix('/') {
        Some(pointer) => pointer
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect(),
        None if path.is_empty() => Vec::new(),
        None => path.split('.').map(str::to_owned).collect(),
    };
    match place(body, &tokens) {
        Some(place) => *place = value,
        None => faults.malformed(
            member,
            format!("nothing can be written at `{path}`: a value that has no members stands there"),
        ),
    }
}

/// The place that the tokens lead to; objects and elements that are missing are made.
fn place<'v>(value: &'v mut Value, tokens: &[String]) -> Option<&'v mut Value> {
    tokens.iter().try_fold(value, |value, token| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(members) => Some(members.entry(token.as_str()).or_insert(Value::Null)),
            Value::Array(items) => {
                let index = token.parse().ok().filter(|index| *index < ITEMS_MAX)?;
                if items.len() <= index {
                    items.resize(index.saturating_add(1), Value::Null);
                }
                items.get_mut(index)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use switchhook_core::pointer::Pointer;
    use switchhook_core::source::{Dedup, Verify};

    use super::*;

    fn source(kind: KindRule, by: DedupBy) -> Source {
        Source {
            name: "web".into(),
            verify: Verify::None,
            kind,
            key: vec![Pointer::parse("/channel/from/id").unwrap()],
            dedup: Dedup {
                by,
                window_ms: 60_000,
            },
            body_bytes_max: 1_024,
            keep_headers: vec![],
        }
    }

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    #[test]
    fn without_a_body_the_event_has_what_the_rules_of_the_source_read() {
        let source = source(
            KindRule::Pointer(pointer("/type")),
            DedupBy::Pointers(vec![pointer("/id"), pointer("/channel/time")]),
        );
        let (_, body) = event(&source, TestEventRequest::default(), "test_1").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({"type": KIND, "id": "test_1", "testId": "test_1",
                "channel": {"from": {"id": "test"}, "time": "test_1"}})
        );
    }

    #[test]
    fn type_and_identity_go_where_the_source_reads_them() {
        let source = source(
            KindRule::Header("x-type".into()),
            DedupBy::Header("webhook-id".into()),
        );
        let asked = TestEventRequest {
            kind: Some("a.b".into()),
            body: Some(json!({"a": [1]})),
            set: [
                ("a.2".to_owned(), json!(3)),
                ("/b~1c".to_owned(), json!(true)),
            ]
            .into(),
        };
        let (headers, body) = event(&source, asked, "test_1").unwrap();
        assert_eq!(
            (&headers["x-type"], &headers["webhook-id"]),
            (&"a.b".parse().unwrap(), &"test_1".parse().unwrap())
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({"a": [1, null, 3], "b/c": true})
        );
    }

    #[test]
    fn a_path_through_a_plain_value_is_refused() {
        let source = source(KindRule::Fixed("x".into()), DedupBy::Content);
        let set = [
            ("a.b".to_owned(), json!(1)),
            ("c.9999".to_owned(), json!(1)),
        ]
        .into();
        let asked = TestEventRequest {
            body: Some(json!({"a": "text", "c": []})),
            set,
            kind: Some("y".into()),
        };
        let errors = event(&source, asked, "test_1")
            .unwrap_err()
            .body()
            .errors
            .len();
        assert_eq!(errors, 3);
    }
}
