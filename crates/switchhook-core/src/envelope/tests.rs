use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::event::Event;
use crate::id::{EventId, Offset};
use crate::seal::{Key, Scheme, open, seal};
use crate::secret::Secret;

const DELIVERY: DeliveryId = DeliveryId(Uuid::from_u128(7));
const NOW: UnixMs = UnixMs(1_767_225_600_999);
const SPACED: &str = "{ \"b\": 1.0,\n  \"a\": 12345678901234567890123 }";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

fn event(kind: &str, key: Option<&str>) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(Uuid::from_u128(9)),
        source: "web".into(),
        kind: kind.into(),
        key: key.map(Arc::from),
        received_at: UnixMs(1_767_225_599_001),
        headers: Arc::from([]),
        body: Bytes::new(),
    }
}

fn policy(schedule: Schedule, max_attempts: u16) -> Policy {
    Policy {
        name: "standard".into(),
        schedule,
        jitter: Jitter::Full,
        max_attempts,
        max_age_ms: 86_400_000,
        retry_after_max_ms: 3_600_000,
        rules: Vec::new(),
    }
}

/// The seed's own numbers.
fn seeds_policy() -> Policy {
    let schedule = Schedule::Exponential {
        initial_ms: 1_000,
        factor: 2.0,
        max_ms: 30_000,
    };
    policy(schedule, 3)
}

fn dressed(format: Format, event: &Event, payload: Payload<'_>) -> Dressed {
    let policy = seeds_policy();
    let content = Content {
        event,
        delivery: DELIVERY,
        attempt: 2,
        now: NOW,
        policy: &policy,
        payload,
    };
    dress(format, &content).unwrap()
}

fn clear<'a>(body: &'a Bytes, content_type: &'a HeaderValue) -> Payload<'a> {
    Payload::Clear { body, content_type }
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).unwrap()
}

fn sealed(scheme: Scheme) -> (Key, Sealed) {
    let passphrase = Secret::new(b"correct horse".to_vec());
    let key = Key::derive(scheme, "k1".into(), &passphrase, [1; 16]).unwrap();
    let sealed = seal(&key, [2; 16], DELIVERY, SPACED.as_bytes()).unwrap();
    (key, sealed)
}

#[test]
fn raw_sends_the_body_untouched() {
    let body = Bytes::from_static(b"\x00\xff");
    let sent = dressed(Format::Raw, &event("t", None), clear(&body, &TEXT));
    assert_eq!(sent.body, body);
    assert_eq!(sent.content_type, TEXT);
    assert!(sent.headers.is_empty());
}

#[test]
fn the_envelope_has_the_seeds_members_in_its_order_and_the_json_verbatim() {
    let body = Bytes::from(SPACED);
    let sent = dressed(Format::Envelope, &event("t", None), clear(&body, &TEXT));
    assert_eq!(
        text(&sent.body),
        format!(
            concat!(
                r#"{{"deliveryId":"dlv_00000000000000000000000000000007","#,
                r#""timestamp":"2026-01-01T00:00:00.999Z","#,
                r#""retryMatrix":{{"attempts":3,"baseIntervalMs":1000,"maxIntervalMs":30000,"multiplier":2}},"#,
                r#""encryptionDirective":null,"sourceEvent":{},"formatVersion":"2.1"}}"#
            ),
            SPACED
        )
    );
    assert_eq!(sent.content_type, "application/json");
    assert_eq!(
        sent.headers,
        [(FORMAT_VERSION_HEADER, HeaderValue::from_static("2.1"))]
    );
}

#[test]
fn a_body_that_is_not_json_is_base64_in_the_envelope_and_marked() {
    for body in [&b"a=1&b=2"[..], b"", b"{\"a\":1", b"{} {}", b"\"\xff\""] {
        let body = Bytes::from_static(body);
        let sent = dressed(Format::Envelope, &event("t", None), clear(&body, &TEXT));
        let envelope: Value = serde_json::from_slice(&sent.body).unwrap();
        let encoded = envelope["sourceEvent"].as_str().unwrap();
        assert_eq!(
            data_encoding::BASE64.decode(encoded.as_bytes()).unwrap(),
            body
        );
        assert_eq!(envelope["sourceEventEncoding"], "base64");
    }
}

