//! Jobs: counting, running, stopping, going on, and what they are refused for.

use std::sync::{Arc, Mutex};

use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use switchhook_core::delivery::{DeadReason, DeliveryKey, Place, Records, WaitReason, Waiting};
use switchhook_core::id::Offset;
use switchhook_store::Batch;
use switchhook_wire::api::JobWish;
use tokio::net::TcpListener;

use super::{Api, dead, event, event_id};
use crate::control::write;

/// Events that nobody takes any more, given up one and all.
async fn buried(count: usize) -> Api {
    let api = Api::start().await;
    let events = (0..count).map(|n| event(n, "Old", b"{}")).collect();
    api.bury(events, |n, offset| Some(dead(n, offset))).await;
    api
}

fn dead_letters(rate: u32) -> Value {
    json!({
        "kind": "replay",
        "select": {"status": "dead", "subscription": "web-to-crm"},
        "ratePerSecond": rate,
    })
}

async fn made(api: &Api, body: Value) -> String {
    let made = api.post("/v1/jobs", body).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/jobs/{id}"));
    id
}

async fn patched(api: &Api, id: &str, state: &str) -> super::Answer {
    let body = json!({ "state": state }).to_string();
    let uri = format!("/v1/jobs/{id}");
    api.send(api.request(http::Method::PATCH, &uri, body)).await
}

#[tokio::test]
async fn a_dry_run_counts_and_makes_nothing() {
    let api = buried(30).await;
    let mut body = dead_letters(10);
    body["dryRun"] = json!(true);
    let count = api.post("/v1/jobs", body).await.json();
    let shown = (&count["total"], &count["seconds"], &count["to"]);
    assert_eq!(shown, (&json!(30), &json!(3), &json!("web-to-crm")));
    assert_eq!(count["sample"][0], event_id(0).to_string());
    assert_eq!(api.get("/v1/jobs").await.json()["entities"], json!([]));
}

#[tokio::test]
async fn a_job_puts_all_that_it_selects_to_work_and_tells_when_it_has_ended() {
    let api = buried(40).await;
    let id = made(&api, dead_letters(10_000)).await;
    let uri = format!("/v1/jobs/{id}");
    let job = api.until(&uri, |job| job["state"] == "done").await;
    let figures = ["total", "done", "skipped"].map(|name| job[name].clone());
    assert_eq!(figures, [40, 40, 0].map(Value::from), "{job}");
    assert!(job["startedAt"].is_string() && job["endedAt"].is_string());
    assert_eq!(
        (&job["actor"], &job["position"]),
        (&json!("first"), &job["until"])
    );
    let status = api.get("/v1/store/status").await.json();
    assert_eq!(
        (&status["waiting"], &status["dead"]),
        (&json!(40), &json!([]))
    );
    // The rows are new chains of the same deliveries.
    let timeline = format!("/v1/events/{}/timeline", event_id(0));
    let delivery = &api.get(&timeline).await.json()["deliveries"][0];
    assert_eq!(delivery["chain"], 1);
    let told = "/v1/events?source=switchhook&type=switchhook.job.finished";
    let told = api.get(told).await.json();
    assert_eq!(told["entities"][0]["key"], id);
    let audit = api.get("/v1/audit").await.json();
    let entry = &audit["entities"][0];
    let shown = (&entry["action"], &entry["actor"], &entry["object"]);
    let object = json!(format!("job/{id}"));
    assert_eq!(shown, (&json!("replay.start"), &json!("first"), &object));
}

