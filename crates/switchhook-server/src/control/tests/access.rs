//! Who is let in, and how a request is refused.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;
use switchhook_core::access::Scope;
use switchhook_core::time::UnixMs;
use tower_service::Service as _;

use super::Api;
use crate::control::request::BODY_BYTES_MAX;
use crate::control::routes::{Access, Route, table};
use crate::identity::MissingScope;

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

/// What a route needs by the rule that people are told, without the table.
fn needed(method: &Method, path: &str) -> Option<Scope> {
    let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let looks = *method == Method::GET;
    if is(&["/livez", "/readyz", "/metrics"]) || path.ends_with("/oauth/token") {
        None
    } else if is(&["/v1/tokens", "/v1/clients", "/v1/store/backup"]) {
        Some(Scope::Admin)
    } else if looks {
        Some(Scope::Read)
    } else if is(&["/v1/config"]) {
        Some(Scope::Admin)
    } else if is(&["/v1/secrets"]) {
        Some(Scope::Secrets)
    } else if is(&["/v1/deadLetters", "/v1/jobs"]) {
        Some(Scope::Replay)
    } else {
        Some(Scope::Write)
    }
}

/// Whether a token with these scopes may do what needs `scope`, written out.
fn allows(scopes: &[Scope], scope: Scope) -> bool {
    let has = |scope| scopes.contains(&scope);
    has(Scope::Admin)
        || has(scope)
        || (scope == Scope::Read && (has(Scope::Write) || has(Scope::Replay)))
}

/// Every set of scopes.
fn sets() -> impl Iterator<Item = Vec<Scope>> {
    let chosen = |set: u32| {
        let all = Scope::ALL.into_iter().enumerate();
        all.filter(move |(at, _)| set & (1 << at) != 0)
            .map(|(_, scope)| scope)
            .collect()
    };
    (0..1 << Scope::ALL.len()).map(chosen)
}

/// The status, and the scope that a refusal names. The body of an answer that goes on for ever is not waited for.
async fn asked(
    api: &Api,
    method: &Method,
    path: &str,
    token: Option<&str>,
) -> (u16, Option<&'static str>) {
    let mut request = bare(
        &path.replace("{name}", "none").replace("{id}", "none"),
        token,
    );
    *request.method_mut() = method.clone();
    let response = api.router.clone().call(request).await.unwrap();
    let missing = response.extensions().get::<MissingScope>();
    (
        response.status().as_u16(),
        missing.map(|MissingScope(name)| *name),
    )
}

#[tokio::test]
async fn every_route_lets_through_who_has_its_scope_and_nobody_else() {
    let api = Api::start().await;
    let tokens: Vec<_> = sets().map(|set| (api.adopt(&set, None), set)).collect();
    assert_eq!(tokens.len(), 32);
    for Route {
        method,
        path,
        access,
        ..
    } in table()
    {
        let scope = needed(&method, &path);
        for (token, set) in &tokens {
            let (status, missing) = asked(&api, &method, &path, Some(token)).await;
            assert_ne!(status, 401, "{method} {path} {set:?}");
            let refused = scope.filter(|scope| !allows(set, *scope));
            let named = match access {
                Access::Needs(_, name) => refused.map(|_| name),
                Access::Open => None,
            };
            assert_eq!(missing, named, "{method} {path} {set:?}");
            assert_eq!(status == 403, refused.is_some(), "{method} {path} {set:?}");
        }
    }
}

#[tokio::test]
async fn no_route_lets_a_token_through_that_is_missing_unknown_expired_or_revoked() {
    let api = Api::start().await;
    let expired = api.adopt(&[Scope::Admin], Some(UnixMs(1)));
    let revoked = api.made(json!({"name": "a", "scopes": ["admin"]})).await;
    let uri = format!("/v1/tokens/{}", revoked["id"].as_str().unwrap());
    let revoked = revoked["token"].as_str().unwrap();
    assert_eq!(api.send(bare(&uri, Some(revoked))).await.status, 200);
    assert_eq!(api.delete(&uri).await.status, 204);
    let unknown = "shk_0123456789012345678901234567890123456789012";
    for Route {
        method,
        path,
        access,
        ..
    } in table()
    {
        for token in [None, Some(unknown), Some(&*expired), Some(revoked)] {
            let (status, _) = asked(&api, &method, &path, token).await;
            let is_open = access == Access::Open;
            // An open route may have reasons of its own to refuse.
            let holds = (status == 401) != is_open || path.ends_with("/oauth/token");
            assert!(holds, "{method} {path} {status}");
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_scope_that_is_missing() {
    let api = Api::start().await;
    let token = api.adopt(&[Scope::Read], None);
    let mut request = bare("/v1/endpoints/crm/pause", Some(&token));
    *request.method_mut() = Method::POST;
    let answer = api.send(request).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.problem()),
        (403, "forbidden")
    );
    assert!(answer.text().contains("`write`"), "{}", answer.text());
    assert_eq!(
        api.send(bare("/v1/endpoints/crm", Some(&token)))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_for_another_host_or_from_another_page_reaches_no_handler() {
    let api = Api::start().await;
    for (name, value, expected) in [
        ("host", "evil.example", "421 host-refused"),
        ("origin", "https://evil.example", "403 forbidden"),
    ] {
        for token in [None, Some(&*api.token)] {
            let mut request = bare("/v1/version", token);
            request.headers_mut().insert(name, value.parse().unwrap());
            let answer = api.send(request).await;
            let found = format!("{} {}", answer.status.as_u16(), answer.problem());
            assert_eq!(found, expected);
        }
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
        ("PUT /v1/secrets/new", "{}", "400 invalid-request"),
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
