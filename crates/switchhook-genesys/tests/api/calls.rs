//! Promise: an answer leads to what `limits` says, and every wait is the one that was asked for.

use std::time::Duration;

use http::Method;
use serde_json::json;
use switchhook_genesys::client::Ask;
use switchhook_genesys::limits::{Class, Rules};
use switchhook_genesys::refusal::Error;
use switchhook_genesys::token::Style;
use switchhook_genesys::transport::ANSWER_BYTES_MAX;
use switchhook_genesys::{catalogue, pages};

use crate::lab::{Does, Lab, SECRET, Seen, client_of};

const PATH: [&str; 3] = ["api", "v2", "webhooks"];

/// Does each of `first` in turn, then answers well.
fn after(first: Vec<Does>) -> impl FnMut(&Seen) -> Does + Send {
    let mut first = first.into_iter();
    move |_| {
        first
            .next()
            .unwrap_or_else(|| Does::json(200, json!({"ok": true})))
    }
}

fn busy(after_s: &str) -> Does {
    Does::Answers(
        429,
        vec![("retry-after", after_s.to_owned())],
        "{}".to_owned(),
    )
}

#[tokio::test]
async fn a_429_waits_as_long_as_it_says_and_at_least_a_second() {
    for (after_s, wait_ms) in [("0", 1_000), ("1", 1_000), ("7", 7_000)] {
        let lab = Lab::new(after(vec![busy(after_s)])).await;
        let (client, around) = lab.client();
        assert_eq!(
            client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status,
            200
        );
        assert_eq!(around.waits(), [wait_ms], "Retry-After: {after_s}");
    }
}

#[tokio::test]
async fn without_retry_after_the_wait_doubles_three_times_and_for_policies_five_times() {
    for (rules, waits) in [
        (Rules::USUAL, &[1_000, 2_000, 4_000][..]),
        (Rules::POLICY, &[1_000, 2_000, 4_000, 4_000, 4_000][..]),
    ] {
        let lab = Lab::new(|_| Does::refuses(429)).await;
        let (client, around) = lab.client();
        let error = client
            .call(
                &Ask {
                    rules,
                    ..Ask::get(&PATH)
                },
                &mut (),
            )
            .await
            .unwrap_err();
        assert_eq!(
            (error.status(), error.class()),
            (Some(429), Some(Class::Unavailable))
        );
        assert_eq!(around.waits(), waits);
        assert_eq!(lab.asked().len(), waits.len() + 1);
    }
}

#[tokio::test]
async fn a_wait_that_nobody_has_patience_for_is_told_instead() {
    let lab = Lab::new(|_| busy("3600")).await;
    let (client, around) = lab.client();
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    assert!(around.waits().is_empty());
    assert!(error.to_string().contains("asks to wait 1h"), "{error}");
}

#[tokio::test]
async fn a_cut_connection_a_slow_answer_and_a_503_are_tried_again() {
    for first in [
        Does::Cuts,
        Does::refuses(503),
        Does::refuses(500),
        Does::Hangs,
    ] {
        let lab = Lab::new(after(vec![first.clone()])).await;
        let (client, around) = lab.client_with(Style::Basic, Duration::from_millis(500));
        assert_eq!(
            client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status,
            200,
            "{first:?}"
        );
        assert_eq!(around.waits(), [1_000], "{first:?}");
    }
}

#[tokio::test]
async fn what_a_person_must_mend_is_told_at_once_with_everything_the_server_said() {
    let body = json!({"message": "2 faults", "code": "invalid.entity", "status": 422, "errors": [
        {"message": "is no URL", "code": "invalid.value", "status": 422, "field": "endpoint"},
        {"message": "is no duration", "code": "invalid.value", "status": 422, "field": "retryPolicy.retryInterval", "hint": "write PT1M"}]});
    let lab = Lab::new(move |_| {
        Does::Answers(
            422,
            vec![("inin-correlation-id", "cor-7".into())],
            body.to_string(),
        )
    })
    .await;
    let (client, _) = lab.client();
    let wish = json!({"name": "a"});
    let ask = Ask {
        method: Method::POST,
        body: Some(&wish),
        key: Some("k"),
        ..Ask::get(&PATH)
    };
    let error = client.call(&ask, &mut ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "POST /api/v2/webhooks was answered with 422: 2 faults\n  endpoint: is no URL\n  \
         retryPolicy.retryInterval: is no duration; write PT1M\n  correlation id cor-7"
    );
    assert_eq!(
        (lab.asked().len(), error.class()),
        (1, Some(Class::Invalid))
    );
    assert_eq!(lab.asked()[0].header("idempotency-key"), "k");
}

