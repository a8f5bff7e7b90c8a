//! Promise: a subscription gets what it asks for and nothing else, in the shape it asks for, sealed and signed; what
//! cannot be filtered or shaped is a dead letter with the reason, and stops nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use switchhook_core::seal::{Key, SALT_BYTES, Scheme as Seal, Sealed, open};
use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::sign::{self, Scheme, Signer};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::time::UnixMs;
use switchhook_core::verify::verify;
use switchhook_sim::NoNames;

use crate::harness::http::Message;
use crate::harness::receiver::Receiver;
use crate::harness::{Gateway, KEY, PATIENCE, SOURCE, Site, endpoint, subscription};

/// Numbers and spacing as a sender may write them.
const ORDER: &str = r#"{"id": "o-1",  "type":"order.placed","key":"c-1","amount":12.50,
"items":[{"sku":"a"},{"sku":"b","n":2}],"note":"größer"}"#;
const LOGIN: &str = r#"{"id":"l-1","type":"user.login","key":"u-1"}"#;
const ORDER_SENT_ON: &str =
    r#"{"name":"größer","order":{"sum":12.5,"what":"order.placed","why":"none"}}"#;

/// Subscriptions, each to the place of its name: what each is besides, and what arrives there of [`ORDER`] and [`LOGIN`].
const SHAPES: [(&str, &str, &[&str]); 9] = [
    ("raw", "", &[ORDER, LOGIN]),
    ("typed", r#"types = ["order.*"]"#, &[ORDER]),
    (
        "when",
        r#"when = 'event.data.amount > 12.0 && event.data.items.exists(i, i.sku == "b") && event.key == "c-1"'"#,
        &[ORDER],
    ),
    ("never", "when = 'event.data.amount > 100.0'", &[]),
    (
        "criteria",
        r#"matchCriteria = [
  { jsonPath = "$.items[*].sku", operator = "Equal", value = "b" },
  { jsonPath = "$.amount", operator = "LessThanOrEqual", value = 12.5 },
]"#,
        &[ORDER],
    ),
    (
        "unmet",
        r#"match_criteria = [{ jsonPath = "$.amount", operator = "Exists", value = false }]
when = 'event.type != "user.login"'"#,
        &[],
    ),
    (
        "mapped",
        r#"types = ["order.placed"]
map = { "order.sum" = "amount", "order.what" = "event.type", name = "$.note", "order.why" = { path = "why", default = "none" } }"#,
        &[ORDER_SENT_ON],
    ),
    (
        "made",
        r#"types = ["order.placed"]
body = '{"skus": event.data.items.map(i, i.sku), "double": event.data.amount * 2.0, "for": event.key}'"#,
        &[r#"{"double":25.0,"for":"c-1","skus":["a","b"]}"#],
    ),
    (
        "failing",
        r#"when = 'event.type == "user.login" || event.data.note > 5'"#,
        &[LOGIN],
    ),
];

/// A gateway with these sections behind the source, and these secrets in files of their names.
fn start(config: &str, secrets: &[(&str, &str)]) -> (Site, Gateway) {
    let site = Site::new(&(SOURCE.to_owned() + KEY + config));
    for (name, value) in secrets {
        site.write(name, value);
    }
    let gateway = site.start();
    (site, gateway)
}

/// A route to the place `name` of the receiver.
fn shape(receiver: &Receiver, name: &str, limits: &str, lines: &str) -> String {
    let to = format!("endpoint = \"{name}\"\n{lines}");
    endpoint(name, &receiver.at(name), limits) + &subscription(name, &to)
}

/// The only request that arrived at a place.
#[track_caller]
fn only(receiver: &Receiver, place: &str) -> Message {
    let arrivals = receiver.arrived_at(place);
    assert_eq!(arrivals.len(), 1, "{place}: {arrivals:?}");
    (*arrivals[0].request).clone()
}

#[test]
fn each_subscription_gets_what_it_asked_for_and_a_filter_that_fails_stops_nobody() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let config: String = SHAPES
        .iter()
        .map(|(name, lines, _)| shape(&receiver, name, "", lines))
        .collect();
    let (_site, gateway) = start(&config, &[]);
    let order = gateway.accept(ORDER.as_bytes());
    gateway.accept(LOGIN.as_bytes());
    gateway.settle(PATIENCE);
    for (name, _, expected) in SHAPES {
        let arrived: BTreeSet<String> = receiver
            .arrived_at(name)
            .iter()
            .map(|it| String::from_utf8(it.request.body.clone()).unwrap())
            .collect();
        let expected: BTreeSet<String> = expected.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(arrived, expected, "{name}");
    }
    let letters = gateway.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!(
        (
            &letter["subscription"],
            &letter["reason"],
            &letter["event"]["id"],
            &letter["attempts"]
        ),
        (
            &json!("failing"),
            &json!("filter"),
            &json!(order),
            &json!(0)
        ),
        "{letter}"
    );
    assert!(letter["detail"].is_string(), "{letter}");
}

