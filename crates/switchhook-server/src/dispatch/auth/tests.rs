//! What an endpoint on loopback is shown, and what is not shown of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use switchhook_core::delivery::OutcomeKind;
use switchhook_core::endpoint::{ClientCredentials, Endpoint};

use super::*;
use crate::dispatch::attempt::lab::{attempt, attempt_by, event, named, sender, with_auth};
use crate::dispatch::transport::lab::{Asked, Service};

#[tokio::test]
async fn each_kind_of_auth_has_its_header_which_the_answer_cannot_repeat() {
    let header = HeaderName::from_static("x-api-key");
    for (auth, name, value) in [
        (
            Auth::Basic {
                username: "me".into(),
                password: named("token"),
            },
            "authorization",
            "Basic bWU6czNjcmV0LXRva2Vu",
        ),
        (
            Auth::Bearer(named("token")),
            "authorization",
            "Bearer s3cret-token",
        ),
        (
            Auth::ApiKey {
                header,
                key: named("token"),
            },
            "x-api-key",
            "s3cret-token",
        ),
        (
            Auth::Bearer(SecretRef::Literal(Secret::new(b"written-out".to_vec()))),
            "authorization",
            "Bearer written-out",
        ),
    ] {
        let service = Service::start(move |asked| {
            assert_eq!(asked.header(name), value);
            (403, format!("go away with {value}"))
        });
        let url = service.await.url("/");
        let outcome = attempt(with_auth(&url, auth), &event(&[])).await;
        assert_eq!(outcome.kind, OutcomeKind::Status(403));
        let detail = outcome.detail.unwrap();
        assert!(detail.ends_with("[secret]"), "{detail}");
    }
}

#[tokio::test]
async fn a_credential_that_no_header_can_carry_is_named_and_not_shown() {
    let endpoint = with_auth("http://127.0.0.1:9/", Auth::Bearer(named("unsendable")));
    let outcome = attempt(endpoint, &event(&[])).await;
    assert_eq!(outcome.kind, OutcomeKind::Failed(Failure::Secret));
    let detail = outcome.detail.unwrap();
    assert!(
        detail.starts_with("secret `unsendable` holds characters"),
        "{detail}"
    );
    assert!(!detail.contains("line"), "{detail}");
}

/// A server that gives `t1`, `t2`, … at `/token`, and takes those that `is_taken` at `/hook`; and what `/hook` was shown.
async fn guarded(is_taken: fn(&str) -> bool) -> (Endpoint, Arc<Mutex<Vec<String>>>) {
    let (given, shown) = (AtomicU32::new(0), Arc::<Mutex<Vec<String>>>::default());
    let seen = Arc::clone(&shown);
    let service = Service::start(move |asked: &Asked| {
        if asked.path == "/token" {
            let n = given.fetch_add(1, Ordering::SeqCst) + 1;
            return (200, format!(r#"{{"access_token":"token-t{n}"}}"#));
        }
        let token = asked.header("authorization").replace("Bearer token-", "");
        let status = if is_taken(&token) { 200 } else { 401 };
        seen.lock().unwrap().push(token.clone());
        (status, format!("no token-{token}"))
    })
    .await;
    let client = ClientCredentials {
        token_url: service.url("/token").parse().unwrap(),
        client_id: "us".into(),
        client_secret: named("token"),
        scope: None,
        audience: None,
        in_body: false,
    };
    let auth = Auth::ClientCredentials(Arc::new(client));
    (with_auth(&service.url("/hook"), auth), shown)
}

#[tokio::test]
async fn a_token_that_was_revoked_is_renewed_and_the_request_sent_once_more() {
    // The first attempt fetches `t1`, which is refused: no replay, since it is as new as can be.
    let (endpoint, shown) = guarded(|token| token == "t2").await;
    let (sender, event) = (sender(), event(&[]));
    let first = attempt_by(&sender, endpoint.clone(), &event).await;
    assert_eq!(first.kind, OutcomeKind::Status(401));
    assert_eq!(first.detail.as_deref(), Some("no [secret]"));
    // The second one finds `t1` in the cache.
    let second = attempt_by(&sender, endpoint.clone(), &event).await;
    assert_eq!(second.kind, OutcomeKind::Status(200));
    let third = attempt_by(&sender, endpoint, &event).await;
    assert_eq!(third.kind, OutcomeKind::Status(200));
    assert_eq!(*shown.lock().unwrap(), ["t1", "t1", "t2", "t2"]);
}

#[tokio::test]
async fn an_endpoint_that_refuses_every_token_is_asked_twice_at_most() {
    let (endpoint, shown) = guarded(|_| false).await;
    let (sender, event) = (sender(), event(&[]));
    for _ in 0..3 {
        let outcome = attempt_by(&sender, endpoint.clone(), &event).await;
        assert_eq!(outcome.kind, OutcomeKind::Status(401));
        assert_eq!(outcome.detail.as_deref(), Some("no [secret]"));
    }
    assert_eq!(*shown.lock().unwrap(), ["t1", "t1", "t2", "t2", "t3"]);
}
