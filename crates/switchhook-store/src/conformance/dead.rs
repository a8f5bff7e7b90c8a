//! Dead letters: listed and counted by each filter, paged, replayed, discarded.

use switchhook_core::delivery::{
    Attempt, Dead, DeadReason, Failure, OutcomeKind, Records, Waiting,
};
use switchhook_core::id::Offset;
use switchhook_core::sight::Sight;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{
    ALL, attempt, attempts, dead, event, events, key, letters, records, rows, waiting,
};
use crate::Batch;
use crate::batch::{NewEvent, Replay};
use crate::query::{DeadFilter, DeadPosition, Limit};

/// Subscription and offset of the dead letters that match, in order; the count must agree.
fn list(fixture: &Fixture, filter: &DeadFilter) -> String {
    let letters = fixture
        .store()
        .dead(filter, None, ALL)
        .expect("they can be read");
    let count = fixture
        .store()
        .count_dead(filter)
        .expect("they can be counted");
    assert_eq!(count, letters.len() as u64, "{filter:?}");
    let names = letters.iter().map(|letter| &letter.dead.key);
    names
        .map(|key| format!("{}{}", key.subscription, key.offset))
        .collect::<Vec<_>>()
        .join(" ")
}

fn five_letters(fixture: &mut Fixture) {
    let odd = |n| NewEvent {
        kind: "odd".into(),
        ..event(n)
    };
    fixture.write(events([odd(1), event(2), odd(3), event(4)]));
    let refused = DeadReason::Refused;
    fixture.write(letters([
        dead("b", 1, 20),
        Dead {
            endpoint: "erp".into(),
            ..dead("a", 1, 20)
        },
        Dead {
            reason: refused,
            outcome: Some(OutcomeKind::Status(400)),
            ..dead("a", 2, 10)
        },
        Dead {
            outcome: Some(OutcomeKind::Failed(Failure::Tls)),
            detail: None,
            ..dead("a", 3, 30)
        },
        Dead {
            reason: DeadReason::Blocked,
            outcome: None,
            endpoint: "erp".into(),
            ..dead("a", 4, 20)
        },
    ]));
    fixture.reopen();
}

fn by(set: impl FnOnce(&mut DeadFilter)) -> DeadFilter {
    let mut filter = DeadFilter::default();
    set(&mut filter);
    filter
}

