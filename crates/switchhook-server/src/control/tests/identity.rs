//! Tokens and OAuth clients: made, shown once, counted, and gone when they are gone.

use std::path::Path;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use switchhook_core::access::Scope;
use switchhook_core::time::UnixMs;

use super::{Answer, Api};
use crate::identity::{Registry, last_use};

impl Api {
    /// A token with these scopes, which is in memory only.
    pub(super) fn adopt(&self, scopes: &[Scope], expires_at: Option<UnixMs>) -> String {
        self.gateway().identity.adopt_for_test(scopes, expires_at)
    }

    /// What making a token answers.
    pub(super) async fn made(&self, asked: Value) -> Value {
        let answer = self.post("/v1/tokens", asked).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.json()
    }

    async fn with_token(&self, token: &str, method: Method, uri: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("authorization", format!("Bearer {token}"));
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    async fn gets(&self, token: &str, uri: &str) -> u16 {
        let answer = self.with_token(token, Method::GET, uri, &json!({})).await;
        answer.status.as_u16()
    }

    /// An access token of a client.
    async fn granted(&self, id: &str, secret: &str, scope: Option<&str>) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", id)
            .append_pair("client_secret", secret);
        if let Some(scope) = scope {
            form.append_pair("scope", scope);
        }
        let request = Request::post("/oauth/token");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.finish())).unwrap())
            .await
    }
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

/// Whether a file below `dir` holds `bytes`.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let found = std::fs::read(path).unwrap();
        found.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let api = Api::start().await;
    let made = api
        .made(json!({"name": "ci", "scopes": ["read"], "expiresIn": "90d"}))
        .await;
    let (id, token) = (text(&made, "id"), text(&made, "token"));
    assert!(id.starts_with("tok_") && token.starts_with("shk_"));
    assert_eq!(
        (text(&made, "createdBy"), &made["ratePerMinute"]),
        ("first", &json!(6_000))
    );
    assert_eq!(api.gets(token, "/v1/version").await, 200);
    let uri = format!("/v1/tokens/{id}");
    let shown = api.get(&uri).await;
    assert_eq!(
        (text(&shown.json(), "name"), &shown.json()["expired"]),
        ("ci", &json!(false))
    );
    assert!(shown.json()["lastUsedAt"].is_string());
    let listed = api.get("/v1/tokens").await;
    assert_eq!(listed.json()["entities"].as_array().unwrap().len(), 2);
    for answer in [&shown, &listed, &api.get("/v1/audit").await] {
        assert!(!answer.text().contains("shk_"), "{}", answer.text());
    }
    assert_eq!(api.delete(&uri).await.status, 204);
    assert_eq!(api.gets(token, "/v1/version").await, 401);
    assert_eq!(api.get(&uri).await.status, 404);
}

#[tokio::test]
async fn the_first_token_is_in_the_audit_log_as_the_gateways_own_doing() {
    let api = Api::start().await;
    let tokens = api.get("/v1/tokens").await.json();
    let entries = api.get("/v1/audit").await.json()["entities"].clone();
    let entry = &entries[0];
    assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
    assert_eq!(
        json!([entry["actor"], entry["action"], entry["object"]]),
        json!([
            "switchhook",
            "token.create",
            format!("token/{}", text(&tokens["entities"][0], "id"))
        ])
    );
    assert_eq!(
        entry["detail"],
        json!({"name": "first", "scopes": ["admin"]})
    );
}

#[tokio::test]
async fn who_did_what_to_a_token_is_in_the_audit_log() {
    let api = Api::start().await;
    let made = api
        .made(json!({"name": "ci", "scopes": ["read", "webhook:write"]}))
        .await;
    api.delete(&format!("/v1/tokens/{}", text(&made, "id")))
        .await;
    let entries = api.get("/v1/audit").await.json()["entities"].clone();
    let object = format!("token/{}", text(&made, "id"));
    for (at, action) in ["token.delete", "token.create"].into_iter().enumerate() {
        assert_eq!(
            (text(&entries[at], "action"), text(&entries[at], "object")),
            (action, &*object)
        );
        assert_eq!(text(&entries[at], "actor"), "first");
        assert_eq!(
            entries[at]["detail"]["scopes"],
            json!(["read", "webhook:write"])
        );
    }
}