#[test]
fn a_sealed_envelope_shows_an_empty_event_and_opens() {
    for scheme in [Scheme::Standard, Scheme::Seed002] {
        let (key, sealed) = sealed(scheme);
        let sent = dressed(
            Format::Envelope,
            &event("t", None),
            Payload::Sealed(&sealed),
        );
        let envelope: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(envelope["sourceEvent"], serde_json::json!({}));
        assert!(envelope["encryptionDirective"].get("deliveryId").is_none());
        let read = Sealed::parse(&sent.body).unwrap();
        assert_eq!(open(&key, &read), Ok(SPACED.as_bytes().to_vec()));
    }
}

#[test]
fn outside_the_envelope_a_sealed_payload_is_its_directive_and_opens() {
    let event = event("t", None);
    for scheme in [Scheme::Standard, Scheme::Seed002] {
        let (key, sealed) = sealed(scheme);
        for format in [
            Format::Raw,
            Format::CloudEvents(Mode::Binary),
            Format::CloudEvents(Mode::Structured),
        ] {
            let sent = dressed(format, &event, Payload::Sealed(&sealed));
            let read = Sealed::parse(&sent.body).unwrap();
            assert_eq!(open(&key, &read), Ok(SPACED.as_bytes().to_vec()));
            if format != Format::CloudEvents(Mode::Structured) {
                assert_eq!(sent.content_type, "application/json");
            }
        }
    }
}

#[test]
fn a_binary_cloudevent_has_its_attributes_in_headers_and_the_body_as_it_is() {
    let body = Bytes::from_static(b"<a/>");
    let sent = dressed(
        Format::CloudEvents(Mode::Binary),
        &event("v2.routing.queues.{id}.users", Some("Euro € 😀\"%")),
        clear(&body, &TEXT),
    );
    assert_eq!(sent.body, body);
    assert_eq!(sent.content_type, TEXT);
    let headers: Vec<_> = sent
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            ("ce-specversion", "1.0"),
            ("ce-id", "evt_00000000000000000000000000000009"),
            ("ce-source", "/switchhook/web"),
            ("ce-type", "v2.routing.queues.{id}.users"),
            ("ce-time", "2025-12-31T23:59:59.001Z"),
            ("ce-deliveryid", "dlv_00000000000000000000000000000007"),
            ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80%22%25"),
            ("ce-attempt", "2"),
        ]
    );
}

#[test]
fn a_structured_cloudevent_splices_json_in_verbatim() {
    let (body, json) = (
        Bytes::from(SPACED),
        HeaderValue::from_static("application/vnd.a+json; charset=utf-8"),
    );
    let sent = dressed(
        Format::CloudEvents(Mode::Structured),
        &event("t\"", None),
        clear(&body, &json),
    );
    assert_eq!(
        text(&sent.body),
        format!(
            concat!(
                r#"{{"specversion":"1.0","id":"evt_00000000000000000000000000000009","#,
                r#""source":"/switchhook/web","type":"t\"","time":"2025-12-31T23:59:59.001Z","#,
                r#""deliveryid":"dlv_00000000000000000000000000000007","attempt":2,"#,
                r#""datacontenttype":"application/vnd.a+json; charset=utf-8","data":{}}}"#
            ),
            SPACED
        )
    );
    assert_eq!(
        sent.content_type,
        "application/cloudevents+json; charset=utf-8"
    );
    assert!(sent.headers.is_empty());
}

