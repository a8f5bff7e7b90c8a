//! Dedup: the first wins, for as long as it is remembered.

use switchhook_core::delivery::Records;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{appended, cursor, event, events, id, with_dedup};
use crate::batch::NewEvent;
use crate::{Appended, Batch, Conflict, First, Receipt};

/// Remembered for ten seconds.
fn known(n: u64, key: u8, body_hash: u64) -> NewEvent {
    with_dedup(event(n), key, body_hash, 10_000)
}

pub(super) fn the_first_wins_within_the_window(fixture: &mut Fixture) {
    fixture.write(events([known(1, 1, u64::MAX), known(2, 2, 5)]));
    fixture.reopen();
    let receipt = fixture.write(events([
        known(3, 1, u64::MAX),
        known(4, 2, 6),
        known(5, 3, 5),
    ]));
    assert_eq!(
        receipt.appended,
        [
            Appended::Duplicate {
                id: id(1),
                same_body: true
            },
            Appended::Duplicate {
                id: id(2),
                same_body: false
            },
            appended(5, 3),
        ]
    );
}

pub(super) fn a_repeat_within_one_batch_is_a_duplicate(fixture: &mut Fixture) {
    let receipt = fixture.write(events([known(1, 1, 5), known(2, 1, 5), known(3, 2, 5)]));
    assert_eq!(
        receipt.appended,
        [
            appended(1, 1),
            Appended::Duplicate {
                id: id(1),
                same_body: true
            },
            appended(3, 2)
        ]
    );
}

pub(super) fn an_entry_older_than_its_window_is_forgotten(fixture: &mut Fixture) {
    let at = |n, ms| NewEvent {
        received_at: UnixMs(ms),
        ..known(n, 1, 5)
    };
    fixture.write(events([at(1, 1_000)]));
    fixture.reopen();
    let last = fixture.write(events([at(2, 11_000)]));
    assert_eq!(
        last.appended,
        [Appended::Duplicate {
            id: id(1),
            same_body: true
        }]
    );
    let later = fixture.write(events([at(3, 11_001), at(4, 21_001)]));
    assert_eq!(
        later.appended,
        [
            appended(3, 2),
            Appended::Duplicate {
                id: id(3),
                same_body: true
            }
        ]
    );
}

pub(super) fn a_batch_that_refuses_conflicts_is_taken_whole_or_not_at_all(fixture: &mut Fixture) {
    let whole = |batch: Vec<NewEvent>| Batch {
        refuse_conflicts: true,
        ..events(batch)
    };
    fixture.write(events([known(1, 1, 5), event(2)]));
    fixture.reopen();
    let other_body = NewEvent {
        body: "other".into(),
        ..event(2)
    };
    let refused = [
        (vec![known(3, 2, 5), known(4, 1, 6)], 1, First::InLog(id(1))),
        (
            vec![known(3, 2, 5), known(4, 3, 5), known(5, 2, 6)],
            2,
            First::InBatch(0),
        ),
        (vec![other_body], 0, First::InLog(id(2))),
    ];
    for (batch, index, first) in refused {
        let receipt = fixture.write(Batch {
            records: Records {
                cursors: vec![cursor("s", 0, 2)],
                ..Records::default()
            },
            ..whole(batch)
        });
        let conflict = Some(Conflict { index, first });
        assert_eq!(
            receipt,
            Receipt {
                conflict,
                ..Receipt::default()
            }
        );
    }
    fixture.reopen();
    assert_eq!(fixture.store().tail().end(), Offset(3));
    assert!(
        fixture
            .store()
            .cursors()
            .expect("they can be read")
            .is_empty()
    );
    // Repeats are no conflicts, and what was refused is not remembered.
    let receipt = fixture.write(whole(vec![known(3, 1, 5), known(4, 2, 6), known(5, 2, 6)]));
    let first = |n| Appended::Duplicate {
        id: id(n),
        same_body: true,
    };
    assert_eq!(receipt.appended, [first(1), appended(4, 3), first(4)]);
    // Within the batch, too, an identity is forgotten after its window.
    let late = NewEvent {
        received_at: UnixMs(60_000),
        ..known(7, 4, 6)
    };
    let receipt = fixture.write(whole(vec![known(6, 4, 5), late]));
    assert_eq!(receipt.appended, [appended(6, 4), appended(7, 5)]);
}
