//! Promise: an endpoint that fails is left alone, also by the next process, and found again with single requests;
//! its deliveries lose nothing by that, not even attempts.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::audit::Arrival;
use crate::harness::order::most_at_once;
use crate::harness::receiver::Receiver;
use crate::harness::sender::body;
use crate::harness::{Gateway, PATIENCE, SOURCE, Site, endpoint, pass, subscription, until};

/// Few attempts, so that a breaker that used them up would be seen.
const POLICY: &str = "\n[policy.short]\nfixed = { delay = \"10s\" }\nmax_attempts = 2\n";

/// How long the breaker stays open at least, in milliseconds; less what a clock may be off.
const OPEN_MS: u64 = 4_900;

/// What the gateway tells of itself goes to the place `ops` of the receiver.
fn watched(receiver: &Receiver) -> String {
    endpoint("ops", &receiver.at("ops"), "")
        + "\n[subscription.ops]\nsources = [\"switchhook\"]\ntypes = [\"switchhook.*\"]\nendpoint = \"ops\"\n\
           format = \"cloudevents\"\n"
}

/// A receiver whose place `crm` answers with the status in the cell; `ops` is always well.
fn receiver() -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answer = Arc::clone(&status);
    let receiver = Receiver::start(Instant::now(), move |it| match it.place() {
        "crm" => answer.load(Ordering::Relaxed),
        _ => 200,
    });
    (receiver, status)
}

/// The type of what was told at `ops`, and about it.
fn told(receiver: &Receiver) -> Vec<(String, Value)> {
    let arrivals = receiver.arrived_at("ops");
    let events = arrivals.iter().map(|it| it.request.json());
    events
        .map(|event| {
            let kind = event["type"].as_str().unwrap_or_default().to_owned();
            (kind, event["data"].clone())
        })
        .collect()
}

#[track_caller]
fn await_told(receiver: &Receiver, kind: &str) -> Value {
    until(kind, || {
        let mut told = told(receiver).into_iter();
        told.find(|(told, _)| told == kind).map(|(_, data)| data)
    })
}

#[track_caller]
fn await_state(gateway: &Gateway, state: &str) -> Value {
    until(state, || {
        Some(gateway.breaker("crm")).filter(|it| it["state"] == state)
    })
}

/// A door that a request waits at.
#[derive(Default)]
struct Door(Mutex<bool>, Condvar);

impl Door {
    fn pass(&self) {
        let open = self.0.lock().unwrap();
        drop(
            self.1
                .wait_timeout_while(open, PATIENCE, |open| !*open)
                .unwrap(),
        );
    }

    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[test]
fn an_open_breaker_sends_nothing_over_a_kill_then_one_probe_and_nothing_is_lost() {
    const EVENTS: usize = 5;
    let (receiver, status) = receiver();
    status.store(503, Ordering::Relaxed);
    let limits = "breaker = { failures = 3, open = \"5s\", open_max = \"5s\", successes = 1 }\n\
                  concurrency = 1";
    let config = SOURCE.to_owned()
        + POLICY
        + &endpoint("crm", &receiver.at("crm"), limits)
        + &subscription("crm", "endpoint = \"crm\"\npolicy = \"short\"")
        + &watched(&receiver);
    let site = Site::new(&config);
    let gateway = site.start();
    for n in 0..EVENTS {
        gateway.accept(&body(&n.to_string()));
    }
    let open = await_state(&gateway, "open");
    assert_eq!(open["cause"], "failures", "{open}");
    let alert = await_told(&receiver, "switchhook.breaker.opened");
    assert_eq!(
        (&alert["endpoint"], &alert["cause"], &alert["severity"]),
        (&json!("crm"), &json!("failures"), &json!("error"))
    );
    assert_eq!(
        receiver.arrived_at("crm").len(),
        3,
        "three failures open it"
    );
    gateway.kill();

    let door = Arc::new(Door::default());
    let at_door = Arc::clone(&door);
    receiver.behave(move |it: &Arrival| {
        if it.place() == "crm" {
            at_door.pass();
        }
        200
    });
    let gateway = site.start();
    let still = gateway.breaker("crm");
    for same in ["state", "cause", "since", "until", "reason"] {
        assert_eq!(still[same], open[same], "{same}: {still}");
    }
    assert_eq!(receiver.arrived_at("crm").len(), 3, "nothing while open");
    assert_one_probe(&gateway, &receiver, 4);
    door.open();
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals
            .iter()
            .filter(|it| it.place() == "crm" && it.is_success())
            .count()
            == EVENTS
    });
    gateway.settle(PATIENCE);
    assert_eq!(gateway.breaker("crm")["state"], "closed");
    assert_eq!(gateway.counts(), (0, 0), "no dead letter");
    await_told(&receiver, "switchhook.breaker.closed");
}