#[tokio::test]
async fn a_job_that_is_paused_goes_on_where_it_stopped() {
    let api = buried(40).await;
    let id = made(&api, dead_letters(8)).await;
    let uri = format!("/v1/jobs/{id}");
    api.until(&uri, |job| job["done"].as_u64() > Some(0)).await;
    let paused = patched(&api, &id, "paused").await;
    assert_eq!(paused.json()["state"], "paused", "{}", paused.text());
    let done = paused.json()["done"].as_u64().unwrap();
    assert!(done < 40);
    let row = &api.gateway().store.jobs().unwrap()[0];
    let kept: Value = serde_json::from_str(&row.body).unwrap();
    let shown = (&kept["state"], &kept["done"], row.is_over);
    assert_eq!(shown, (&json!("paused"), &json!(done), false));
    assert_eq!(
        patched(&api, &id, "running").await.json()["state"],
        "running"
    );
    let more = |job: &Value| job["done"].as_u64() > Some(done);
    api.until(&uri, more).await;
    let over = patched(&api, &id, "cancelled").await.json();
    assert_eq!(over["state"], "cancelled");
    assert_eq!(patched(&api, &id, "running").await.problem(), "conflict");
    let rows = api.gateway().store.jobs().unwrap();
    assert!(rows[0].is_over);
}

#[tokio::test]
async fn a_start_goes_on_from_the_position_in_the_store_and_repeats_nothing() {
    let api = buried(30).await;
    let jobs = &api.gateway().jobs;
    let id = made(&api, dead_letters(8)).await;
    let uri = format!("/v1/jobs/{id}");
    api.until(&uri, |job| job["done"].as_u64() >= Some(4)).await;
    // What a crash leaves: the row of the store.
    jobs.stop().await;
    let position = |row: &str| serde_json::from_str::<Value>(row).unwrap()["position"].as_u64();
    let row = api.gateway().store.jobs().unwrap()[0].clone();
    let position = position(&row.body).unwrap();
    assert!((2..31).contains(&position), "{position}");
    let again = crate::jobs::Jobs::new(
        api.gateway().store.clone(),
        api.gateway().plan.clone(),
        api.gateway().dispatch.clone(),
        api.gateway().clock,
    );
    again.resume().await.unwrap();
    let all = again.all().await.unwrap();
    assert_eq!((&all[0].id, all[0].position >= position), (&id, true));
    let entry = super::super::audit::Actor("first".into()).entry(
        api.gateway().clock.now(),
        "replay.cancel",
        ("job", &id),
        &json!({}),
    );
    let over = again.command(&id, JobWish::Cancelled, entry).await.unwrap();
    let made = api.get("/v1/store/status").await.json()["waiting"].as_u64();
    assert_eq!(made, Some(over.done), "each row once");
}

#[tokio::test]
async fn a_job_is_never_far_ahead_of_what_was_delivered() {
    let api = buried(300).await;
    let id = made(&api, dead_letters(10_000)).await;
    let uri = format!("/v1/jobs/{id}");
    // Nothing listens, so nothing of it ends.
    let job = api
        .until(&uri, |job| job["done"].as_u64() >= Some(256))
        .await;
    assert_eq!((&job["done"], &job["total"]), (&json!(256), &json!(300)));
    assert_eq!(job["state"], "running");
}

#[tokio::test]
async fn a_job_delivers_everything_in_the_order_of_the_log() {
    let api = Api::start().await;
    let count = 700;
    let body = |n: usize| json!({ "n": n }).to_string();
    let events = (0..count)
        .map(|n| event(n, "Old", body(n).as_bytes()))
        .collect();
    api.bury(events, |_, _| None).await;
    let heard: Arc<Mutex<Vec<u64>>> = Arc::default();
    let hearing = heard.clone();
    let receiver = Router::new().fallback(move |Json(body): Json<Value>| async move {
        let n = body["n"].as_u64().unwrap();
        hearing.lock().unwrap().push(n);
        StatusCode::NO_CONTENT
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, receiver).await });
    let endpoint = json!({"url": url, "allow_private": ["127.0.0.0/8"]});
    assert_eq!(api.put("/v1/endpoints/up", endpoint).await.status, 201);
    // It begins after all of them, and keeps the order of each of two keys, which it may since a source gives one.
    let source = json!({"verify": {"scheme": "none"}, "key": ["/n"]});
    assert_eq!(api.put("/v1/sources/keyed", source).await.status, 201);
    let ordered = json!({
        "sources": ["web", "keyed"],
        "endpoint": "up",
        "types": ["Old"],
        "order": "key",
    });
    let late = api.put("/v1/subscriptions/late", ordered).await;
    assert_eq!(late.status, 201, "{}", late.text());
    let body = json!({
        "kind": "replay",
        "select": {"subscription": "late"},
        "ratePerSecond": 10_000,
    });
    let id = made(&api, body).await;
    let uri = format!("/v1/jobs/{id}");
    let job = api.until(&uri, |job| job["state"] == "done").await;
    assert_eq!(
        (&job["done"], &job["failed"]),
        (&json!(count), &json!(0)),
        "{job}"
    );
    api.until("/v1/store/status", |status| status["waiting"] == 0)
        .await;
    let heard = heard.lock().unwrap().clone();
    for key in 0..2 {
        let own: Vec<u64> = heard.iter().copied().filter(|n| n % 2 == key).collect();
        let expected: Vec<u64> = (0..count as u64).filter(|n| n % 2 == key).collect();
        assert_eq!(own, expected, "key-{key}");
    }
    serving.abort();
}

