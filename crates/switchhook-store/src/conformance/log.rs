//! The log: order, offsets, atomicity of its batches, the tail, events of our own.

use switchhook_core::alert::OwnEvent;
use switchhook_core::delivery::Records;
use switchhook_core::event::OWN_SOURCE;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, appended, event, events, fill, id, records};
use crate::Appended;
use crate::query::Limit;
use crate::tail::Read;

pub(super) fn offsets_are_contiguous_and_in_the_order_of_submission(fixture: &mut Fixture) {
    let first = fixture.write(events([event(1), event(2)]));
    assert_eq!(first.appended, [appended(1, 1), appended(2, 2)]);
    fixture.reopen();
    let second = fixture.write(events([event(4), event(3)]));
    assert_eq!(second.appended, [appended(4, 3), appended(3, 4)]);
    fixture.reopen();
    let log = fixture
        .store()
        .read_log(Offset(1), ALL)
        .expect("the log can be read");
    let found: Vec<_> = log.iter().map(|event| (event.offset.0, event.id)).collect();
    assert_eq!(found, [(1, id(1)), (2, id(2)), (3, id(4)), (4, id(3))]);
    assert_eq!(fixture.store().tail().end(), Offset(5));
}

pub(super) fn an_event_reads_back_as_it_was_handed_in(fixture: &mut Fixture) {
    let mut new = event(7);
    new.key = Some("conversation".into());
    new.headers = [
        ("a".into(), "1".into()),
        ("a".into(), String::from_utf8_lossy(&[b'x'; 300]).into()),
    ]
    .into();
    new.body = vec![0, 255, 10, 0].into();
    let plain = event(8);
    fixture.write(events([new.clone(), plain.clone()]));
    fixture.reopen();
    for (new, offset) in [(new, 1), (plain, 2)] {
        let found = fixture
            .store()
            .event(new.id)
            .expect("it can be read")
            .expect("it is there");
        assert_eq!(*found, new.at(Offset(offset)));
    }
    assert_eq!(fixture.store().event(id(9)).expect("it can be read"), None);
}

pub(super) fn reads_keep_their_limits_and_return_at_least_one(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.reopen();
    let weight = event(1).at(Offset(1)).weight();
    let cases = [
        ((1, ALL), 1..=5),
        ((4, ALL), 4..=5),
        ((2, Limit { items: 2, ..ALL }), 2..=3),
        (
            (
                2,
                Limit {
                    bytes: 2 * weight,
                    ..ALL
                },
            ),
            2..=3,
        ),
        ((2, Limit { bytes: 1, ..ALL }), 2..=2),
        ((2, Limit { items: 0, bytes: 0 }), 2..=2),
    ];
    for ((from, limit), expected) in cases {
        let log = fixture
            .store()
            .read_log(Offset(from), limit)
            .expect("the log can be read");
        let found: Vec<u64> = log.iter().map(|event| event.offset.0).collect();
        assert_eq!(
            found,
            expected.collect::<Vec<u64>>(),
            "from {from}, {limit:?}"
        );
    }
    assert!(
        fixture
            .store()
            .read_log(Offset(6), ALL)
            .expect("the log can be read")
            .is_empty()
    );
}

pub(super) fn the_tail_is_the_log(fixture: &mut Fixture) {
    fill(fixture, 3);
    let batch = events([event(4), event(2), event(5)]);
    fixture.write(batch);
    let Read::Events(tail) = fixture.store().tail().read(Offset(1), 100, usize::MAX) else {
        unreachable!("five events fit into the tail");
    };
    assert_eq!(
        tail,
        fixture
            .store()
            .read_log(Offset(1), ALL)
            .expect("the log can be read")
    );
    assert_eq!(tail.len(), 5);
}

pub(super) fn own_events_are_appended_once(fixture: &mut Fixture) {
    let own = |n| OwnEvent {
        id: id(n),
        kind: "integration.message.failed".into(),
        key: Some("k".into()),
        at: UnixMs(5),
        headers: [].into(),
        body: "{}".into(),
    };
    let batch = records(Records {
        own_events: vec![own(1), own(2), own(1)],
        ..Records::default()
    });
    assert!(fixture.write(batch.clone()).appended.is_empty());
    fixture.reopen();
    fixture.write(batch);
    let log = fixture
        .store()
        .read_log(Offset(1), ALL)
        .expect("the log can be read");
    assert_eq!(
        log.iter().map(|event| event.id).collect::<Vec<_>>(),
        [id(1), id(2)]
    );
    assert!(
        log.iter()
            .all(|event| &*event.source == OWN_SOURCE && event.received_at == UnixMs(5))
    );
}

pub(super) fn an_id_that_is_there_is_not_appended_again(fixture: &mut Fixture) {
    fill(fixture, 1);
    fixture.reopen();
    let mut other = event(1);
    other.body = "other".into();
    let receipt = fixture.write(events([event(1), other, event(2)]));
    let duplicate = |same_body| Appended::Duplicate {
        id: id(1),
        same_body,
    };
    assert_eq!(
        receipt.appended,
        [duplicate(true), duplicate(false), appended(2, 2)]
    );
}
