//! What may be forgotten goes, what is needed stays, and every read goes on behind the gaps.

use switchhook_core::delivery::{Attempt, Dead, Gap, Records};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{
    ALL, appended, attempt, attempts, cursor, cursors, dead, event, events, fill, id, key, letters,
    numbers, records, rows, waiting, with_dedup,
};
use crate::Appended;
use crate::Batch;
use crate::batch::{Replay, Retain, Retained};
use crate::query::{EventFilter, Limit};

/// Forgets all that may go.
const EVERYTHING: Retain = Retain {
    events_before: UnixMs::NEVER,
    keep_from: Offset(u64::MAX),
    attempts_before: UnixMs::NEVER,
    dead_before: UnixMs::NEVER,
    now: UnixMs::NEVER,
    items: 1000,
    pages: 0,
};

/// Forgets events alone.
const EVENTS: Retain = Retain {
    attempts_before: UnixMs(0),
    dead_before: UnixMs(0),
    ..EVERYTHING
};

fn retain(fixture: &Fixture, retain: Retain) -> Retained {
    let batch = Batch {
        retain: Some(retain),
        ..Batch::default()
    };
    fixture.write(batch).retained
}

fn gone(events: u64, attempts: u64, dead: u64) -> Retained {
    Retained {
        events,
        attempts,
        dead,
        ..Retained::default()
    }
}

/// Offsets that are in the log.
fn log(fixture: &Fixture) -> Vec<u64> {
    let found = fixture.store().read_log(Offset(1), ALL);
    let offsets: Vec<Offset> = found
        .expect("the log can be read")
        .iter()
        .map(|event| event.offset)
        .collect();
    numbers(&offsets)
}

fn attempted(fixture: &Fixture, offset: u64) -> usize {
    let history = fixture.store().history(Offset(offset));
    history.expect("it can be read").attempts.len()
}

pub(super) fn old_events_go_with_their_attempts(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.write(attempts([
        attempt("a", 1, 1),
        attempt("b", 1, 1),
        attempt("a", 3, 1),
        attempt("a", 4, 1),
    ]));
    fixture.reopen();
    // Event `n` was accepted `n` seconds after time 0.
    let old = Retain {
        events_before: UnixMs(4_000),
        ..EVENTS
    };
    assert_eq!(retain(fixture, old), gone(3, 3, 0));
    assert_eq!(retain(fixture, old), gone(0, 0, 0));
    fixture.reopen();
    assert_eq!(log(fixture), [4, 5]);
    assert_eq!((attempted(fixture, 1), attempted(fixture, 4)), (0, 1));
    assert_eq!(fixture.store().event(id(3)).expect("it can be read"), None);
    let counts = fixture.store().counts().expect("they can be read");
    assert_eq!(
        (counts.events, counts.first, counts.end),
        (2, Offset(4), Offset(6))
    );
}

pub(super) fn each_step_is_bounded_and_says_whether_there_is_more(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.write(attempts([attempt("a", 3, 1), attempt("b", 3, 1)]));
    fixture.write(letters([dead("a", 5, 1), dead("b", 5, 2), dead("c", 5, 3)]));
    let few = Retain {
        items: 2,
        ..EVERYTHING
    };
    let steps: Vec<Retained> = (0..5).map(|_| retain(fixture, few)).collect();
    let more = |step| Retained { more: true, ..step };
    let expected = [
        more(gone(2, 2, 2)),
        more(gone(2, 0, 1)),
        gone(1, 0, 0),
        gone(0, 0, 0),
        gone(0, 0, 0),
    ];
    assert_eq!(steps, expected);
    assert_eq!(log(fixture), [0; 0]);
}

pub(super) fn what_a_delivery_needs_stays(fixture: &mut Fixture) {
    fill(fixture, 9);
    let made: Vec<Attempt> = (1..=9).map(|offset| attempt("a", offset, 1)).collect();
    fixture.write(attempts(made));
    fixture.write(rows([waiting("a", 2, 5)]));
    let halting = Dead {
        gap: Gap::Halted,
        ..dead("a", 6, 1)
    };
    fixture.write(letters([
        dead("b", 4, 9),
        dead("b", 5, 1),
        halting,
        dead("b", 8, 1),
    ]));
    fixture.reopen();
    let bounds = Retain {
        keep_from: Offset(8),
        dead_before: UnixMs(9),
        ..EVERYTHING
    };
    // 2 waits, 4 has a dead letter that is not old enough, 6 halts its key, 8 and 9 are still wanted.
    assert_eq!(retain(fixture, bounds), gone(4, 4, 1));
    fixture.reopen();
    assert_eq!(log(fixture), [2, 4, 6, 8, 9]);
    let left: Vec<usize> = log(fixture)
        .iter()
        .map(|at| attempted(fixture, *at))
        .collect();
    assert_eq!(left, [1; 5]);
    let settled = fixture.store().settled_from("b", 0, Offset(1));
    assert_eq!(numbers(&settled.expect("they can be read")), [4, 8]);
}

