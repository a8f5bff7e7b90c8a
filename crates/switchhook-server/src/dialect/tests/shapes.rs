//! Shapes, statuses and limits of each dialect.

use super::*;

#[tokio::test]
async fn a_webhook_of_a_is_made_once_for_a_name_and_an_endpoint() {
    let api = Api::start().await;
    let made = api.post(A, &webhook_a("once")).await;
    let body = made.expect(201);
    let id = body["id"].as_str().unwrap();
    assert_eq!(body["links"]["self"], format!("http://127.0.0.1{A}/{id}"));
    assert_eq!(made.header("location"), format!("{A}/{id}"));
    assert_eq!(body["version"], 1);
    let mut bare = body.clone();
    for added in ["id", "links", "version"] {
        bare.as_object_mut().unwrap().remove(added);
    }
    assert_eq!(bare, webhook_a("once"));

    let again = api.post(A, &webhook_a("once")).await;
    again.refused(409);
    assert!(again.json()["message"].as_str().unwrap().contains(id));
    let mut elsewhere = webhook_a("once");
    elsewhere["endpoint"] = "http://127.18.0.9:65001/other".into();
    let other = Api::id(&api.post(A, &elsewhere).await);
    api.put(&format!("{A}/{other}"), &webhook_a("once"))
        .await
        .refused(409);
    let all = api.get(A).await.expect(200);
    assert_eq!(all["total"], 3);
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_at_once() {
    let api = Api::start().await;
    let kinds: Vec<String> = (0..16).map(|n| format!("v2.users.{n}.presence")).collect();
    let mut body = webhook_a("faulty");
    body["eventTypes"] = json!(kinds);
    body["retryPolicy"]["retryInterval"] = "1 minute".into();
    body["nmae"] = "x".into();
    let refused = api.post(A, &body).await;
    let mut fields = refused.refused(422);
    fields.sort();
    assert_eq!(fields, ["eventTypes", "nmae", "retryPolicy.retryInterval"]);
    let body = refused.json();
    assert_eq!(body["details"].as_array().unwrap().len(), 3);
    assert!(body["details"][0]["fieldName"].is_string());

    let mut body = webhook_a("faulty");
    body["eventTypes"] = json!(["call:cretaed"]);
    body["endpoint"] = "https://10.0.0.1/hook".into();
    assert_eq!(
        api.post(A, &body).await.refused(422),
        ["eventTypes[0]", "endpoint"]
    );
    body["state"] = "on".into();
    assert_eq!(
        api.post(A, &body).await.refused(422),
        ["state", "eventTypes[0]", "endpoint"]
    );

    let mut body = webhook_a("faulty");
    body["eventTypes"] = json!(["call:created", "call:cretaed"]);
    let refused = api.post(A, &body).await;
    assert_eq!(refused.refused(422), ["eventTypes[1]"]);
    assert_eq!(
        refused.json()["errors"][0]["hint"],
        "did you mean `call:created`?"
    );

    api.ask("POST /api/v2/webhooks", &[], &json!([]))
        .await
        .refused(400);
    api.ask("POST /api/v2/webhooks", &[], &Value::Null)
        .await
        .refused(400);
    let mut body = webhook_b("faulty");
    body["eventFilters"][0]["filter"] = "event.nothing ==".into();
    assert_eq!(
        api.post(B, &body).await.refused(422),
        ["eventFilters[0].filter"]
    );
}

#[tokio::test]
async fn a_url_that_the_address_guard_refuses_is_told_by_the_field_of_the_dialect() {
    let api = Api::start().await;
    for url in [
        "http://10.0.0.1/hook",
        "https://169.254.169.254/latest",
        "ftp://example.com/",
        "http://example.com:22/",
    ] {
        let mut a = webhook_a("private");
        a["endpoint"] = url.into();
        assert_eq!(api.post(A, &a).await.refused(422), ["endpoint"], "{url}");
        let mut b = webhook_b("private");
        b["address"] = url.into();
        assert_eq!(api.post(B, &b).await.refused(422), ["address"], "{url}");
        let mut d = integration("private");
        d["settings"]["url"] = url.into();
        assert_eq!(
            api.post(D, &d).await.refused(422),
            ["settings.url"],
            "{url}"
        );
    }
    let id = Api::id(&api.post(A, &webhook_a("allowed")).await);
    let name = api.name_of(&id).await;
    let endpoint = api.resource(&format!("endpoints/{name}")).await;
    assert_eq!(endpoint["body"]["allow_private"], json!(["127.0.0.0/8"]));

    let strict = CONFIG.replace("dialect_allow_private = [\"127.0.0.0/8\"]", "");
    let api = Api::with(&strict).await;
    assert_eq!(
        api.post(A, &webhook_a("plain")).await.refused(422),
        ["endpoint"]
    );
    let mut https = webhook_a("public");
    https["endpoint"] = "https://example.com/hook".into();
    Api::id(&api.post(A, &https).await);
}

#[tokio::test]
async fn the_retry_policy_of_c_has_its_limits_and_both_forms() {
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &webhook_b("retried")).await);
    let uri = format!("{C}/{id}");
    let inner = json!({"maxAttempts": 5, "retryDuration": 605});
    for body in [json!({"retryPolicy": inner}), inner.clone()] {
        let put = api.put(&uri, &body).await.expect(200);
        assert_eq!(put["id"], id.as_str());
        assert_eq!(put["retryPolicy"], inner);
    }
    assert_eq!(api.get(&uri).await.expect(200)["retryPolicy"], inner);
    for (attempts, duration, field) in [
        (101, 1, "maxAttempts"),
        (0, 1, "maxAttempts"),
        (1, 86_401, "retryDuration"),
        (1, 0, "retryDuration"),
    ] {
        let body = json!({"maxAttempts": attempts, "retryDuration": duration});
        let refused = api.put(&uri, &body).await;
        assert_eq!(refused.refused(400), [field]);
        let limit = if field == "maxAttempts" {
            "1 to 100"
        } else {
            "1 to 86400 seconds"
        };
        assert!(refused.json()["message"].as_str().unwrap().contains(limit));
    }
    // The standard policy is nobody's to change: the webhook has one of its own now.
    let name = api.name_of(&id).await;
    let subscription = api.resource(&format!("subscriptions/{name}")).await;
    assert_eq!(subscription["body"]["policy"], name.as_str());
    let preview = api.resource(&format!("policies/{name}/preview")).await;
    assert_eq!(
        preview["bands"].as_array().unwrap().last().unwrap()["latestTotalMs"],
        605_000
    );
}

