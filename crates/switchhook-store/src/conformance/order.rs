//! Order by key: rows that wait for their turn, their release, and what each key waits for.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_core::delivery::{Dead, Gap, Place, Records, Release, WaitReason, Waiting};
use switchhook_core::engine::KeyRows;
use switchhook_core::group::KeyHash;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, dead, fill, letters, records, rows, waiting};
use crate::Batch;

const KEY: KeyHash = KeyHash(u64::MAX - 7);
const OTHER: KeyHash = KeyHash(9);

const fn place(partition: u16, key: KeyHash) -> Place {
    Place {
        partition,
        key: Some(key),
    }
}

/// A row whose turn has not come.
fn held(offset: u64, place: Place) -> Waiting {
    Waiting {
        place,
        due_at: UnixMs::NEVER,
        delay_ms: 0,
        reason: WaitReason::Order,
        ..waiting("s", offset, 0)
    }
}

fn release(key: Option<KeyHash>, items: u32, due_ms: u64) -> Records {
    Records {
        released: vec![Release {
            subscription: "s".into(),
            partition: 1,
            key,
            items,
            due_at: UnixMs(due_ms),
        }],
        ..Records::default()
    }
}

/// Offsets and times of the due rows of partition 1.
fn due(fixture: &Fixture) -> Vec<(u64, u64)> {
    let (store, none) = (fixture.store(), BTreeSet::new());
    let work = store
        .due("s", 1, UnixMs(u64::MAX), &none, ALL)
        .expect("it can be read");
    assert_eq!(work.next_due, None, "a held row is not next either");
    let found = work.rows.iter();
    found
        .map(|(row, _)| (row.key.offset.0, row.due_at.0))
        .collect()
}

pub(super) fn a_held_row_is_neither_due_nor_next_nor_oldest(fixture: &mut Fixture) {
    fill(fixture, 3);
    fixture.write(rows([held(2, place(1, KEY)), held(1, place(1, OTHER))]));
    fixture.reopen();
    assert_eq!(due(fixture), []);
    let counts = fixture.store().counts().expect("they can be read");
    assert_eq!(counts.waiting, BTreeMap::from([("s".into(), 2)]));
    assert_eq!((counts.held, counts.oldest_due), Default::default());
    let history = fixture.store().history(Offset(2)).expect("it can be read");
    assert_eq!(history.waiting, [held(2, place(1, KEY))]);
}

pub(super) fn a_release_makes_the_first_held_rows_of_its_key_due(fixture: &mut Fixture) {
    fill(fixture, 9);
    let retried = Waiting {
        place: place(1, KEY),
        reason: WaitReason::Retry,
        ..waiting("s", 1, 70)
    };
    fixture.write(rows([
        retried,
        held(5, place(1, KEY)),
        held(3, place(1, KEY)),
        held(4, place(1, KEY)),
        held(2, place(1, OTHER)),
        held(6, place(2, KEY)),
    ]));
    fixture.reopen();
    fixture.write(records(release(Some(KEY), 2, 50)));
    assert_eq!(due(fixture), [(3, 50), (4, 50), (1, 70)]);
    fixture.write(records(release(Some(KEY), 2, 60)));
    fixture.write(records(release(Some(KEY), 2, 60)));
    fixture.reopen();
    assert_eq!(due(fixture), [(3, 50), (4, 50), (5, 60), (1, 70)]);
}

pub(super) fn a_release_of_all_keys_goes_by_the_order_of_the_log(fixture: &mut Fixture) {
    fill(fixture, 5);
    let no_key = Place {
        partition: 1,
        key: None,
    };
    fixture.write(rows([
        held(4, place(1, OTHER)),
        held(3, no_key),
        held(2, place(1, KEY)),
        held(1, place(2, KEY)),
    ]));
    fixture.reopen();
    fixture.write(records(release(None, 2, 50)));
    assert_eq!(due(fixture), [(2, 50), (3, 50)]);
    fixture.write(records(release(None, 9, 60)));
    assert_eq!(due(fixture), [(2, 50), (3, 50), (4, 60)]);
}

pub(super) fn a_row_written_and_released_in_one_batch_is_due(fixture: &mut Fixture) {
    fill(fixture, 2);
    fixture.write(records(Records {
        waiting: vec![held(2, place(1, KEY))],
        ..release(Some(KEY), 9, 40)
    }));
    fixture.reopen();
    assert_eq!(due(fixture), [(2, 40)]);
}

pub(super) fn a_clock_that_went_back_releases_nothing(fixture: &mut Fixture) {
    fill(fixture, 1);
    fixture.write(rows([held(1, place(1, KEY))]));
    fixture.write(Batch {
        rebase: Some(UnixMs(5)),
        ..Batch::default()
    });
    fixture.reopen();
    assert_eq!(due(fixture), []);
}

pub(super) fn keys_say_what_each_of_them_waits_for(fixture: &mut Fixture) {
    fill(fixture, 10);
    let with = |offset, place, reason| Waiting {
        place,
        reason,
        ..waiting("s", offset, 100 - offset)
    };
    let halting = |offset, place, gap| Dead {
        place,
        gap,
        ..dead("s", offset, 5)
    };
    fixture.write(rows([
        with(1, place(1, KEY), WaitReason::Retry),
        with(2, place(1, KEY), WaitReason::Hold),
        with(3, place(1, OTHER), WaitReason::Replay),
        with(4, place(1, KEY), WaitReason::Order),
        with(5, place(1, KEY), WaitReason::InFlight),
        held(6, place(1, KEY)),
        held(7, place(2, OTHER)),
        with(8, Place::default(), WaitReason::Retry),
        with(10, place(1, OTHER), WaitReason::Replay),
    ]));
    fixture.write(letters([
        halting(3, place(1, KEY), Gap::Skipped),
        halting(9, place(1, OTHER), Gap::Halted),
        halting(7, place(1, OTHER), Gap::Halted),
    ]));
    fixture.reopen();
    let offsets = |numbers: &[u64]| numbers.iter().copied().map(Offset).collect();
    let expected = BTreeMap::from([
        (
            OTHER,
            KeyRows {
                waiting: offsets(&[10]),
                halted: offsets(&[7, 9]),
                ..KeyRows::default()
            },
        ),
        (
            KEY,
            KeyRows {
                waiting: offsets(&[1, 2, 5]),
                held: 1,
                released: 1,
                halted: Vec::new(),
            },
        ),
    ]);
    let keys = |subscription, partition| fixture.store().keys(subscription, partition);
    assert_eq!(keys("s", 1).expect("they can be read"), expected);
    let none = BTreeMap::new();
    assert_eq!(keys("s", 3).expect("they can be read"), none);
    assert_eq!(keys("never seen", 1).expect("they can be read"), none);
    let letters = fixture.store().history(Offset(9)).expect("it can be read");
    assert_eq!(letters.dead, [halting(9, place(1, OTHER), Gap::Halted)]);
}
