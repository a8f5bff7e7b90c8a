//! What is secret of a webhook: kept behind its mask, named nowhere, and nobody else's.

use super::*;

/// Has everything that only looks like a credential, and one property that is called like one.
fn described() -> Value {
    let mut body = webhook_b("Basic plan events");
    body["customProperties"] =
        json!({"api-key": "k3y-of-b", "plan": "Bearer of news", "value": "4"});
    body
}

#[tokio::test]
async fn what_is_read_and_sent_back_keeps_title_description_and_properties() {
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &described()).await);
    let name = api.name_of(&id).await;
    let patch = json!({"description": "Basic is the plan"});
    api.ask(&format!("PATCH {A}/{id}"), &[], &patch)
        .await
        .expect(200);
    let uri = format!("{B}/{id}");
    let read = api.get(&uri).await;
    let mut shown = read.expect(200);
    assert_eq!(shown["name"], "Basic plan events");
    assert_eq!(
        shown["customProperties"],
        json!({"api-key": "***", "plan": "Bearer of news", "value": "4"})
    );
    let moved = "http://127.18.0.9:65001/moved";
    shown["address"] = moved.into();
    let line = format!("PUT {uri}");
    api.ask(&line, &[("if-match", &read.etag())], &shown)
        .await
        .expect(200);
    let kept = {
        let resources = api._running.gateway().resources.lock().await;
        let body = resources.body(switchhook_wire::config::Kind::Subscription, &name);
        body.unwrap().clone()
    };
    assert_eq!(kept["title"], "Basic plan events");
    assert_eq!(kept["description"], "Basic is the plan");
    assert_eq!(kept["properties"]["api-key"], "k3y-of-b");
    assert_eq!(api.get(&uri).await.expect(200)["address"], moved);
    // The same name and endpoint once more is still seen.
    let mut twin = webhook_a("Basic plan events");
    twin["endpoint"] = moved.into();
    api.post(A, &twin).await.refused(409);
}

#[tokio::test]
async fn a_mask_with_nothing_behind_it_is_refused() {
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &described()).await);
    let name = api.name_of(&id).await;
    let mut new = described();
    new["customProperties"] = json!({"api-key": "***"});
    assert_eq!(
        api.post(B, &new).await.refused(422),
        ["customProperties.api-key"]
    );
    let uri = format!("/v1/subscriptions/{name}");
    let read = api.get(&uri).await;
    let line = format!("PUT {uri}");
    let put = api
        .ask(&line, &[("if-match", &read.etag())], &read.json()["body"])
        .await;
    assert_eq!(put.status, 422, "{put:?}");
    let etag = api.get(&uri).await.etag();
    assert_eq!(etag, read.etag());
}

#[tokio::test]
async fn no_412_repeats_what_the_request_has() {
    const PLANTED: &str = "pl4nted";
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &webhook_b("stale")).await);
    let mut in_a = webhook_a("stale");
    in_a["description"] = PLANTED.into();
    let mut in_b = webhook_b("stale");
    in_b["customProperties"]["webhook.signature.secret"] = PLANTED.into();
    let mut in_d = integration("stale");
    in_d["settings"]["headers"]["Authorization"] = format!("Bearer {PLANTED}").into();
    let in_e = json!({
        "name": "stale", "enabled": true, "url": "http://127.18.0.9:65001/d", "method": "POST",
        "security": {"type": "bearer", "value": PLANTED},
    });
    for (line, body, field) in [
        (format!("PUT {A}/{id}"), in_a, "description"),
        (format!("PUT {B}/{id}"), in_b, "customProperties"),
        (format!("PUT {D}/{id}"), in_d, "settings"),
        (format!("PUT {D}/{id}/webhook"), in_e, "security"),
    ] {
        let stale = api.ask(&line, &[("if-match", "\"old\"")], &body).await;
        let fields = stale.refused(412);
        let text = String::from_utf8_lossy(&stale.bytes).into_owned();
        assert!(!text.contains(PLANTED), "{line}: {text}");
        assert!(fields.contains(&field.to_owned()), "{line}: {text}");
    }
}

/// Makes a subscription `name` of `/v1` with an endpoint of its own; the id of the webhook.
async fn webhook_v1(api: &Api, name: &str, more: Value) -> String {
    let mut endpoint =
        json!({"url": "http://127.18.0.9:65001/v1", "allow_private": ["127.0.0.0/8"]});
    let all = endpoint.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    api.put_v1(&format!("endpoints/{name}"), endpoint).await;
    let body = json!({"sources": ["web"], "endpoint": name});
    api.put_v1(&format!("subscriptions/{name}"), body).await;
    let made = api.resource(&format!("subscriptions/{name}")).await;
    made["id"].as_str().unwrap().to_owned()
}

/// Has the webhook signed with `secret`, through B.
async fn signed(api: &Api, id: &str, secret: &str) -> Answer {
    let uri = format!("{B}/{id}");
    let etag = api.get(&uri).await.etag();
    let mut body = webhook_b("signed");
    body["customProperties"]["webhook.signature.secret"] = secret.into();
    let line = format!("PUT {uri}");
    api.ask(&line, &[("if-match", &etag)], &body).await
}

