//! What an endpoint on loopback is sent, and what is reported of its answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use switchhook_core::endpoint::HeaderTemplate;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::template::Template;
use switchhook_core::time::UnixMs;

use super::*;
use crate::dispatch::transport::lab::{Act, Lab, endpoint, transport};
use crate::secrets::Origin;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn environment(variable: &str) -> Option<String> {
    (variable == "TOKEN").then(|| "s3cret-token".to_owned())
}

fn sender() -> Sender {
    let secrets = Secrets::new(
        BTreeMap::from([("token".into(), Origin::Env("TOKEN".into()))]),
        environment,
    );
    Sender::new(transport(), Arc::new(secrets), Clock::system())
}

fn with_header(url: &str, name: &'static str, template: &str) -> Endpoint {
    let header = HeaderTemplate {
        name: HeaderName::from_static(name),
        value: Template::parse(template).unwrap(),
    };
    Endpoint {
        headers: vec![header],
        ..endpoint(url, &["127.0.0.0/8"])
    }
}

fn event(headers: &[(&str, &str)]) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(uuid::Uuid::from_u128(7)),
        source: "web".into(),
        kind: "a".into(),
        key: None,
        received_at: UnixMs(0),
        headers: headers
            .iter()
            .map(|(name, value)| (Arc::from(*name), Arc::from(*value)))
            .collect(),
        body: Bytes::from_static(b" {\"a\" : 1.0}\n"),
    }
}

async fn attempt(endpoint: Endpoint, event: &Event) -> Outcome {
    let endpoint = Arc::new(endpoint);
    let attempt = Attempt {
        subscription: "web-to-crm",
        endpoint: &endpoint,
        event,
        chain: 0,
        n: 3,
    };
    sender().make(&attempt).await
}

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
        "authorization: Bearer s3cret-token".into(),
        format!("x-delivery-id: {delivery}"),
        "x-delivery-attempt: 3".into(),
        "x-integration-id: web-to-crm".into(),
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
async fn retry_after_is_carried_in_milliseconds() {
    let lab = Lab::start(Act::Answer(
        "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let outcome = attempt(endpoint(&lab.url(), &["127.0.0.0/8"]), &event(&[])).await;
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
        ..endpoint(&lab.url(), &["127.0.0.0/8"])
    };
    let outcome = attempt(endpoint, &event(&[])).await;
    assert_eq!(outcome.kind, OutcomeKind::Failed(Failure::Timeout));
    assert!(
        (100..10_000).contains(&outcome.duration_ms),
        "{}",
        outcome.duration_ms
    );
}

#[test]
fn only_a_whole_trace_is_continued() {
    let (endpoint, event) = (Arc::new(endpoint("http://127.0.0.1/", &[])), event(&[]));
    let attempt = Attempt {
        subscription: "s",
        endpoint: &endpoint,
        event: &event,
        chain: 0,
        n: 1,
    };
    let continued = |parent: &str| continued(parent, DeliveryId::derive(event.id, "s"), &attempt);
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
}
