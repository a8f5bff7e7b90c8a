//! Promise: what waits and what was given up survives a restart, and the gateway is ready within seconds.

use std::time::{Duration, Instant};

use crate::harness::receiver::Receiver;
use crate::harness::sender::body;
use crate::harness::{PATIENCE, SOURCE, Site, route, until};

#[test]
fn waiting_deliveries_and_dead_letters_survive_a_restart() {
    let receiver = Receiver::start(
        Instant::now(),
        |it| if it.is_of("later") { 503 } else { 400 },
    );
    let policy =
        "\n[policy.patient]\nmatrix = { delays = [\"2s\", \"2s\", \"2s\"] }\njitter = \"none\"\n";
    let config = SOURCE.to_owned()
        + policy
        + &route("later", &receiver.url(), "patient")
        + &route("never", &receiver.url(), "patient");
    let site = Site::new(&config);
    let gateway = site.start();
    for id in ["a", "b", "c"] {
        assert_eq!(gateway.send("web", &body(id)).status(), 202);
    }
    until("three waiting and three dead", || {
        (gateway.counts() == (3, 3)).then_some(())
    });
    gateway.kill();
    receiver.behave(|_| 200);

    let begun = Instant::now();
    let gateway = site.start();
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "ready after {:?}",
        begun.elapsed()
    );
    assert_eq!(gateway.dead_letters().len(), 3);
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals
            .iter()
            .filter(|it| it.is_of("later") && it.attempt >= 2 && it.status == 200)
            .count()
            == 3
    });
    gateway.settle(PATIENCE);
    assert_eq!(
        gateway.counts(),
        (0, 3),
        "what was given up is not tried again by itself"
    );
}

#[test]
fn an_event_acknowledged_just_before_a_kill_is_delivered() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&(SOURCE.to_owned() + &route("crm", &receiver.url(), "standard")));
    let gateway = site.start();
    let accepted = gateway.send("web", &body("a")).json();
    gateway.kill();
    let gateway = site.start();
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals.iter().any(|it| it.id == "a" && it.status == 200)
    });
    gateway.settle(PATIENCE);
    let id = accepted["eventId"].as_str().unwrap();
    let timeline = gateway.get(&format!("/v1/events/{id}/timeline"));
    assert_eq!(
        timeline["deliveries"][0]["state"], "delivered",
        "{timeline}"
    );
}