#[tokio::test]
async fn the_store_has_hashes_only_and_gives_every_token_back() {
    let api = Api::start().await;
    let made = api.made(json!({"name": "ci", "scopes": ["read"]})).await;
    let client = api
        .post("/v1/clients", json!({"name": "crm", "scopes": ["read"]}))
        .await
        .json();
    let access = api
        .granted(text(&client, "id"), text(&client, "secret"), None)
        .await
        .json();
    last_use::finish(api.gateway()).await;
    for text in [
        text(&made, "token"),
        text(&client, "secret"),
        text(&access, "access_token"),
        &*api.token,
    ] {
        assert!(text.len() > 40 && !holds(api.dir.path(), text.as_bytes()));
    }
    let now = api.gateway().clock.now();
    let again = Registry::open(&*api.gateway().store, now).unwrap();
    for token in [
        text(&made, "token"),
        text(&access, "access_token"),
        &*api.token,
    ] {
        assert!(again.knows(token, now));
    }
    // The first token made the others, and that is known too.
    assert!(again.used_for_test("first"));
    let first = again
        .ensure_first(&*api.gateway().store, now)
        .await
        .unwrap();
    assert_eq!(first, None);
}

#[tokio::test]
async fn every_fault_of_a_wish_for_a_token_is_told_and_nothing_is_made() {
    let api = Api::start().await;
    for (asked, pointers) in [
        (
            json!({"name": " x", "scopes": ["read", "root", "read"], "expiresIn": "5", "ratePerMinute": 0}),
            &[
                "/name",
                "/scopes/1",
                "/scopes/2",
                "/expiresIn",
                "/ratePerMinute",
            ][..],
        ),
        (json!({"name": "", "scopes": []}), &["/name", "/scopes"]),
        (
            json!({"name": "x", "scopes": ["read"], "expiresAt": "2001-01-01T00:00:00Z"}),
            &["/expiresAt"],
        ),
        (
            json!({"name": "x", "scopes": ["read"], "expiresAt": "x", "expiresIn": "1d"}),
            &["/expiresIn"],
        ),
    ] {
        let answer = api.post("/v1/tokens", asked.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.problem()),
            (400, "invalid-request"),
            "{asked}"
        );
        let errors = answer.json()["errors"].clone();
        let found: Vec<_> = errors
            .as_array()
            .unwrap()
            .iter()
            .map(|e| text(e, "pointer"))
            .collect();
        assert_eq!(found, pointers, "{asked}");
    }
    for (asked, expected) in [
        (json!({"name": "first", "scopes": ["read"]}), "409 conflict"),
        (
            json!({"name": "x", "scopes": ["read"], "scope": 1}),
            "400 invalid-request",
        ),
    ] {
        let answer = api.post("/v1/tokens", asked).await;
        assert_eq!(
            format!("{} {}", answer.status.as_u16(), answer.problem()),
            expected
        );
    }
    let trial = api
        .post(
            "/v1/tokens?dryRun=true",
            json!({"name": "x", "scopes": ["read"]}),
        )
        .await;
    assert_eq!(
        (trial.status.as_u16(), trial.json().get("token")),
        (200, None)
    );
    assert_eq!(
        api.get("/v1/tokens").await.json()["entities"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_repeat_with_the_same_key_makes_no_second_token() {
    let api = Api::start().await;
    let ask = || {
        let body = json!({"name": "ci", "scopes": ["read"]}).to_string();
        let mut request = api.request(Method::POST, "/v1/tokens", body);
        request
            .headers_mut()
            .insert("idempotency-key", "one".parse().unwrap());
        api.send(request)
    };
    let (one, other) = (ask().await, ask().await);
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (201, 201));
    assert_eq!(text(&one.json(), "token"), text(&other.json(), "token"));
    assert_eq!(other.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn the_last_token_for_everything_is_revoked_by_force_only() {
    let api = Api::start().await;
    let first = api.get("/v1/tokens").await.json()["entities"][0].clone();
    let uri = format!("/v1/tokens/{}", text(&first, "id"));
    let ended = api.adopt(&[Scope::Admin], Some(UnixMs(1)));
    assert_eq!(api.gets(&ended, "/v1/version").await, 401);
    let refused = api.delete(&uri).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.problem()),
        (409, "conflict")
    );
    let second = api
        .made(json!({"name": "second", "scopes": ["admin"]}))
        .await;
    assert_eq!(api.delete(&uri).await.status, 204);
    assert_eq!(api.get(&uri).await.status, 401);
    let (token, uri) = (
        text(&second, "token"),
        format!("/v1/tokens/{}?force=true", text(&second, "id")),
    );
    let forced = api
        .with_token(token, Method::DELETE, &uri, &json!({}))
        .await;
    assert_eq!(forced.status, 204);
    // The next start makes another one.
    let now = api.gateway().clock.now();
    let store = &*api.gateway().store;
    let again = Registry::open(store, now).unwrap();
    let made = again.ensure_first(store, now).await.unwrap();
    assert!(made.is_some_and(|token| again.knows(&token, now)));
}

#[tokio::test]
async fn a_token_that_passes_its_rate_waits_and_the_others_do_not() {
    let api = Api::start().await;
    let made = api
        .made(json!({"name": "ci", "scopes": ["read"], "ratePerMinute": 2}))
        .await;
    let token = text(&made, "token");
    let ask = |uri: &'static str| api.with_token(token, Method::GET, uri, &Value::Null);
    let first = ask("/v1/version").await;
    let headers = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    assert_eq!(headers.map(|name| first.header(name)), ["2", "1", "60"]);
    // What is refused for its scope counts as well.
    assert_eq!(ask("/v1/tokens").await.status, 403);
    let third = ask("/v1/version").await;
    assert_eq!(
        (third.status.as_u16(), &*third.problem()),
        (429, "too-many-requests")
    );
    let wait: u64 = third.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait) && third.header("ratelimit-remaining") == "0");
    assert_eq!(api.get("/v1/version").await.status, 200);
}

