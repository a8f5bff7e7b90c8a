//! Tokens, and what every refusal looks like.

use super::*;

#[tokio::test]
async fn a_client_gets_a_token_in_both_ways_and_at_both_paths() {
    let api = Api::start().await;
    let (id, secret) = api
        .client("crm", &["webhook:read", "webhook:write"], 300)
        .await;
    let header = api
        .grant(Some((&id, &secret)), "grant_type=client_credentials")
        .await;
    assert_eq!(header.status, 200, "{header:?}");
    let token = header.json();
    assert_eq!(
        (&token["token_type"], &token["expires_in"]),
        (&json!("bearer"), &json!(86_400))
    );
    assert_eq!(header.header("cache-control"), "no-store");
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=webhook:read+webhook:write"
    );
    let by_form = api.grant(None, &form).await;
    assert_eq!(by_form.json()["scope"], "webhook:read webhook:write");
    let request = Request::post("/api/v2/oauth/token").header("host", "127.0.0.1");
    let other_path = api.send(request.body(Body::from(form)).unwrap()).await;
    assert_eq!(other_path.status, 200);
    for token in [header, by_form, other_path] {
        let token = token.json()["access_token"].as_str().unwrap().to_owned();
        api.ask_as(&token, &format!("GET {A}"), &[], &Value::Null)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_bad_client_and_another_grant_are_refused_as_the_rfc_says() {
    let api = Api::start().await;
    let (id, _) = api.client("crm", &["webhook:read"], 300).await;
    let grant = "grant_type=client_credentials";
    for (basic, form, status, error) in [
        (Some((id.as_str(), "wrong")), grant, 401, "invalid_client"),
        (Some(("cli_unknown", "wrong")), grant, 401, "invalid_client"),
        (None, grant, 401, "invalid_client"),
        (None, "grant_type=password", 400, "unsupported_grant_type"),
        (None, "", 400, "invalid_request"),
    ] {
        let refused = api.grant(basic, form).await;
        assert_eq!(refused.status, status, "{form}: {refused:?}");
        let body = refused.json();
        assert_eq!(body["error"], error);
        assert!(body["error_description"].is_string());
        refused.has_the_headers_of_every_answer();
    }
}

#[tokio::test]
async fn every_refusal_has_the_shape_and_headers_of_the_dialects() {
    let api = Api::start().await;
    let (none, missing) = (
        &Value::Null,
        format!("{A}/7a0e8d2c-0000-4000-8000-000000000000"),
    );
    api.ask_as("", &format!("GET {A}"), &[], none)
        .await
        .refused(401);
    api.ask_as("shk_wrong", &format!("GET {A}"), &[], none)
        .await
        .refused(401);
    api.get(&missing).await.refused(404);
    api.get(&format!("{A}/not-an-id")).await.refused(404);
    api.get("/api/v2/nothing").await.refused(404);
    api.ask(&format!("PATCH {A}"), &[], &json!({}))
        .await
        .refused(405);
    let own = [("inin-correlation-id", "my-own-id")];
    let answer = api.ask(&format!("GET {missing}"), &own, none).await;
    answer.refused(404);
    assert_eq!(answer.json()["contextId"], "my-own-id");
    let large = json!({"name": "x".repeat(1_200_000)});
    api.post(A, &large).await.refused(413);
    // The rest of the API has its own shape.
    let v1 = api.get("/v1/endpoints/nothing").await;
    assert_eq!(v1.header("content-type"), "application/problem+json");
    assert_eq!(v1.header("inin-correlation-id"), "");
}

#[tokio::test]
async fn a_client_that_lacks_a_scope_is_told_its_name() {
    let api = Api::start().await;
    let id = Api::id(&api.post(D, &integration("scoped")).await);
    let nobody = api.token("nobody", &["replay"], 300).await;
    let nobody_reads = api.token("secrets", &["secrets"], 300).await;
    let reader = api.token("reader", &["webhook:read"], 300).await;
    for (token, line, body, scope) in [
        (
            &reader,
            format!("POST {A}"),
            webhook_a("no"),
            "webhook:write",
        ),
        (
            &reader,
            format!("POST {B}"),
            webhook_b("no"),
            "webhook:write",
        ),
        (
            &reader,
            format!("PUT {C}/{id}"),
            json!({}),
            "notification:webhook:write",
        ),
        (
            &reader,
            format!("POST {D}"),
            integration("no"),
            "integration:edit",
        ),
        (
            &nobody,
            format!("DELETE {D}/{id}"),
            Value::Null,
            "integration:edit",
        ),
        (
            &nobody_reads,
            format!("GET {A}"),
            Value::Null,
            "webhook:read",
        ),
        (
            &nobody_reads,
            format!("GET {C}/{id}"),
            Value::Null,
            "notification:webhook:read",
        ),
        (
            &nobody_reads,
            format!("GET {D}/{id}/webhook"),
            Value::Null,
            "integrations:view",
        ),
        (
            &nobody_reads,
            "GET /api/v2/eventtypes".to_owned(),
            Value::Null,
            "eventtype:read",
        ),
    ] {
        let refused = api.ask_as(token, &line, &[], &body).await;
        refused.refused(403);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(scope), "{line}: {message}");
    }
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let api = Api::start().await;
    let token = api.token("busy", &["webhook:read"], 3).await;
    let (line, mut refused) = (format!("GET {A}"), None);
    for asked in 0..5 {
        let answer = api.ask_as(&token, &line, &[], &Value::Null).await;
        assert_eq!(answer.header("inin-ratelimit-allowed"), "3");
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((asked, answer));
            break;
        }
    }
    let (asked, refused) = refused.unwrap();
    // The token request may count as well.
    assert!((2..=3).contains(&asked), "{asked}");
    refused.refused(429);
    assert_eq!(refused.json()["code"], "too.many.requests.retry.after");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(
        refused.header("retry-after"),
        refused.header("inin-ratelimit-reset")
    );
}
