//! Promise: a `kill -9` at any moment loses nothing that was acknowledged, and repeats only what was under way.
//!
//! `SWITCHHOOK_KILLS` sets how many kills, `SWITCHHOOK_SEED` when they come. A kill does not test durability against
//! power failure, see `power`.

use std::time::{Duration, Instant};

use crate::harness::http::Connection;
use crate::harness::ordeal::{self, Ordeal};
use crate::harness::sender::{body, signature};
use crate::harness::{Site, setting, skipped};

#[test]
fn nothing_acknowledged_is_lost_by_kills_under_load() {
    let start = Instant::now();
    let receiver = ordeal::receiver(start);
    let site = Site::new(&ordeal::config(&receiver));
    let kills = Ordeal {
        rounds: setting("SWITCHHOOK_KILLS", 10),
        seed: setting("SWITCHHOOK_SEED", 1),
        what: "kills",
        age_ms: (50, 1_500),
        subscriptions: &ordeal::SUBSCRIPTIONS,
        connections: ordeal::CONNECTIONS,
    };
    ordeal::run(&site, &receiver, start, &kills, |_| {}).assert_clean();
}

#[test]
fn the_audit_fails_on_a_build_that_acknowledges_before_the_commit() {
    let Ok(broken) = std::env::var("SWITCHHOOK_BROKEN_BIN") else {
        let why = "SWITCHHOOK_BROKEN_BIN is not set; scripts/test builds it";
        return skipped("the control of the kill test", why);
    };
    let start = Instant::now();
    let receiver = ordeal::receiver(start);
    let mut site = Site::new(&ordeal::config(&receiver)).with_program(broken);
    site.variables.push(("SWITCHHOOK_SABOTAGE", "ack-early"));
    let few = Ordeal {
        rounds: 5,
        seed: 1,
        what: "kills of a broken build",
        age_ms: (300, 600),
        subscriptions: &ordeal::SUBSCRIPTIONS,
        connections: ordeal::CONNECTIONS,
    };
    let found = ordeal::run(&site, &receiver, start, &few, |_| {});
    assert!(
        !found.lost.is_empty(),
        "{} events were acknowledged too early, and none was missed",
        found.acked
    );
}

#[test]
fn a_request_that_breaks_off_is_not_stored() {
    let start = Instant::now();
    let receiver = ordeal::receiver(start);
    let site = Site::new(&ordeal::config(&receiver));
    let gateway = site.start();
    let whole = body("torn");
    let mut connection = Connection::open(gateway.ingest).unwrap();
    let head = format!(
        "POST /in/web HTTP/1.1\r\nhost: x\r\n{}\r\ncontent-length: {}\r\n\r\n",
        signature(&whole),
        whole.len()
    );
    connection.send_bytes(head.as_bytes()).unwrap();
    connection.send_bytes(&whole[..whole.len() - 1]).unwrap();
    drop(connection);
    // One that comes after it and is delivered: then the torn one would be too.
    assert_eq!(gateway.send("web", &body("whole")).status(), 202);
    receiver.wait_until(Duration::from_secs(10), |arrivals| {
        arrivals.iter().any(|it| it.id == "whole")
    });
    gateway.settle(Duration::from_secs(10));
    let events = gateway.get("/v1/events");
    assert_eq!(events["entities"].as_array().unwrap().len(), 1, "{events}");
    let accepted = gateway.send("web", &whole).json();
    assert_eq!(
        accepted["duplicate"], false,
        "nothing of the torn request was kept: {accepted}"
    );
}
