//! One table per kind of answer.

use switchhook_core::delivery::{DeadReason, DeliveryKey, Failure};
use switchhook_core::filter::TypePattern;
use switchhook_core::id::EventId;
use switchhook_core::subscription::Start;

use super::*;

const NOW: UnixMs = UnixMs(1_000_000);

fn key() -> DeliveryKey {
    DeliveryKey {
        subscription: "web-to-crm".into(),
        offset: Offset(10),
    }
}

fn attempt(n: u16, outcome: OutcomeKind, verdict: Verdict) -> Attempt {
    Attempt {
        key: key(),
        chain: 0,
        n,
        endpoint: "crm".into(),
        at: UnixMs(0),
        duration_ms: 5,
        outcome,
        rule: "default: 5xx".into(),
        verdict,
        detail: None,
        next_at: None,
    }
}

fn waiting(reason: WaitReason, due_at: u64) -> Waiting {
    Waiting {
        key: key(),
        chain: 2,
        attempts: 3,
        counted: 3,
        due_at: UnixMs(due_at),
        deadline: UnixMs(9_000_000),
        delay_ms: 1_000,
        reason,
    }
}

fn dead() -> Dead {
    Dead {
        key: key(),
        chain: 0,
        attempts: 1,
        at: UnixMs(0),
        reason: DeadReason::Refused,
        outcome: Some(OutcomeKind::Status(404)),
        endpoint: "crm".into(),
        detail: None,
    }
}

fn state(
    trace: &Trace<'_>,
    change: impl Fn(&mut Event, &mut Option<Subscription>, &mut Option<Offset>),
) -> Standing {
    let mut event = Event {
        offset: Offset(10),
        id: EventId(uuid::Uuid::from_u128(1)),
        source: "web".into(),
        kind: "Text".into(),
        key: None,
        received_at: UnixMs(0),
        headers: Arc::from([]),
        body: bytes::Bytes::new(),
    };
    let mut subscription = Some(Subscription {
        name: "web-to-crm".into(),
        sources: vec!["web".into()],
        types: vec![TypePattern::parse("Text").unwrap()],
        endpoint: "crm".into(),
        policy: "standard".into(),
        start: Start::Now,
    });
    let mut cursor = Some(Offset(7));
    change(&mut event, &mut subscription, &mut cursor);
    standing(&Facts {
        event: &event,
        subscription: subscription.as_ref(),
        cursor,
        now: NOW,
        trace,
    })
}

/// What an event's delivery with these rows and attempts is said to be.
fn said(waiting: Option<Waiting>, dead: Option<Dead>, attempts: &[&Attempt]) -> Standing {
    let (waiting, dead) = (waiting.as_ref(), dead.as_ref());
    let trace = Trace {
        attempts: attempts.to_vec(),
        waiting,
        dead,
    };
    state(&trace, |_, _, _| {})
}

fn retry() -> Attempt {
    attempt(1, OutcomeKind::Status(503), Verdict::Retry)
}

#[test]
fn a_waiting_row_says_for_what_and_why() {
    for (reason, due_at, expected, words) in [
        (
            WaitReason::Retry,
            1_000_001,
            DeliveryState::Waiting,
            "waits until 1970-01-01T00:16:40.001Z",
        ),
        (
            WaitReason::Retry,
            1_000_001,
            DeliveryState::Waiting,
            "attempt 4, because `default: 5xx`",
        ),
        (
            WaitReason::Retry,
            1_000_001,
            DeliveryState::Waiting,
            "judged result status 503",
        ),
        (
            WaitReason::Retry,
            1_000_000,
            DeliveryState::Waiting,
            "due since 1970-01-01T00:16:40.000Z",
        ),
        (
            WaitReason::Replay,
            0,
            DeliveryState::Waiting,
            "replayed; due since",
        ),
        (
            WaitReason::Hold,
            2_000_000,
            DeliveryState::Held,
            "held for someone to act",
        ),
        (
            WaitReason::InFlight,
            2_000_000,
            DeliveryState::InFlight,
            "under way",
        ),
    ] {
        let found = said(Some(waiting(reason, due_at)), None, &[&retry()]);
        assert!(
            found.state == expected && found.why.contains(words),
            "{words}: {found:?}"
        );
        let wait = (found.reason, found.next_at);
        assert_eq!(wait, (Some(reason.name()), Some(UnixMs(due_at))));
    }
}

#[test]
fn without_a_waiting_row_the_last_attempt_says_how_it_ended() {
    let delivered = attempt(2, OutcomeKind::Status(204), Verdict::Delivered);
    let refused = attempt(2, OutcomeKind::Failed(Failure::Timeout), Verdict::Dead);
    let (letter, retry) = (Some(dead()), retry());
    for (dead, last, expected, words) in [
        (
            None,
            &delivered,
            DeliveryState::Delivered,
            "attempt 2 at 1970-01-01T00:00:00.000Z with status 204",
        ),
        (
            letter,
            &refused,
            DeliveryState::Dead,
            "after 1 attempt: refused; last result timeout",
        ),
        (None, &refused, DeliveryState::Dead, "then discarded"),
        (
            None,
            &retry,
            DeliveryState::InFlight,
            "next one is under way",
        ),
    ] {
        let found = said(None, dead, &[&retry, last]);
        assert!(
            found.state == expected && found.why.contains(words),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn without_a_trace_the_plan_and_the_cursor_decide() {
    type Change = fn(&mut Event, &mut Option<Subscription>, &mut Option<Offset>);
    let table: [(Change, DeliveryState, &str); 7] = [
        (|_, _, _| {}, DeliveryState::Pending, "is 3 events behind"),
        (
            |_, _, cursor| *cursor = Some(Offset(10)),
            DeliveryState::Pending,
            "it is next",
        ),
        (
            |_, _, cursor| *cursor = None,
            DeliveryState::Pending,
            "not started",
        ),
        (
            |_, _, cursor| *cursor = Some(Offset(11)),
            DeliveryState::NotMatched,
            "began later",
        ),
        (
            |event, _, _| event.source = "other".into(),
            DeliveryState::NotMatched,
            "source `other`",
        ),
        (
            |event, _, _| event.kind = "Call".into(),
            DeliveryState::NotMatched,
            "type `Call`",
        ),
        (
            |_, subscription, _| *subscription = None,
            DeliveryState::NotMatched,
            "does not exist",
        ),
    ];
    for (change, expected, words) in table {
        let found = state(&Trace::default(), change);
        assert!(
            found.state == expected && found.why.contains(words),
            "{words}: {found:?}"
        );
    }
}
