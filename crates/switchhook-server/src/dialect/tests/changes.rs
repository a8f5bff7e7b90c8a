//! Versions, owners and repeated requests.

use super::*;

#[tokio::test]
async fn b_replaces_only_the_version_that_is_named() {
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &webhook_b("tagged")).await);
    let (uri, line) = (format!("{B}/{id}"), format!("PUT {B}/{id}"));
    let body = webhook_b("changed");
    api.put(&uri, &body).await.refused(428);
    let etag = api.get(&uri).await.etag();
    let first = api.ask(&line, &[("if-match", &etag)], &body).await;
    first.expect(200);
    assert_ne!(first.etag(), etag);
    let race = api
        .ask(&line, &[("if-match", &etag)], &webhook_b("late"))
        .await;
    assert!(race.refused(412).contains(&"name".to_owned()));
    assert_eq!(race.etag(), first.etag());
    assert_eq!(api.get(&uri).await.expect(200)["name"], "changed");
    let has = api
        .ask(
            &format!("GET {uri}"),
            &[("if-none-match", &first.etag())],
            &Value::Null,
        )
        .await;
    assert_eq!(has.status, 304);
    api.ask(&line, &[("if-none-match", "*")], &body)
        .await
        .refused(412);
}

#[tokio::test]
async fn a_version_in_the_body_must_be_the_one_that_is_there() {
    let api = Api::start().await;
    let id = Api::id(&api.post(A, &webhook_a("versioned")).await);
    let uri = format!("{A}/{id}");
    let mut versions = vec![api.get(&uri).await.expect(200)["version"].as_u64().unwrap()];
    let patch = json!({"version": versions[0], "state": "disabled"});
    let line = format!("PATCH {uri}");
    versions.push(
        api.ask(&line, &[], &patch).await.expect(200)["version"]
            .as_u64()
            .unwrap(),
    );
    let stale = api.ask(&line, &[], &patch).await;
    stale.refused(409);
    assert_eq!(stale.json()["code"], "general.conflict.version");
    let retry = json!({"maxAttempts": 2, "retryDuration": 1});
    versions.push(
        api.put(&format!("{C}/{id}"), &retry).await.expect(200)["version"]
            .as_u64()
            .unwrap(),
    );
    // Also what is changed elsewhere counts.
    let name = api.name_of(&id).await;
    let mut endpoint = api.resource(&format!("endpoints/{name}")).await["body"].clone();
    endpoint["timeout"] = "2s".into();
    api.put_v1(&format!("endpoints/{name}"), endpoint).await;
    versions.push(api.get(&uri).await.expect(200)["version"].as_u64().unwrap());
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let other = json!({"id": "00000000-0000-0000-0000-000000000000"});
    assert_eq!(api.ask(&line, &[], &other).await.refused(422), ["id"]);
}

#[tokio::test]
async fn what_the_file_owns_is_changed_there() {
    let api = Api::start().await;
    let id = api.resource("subscriptions/filed").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (line, body) in [
        (format!("PATCH {A}/{id}"), json!({"state": "disabled"})),
        (
            format!("PUT {C}/{id}"),
            json!({"maxAttempts": 2, "retryDuration": 1}),
        ),
        (
            format!("POST {D}/{id}/eventbindings"),
            json!({"events": ["call:created"]}),
        ),
        (format!("DELETE {A}/{id}"), Value::Null),
    ] {
        let refused = api.ask(&line, &[], &body).await;
        refused.refused(409);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("switchhook.toml"), "{line}: {message}");
    }
}

#[tokio::test]
async fn what_others_use_too_is_copied_and_not_changed() {
    let api = Api::start().await;
    let endpoint = json!({"url": "http://127.18.0.9:65001/shared", "allow_private": ["127.0.0.0/8"], "timeout": "3s"});
    api.put_v1("endpoints/shared", endpoint).await;
    api.put_v1(
        "policies/shared",
        json!({"fixed": {"delay": "5s"}, "max_attempts": 9, "retry_after_max": "1h"}),
    )
    .await;
    for name in ["one", "two"] {
        let body = json!({"sources": ["web"], "endpoint": "shared", "policy": "shared"});
        api.put_v1(&format!("subscriptions/{name}"), body).await;
    }
    let id = api.resource("subscriptions/one").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let patch = json!({"endpoint": "http://127.0.0.9:65001/own", "retryPolicy": {"retryCount": 2, "retryInterval": "PT9S"}});
    api.ask(&format!("PATCH {A}/{id}"), &[], &patch)
        .await
        .expect(200);
    let one = api.resource("subscriptions/one").await["body"].clone();
    assert_eq!(
        (&one["endpoint"], &one["policy"]),
        (&json!("one"), &json!("one"))
    );
    let own = api.resource("endpoints/one").await["body"].clone();
    assert_eq!(
        (&own["url"], &own["timeout"]),
        (&json!("http://127.0.0.9:65001/own"), &json!("3s"))
    );
    let policy = api.resource("policies/one").await["body"].clone();
    assert_eq!(policy["retry_after_max"], "1h");
    let shared = api.resource("endpoints/shared").await;
    assert_eq!(shared["body"]["url"], "http://127.18.0.9:65001/shared");
    assert_eq!(
        api.resource("policies/shared").await["body"]["max_attempts"],
        9
    );
    // Now they are its own, and no further copy is made.
    let again = json!({"endpoint": "http://127.0.0.9:65001/again"});
    api.ask(&format!("PATCH {A}/{id}"), &[], &again)
        .await
        .expect(200);
    assert_eq!(
        api.resource("endpoints/one").await["body"]["url"],
        "http://127.0.0.9:65001/again"
    );
}

