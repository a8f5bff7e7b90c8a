//! Who is let in, and how a request is refused.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::Api;
use crate::control::request::BODY_BYTES_MAX;

fn bare(uri: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::builder().uri(uri);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn nothing_but_probes_and_metrics_is_open_without_the_token() {
    let api = Api::start().await;
    for uri in ["/livez", "/readyz", "/readyz?verbose", "/metrics"] {
        assert_eq!(api.send(bare(uri, None)).await.status, 200, "{uri}");
    }
    let wrong = format!("{}x", api.token);
    for uri in [
        "/v1/version",
        "/v1/events",
        "/v1/stats",
        "/v1/nothing",
        "/nothing",
        "/livez/",
    ] {
        for token in [
            None,
            Some("shk_"),
            Some(&*wrong),
            Some("shk_0123456789012345678901234567890123456789012"),
        ] {
            let answer = api.send(bare(uri, token)).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.problem()),
                (401, "unauthorized"),
                "{uri} {token:?}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        assert_ne!(api.get(uri).await.status, 401, "{uri}");
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_the_right_status() {
    let api = Api::start().await;
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    for (line, body, refusal) in [
        ("GET /v1/nothing", "", "404 not-found"),
        ("DELETE /v1/events", "", "405 method-not-allowed"),
        ("GET /v1/events/evt_1", "", "404 not-found"),
        (
            "GET /v1/events/evt_00000000000000000000000000000009/timeline",
            "",
            "404 not-found",
        ),
        ("GET /v1/deadLetters/x", "", "404 not-found"),
        (
            "GET /v1/deadLetters/a:evt_00000000000000000000000000000009",
            "",
            "404 not-found",
        ),
        (
            "GET /v1/deadLetters/dlv_00000000000000000000000000000009",
            "",
            "404 not-found",
        ),
        ("GET /v1/deadLetters?after=x", "", "400 invalid-request"),
        ("GET /v1/events?before=0", "", "400 invalid-request"),
        ("GET /v1/policies/none/preview", "", "404 not-found"),
        ("GET /v1/endpoints/none", "", "404 not-found"),
        ("DELETE /v1/endpoints/none", "", "404 not-found"),
        ("PUT /v1/endpoints/new", "{", "400 not-json"),
        ("PUT /v1/endpoints/new", "", "400 not-json"),
        ("PUT /v1/endpoints/new", &large, "413 body-too-large"),
        (
            "PUT /v1/endpoints/new?dry=true",
            "{}",
            "400 invalid-request",
        ),
        ("PUT /v1/secrets/new", "{}", "404 not-found"),
        ("POST /v1/deadLetters:replay", "{}", "400 invalid-request"),
        (
            "POST /v1/deadLetters:discard",
            r#"{"filter":{"endpiont":"crm"}}"#,
            "400 invalid-request",
        ),
        (
            "POST /v1/sources/none/test-event",
            "{}",
            "404 source-unknown",
        ),
        (
            "POST /v1/sources/web/test-event",
            r#"{"bodi":1}"#,
            "400 invalid-request",
        ),
        ("POST /v1/endpoints/none/probe", "", "404 not-found"),
        (
            "POST /v1/store/backup",
            r#"{"path":"relative"}"#,
            "400 invalid-request",
        ),
    ] {
        let (method, uri) = line.split_once(' ').unwrap();
        let request = api.request(method.parse().unwrap(), uri, body.to_owned());
        let answer = api.send(request).await;
        let found = format!("{} {}", answer.status.as_u16(), answer.problem());
        assert_eq!(found, refusal, "{line}");
    }
    let answer = api.delete("/v1/events").await;
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn every_fault_of_a_query_is_in_the_answer() {
    let api = Api::start().await;
    let answer = api
        .get("/v1/deadLetters?reason=tired&since=now&status=7&pageSize=0&endpiont=crm&eventId=1")
        .await;
    assert_eq!(answer.problem(), "invalid-request");
    let body = answer.json();
    let pointers: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(
        json!(pointers),
        json!([
            "/status",
            "/eventId",
            "/reason",
            "/since",
            "/pageSize",
            "/endpiont"
        ])
    );
}

#[tokio::test]
async fn every_answer_names_its_request_and_takes_over_an_id_that_can_stand_in_a_log() {
    let api = Api::start().await;
    assert!(
        api.get("/v1/version")
            .await
            .header("x-request-id")
            .starts_with("req_")
    );
    for (given, taken) in [
        ("abc-1.2_3", true),
        ("a b", false),
        ("", false),
        (&"x".repeat(65), false),
    ] {
        let mut request = api.request(Method::GET, "/v1/nothing", "");
        request
            .headers_mut()
            .insert("x-request-id", given.parse().unwrap());
        let answer = api.send(request).await;
        answer.problem();
        assert_eq!(answer.header("x-request-id") == given, taken, "{given}");
    }
}
