//! Promise: what belongs together arrives in order, one at a time, whatever fails, and over a `kill -9`.

use std::time::{Duration, Instant};

use crate::harness::audit::{Arrival, audit};
use crate::harness::ordeal::{self, Ordeal, QUICK, chance, survive};
use crate::harness::order::{Entry, assert_order};
use crate::harness::receiver::Receiver;
use crate::harness::sender::keyed;
use crate::harness::{
    Gateway, KEY, PATIENCE, SOURCE, Site, endpoint, pass, say, subscription, until,
};

/// Of `of` attempts one fails and one takes its time, and one event of fifty is refused for good.
fn moods(it: &Arrival, of: u64) -> u16 {
    if chance(it, it.attempt, of) == 0 {
        pass(Duration::from_millis(20));
    }
    match (chance(it, 0, 50), chance(it, it.attempt + 100, of)) {
        (0, _) => 400,
        (_, 0) => 503,
        _ => 200,
    }
}

fn site(receiver: &Receiver, order: &str) -> Site {
    let to = format!("endpoint = \"crm\"\npolicy = \"quick\"\norder = \"{order}\"");
    let limits = "breaker = false\nconcurrency = 20";
    Site::new(
        &(SOURCE.to_owned()
            + KEY
            + QUICK
            + &endpoint("crm", &receiver.url(), limits)
            + &subscription("crm", &to)),
    )
}

/// Kills it under load three times; nothing may be lost, repeated without need, or overtaken.
#[track_caller]
fn survives_in_order(
    order: &'static str,
    (connections, of): (usize, u64),
    line: impl Fn(&str) -> String,
) {
    let start = Instant::now();
    let receiver = Receiver::start(start, move |it| moods(it, of));
    let site = site(&receiver, order);
    let kills = Ordeal {
        rounds: 3,
        seed: 7,
        what: "kills",
        age_ms: (300, 900),
        subscriptions: &["crm"],
        connections,
    };
    let (gateway, book) = survive(&site, &receiver, start, &kills, |_| {});
    let findings = audit(&book);
    say(&format!("order = {order:?} over three kills: {findings}"));
    findings.assert_clean();
    let log: Vec<Entry> = gateway
        .log()
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            (text("id"), line(&text("key")))
        })
        .collect();
    assert!(log.len() > 100, "only {} events came in", log.len());
    assert_order(&book.arrivals, &log);
}

#[test]
fn events_of_a_key_never_overtake_each_other_over_kills() {
    survives_in_order("key", (ordeal::CONNECTIONS, 10), str::to_owned);
}

#[test]
fn events_of_a_strict_subscription_never_overtake_each_other_over_kills() {
    // They go one by one, so what takes time takes it from all.
    survives_in_order("strict", (1, 50), |_| "all".to_owned());
}

/// The ids that were answered with success, in the order of their first time: a kill may repeat one.
fn delivered(arrivals: &[Arrival]) -> Vec<String> {
    let mut ids = Vec::new();
    for it in arrivals.iter().filter(|it| it.is_success()) {
        if !ids.contains(&it.id) {
            ids.push(it.id.clone());
        }
    }
    ids
}

fn await_delivered(receiver: &Receiver, count: usize) {
    receiver.wait_until(PATIENCE, |arrivals| delivered(arrivals).len() == count);
}

fn await_halt(gateway: &Gateway) {
    until("one dead letter and two held", || {
        (gateway.counts() == (2, 1)).then_some(())
    });
}

#[test]
fn a_key_that_halts_waits_for_a_person_over_a_restart_and_goes_on_in_order() {
    let receiver = Receiver::start(Instant::now(), |it| if it.id == "a1" { 400 } else { 200 });
    let to = "endpoint = \"crm\"\norder = \"key\"\non_exhausted = \"halt\"";
    let config = SOURCE.to_owned()
        + KEY
        + &endpoint("crm", &receiver.url(), "breaker = false")
        + &subscription("crm", to);
    let site = Site::new(&config);
    let gateway = site.start();
    for (id, key) in [
        ("a1", "a"),
        ("b1", "b"),
        ("a2", "a"),
        ("b2", "b"),
        ("a3", "a"),
    ] {
        gateway.accept(&keyed(id, key));
    }
    await_delivered(&receiver, 2);
    await_halt(&gateway);
    gateway.kill();

    let gateway = site.start();
    gateway.accept(&keyed("b3", "b"));
    await_delivered(&receiver, 3);
    await_halt(&gateway);
    let letter = &gateway.dead_letters()[0];
    assert_eq!(letter["gap"], "halted", "{letter}");
    let behind = letter["event"]["id"].as_str().unwrap();
    let waiting = gateway.log()[2]["id"].as_str().unwrap().to_owned();
    let told = gateway.get(&format!("/v1/events/{waiting}/timeline"));
    assert_eq!(told["deliveries"][0]["state"], "held", "{told}");
    assert_eq!(told["deliveries"][0]["behind"]["eventId"], behind, "{told}");
    assert_eq!(delivered(&receiver.arrivals()), ["b1", "b2", "b3"]);

    gateway
        .cli(&["dlq", "discard", "--event", behind, "--yes"])
        .ok();
    await_delivered(&receiver, 5);
    gateway.settle(PATIENCE);
    assert_eq!(
        delivered(&receiver.arrivals()),
        ["b1", "b2", "b3", "a2", "a3"]
    );
    assert_eq!(gateway.counts(), (0, 0));
}
