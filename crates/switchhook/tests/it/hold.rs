//! Promise: an endpoint that refuses us, is gone or was paused gets nothing, and what was meant for it is kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::audit::Arrival;
use crate::harness::receiver::Receiver;
use crate::harness::sender::{body, keyed};
use crate::harness::{
    Gateway, KEY, PATIENCE, SOURCE, Site, endpoint, pass, route, subscription, until,
};

/// What the gateway tells of itself goes to the place `ops` of the receiver, with its type in a header.
fn watched(receiver: &Receiver) -> String {
    endpoint("ops", &receiver.at("ops"), "")
        + "\n[subscription.ops]\nsources = [\"switchhook\"]\nendpoint = \"ops\"\nformat = \"cloudevents-binary\"\n"
}

fn told(receiver: &Receiver, kind: &str) -> Vec<Value> {
    let arrivals = receiver.arrived_at("ops").into_iter();
    let those = arrivals.filter(|it| it.request.header("ce-type") == Some(kind));
    those.map(|it| it.request.json()).collect()
}

/// The ids that were answered with success at `place`, in order.
fn delivered(arrivals: &[Arrival], place: &str) -> Vec<String> {
    let those = arrivals
        .iter()
        .filter(|it| it.place() == place && it.is_success());
    those.map(|it| it.id.clone()).collect()
}

/// Waits until everything was looked at and `waiting` deliveries wait for `crm`.
#[track_caller]
fn await_kept(gateway: &Gateway, waiting: u64) {
    until("the events to be kept", || {
        let stats = gateway.get("/v1/stats");
        let subscriptions = stats["subscriptions"].as_array().unwrap();
        let crm = subscriptions.iter().find(|it| it["name"] == "crm").unwrap();
        let kept = crm["waiting"].as_u64().unwrap() + crm["lag"].as_u64().unwrap();
        (kept >= waiting && crm["inFlight"] == 0).then_some(())
    });
}

#[test]
fn refused_credentials_hold_everything_until_the_secret_is_another_one() {
    const EVENTS: usize = 6;
    let receiver = Receiver::start(Instant::now(), |it| {
        match (it.place(), it.request.header("authorization")) {
            ("crm", Some("Bearer good")) | ("ops", _) => 200,
            _ => 401,
        }
    });
    let lines = "auth = { scheme = \"bearer\", token = \"{{secret:crm}}\" }\nconcurrency = 1";
    let config = SOURCE.to_owned()
        + KEY
        + "\n[secret.crm]\nfile = \"{dir}/crm\"\n"
        + &endpoint("crm", &receiver.at("crm"), lines)
        + &subscription("crm", "endpoint = \"crm\"\norder = \"key\"")
        + &watched(&receiver);
    let site = Site::new(&config);
    site.write("crm", "stale");
    let gateway = site.start();
    for n in 0..EVENTS {
        gateway.accept(&keyed(&n.to_string(), "k"));
    }
    let held = until("the hold", || {
        Some(gateway.breaker("crm")).filter(|it| it["state"] == "open")
    });
    assert_eq!(
        (&held["cause"], &held["reason"]),
        (&json!("auth"), &json!("it answered 401")),
        "{held}"
    );
    until("the alert", || {
        (!told(&receiver, "switchhook.endpoint.auth-hold").is_empty()).then_some(())
    });
    pass(Duration::from_millis(300));
    assert_eq!(receiver.arrived_at("crm").len(), 1, "one try, then silence");
    assert_eq!(gateway.counts().1, 0, "no dead letter");

    let begun = Instant::now();
    site.write("crm", "good");
    receiver.wait_until(PATIENCE, |arrivals| {
        delivered(arrivals, "crm").len() == EVENTS
    });
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    gateway.settle(PATIENCE);
    assert_eq!(
        delivered(&receiver.arrivals(), "crm"),
        ["0", "1", "2", "3", "4", "5"]
    );
    assert_eq!(gateway.counts(), (0, 0));
    let alerts = told(&receiver, "switchhook.endpoint.auth-hold");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["severity"], "critical");
}

