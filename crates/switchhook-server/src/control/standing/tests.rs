//! One table per kind of answer.

use std::sync::Arc;

use switchhook_core::delivery::{DeadReason, DeliveryKey, Failure, Place};
use switchhook_core::expression::Expression;
use switchhook_core::filter::TypePattern;
use switchhook_core::id::EventId;
use switchhook_core::subscription::{Order, Target};

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
        partition: 0,
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
        place: Place::default(),
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
        place: Place::default(),
        chain: 0,
        attempts: 1,
        at: UnixMs(0),
        reason: DeadReason::Refused,
        outcome: Some(OutcomeKind::Status(404)),
        endpoint: "crm".into(),
        detail: None,
        gap: Gap::None,
    }
}

/// What a row of a table changes.
type Change = fn(&mut World);

/// Everything but the trace, to be changed by a test.
struct World {
    event: Event,
    subscription: Option<Subscription>,
    cursor: Option<Offset>,
    located: Option<Located>,
    endpoint: Option<EndpointNow>,
    pause: Option<Pause>,
}

impl World {
    fn new() -> Self {
        Self {
            event: Event {
                offset: Offset(10),
                id: EventId(uuid::Uuid::from_u128(1)),
                source: "web".into(),
                kind: "Text".into(),
                key: None,
                received_at: UnixMs(0),
                headers: Arc::from([]),
                body: bytes::Bytes::from_static(b"{}"),
            },
            subscription: Some(Subscription {
                order: Order::Key,
                ..Subscription::new(
                    "web-to-crm",
                    vec!["web".into()],
                    vec![TypePattern::parse("Text").unwrap()],
                    Target::Endpoint("crm".into()),
                    "standard",
                )
            }),
            cursor: Some(Offset(7)),
            located: Some(Located::NotReached),
            endpoint: Some(endpoint(breaker::State::Closed)),
            pause: None,
        }
    }

    fn standing(&self, trace: &Trace<'_>) -> Standing {
        standing(&Facts {
            event: &self.event,
            subscription: self.subscription.as_ref(),
            cursor: self.cursor,
            located: self.located,
            endpoint: self.endpoint.as_ref(),
            pause: self.pause.as_ref(),
            now: NOW,
            trace,
        })
    }
}

/// Only these events of its type.
fn filter(world: &mut World, text: &str) {
    let filter = Expression::compile(text).unwrap();
    let subscription = world.subscription.as_mut().unwrap();
    subscription.filters.insert(0, filter);
}

fn endpoint(state: breaker::State) -> EndpointNow {
    let open = state != breaker::State::Closed;
    EndpointNow {
        endpoint: "crm".into(),
        state,
        cause: open.then_some(breaker::Cause::Failures),
        since: UnixMs(0),
        until: open.then_some(UnixMs(2_000_000)),
        reason: open.then(|| "it answered 503".into()),
        pause_until: None,
        in_flight: 0,
        slots_now: 5,
        pace_per_second: None,
        waiting_lanes: 0,
    }
}

/// What an event's delivery with these rows and attempts is said to be.
fn said(waiting: Option<Waiting>, dead: Option<Dead>, attempts: &[&Attempt]) -> Standing {
    said_in(&World::new(), waiting, dead, attempts)
}