#[tokio::test]
async fn a_first_request_that_is_still_under_way_is_waited_for() {
    let body = json!({"message": "under way", "code": "idempotency.key.busy", "status": 409});
    let lab = Lab::new(after(vec![Does::json(409, body)])).await;
    let (client, around) = lab.client();
    assert_eq!(
        client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status,
        200
    );
    assert_eq!(around.waits(), [1_000]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let lab = Lab::new(|_| {
        Does::Answers(
            302,
            vec![("location", "http://127.0.0.1:1/".into())],
            String::new(),
        )
    })
    .await;
    let (client, _) = lab.client();
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    assert_eq!(
        (error.status(), error.class(), lab.asked().len()),
        (Some(302), Some(Class::Foreign), 1)
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_no_json_is_refused() {
    let lab = Lab::new(|_| Does::Answers(200, vec![], " ".repeat(ANSWER_BYTES_MAX + 1))).await;
    let (client, _) = lab.client();
    let ask = Ask {
        rules: Rules {
            retries: 0,
            ..Rules::USUAL
        },
        ..Ask::get(&PATH)
    };
    let error = client.call(&ask, &mut ()).await.unwrap_err();
    assert!(error.to_string().contains("length limit"), "{error}");
    let lab = Lab::new(|_| Does::Answers(200, vec![], "<html>".into())).await;
    let (client, _) = lab.client();
    assert!(matches!(
        client.call(&ask, &mut ()).await.unwrap_err(),
        Error::Foreign { .. }
    ));
}

#[tokio::test]
async fn five_failures_over_two_calls_stop_all_asking_until_one_probe_succeeds() {
    let mut broken = 5;
    let lab = Lab::new(move |_| {
        broken -= 1;
        if broken >= 0 {
            Does::refuses(500)
        } else {
            Does::json(200, json!({}))
        }
    })
    .await;
    let (client, around) = lab.client();
    assert_eq!(
        client
            .call(&Ask::get(&PATH), &mut ())
            .await
            .unwrap_err()
            .status(),
        Some(500)
    );
    assert_eq!(lab.asked().len(), 4);
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    assert_eq!(lab.asked().len(), 5);
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    assert!(error.to_string().contains("it answered 500"), "{error}");
    assert_eq!(
        (lab.asked().len(), error.class()),
        (5, Some(Class::Unavailable)),
        "not asked"
    );
    around.pass(60_000);
    assert_eq!(
        client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status,
        200
    );
    assert_eq!(
        client.call(&Ask::get(&PATH), &mut ()).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn a_host_that_nobody_listens_on_is_told_with_the_reason_and_changed_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (client, around) = client_of(
        &format!("http://{address}"),
        Style::Basic,
        Duration::from_secs(5),
    );
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    assert!(
        error.is_certain() && error.class() == Some(Class::Unavailable),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(around.waits().len(), 3);
}

#[tokio::test]
async fn a_server_that_repeats_the_token_does_not_get_it_into_an_error() {
    let lab = Lab::new(|seen| {
        Does::json(
            403,
            json!({"message": format!("{} {SECRET}", seen.header("authorization"))}),
        )
    })
    .await;
    let (client, _) = lab.client();
    let error = client.call(&Ask::get(&PATH), &mut ()).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("token-1") && !text.contains(SECRET),
        "{text}"
    );
}

#[tokio::test]
async fn the_catalogue_is_read_page_by_page_to_its_end() {
    let lab = Lab::new(|seen| {
        let query = seen.target.split_once('?').unwrap().1;
        let page: u64 = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("page="))
            .unwrap()
            .parse()
            .unwrap();
        let entities: Vec<_> = (0..if page < 3 { 100 } else { 7 })
            .map(|at| json!({"id": format!("type.{page}.{at}"), "name": "n", "description": "d"}))
            .collect();
        Does::json(200, json!({"entities": entities, "totalPageCount": 3}))
    })
    .await;
    let (client, _) = lab.client();
    let types = catalogue::event_types(&client).await.unwrap();
    assert_eq!((types.len(), types[206].id.as_str()), (207, "type.3.6"));
    assert_eq!(lab.lines()[0], "GET /api/v2/eventtypes?pageSize=100&page=1");
}

#[tokio::test]
async fn a_list_without_an_end_is_refused() {
    let lab = Lab::new(|_| {
        Does::json(
            200,
            json!({"entities": vec![json!({}); 100], "nextUri": "/again"}),
        )
    })
    .await;
    let (client, _) = lab.client();
    let error = pages::all(&client, &PATH, "pageNumber", &mut ())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more than 10000"), "{error}");
    assert!(lab.asked().len() <= 101);
}