#[tokio::test]
async fn event_bindings_add_types_and_the_flat_view_has_its_shape() {
    let api = Api::start().await;
    let id = Api::id(&api.post(D, &integration("CRM")).await);
    let uri = format!("{D}/{id}/eventbindings");
    let bound = api
        .post(&uri, &json!({"events": ["routing.queue.member.update"]}))
        .await;
    assert_eq!(
        bound.expect(201)["events"],
        json!(["routing.queue.member.update"])
    );
    let both = json!({"events": ["routing.queue.member.update", "integration.message.failed"]});
    assert_eq!(
        api.post(&uri, &both).await.expect(201)["events"],
        both["events"]
    );
    assert_eq!(
        api.post(&uri, &both).await.expect(200)["events"],
        both["events"]
    );
    assert_eq!(
        api.post(&uri, &json!({"events": ["nothing.such"]}))
            .await
            .refused(422),
        ["events[0]"]
    );
    assert_eq!(api.post(&uri, &json!({})).await.refused(422), ["events"]);

    let flat = api.get(&format!("{D}/{id}/webhook")).await.expect(200);
    assert_eq!(flat["method"], "PUT");
    assert_eq!(flat["security"]["type"], "bearer");
    // The first token may do everything.
    assert_eq!(flat["security"]["value"], SECRET);
    let shown = api.get(&format!("{D}/{id}")).await.expect(200);
    assert_eq!(shown["settings"], integration("CRM")["settings"]);
    assert!(!shown.to_string().contains(SECRET));
    let logs = api
        .get(&format!(
            "{D}/{id}/logs?statusCode=5xx&from=2026-01-01T00:00:00Z&pageSize=5"
        ))
        .await;
    assert_eq!(logs.expect(200)["total"], 0);
    assert_eq!(
        api.get(&format!("{D}/{id}/logs?statusCode=abc"))
            .await
            .refused(400),
        ["statusCode"]
    );
}

