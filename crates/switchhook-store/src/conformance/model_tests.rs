//! Random batches, written to the model and to the embedded store: every read must agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use switchhook_core::alert::OwnEvent;
use switchhook_core::delivery::{
    Attempt, Dead, DeadReason, DeliveryKey, OutcomeKind, Records, WaitReason, Waiting,
};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{attempt, dead, event, id, waiting, with_dedup};
use super::tests::{embedded, memory};
use crate::Batch;
use crate::batch::{NewEvent, Replay, ResourceChange};
use crate::query::{Counts, DeadFilter, EventFilter, Limit};

/// Offsets are few, so that records meet each other.
const EVENTS: u64 = 6;
const NAMES: [&str; 3] = ["a", "b", "c"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

/// Records name only offsets that are in the log: every run begins with [`EVENTS`] events.
fn key() -> impl Strategy<Value = DeliveryKey> {
    (name(), 1..=EVENTS).prop_map(|(name, offset)| super::sample::key(name, offset))
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let dedup = prop::option::of((0..4_u8, 0..2_u64, 1..3_000_u64));
    (
        1..60_u64,
        0..5_000_u64,
        name(),
        prop::option::of(name()),
        dedup,
    )
        .prop_map(|(n, at_ms, kind, key, dedup)| {
            let new = NewEvent {
                kind: kind.into(),
                source: key.unwrap_or("web").into(),
                key: key.map(Into::into),
                received_at: UnixMs(at_ms),
                ..event(n)
            };
            match dedup {
                Some((key, hash, window_ms)) => with_dedup(new, key, hash, window_ms),
                None => new,
            }
        })
}

fn waiting_row() -> impl Strategy<Value = Waiting> {
    let reason = prop::sample::select(vec![WaitReason::Retry, WaitReason::Hold]);
    (key(), 0..3_u16, 0..3_u16, 0..50_u64, 0..20_u64, reason).prop_map(
        |(key, chain, attempts, due_ms, delay_ms, reason)| Waiting {
            key,
            chain,
            attempts,
            delay_ms,
            reason,
            ..waiting("", 0, due_ms)
        },
    )
}

fn dead_letter() -> impl Strategy<Value = Dead> {
    (
        key(),
        0..3_u16,
        0..9_u64,
        name(),
        prop::sample::select(DeadReason::ALL),
        400..403_u16,
    )
        .prop_map(|(key, chain, at_ms, endpoint, reason, status)| Dead {
            key,
            chain,
            reason,
            endpoint: endpoint.into(),
            outcome: (status > 400).then_some(OutcomeKind::Status(status)),
            ..dead("", 0, at_ms)
        })
}

fn made_attempt() -> impl Strategy<Value = Attempt> {
    (key(), 0..2_u16, 1..4_u16).prop_map(|(key, chain, n)| Attempt {
        key,
        chain,
        ..attempt("", 0, n)
    })
}

fn own_event() -> impl Strategy<Value = OwnEvent> {
    (40..70_u64).prop_map(|n| OwnEvent {
        id: id(n),
        kind: "a".into(),
        key: None,
        at: UnixMs(n),
        headers: [].into(),
        body: "{}".into(),
    })
}

fn records() -> impl Strategy<Value = Records> {
    (
        prop::collection::vec(made_attempt(), 0..4),
        prop::collection::vec(waiting_row(), 0..4),
        prop::collection::vec(key(), 0..2),
        prop::collection::vec(dead_letter(), 0..3),
        prop::collection::vec(
            (name().prop_map(Arc::from), (1..EVENTS).prop_map(Offset)),
            0..2,
        ),
        prop::collection::vec(own_event(), 0..2),
    )
        .prop_map(
            |(attempts, waiting, settled, dead, cursors, own_events)| Records {
                attempts,
                waiting,
                settled,
                dead,
                cursors,
                own_events,
            },
        )
}

fn batch() -> impl Strategy<Value = Batch> {
    let replay = (waiting_row(), 0..3_u16).prop_map(|(waiting, dead_chain)| Replay {
        dead_chain,
        waiting,
    });
    let change =
        (name(), any::<bool>(), 0..9_u64).prop_map(|(name, there, at_ms)| ResourceChange {
            kind: "source".into(),
            name: name.into(),
            body: there.then(|| "{}".into()),
            at: UnixMs(at_ms),
        });
    (
        (prop::collection::vec(new_event(), 0..4), any::<bool>()),
        records(),
        prop::collection::vec(replay, 0..2),
        prop::collection::vec((key(), 0..3_u16), 0..2),
        prop::collection::vec(change, 0..2),
        prop::option::weighted(0.2, (0..30_u64).prop_map(UnixMs)),
    )
        .prop_map(
            |((events, refuse_conflicts), records, replays, discards, resources, rebase)| Batch {
                events,
                refuse_conflicts,
                records,
                replays,
                discards,
                resources,
                tokens: Vec::new(),
                rebase,
            },
        )
}

/// Everything that can be read, as one text to compare.
fn everything(fixture: &Fixture) -> String {
    let store = fixture.store();
    let few = Limit {
        items: 3,
        bytes: 700,
    };
    let all = Limit {
        items: 1000,
        bytes: usize::MAX,
    };
    let mut out = String::new();
    let mut note = |what: &dyn std::fmt::Debug| out.push_str(&format!("{what:?}\n"));
    note(&store.read_log(Offset(1), all).unwrap());
    note(&store.read_log(Offset(3), few).unwrap());
    note(&store.cursors().unwrap());
    note(&store.resources().unwrap());
    note(&Counts {
        bytes: 0,
        free_bytes: 0,
        ..store.counts().unwrap()
    });
    note(&store.tail().end());
    for offset in 1..=EVENTS + 1 {
        note(&store.history(Offset(offset)).unwrap());
    }
    for name in NAMES {
        let filter = EventFilter {
            kind: Some(name.into()),
            ..EventFilter::default()
        };
        note(&store.events(&filter, Some(Offset(20)), few).unwrap());
        note(&store.settled_from(name, Offset(2)).unwrap());
        for until in [0, 25, 100] {
            let skip = BTreeSet::from([Offset(2), Offset(5)]);
            note(&store.due(name, UnixMs(until), &skip, few).unwrap());
            note(
                &store
                    .due(name, UnixMs(until), &BTreeSet::new(), all)
                    .unwrap(),
            );
        }
        for filter in [
            DeadFilter {
                endpoint: Some(name.into()),
                since: Some(UnixMs(3)),
                ..DeadFilter::default()
            },
            DeadFilter {
                subscription: Some(name.into()),
                status: Some(402),
                ..DeadFilter::default()
            },
            DeadFilter {
                kind: Some(name.into()),
                until: Some(UnixMs(6)),
                ..DeadFilter::default()
            },
        ] {
            note(&store.dead(&filter, None, all).unwrap());
            note(&store.count_dead(&filter).unwrap());
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_answers_as_the_model_does(
        batches in prop::collection::vec(batch(), 1..12),
        reopen_after in 0..12_usize,
    ) {
        let (model, mut real) = (memory(), embedded());
        for fixture in [&model, &real] {
            fixture.write(super::sample::events((101..=100 + EVENTS).map(event)));
        }
        for (index, batch) in batches.into_iter().enumerate() {
            prop_assert_eq!(model.submit(batch.clone()).unwrap(), real.submit(batch).unwrap());
            if index == reopen_after {
                real.reopen();
            }
        }
        prop_assert_eq!(everything(&model), everything(&real));
    }
}
