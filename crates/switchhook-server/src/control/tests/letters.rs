//! Dead letters: lists, bulk actions on all that match, export.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use serde_json::{Value, json};
use switchhook_core::delivery::{
    Attempt, Dead, DeadReason, DeliveryKey, OutcomeKind, Records, Verdict,
};
use switchhook_core::id::{DeliveryId, Offset};
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;

use super::{Api, dead, event, event_id};
use crate::control::write;

fn id(n: usize) -> String {
    DeliveryId::derive(event_id(n), "web-to-crm").to_string()
}

#[tokio::test]
async fn a_filter_selects_what_it_says() {
    let api = Api::start().await;
    let events = (0..4)
        .map(|n| event(n, ["A", "A", "B", "B"][n], b"{}"))
        .collect();
    api.bury(events, |n, offset| {
        let (reason, outcome) = [
            (DeadReason::Exhausted, Some(OutcomeKind::Status(503))),
            (DeadReason::Refused, Some(OutcomeKind::Status(404))),
            (DeadReason::Exhausted, Some(OutcomeKind::Status(503))),
            (DeadReason::Template, None),
        ][n];
        let endpoint = if n == 3 { "wfm".into() } else { "crm".into() };
        Some(Dead {
            reason,
            outcome,
            endpoint,
            ..dead(n, offset)
        })
    })
    .await;
    let event = format!("eventId={}", event_id(1));
    for (filter, expected) in [
        ("", &[0, 1, 2, 3][..]),
        ("type=A", &[0, 1]),
        ("status=503", &[0, 2]),
        ("status=503&type=B", &[2]),
        ("reason=refused", &[1]),
        ("endpoint=wfm", &[3]),
        ("subscription=web-to-crm&endpoint=crm", &[0, 1, 2]),
        ("subscription=other", &[]),
        (&event, &[1]),
        ("eventId=evt_00000000000000000000000000000099", &[]),
        ("since=1970-01-01T00:00:02Z", &[2, 3]),
        ("until=1970-01-01T00:00:02Z", &[0, 1]),
    ] {
        let expected: Vec<String> = expected.iter().map(|n| id(*n)).collect();
        assert_eq!(
            api.all(&format!("/v1/deadLetters?{filter}")).await.0,
            expected,
            "{filter}"
        );
        assert_eq!(
            api.all(&format!("/v1/deadLetters?{filter}&pageSize=1"))
                .await
                .0,
            expected,
            "{filter}"
        );
    }
    for name in [id(1), format!("web-to-crm:{}", event_id(1))] {
        let letter = api.get(&format!("/v1/deadLetters/{name}")).await.json();
        assert_eq!(
            (&letter["id"], &letter["status"], &letter["event"]["body"]),
            (&json!(id(1)), &json!(404), &json!({}))
        );
    }
}

#[tokio::test]
async fn a_bulk_action_takes_all_that_match_and_not_a_page() {
    let api = Api::start().await;
    let events = (0..1_203)
        .map(|n| event(n, if n % 401 == 0 { "Rare" } else { "Usual" }, b"{}"))
        .collect();
    api.bury(events, |n, offset| Some(dead(n, offset))).await;
    let usual = json!({"filter": {"type": "Usual"}});

    let dry = api
        .post(
            "/v1/deadLetters:replay",
            json!({"filter": {"type": "Usual"}, "dryRun": true}),
        )
        .await
        .json();
    assert_eq!(dry, json!({"matched": 1_200}));
    let done = api
        .post("/v1/deadLetters:replay", usual.clone())
        .await
        .json();
    assert_eq!(done, json!({"matched": 1_200, "replayed": 1_200}));
    assert_eq!(
        api.post("/v1/deadLetters:replay", usual).await.json(),
        json!({"matched": 0, "replayed": 0})
    );
    let status = api.get("/v1/store/status").await.json();
    assert_eq!(status["waiting"], 1_200);
    assert_eq!(
        status["dead"],
        json!([{"endpoint": "crm", "reason": "exhausted", "count": 3}])
    );
    let timeline = api
        .get(&format!("/v1/events/{}/timeline", event_id(1)))
        .await
        .json();
    // Nothing listens there: it was tried, or waits for a slot, or the breaker is open already.
    let delivery = &timeline["deliveries"][0];
    let state = delivery["state"].as_str().unwrap();
    assert!(
        ["waiting", "queued", "held", "in-flight"].contains(&state),
        "{delivery}"
    );
    assert_eq!(delivery["chain"], 1);

    let done = api
        .post(
            "/v1/deadLetters:discard",
            json!({"filter": {}, "all": true}),
        )
        .await
        .json();
    assert_eq!(done, json!({"matched": 3, "discarded": 3}));
    let timeline = api
        .get(&format!("/v1/events/{}/timeline", event_id(0)))
        .await
        .json();
    assert_ne!(timeline["deliveries"][0]["state"], "dead");
}

