//! Dedup: the first wins, for as long as it is remembered.

use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{appended, event, events, id, with_dedup};
use crate::Appended;
use crate::batch::NewEvent;

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
