//! `examples/decrypt/vectors.json` is what this code makes: bodies for the programs there, and for
//! anyone who writes one of their own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use switchhook_core::envelope::{Content, Format, Mode, Payload, dress};
use switchhook_core::event::Event;
use switchhook_core::id::{DeliveryId, EventId, Offset};
use switchhook_core::retry::{Jitter, Policy, Schedule};
use switchhook_core::seal::{Key, Scheme, Sealed, open, seal};
use switchhook_core::secret::Secret;
use switchhook_core::time::UnixMs;
use uuid::Uuid;

const PASSPHRASE: &str = "correct horse battery staple";
const JSON: &[u8] = r#"{"conversationId":"c-1","note":"größer 😀"}"#.as_bytes();
const DELIVERY: DeliveryId = DeliveryId(Uuid::from_u128(0x7000_0000_0000_0000_0000_0000_0000_0007));
const IN_FILE: &str = include_str!("../../../examples/decrypt/vectors.json");

fn derive(scheme: Scheme, passphrase: &str) -> Key {
    let passphrase = Secret::new(passphrase.into());
    let salt = std::array::from_fn(|at| 0xf0 | u8::try_from(at).unwrap());
    Key::derive(scheme, "2026-01".into(), &passphrase, salt).unwrap()
}

/// The body of a request in `format` that carries `plaintext` under `key`.
fn delivered(format: Format, key: &Key, plaintext: &[u8]) -> Value {
    let event = Event {
        offset: Offset(1),
        id: EventId(Uuid::from_u128(9)),
        source: "web".into(),
        kind: "v2.detail.events.conversation.{id}.customer.end".into(),
        key: Some("c-1".into()),
        received_at: UnixMs(1_767_225_599_001),
        headers: [].into(),
        body: Bytes::new(),
    };
    let policy = Policy {
        name: "standard".into(),
        schedule: Schedule::Exponential {
            initial_ms: 1_000,
            factor: 2.0,
            max_ms: 30_000,
        },
        jitter: Jitter::None,
        max_attempts: 3,
        max_age_ms: 86_400_000,
        retry_after_max_ms: 3_600_000,
        rules: Vec::new(),
    };
    let entropy = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let sealed = seal(key, entropy, DELIVERY, plaintext).unwrap();
    let content = Content {
        event: &event,
        delivery: DELIVERY,
        attempt: 1,
        now: UnixMs(1_767_225_600_999),
        policy: &policy,
        payload: Payload::Sealed(&sealed),
    };
    let dressed = dress(format, &content).unwrap();
    serde_json::from_slice(&dressed.body).unwrap()
}

/// `body` with one member of its directive, or of itself, changed.
fn tampered(mut body: Value, pointer: &str, change: impl Fn(&str) -> String) -> Value {
    let member = body.pointer_mut(pointer).unwrap();
    *member = change(member.as_str().unwrap()).into();
    body
}

/// The same hexadecimal text with its first bit flipped.
fn flipped(hex: &str) -> String {
    let mut bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
    bytes[0] ^= 0x80;
    HEXLOWER.encode(&bytes)
}

fn vectors(standard: &Key, seed: &Key) -> Vec<(&'static str, Option<&'static [u8]>, Value)> {
    let structured = Format::CloudEvents(Mode::Structured);
    let binary: &[u8] = b"\x00\xff\r\n";
    let envelope = delivered(Format::Envelope, standard, JSON);
    let alone = delivered(Format::Raw, standard, JSON);
    let seeds = delivered(Format::Envelope, seed, JSON);
    let mut vectors = vec![
        ("standard, envelope", Some(JSON), envelope.clone()),
        ("standard, alone", Some(JSON), alone.clone()),
        (
            "standard, cloudevent",
            Some(JSON),
            delivered(structured, standard, JSON),
        ),
        (
            "standard, not text",
            Some(binary),
            delivered(Format::Envelope, standard, binary),
        ),
        ("seed-002, envelope", Some(JSON), seeds.clone()),
        (
            "seed-002, alone",
            Some(JSON),
            delivered(Format::Raw, seed, JSON),
        ),
        (
            "seed-002, empty",
            Some(b""),
            delivered(Format::Envelope, seed, b""),
        ),
    ];
    let of = |what, body: &Value, pointer, change: fn(&str) -> String| {
        (what, None, tampered(body.clone(), pointer, change))
    };
    let other_id = |_: &str| DeliveryId(Uuid::from_u128(8)).to_string();
    let shorter = |hex: &str| hex.chars().take(8).collect();
    let in_envelope = "/encryptionDirective/encryptedPayload";
    vectors.extend([
        of("payload", &envelope, in_envelope, flipped),
        of("delivery id", &envelope, "/deliveryId", other_id),
        of("delivery id alone", &alone, "/deliveryId", other_id),
        of("iv", &alone, "/iv", flipped),
        of("salt", &alone, "/salt", flipped),
        of("tag", &alone, "/authTag", flipped),
        of("short tag", &alone, "/authTag", shorter),
        of("not hex", &alone, "/encryptedPayload", |hex| {
            format!("{hex}zz")
        }),
        of("seed-002, payload", &seeds, in_envelope, flipped),
        of(
            "seed-002, short tag",
            &seeds,
            "/encryptionDirective/authTag",
            shorter,
        ),
        ("not encrypted", None, json!({ "sourceEvent": {} })),
    ]);
    vectors
}

#[test]
fn the_published_vectors_are_what_this_code_makes_and_refuses() {
    let [standard, seed] = [Scheme::Standard, Scheme::Seed002].map(|s| derive(s, PASSPHRASE));
    let mut rows = Vec::new();
    for (name, plaintext, body) in vectors(&standard, &seed) {
        let opened = Sealed::parse(body.to_string().as_bytes()).and_then(|sealed| {
            let key = match sealed.scheme() {
                Scheme::Standard => &standard,
                Scheme::Seed002 => &seed,
            };
            open(key, &sealed)
        });
        assert_eq!(opened.ok().as_deref(), plaintext, "{name}");
        rows.push(json!({
            "name": name,
            "passphrase": PASSPHRASE,
            "plaintext": plaintext.map(|bytes| HEXLOWER.encode(bytes)),
            "body": body,
        }));
    }
    let stranger = delivered(Format::Raw, &standard, JSON);
    rows.push(json!({
        "name": "another passphrase",
        "passphrase": "correct horse battery stable",
        "plaintext": null,
        "body": stranger,
    }));
    let made = Value::Array(rows);
    let written = concat!(env!("CARGO_TARGET_TMPDIR"), "/vectors.json");
    std::fs::write(written, format!("{made:#}\n")).unwrap();
    assert!(
        serde_json::from_str::<Value>(IN_FILE).unwrap() == made,
        "examples/decrypt/vectors.json is old: copy {written} over it and run scripts/check-examples"
    );
}