#[test]
fn a_body_that_cannot_be_made_is_a_dead_letter_and_stops_nobody() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let config = shape(
        &receiver,
        "mapped",
        "",
        r#"map = { sum = { path = "amount", required = true } }"#,
    ) + &shape(&receiver, "made", "", "body = 'event.data.amount + 1'");
    let (_site, gateway) = start(&config, &[]);
    gateway.accept(LOGIN.as_bytes());
    gateway.accept(ORDER.as_bytes());
    gateway.settle(PATIENCE);
    assert_eq!(only(&receiver, "mapped").body, br#"{"sum":12.5}"#);
    let letters = gateway.dead_letters();
    let found: BTreeSet<(&str, &str, &str)> = letters
        .iter()
        .map(|letter| {
            assert!(letter["detail"].is_string(), "{letter}");
            (
                letter["subscription"].as_str().unwrap(),
                letter["reason"].as_str().unwrap(),
                letter["event"]["type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        BTreeSet::from([
            ("made", "template", "order.placed"),
            ("made", "template", "user.login"),
            ("mapped", "template", "user.login"),
        ])
    );
    assert_eq!(gateway.breaker("mapped")["state"], "closed");
}

#[test]
fn what_explain_says_is_what_happened() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let config: String = SHAPES
        .iter()
        .map(|(name, lines, _)| shape(&receiver, name, "", lines))
        .collect();
    let (_site, gateway) = start(&config, &[]);
    let order = gateway.accept(ORDER.as_bytes());
    gateway.settle(PATIENCE);
    let told = gateway.get(&format!("/v1/events/{order}/explain"));
    let why: BTreeMap<&str, (&str, &str)> = told["subscriptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let text = |value: &'static str| it[value].as_str().unwrap_or_default();
            let state = it["delivery"]["state"].as_str().unwrap_or_default();
            (text("subscription"), (text("why"), state))
        })
        .collect();
    let expected = BTreeMap::from([
        ("raw", ("taken", "delivered")),
        ("typed", ("taken", "delivered")),
        ("when", ("taken", "delivered")),
        ("never", ("when", "")),
        ("criteria", ("taken", "delivered")),
        ("unmet", ("criterion", "")),
        ("mapped", ("taken", "delivered")),
        ("made", ("taken", "delivered")),
        ("failing", ("filter-failed", "dead")),
    ]);
    assert_eq!(why, expected, "{told}");
}

#[test]
fn the_envelope_and_both_kinds_of_cloud_event_are_complete() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let policy = "\n[policy.two]\nexponential = { initial = \"2s\", factor = 3, max = \"1m\" }\nmax_attempts = 4\n";
    let config = policy.to_owned()
        + &shape(
            &receiver,
            "enveloped",
            "",
            "format = \"envelope\"\npolicy = \"two\"",
        )
        + &shape(&receiver, "structured", "", "format = \"cloudevents\"")
        + &shape(&receiver, "binary", "", "format = \"cloudevents-binary\"");
    let (_site, gateway) = start(&config, &[]);
    let id = gateway.accept(ORDER.as_bytes());
    gateway.settle(PATIENCE);
    let event = gateway.get(&format!("/v1/events/{id}"));
    let data: Value = serde_json::from_str(ORDER).unwrap();

    let enveloped = only(&receiver, "enveloped");
    let delivery = enveloped.header("x-delivery-id").unwrap();
    let mut body = enveloped.json();
    let timestamp = body.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
    assert_eq!(
        body,
        json!({
            "deliveryId": delivery,
            "retryMatrix": { "attempts": 4, "baseIntervalMs": 2_000, "maxIntervalMs": 60_000, "multiplier": 3 },
            "encryptionDirective": null,
            "sourceEvent": data,
            "formatVersion": "2.1",
        })
    );
    assert_eq!(enveloped.header("x-format-version"), Some("2.1"));
    let text = String::from_utf8(enveloped.body.clone()).unwrap();
    assert!(text.contains(ORDER), "the event's own bytes: {text}");

    let structured = only(&receiver, "structured");
    assert_eq!(
        structured.header("content-type"),
        Some("application/cloudevents+json; charset=utf-8")
    );
    assert_eq!(
        structured.json(),
        json!({
            "specversion": "1.0", "id": id, "source": "/switchhook/web", "type": "order.placed",
            "time": event["receivedAt"], "subject": "c-1", "attempt": 1,
            "deliveryid": structured.header("x-delivery-id"),
            "datacontenttype": "application/json", "data": data,
        })
    );

    let binary = only(&receiver, "binary");
    assert_eq!(binary.body, ORDER.as_bytes());
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "/switchhook/web"),
        ("ce-type", "order.placed"),
        ("ce-subject", "c-1"),
        ("ce-time", event["receivedAt"].as_str().unwrap()),
        ("ce-attempt", "1"),
        ("ce-deliveryid", binary.header("x-delivery-id").unwrap()),
    ] {
        assert_eq!(binary.header(name), Some(value), "{name}");
    }
}

