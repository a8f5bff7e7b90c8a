//! What people do to a running gateway: breakers, pauses, forced changes; and explanations, alerts, the audit log.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_core::delivery::Dead;

use super::{Api, CONFIG, dead, event, event_id};
use crate::{alerts, retention};

async fn text_sent(api: &Api) -> String {
    let asked = json!({"type": "Text"});
    let answer = api.post("/v1/sources/web/test-event", asked).await;
    answer.json()["eventId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_breaker_is_opened_and_closed_by_hand_and_all_of_it_is_in_the_audit_log() {
    let api = Api::start().await;
    let open = json!({"state": "open", "reason": " maintenance "});
    let state = api.put("/v1/endpoints/crm/breaker", open).await;
    assert_eq!(state.status, 200, "{}", state.text());
    let state = state.json();
    let shown = (&state["state"], &state["cause"], &state["reason"]);
    let expected = (&json!("open"), &json!("operator"), &json!("maintenance"));
    assert_eq!(shown, expected);
    assert_eq!(state["slotsConfigured"], 5);
    let listed = api.get("/v1/breakers").await.json();
    assert_eq!(listed["entities"], json!([state]));
    let alerts = api.get("/v1/alerts").await.json();
    let breaker = &alerts["entities"][1];
    let about = (&breaker["name"], &breaker["about"][0]["object"]);
    assert_eq!(about, (&json!("breaker"), &json!("endpoint/crm")));

    let id = text_sent(&api).await;
    let uri = format!("/v1/events/{id}/explain");
    let is_held = |found: &Value| found["subscriptions"][0]["delivery"]["state"] == "held";
    let held = api.until(&uri, is_held).await;
    let delivery = &held["subscriptions"][0]["delivery"];
    assert_eq!(delivery["breaker"]["state"], "open");
    let why = delivery["why"].as_str().unwrap();
    assert!(why.contains("(a person opened it): maintenance"), "{why}");
    assert_eq!(delivery["attempts"], 0);

    let closed = api.post("/v1/endpoints/crm/resume", json!({})).await.json();
    assert_eq!(closed["state"], "closed");
    let timeline = format!("/v1/events/{id}/timeline");
    let tried = |found: &Value| found["deliveries"][0]["attempts"][0].is_object();
    api.until(&timeline, tried).await;
    let audit = api.get("/v1/audit?pageSize=1").await.json();
    assert_eq!(audit["entities"][0]["action"], "breaker.close");
    let earlier = api.get(audit["nextUri"].as_str().unwrap()).await.json();
    let entry = &earlier["entities"][0];
    let shown = (&entry["action"], &entry["object"], &entry["detail"]);
    let detail = json!({"reason": "maintenance"});
    assert_eq!(
        shown,
        (&json!("breaker.open"), &json!("endpoint/crm"), &detail)
    );
    let long = json!({"state": "open", "reason": "x".repeat(513)});
    let refused = api.put("/v1/endpoints/crm/breaker", long).await;
    assert_eq!(refused.problem(), "invalid-request");
    for uri in ["/v1/endpoints/none/pause", "/v1/subscriptions/none/pause"] {
        assert_eq!(api.post(uri, json!({})).await.problem(), "not-found");
    }
}

#[tokio::test]
async fn a_paused_subscription_keeps_what_comes_until_it_goes_on() {
    let api = Api::start().await;
    let uri = "/v1/subscriptions/web-to-crm/pause";
    let paused = api.post(uri, json!({"reason": "upgrade"})).await.json();
    let shown = (&paused["paused"], &paused["reason"]);
    assert_eq!(shown, (&json!(true), &json!("upgrade")));
    let id = text_sent(&api).await;
    let uri = format!("/v1/events/{id}/explain");
    let explained = api.get(&uri).await.json();
    let delivery = &explained["subscriptions"][0]["delivery"];
    assert_eq!(delivery["state"], "paused", "{explained}");
    let why = delivery["why"].as_str().unwrap();
    assert!(why.contains("(upgrade)"), "{why}");
    assert_eq!(api.gateway().store.pauses().unwrap().len(), 1);
    let metrics = api.get("/metrics").await;
    let line = r#"switchhook_subscription_paused{subscription="web-to-crm"} 1"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());

    let uri = "/v1/subscriptions/web-to-crm/resume";
    assert_eq!(api.post(uri, json!({})).await.json()["paused"], false);
    let uri = format!("/v1/events/{id}/timeline");
    let waits = |found: &Value| found["deliveries"][0]["state"] == "waiting";
    api.until(&uri, waits).await;
    assert!(api.gateway().store.pauses().unwrap().is_empty());
}

#[tokio::test]
async fn a_subscription_that_is_switched_off_keeps_what_comes_until_it_is_switched_on() {
    let api = Api::start().await;
    let uri = "/v1/subscriptions/off";
    let body = |enabled: bool| {
        json!({
            "sources": ["web"], "types": ["Text"], "endpoint": "crm", "policy": "slow", "start": "earliest",
            "enabled": enabled,
        })
    };
    let made = api.put(uri, body(false)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    // A pause comes and goes, and changes nothing.
    let pause = format!("{uri}/pause");
    let paused = api.post(&pause, json!({})).await.json();
    assert_eq!(
        (&paused["paused"], &paused["stopped"]),
        (&json!(true), &json!("disabled"))
    );
    let resume = format!("{uri}/resume");
    let resumed = api.post(&resume, json!({})).await.json();
    assert_eq!(
        (&resumed["paused"], &resumed["stopped"]),
        (&json!(false), &json!("disabled"))
    );

    let id = text_sent(&api).await;
    let uri_of = |what: &str| format!("/v1/events/{id}/{what}");
    let explained = api.get(&uri_of("explain")).await.json();
    let delivery = &explained["subscriptions"][0]["delivery"];
    assert_eq!(delivery["state"], "paused", "{explained}");
    let why = delivery["why"].as_str().unwrap();
    assert!(why.contains("switched off by `enabled = false`"), "{why}");
    let stats = api.get("/v1/stats").await.json();
    assert_eq!(stats["subscriptions"][0]["stopped"], "disabled", "{stats}");
    let metrics = api.get("/metrics").await;
    let line = r#"switchhook_subscription_enabled{subscription="off"} 0"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());

    assert_eq!(api.put(uri, body(true)).await.status, 200);
    let tried = |found: &Value| found["deliveries"][0]["state"] == "waiting";
    api.until(&uri_of("timeline"), tried).await;
    let stats = api.get("/v1/stats").await.json();
    assert_eq!(stats["subscriptions"][0]["stopped"], Value::Null, "{stats}");
}

/// One key at a time, and no second attempt: what fails halts its key.
const HALTING: &str = r#"
[source.chat]
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
type = "/type"
key = ["/conversation"]

[policy.once]
fixed = { delay = "1h" }
max_attempts = 1

[subscription.ordered]
sources = ["chat"]
endpoint = "crm"
policy = "once"
order = "key"
on_exhausted = "halt"
"#;

#[tokio::test]
async fn a_key_that_halted_says_behind_what_and_goes_on_when_that_is_discarded() {
    let api = Api::with(&format!("{CONFIG}{HALTING}")).await;
    let sent = async |n: u64| {
        let body = json!({"type": "Text", "body": {"conversation": "c1", "n": n}});
        let answer = api.post("/v1/sources/chat/test-event", body).await;
        answer.json()["eventId"].as_str().unwrap().to_owned()
    };
    let first = sent(1).await;
    let uri = format!("/v1/events/{first}/explain");
    let is = |state: &'static str| {
        move |found: &Value| found["subscriptions"][0]["delivery"]["state"] == state
    };
    let dead = api.until(&uri, is("dead")).await;
    let why = dead["subscriptions"][0]["delivery"]["why"]
        .as_str()
        .unwrap();
    assert!(why.contains("until it is replayed or discarded"), "{why}");
    let letter = api.get("/v1/deadLetters").await.json();
    assert_eq!(letter["entities"][0]["gap"], "halted");

    let second = sent(2).await;
    let uri = format!("/v1/events/{second}/explain");
    let held = api.until(&uri, is("held")).await;
    let behind = &held["subscriptions"][0]["delivery"]["behind"];
    assert_eq!(behind["eventId"], first, "{held}");
    let timeline = api
        .get(&format!("/v1/events/{second}/timeline"))
        .await
        .json();
    assert_eq!(&timeline["deliveries"][0]["behind"], behind);

    // A replay that fails again halts it again.
    let all = json!({"filter": {"eventId": first}});
    let replayed = api.post("/v1/deadLetters:replay", all.clone()).await;
    assert_eq!(replayed.json()["replayed"], 1);
    let again = |letters: &Value| letters["entities"][0]["chain"] == 1;
    api.until("/v1/deadLetters", again).await;
    assert!(is("held")(&api.get(&uri).await.json()));

    let discarded = api.post("/v1/deadLetters:discard", all).await.json();
    assert_eq!(discarded["discarded"], 1);
    api.until(&uri, is("dead")).await;
    let audit = api.get("/v1/audit").await.json();
    let entry = &audit["entities"][0];
    let shown = (&entry["action"], &entry["detail"]["filter"]["eventId"]);
    assert_eq!(shown, (&json!("deadLetters.discard"), &json!(first)));
}

#[tokio::test]
async fn an_explanation_says_for_every_subscription_why_it_takes_the_event_or_not() {
    let api = Api::start().await;
    for (name, more) in [
        ("by-type", json!({"types": ["Call"]})),
        ("by-when", json!({"when": "event.type == 'Call'"})),
        (
            "by-criterion",
            json!({"match_criteria": [
            {"jsonPath": "$.vip", "operator": "Equal", "value": true}]}),
        ),
    ] {
        let mut body = json!({"sources": ["web"], "endpoint": "crm", "policy": "slow"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let made = api.put(&format!("/v1/subscriptions/{name}"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let id = text_sent(&api).await;
    let uri = format!("/v1/events/{id}/explain");
    let settled = |found: &Value| found["subscriptions"][3]["delivery"]["state"] == "waiting";
    let found = api.until(&uri, settled).await;
    let shown = |n: usize| {
        let one = &found["subscriptions"][n];
        let text = one["text"].as_str().unwrap().to_owned();
        (one["subscription"].clone(), one["why"].clone(), text)
    };
    for (n, name, why, words) in [
        (0, "by-criterion", "criterion", "criterion 1 of 1"),
        (
            1,
            "by-type",
            "type",
            "type `Text` is none of its types: `Call`",
        ),
        (2, "by-when", "when", "`when` is false"),
        (3, "web-to-crm", "taken", "source and type fit"),
    ] {
        let (found_name, found_why, text) = shown(n);
        assert_eq!((found_name, found_why), (json!(name), json!(why)));
        assert!(text.contains(words), "{text}");
    }
    let detail = found["subscriptions"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("$.vip"), "{detail}");
    assert_eq!(found["subscriptions"][1]["delivery"], Value::Null);
    assert_eq!(found["subscriptions"][3]["delivery"]["attempts"], 1);
}

#[tokio::test]
async fn a_change_that_concerns_waiting_deliveries_is_refused_unless_it_is_forced() {
    let api = Api::start().await;
    let uri = "/v1/subscriptions/mine";
    let body = json!({"sources": ["web"], "endpoint": "crm", "policy": "slow", "types": ["Text"]});
    assert_eq!(api.put(uri, body.clone()).await.status, 201);
    text_sent(&api).await;
    api.until("/v1/store/status", |status| status["waiting"] == 2)
        .await;
    let mut ordered = body;
    ordered["order"] = json!("key");
    for refused in [
        api.put(uri, ordered.clone()).await,
        api.put(&format!("{uri}?dryRun=true"), ordered.clone())
            .await,
        api.delete(uri).await,
    ] {
        assert_eq!(refused.problem(), "conflict");
        let text = refused.text();
        assert!(
            text.contains("1 delivery waits") && text.contains("force=true"),
            "{text}"
        );
    }
    let forced = api.put(&format!("{uri}?force=true"), ordered).await;
    assert_eq!(forced.status, 200, "{}", forced.text());
    assert_eq!(api.delete(&format!("{uri}?force=true")).await.status, 204);
    let audit = api.get("/v1/audit").await.json();
    let entry = &audit["entities"][0];
    let shown = (&entry["action"], &entry["object"]);
    assert_eq!(
        shown,
        (&json!("resource.delete"), &json!("subscription/mine"))
    );
}

#[tokio::test]
async fn the_status_says_what_retention_keeps_and_the_alerts_what_they_watch() {
    let api = Api::start().await;
    api.bury(vec![event(0, "Old", b"{}")], |n, offset| {
        Some(dead(n, offset))
    })
    .await;
    let status = api.get("/v1/store/status").await.json();
    let day = 86_400_000_u64;
    let retention = &status["retention"];
    assert_eq!(retention["deadMs"], 30 * day, "{status}");
    assert_eq!(status["firstOffset"], 1);
    let alerts = api.get("/v1/alerts").await.json();
    let names: Vec<&str> = alerts["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["backlog-age", "breaker", "config", "disk", "lag"]);
    let missing = format!("/v1/events/{}/explain", event_id(7));
    assert_eq!(api.get(&missing).await.problem(), "not-found");
}

#[tokio::test]
async fn an_alert_is_an_event_and_is_shown_until_it_is_cleared() {
    let api = Api::with(&format!("{CONFIG}[alerts]\nlag = 1\ndisk = \"off\"\n")).await;
    let uri = "/v1/subscriptions/web-to-crm/pause";
    api.post(uri, json!({})).await;
    api.gateway().config_read(false);
    text_sent(&api).await;
    alerts::look(api.gateway()).await.unwrap();
    let shown = api.get("/v1/alerts").await.json();
    let raised = |n: usize| {
        let alert = &shown["entities"][n];
        (alert["name"].clone(), alert["raised"].clone())
    };
    assert_eq!(raised(2), (json!("config"), json!(true)));
    assert_eq!(raised(3), (json!("disk"), json!(false)));
    assert_eq!(raised(4), (json!("lag"), json!(true)));
    let lag = &shown["entities"][4]["about"][0];
    assert_eq!(lag["object"], "subscription/web-to-crm");
    let told = api.get("/v1/events?source=switchhook").await.json();
    let told = told["entities"].as_array().unwrap();
    assert_eq!(told.len(), 2);
    let is_alert = |event: &&Value| event["type"] == "switchhook.alert.raised";
    assert!(told.iter().all(|event| is_alert(&event)), "{told:?}");
    // It is told once.
    alerts::look(api.gateway()).await.unwrap();
    let again = api.get("/v1/events?source=switchhook").await.json();
    assert_eq!(again["entities"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn retention_forgets_what_is_old_and_needed_by_nobody() {
    let api = Api::with(&format!("{CONFIG}[retention]\nevents = \"1h\"\n")).await;
    let events = (0..30).map(|n| event(n, "Old", b"{}")).collect();
    let now = api.gateway().clock.now();
    let buried = |n: usize, offset| {
        (n == 7).then(|| Dead {
            at: now,
            ..dead(n, offset)
        })
    };
    api.bury(events, buried).await;
    let end = api.gateway().store.tail().end();
    // Only what is committed on disk counts as done.
    let on_disk = || {
        let cursors = api.gateway().store.cursors().unwrap();
        cursors.iter().all(|cursor| cursor.offset == end)
    };
    let committed = async {
        while !on_disk() {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, committed).await.unwrap();
    retention::round(api.gateway()).await.unwrap();
    let status = api.get("/v1/store/status").await.json();
    let shown = (&status["events"], &status["retention"]["events"]);
    assert_eq!(
        shown,
        (&json!(1), &json!(29)),
        "the dead letter needs its event"
    );
    assert!(status["retention"]["lastAt"].is_string());
    let ends = (&status["firstOffset"], &status["endOffset"]);
    assert_eq!(ends, (&json!(8), &json!(end.0)));
    let metrics = api.get("/metrics").await;
    let removed = r#"switchhook_retention_removed_total{kind="events"} 29"#;
    assert!(metrics.text().contains(removed), "{}", metrics.text());
}

#[tokio::test]
async fn what_is_not_delivered_is_not_forgotten_however_old_it_is() {
    let api = Api::with(&format!("{CONFIG}[retention]\nevents = \"1h\"\n")).await;
    api.post("/v1/subscriptions/web-to-crm/pause", json!({}))
        .await;
    let events = (0..30).map(|n| event(n, "Text", b"{}")).collect();
    api.bury(events, |_, _| None).await;
    retention::round(api.gateway()).await.unwrap();
    let status = api.get("/v1/store/status").await.json();
    assert_eq!(status["events"], 30);
}