#[tokio::test]
async fn an_endpoint_of_the_file_and_the_members_of_a_group_stay_where_they_are() {
    let api = Api::start().await;
    api.put_v1(
        "subscriptions/on-file",
        json!({"sources": ["web"], "endpoint": "filed"}),
    )
    .await;
    let id = api.resource("subscriptions/on-file").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let elsewhere = json!({"endpoint": "http://127.18.0.9:65001/x"});
    let refused = api.ask(&format!("PATCH {A}/{id}"), &[], &elsewhere).await;
    refused.refused(409);
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .contains("switchhook.toml")
    );
    api.ask(
        &format!("PATCH {A}/{id}"),
        &[],
        &json!({"state": "disabled"}),
    )
    .await
    .expect(200);

    for member in ["m1", "m2"] {
        let url = format!("http://127.18.0.9:65001/{member}");
        api.put_v1(
            &format!("endpoints/{member}"),
            json!({"url": url, "allow_private": ["127.0.0.0/8"]}),
        )
        .await;
    }
    api.put_v1("groups/pool", json!({"members": ["m1", "m2"]}))
        .await;
    api.put_v1(
        "subscriptions/grouped",
        json!({"sources": ["web"], "group": "pool"}),
    )
    .await;
    let id = api.resource("subscriptions/grouped").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = api.get(&format!("{A}/{id}")).await.expect(200);
    assert_eq!(shown["endpoint"], "http://127.18.0.9:65001/m1");
    api.ask(&format!("PATCH {A}/{id}"), &[], &elsewhere)
        .await
        .refused(409);
    let same = json!({"endpoint": "http://127.18.0.9:65001/m1", "description": "pooled"});
    api.ask(&format!("PATCH {A}/{id}"), &[], &same)
        .await
        .expect(200);
}

#[tokio::test]
async fn a_request_with_a_known_key_is_answered_again_and_done_once() {
    let api = Api::start().await;
    let key = [("idempotency-key", "k-1")];
    let first = api
        .ask(&format!("POST {A}"), &key, &webhook_a("keyed"))
        .await;
    first.expect(201);
    let again = api
        .ask(&format!("POST {A}"), &key, &webhook_a("keyed"))
        .await;
    assert_eq!(again.expect(201), first.json());
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.etag(), first.etag());
    api.ask(&format!("POST {A}"), &key, &webhook_a("other"))
        .await
        .refused(422);
    assert_eq!(api.get(A).await.expect(200)["total"], 2);

    let id = first.json()["id"].as_str().unwrap().to_owned();
    let (line, key) = (format!("PUT {C}/{id}"), [("idempotency-key", "k-2")]);
    let retry = json!({"maxAttempts": 3, "retryDuration": 30});
    let put = api.ask(&line, &key, &retry).await;
    assert_eq!(
        api.ask(&line, &key, &retry).await.expect(200),
        put.expect(200)
    );
}

#[tokio::test]
async fn a_trial_changes_nothing_and_a_deleted_webhook_is_gone() {
    let api = Api::start().await;
    let trial = api
        .ask(&format!("POST {A}?dryRun=true"), &[], &webhook_a("trial"))
        .await;
    trial.expect(200);
    assert_eq!(api.get(A).await.expect(200)["total"], 1);
    let id = Api::id(&api.post(A, &webhook_a("gone")).await);
    let name = api.name_of(&id).await;
    let stale = [("if-match", "\"0000\"")];
    api.ask(&format!("DELETE {A}/{id}"), &stale, &Value::Null)
        .await
        .refused(412);
    api.ask(&format!("DELETE {A}/{id}"), &[], &Value::Null)
        .await
        .expect(204);
    for uri in [
        format!("{A}/{id}"),
        format!("{D}/{id}/webhook"),
        format!("{D}/{id}/logs"),
    ] {
        api.get(&uri).await.refused(404);
    }
    for kind in ["endpoints", "policies", "subscriptions"] {
        assert_eq!(
            api.get(&format!("/v1/{kind}/{name}")).await.status,
            404,
            "{kind}"
        );
    }
    let audit = api.resource("audit?pageSize=500").await.to_string();
    assert!(audit.contains("\"via\":\"/api/v2/webhooks\""), "{audit}");
}

#[tokio::test]
async fn without_a_retry_policy_a_replaces_it_by_the_standard_one() {
    let api = Api::start().await;
    let id = Api::id(&api.post(A, &webhook_a("reset")).await);
    let mut body = webhook_a("reset");
    body.as_object_mut().unwrap().remove("retryPolicy");
    let standard = api.put(&format!("{A}/{id}"), &body).await.expect(200);
    assert_eq!(standard["retryPolicy"]["retryCount"], 6);
    // Dialect B has no word for it, so it stays.
    let retry = json!({"maxAttempts": 3, "retryDuration": 30});
    api.put(&format!("{C}/{id}"), &retry).await.expect(200);
    let etag = api.get(&format!("{B}/{id}")).await.etag();
    api.ask(
        &format!("PUT {B}/{id}"),
        &[("if-match", &etag)],
        &webhook_b("reset"),
    )
    .await
    .expect(200);
    assert_eq!(
        api.get(&format!("{C}/{id}")).await.expect(200)["retryPolicy"],
        retry
    );
}
