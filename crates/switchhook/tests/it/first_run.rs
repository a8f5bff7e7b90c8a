//! Promise: a gateway that knows nothing is brought to its first delivery with the command line alone.

use std::fs;
use std::net::TcpListener;
use std::time::Instant;

use serde_json::Value;

use crate::harness::receiver::Receiver;
use crate::harness::{Gateway, PATIENCE, Site};

const SOURCE: &str = r#"{"verify": {"scheme": "open-messaging", "secrets": ["change-me-please"]}}"#;

/// Makes a source, an endpoint and a subscription, as the gateway tells at its first start.
#[track_caller]
fn set_up(gateway: &Gateway, receiver: &Receiver) {
    let url = receiver.url();
    gateway
        .cli_with(&["source", "set", "web", "-f", "-"], SOURCE)
        .ok();
    gateway
        .cli(&[
            "endpoint",
            "set",
            "crm",
            "--url",
            &url,
            "--allow-private",
            "127.0.0.0/8",
        ])
        .ok();
    gateway
        .cli(&[
            "subscription",
            "set",
            "web-to-crm",
            "--source",
            "web",
            "--endpoint",
            "crm",
        ])
        .ok();
}

#[test]
fn the_first_start_tells_what_to_do() {
    let site = Site::new("");
    let words = site.start().words();
    for said in [
        "READY ",
        "switchhook source set",
        "switchhook endpoint set",
        "switchhook subscription set",
        "API token, shown this once",
    ] {
        assert!(words.contains(said), "`{said}` is not said in:\n{words}");
    }
    let words = site.start().words();
    assert!(
        !words.contains("API token"),
        "the token is shown once:\n{words}"
    );
}

#[test]
fn from_nothing_to_a_delivery() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new("");
    let gateway = site.start();
    set_up(&gateway, &receiver);
    let shown = gateway.cli(&["source", "get", "web"]);
    assert!(!shown.ok().stdout.contains("change-me-please"), "{shown:?}");

    let sent = gateway.cli(&[
        "send",
        "web",
        "order.placed",
        "--set",
        "order.id=7",
        "--wait",
        "--json",
    ]);
    let lines = sent.ok().stdout.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["duplicate"], false);
    assert_eq!(lines.len(), 2, "one attempt is shown: {sent:?}");
    assert_eq!(lines[1]["attempt"]["status"], 200, "{sent:?}");
    assert_eq!(receiver.arrivals().len(), 1);
}

#[test]
fn a_dead_letter_is_found_and_replayed() {
    let receiver = Receiver::start(Instant::now(), |_| 400);
    let site = Site::new("");
    let gateway = site.start();
    set_up(&gateway, &receiver);
    let refused = gateway.cli(&["send", "web", "order.placed", "--wait", "--json"]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    let dead = gateway.cli(&["dlq", "list", "--json"]).json();
    let letters = dead.as_array().unwrap();
    assert_eq!(
        (letters.len(), &dead[0]["status"]),
        (1, &400.into()),
        "{dead}"
    );
    let event = dead[0]["event"]["id"].as_str().unwrap();

    receiver.behave(|_| 200);
    let replayed = gateway
        .cli(&["dlq", "replay", "--endpoint", "crm", "--json"])
        .json();
    assert_eq!(replayed["replayed"], 1, "{replayed}");
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals
            .iter()
            .any(|it| it.event == event && it.status == 200)
    });
    gateway.settle(PATIENCE);
    let timeline = gateway.cli(&["event", "timeline", event, "--json"]).json();
    let delivery = &timeline["deliveries"][0];
    assert_eq!(delivery["state"], "delivered", "{timeline}");
    assert_eq!(delivery["chain"], 1, "{timeline}");
    assert_eq!(
        gateway.cli(&["dlq", "list", "--json"]).json(),
        Value::Array(Vec::new())
    );
}

#[test]
fn a_command_without_the_token_is_denied() {
    let site = Site::new("");
    let mut gateway = site.start();
    gateway.token = Some("wrong".to_owned());
    assert_eq!(gateway.cli(&["event", "list"]).code, Some(6));
}

#[test]
fn a_first_start_that_fails_uses_up_no_token() {
    let site = Site::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), config.replace("127.0.0.1:0", &address)).unwrap();
    let (code, words) = site.spawn().wait();
    assert_eq!(code, Some(7), "{words}");
    fs::write(site.config(), config).unwrap();
    let gateway = site.start();
    assert!(
        gateway.token.is_some(),
        "it is shown by the start that works"
    );
    assert_eq!(gateway.get("/v1/version")["store"], "embedded");
}
