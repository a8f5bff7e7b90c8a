//! The list of attempts over all events: each filter, pages that part no event, an end to each look.

use switchhook_core::delivery::{Attempt, Failure, OutcomeKind, Records};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, attempt, attempts, event, events, fill, id, records};
use crate::batch::Retain;
use crate::query::{AttemptFilter, AttemptPage, Limit, SCANNED_MAX};

fn list(
    fixture: &Fixture,
    filter: &AttemptFilter,
    before: Option<u64>,
    limit: Limit,
) -> AttemptPage {
    let found = fixture.store().attempts(filter, before.map(Offset), limit);
    found.expect("they can be read")
}

/// Subscription, offset and number of each attempt.
fn names(page: &AttemptPage) -> String {
    let names = page.attempts.iter().map(|(attempt, event)| {
        assert_eq!(*event, id(attempt.key.offset.0));
        let (key, n) = (&attempt.key, attempt.n);
        format!("{}{}.{n}", key.subscription, key.offset)
    });
    names.collect::<Vec<_>>().join(" ")
}

fn made(subscription: &str, offset: u64, n: u16, at_ms: u64) -> Attempt {
    Attempt {
        at: UnixMs(at_ms),
        ..attempt(subscription, offset, n)
    }
}

fn with_status(attempt: Attempt, status: u16) -> Attempt {
    Attempt {
        outcome: OutcomeKind::Status(status),
        ..attempt
    }
}

/// Six attempts of three events; event 2 has none.
fn six_attempts(fixture: &mut Fixture) {
    fill(fixture, 5);
    fixture.write(attempts([
        with_status(made("a", 1, 1, 10), 503),
        with_status(made("b", 1, 1, 20), 200),
        made("a", 3, 1, 30),
        Attempt {
            endpoint: "erp".into(),
            ..with_status(made("a", 4, 1, 40), 499)
        },
    ]));
    // Later attempts of an earlier event.
    fixture.write(attempts([
        with_status(made("a", 1, 2, 50), 500),
        with_status(made("a", 3, 2, 45), 200),
    ]));
    fixture.reopen();
}

pub(super) fn each_filter_finds_what_it_names(fixture: &mut Fixture) {
    six_attempts(fixture);
    let by = |set: fn(&mut AttemptFilter)| {
        let mut filter = AttemptFilter::default();
        set(&mut filter);
        filter
    };
    let cases = [
        (by(|_| {}), "a1.2 a3.2 a4.1 a3.1 b1.1 a1.1"),
        (by(|f| f.subscription = Some("b".into())), "b1.1"),
        (by(|f| f.subscription = Some("none".into())), ""),
        (by(|f| f.endpoint = Some("erp".into())), "a4.1"),
        (by(|f| f.endpoint = Some("none".into())), ""),
        (by(|f| f.status = Some((200, 200))), "a3.2 b1.1"),
        (by(|f| f.status = Some((499, 500))), "a1.2 a4.1"),
        (
            by(|f| f.status = Some((100, 999))),
            "a1.2 a3.2 a4.1 b1.1 a1.1",
        ),
        (by(|f| f.since = Some(UnixMs(45))), "a1.2 a3.2"),
        (by(|f| f.until = Some(UnixMs(30))), "b1.1 a1.1"),
        (
            by(|f| (f.since, f.until) = (Some(UnixMs(30)), Some(UnixMs(45)))),
            "a4.1 a3.1",
        ),
        (
            by(|f| (f.subscription, f.status) = (Some("a".into()), Some((500, 599)))),
            "a1.2 a1.1",
        ),
    ];
    for (filter, expected) in cases {
        let page = list(fixture, &filter, None, ALL);
        assert_eq!(names(&page), expected, "{filter:?}");
        assert_eq!(page.next, None);
    }
    let page = list(fixture, &AttemptFilter::default(), Some(4), ALL);
    assert_eq!(names(&page), "a1.2 a3.2 a3.1 b1.1 a1.1");
    let (failed, _) = page.attempts.get(2).expect("there are five");
    assert_eq!(*failed, made("a", 3, 1, 30));
    assert_eq!(failed.outcome, OutcomeKind::Failed(Failure::Timeout));
}

pub(super) fn pages_go_back_and_part_no_event(fixture: &mut Fixture) {
    six_attempts(fixture);
    let all = AttemptFilter::default();
    let of = |items, bytes| Limit { items, bytes };
    let page = |before, limit| {
        let page = list(fixture, &all, before, limit);
        (names(&page), page.next.map(|next| next.0))
    };
    let text = |text: &str| text.to_owned();
    let one = of(1, usize::MAX);
    assert_eq!(page(None, one), (text("a4.1"), Some(4)));
    assert_eq!(page(Some(4), one), (text("a3.2 a3.1"), Some(3)));
    assert_eq!(page(Some(3), one), (text("a1.2 b1.1 a1.1"), None));
    assert_eq!(page(Some(1), one), (String::new(), None));
    let two = of(2, usize::MAX);
    assert_eq!(page(None, two), (text("a3.2 a4.1 a3.1"), Some(3)));
    // Bytes end a page too, and none is smaller than an event.
    assert_eq!(page(None, of(9, 1)), (text("a4.1"), Some(4)));
    assert_eq!(page(None, of(0, 0)), (text("a4.1"), Some(4)));
    // What does not match takes no room.
    let filter = AttemptFilter {
        status: Some((200, 200)),
        ..AttemptFilter::default()
    };
    let found = list(fixture, &filter, None, one);
    assert_eq!((&*names(&found), found.next), ("a3.2", Some(Offset(3))));
}

pub(super) fn a_look_ends_after_a_bounded_number_of_attempts(fixture: &mut Fixture) {
    fixture.write(events((1..=SCANNED_MAX + 2).map(event)));
    let many = (1..=SCANNED_MAX + 2).map(|offset| made("a", offset, 1, offset));
    fixture.write(records(Records {
        attempts: many.collect(),
        ..Records::default()
    }));
    fixture.write(attempts([with_status(made("b", 1, 1, 5), 418)]));
    fixture.reopen();
    let filter = AttemptFilter {
        subscription: Some("b".into()),
        ..AttemptFilter::default()
    };
    let page = list(fixture, &filter, None, ALL);
    assert_eq!((&*names(&page), page.next), ("", Some(Offset(3))));
    let page = list(fixture, &filter, Some(3), ALL);
    assert_eq!((&*names(&page), page.next), ("b1.1", None));
}

pub(super) fn attempts_go_with_their_events(fixture: &mut Fixture) {
    six_attempts(fixture);
    let retain = Retain {
        events_before: UnixMs(3_500),
        keep_from: Offset(9),
        attempts_before: UnixMs(0),
        dead_before: UnixMs(0),
        now: UnixMs(0),
        items: 100,
        pages: 0,
    };
    fixture.write(crate::Batch {
        retain: Some(retain),
        ..crate::Batch::default()
    });
    fixture.reopen();
    let page = list(fixture, &AttemptFilter::default(), None, ALL);
    assert_eq!((&*names(&page), page.next), ("a4.1", None));
}