fn said_in(
    world: &World,
    waiting: Option<Waiting>,
    dead: Option<Dead>,
    attempts: &[&Attempt],
) -> Standing {
    let (waiting, dead) = (waiting.as_ref(), dead.as_ref());
    let trace = Trace {
        attempts: attempts.to_vec(),
        waiting,
        dead,
    };
    world.standing(&trace)
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
            DeliveryState::Queued,
            "due since 1970-01-01T00:16:40.000Z",
        ),
        (
            WaitReason::Replay,
            0,
            DeliveryState::Queued,
            "for attempt 4 of replay 2; it starts when",
        ),
        (
            WaitReason::Order,
            UnixMs::NEVER.0,
            DeliveryState::Held,
            "waits for an earlier event of its key",
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
        let due_at = Some(UnixMs(due_at)).filter(|at| *at != UnixMs::NEVER);
        assert_eq!((found.reason, found.next_at), (Some(reason.name()), due_at));
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
fn a_dead_letter_says_what_it_means_for_its_key() {
    for (gap, words) in [
        (Gap::None, "refused"),
        (Gap::Skipped, "went on without it"),
        (Gap::Halted, "wait until it is replayed or discarded"),
    ] {
        let letter = Dead { gap, ..dead() };
        let found = said(None, Some(letter), &[]);
        assert!(found.why.ends_with(words), "{gap:?}: {found:?}");
    }
}

#[test]
fn without_a_trace_the_plan_and_the_cursor_decide() {
    let table: [(Change, DeliveryState, &str); 7] = [
        (|_| {}, DeliveryState::Pending, "is 3 events behind"),
        (
            |world| world.cursor = Some(Offset(10)),
            DeliveryState::Pending,
            "it is next",
        ),
        (
            |world| world.cursor = None,
            DeliveryState::Pending,
            "not started",
        ),
        (
            |world| world.cursor = Some(Offset(11)),
            DeliveryState::NotMatched,
            "began later",
        ),
        (
            |world| world.event.source = "other".into(),
            DeliveryState::NotMatched,
            "source `other` is none of its sources: `web`",
        ),
        (
            |world| world.event.kind = "Call".into(),
            DeliveryState::NotMatched,
            "type `Call` is none of its types: `Text`",
        ),
        (
            |world| world.subscription = None,
            DeliveryState::NotMatched,
            "does not exist",
        ),
    ];
    for (change, expected, words) in table {
        let mut world = World::new();
        change(&mut world);
        let found = said_in(&world, None, None, &[]);
        assert!(
            found.state == expected && found.why.contains(words),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn a_filter_says_what_it_misses() {
    let mut world = World::new();
    for (when, words) in [
        ("event.data.vip == true", "which the event does not have"),
        (
            "event.type == 'Call'",
            "`when` is false: `event.type == 'Call'`",
        ),
    ] {
        let subscription = world.subscription.as_mut().unwrap();
        subscription.when = Some(Expression::compile(when).unwrap());
        let found = said_in(&world, None, None, &[]);
        assert_eq!(found.state, DeliveryState::NotMatched);
        assert!(found.why.contains(words), "{found:?}");
    }
}

#[test]
fn where_dispatch_has_it_decides_what_it_waits_for() {
    each_change_is_told(&[
        (
            |world| world.located = Some(Located::UnderWay),
            DeliveryState::InFlight,
            "first request is under way",
        ),
        (
            |world| world.located = Some(Located::Queued),
            DeliveryState::Queued,
            "when its endpoint has room",
        ),
        (
            |world| world.located = Some(Located::Behind(Offset(4))),
            DeliveryState::Held,
            "earlier event of its key at offset 4",
        ),
        (
            |world| {
                world.located = Some(Located::Queued);
                world.endpoint = Some(endpoint(breaker::State::Open));
            },
            DeliveryState::Held,
            "the breaker of endpoint `crm` is open from 1970-01-01T00:00:00.000Z on (too many requests failed): it \
             answered 503; next probe at 1970-01-01T00:33:20.000Z",
        ),
        (
            |world| {
                world.located = Some(Located::Queued);
                world.endpoint = None;
            },
            DeliveryState::Held,
            "given to no endpoint",
        ),
    ]);
}

#[test]
fn what_is_paused_or_switched_off_or_filtered_says_so() {
    each_change_is_told(&[
        (
            |world| {
                world.pause = Some(Pause {
                    at: UnixMs(0),
                    reason: Some("upgrade".into()),
                });
            },
            DeliveryState::Paused,
            "paused since 1970-01-01T00:00:00.000Z (upgrade); the cursor",
        ),
        (
            |world| world.subscription.as_mut().unwrap().enabled = false,
            DeliveryState::Paused,
            "its subscription is switched off by `enabled = false`; the cursor",
        ),
        (
            |world| {
                world.subscription.as_mut().unwrap().enabled = false;
                world.pause = Some(Pause {
                    at: UnixMs(0),
                    reason: None,
                });
            },
            DeliveryState::Paused,
            "switched off by `enabled = false` and paused since 1970-01-01T00:00:00.000Z; the cursor",
        ),
        (
            |world| filter(world, "event.data.n == 1"),
            DeliveryState::NotMatched,
            "the filter of `Text` asks for event.data.n, which the event does not have: `event.data.n == 1`",
        ),
        (
            |world| filter(world, "event.type == 'a'"),
            DeliveryState::NotMatched,
            "the filter of `Text` is false: `event.type == 'a'`",
        ),
    ]);
}

/// Each change of the world gives the state, and the words among those that say why.
fn each_change_is_told(table: &[(Change, DeliveryState, &str)]) {
    for (change, expected, words) in table {
        let mut world = World::new();
        change(&mut world);
        let found = said_in(&world, None, None, &[]);
        assert!(
            found.state == *expected && found.why.contains(words),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn an_open_breaker_holds_what_is_due_and_a_pause_everything_that_is_not_under_way() {
    let mut world = World::new();
    world.endpoint = Some(endpoint(breaker::State::Open));
    let due = said_in(
        &world,
        Some(waiting(WaitReason::Retry, 0)),
        None,
        &[&retry()],
    );
    assert!(
        due.state == DeliveryState::Held && due.by_breaker,
        "{due:?}"
    );
    let later = said_in(
        &world,
        Some(waiting(WaitReason::Retry, 9_000_000)),
        None,
        &[],
    );
    assert!(
        later.state == DeliveryState::Waiting && later.why.contains("is open"),
        "{later:?}"
    );
    world.pause = Some(Pause {
        at: UnixMs(0),
        reason: None,
    });
    let paused = said_in(&world, Some(waiting(WaitReason::Retry, 0)), None, &[]);
    assert_eq!(paused.state, DeliveryState::Paused);
    world.located = Some(Located::UnderWay);
    let under_way = said_in(&world, Some(waiting(WaitReason::Retry, 0)), None, &[]);
    assert_eq!(under_way.state, DeliveryState::InFlight);
    let letter = said_in(&world, None, Some(dead()), &[]);
    assert_eq!(letter.state, DeliveryState::Dead);
}