#[tokio::test]
async fn a_client_gets_tokens_of_at_most_its_own_scopes() {
    let api = Api::start().await;
    let asked = json!({"name": "crm", "scopes": ["webhook:read", "webhook:write"], "accessTokenLife": "5m"});
    let made = api.post("/v1/clients", asked).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let (id, secret) = (text(&made, "id"), text(&made, "secret"));
    assert!(id.starts_with("cli_") && secret.starts_with("shs_"));
    let all = api.granted(id, secret, None).await.json();
    assert_eq!(
        (&all["expires_in"], text(&all, "scope")),
        (&json!(300), "webhook:read webhook:write")
    );
    let narrow = api.granted(id, secret, Some("webhook:read")).await.json();
    let (all, narrow) = (text(&all, "access_token"), text(&narrow, "access_token"));
    assert!(all.starts_with("sha_"));
    let pause = "/v1/subscriptions/web-to-crm/pause";
    assert_eq!(
        api.with_token(all, Method::POST, pause, &json!({}))
            .await
            .status,
        200
    );
    assert_eq!(
        api.with_token(narrow, Method::POST, pause, &json!({}))
            .await
            .status,
        403
    );
    assert_eq!(api.gets(narrow, "/v1/version").await, 200);
    // The audit log knows the client by its name.
    assert_eq!(
        text(&api.get("/v1/audit").await.json()["entities"][0], "actor"),
        "crm"
    );
    for (secret, scope, refusal) in [
        ("shs_wrong", None, "invalid_client"),
        (secret, Some("admin"), "invalid_scope"),
        (secret, Some("everything"), "invalid_scope"),
    ] {
        let refused = api.granted(id, secret, scope).await.json();
        assert_eq!(text(&refused, "error"), refusal);
    }
    assert_eq!(
        api.get(&format!("/v1/clients/{id}")).await.json()["accessTokens"],
        2
    );
}

