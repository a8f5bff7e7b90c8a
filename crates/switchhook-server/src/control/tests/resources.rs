//! Resources: made, changed and deleted through the API, beside those of the file.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Api, SECRET};
use crate::control::Resources;

fn endpoint() -> Value {
    json!({"url": "https://example.com/hook", "headers": {"Authorization": "Bearer {{secret:web}}"}})
}

#[tokio::test]
async fn a_resource_is_made_changed_used_and_deleted() {
    let api = Api::start().await;
    let made = api.put("/v1/endpoints/wfm", endpoint()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let view = made.json();
    assert_eq!(
        (&view["version"], &view["owner"], &view["kind"]),
        (&json!(1), &json!("api"), &json!("endpoint"))
    );
    assert_eq!(view["body"], endpoint());

    let mut slower = endpoint();
    slower["timeout"] = json!("30s");
    let changed = api.put("/v1/endpoints/wfm", slower.clone()).await;
    assert_eq!(
        (changed.status.as_u16(), &changed.json()["version"]),
        (200, &json!(2))
    );
    assert_eq!(api.get("/v1/endpoints/wfm").await.json()["body"], slower);
    assert_eq!(
        api.gateway().plan.load().endpoints["wfm"].timeout_ms,
        30_000
    );

    let subscription = json!({"sources": ["web"], "endpoint": "wfm", "types": ["Call"]});
    assert_eq!(
        api.put("/v1/subscriptions/web-to-wfm", subscription)
            .await
            .status,
        201
    );
    let end = api.gateway().store.tail().end();
    let cursors = api.gateway().store.cursors().unwrap();
    let mut own = cursors.iter().filter(|c| *c.subscription == *"web-to-wfm");
    assert_eq!(own.next().unwrap().offset, end);

    let refused = api.delete("/v1/endpoints/wfm").await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.problem()),
        (409, "in-use")
    );
    assert!(refused.text().contains("web-to-wfm"), "{}", refused.text());

    for uri in ["/v1/subscriptions/web-to-wfm", "/v1/endpoints/wfm"] {
        assert_eq!(api.delete(&format!("{uri}?dryRun=true")).await.status, 204);
        assert_eq!(api.get(uri).await.status, 200);
        assert_eq!(api.delete(uri).await.status, 204);
        assert_eq!(api.get(uri).await.problem(), "not-found");
    }
    assert!(!api.gateway().plan.load().endpoints.contains_key("wfm"));
}

#[tokio::test]
async fn what_the_file_declares_is_shown_and_cannot_be_changed_here() {
    let api = Api::start().await;
    let view = api.get("/v1/endpoints/crm").await.json();
    assert_eq!(
        (&view["owner"], &view["definedAt"]),
        (&json!("file"), &json!("switchhook.toml:18"))
    );
    for answer in [
        api.put("/v1/endpoints/crm", endpoint()).await,
        api.delete("/v1/endpoints/crm").await,
    ] {
        assert_eq!(
            (answer.status.as_u16(), &*answer.problem()),
            (409, "owned-by-file")
        );
        assert!(
            answer.text().contains("switchhook.toml:18"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(
        api.delete("/v1/policies/standard").await.problem(),
        "conflict"
    );
}

#[tokio::test]
async fn a_list_holds_the_file_s_and_the_api_s_by_name_and_in_pages() {
    let api = Api::start().await;
    for name in ["aaa", "zzz"] {
        api.put(&format!("/v1/endpoints/{name}"), endpoint()).await;
    }
    let names = |list: &Value| -> Vec<String> {
        let entities = list["entities"].as_array().unwrap().iter();
        entities
            .map(|view| {
                format!(
                    "{} {}",
                    view["name"].as_str().unwrap(),
                    view["owner"].as_str().unwrap()
                )
            })
            .collect()
    };
    let whole = api.get("/v1/endpoints").await.json();
    assert_eq!(
        (names(&whole), &whole["nextUri"]),
        (
            vec!["aaa api".into(), "crm file".into(), "zzz api".into()],
            &Value::Null
        )
    );
    let first = api.get("/v1/endpoints?pageSize=2").await.json();
    let second = api.get(first["nextUri"].as_str().unwrap()).await.json();
    assert_eq!(
        (names(&first).len(), names(&second)),
        (2, vec!["zzz api".to_owned()])
    );
    assert_eq!(
        names(&api.get("/v1/policies").await.json()),
        ["slow file", "standard built-in"]
    );
}

#[tokio::test]
async fn a_body_that_breaks_rules_is_refused_with_all_of_them_and_changes_nothing() {
    let api = Api::start().await;
    let wrong = json!({"ulr": "https://example.com", "timeout": "5 minutes", "concurrency": 0});
    let answer = api.put("/v1/endpoints/wfm", wrong).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.problem()),
        (422, "invalid-resource")
    );
    let body = answer.json();
    let errors = body["errors"].as_array().unwrap();
    for pointer in ["/ulr", "/timeout", "/concurrency"] {
        assert!(
            errors.iter().any(|error| error["pointer"] == pointer),
            "{pointer}: {body}"
        );
    }
    let dangling = json!({"sources": ["web"], "endpoint": "nowhere"});
    assert_eq!(
        api.put("/v1/subscriptions/s", dangling).await.problem(),
        "invalid-resource"
    );
    let dry = api.put("/v1/endpoints/wfm?dryRun=true", endpoint()).await;
    assert_eq!(
        (dry.status.as_u16(), &dry.json()["version"]),
        (200, &json!(1))
    );
    assert_eq!(api.get("/v1/endpoints/wfm").await.problem(), "not-found");
    assert!(api.gateway().store.resources().unwrap().is_empty());
}

#[tokio::test]
async fn no_secret_comes_back_out() {
    let api = Api::start().await;
    let source = json!({"verify": {"scheme": "open-messaging", "secrets": ["l1teral-secret"]}});
    let made = api.put("/v1/sources/other", source).await;
    assert_eq!(made.status, 201, "{}", made.text());
    for uri in [
        "/v1/sources/other",
        "/v1/sources",
        "/v1/secrets",
        "/v1/endpoints",
        "/metrics",
        "/v1/stats",
    ] {
        let answer = api.get(uri).await;
        assert!(
            answer.status == 200 && !answer.text().contains("l1teral-secret"),
            "{uri}"
        );
        assert!(!answer.text().contains(SECRET), "{uri}");
    }
    // It works all the same.
    assert_eq!(
        api.post("/v1/sources/other/test-event", json!({}))
            .await
            .status,
        202
    );
    let secrets = api.get("/v1/secrets").await.json();
    assert_eq!(
        secrets["entities"][0]["place"],
        json!({"env": "WEB_SECRET"})
    );
}

#[tokio::test]
async fn resources_of_the_api_are_there_after_a_restart() {
    let api = Api::start().await;
    api.put("/v1/endpoints/wfm", endpoint()).await;
    api.put("/v1/endpoints/gone", endpoint()).await;
    api.delete("/v1/endpoints/gone").await;
    let rows = api.gateway().store.resources().unwrap();
    let config = &api.gateway().config;
    let opened = Resources::open(config, BTreeSet::new(), rows).unwrap();
    let plan = opened.plan();
    assert_eq!(
        plan.endpoints
            .keys()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["crm", "wfm"]
    );
}