#[test]
fn data_that_is_not_json_or_not_called_json_is_base64_in_a_structured_cloudevent() {
    for (body, content_type) in [
        (&b"{}"[..], "text/plain"),
        (b"{}", "application/jsonp"),
        (b"{}", "json"),
        (b"a=1", "application/json"),
        (b"", "application/json"),
    ] {
        let (body, content_type) = (
            Bytes::from_static(body),
            HeaderValue::from_static(content_type),
        );
        let sent = dressed(
            Format::CloudEvents(Mode::Structured),
            &event("t", None),
            clear(&body, &content_type),
        );
        let read: Value = serde_json::from_slice(&sent.body).unwrap();
        let encoded = read["data_base64"].as_str().unwrap();
        assert_eq!(
            data_encoding::BASE64.decode(encoded.as_bytes()).unwrap(),
            body
        );
        assert!(read.get("data").is_none());
    }
}

#[test]
fn a_policy_comes_down_to_four_numbers() {
    let matrix = |delays_ms: &[u64]| Schedule::Matrix {
        delays_ms: delays_ms.into(),
    };
    let exponential = |factor| Schedule::Exponential {
        initial_ms: 1_000,
        factor,
        max_ms: 30_000,
    };
    let linear = Schedule::Linear {
        initial_ms: 1_000,
        step_ms: 1_500,
        max_ms: 60_000,
    };
    for (schedule, attempts, expected) in [
        (exponential(2.0), 3, (1_000, 30_000, 2.0)),
        (exponential(1.5), 100, (1_000, 30_000, 1.5)),
        (exponential(f64::NAN), 3, (1_000, 30_000, 1.0)),
        (Schedule::Fixed { delay_ms: 7 }, 9, (7, 7, 1.0)),
        (matrix(&[5_000, 15_000, 45_000]), 4, (5_000, 45_000, 3.0)),
        (matrix(&[8_000, 1_000]), 3, (8_000, 8_000, 0.125)),
        (matrix(&[0, 1_000]), 3, (0, 1_000, 1.0)),
        (matrix(&[5_000]), 1, (5_000, 5_000, 1.0)),
        (linear, 3, (1_000, 2_500, 2.5)),
    ] {
        let retry = RetryMatrix::of(&policy(schedule.clone(), attempts));
        let (base_interval_ms, max_interval_ms, multiplier) = expected;
        let expected = RetryMatrix {
            attempts,
            base_interval_ms,
            max_interval_ms,
            multiplier,
        };
        assert_eq!(retry, expected, "{schedule:?}");
    }
}

proptest! {
    #[test]
    fn every_format_of_any_body_and_event_is_well_formed(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        kind in "\\PC{1,40}",
        key in proptest::option::of("\\PC{1,40}"),
    ) {
        let (body, event) = (Bytes::from(body), event(&kind, key.as_deref()));
        for format in [Format::Envelope, Format::CloudEvents(Mode::Structured)] {
            let sent = dressed(format, &event, clear(&body, &JSON));
            let read: Value = serde_json::from_slice(&sent.body).unwrap();
            prop_assert!(read.is_object());
        }
        let sent = dressed(Format::CloudEvents(Mode::Binary), &event, clear(&body, &JSON));
        prop_assert_eq!(&sent.body, &body);
        let decoded = |name: &str| {
            let (_, value) = sent.headers.iter().find(|(n, _)| n == name)?;
            let bytes = percent_decoded(value.to_str().unwrap());
            Some(String::from_utf8(bytes).unwrap())
        };
        prop_assert_eq!(decoded("ce-type"), Some(kind));
        prop_assert_eq!(decoded("ce-subject"), key);
    }

    #[test]
    fn json_comes_out_of_an_envelope_byte_for_byte(text in "[ \t\r\n]{0,3}\\[(-?[1-9][0-9]{0,30}|\"[a-z ]{0,5}\"|null)\\][ \n]{0,3}") {
        let body = Bytes::from(text.clone());
        let sent = dressed(Format::Envelope, &event("t", None), clear(&body, &JSON));
        let spliced = format!("\"sourceEvent\":{text},\"formatVersion\"");
        prop_assert!(std::str::from_utf8(&sent.body).unwrap().contains(&spliced));
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let pair = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap()
            }
            plain => plain,
        });
    }
    decoded
}
