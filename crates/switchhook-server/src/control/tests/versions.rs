//! Tags, preconditions and idempotency keys of changes.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};
use switchhook_store::batch::Room;

use super::{Answer, Api};

fn endpoint(timeout: &str) -> Value {
    json!({"url": "https://example.com/hook", "timeout": timeout})
}

impl Api {
    pub(super) async fn with_headers(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&'static str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = self.request(method, uri, Body::from(body.to_string()));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.send(request).await
    }

    pub(super) async fn put_with(
        &self,
        uri: &str,
        header: (&'static str, &str),
        body: &Value,
    ) -> Answer {
        self.with_headers(Method::PUT, uri, &[header], body).await
    }
}

#[tokio::test]
async fn a_change_without_a_tag_is_told_which_one_to_send() {
    let api = Api::start().await;
    let made = api.put("/v1/endpoints/wfm", endpoint("1s")).await;
    let tag = made.header("etag").to_owned();
    assert_eq!(api.get("/v1/endpoints/wfm").await.header("etag"), tag);
    for method in [Method::PUT, Method::DELETE] {
        let bare = api
            .with_headers(method, "/v1/endpoints/wfm", &[], &endpoint("2s"))
            .await;
        assert_eq!(
            (bare.status.as_u16(), &*bare.problem(), bare.header("etag")),
            (428, "precondition-required", &*tag)
        );
        assert!(bare.json()["hint"].as_str().unwrap().contains(&tag));
    }
    assert_eq!(api.get("/v1/endpoints/wfm").await.json()["version"], 1);
}

#[tokio::test]
async fn of_two_who_change_the_same_version_one_wins_and_the_other_learns_what_differs() {
    let api = Api::start().await;
    let uri = "/v1/endpoints/wfm";
    let tag = api.put(uri, endpoint("1s")).await.header("etag").to_owned();
    let (a, b) = (endpoint("2s"), endpoint("3s"));
    let (a, b) = tokio::join!(
        api.put_with(uri, ("if-match", &tag), &a),
        api.put_with(uri, ("if-match", &tag), &b)
    );
    let (won, lost) = if a.status == 200 { (a, b) } else { (b, a) };
    assert_eq!((won.status.as_u16(), lost.status.as_u16()), (200, 412));
    assert_eq!(lost.problem(), "precondition-failed");
    assert_eq!(lost.header("etag"), won.header("etag"));
    assert_eq!(lost.json()["errors"][0]["pointer"], "/timeout");
}

#[tokio::test]
async fn what_is_made_only_if_it_is_not_there_is_made_once() {
    let api = Api::start().await;
    let create = ("if-none-match", "*");
    let uri = "/v1/endpoints/wfm";
    let made = api.put_with(uri, create, &endpoint("1s")).await;
    let again = api.put_with(uri, create, &endpoint("2s")).await;
    assert_eq!((made.status.as_u16(), again.status.as_u16()), (201, 412));
    assert_eq!(api.get(uri).await.json()["body"]["timeout"], "1s");
}

#[tokio::test]
async fn who_has_what_is_there_is_not_sent_it_again() {
    let api = Api::start().await;
    let tag = api.get("/v1/endpoints/crm").await.header("etag").to_owned();
    let get = |tag: String| {
        let api = &api;
        async move {
            let header = [("if-none-match", &*tag)];
            api.with_headers(Method::GET, "/v1/endpoints/crm", &header, &json!(null))
                .await
        }
    };
    let same = get(tag.clone()).await;
    assert_eq!((same.status.as_u16(), same.bytes.len()), (304, 0));
    assert_eq!(same.header("etag"), tag);
    assert_eq!(get("\"other\"".to_owned()).await.status, 200);
}

#[tokio::test]
async fn a_deleted_resource_that_is_made_again_has_a_higher_version() {
    let api = Api::start().await;
    let uri = "/v1/endpoints/wfm";
    let first = api.put(uri, endpoint("1s")).await.json();
    api.delete(uri).await;
    let second = api.put(uri, endpoint("1s")).await.json();
    assert_eq!(
        (&first["version"], &second["version"]),
        (&json!(1), &json!(3))
    );
    assert_ne!(first["etag"], second["etag"]);
    let rows = api.gateway().store.resources().unwrap();
    assert_eq!(rows[0].version, 3);
}

#[tokio::test]
async fn a_repeated_request_gets_the_answer_of_the_first_and_does_nothing() {
    let api = Api::start().await;
    let uri = "/v1/endpoints/wfm";
    let key = ("idempotency-key", "key-1");
    let first = api.put_with(uri, key, &endpoint("1s")).await;
    let second = api.put_with(uri, key, &endpoint("1s")).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.header("etag"), second.header("etag"));
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            second.header("idempotency-replayed")
        ),
        ("", "true")
    );
    assert_eq!(api.get(uri).await.json()["version"], 1);
    let audited = api.get("/v1/audit?action=resource.put").await.json();
    assert_eq!(audited["entities"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_path() {
    let api = Api::start().await;
    let key = ("idempotency-key", "key-1");
    api.put_with("/v1/endpoints/wfm", key, &endpoint("1s"))
        .await;
    for (uri, body) in [
        ("/v1/endpoints/wfm", endpoint("2s")),
        ("/v1/endpoints/other", endpoint("1s")),
    ] {
        let other = api.put_with(uri, key, &body).await;
        assert_eq!(
            (other.status.as_u16(), &*other.problem()),
            (422, "idempotency-mismatch")
        );
    }
    assert_eq!(api.get("/v1/endpoints/other").await.status, 404);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let api = Api::start().await;
    let key = ("idempotency-key", "key-1");
    let wrong = json!({"url": "nowhere"});
    let uri = "/v1/endpoints/wfm";
    assert_eq!(api.put_with(uri, key, &wrong).await.status, 422);
    assert_eq!(api.put_with(uri, key, &endpoint("1s")).await.status, 201);
}

#[tokio::test]
async fn nothing_is_kept_of_a_trial_and_its_key_stays_free() {
    let api = Api::start().await;
    let (key, uri) = (("idempotency-key", "key-1"), "/v1/endpoints/wfm");
    for _ in 0..2 {
        let trial = format!("{uri}?dryRun=true");
        let trial = api.put_with(&trial, key, &endpoint("1s")).await;
        assert_eq!(
            (trial.status.as_u16(), trial.header("idempotency-replayed")),
            (200, "")
        );
    }
    let (store, now) = (&api.gateway().store, api.gateway().clock.now());
    let kept = || store.documents(Room::Answer, None, 9, now).unwrap().len();
    assert_eq!(kept(), 0);
    assert_eq!(api.put_with(uri, key, &endpoint("1s")).await.status, 201);
    assert_eq!(kept(), 1);
}

#[tokio::test]
async fn the_built_in_policy_is_replaced_by_who_names_its_tag_or_none() {
    let uri = "/v1/policies/standard";
    let body = json!({"fixed": {"delay": "1h"}, "max_attempts": 3});
    let api = Api::start().await;
    let tag = api.get(uri).await.header("etag").to_owned();
    let stale = api.put_with(uri, ("if-match", "\"stale\""), &body).await;
    assert_eq!(
        (stale.status.as_u16(), stale.header("etag")),
        (412, tag.as_str())
    );
    let meant = api.put_with(uri, ("if-match", &tag), &body).await;
    assert_eq!(meant.status, 201, "{}", meant.text());
    // It is there by somebody's hand now, and needs its tag as everything does.
    let bare = api.with_headers(Method::PUT, uri, &[], &body).await;
    assert_eq!(bare.status, 428);
    for headers in [&[][..], &[("if-none-match", "*")]] {
        let api = Api::start().await;
        let made = api.with_headers(Method::PUT, uri, headers, &body).await;
        assert_eq!(made.status, 201, "{headers:?}: {}", made.text());
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let api = Api::start().await;
    for key in ["", "two words", &"x".repeat(256)] {
        let answer = api
            .put_with(
                "/v1/endpoints/wfm",
                ("idempotency-key", key),
                &endpoint("1s"),
            )
            .await;
        assert_eq!(answer.problem(), "invalid-request", "{key:?}");
    }
}

#[tokio::test]
async fn the_audit_log_says_what_a_resource_was_and_what_it_is_without_its_secrets() {
    let api = Api::start().await;
    let uri = "/v1/endpoints/wfm";
    let body = |token: &str| json!({"url": "https://example.com/hook", "headers": {"Authorization": token}});
    api.put(uri, body("Bearer pl4nted-one")).await;
    api.put(uri, body("Bearer pl4nted-two")).await;
    let audited = api.get("/v1/audit").await;
    assert!(!audited.text().contains("pl4nted"), "{}", audited.text());
    let entries = audited.json();
    let detail = |n: usize| entries["entities"][n]["detail"].clone();
    assert_eq!(detail(1)["before"], Value::Null);
    assert_eq!(detail(1)["after"]["url"], "https://example.com/hook");
    assert_eq!(detail(0)["before"], detail(0)["after"]);
    assert_eq!(detail(0)["version"], 2);
}

#[tokio::test]
async fn a_body_with_a_secret_in_it_is_sealed_on_disk_and_opened_at_the_next_start() {
    let api = Api::start().await;
    let body =
        json!({"url": "https://example.com/hook", "headers": {"Authorization": "Bearer pl4nted"}});
    api.put("/v1/endpoints/wfm", body.clone()).await;
    api.put("/v1/endpoints/plain", endpoint("1s")).await;
    let rows = api.gateway().store.resources().unwrap();
    let text = |name: &str| {
        let row = rows.iter().find(|row| *row.name == *name).unwrap();
        row.body.clone().unwrap()
    };
    assert!(text("wfm").starts_with("sealed:"), "{}", text("wfm"));
    assert!(text("plain").contains("example.com"));
    let opened = crate::control::opened(&api.gateway().vault, rows).unwrap();
    let wfm = opened.iter().find(|row| &*row.name == "wfm").unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(wfm.body.as_ref().unwrap()).unwrap(),
        body
    );
}
