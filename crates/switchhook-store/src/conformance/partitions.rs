//! Partitions: a cursor, a member and rows for each, and what a new layout does to them.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_core::delivery::{Attempt, Cursor, Place, Waiting};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{
    ALL, attempt, attempts, cursor, cursors, dead, event, fill, letters, numbers, rows, waiting,
};
use crate::Batch;
use crate::batch::Layout;
use crate::query::Limit;

fn row(offset: u64, partition: u16) -> Waiting {
    Waiting {
        place: Place {
            partition,
            key: None,
        },
        ..waiting("s", offset, offset)
    }
}

fn owned(partition: u16, offset: u64, member: &str) -> Cursor {
    Cursor {
        member: Some(member.into()),
        ..cursor("s", partition, offset)
    }
}

fn layout(partitions: u16, text: &str) -> Batch {
    Batch {
        layouts: vec![Layout {
            subscription: "s".into(),
            partitions,
            text: text.into(),
        }],
        ..Batch::default()
    }
}

fn found(fixture: &Fixture) -> Vec<Cursor> {
    fixture.store().cursors().expect("they can be read")
}

fn counted(fixture: &Fixture) -> Vec<(u16, u64)> {
    let counts = fixture.store().counts().expect("they can be read");
    let total: u64 = counts.partitions.values().sum();
    assert_eq!(counts.waiting.get("s").copied().unwrap_or(0), total);
    let partitions = counts.partitions.into_iter();
    partitions.map(|((_, at), count)| (at, count)).collect()
}

pub(super) fn each_partition_has_a_cursor_and_a_member(fixture: &mut Fixture) {
    fill(fixture, 9);
    fixture.write(cursors([
        cursor("t", 0, 4),
        owned(1, 5, "b"),
        owned(0, 3, "a"),
    ]));
    fixture.write(cursors([owned(1, 6, "c"), cursor("s", 0, 7)]));
    fixture.reopen();
    let expected = [cursor("s", 0, 7), owned(1, 6, "c"), cursor("t", 0, 4)];
    assert_eq!(found(fixture), expected);
}

pub(super) fn work_is_due_in_its_partition_alone(fixture: &mut Fixture) {
    fill(fixture, 4);
    fixture.write(rows([row(1, 0), row(2, 1), row(3, 1)]));
    fixture.reopen();
    let due = |partition| {
        let (store, none) = (fixture.store(), BTreeSet::new());
        let work = store.due("s", partition, UnixMs(2), &none, ALL);
        let work = work.expect("it can be read");
        let found: Vec<u64> = work.rows.iter().map(|(row, _)| row.key.offset.0).collect();
        (found, work.next_due.map(|at| at.0))
    };
    assert_eq!(due(0), (vec![1], None));
    assert_eq!(due(1), (vec![2], Some(3)));
    assert_eq!(due(2), (vec![], None));
    assert_eq!(counted(fixture), [(0, 1), (1, 2)]);
}

pub(super) fn settled_goes_up_to_the_last_record_of_the_partition(fixture: &mut Fixture) {
    fill(fixture, 9);
    let made = |offset, partition| Attempt {
        partition,
        ..attempt("s", offset, 1)
    };
    fixture.write(attempts([made(2, 0), made(3, 1), made(6, 0)]));
    fixture.write(rows([row(7, 1)]));
    let mut letter = dead("s", 8, 1);
    letter.place.partition = 2;
    fixture.write(letters([letter]));
    fixture.reopen();
    let settled = |partition, from| {
        let found = fixture.store().settled_from("s", partition, Offset(from));
        numbers(&found.expect("they can be read"))
    };
    assert_eq!(settled(0, 1), [2, 3, 6]);
    assert_eq!(settled(1, 3), [3, 6, 7]);
    assert_eq!(settled(2, 7), [7, 8]);
    assert_eq!(settled(0, 7), [0; 0]);
    assert_eq!(settled(3, 1), [0; 0]);
}

