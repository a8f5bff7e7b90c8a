//! What an endpoint on loopback is sent, and what is reported of its answers.

use switchhook_core::delivery::Failure;
use switchhook_core::secret::SecretRef;
use switchhook_core::sign::{self, Signer};

use super::lab::*;
use super::*;
use crate::dispatch::transport::lab::{Act, Lab, Service, endpoint};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_endpoint_gets_the_exact_body_and_the_headers_of_the_contract() {
    let mut lab = Lab::start(Act::Answer(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ))
    .await;
    let event = event(&[
        ("content-type", "application/cloudevents+json"),
        ("traceparent", TRACE),
        ("tracestate", "a=b"),
    ]);
    let outcome = attempt(
        with_header(&lab.url(), "authorization", "Bearer {{secret:token}}"),
        &event,
    )
    .await;
    assert_eq!(
        (outcome.kind, outcome.detail, outcome.retry_after_ms),
        (OutcomeKind::Status(200), None, None)
    );
    let (_, request) = lab.requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.as_bytes(), &event.body[..]);
    let delivery = DeliveryId::derive(event.id, "web-to-crm");
    for expected in [
        "POST /hook?a=b HTTP/1.1".to_owned(),
        format!("user-agent: switchhook/{}", env!("CARGO_PKG_VERSION")),
        "content-type: application/cloudevents+json".into(),
        format!("authorization: Bearer {TOKEN}"),
        format!("x-delivery-id: {delivery}"),
        "x-delivery-attempt: 3".into(),
        // The id of `web-to-crm`.
        "x-integration-id: 9b93829b-c109-841b-ae8d-2ac44efab222".into(),
        "x-event-id: evt_00000000000000000000000000000007".into(),
        "tracestate: a=b".into(),
    ] {
        assert!(
            head.lines().any(|line| line == expected),
            "{expected} in {head}"
        );
    }
    let trace = head
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "))
        .unwrap();
    assert!(
        trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && trace.ends_with("-01"),
        "{trace}"
    );
    assert_ne!(trace, TRACE, "the span is our own");
}

#[tokio::test]
async fn our_headers_take_the_place_of_configured_ones() {
    let secret = SecretRef::Literal(Secret::new(b"shared".to_vec()));
    let scheme = sign::Scheme::Genesys {
        header: sign::GENESYS_HEADER,
    };
    let service = Service::start(|asked| {
        for name in ["x-genesys-signature", "authorization"] {
            let all: Vec<_> = asked.headers.get_all(name).iter().collect();
            assert!(all.len() == 1 && all[0] != "configured", "{all:?}");
        }
        (200, String::new())
    })
    .await;
    let configured = |name| with_header(&service.url("/"), name, "configured").headers;
    let endpoint = Endpoint {
        headers: [
            configured("x-genesys-signature"),
            configured("authorization"),
        ]
        .concat(),
        signers: vec![Signer::new(&scheme, std::slice::from_ref(&secret)).unwrap()],
        ..with_auth(&service.url("/"), Auth::Bearer(secret))
    };
    let outcome = attempt(endpoint, &event(&[])).await;
    assert_eq!(
        outcome.kind,
        OutcomeKind::Status(200),
        "{:?}",
        outcome.detail
    );
}

#[tokio::test]
async fn retry_after_is_carried_in_milliseconds() {
    let lab = Lab::start(Act::Answer(
        "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let outcome = attempt(endpoint(&lab.url(), LOOPBACK), &event(&[])).await;
    assert_eq!(
        (outcome.kind, outcome.retry_after_ms),
        (OutcomeKind::Status(429), Some(7_000))
    );
}

#[tokio::test]
async fn a_refusing_answers_text_is_kept_without_the_secrets_it_repeats() {
    let answer =
        "HTTP/1.1 400 No\r\ncontent-length: 34\r\n\r\nbad token:\x07 s3cret-token, go away\r\n";
    let lab = Lab::start(Act::Answer(answer)).await;
    let endpoint = with_header(&lab.url(), "authorization", "Bearer {{secret:token}}");
    let outcome = attempt(endpoint, &event(&[])).await;
    assert_eq!(outcome.kind, OutcomeKind::Status(400));
    assert_eq!(
        outcome.detail.as_deref(),
        Some("bad token:  [secret], go away")
    );
}

#[test]
fn a_secret_is_blotted_out_wherever_it_stands_and_where_the_text_ends_in_it() {
    for (text, expected) in [
        (
            "a s3cret-token, twice: s3cret-token",
            "a [secret], twice: [secret]",
        ),
        ("cut off: s3cret-toke", "cut off: [secret]"),
        ("cut off: s3cret-t", "cut off: [secret]"),
        ("no accident: s3cret", "no accident: s3cret"),
        ("nothing", "nothing"),
    ] {
        let mut text = text.to_owned();
        blot_out(&mut text, TOKEN.as_bytes());
        assert_eq!(text, expected);
    }
    let mut text = "abcab".to_owned();
    blot_out(&mut text, b"ab");
    assert_eq!(text, "abcab");
}

#[tokio::test]
async fn a_header_that_cannot_be_filled_sends_nothing() {
    let mut lab = Lab::start(Act::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let endpoint = with_header(&lab.url(), "authorization", "Bearer {{secret:missing}}");
    let outcome = attempt(endpoint, &event(&[])).await;
    assert_eq!(outcome.kind, OutcomeKind::Failed(Failure::Secret));
    assert!(
        outcome
            .detail
            .unwrap()
            .contains("secret `missing` is not configured")
    );
    assert!(lab.requests.try_recv().is_err());
}

#[tokio::test]
async fn an_attempt_ends_with_the_endpoints_timeout() {
    let lab = Lab::start(Act::Hang("")).await;
    let endpoint = Endpoint {
        timeout_ms: 100,
        ..endpoint(&lab.url(), LOOPBACK)
    };
    let outcome = attempt(endpoint, &event(&[])).await;
    assert_eq!(outcome.kind, OutcomeKind::Failed(Failure::Timeout));
    assert!(
        (100..10_000).contains(&outcome.duration_ms),
        "{}",
        outcome.duration_ms
    );
}

#[tokio::test]
async fn only_a_whole_trace_is_continued() {
    let (subscription, event) = (subscription(), event(&[]));
    let made = (&subscription, endpoint("http://127.0.0.1/", &[]), &event);
    with_attempt(made, async |attempt| {
        let continued = |parent: &str| headers::continued(parent, attempt);
        assert!(continued(TRACE).is_some());
        assert!(
            continued(&format!("{}-more", TRACE.replacen("00", "01", 1)))
                .is_some_and(|trace| trace.len() == 55)
        );
        for wrong in [
            "",
            "00",
            &format!("{TRACE}-more"),
            &TRACE.replacen("00", "ff", 1),
            &TRACE.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(continued(wrong), None, "{wrong}");
        }
    })
    .await;
}