const PASSPHRASE: &str = "correct horse battery staple";
/// Made for these tests.
const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BEFORE: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PAIR: &str = "whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1ks=";

/// The sections of these secrets, each in a file of its name.
fn secrets(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("\n[secret.{name}]\nfile = \"{{dir}}/{name}\"\n"))
        .collect()
}

#[test]
fn a_sealed_body_is_opened_with_the_passphrase_and_with_no_other() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let sealed = "encrypt = { secret = \"{{secret:seal}}\" }";
    let compat = "encrypt = { secret = \"{{secret:seal}}\", compat = \"seed-002\" }";
    let enveloped = "format = \"envelope\"";
    let config = secrets(&["seal"])
        + &shape(&receiver, "alone", sealed, "")
        + &shape(&receiver, "enveloped", sealed, enveloped)
        + &shape(&receiver, "structured", sealed, "format = \"cloudevents\"")
        + &shape(&receiver, "compat", compat, enveloped);
    let (_site, gateway) = start(&config, &[("seal", PASSPHRASE)]);
    gateway.accept(ORDER.as_bytes());
    gateway.settle(PATIENCE);
    for (place, scheme) in [
        ("alone", Seal::Standard),
        ("enveloped", Seal::Standard),
        ("structured", Seal::Standard),
        ("compat", Seal::Seed002),
    ] {
        let request = only(&receiver, place);
        let text = String::from_utf8(request.body.clone()).unwrap();
        assert!(!text.contains("sku"), "{place}: {text}");
        let sealed = Sealed::parse(&request.body).unwrap();
        assert_eq!(sealed.scheme(), scheme, "{place}");
        let salt = sealed.salt().unwrap_or([0; SALT_BYTES]);
        let key = |passphrase: &str| {
            let passphrase = Secret::new(passphrase.into());
            Key::derive(scheme, "seal".into(), &passphrase, salt).unwrap()
        };
        assert_eq!(
            open(&key(PASSPHRASE), &sealed).unwrap(),
            ORDER.as_bytes(),
            "{place}"
        );
        if place == "enveloped" {
            assert_eq!(sealed.key_id().map(|id| &**id), Some("seal"));
            assert_eq!(request.json()["sourceEvent"], json!({}));
            assert!(open(&key("another passphrase"), &sealed).is_err());
        }
    }
}

#[test]
fn every_signature_verifies_also_the_one_with_the_secret_before() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let lines = r#"sign = [
  { scheme = "standard-webhooks", secret = "{{secret:shared}}", previous = "{{secret:before}}" },
  { scheme = "standard-webhooks-ed25519", secret = "{{secret:pair}}" },
  { scheme = "genesys", secret = "{{secret:shared}}", previous = "{{secret:before}}" },
]
encrypt = { secret = "{{secret:seal}}", compat = "seed-002" }"#;
    let config = secrets(&["shared", "before", "pair", "seal"])
        + &shape(&receiver, "signed", lines, "format = \"envelope\"");
    let values = [
        ("shared", SHARED),
        ("before", BEFORE),
        ("pair", PAIR),
        ("seal", PASSPHRASE),
    ];
    let (_site, gateway) = start(&config, &values);
    gateway.accept(ORDER.as_bytes());
    gateway.settle(PATIENCE);
    let request = only(&receiver, "signed");
    let headers = headers(&request);
    let seconds: u64 = request
        .header("webhook-timestamp")
        .unwrap()
        .parse()
        .unwrap();
    let at = UnixMs(seconds * 1_000);
    let literal = |text: &str| SecretRef::Literal(Secret::new(text.into()));
    for (header, secret) in [
        ("x-genesys-signature", SHARED),
        ("x-genesys-signature-previous", BEFORE),
    ] {
        let of_body = Verify::Hmac {
            header: header.into(),
            prefix: "".into(),
            encoding: Encoding::Hex,
            secrets: vec![literal(secret)],
        };
        let of_message = Verify::StandardWebhooks {
            secrets: vec![literal(secret)],
            tolerance_ms: 0,
        };
        for rule in [of_body, of_message] {
            verify(&rule, &headers, &request.body, &NoNames, at).unwrap();
            verify(&rule, &headers, b"{}", &NoNames, at).unwrap_err();
        }
    }
    // Ed25519 signs the same the same way, so the signature can be made again.
    let signer = Signer::new(&Scheme::StandardV1a, &[literal(PAIR)]).unwrap();
    let id = request.header("x-delivery-id").unwrap();
    assert_eq!(request.header("webhook-id"), Some(id));
    let again = sign::headers(&[signer], id, at, &request.body, &NoNames).unwrap();
    let (_, pair) = again.last().unwrap();
    let all: Vec<&str> = request
        .header("webhook-signature")
        .unwrap()
        .split(' ')
        .collect();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all.contains(&pair.to_str().unwrap()), "{all:?}");
}

fn headers(request: &Message) -> HeaderMap {
    let pairs = request.headers().iter();
    pairs
        .map(|(name, value)| {
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value).unwrap(),
            )
        })
        .collect()
}
