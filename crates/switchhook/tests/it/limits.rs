//! Promise: no endpoint ever gets more than it may, at once or in a second, nor does the gateway in all.

use std::time::{Duration, Instant};

use crate::harness::audit::Arrival;
use crate::harness::order::most_at_once;
use crate::harness::receiver::Receiver;
use crate::harness::sender::body;
use crate::harness::{PATIENCE, SOURCE, Site, endpoint, pass, subscription};

/// A source and some endpoints with these limits, each with a subscription and a place of its name.
fn config(receiver: &Receiver, endpoints: &[(&str, &str)]) -> String {
    let sections = endpoints.iter().map(|(name, limits)| {
        endpoint(name, &receiver.at(name), limits)
            + &subscription(name, &format!("endpoint = \"{name}\""))
    });
    SOURCE.to_owned() + &sections.collect::<String>()
}

fn deliver(site: &Site, receiver: &Receiver, events: usize, deliveries: usize) {
    let gateway = site.start();
    for n in 0..events {
        gateway.accept(&body(&n.to_string()));
    }
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals.iter().filter(|it| it.is_success()).count() == deliveries
    });
    gateway.settle(PATIENCE);
    assert_eq!(gateway.counts(), (0, 0), "a wait costs no attempt");
    assert_eq!(receiver.arrivals().len(), deliveries);
}

#[test]
fn a_rate_is_kept_in_every_span_of_time() {
    const RATE: u64 = 20;
    /// What one second brings may go out at once.
    const BURST: u64 = RATE;
    const EVENTS: usize = 60;
    /// A request may be on its way for so much longer than the one after it.
    const JITTER_MS: u64 = 250;
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&config(&receiver, &[("crm", "rate = \"20/s\"")]));
    deliver(&site, &receiver, EVENTS, EVENTS);
    let times: Vec<u64> = receiver.arrivals().iter().map(|it| it.at_ms).collect();
    let took_ms = times[EVENTS - 1] - times[0];
    assert!(
        (1_900..6_000).contains(&took_ms),
        "{EVENTS} took {took_ms} ms"
    );
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let sent = u64::try_from(last - first + 1).unwrap();
            let most = 1 + BURST + (to - from + JITTER_MS) * RATE / 1_000;
            assert!(
                sent <= most,
                "{sent} within {} ms, {most} may go",
                to - from
            );
        }
    }
}

#[test]
fn neither_an_endpoint_nor_the_gateway_has_more_under_way_than_it_may() {
    const EVENTS: usize = 60;
    let receiver = Receiver::start(Instant::now(), |_| {
        pass(Duration::from_millis(15));
        200
    });
    let endpoints = [
        ("narrow", "concurrency = 2"),
        ("wide", "concurrency = 20"),
        ("adaptive", "adaptive = { max = 4 }"),
    ];
    let config = config(&receiver, &endpoints);
    let site = Site::new(&config);
    site.set("concurrency = 7");
    deliver(&site, &receiver, EVENTS, EVENTS * endpoints.len());
    let all = receiver.arrivals();
    let most = |place: &str| {
        most_at_once(
            all.iter()
                .filter(|it: &&Arrival| place.is_empty() || it.place() == place),
        )
    };
    assert_eq!(most("narrow"), 2);
    assert!((1..=4).contains(&most("adaptive")), "{}", most("adaptive"));
    assert!((3..=7).contains(&most("wide")), "{}", most("wide"));
    assert!((4..=7).contains(&most("")), "{}", most(""));
}
