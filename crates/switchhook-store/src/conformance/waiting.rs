//! Waiting work: due in order, skipped, limited, settled, rebased.

use std::collections::BTreeSet;

use switchhook_core::delivery::{Records, WaitReason, Waiting};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, event, fill, key, records, rows, waiting};
use crate::Batch;
use crate::query::Limit;

/// Offsets of the due rows, and when the next is due.
fn due(fixture: &Fixture, until: u64, skip: &[u64], limit: Limit) -> (Vec<u64>, Option<u64>) {
    let skip: BTreeSet<Offset> = skip.iter().copied().map(Offset).collect();
    let work = fixture
        .store()
        .due("s", 0, UnixMs(until), &skip, limit)
        .expect("it can be read");
    for (row, event) in &work.rows {
        assert_eq!(row.key.offset, event.offset);
    }
    (
        work.rows.iter().map(|(row, _)| row.key.offset.0).collect(),
        work.next_due.map(|at| at.0),
    )
}

fn five_rows(fixture: &mut Fixture) {
    fill(fixture, 6);
    let due = [(1, 50), (2, 10), (3, 30), (4, 10), (5, 40)];
    let other = waiting("t", 6, 5);
    fixture.write(rows(
        due.map(|(offset, at)| waiting("s", offset, at))
            .into_iter()
            .chain([other]),
    ));
    fixture.reopen();
}

pub(super) fn work_is_due_in_order_and_not_before(fixture: &mut Fixture) {
    five_rows(fixture);
    assert_eq!(due(fixture, 30, &[], ALL), (vec![2, 4, 3], Some(40)));
    assert_eq!(due(fixture, 50, &[], ALL), (vec![2, 4, 3, 5, 1], None));
    assert_eq!(due(fixture, 9, &[], ALL), (vec![], Some(10)));
    let work = fixture
        .store()
        .due("t", 0, UnixMs(9), &BTreeSet::new(), ALL)
        .expect("it can be read");
    let expected = (waiting("t", 6, 5), event(6).at(Offset(6)).into());
    assert_eq!(work.rows, [expected]);
    let none = fixture
        .store()
        .due("never seen", 0, UnixMs(9), &BTreeSet::new(), ALL);
    assert_eq!(
        none.expect("it can be read"),
        crate::query::DueWork::default()
    );
}

pub(super) fn skipped_rows_are_neither_returned_nor_next(fixture: &mut Fixture) {
    five_rows(fixture);
    assert_eq!(due(fixture, 30, &[2, 3, 5], ALL), (vec![4], Some(50)));
    assert_eq!(due(fixture, 50, &[1, 2, 3, 4, 5], ALL), (vec![], None));
}

pub(super) fn limits_of_due_work_leave_the_rest_as_next(fixture: &mut Fixture) {
    five_rows(fixture);
    assert_eq!(
        due(fixture, 50, &[4], Limit { items: 2, ..ALL }),
        (vec![2, 3], Some(40))
    );
    assert_eq!(
        due(fixture, 50, &[], Limit { bytes: 1, ..ALL }),
        (vec![2], Some(10))
    );
}

pub(super) fn a_row_is_written_over_and_settled(fixture: &mut Fixture) {
    five_rows(fixture);
    let row = Waiting {
        chain: 3,
        attempts: 9,
        counted: 8,
        deadline: UnixMs(777),
        delay_ms: 12,
        reason: WaitReason::InFlight,
        ..waiting("s", 2, 60)
    };
    fixture.write(rows([row.clone()]));
    let settled = vec![key("s", 4), key("s", 6), key("u", 1)];
    fixture.write(records(Records {
        settled,
        ..Records::default()
    }));
    fixture.reopen();
    assert_eq!(due(fixture, 100, &[], ALL), (vec![3, 5, 1, 2], None));
    let history = fixture.store().history(Offset(2)).expect("it can be read");
    assert_eq!(history.waiting, [row]);
}

pub(super) fn rebase_lets_no_row_wait_longer_than_planned(fixture: &mut Fixture) {
    fill(fixture, 4);
    let row = |offset, due_ms, delay_ms| Waiting {
        delay_ms,
        ..waiting("s", offset, due_ms)
    };
    fixture.write(rows([
        row(1, 10_000, 200),
        row(2, 300, 500),
        row(3, 9_000, u64::MAX),
        row(4, 1_101, 100),
    ]));
    fixture.write(Batch {
        rebase: Some(UnixMs(1_000)),
        ..Batch::default()
    });
    fixture.reopen();
    let work = fixture
        .store()
        .due("s", 0, UnixMs(u64::MAX), &BTreeSet::new(), ALL)
        .expect("it can be read");
    let found: Vec<_> = work
        .rows
        .iter()
        .map(|(row, _)| (row.key.offset.0, row.due_at.0))
        .collect();
    assert_eq!(found, [(2, 300), (4, 1_100), (1, 1_200), (3, 9_000)]);
}