#[test]
fn an_endpoint_that_is_gone_stays_shut_over_a_restart_until_a_person_opens_it() {
    let receiver = Receiver::start(Instant::now(), |it| match it.place() {
        "ops" => 200,
        _ => 410,
    });
    let config =
        SOURCE.to_owned() + &route("crm", &receiver.at("crm"), "standard") + &watched(&receiver);
    let site = Site::new(&config);
    let gateway = site.start();
    gateway.accept(&body("a"));
    until("the alert", || {
        (told(&receiver, "switchhook.endpoint.gone").len() == 1).then_some(())
    });
    gateway.accept(&body("b"));
    await_kept(&gateway, 2);
    gateway.kill();

    receiver.behave(|_| 200);
    let gateway = site.start();
    gateway.accept(&body("c"));
    await_kept(&gateway, 3);
    let shut = gateway.breaker("crm");
    assert_eq!(
        (&shut["state"], &shut["cause"], &shut["until"]),
        (&json!("open"), &json!("gone"), &Value::Null),
        "{shut}"
    );
    assert_eq!(receiver.arrived_at("crm").len(), 1, "one 410 is enough");
    gateway.tell("POST /v1/endpoints/crm/resume", &json!({}));
    receiver.wait_until(PATIENCE, |arrivals| delivered(arrivals, "crm").len() == 3);
    gateway.settle(PATIENCE);
    assert_eq!(gateway.counts(), (0, 0));
}

/// Pauses `what`, lets events come and the gateway die, and goes on: everything arrives, and nothing before.
fn pause_and_resume(what: &str) {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&(SOURCE.to_owned() + &route("crm", &receiver.at("crm"), "standard")));
    let gateway = site.start();
    let reason = json!({ "reason": "until Monday" });
    let paused = gateway.tell(&format!("POST /v1/{what}/crm/pause"), &reason);
    assert_eq!(paused["reason"], "until Monday", "{paused}");
    let events: Vec<String> = ["a", "b", "c"].map(|id| gateway.accept(&body(id))).into();
    await_kept(&gateway, 3);
    gateway.kill();

    let gateway = site.start();
    gateway.accept(&body("d"));
    await_kept(&gateway, 4);
    pass(Duration::from_millis(300));
    assert_eq!(receiver.arrivals(), [], "nothing goes out");
    let told = gateway.get(&format!("/v1/events/{}/explain", events[0]));
    let delivery = &told["subscriptions"][0]["delivery"];
    let expected = match what {
        "subscriptions" => "paused",
        _ => "held",
    };
    assert_eq!(delivery["state"], expected, "{told}");
    assert!(
        delivery["why"].as_str().unwrap().contains("until Monday"),
        "{told}"
    );
    gateway.tell(&format!("POST /v1/{what}/crm/resume"), &json!({}));
    receiver.wait_until(PATIENCE, |arrivals| delivered(arrivals, "crm").len() == 4);
    gateway.settle(PATIENCE);
    assert_eq!((gateway.counts(), receiver.arrivals().len()), ((0, 0), 4));
}

#[test]
fn a_paused_subscription_keeps_everything_over_a_restart() {
    pause_and_resume("subscriptions");
}

#[test]
fn a_paused_endpoint_keeps_everything_over_a_restart() {
    pause_and_resume("endpoints");
}

#[test]
fn a_subscription_that_is_switched_off_keeps_everything_until_its_file_switches_it_on() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let crm = endpoint("crm", &receiver.at("crm"), "")
        + &subscription("crm", "endpoint = \"crm\"\nenabled = false");
    let site = Site::new(&(SOURCE.to_owned() + &crm));
    let gateway = site.start();
    let event = gateway.accept(&body("a"));
    await_kept(&gateway, 1);
    gateway.kill();

    let gateway = site.start();
    gateway.accept(&body("b"));
    for deed in ["pause", "resume"] {
        let told = gateway.tell(&format!("POST /v1/subscriptions/crm/{deed}"), &json!({}));
        assert_eq!(told["stopped"], "disabled", "{told}");
    }
    await_kept(&gateway, 2);
    pass(Duration::from_millis(300));
    assert_eq!(receiver.arrivals(), [], "nothing goes out");
    let told = gateway.get(&format!("/v1/events/{event}/explain"));
    let why = told["subscriptions"][0]["delivery"]["why"].as_str();
    assert!(why.unwrap().contains("`enabled = false`"), "{told}");

    site.edit("enabled = false", "enabled = true");
    gateway.hang_up();
    receiver.wait_until(PATIENCE, |arrivals| delivered(arrivals, "crm").len() == 2);
    gateway.settle(PATIENCE);
    assert!(receiver.arrivals().iter().all(|it| it.is_of("crm")));
}
