//! Retention in the file: space is given back, kept rows cost a step nothing, readers are not in the way.

use bytes::Bytes;
use rusqlite::Connection;
use switchhook_core::delivery::{Dead, DeadReason, Gap, Place, Records};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;
use tempfile::tempdir;

use super::{ALL, event, events, open, three_events, waiting, write};
use crate::batch::{NewEvent, Retain, Retained};
use crate::embedded::{Embedded, verify};
use crate::{Batch, Store};

const EVENTS: Retain = Retain {
    events_before: UnixMs::NEVER,
    keep_from: Offset(u64::MAX),
    attempts_before: UnixMs(0),
    dead_before: UnixMs(0),
    now: UnixMs(0),
    items: 1000,
    pages: 0,
};

fn retain(store: &Embedded, retain: Retain) -> Retained {
    let batch = Batch {
        retain: Some(retain),
        ..Batch::default()
    };
    write(store, batch).unwrap().retained
}

fn letters(offsets: impl IntoIterator<Item = u64>) -> Batch {
    let letter = |offset| Dead {
        key: waiting(offset).key,
        place: Place::default(),
        chain: 0,
        attempts: 1,
        at: UnixMs(1),
        reason: DeadReason::Refused,
        outcome: None,
        endpoint: "e".into(),
        detail: None,
        gap: Gap::None,
    };
    let records = Records {
        dead: offsets.into_iter().map(letter).collect(),
        ..Records::default()
    };
    Batch {
        records,
        ..Batch::default()
    }
}

/// Hands in so many events of 8 KiB.
fn fill(store: &Embedded, count: u64) {
    let event = |n| NewEvent {
        body: Bytes::from(vec![b'x'; 8192]),
        ..event(n)
    };
    let events = (1..=count).map(event).collect();
    let batch = Batch {
        events,
        ..Batch::default()
    };
    write(store, batch).unwrap();
}

#[test]
fn free_pages_are_given_back_a_few_at_a_time_until_a_tenth_is_left() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 200);
    let freed = retain(&store, EVENTS);
    assert_eq!(
        (freed.events, freed.bytes, freed.more),
        (200, 0, false),
        "0 pages are allowed"
    );
    let ten = Retain {
        pages: 10,
        ..EVENTS
    };
    let step = retain(&store, ten);
    assert_eq!((step.bytes, step.more), (10 * 4096, true));
    let rest = retain(
        &store,
        Retain {
            pages: 100_000,
            ..EVENTS
        },
    );
    assert!(rest.bytes > 100 * 8192 && !rest.more, "{rest:?}");
    let none = retain(&store, ten);
    assert_eq!(
        (none.bytes, none.more),
        (0, false),
        "what is left is for new events"
    );
    drop(store);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let (free, all) = (number("PRAGMA freelist_count"), number("PRAGMA page_count"));
    assert!(free <= all / 10 && all < 200, "{free} of {all} are free");
    drop(conn);
    assert!(
        std::fs::metadata(dir.path().join("store.db"))
            .unwrap()
            .len()
            < 200 * 4096
    );
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn a_reader_that_holds_a_moment_sees_it_and_stops_nothing() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 50);
    let reader = Connection::open(dir.path().join("store.db")).unwrap();
    let count = || reader.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0));
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count().unwrap(), 50);
    let freed = retain(
        &store,
        Retain {
            pages: 1000,
            ..EVENTS
        },
    );
    assert_eq!(freed.events, 50);
    assert!(freed.bytes > 0);
    assert_eq!(count().unwrap(), 50);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count().unwrap(), 0);
}

#[test]
fn what_must_stay_is_not_looked_at_with_each_step() {
    let (dir, store) = three_events();
    write(&store, events(4..=3000)).unwrap();
    write(&store, letters(1..=3000)).unwrap();
    let few = Retain {
        items: 10,
        ..EVENTS
    };
    // The first walk looks at all of them, a bounded number at a time.
    let steps = (1..100).find(|_| !retain(&store, few).more).unwrap();
    assert!((5..50).contains(&steps), "{steps} steps");
    // From there on a step begins where the last one ended, and what became free before is looked at first.
    write(&store, events(3001..=3003)).unwrap();
    assert_eq!(retain(&store, few).events, 3);
    let discards = vec![(waiting(5).key, 0), (waiting(2999).key, 0)];
    let discard = Batch {
        discards,
        ..Batch::default()
    };
    assert_eq!(write(&store, discard).unwrap().discarded, 2);
    let step = retain(&store, few);
    assert_eq!((step.events, step.more), (2, false));
    assert_eq!(store.counts().unwrap().events, 2998);
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn an_event_from_a_clock_that_was_ahead_does_not_keep_the_others() {
    let (_dir, store) = three_events();
    let ahead = NewEvent {
        received_at: UnixMs(4_000_000_000_000),
        ..event(4)
    };
    let batch = Batch {
        events: vec![ahead, event(5)],
        ..Batch::default()
    };
    write(&store, batch).unwrap();
    let day = |days: u64| Retain {
        events_before: UnixMs(1_800_000_000_000 + days * 86_400_000),
        ..EVENTS
    };
    assert_eq!(retain(&store, day(0)).events, 4);
    let left = store.read_log(Offset(1), ALL).unwrap();
    assert_eq!(
        left.iter().map(|event| event.offset).collect::<Vec<_>>(),
        [Offset(4)]
    );
    // When its time has come, the round of the next day finds it.
    assert_eq!(
        retain(
            &store,
            Retain {
                events_before: UnixMs::NEVER,
                ..EVENTS
            }
        )
        .events,
        0
    );
    assert_eq!(
        retain(
            &store,
            Retain {
                events_before: UnixMs::NEVER,
                ..EVENTS
            }
        )
        .events,
        1
    );
}

#[test]
fn an_event_that_is_missing_without_being_forgotten_is_found() {
    let (dir, store) = three_events();
    write(&store, events(4..=9)).unwrap();
    let freed = retain(
        &store,
        Retain {
            keep_from: Offset(4),
            ..EVENTS
        },
    );
    assert_eq!(freed.events, 3);
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch("DELETE FROM event WHERE seq = 6")
        .unwrap();
    drop(conn);
    assert_eq!(
        verify(dir.path()).unwrap().problems,
        ["1 offsets are missing from the log"]
    );
}