/// One request is under way and stays the only one.
#[track_caller]
fn assert_one_probe(gateway: &Gateway, receiver: &Receiver, number: usize) {
    let opened = Instant::now();
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals.iter().filter(|it| it.place() == "crm").count() == number
    });
    assert!(
        opened.elapsed() < Duration::from_secs(8),
        "{:?}",
        opened.elapsed()
    );
    pass(Duration::from_millis(300));
    let probing = gateway.breaker("crm");
    assert_eq!(
        (&probing["state"], &probing["inFlight"]),
        (&json!("half-open"), &json!(1)),
        "{probing}"
    );
    let arrivals = receiver.arrived_at("crm");
    assert_eq!(arrivals.len(), number, "one probe and no more");
    let waited_ms = arrivals[number - 1].at_ms - arrivals[number - 2].at_ms;
    assert!(waited_ms >= OPEN_MS, "the probe came after {waited_ms} ms");
    assert_eq!(most_at_once(arrivals.iter().filter(|it| it.run == 1)), 1);
}

#[test]
fn a_breaker_is_opened_and_closed_by_hand_and_everybody_can_see_why() {
    let (receiver, _) = receiver();
    let config = SOURCE.to_owned()
        + &endpoint("crm", &receiver.at("crm"), "")
        + &subscription("crm", "endpoint = \"crm\"")
        + &watched(&receiver);
    let site = Site::new(&config);
    let gateway = site.start();
    let wish = json!({ "state": "open", "reason": "the CRM is being moved" });
    let shown = gateway.tell("PUT /v1/endpoints/crm/breaker", &wish);
    assert_eq!(
        (&shown["state"], &shown["cause"], &shown["reason"]),
        (&json!("open"), &json!("operator"), &wish["reason"]),
        "{shown}"
    );
    assert_eq!(shown["until"], Value::Null, "only a person closes it");
    assert_eq!(gateway.breaker("crm")["reason"], wish["reason"]);
    let listed = gateway
        .cli(&["breaker", "list", "--json"])
        .ok()
        .stdout
        .clone();
    assert!(listed.contains("the CRM is being moved"), "{listed}");
    let alert = await_told(&receiver, "switchhook.endpoint.paused");
    assert_eq!(
        (&alert["cause"], &alert["reason"]),
        (&json!("operator"), &wish["reason"])
    );

    let event = gateway.accept(&body("a"));
    until("the event to wait", || {
        let told = gateway.get(&format!("/v1/events/{event}/explain"));
        let all = told["subscriptions"].as_array().unwrap();
        let crm = all.iter().find(|it| it["subscription"] == "crm").unwrap();
        let why = crm["delivery"]["why"].as_str().unwrap_or_default();
        why.contains("the CRM is being moved").then_some(())
    });
    pass(Duration::from_millis(300));
    assert_eq!(receiver.arrived_at("crm"), []);
    gateway
        .cli(&["breaker", "close", "crm", "--reason", "it is there again"])
        .ok();
    receiver.wait_until(PATIENCE, |arrivals| arrivals.iter().any(|it| it.id == "a"));
    assert_eq!(gateway.breaker("crm")["state"], "closed");
    await_told(&receiver, "switchhook.endpoint.resumed");

    gateway
        .cli(&["breaker", "open", "crm", "--reason", "once more"])
        .ok();
    let open = gateway.breaker("crm");
    assert_eq!(open["reason"], "once more", "{open}");
    let audit = gateway.all("/v1/audit");
    let done = |action: &str| audit.iter().filter(|it| it["action"] == action).count();
    assert_eq!((done("breaker.open"), done("breaker.close")), (2, 1));
}

#[test]
fn what_cannot_be_done_to_a_breaker_is_refused_with_the_reason() {
    let (receiver, _) = receiver();
    let site = Site::new(&(SOURCE.to_owned() + &endpoint("crm", &receiver.at("crm"), "")));
    let gateway = site.start();
    let long = "x".repeat(513);
    for (path, wish, status) in [
        ("nobody", json!({ "state": "open", "reason": "r" }), 404),
        ("crm", json!({ "state": "ajar", "reason": "r" }), 400),
        ("crm", json!({ "state": "open", "reason": long }), 400),
        ("crm", json!({ "state": "open" }), 400),
    ] {
        let path = format!("PUT /v1/endpoints/{path}/breaker");
        let answer = gateway.ask(&path, wish.to_string().as_bytes());
        assert_eq!(answer.status(), status, "{wish}: {answer:?}");
    }
    assert_eq!(gateway.breaker("crm")["state"], "closed");
}
