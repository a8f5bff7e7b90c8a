//! Promise: a replay job delivers what it was asked for again, once, at its rate, also over a `kill -9`; a person can
//! look first, stop it, let it go on and end it, and finds all of that in the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::audit::{Arrival, explains};
use crate::harness::receiver::Receiver;
use crate::harness::sender::body;
use crate::harness::{Gateway, PATIENCE, SOURCE, Site, pass, route, until};

/// A site with a subscription `crm` to the place of that name.
fn site(receiver: &Receiver) -> Site {
    Site::new(&(SOURCE.to_owned() + &route("crm", &receiver.at("crm"), "standard")))
}

/// Sends so many events and waits until they are delivered; all of them as the log has them.
fn deliver(gateway: &Gateway, events: usize) -> Vec<Value> {
    for n in 0..events {
        gateway.accept(&body(&n.to_string()));
    }
    gateway.settle(PATIENCE);
    let log = gateway.log();
    assert_eq!(log.len(), events);
    log
}

fn make(gateway: &Gateway, select: &Value, rate: u32) -> String {
    let request = json!({ "kind": "replay", "select": select, "ratePerSecond": rate });
    let job = gateway.tell("POST /v1/jobs", &request);
    job["id"].as_str().unwrap().to_owned()
}

fn job(gateway: &Gateway, id: &str) -> Value {
    gateway.get(&format!("/v1/jobs/{id}"))
}

fn command(gateway: &Gateway, id: &str, state: &str) -> Value {
    gateway.tell(&format!("PATCH /v1/jobs/{id}"), &json!({ "state": state }))
}

#[track_caller]
fn await_job(gateway: &Gateway, id: &str, state: &str) -> Value {
    until(state, || {
        Some(job(gateway, id)).filter(|job| job["state"] == state)
    })
}

fn audited(gateway: &Gateway) -> Vec<String> {
    let all = gateway.all("/v1/audit");
    let actions = all.iter().map(|it| it["action"].as_str().unwrap());
    actions
        .filter(|action| action.starts_with("replay."))
        .map(str::to_owned)
        .collect()
}

/// The arrivals of each event after its first one, which was no replay.
fn replays(arrivals: &[Arrival]) -> BTreeMap<String, Vec<Arrival>> {
    let mut by_event: BTreeMap<String, Vec<Arrival>> = BTreeMap::new();
    for it in arrivals {
        by_event
            .entry(it.event.clone())
            .or_default()
            .push(it.clone());
    }
    for all in by_event.values_mut() {
        let first = all.remove(0);
        for again in all {
            assert_eq!(again.delivery, first.delivery, "one delivery, one id");
            assert_eq!(again.request.body, first.request.body);
        }
    }
    by_event
}

#[test]
fn a_job_delivers_each_event_once_more_although_it_is_killed_in_the_middle() {
    const EVENTS: usize = 340;
    const RATE: u32 = 60;
    let start = Instant::now();
    let receiver = Receiver::start(start, |_| 200);
    let site = site(&receiver);
    let gateway = site.start();
    let log = deliver(&gateway, EVENTS);
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let (since, until) = (text(&log[20], "receivedAt"), text(&log[320], "receivedAt"));
    let meant = |event: &&Value| {
        let at = event["receivedAt"].as_str().unwrap();
        since.as_str() <= at && at < until.as_str()
    };
    let expected: BTreeSet<String> = log.iter().filter(meant).map(|it| text(it, "id")).collect();
    let select = json!({ "subscription": "crm", "since": since, "until": until });
    let id = make(&gateway, &select, RATE);
    receiver.wait_until(PATIENCE, |arrivals| arrivals.len() >= EVENTS + 100);
    gateway.kill();
    let crash_ms = u64::try_from(start.elapsed().as_millis()).unwrap();
    let killed = receiver.arrivals().len() - EVENTS;
    assert!(killed < expected.len(), "it was not in the middle");

    let gateway = site.start();
    let done = await_job(&gateway, &id, "done");
    gateway.settle(PATIENCE);
    for figure in ["total", "done"] {
        assert_eq!(done[figure], expected.len(), "{figure}: {done}");
    }
    let arrivals = receiver.arrivals();
    for (event, again) in replays(&arrivals) {
        match again.as_slice() {
            [] => assert!(!expected.contains(&event), "{event} was left out"),
            [_] => assert!(expected.contains(&event), "{event} was not meant"),
            [first, second] => assert!(explains(crash_ms, first, second), "{again:?}"),
            more => panic!("{event} came {} times too often", more.len()),
        }
    }
    // A quarter of a second's worth goes out at a time, and the restart takes its time too.
    let took_ms = arrivals.last().unwrap().at_ms - arrivals[EVENTS].at_ms;
    let fastest_ms = (expected.len() as u64 * 1_000 / u64::from(RATE)).saturating_sub(1_000);
    assert!(took_ms >= fastest_ms, "{took_ms} ms, at least {fastest_ms}");
    assert_eq!(audited(&gateway), ["replay.start"]);
}