#[tokio::test]
async fn what_waits_anyway_is_left_out_and_said_to_be() {
    let api = Api::start().await;
    let events = (0..5).map(|n| event(n, "Old", b"{}")).collect();
    api.bury(events, |_, _| None).await;
    // It begins after them.
    let body = json!({"sources": ["web"], "endpoint": "crm", "policy": "slow", "types": ["Old"]});
    assert_eq!(api.put("/v1/subscriptions/late", body).await.status, 201);
    let key = DeliveryKey {
        subscription: "late".into(),
        offset: Offset(3),
    };
    let later = api.gateway().clock.now().plus_ms(3_600_000);
    let row = Waiting {
        reason: WaitReason::Retry,
        ..Waiting::replay(key, Place::default(), 0, 3_600_000, later)
    };
    let records = Records {
        waiting: vec![row],
        ..Records::default()
    };
    let batch = Batch {
        records,
        ..Batch::default()
    };
    write(&*api.gateway().store, batch).await.unwrap();
    let body = json!({
        "kind": "replay",
        "select": {"subscription": "late"},
        "ratePerSecond": 10_000,
    });
    let id = made(&api, body).await;
    let uri = format!("/v1/jobs/{id}");
    let job = api.until(&uri, |job| job["state"] == "done").await;
    let figures = ["total", "done", "skipped"].map(|name| job[name].clone());
    assert_eq!(figures, [5, 4, 1].map(Value::from), "{job}");
    let kept = &api.gateway().store.jobs().unwrap()[0];
    assert!(kept.body.contains(r#""done":4"#), "{}", kept.body);
}

#[tokio::test]
async fn what_is_wrong_with_a_job_is_said_at_once() {
    let api = Api::start().await;
    let reasons: Vec<&str> = DeadReason::ALL.iter().map(|reason| reason.name()).collect();
    let wrong = json!({
        "kind": "replay",
        "select": {"eventIds": ["evt_1"], "reason": "tired", "since": "yesterday"},
        "ratePerSecond": 0,
    });
    let refused = api.post("/v1/jobs", wrong).await;
    let body = refused.json();
    let pointers: Vec<&str> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for pointer in [
        "/ratePerSecond",
        "/to",
        "/select/since",
        "/select/eventIds",
        "/select/reason",
    ] {
        assert!(pointers.contains(&pointer), "{pointer}: {pointers:?}");
    }
    assert!(refused.text().contains(reasons[0]), "{}", refused.text());
    for (select, to) in [
        (json!({"subscription": "nowhere"}), Value::Null),
        (json!({"subscription": "web-to-crm"}), json!("nowhere")),
    ] {
        let body = json!({"kind": "replay", "select": select, "to": to});
        assert_eq!(api.post("/v1/jobs", body).await.problem(), "not-found");
    }
    for uri in ["/v1/jobs/job_1", "/v1/jobs/none"] {
        assert_eq!(api.get(uri).await.problem(), "not-found");
    }
    assert_eq!(
        patched(&api, "job_1", "paused").await.problem(),
        "not-found"
    );
    assert_eq!(
        api.get("/v1/jobs?state=tired").await.problem(),
        "invalid-request"
    );
}
