//! Dead letters: listed and counted by each filter, paged, replayed, discarded.

use switchhook_core::delivery::{Dead, DeadReason, Failure, OutcomeKind};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, dead, event, events, key, letters, rows, waiting};
use crate::Batch;
use crate::batch::{NewEvent, Replay};
use crate::query::{DeadFilter, DeadPosition, Limit};

/// Subscription and offset of the dead letters that match; the count must agree.
fn list(fixture: &Fixture, filter: &DeadFilter) -> Vec<(String, u64)> {
    let letters = fixture
        .store()
        .dead(filter, None, ALL)
        .expect("they can be read");
    let count = fixture
        .store()
        .count_dead(filter)
        .expect("they can be counted");
    assert_eq!(count, letters.len() as u64, "{filter:?}");
    letters
        .iter()
        .map(|l| (l.dead.key.subscription.to_string(), l.dead.key.offset.0))
        .collect()
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
            reason: refused,
            outcome: None,
            endpoint: "erp".into(),
            ..dead("a", 4, 20)
        },
    ]));
    fixture.reopen();
}

pub(super) fn each_filter_finds_what_it_names(fixture: &mut Fixture) {
    five_letters(fixture);
    let none = DeadFilter::default;
    let cases: [(DeadFilter, &[(&str, u64)]); 12] = [
        (none(), &[("a", 2), ("a", 1), ("a", 4), ("b", 1), ("a", 3)]),
        (
            DeadFilter {
                endpoint: Some("erp".into()),
                ..none()
            },
            &[("a", 1), ("a", 4)],
        ),
        (
            DeadFilter {
                endpoint: Some("no".into()),
                ..none()
            },
            &[],
        ),
        (
            DeadFilter {
                subscription: Some("b".into()),
                ..none()
            },
            &[("b", 1)],
        ),
        (
            DeadFilter {
                kind: Some("odd".into()),
                ..none()
            },
            &[("a", 1), ("b", 1), ("a", 3)],
        ),
        (
            DeadFilter {
                kind: Some("no".into()),
                ..none()
            },
            &[],
        ),
        (
            DeadFilter {
                status: Some(400),
                ..none()
            },
            &[("a", 2)],
        ),
        (
            DeadFilter {
                reason: Some(DeadReason::Refused),
                ..none()
            },
            &[("a", 2), ("a", 4)],
        ),
        (
            DeadFilter {
                offset: Some(Offset(1)),
                ..none()
            },
            &[("a", 1), ("b", 1)],
        ),
        (
            DeadFilter {
                since: Some(UnixMs(20)),
                until: Some(UnixMs(30)),
                ..none()
            },
            &[("a", 1), ("a", 4), ("b", 1)],
        ),
        (
            DeadFilter {
                endpoint: Some("erp".into()),
                subscription: Some("a".into()),
                ..none()
            },
            &[("a", 1), ("a", 4)],
        ),
        (
            DeadFilter {
                kind: Some("odd".into()),
                status: Some(503),
                until: Some(UnixMs(21)),
                ..none()
            },
            &[("a", 1), ("b", 1)],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<(String, u64)> =
            expected.iter().map(|(s, n)| ((*s).into(), *n)).collect();
        assert_eq!(list(fixture, &filter), expected, "{filter:?}");
    }
    let all = fixture
        .store()
        .dead(&none(), None, ALL)
        .expect("they can be read");
    let refused = all.first().expect("there are some");
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
            dead_chain,
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
    assert_eq!(
        list(
            fixture,
            &DeadFilter {
                offset: Some(Offset(3)),
                ..DeadFilter::default()
            }
        ),
        []
    );
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
