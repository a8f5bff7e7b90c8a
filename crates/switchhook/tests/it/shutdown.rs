//! Promise: SIGTERM drains. What is under way ends and is recorded, nothing acknowledged is lost or repeated.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::harness::audit::{Book, audit};
use crate::harness::receiver::Receiver;
use crate::harness::sender::{Sender, body};
use crate::harness::{PATIENCE, SOURCE, Site, http, ordeal, pass, route, until};

#[test]
fn a_gateway_under_load_drains_and_repeats_nothing_after_the_next_start() {
    let start = Instant::now();
    let receiver = ordeal::receiver(start);
    let site = Site::new(&ordeal::config(&receiver));
    let gateway = site.start();
    let sender = Sender::start(site.ingest(), 1, 6);
    sender.wait_for(200, PATIENCE);
    gateway.terminate();
    let (code, words) = gateway.wait();
    assert_eq!(code, Some(0), "{words}");
    let acked = sender.stop();

    let gateway = site.start();
    gateway.settle(PATIENCE);
    let book = Book {
        subscriptions: ordeal::SUBSCRIPTIONS.map(str::to_owned).to_vec(),
        held: gateway.held(),
        arrivals: receiver.arrivals(),
        acked,
        // A drain is no crash: it explains no duplicate.
        crashes_ms: Vec::new(),
    };
    audit(&book).assert_clean();
}

#[test]
fn a_gateway_that_drains_says_that_it_is_not_ready() {
    let (asked, answered) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let barriers = (Arc::clone(&asked), Arc::clone(&answered));
    let receiver = Receiver::start(Instant::now(), move |_| {
        barriers.0.wait();
        barriers.1.wait();
        200
    });
    let site = Site::new(&(SOURCE.to_owned() + &route("slow", &receiver.url(), "standard")));
    let gateway = site.start();
    assert_eq!(gateway.send("web", &body("a")).status(), 202);
    asked.wait();
    gateway.terminate();
    until("the word that it stops", || {
        gateway.words().contains("stopping").then_some(())
    });
    let probe = || {
        let answer = http::ask_once(gateway.admin, "GET /readyz", &[], b"");
        answer.map_or(0, |answer| answer.status())
    };
    until("the first answer that is no yes", || {
        (probe() != 200).then_some(())
    });
    let mut answers = BTreeSet::new();
    for _ in 0..20 {
        answers.insert(probe());
        pass(Duration::from_millis(10));
    }
    answered.wait();
    assert_eq!(gateway.wait().0, Some(0));
    assert_eq!(
        answers,
        BTreeSet::from([503]),
        "every probe during the drain is told"
    );

    // The request that was under way has ended, and its result is on disk.
    let gateway = site.start();
    gateway.settle(PATIENCE);
    assert_eq!(receiver.arrivals().len(), 1);
}

#[test]
fn a_sender_that_is_slow_does_not_keep_deliveries_from_draining() {
    const EVENTS: usize = 200;
    let receiver = Receiver::start(Instant::now(), |_| {
        pass(Duration::from_millis(200));
        200
    });
    let site = Site::new(&(SOURCE.to_owned() + &route("slow", &receiver.url(), "standard")));
    let gateway = site.start();
    for n in 0..EVENTS {
        assert_eq!(gateway.send("web", &body(&n.to_string())).status(), 202);
    }
    let mut sender = TcpStream::connect(gateway.ingest).unwrap();
    sender
        .write_all(b"POST /in/web HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        .unwrap();
    let before = receiver.arrivals().len();
    gateway.terminate();
    assert_eq!(gateway.wait().0, Some(0));
    let during = receiver.arrivals().len() - before;
    assert!(
        during < EVENTS / 4,
        "{during} requests arrived although nothing new is to be started"
    );
}
