//! Promise: what was delivered long enough ago goes, and its disk space with it, while the gateway runs; what waits or
//! was given up stays whole, and a repeat is still known.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::{Gateway, PATIENCE, SOURCE, Site, endpoint, until};

/// The least that the store can be held to.
const BYTES_MAX: u64 = 64 << 20;
/// Events of a MiB each that are delivered.
const FILLERS: usize = 90;

fn config(receiver: &Receiver) -> String {
    let mut config = SOURCE.to_owned() + "body_max = \"2MiB\"\n";
    config += "\n[retention]\nbytes = \"64MiB\"\n";
    config += "\n[policy.patient]\nfixed = { delay = \"1h\" }\n";
    for name in ["filler", "dead", "waiting"] {
        config += &endpoint(name, &receiver.at(name), "breaker = false");
        config += &format!(
            "\n[subscription.{name}]\nsources = [\"web\"]\ntypes = [\"{name}\"]\n\
             endpoint = \"{name}\"\npolicy = \"patient\"\n"
        );
    }
    config
}

/// An event of this type with so much text.
fn event(id: &str, kind: &str, text_bytes: usize) -> Vec<u8> {
    let text = "x".repeat(text_bytes);
    format!(r#"{{"id":"{id}","type":"{kind}","text":"{text}"}}"#).into_bytes()
}

/// Of the database and its log.
fn bytes_on_disk(site: &Site) -> u64 {
    let files = fs::read_dir(site.data()).unwrap().map(Result::unwrap);
    let own = files.filter(|file| file.file_name().to_string_lossy().starts_with("store.db"));
    // A file may go between the list and the look.
    let sizes = own.filter_map(|file| file.metadata().ok());
    sizes.map(|meta| meta.len()).sum()
}

fn status(gateway: &Gateway) -> Value {
    gateway.get("/v1/store/status")
}

#[test]
fn a_store_that_is_too_large_shrinks_and_keeps_what_is_needed() {
    let receiver = Receiver::start(Instant::now(), |it| match it.place() {
        "dead" => 400,
        "waiting" => 503,
        _ => 200,
    });
    let site = Site::new(&config(&receiver));
    let gateway = site.start();
    let dead = gateway.accept(&event("d", "dead", 5_000));
    let waiting = gateway.accept(&event("w", "waiting", 5_000));
    let fillers: Vec<String> = (0..FILLERS)
        .map(|n| gateway.accept(&event(&n.to_string(), "filler", 1 << 20)))
        .collect();
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals.iter().filter(|it| it.is_success()).count() == FILLERS
    });
    until("one waiting, one dead", || {
        (gateway.counts() == (1, 1)).then_some(())
    });
    let before = status(&gateway)["bytes"].as_u64().unwrap();
    assert!(before > BYTES_MAX, "{before} bytes are too few");
    gateway.terminate();
    assert_eq!(gateway.wait().0, Some(0));

    let gateway = site.start();
    let after = until("the store to shrink", || {
        let status = status(&gateway);
        let small = status["bytes"].as_u64().unwrap() <= BYTES_MAX;
        (small && bytes_on_disk(&site) <= BYTES_MAX).then_some(status)
    });
    let gone = after["retention"]["events"].as_u64().unwrap();
    assert!((20..60).contains(&gone), "the oldest third or so: {after}");
    // One more tells of the dead letter.
    assert_eq!(
        after["events"].as_u64().unwrap() + gone,
        3 + FILLERS as u64,
        "{after}"
    );
    assert!(
        after["retention"]["bytes"].as_u64().unwrap() >= before - BYTES_MAX,
        "{after}"
    );
    assert_kept(&gateway, &dead, &waiting);

    let again = gateway.send("web", &event("0", "filler", 1 << 20)).json();
    assert_eq!(again, json!({ "eventId": fillers[0], "duplicate": true }));
    let oldest = gateway.ask(&format!("GET /v1/events/{}", fillers[0]), b"");
    assert_eq!(oldest.status(), 404, "the oldest goes first");
    let newest = fillers.last().unwrap();
    gateway.get(&format!("/v1/events/{newest}"));

    receiver.behave(|_| 200);
    gateway
        .cli(&["dlq", "replay", "--subscription", "dead"])
        .ok();
    receiver.wait_until(PATIENCE, |arrivals| {
        let mut those = arrivals.iter().filter(|it| it.event == dead);
        those.any(|it| it.is_success() && it.request.body == event("d", "dead", 5_000))
    });
}

/// The dead letter and the waiting delivery are whole, and so is their story.
#[track_caller]
fn assert_kept(gateway: &Gateway, dead: &str, waiting: &str) {
    assert_eq!(gateway.counts(), (1, 1));
    let letters = gateway.dead_letters();
    assert_eq!(letters[0]["event"]["id"], dead);
    for (id, state) in [(dead, "dead"), (waiting, "waiting")] {
        let told = gateway.get(&format!("/v1/events/{id}/timeline"));
        let text = told["event"]["body"]["text"].as_str().unwrap_or_default();
        assert_eq!(text.len(), 5_000, "{told}");
        let deliveries = told["deliveries"].as_array().unwrap();
        let found = deliveries
            .iter()
            .find(|it| it["subscription"] == state)
            .unwrap();
        assert_eq!(found["state"], state, "{told}");
        assert_eq!(found["attempts"].as_array().unwrap().len(), 1, "{told}");
    }
}
