//! The shapes as they look on the wire.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use switchhook_core::delivery::{Attempt, DeliveryKey, Failure, OutcomeKind, Verdict};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

use super::*;

mod requests;
mod stored;

fn event(body: &'static [u8]) -> Event {
    Event {
        offset: Offset(7),
        id: "evt_01932b5f000070008000000000000001"
            .parse::<EventId>()
            .unwrap(),
        source: "web".into(),
        kind: "Text".into(),
        key: None,
        received_at: UnixMs(1_763_640_000_123),
        headers: Arc::from([
            ("content-type".into(), "application/json".into()),
            ("content-type".into(), "text/plain".into()),
        ]),
        body: Bytes::from_static(body),
    }
}

#[test]
fn a_json_body_is_shown_as_json_and_any_other_as_base64() {
    let view = EventView::new(&event(br#"{"type":"Text"}"#), BodyForm::Readable);
    assert_eq!(
        serde_json::to_value(&view).unwrap(),
        json!({
            "id": "evt_01932b5f000070008000000000000001", "offset": 7, "source": "web", "type": "Text",
            "receivedAt": "2025-11-20T12:00:00.123Z", "headers": {"content-type": "application/json"},
            "bodyBytes": 15, "body": {"type": "Text"},
        })
    );
    let view = EventView::new(&event(b"\xff"), BodyForm::Readable);
    assert_eq!(
        (view.body, view.body_base64.as_deref()),
        (None, Some("/w=="))
    );
    let view = EventView::new(&event(b"{}"), BodyForm::Exact);
    assert_eq!(
        (view.body, view.body_base64.as_deref()),
        (None, Some("e30="))
    );
    let view = EventView::new(&event(b"{}"), BodyForm::Absent);
    assert_eq!((view.body, view.body_base64), (None, None));
}

#[test]
fn an_attempt_has_a_status_or_an_error_never_both() {
    let mut attempt = Attempt {
        key: DeliveryKey {
            subscription: "web-to-crm".into(),
            offset: Offset(7),
        },
        partition: 3,
        chain: 0,
        n: 2,
        endpoint: "crm".into(),
        at: UnixMs(0),
        duration_ms: 30,
        outcome: OutcomeKind::Status(503),
        rule: "default: 5xx".into(),
        verdict: Verdict::Retry,
        detail: None,
        next_at: Some(UnixMs(2_110)),
    };
    assert_eq!(
        serde_json::to_value(StreamItem::new(&event(b""), &attempt)).unwrap()["attempt"],
        json!({
            "chain": 0, "n": 2, "endpoint": "crm", "partition": 3, "at": "1970-01-01T00:00:00.000Z", "durationMs": 30,
            "status": 503, "rule": "default: 5xx", "verdict": "retry", "nextAt": "1970-01-01T00:00:02.110Z",
        })
    );
    attempt.outcome = OutcomeKind::Failed(Failure::Timeout);
    let view = AttemptView::from(&attempt);
    assert_eq!(
        (view.status, view.error.as_deref()),
        (None, Some("timeout"))
    );
}

#[test]
fn every_delivery_state_is_written_as_its_name() {
    for (state, is_final) in [
        (DeliveryState::Delivered, true),
        (DeliveryState::Waiting, false),
        (DeliveryState::Held, false),
        (DeliveryState::Paused, false),
        (DeliveryState::Queued, false),
        (DeliveryState::InFlight, false),
        (DeliveryState::Dead, true),
        (DeliveryState::Pending, false),
        (DeliveryState::NotMatched, true),
    ] {
        assert_eq!(serde_json::to_value(state).unwrap(), json!(state.name()));
        assert_eq!(state.is_final(), is_final, "{state:?}");
    }
}

#[test]
fn a_misspelt_filter_is_refused_instead_of_selecting_everything() {
    let wrong = json!({"filter": {"endpiont": "crm"}});
    assert!(serde_json::from_value::<SelectionRequest>(wrong).is_err());
    assert!(serde_json::from_value::<SelectionRequest>(json!({})).is_err());
    let right = json!({"filter": {"endpoint": "crm", "type": "Text", "eventId": "evt_1"}});
    let request: SelectionRequest = serde_json::from_value(right).unwrap();
    assert_eq!(request.filter.kind.as_deref(), Some("Text"));
    let query = DeadLetterQuery::from(request.filter.clone());
    assert_eq!(query.filter(), request.filter);
}

#[test]
fn times_read_back_and_a_broken_clock_is_shown_not_hidden() {
    for ms in [0, 1, 1_763_640_000_123, 253_402_207_200_999] {
        assert_eq!(time::parse(&time::rfc3339(UnixMs(ms))), Ok(UnixMs(ms)));
    }
    assert_eq!(
        time::parse("2026-11-20T11:00:00+01:00"),
        time::parse("2026-11-20T10:00:00Z")
    );
    assert!(time::rfc3339(UnixMs(u64::MAX)).starts_with("9999-"));
    for text in ["", "yesterday", "2026-11-20", "1969-12-31T23:59:59Z"] {
        assert!(time::parse(text).is_err(), "{text}");
    }
}