pub(super) fn waiting_rows_are_listed_in_the_order_of_the_log(fixture: &mut Fixture) {
    fill(fixture, 6);
    fixture.write(rows([row(5, 0), row(1, 2), row(3, 1), waiting("t", 2, 1)]));
    fixture.reopen();
    let listed = |from, limit| {
        let found = fixture.store().waiting("s", Offset(from), limit);
        found.expect("they can be read")
    };
    let pair = |row: Waiting| {
        let offset = row.key.offset;
        (row, event(offset.0).at(offset).into())
    };
    assert_eq!(listed(0, ALL), [row(1, 2), row(3, 1), row(5, 0)].map(pair));
    assert_eq!(listed(2, Limit { items: 1, ..ALL }), [pair(row(3, 1))]);
    assert_eq!(listed(2, Limit { bytes: 1, ..ALL }), [pair(row(3, 1))]);
    assert_eq!(listed(6, ALL), []);
    let none = fixture.store().waiting("never seen", Offset(0), ALL);
    assert_eq!(none.expect("they can be read"), []);
}

pub(super) fn other_partitions_begin_at_the_lowest_cursor_of_the_old_ones(fixture: &mut Fixture) {
    fill(fixture, 9);
    fixture.write(cursors([
        owned(0, 7, "a"),
        owned(1, 4, "b"),
        cursor("t", 3, 1),
    ]));
    fixture.write(attempts([attempt("s", 8, 1)]));
    fixture.write(rows([row(2, 0), row(3, 1), row(1, 1)]));
    fixture.write(layout(3, "keys 3"));
    fixture.reopen();
    let expected = [
        owned(0, 4, "a"),
        owned(1, 4, "b"),
        cursor("s", 2, 4),
        cursor("t", 3, 1),
    ];
    assert_eq!(found(fixture), expected);
    let texts = fixture.store().layouts().expect("they can be read");
    assert_eq!(texts, BTreeMap::from([("s".into(), "keys 3".into())]));
    // What was done in another partition counts in the new one.
    let settled = fixture.store().settled_from("s", 2, Offset(4));
    assert_eq!(numbers(&settled.expect("they can be read")), [8]);

    fixture.write(cursors([
        owned(2, 6, "c"),
        owned(0, 5, "a"),
        owned(1, 8, "b"),
    ]));
    let moved = [row(2, 0), row(3, 0), row(1, 0)];
    fixture.write(Batch {
        layouts: layout(1, "keys 1").layouts,
        ..rows(moved)
    });
    fixture.reopen();
    assert_eq!(found(fixture), [owned(0, 5, "a"), cursor("t", 3, 1)]);
    assert_eq!(counted(fixture), [(0, 3)]);
}

pub(super) fn a_layout_of_as_many_partitions_adds_what_is_missing(fixture: &mut Fixture) {
    fill(fixture, 9);
    fixture.write(cursors([owned(0, 7, "a"), owned(2, 4, "b")]));
    fixture.write(layout(3, "keys 3"));
    fixture.reopen();
    let expected = [owned(0, 7, "a"), cursor("s", 1, 4), owned(2, 4, "b")];
    assert_eq!(found(fixture), expected);
    fixture.write(layout(3, "keys 3"));
    assert_eq!(found(fixture), expected, "nothing is other than it was");
    // Where deliveries stand elsewhere, a cursor says nothing about what is now behind it.
    fixture.write(layout(3, "types a b c"));
    fixture.reopen();
    let expected = [owned(0, 4, "a"), cursor("s", 1, 4), owned(2, 4, "b")];
    assert_eq!(found(fixture), expected);
}

pub(super) fn a_layout_of_a_subscription_that_has_not_begun_makes_no_cursor(fixture: &mut Fixture) {
    fixture.write(layout(4, "keys 4"));
    fixture.reopen();
    assert_eq!(found(fixture), []);
    assert_eq!(
        fixture.store().layouts().expect("they can be read").len(),
        1
    );
}

pub(super) fn a_row_that_is_left_in_a_partition_that_is_no_more_is_still_counted(
    fixture: &mut Fixture,
) {
    fill(fixture, 5);
    fixture.write(cursors([cursor("s", 0, 2), cursor("s", 1, 3)]));
    fixture.write(rows([row(1, 1), row(2, 0)]));
    fixture.write(layout(1, "keys 1"));
    fixture.reopen();
    assert_eq!(found(fixture), [cursor("s", 0, 2)]);
    assert_eq!(counted(fixture), [(0, 1), (1, 1)]);
    fixture.write(rows([row(1, 0)]));
    fixture.reopen();
    assert_eq!(counted(fixture), [(0, 2)]);
}
