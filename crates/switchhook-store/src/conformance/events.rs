//! The list of events: each filter, and pages that go back in time.

use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, event, events, fill};
use crate::batch::NewEvent;
use crate::query::{EventFilter, Limit};

fn list(fixture: &Fixture, filter: &EventFilter, before: Option<u64>, limit: Limit) -> Vec<u64> {
    let found = fixture
        .store()
        .events(filter, before.map(Offset), limit)
        .expect("they can be read");
    found.iter().map(|event| event.offset.0).collect()
}

pub(super) fn each_filter_finds_what_it_names(fixture: &mut Fixture) {
    fixture.write(events([
        event(1),
        NewEvent {
            source: "crm".into(),
            ..event(2)
        },
        NewEvent {
            kind: "web".into(),
            ..event(3)
        },
        NewEvent {
            key: Some("k".into()),
            ..event(4)
        },
        NewEvent {
            key: Some("k".into()),
            source: "crm".into(),
            ..event(5)
        },
    ]));
    fixture.reopen();
    let by = |set: fn(&mut EventFilter)| {
        let mut filter = EventFilter::default();
        set(&mut filter);
        filter
    };
    let cases: [(EventFilter, &[u64]); 9] = [
        (by(|_| {}), &[5, 4, 3, 2, 1]),
        (by(|f| f.source = Some("crm".into())), &[5, 2]),
        (by(|f| f.source = Some("never seen".into())), &[]),
        (by(|f| f.kind = Some("web".into())), &[3]),
        (by(|f| f.key = Some("k".into())), &[5, 4]),
        (
            by(|f| (f.key, f.source) = (Some("k".into()), Some("web".into()))),
            &[4],
        ),
        (by(|f| f.since = Some(UnixMs(3000))), &[5, 4, 3]),
        (by(|f| f.until = Some(UnixMs(3000))), &[2, 1]),
        (
            by(|f| (f.since, f.until) = (Some(UnixMs(2000)), Some(UnixMs(3000)))),
            &[2],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(list(fixture, &filter, None, ALL), expected, "{filter:?}");
    }
}

pub(super) fn pages_go_back_in_time(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.reopen();
    let all = EventFilter::default();
    let two = Limit { items: 2, ..ALL };
    assert_eq!(list(fixture, &all, None, two), [5, 4]);
    assert_eq!(list(fixture, &all, Some(4), two), [3, 2]);
    assert_eq!(list(fixture, &all, Some(2), two), [1]);
    assert_eq!(list(fixture, &all, Some(1), two), [0; 0]);
    assert_eq!(list(fixture, &all, None, Limit { bytes: 1, ..ALL }), [5]);
}
