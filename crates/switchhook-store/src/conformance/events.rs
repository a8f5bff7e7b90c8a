//! The list of events: each filter, pages that go back in time, scans that go forward.

use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, event, events, fill};
use crate::batch::NewEvent;
use crate::query::{EventFilter, Limit, SCANNED_MAX};

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
    let cases: [(EventFilter, &[u64]); 11] = [
        (by(|_| {}), &[5, 4, 3, 2, 1]),
        (by(|f| f.source = Some("crm".into())), &[5, 2]),
        (by(|f| f.source = Some("never seen".into())), &[]),
        (by(|f| f.kind = Some("web".into())), &[3]),
        (by(|f| f.key = Some("k".into())), &[5, 4]),
        (
            by(|f| (f.key, f.source) = (Some("k".into()), Some("web".into()))),
            &[4],
        ),
        (by(|f| f.from = Some(Offset(4))), &[5, 4]),
        (by(|f| f.to = Some(Offset(4))), &[3, 2, 1]),
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

pub(super) fn a_scan_goes_forward_and_says_where_to_go_on(fixture: &mut Fixture) {
    let odd = |n: u64| NewEvent {
        kind: if n % 2 == 1 { "odd" } else { "even" }.into(),
        ..event(n)
    };
    fixture.write(events((1..=SCANNED_MAX + 10).map(odd)));
    fixture.reopen();
    let scan = |from, limit, set: fn(&mut EventFilter)| {
        let mut filter = EventFilter::default();
        set(&mut filter);
        let (found, next) = fixture
            .store()
            .scan(&filter, Offset(from), limit)
            .expect("it can be read");
        let found: Vec<u64> = found.iter().map(|event| event.offset.0).collect();
        (found, next.0)
    };
    let two = Limit { items: 2, ..ALL };
    let is_odd = |f: &mut EventFilter| f.kind = Some("odd".into());
    assert_eq!(scan(1, two, is_odd), (vec![1, 3], 5));
    assert_eq!(scan(5, Limit { bytes: 1, ..ALL }, is_odd), (vec![5], 7));
    let (first, last) = (SCANNED_MAX + 7, SCANNED_MAX + 11);
    assert_eq!(scan(first, two, is_odd), (vec![first, first + 2], last));
    assert_eq!(scan(last, two, is_odd), (vec![], last));
    // It ends after so many, whether any of them matches.
    let none = |f: &mut EventFilter| f.source = Some("crm".into());
    assert_eq!(scan(3, two, none), (vec![], SCANNED_MAX + 3));
    let range = |f: &mut EventFilter| (f.from, f.to) = (Some(Offset(7)), Some(Offset(10)));
    assert_eq!(scan(1, ALL, range), (vec![7, 8, 9], 10));
    assert_eq!(scan(10, ALL, range), (vec![], 10));
}

pub(super) fn a_time_leads_to_an_offset_where_the_clock_jumped_too(fixture: &mut Fixture) {
    let at = |(n, s): (u64, u64)| NewEvent {
        received_at: UnixMs(s * 1000),
        ..event(n)
    };
    assert_eq!(
        fixture
            .store()
            .offset_at(UnixMs(5))
            .expect("it can be read"),
        Offset(1)
    );
    let times: [u64; 8] = [1, 2, 9, 3, 3, 4, 1, 5];
    fixture.write(events((1..).zip(times).map(at)));
    fixture.reopen();
    for time in (0..=10_000).step_by(500) {
        let offset = fixture.store().offset_at(UnixMs(time));
        let offset = offset.expect("it can be read");
        // Accepted at or after the time, and the one before it earlier; at the ends of the log there is none.
        let accepted = |offset: u64| {
            (1..)
                .zip(times)
                .find(|(n, _)| *n == offset)
                .map(|(_, s)| s * 1000)
        };
        let before = accepted(offset.0 - 1).is_none_or(|before| before < time);
        let after = accepted(offset.0).is_none_or(|after| after >= time);
        assert!(before && after && offset <= Offset(9), "{time}: {offset:?}");
    }
}