#[tokio::test]
async fn secrets_that_a_body_writes_out_become_secrets_of_the_store() {
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &webhook_b("signed")).await);
    let name = api.name_of(&id).await;
    let shown = api.get(&format!("{B}/{id}")).await.expect(200);
    assert_eq!(shown["customProperties"]["webhook.signature.secret"], "***");
    assert_eq!(shown["customProperties"]["made.by"], "B");
    let endpoint = api.resource(&format!("endpoints/{name}")).await;
    let reference = format!("{{{{secret:{name}-signature}}}}");
    assert_eq!(
        endpoint["body"]["sign"],
        json!([{"scheme": "genesys", "secret": reference}])
    );
    let secrets = api.resource("secrets?pageSize=500").await.to_string();
    assert!(secrets.contains(&format!("{name}-signature")), "{secrets}");

    let mut body = integration("literal");
    body["settings"]["headers"] = json!({"Authorization": "Bearer t0k3n", "X-Api-Key": "k3y"});
    let other = Api::id(&api.post(D, &body).await);
    let headers = api.get(&format!("{D}/{other}")).await.expect(200)["settings"]["headers"].clone();
    assert!(
        headers["Authorization"]
            .as_str()
            .unwrap()
            .starts_with("Bearer {{secret:"),
        "{headers}"
    );
    let flat = api.get(&format!("{D}/{other}/webhook")).await;
    assert_eq!(
        flat.expect(200)["security"],
        json!({"type": "bearer", "value": "t0k3n"})
    );
    assert_eq!(flat.header("cache-control"), "no-store");
    let audit = api.resource("audit?pageSize=500").await.to_string();
    for secret in ["t0k3n", "k3y", "s3cr3t-of-b"] {
        assert!(!audit.contains(secret), "{secret}");
    }

    // Deleted with the webhook that they were made for.
    api.ask(&format!("DELETE {B}/{id}"), &[], &Value::Null)
        .await
        .expect(204);
    let secrets = api.resource("secrets?pageSize=500").await.to_string();
    assert!(!secrets.contains(&format!("{name}-signature")), "{secrets}");
    assert_eq!(api.get(&format!("/v1/endpoints/{name}")).await.status, 404);
}

#[tokio::test]
async fn a_credential_is_set_in_the_flat_view_and_seen_by_those_who_may_read_secrets() {
    let api = Api::start().await;
    let id = Api::id(&api.post(D, &integration("flat")).await);
    let uri = format!("{D}/{id}/webhook");
    let body = json!({
        "name": "flat", "enabled": true, "url": "http://127.18.0.9:65001/d", "method": "POST",
        "security": {"type": "basic", "value": "user:pa55"},
    });
    let put = api.put(&uri, &body).await;
    let put = put.expect(200);
    assert_eq!(put["security"], json!({"type": "basic"}));
    assert_eq!(
        api.get(&uri).await.expect(200)["security"]["value"],
        "user:pa55"
    );
    let reader = api.token("reader", &["integrations:view"], 300).await;
    let seen = api
        .ask_as(&reader, &format!("GET {uri}"), &[], &Value::Null)
        .await;
    assert_eq!(seen.expect(200)["security"], json!({"type": "basic"}));
    let mut bearer = body.clone();
    bearer["security"] = json!({"type": "bearer"});
    assert_eq!(api.put(&uri, &bearer).await.refused(422), ["security"]);
    let mut none = body;
    none["security"] = json!({"type": "none"});
    assert_eq!(
        api.put(&uri, &none).await.expect(200)["security"],
        json!({"type": "none"})
    );
}
