//! Events: lists, exact bytes, test events, timelines.

use serde_json::json;

use super::{Api, event, event_id};

#[tokio::test]
async fn a_list_is_newest_first_and_its_pages_leave_nothing_out() {
    let api = Api::start().await;
    let events = (0..120)
        .map(|n| event(n, if n < 10 { "Old" } else { "New" }, b"{}"))
        .collect();
    api.bury(events, |_, _| None).await;
    let expected: Vec<String> = (0..120).rev().map(|n| event_id(n).to_string()).collect();
    assert_eq!(api.all("/v1/events").await, (expected.clone(), 3));
    assert_eq!(
        api.all("/v1/events?pageSize=40").await,
        (expected.clone(), 3)
    );
    for (filter, range) in [
        ("type=Old", 0..10),
        ("type=Old&key=key-1&source=web", 0..10),
        ("since=1970-01-01T00:01:50Z", 110..120),
        ("until=1970-01-01T00:00:05Z", 0..5),
        ("source=other", 0..0),
    ] {
        let odd = filter.contains("key-1");
        let expected: Vec<String> = range
            .rev()
            .filter(|n| !odd || n % 2 == 1)
            .map(|n| event_id(n).to_string())
            .collect();
        assert_eq!(
            api.all(&format!("/v1/events?{filter}&pageSize=3")).await.0,
            expected,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn an_event_is_shown_for_people_and_given_out_byte_by_byte() {
    let api = Api::start().await;
    let body = b"{ \"a\" : 1.0 }\n";
    api.bury(
        vec![event(0, "Text", body), event(1, "Text", b"\xff")],
        |_, _| None,
    )
    .await;
    let uri = format!("/v1/events/{}", event_id(0));
    let shown = api.get(&uri).await.json();
    assert_eq!(
        (&shown["type"], &shown["body"], &shown["bodyBytes"]),
        (&json!("Text"), &json!({"a": 1.0}), &json!(14))
    );
    let raw = api.get(&format!("{uri}?payload=raw")).await;
    assert_eq!(
        (&raw.bytes[..], raw.header("content-type")),
        (&body[..], "application/json")
    );
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    assert_eq!(
        api.get(&format!("{uri}?payload=cooked")).await.problem(),
        "invalid-request"
    );
    let shown = api.get(&format!("/v1/events/{}", event_id(1))).await.json();
    assert_eq!(shown["bodyBase64"], "/w==");
}

#[tokio::test]
async fn a_test_event_takes_the_whole_way_in_and_its_timeline_says_where_it_is() {
    let api = Api::start().await;
    let asked = json!({"type": "Text", "body": {"id": "m1", "text": "hi"}, "set": {"channel.from.id": "c1"}});
    let answer = api.post("/v1/sources/web/test-event", asked.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["duplicate"]),
        (202, &json!(false)),
        "{}",
        answer.text()
    );
    let id = answer.json()["eventId"].as_str().unwrap().to_owned();
    let again = api.post("/v1/sources/web/test-event", asked).await.json();
    assert_eq!(again, json!({"eventId": id, "duplicate": true}));

    let uri = format!("/v1/events/{id}/timeline");
    let timeline = api
        .until(&uri, |found| found["deliveries"][0]["state"] == "waiting")
        .await;
    let delivery = &timeline["deliveries"][0];
    assert_eq!(timeline["event"]["body"]["channel"]["from"]["id"], "c1");
    assert_eq!(
        (&delivery["subscription"], &delivery["endpoint"]),
        (&json!("web-to-crm"), &json!("crm"))
    );
    assert_eq!(delivery["attempts"][0]["error"], "connect");
    assert_eq!(delivery["nextAt"], delivery["attempts"][0]["nextAt"]);
    let why = delivery["why"].as_str().unwrap();
    assert!(
        why.contains("for attempt 2, because `default: connect` judged result connect"),
        "{why}"
    );
}

#[tokio::test]
async fn a_test_event_without_a_body_is_another_event_each_time_and_not_taken_by_who_wants_other_types()
 {
    let api = Api::start().await;
    let first = api
        .post("/v1/sources/web/test-event", json!({}))
        .await
        .json();
    let second = api
        .post("/v1/sources/web/test-event", json!({}))
        .await
        .json();
    assert_eq!(
        (&first["duplicate"], &second["duplicate"]),
        (&json!(false), &json!(false))
    );
    let timeline = api
        .get(&format!(
            "/v1/events/{}/timeline",
            first["eventId"].as_str().unwrap()
        ))
        .await
        .json();
    let delivery = &timeline["deliveries"][0];
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("not-matched"), &json!([]))
    );
    assert_eq!(
        delivery["why"],
        "type `switchhook.test` is none of its types: `Text`"
    );
}