pub(super) fn what_is_no_longer_needed_goes_with_the_next_step(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.write(rows([waiting("a", 1, 5)]));
    fixture.write(letters([dead("a", 2, 1), dead("a", 3, 1), dead("b", 3, 1)]));
    assert_eq!(retain(fixture, EVENTS), gone(2, 0, 0));
    fixture.write(records(Records {
        settled: vec![key("a", 1)],
        ..Records::default()
    }));
    assert_eq!(retain(fixture, EVENTS), gone(1, 0, 0));
    fixture.write(Batch {
        discards: vec![(key("a", 2), 0), (key("a", 3), 0)],
        ..Batch::default()
    });
    assert_eq!(retain(fixture, EVENTS), gone(1, 0, 0));
    assert_eq!(log(fixture), [3]);
    assert_eq!(retain(fixture, EVERYTHING), gone(1, 0, 1));
    assert_eq!(log(fixture), [0; 0]);
}

pub(super) fn old_attempts_go_also_of_events_that_stay(fixture: &mut Fixture) {
    fill(fixture, 4);
    // Attempt `n` was made at `10 + n`.
    fixture.write(attempts([
        attempt("a", 1, 1),
        attempt("a", 1, 3),
        attempt("b", 2, 1),
        attempt("a", 4, 1),
    ]));
    fixture.reopen();
    let old = Retain {
        events_before: UnixMs(0),
        attempts_before: UnixMs(12),
        keep_from: Offset(4),
        ..EVENTS
    };
    assert_eq!(retain(fixture, old), gone(0, 2, 0));
    let left: Vec<usize> = (1..=4).map(|at| attempted(fixture, at)).collect();
    assert_eq!(left, [1, 0, 0, 1]);
}

pub(super) fn an_identity_is_remembered_after_its_event_is_gone(fixture: &mut Fixture) {
    let known = |n, identity: u8| with_dedup(event(n), identity, 5, 60_000);
    fixture.write(events((1..=9).map(|n| known(n.into(), n))));
    assert_eq!(retain(fixture, EVENTS), gone(9, 0, 0));
    fixture.reopen();
    for n in 1..=9_u8 {
        let again = fixture.write(events([known(u64::from(n) + 20, n)]));
        let first = Appended::Duplicate {
            id: id(n.into()),
            same_body: true,
        };
        assert_eq!(again.appended, [first]);
    }
}

pub(super) fn an_offset_is_never_given_twice(fixture: &mut Fixture) {
    fill(fixture, 3);
    assert_eq!(retain(fixture, EVENTS), gone(3, 0, 0));
    fixture.reopen();
    let counts = fixture.store().counts().expect("they can be read");
    assert_eq!(
        (counts.events, counts.first, counts.end),
        (0, Offset(4), Offset(4))
    );
    assert_eq!(fixture.store().tail().end(), Offset(4));
    let next = fixture.write(events([event(7)]));
    assert_eq!(next.appended, [appended(7, 4)]);
}

pub(super) fn a_delivery_whose_event_is_gone_is_not_made_again(fixture: &mut Fixture) {
    fill(fixture, 2);
    assert_eq!(retain(fixture, EVENTS), gone(2, 0, 0));
    let replay = Replay {
        dead_chain: None,
        waiting: waiting("a", 1, 5),
    };
    let receipt = fixture.write(Batch {
        replays: vec![replay],
        ..Batch::default()
    });
    assert_eq!(receipt.replayed, 0);
    let counts = fixture.store().counts().expect("they can be read");
    assert!(counts.waiting.is_empty());
}

pub(super) fn every_read_goes_on_behind_a_gap(fixture: &mut Fixture) {
    fill(fixture, 9);
    fixture.write(letters([dead("a", 2, 1), dead("a", 6, 1)]));
    fixture.write(cursors([cursor("a", 0, 4)]));
    let old = Retain {
        events_before: UnixMs(8_000),
        ..EVENTS
    };
    assert_eq!(retain(fixture, old), gone(5, 0, 0));
    fixture.reopen();
    let store = fixture.store();
    assert_eq!(log(fixture), [2, 6, 8, 9]);
    let three = Limit { items: 2, ..ALL };
    let found = store
        .read_log(Offset(3), three)
        .expect("the log can be read");
    let found: Vec<u64> = found.iter().map(|event| event.offset.0).collect();
    assert_eq!(found, [6, 8]);
    let filter = EventFilter::default();
    let (found, next) = store
        .scan(&filter, Offset(1), three)
        .expect("it can be read");
    let found: Vec<u64> = found.iter().map(|event| event.offset.0).collect();
    assert_eq!((found, next), (vec![2, 6], Offset(8)));
    let found = store
        .events(&filter, Some(Offset(8)), ALL)
        .expect("they can be read");
    let found: Vec<u64> = found.iter().map(|event| event.offset.0).collect();
    assert_eq!(found, [6, 2]);
    for (at_ms, expected) in [
        (0, 2),
        (2_000, 2),
        (2_001, 6),
        (6_001, 8),
        (9_000, 9),
        (9_001, 10),
    ] {
        let offset = store.offset_at(UnixMs(at_ms)).expect("it can be read");
        assert_eq!(offset, Offset(expected), "{at_ms}");
    }
}