#[tokio::test]
async fn a_secret_that_is_not_the_webhooks_own_is_not_overwritten() {
    let api = Api::start().await;
    let set = json!({"value": "s3cr3t-of-somebody"});
    api.put("/v1/secrets/stripe-signature", &set).await;
    let before = api.resource("secrets/stripe-signature").await;
    assert_eq!(before["version"], 1);
    // To mention it elsewhere does not make it the webhook's own.
    for headers in [json!({}), json!({"X-Team": "{{secret:stripe-signature}}"})] {
        let id = webhook_v1(&api, "stripe", json!({"headers": headers})).await;
        // Nor is its value told by an answer that is another one.
        for value in ["mine", "s3cr3t-of-somebody"] {
            let refused = signed(&api, &id, value).await;
            refused.refused(409);
            let message = refused.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains("stripe-signature"), "{message}");
        }
    }
    // The tag changes with every version.
    let after = api.resource("secrets/stripe-signature").await;
    assert_eq!(after["etag"], before["etag"]);
    // One of its own is replaced as ever.
    let id = webhook_v1(&api, "own", json!({})).await;
    for (n, value) in ["first", "second"].into_iter().enumerate() {
        signed(&api, &id, value).await.expect(200);
        let version = api.resource("secrets/own-signature").await["version"].clone();
        assert_eq!(version, n + 1);
    }
}

#[tokio::test]
async fn a_secret_of_the_file_is_changed_there() {
    let config = format!("{CONFIG}\n[secret.filed-away-signature]\nenv = \"CRM_SECRET\"\n");
    let api = Api::with(&config).await;
    let sign = json!({"sign": {"scheme": "genesys", "secret": "{{secret:filed-away-signature}}"}});
    let id = webhook_v1(&api, "filed-away", sign).await;
    let refused = signed(&api, &id, "mine").await;
    refused.refused(409);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("filed-away-signature"), "{message}");
}

/// How the flat view has a bearer token set.
fn bearer(name: &str, path: &str, token: &str) -> Value {
    json!({
        "name": name, "enabled": true, "url": format!("http://127.18.0.9:65001/{path}"), "method": "POST",
        "security": {"type": "bearer", "value": token},
    })
}

#[tokio::test]
async fn a_secret_stays_while_another_resource_mentions_it() {
    let api = Api::start().await;
    let first = Api::id(&api.post(A, &webhook_a("first")).await);
    let name = api.name_of(&first).await;
    let flat = format!("{D}/{first}/webhook");
    api.put(&flat, &bearer("first", "a", "t0ken"))
        .await
        .expect(200);
    let secret = format!("secrets/{name}-credential");
    // The second one gets a copy of the endpoint, which names the secret of the first.
    let body = json!({"sources": ["web"], "endpoint": name, "title": "second"});
    api.put_v1("subscriptions/second", body).await;
    let second = api.resource("subscriptions/second").await["id"].clone();
    let second = second.as_str().unwrap().to_owned();
    let patch = json!({"endpoint": "http://127.18.0.9:65001/second"});
    api.ask(&format!("PATCH {A}/{second}"), &[], &patch)
        .await
        .expect(200);
    assert_eq!(
        api.resource(&secret).await["users"],
        json!([format!("endpoint {name}"), "endpoint second"])
    );
    // Neither an edit nor a deletion of the first takes it away.
    let mut none = bearer("first", "a", "");
    none["security"] = json!({"type": "none"});
    api.put(&flat, &none).await.expect(200);
    assert_eq!(
        api.resource(&secret).await["users"],
        json!(["endpoint second"])
    );
    api.ask(&format!("DELETE {A}/{first}"), &[], &Value::Null)
        .await;
    assert_eq!(api.resource(&secret).await["version"], 1);
    let audit = api.resource("audit?pageSize=500").await.to_string();
    assert!(
        audit.contains("secret.set") && !audit.contains("secret.delete"),
        "{audit}"
    );
    // By itself it is deleted by who says so.
    let line = format!("DELETE /v1/{secret}?force=true");
    let etag = api.get(&format!("/v1/{secret}")).await.etag();
    let gone = api.ask(&line, &[("if-match", &etag)], &Value::Null).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(api.get(&format!("/v1/{secret}")).await.status, 404);
}

#[tokio::test]
async fn a_secret_that_nobody_else_mentions_goes_with_its_webhook() {
    let api = Api::start().await;
    let id = Api::id(&api.post(A, &webhook_a("alone")).await);
    let name = api.name_of(&id).await;
    let flat = format!("{D}/{id}/webhook");
    api.put(&flat, &bearer("alone", "a", "t0ken"))
        .await
        .expect(200);
    let line = format!("DELETE {A}/{id}");
    let gone = api.ask(&line, &[], &Value::Null).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    let secret = api.get(&format!("/v1/secrets/{name}-credential")).await;
    assert_eq!(secret.status, 404);
}