#[test]
fn a_job_is_paused_goes_on_and_is_cancelled() {
    const EVENTS: usize = 200;
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site(&receiver);
    let gateway = site.start();
    deliver(&gateway, EVENTS);
    let id = make(&gateway, &json!({ "subscription": "crm" }), 50);
    let replayed = || receiver.arrivals().len() - EVENTS;
    until("the first replays", || (replayed() >= 20).then_some(()));
    let paused = command(&gateway, &id, "paused");
    assert_eq!(paused["state"], "paused", "{paused}");
    gateway.settle(PATIENCE);
    let so_far = replayed();
    assert_eq!(paused["done"], so_far, "what was put to work is delivered");
    pass(Duration::from_millis(600));
    assert_eq!(replayed(), so_far, "nothing while paused");

    command(&gateway, &id, "running");
    until("more replays", || (replayed() >= so_far + 20).then_some(()));
    let cancelled = command(&gateway, &id, "cancelled");
    gateway.settle(PATIENCE);
    let in_all = replayed();
    assert_eq!(cancelled["done"], in_all, "{cancelled}");
    assert!(in_all < EVENTS, "it was cancelled too late");
    pass(Duration::from_millis(600));
    assert_eq!(replayed(), in_all, "nothing after the end");
    assert_eq!(job(&gateway, &id)["state"], "cancelled");
    let again = gateway.ask(&format!("PATCH /v1/jobs/{id}"), br#"{"state":"running"}"#);
    assert_eq!(again.status(), 409, "{again:?}");
    let actions = [
        "replay.cancel",
        "replay.resume",
        "replay.pause",
        "replay.start",
    ];
    assert_eq!(audited(&gateway), actions, "newest first");
}

#[test]
fn a_paused_job_stays_paused_over_a_restart() {
    const EVENTS: usize = 60;
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site(&receiver);
    let gateway = site.start();
    deliver(&gateway, EVENTS);
    let id = make(&gateway, &json!({ "subscription": "crm" }), 20);
    until("the first replays", || {
        (receiver.arrivals().len() > EVENTS).then_some(())
    });
    command(&gateway, &id, "paused");
    gateway.settle(PATIENCE);
    let so_far = receiver.arrivals().len();
    gateway.kill();
    let gateway = site.start();
    pass(Duration::from_millis(600));
    assert_eq!(job(&gateway, &id)["state"], "paused");
    assert_eq!(receiver.arrivals().len(), so_far);
    command(&gateway, &id, "running");
    await_job(&gateway, &id, "done");
    gateway.settle(PATIENCE);
    assert_eq!(receiver.arrivals().len(), 2 * EVENTS);
}

#[test]
fn a_dry_run_only_counts_and_another_subscription_can_get_it() {
    const EVENTS: usize = 50;
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site(&receiver);
    let gateway = site.start();
    let log = deliver(&gateway, EVENTS);
    let other = json!({ "sources": ["web"], "endpoint": "crm" });
    gateway.tell("PUT /v1/subscriptions/other", &other);
    let mut request = json!({
        "kind": "replay", "select": {}, "to": "other", "ratePerSecond": 25, "dryRun": true
    });
    let count = gateway.tell("POST /v1/jobs", &request);
    assert_eq!(
        (&count["total"], &count["to"], &count["seconds"]),
        (&json!(EVENTS), &json!("other"), &json!(2)),
        "{count}"
    );
    assert_eq!(count["sample"][0], log[0]["id"], "{count}");
    assert_eq!(gateway.all("/v1/jobs"), [Value::Null; 0]);
    assert_eq!(receiver.arrivals().len(), EVENTS);

    request["dryRun"] = json!(false);
    request["ratePerSecond"] = json!(1_000);
    let job = gateway.tell("POST /v1/jobs", &request);
    await_job(&gateway, job["id"].as_str().unwrap(), "done");
    gateway.settle(PATIENCE);
    let arrivals = receiver.arrivals();
    let (own, others): (Vec<&Arrival>, Vec<&Arrival>) =
        arrivals.iter().partition(|it| it.is_of("crm"));
    assert_eq!((own.len(), others.len()), (EVENTS, EVENTS));
    let of = |arrivals: &[&Arrival]| -> BTreeSet<String> {
        arrivals.iter().map(|it| it.event.clone()).collect()
    };
    assert_eq!(of(&own), of(&others), "the same events");
    assert!(
        others
            .iter()
            .all(|it| own.iter().all(|own| own.delivery != it.delivery))
    );
    assert_eq!(audited(&gateway), ["replay.start"], "a dry run is no deed");
}

#[test]
fn a_job_of_dead_letters_takes_those_and_no_others() {
    const EVENTS: usize = 20;
    let receiver = Receiver::start(Instant::now(), |it| {
        let even = it.id.parse::<u32>().is_ok_and(|id| id % 2 == 0);
        if even { 400 } else { 200 }
    });
    let site = site(&receiver);
    let gateway = site.start();
    deliver_some(&gateway, EVENTS);
    assert_eq!(gateway.counts(), (0, 10));
    receiver.behave(|_| 200);
    let select = json!({ "subscription": "crm", "status": "dead", "reason": "refused" });
    let id = make(&gateway, &select, 1_000);
    let done = await_job(&gateway, &id, "done");
    gateway.settle(PATIENCE);
    assert_eq!(
        (&done["total"], &done["done"]),
        (&json!(10), &json!(10)),
        "{done}"
    );
    assert_eq!(gateway.counts(), (0, 0));
    for (event, again) in replays(&receiver.arrivals()) {
        let times = usize::from(
            again
                .iter()
                .all(|it| it.id.parse::<u32>().unwrap() % 2 == 0),
        );
        assert!(again.len() <= times, "{event}: {again:?}");
    }
    assert_eq!(receiver.arrivals().len(), EVENTS + 10);
}

/// Sends so many events and waits until each is delivered or dead.
fn deliver_some(gateway: &Gateway, events: usize) {
    for n in 0..events {
        gateway.accept(&body(&n.to_string()));
    }
    gateway.settle(PATIENCE);
}