#[tokio::test]
async fn a_replay_is_due_at_once_and_has_the_whole_time_of_the_policy() {
    let api = Api::start().await;
    api.bury(vec![event(0, "Old", b"{}")], |n, offset| {
        Some(dead(n, offset))
    })
    .await;
    let mut attempts = api.gateway().dispatch.live();
    let before = api.gateway().clock.now();
    api.post("/v1/deadLetters:replay", json!({"filter": {}, "all": true}))
        .await;
    let judged = attempts.recv().await.unwrap();
    assert_eq!(
        (judged.attempt.chain, judged.attempt.n, judged.event.id),
        (1, 1, event_id(0))
    );
    assert!(judged.attempt.at >= before && judged.attempt.verdict == Verdict::Retry);
}

#[tokio::test]
async fn what_nobody_would_serve_is_skipped_and_kept() {
    let api = Api::start().await;
    api.bury(
        vec![event(0, "Old", b"{}"), event(1, "Old", b"{}")],
        |n, offset| {
            let key = DeliveryKey {
                subscription: "gone".into(),
                offset,
            };
            Some(if n == 0 {
                Dead {
                    key,
                    ..dead(n, offset)
                }
            } else {
                dead(n, offset)
            })
        },
    )
    .await;
    let done = api
        .post("/v1/deadLetters:replay", json!({"filter": {}, "all": true}))
        .await
        .json();
    assert_eq!(done, json!({"matched": 2, "replayed": 1, "skipped": 1}));
    assert_eq!(api.all("/v1/deadLetters").await.0.len(), 1);
}

#[tokio::test]
async fn an_export_is_complete_and_exact() {
    let api = Api::start().await;
    let bodies = [
        &b"{ \"a\" : 1.0e2 }"[..],
        b"{\n}",
        b"\xff",
        b"12345678901234567890123",
    ];
    let events = (0..701).map(|n| event(n, "Old", bodies[n % 4])).collect();
    api.bury(events, |n, offset| Some(dead(n, offset))).await;
    let attempt = |subscription: &str| Attempt {
        key: DeliveryKey {
            subscription: subscription.into(),
            offset: Offset(1),
        },
        partition: 0,
        chain: 0,
        n: 1,
        endpoint: "crm".into(),
        at: UnixMs(5),
        duration_ms: 7,
        outcome: OutcomeKind::Status(503),
        rule: "default: 5xx".into(),
        verdict: Verdict::Dead,
        detail: None,
        next_at: None,
    };
    let records = Records {
        attempts: vec![attempt("web-to-crm"), attempt("other")],
        ..Records::default()
    };
    write(
        &*api.gateway().store,
        Batch {
            records,
            ..Batch::default()
        },
    )
    .await
    .unwrap();

    let answer = api.get("/v1/deadLetters:export").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<&str> = answer.text().lines().collect();
    let ids: BTreeSet<String> = lines
        .iter()
        .map(|line| parse(line)["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((lines.len(), ids.len()), (701, 701));
    assert!(
        lines[0].ends_with(r#","body":{ "a" : 1.0e2 }}"#),
        "{}",
        lines[0]
    );
    assert!(
        lines[3].ends_with(r#","body":12345678901234567890123}"#),
        "{}",
        lines[3]
    );
    for n in [1, 2] {
        assert_eq!(parse(lines[n])["bodyBase64"], BASE64.encode(bodies[n]));
    }
    let history = &parse(lines[0])["history"];
    assert_eq!(
        (history.as_array().unwrap().len(), &history[0]["status"]),
        (1, &json!(503))
    );
    assert_eq!(api.get("/v1/deadLetters:export?type=None").await.text(), "");
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn a_bulk_action_that_names_nothing_is_refused_unless_all_is_written() {
    let api = Api::start().await;
    api.bury(vec![event(0, "Usual", b"{}")], |n, offset| {
        Some(dead(n, offset))
    })
    .await;
    for uri in ["/v1/deadLetters:discard", "/v1/deadLetters:replay"] {
        for body in [
            json!({"filter": {}}),
            json!({"filter": {"endpoint": null}, "dryRun": true}),
            json!({"filter": {}, "all": false}),
        ] {
            let refused = api.post(uri, body).await;
            assert_eq!(
                (refused.status.as_u16(), &*refused.problem()),
                (400, "invalid-request")
            );
            assert!(
                refused.text().contains(r#"\"all\": true"#),
                "{}",
                refused.text()
            );
        }
    }
    assert_eq!(api.all("/v1/deadLetters").await.0.len(), 1);
    let all = api
        .post(
            "/v1/deadLetters:discard",
            json!({"filter": {}, "all": true}),
        )
        .await;
    assert_eq!(all.json()["discarded"], 1);
}
