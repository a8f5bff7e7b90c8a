//! Progress: cursors, what is settled beyond them, history, counts.

use std::collections::BTreeMap;

use switchhook_core::delivery::{Attempt, DeadReason, Records, Verdict, WaitReason, Waiting};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{
    attempt, attempts, cursor, cursors, dead, fill, key, letters, numbers, records, rows, waiting,
};

pub(super) fn cursors_are_the_last_ones_written(fixture: &mut Fixture) {
    fill(fixture, 9);
    fixture.write(cursors([
        cursor("a", 0, 3),
        cursor("b", 0, 5),
        cursor("a", 0, 7),
    ]));
    fixture.write(attempts([attempt("c", 4, 1)]));
    fixture.reopen();
    // Back is possible too: that is how a subscription is replayed.
    fixture.write(cursors([cursor("b", 0, 2)]));
    fixture.reopen();
    let expected = [cursor("a", 0, 7), cursor("b", 0, 2)];
    assert_eq!(
        fixture.store().cursors().expect("they can be read"),
        expected
    );
}

pub(super) fn settled_is_what_has_an_attempt_a_row_or_a_dead_letter(fixture: &mut Fixture) {
    fill(fixture, 9);
    fixture.write(attempts([
        attempt("a", 2, 1),
        attempt("a", 4, 1),
        attempt("a", 4, 2),
        attempt("b", 5, 1),
    ]));
    fixture.write(rows([waiting("a", 6, 1), waiting("b", 7, 1)]));
    fixture.write(letters([dead("a", 8, 1), dead("b", 9, 1)]));
    fixture.reopen();
    let from = |subscription, offset| {
        let found = fixture
            .store()
            .settled_from(subscription, 0, Offset(offset))
            .expect("they can be read");
        numbers(&found)
    };
    assert_eq!(from("a", 1), [2, 4, 6, 8]);
    assert_eq!(from("a", 3), [4, 6, 8]);
    assert_eq!(from("b", 1), [5, 7, 9]);
    assert_eq!(from("never seen", 1), [0; 0]);
}

pub(super) fn history_has_all_of_one_event_and_nothing_else(fixture: &mut Fixture) {
    fill(fixture, 3);
    let replayed = Attempt {
        chain: 1,
        verdict: Verdict::Delivered,
        detail: None,
        next_at: None,
        ..attempt("a", 2, 1)
    };
    let again = Attempt {
        duration_ms: 8,
        ..attempt("a", 2, 2)
    };
    // The name that comes first in the alphabet is used last: order is by name.
    fixture.write(attempts([
        attempt("z", 2, 1),
        attempt("a", 2, 2),
        replayed.clone(),
        attempt("a", 2, 1),
    ]));
    fixture.write(attempts([
        again.clone(),
        attempt("a", 1, 1),
        attempt("a", 3, 1),
    ]));
    fixture.write(rows([
        waiting("z", 2, 9),
        waiting("b", 2, 8),
        waiting("b", 3, 8),
    ]));
    fixture.write(letters([dead("y", 2, 9), dead("c", 2, 8), dead("c", 1, 8)]));
    fixture.reopen();
    let history = fixture.store().history(Offset(2)).expect("it can be read");
    assert_eq!(
        history.attempts,
        [attempt("a", 2, 1), again, replayed, attempt("z", 2, 1)]
    );
    assert_eq!(history.waiting, [waiting("b", 2, 8), waiting("z", 2, 9)]);
    assert_eq!(history.dead, [dead("c", 2, 8), dead("y", 2, 9)]);
    let none = fixture.store().history(Offset(99)).expect("it can be read");
    assert_eq!(none, crate::query::History::default());
}

pub(super) fn counts_follow_every_change(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.write(rows([
        waiting("a", 1, 30),
        waiting("a", 2, 20),
        waiting("b", 3, 10),
    ]));
    let held = fixture.store().counts().expect("they can be read").held;
    assert_eq!(held, BTreeMap::from([("a".into(), 2), ("b".into(), 1)]));
    // Once more, under another due time: still one row, now held no more.
    fixture.write(rows([Waiting {
        reason: WaitReason::Retry,
        ..waiting("a", 1, 25)
    }]));
    fixture.write(letters([dead("a", 4, 5), dead("b", 5, 5), dead("b", 3, 5)]));
    fixture.reopen();
    let held = fixture.store().counts().expect("they can be read").held;
    assert_eq!(held, BTreeMap::from([("a".into(), 1)]));
    let settled = vec![key("a", 2), key("a", 2), key("a", 5)];
    fixture.write(records(Records {
        settled,
        ..Records::default()
    }));
    fixture.reopen();
    let counts = fixture.store().counts().expect("they can be read");
    assert_eq!((counts.events, counts.end), (5, Offset(6)));
    assert_eq!(counts.waiting, BTreeMap::from([("a".into(), 1)]));
    assert_eq!(counts.held, BTreeMap::new());
    assert_eq!(
        counts.oldest_due,
        BTreeMap::from([("a".into(), UnixMs(25))])
    );
    assert_eq!(
        counts.dead,
        BTreeMap::from([(("crm".into(), DeadReason::Exhausted), 3)])
    );
    assert!(counts.free_bytes > 0);
}