pub(super) fn each_filter_finds_what_it_names(fixture: &mut Fixture) {
    five_letters(fixture);
    let (erp, odd) = (|| Some("erp".into()), || Some("odd".into()));
    let (refused, blocked) = (|| Some(DeadReason::Refused), || Some(DeadReason::Blocked));
    let cases = [
        (by(|_| {}), "a2 a1 a4 b1 a3"),
        (by(|f| f.endpoint = erp()), "a1 a4"),
        (by(|f| f.endpoint = Some("none".into())), ""),
        (by(|f| f.subscription = Some("b".into())), "b1"),
        (by(|f| f.kind = odd()), "a1 b1 a3"),
        (by(|f| f.kind = Some("none".into())), ""),
        (by(|f| f.status = Some(400)), "a2"),
        (by(|f| f.reason = refused()), "a2"),
        (by(|f| f.reason = blocked()), "a4"),
        (
            by(|f| (f.reason, f.sight) = (refused(), Sight::Outside)),
            "a2 a4",
        ),
        (
            by(|f| (f.reason, f.sight) = (blocked(), Sight::Outside)),
            "",
        ),
        (by(|f| f.offset = Some(Offset(1))), "a1 b1"),
        (by(|f| f.since = Some(UnixMs(20))), "a1 a4 b1 a3"),
        (by(|f| f.until = Some(UnixMs(20))), "a2"),
        (
            by(|f| (f.endpoint, f.subscription) = (erp(), Some("b".into()))),
            "",
        ),
        (by(|f| (f.endpoint, f.kind) = (erp(), odd())), "a1"),
        (
            by(|f| (f.kind, f.status, f.until) = (odd(), Some(503), Some(UnixMs(21)))),
            "a1 b1",
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(list(fixture, &filter), expected, "{filter:?}");
    }
    let letters = fixture
        .store()
        .dead(&DeadFilter::default(), None, ALL)
        .expect("they can be read");
    let refused = letters.first().expect("there are some");
    assert_eq!(refused.event.body, "body 2");
    assert_eq!(refused.dead.outcome, Some(OutcomeKind::Status(400)));
}

pub(super) fn pages_follow_each_other_without_gap_or_overlap(fixture: &mut Fixture) {
    five_letters(fixture);
    for filter in [
        DeadFilter::default(),
        DeadFilter {
            subscription: Some("a".into()),
            ..DeadFilter::default()
        },
    ] {
        let all = fixture
            .store()
            .dead(&filter, None, ALL)
            .expect("they can be read");
        let mut paged = Vec::new();
        let mut after: Option<DeadPosition> = None;
        loop {
            let page = fixture
                .store()
                .dead(&filter, after.as_ref(), Limit { items: 2, ..ALL });
            let page = page.expect("they can be read");
            let Some(last) = page.last() else { break };
            after = Some(DeadPosition {
                at: last.dead.at,
                key: last.dead.key.clone(),
            });
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
}

pub(super) fn a_replay_takes_effect_once_and_only_for_its_chain(fixture: &mut Fixture) {
    five_letters(fixture);
    let mut row = waiting("a", 1, 70);
    row.chain = 1;
    row.attempts = 0;
    let replay = |dead_chain| Batch {
        replays: vec![Replay {
            dead_chain: Some(dead_chain),
            waiting: row.clone(),
        }],
        ..Batch::default()
    };
    assert_eq!(fixture.write(replay(1)).replayed, 0);
    assert_eq!(fixture.write(replay(0)).replayed, 1);
    fixture.reopen();
    assert_eq!(fixture.write(replay(0)).replayed, 0);
    let history = fixture.store().history(Offset(1)).expect("it can be read");
    assert_eq!(history.waiting, [row]);
    assert_eq!(history.dead, [dead("b", 1, 20)]);
}

pub(super) fn a_discard_takes_effect_once_and_only_for_its_chain(fixture: &mut Fixture) {
    five_letters(fixture);
    let discard = |chain| Batch {
        discards: vec![(key("a", 3), chain), (key("a", 3), chain)],
        ..Batch::default()
    };
    assert_eq!(fixture.write(discard(1)).discarded, 0);
    assert_eq!(fixture.write(discard(0)).discarded, 1);
    fixture.reopen();
    assert_eq!(fixture.write(discard(0)).discarded, 0);
    assert_eq!(list(fixture, &by(|f| f.offset = Some(Offset(3)))), "");
}

pub(super) fn a_dead_letter_ends_its_waiting_row(fixture: &mut Fixture) {
    five_letters(fixture);
    fixture.write(rows([waiting("b", 2, 5), waiting("b", 1, 5)]));
    let again = Dead {
        chain: 1,
        endpoint: "new".into(),
        ..dead("b", 1, 90)
    };
    fixture.write(letters([dead("b", 2, 80), again.clone()]));
    fixture.reopen();
    let first = fixture.store().history(Offset(1)).expect("it can be read");
    assert_eq!((first.waiting.len(), first.dead.last()), (0, Some(&again)));
    let second = fixture.store().history(Offset(2)).expect("it can be read");
    assert_eq!(
        (second.waiting.len(), second.dead.last()),
        (0, Some(&dead("b", 2, 80)))
    );
    let counts = fixture.store().counts().expect("they can be read");
    assert_eq!(counts.dead.values().sum::<u64>(), 6);
    assert!(counts.waiting.values().all(|count| *count == 0));
}

pub(super) fn a_delivery_is_made_again_whatever_became_of_it(fixture: &mut Fixture) {
    five_letters(fixture);
    let again = |offset| Batch {
        replays: vec![Replay {
            dead_chain: None,
            waiting: waiting("a", offset, 70),
        }],
        ..Batch::default()
    };
    let made = |offset, chain| Attempt {
        chain,
        ..attempt("a", offset, 1)
    };
    fixture.write(attempts([made(1, 4), made(1, 6), made(2, 0)]));
    fixture.write(letters([Dead {
        chain: 8,
        ..dead("a", 2, 90)
    }]));
    fixture.write(records(Records {
        settled: vec![key("a", 4)],
        ..Records::default()
    }));
    fixture.write(Batch {
        discards: vec![(key("a", 4), 0)],
        ..Batch::default()
    });
    fixture.reopen();
    // One with attempts and a dead letter, one whose letter has the highest chain, one of which nothing is known.
    for (offset, chain) in [(1, 7), (2, 9), (4, 0)] {
        assert_eq!(fixture.write(again(offset)).replayed, 1);
        assert_eq!(fixture.write(again(offset)).replayed, 0, "it waits now");
        let history = fixture.store().history(Offset(offset));
        let history = history.expect("it can be read");
        let row = Waiting {
            chain,
            ..waiting("a", offset, 70)
        };
        assert_eq!(history.waiting, [row]);
        assert!(history.dead.iter().all(|dead| dead.key != key("a", offset)));
    }
    assert_eq!(
        fixture.write(again(99)).replayed,
        0,
        "there is no such event"
    );
}