#[tokio::test]
async fn a_client_that_goes_takes_its_access_tokens_with_it() {
    let api = Api::start().await;
    let made = api
        .post("/v1/clients", json!({"name": "crm", "scopes": ["read"]}))
        .await
        .json();
    let (id, secret) = (text(&made, "id"), text(&made, "secret"));
    let access = api.granted(id, secret, None).await.json();
    let token = text(&access, "access_token");
    assert_eq!(api.gets(token, "/v1/version").await, 200);
    assert_eq!(api.delete(&format!("/v1/clients/{id}")).await.status, 204);
    assert_eq!(api.gets(token, "/v1/version").await, 401);
    assert_eq!(
        text(&api.granted(id, secret, None).await.json(), "error"),
        "invalid_client"
    );
    let now = api.gateway().clock.now();
    assert!(
        !Registry::open(&*api.gateway().store, now)
            .unwrap()
            .knows(token, now)
    );
}

#[tokio::test]
async fn a_rotated_secret_counts_beside_the_new_one_unless_it_may_not() {
    let api = Api::start().await;
    let made = api
        .post("/v1/clients", json!({"name": "crm", "scopes": ["read"]}))
        .await
        .json();
    let (id, first) = (text(&made, "id"), text(&made, "secret"));
    let uri = format!("/v1/clients/{id}/rotate");
    let second = api.post(&uri, json!({})).await.json();
    assert!(second["secretOverlapUntil"].is_string());
    let third = api.post(&uri, json!({"overlap": "0s"})).await.json();
    assert_eq!(third.get("secretOverlapUntil"), None);
    for (secret, is_good) in [
        (first, false),
        (text(&second, "secret"), false),
        (text(&third, "secret"), true),
    ] {
        let answer = api.granted(id, secret, None).await;
        assert_eq!(answer.status == 200, is_good, "{}", answer.text());
    }
    let fourth = api.post(&uri, json!({"overlap": "1h"})).await.json();
    for secret in [text(&third, "secret"), text(&fourth, "secret")] {
        assert_eq!(api.granted(id, secret, None).await.status, 200);
    }
    let long = api.post(&uri, json!({"overlap": "31d"})).await;
    assert_eq!(long.problem(), "invalid-request");
}

#[tokio::test]
async fn a_client_has_so_many_access_tokens_and_the_oldest_goes() {
    let api = Api::start().await;
    let asked = json!({"name": "crm", "scopes": ["read"], "ratePerMinute": 103});
    let made = api.post("/v1/clients", asked).await.json();
    let (id, secret) = (text(&made, "id"), text(&made, "secret"));
    let mut tokens = Vec::new();
    for _ in 0..101 {
        let granted = api.granted(id, secret, None).await.json();
        tokens.push(text(&granted, "access_token").to_owned());
    }
    assert_eq!(api.gets(&tokens[0], "/v1/version").await, 401);
    // The 102nd and 103rd request of this minute: all tokens of a client share its rate.
    assert_eq!(api.gets(&tokens[1], "/v1/version").await, 200);
    assert_eq!(api.gets(&tokens[100], "/v1/version").await, 200);
    assert_eq!(api.gets(&tokens[50], "/v1/version").await, 429);
    assert_eq!(api.granted(id, secret, None).await.status, 429);
    assert_eq!(
        api.get(&format!("/v1/clients/{id}")).await.json()["accessTokens"],
        100
    );
}
