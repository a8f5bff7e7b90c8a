//! Promise: a token is fetched once, used while it is good, and replaced once where it is refused.

use std::time::Duration;

use serde_json::json;
use switchhook_genesys::client::Ask;
use switchhook_genesys::refusal::Error;
use switchhook_genesys::token::Style;

use crate::lab::{Does, Lab, SECRET};

const PATH: [&str; 3] = ["api", "v2", "webhooks"];

#[tokio::test]
async fn many_askers_wait_for_one_fetch_and_all_get_its_token() {
    let lab = Lab::new(|_| Does::json(200, json!({}))).await;
    let (client, _) = lab.client();
    let client = std::sync::Arc::new(client);
    let askers: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(
                async move { client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status },
            )
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap(), 200);
    }
    assert_eq!((lab.tokens(), lab.asked().len()), (1, 50));
    assert!(
        lab.asked()
            .iter()
            .all(|seen| seen.header("authorization") == "Bearer token-1")
    );
}

#[tokio::test]
async fn many_askers_share_a_failure_too() {
    let lab = Lab::bare(|_| Does::json(401, json!({"error": "invalid_client"}))).await;
    let (client, _) = lab.client();
    let client = std::sync::Arc::new(client);
    // All of them ask before the first one is answered.
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            async move { client.token().await.unwrap_err().status() }
        })
        .collect();
    let mut set = tokio::task::JoinSet::new();
    askers.into_iter().for_each(|asker| {
        set.spawn(asker);
    });
    assert!(
        set.join_all()
            .await
            .into_iter()
            .all(|status| status == Some(401))
    );
    assert_eq!(lab.tokens(), 1);
    assert_eq!(client.token().await.unwrap_err().status(), Some(401));
    assert_eq!(lab.tokens(), 2, "who asks later asks anew");
}

#[tokio::test]
async fn a_token_is_replaced_a_minute_before_its_end() {
    let lab = Lab::new(|_| Does::json(200, json!({}))).await;
    let (client, around) = lab.client();
    client.call(&Ask::get(&PATH), &mut ()).await.unwrap();
    around.pass(86_400_000 - 60_001);
    client.call(&Ask::get(&PATH), &mut ()).await.unwrap();
    assert_eq!(lab.tokens(), 1);
    around.pass(1);
    client.call(&Ask::get(&PATH), &mut ()).await.unwrap();
    assert_eq!(lab.tokens(), 2);
}

#[tokio::test]
async fn a_401_is_answered_with_one_new_token_and_one_replay() {
    let lab = Lab::new(|seen| match seen.header("authorization") {
        "Bearer token-1" => Does::refuses(401),
        _ => Does::json(200, json!({"ok": true})),
    })
    .await;
    let (client, around) = lab.client();
    let answer = client.call(&Ask::get(&PATH), &mut ()).await.unwrap();
    assert_eq!(answer.body, json!({"ok": true}));
    assert_eq!(
        (lab.tokens(), lab.asked().len(), around.waits().len()),
        (2, 2, 0)
    );
}

#[tokio::test]
async fn a_second_401_is_told_and_not_tried_again() {
    let lab = Lab::new(|_| Does::refuses(401)).await;
    let (client, _) = lab.client();
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!((lab.tokens(), lab.asked().len()), (2, 2));
}

#[tokio::test]
async fn a_token_refused_to_many_is_fetched_once() {
    let lab = Lab::new(|seen| match seen.header("authorization") {
        "Bearer token-1" => Does::refuses(401),
        _ => Does::json(200, json!({})),
    })
    .await;
    let (client, _) = lab.client();
    let client = std::sync::Arc::new(client);
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        set.spawn(async move { client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status });
    }
    assert!(set.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(lab.tokens(), 2);
}

#[tokio::test]
async fn too_many_token_requests_are_waited_for_although_they_come_as_400() {
    let mut asked = 0;
    let lab = Lab::bare(move |_| {
        asked += 1;
        match asked {
            1 => Does::json(400, json!({"error": "invalid_request", "description": "", "error_description": "invalid_request (rate limit exceeded; 10/s)"})),
            _ => Does::json(200, json!({"access_token": "t", "token_type": "bearer", "expires_in": 60})),
        }
    })
    .await;
    let (client, around) = lab.client();
    client.token().await.unwrap();
    assert_eq!((lab.tokens(), around.waits()), (2, vec![1_000]));
}

#[tokio::test]
async fn the_secret_is_in_the_request_and_in_no_error() {
    for style in [Style::Basic, Style::Form] {
        let lab = Lab::bare(|seen| {
            // A server that repeats what it was sent.
            let said = format!(
                "{} {SECRET} {}",
                seen.header("authorization"),
                String::from_utf8_lossy(&seen.body)
            );
            Does::json(
                401,
                json!({"error": "invalid_client", "error_description": said}),
            )
        })
        .await;
        let (client, _) = lab.client_with(style, Duration::from_secs(20));
        let error = client.token().await.unwrap_err();
        let request = &lab.seen()[0];
        let form = String::from_utf8_lossy(&request.body).into_owned();
        assert_eq!(form.contains(SECRET), style == Style::Form);
        assert_eq!(
            request.header("authorization").starts_with("Basic "),
            style == Style::Basic
        );
        let text = format!("{error} {error:?}");
        assert!(!text.contains(SECRET), "{text}");
        assert!(matches!(error, Error::Refused(_)));
    }
}
