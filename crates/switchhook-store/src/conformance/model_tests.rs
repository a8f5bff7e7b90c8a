//! Random batches, written to the model and to the embedded store: every read must agree.

use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;
use switchhook_core::alert::OwnEvent;
use switchhook_core::breaker;
use switchhook_core::delivery::{
    Attempt, Cursor, Dead, DeadReason, DeliveryKey, Gap, OutcomeKind, Place, Records, Release,
    WaitReason, Waiting,
};
use switchhook_core::group::KeyHash;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{ALL, attempt, cursor, dead, event, id, waiting, with_dedup};
use super::tests::{embedded_in, memory};
use crate::batch::{
    AuditEntry, DocumentChange, Job, Layout, NewEvent, Pause, PauseChange, Replay, ResourceChange,
    Retain, Room,
};
use crate::embedded::verify;
use crate::query::{AttemptFilter, Counts, DeadFilter, EventFilter, Limit};
use crate::{Batch, Store};

/// Offsets are few, so that records meet each other.
const EVENTS: u64 = 6;
const PARTITIONS: u16 = 3;
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

/// Partitions and keys are few, so that records meet each other there too.
fn place() -> impl Strategy<Value = Place> {
    let key = prop::option::of((0..2_u64).prop_map(|n| KeyHash(u64::MAX * n + 3 * (1 - n))));
    (0..PARTITIONS, key).prop_map(|(partition, key)| Place { partition, key })
}

fn waiting_row() -> impl Strategy<Value = Waiting> {
    let reason = prop::sample::select(WaitReason::ALL);
    let due = prop_oneof![2 => 0..50_u64, 1 => Just(UnixMs::NEVER.0)];
    (key(), place(), 0..3_u16, 0..3_u16, due, 0..20_u64, reason).prop_map(
        |(key, place, chain, attempts, due_ms, delay_ms, reason)| Waiting {
            key,
            place,
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
        (key(), place(), prop::sample::select(Gap::ALL)),
        0..3_u16,
        0..9_u64,
        name(),
        prop::sample::select(DeadReason::ALL),
        400..403_u16,
    )
        .prop_map(
            |((key, place, gap), chain, at_ms, endpoint, reason, status)| Dead {
                key,
                place,
                gap,
                chain,
                reason,
                endpoint: endpoint.into(),
                outcome: (status > 400).then_some(OutcomeKind::Status(status)),
                ..dead("", 0, at_ms)
            },
        )
}

fn made_attempt() -> impl Strategy<Value = Attempt> {
    (key(), 0..PARTITIONS, 0..2_u16, 1..4_u16).prop_map(|(key, partition, chain, n)| Attempt {
        key,
        partition,
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

fn release() -> impl Strategy<Value = Release> {
    (name(), place(), 0..3_u32, 0..50_u64).prop_map(|(name, place, items, due_ms)| Release {
        subscription: name.into(),
        partition: place.partition,
        key: place.key,
        items,
        due_at: UnixMs(due_ms),
    })
}

fn moved() -> impl Strategy<Value = Cursor> {
    let member = prop::option::of(name().prop_map(Into::into));
    (name(), 0..PARTITIONS, 1..EVENTS, member).prop_map(|(name, partition, at, member)| Cursor {
        member,
        ..cursor(name, partition, at)
    })
}

fn breaker() -> impl Strategy<Value = breaker::Record> {
    let (states, causes) = (breaker::State::ALL, breaker::Cause::ALL);
    let cause = prop::option::of(prop::sample::select(causes));
    (name(), prop::sample::select(states), cause, 0..9_u64).prop_map(|(name, state, cause, at)| {
        breaker::Record {
            endpoint: name.into(),
            state,
            cause,
            since: UnixMs(at),
            until: cause.map(|_| UnixMs(at + 1)),
            failed_probes: 1,
            reason: cause.map(|_| "why".into()),
            pause_until: UnixMs(0),
        }
    })
}

fn records() -> impl Strategy<Value = Records> {
    use prop::collection::vec;
    let of_deliveries = (
        vec(made_attempt(), 0..4),
        vec(waiting_row(), 0..4),
        vec(key(), 0..2),
        vec(dead_letter(), 0..3),
        vec(release(), 0..2),
    );
    let others = (
        vec(moved(), 0..3),
        vec(breaker(), 0..2),
        vec(own_event(), 0..2),
    );
    (of_deliveries, others).prop_map(|(of_deliveries, (cursors, breakers, own_events))| {
        let (attempts, waiting, settled, dead, released) = of_deliveries;
        Records {
            attempts,
            waiting,
            settled,
            dead,
            released,
            cursors,
            breakers,
            own_events,
        }
    })
}

fn document() -> impl Strategy<Value = DocumentChange> {
    let room = prop::sample::select(vec![Room::Token, Room::Answer]);
    let expires = prop::option::of((0..30_u64).prop_map(UnixMs));
    (room, name(), any::<bool>(), 0..9_u64, expires).prop_map(
        |(room, id, there, at, expires_at)| DocumentChange {
            room,
            id: id.into(),
            body: there.then(|| at.to_string().into()),
            at: UnixMs(at),
            expires_at,
        },
    )
}

/// What the management API hands in.
fn control() -> impl Strategy<Value = Batch> {
    use prop::collection::vec;
    let change =
        (name(), any::<bool>(), 0..9_u64).prop_map(|(name, there, at_ms)| ResourceChange {
            kind: "source".into(),
            name: name.into(),
            body: there.then(|| "{}".into()),
            managed_by: (at_ms > 4).then(|| "team.toml".into()),
            at: UnixMs(at_ms),
        });
    let pause = (name(), any::<bool>()).prop_map(|(name, is_paused)| PauseChange {
        subscription: name.into(),
        pause: is_paused.then_some(Pause {
            at: UnixMs(4),
            reason: None,
        }),
    });
    let job = (name(), any::<bool>(), 0..9_u64).prop_map(|(name, is_over, at_ms)| Job {
        id: name.into(),
        is_over,
        body: "{}".into(),
        updated_at: UnixMs(at_ms),
    });
    let layout = (name(), 1..=PARTITIONS, name()).prop_map(|(name, partitions, text)| Layout {
        subscription: name.into(),
        partitions,
        text: text.into(),
    });
    let entry = name().prop_map(|name| AuditEntry {
        at: UnixMs(1),
        actor: name.into(),
        action: "x".into(),
        object: "y".into(),
        detail: "{}".into(),
    });
    (
        (vec(change, 0..2), vec(document(), 0..4)),
        vec(pause, 0..2),
        vec(job, 0..2),
        prop::option::weighted(0.2, layout),
        vec(entry, 0..2),
    )
        .prop_map(
            |((resources, documents), pauses, jobs, layout, audit)| Batch {
                resources,
                documents,
                pauses,
                jobs,
                layouts: layout.into_iter().collect(),
                audit,
                ..Batch::default()
            },
        )
}

/// Times are all or nothing for events and attempts: in which order those that are too young are passed over is the
/// engine's business.
fn retain() -> impl Strategy<Value = Retain> {
    let time = || prop::sample::select(vec![UnixMs(0), UnixMs::NEVER]);
    let items = prop::sample::select(vec![1, 2, 100]);
    (time(), time(), (0..9_u64, 0..20_u64), 1..20_u64, items).prop_map(
        |(events_before, attempts_before, (dead_ms, now_ms), keep_from, items)| Retain {
            events_before,
            keep_from: Offset(keep_from),
            attempts_before,
            dead_before: UnixMs(dead_ms),
            now: UnixMs(now_ms),
            items,
            pages: 0,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    use prop::collection::vec;
    let replay =
        (waiting_row(), prop::option::of(0..3_u16)).prop_map(|(waiting, dead_chain)| Replay {
            dead_chain,
            waiting,
        });
    (
        (vec(new_event(), 0..4), any::<bool>()),
        records(),
        (vec(replay, 0..2), vec((key(), 0..3_u16), 0..2)),
        control(),
        prop::option::weighted(0.2, (0..30_u64).prop_map(UnixMs)),
        prop::option::weighted(0.15, retain()),
    )
        .prop_map(
            |(
                (events, refuse_conflicts),
                records,
                (replays, discards),
                control,
                rebase,
                retain,
            )| Batch {
                events,
                refuse_conflicts,
                records,
                replays,
                discards,
                rebase,
                retain,
                ..control
            },
        )
}

/// The parts of `batch` that name an event which is still there: the others must not be handed in. Attempts before
/// `walked` are left out too: an engine may find them old only when it looks there again.
fn of_known_events(mut batch: Batch, walked: Offset, fixture: &Fixture) -> Batch {
    let log = fixture.store().read_log(Offset(1), ALL).unwrap();
    let known: BTreeSet<Offset> = log.iter().map(|event| event.offset).collect();
    let records = &mut batch.records;
    records
        .attempts
        .retain(|a| known.contains(&a.key.offset) && a.key.offset >= walked);
    records
        .waiting
        .retain(|row| known.contains(&row.key.offset));
    records.dead.retain(|dead| known.contains(&dead.key.offset));
    batch
}

/// What the management API can read of its own.
fn note_control(store: &dyn Store, note: &mut impl FnMut(&dyn std::fmt::Debug)) {
    note(&store.resources().unwrap());
    note(&(
        store.breakers().unwrap(),
        store.layouts().unwrap(),
        store.pauses().unwrap(),
    ));
    note(&(store.jobs().unwrap(), store.audit(Some(9), 5).unwrap()));
    note(&(
        store.audit_from(3, 4).unwrap(),
        store.audit_from(1, 99).unwrap(),
    ));
    for room in [Room::Token, Room::Answer, Room::Secret] {
        for now in [0, 12, 100].map(UnixMs) {
            note(&store.documents(room, None, 9, now).unwrap());
            note(&store.documents(room, Some("a"), 1, now).unwrap());
            note(&store.document(room, "b", now).unwrap());
        }
    }
}

/// The lists of attempts.
fn note_attempts(store: &dyn Store, few: Limit, note: &mut impl FnMut(&dyn std::fmt::Debug)) {
    let filter = AttemptFilter::default();
    for before in [None, Some(Offset(4))] {
        note(&store.attempts(&filter, before, few).unwrap());
        note(&store.attempts(&filter, before, ALL).unwrap());
    }
    for name in NAMES {
        let filter = AttemptFilter {
            subscription: Some(name.into()),
            until: Some(UnixMs(13)),
            ..AttemptFilter::default()
        };
        note(&store.attempts(&filter, None, few).unwrap());
    }
}

/// Everything that can be read, as one text to compare.
fn everything(fixture: &Fixture) -> String {
    let store = fixture.store();
    let few = Limit {
        items: 3,
        bytes: 700,
    };
    let all = ALL;
    let mut out = String::new();
    let mut note = |what: &dyn std::fmt::Debug| out.push_str(&format!("{what:?}\n"));
    note(&store.read_log(Offset(1), all).unwrap());
    note(&store.read_log(Offset(3), few).unwrap());
    note(&store.cursors().unwrap());
    note(&Counts {
        bytes: 0,
        free_bytes: 0,
        ..store.counts().unwrap()
    });
    note(&store.tail().end());
    note_control(store, &mut note);
    note_attempts(store, few, &mut note);
    for offset in 1..=EVENTS + 1 {
        note(&store.history(Offset(offset)).unwrap());
    }
    for name in NAMES {
        let filter = EventFilter {
            kind: Some(name.into()),
            ..EventFilter::default()
        };
        note(&store.events(&filter, Some(Offset(20)), few).unwrap());
        note(&store.scan(&filter, Offset(3), few).unwrap());
        note(&store.waiting(name, Offset(2), few).unwrap());
        for partition in 0..PARTITIONS {
            note(&store.settled_from(name, partition, Offset(2)).unwrap());
            note(&store.keys(name, partition).unwrap());
            for until in [0, 25, 100] {
                let (until, none) = (UnixMs(until), BTreeSet::new());
                let skip = BTreeSet::from([Offset(2), Offset(5)]);
                note(&store.due(name, partition, until, &skip, few).unwrap());
                note(&store.due(name, partition, until, &none, all).unwrap());
            }
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
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_answers_as_the_model_does(
        batches in prop::collection::vec(batch(), 1..12),
        reopen_after in 0..12_usize,
    ) {
        let dir = Rc::new(tempfile::tempdir().unwrap());
        let (model, mut real) = (memory(), embedded_in(dir.clone()));
        for fixture in [&model, &real] {
            fixture.write(super::sample::events((101..=100 + EVENTS).map(event)));
        }
        let mut walked = Offset(0);
        for (index, batch) in batches.into_iter().enumerate() {
            let batch = of_known_events(batch, walked, &model);
            walked = walked.max(batch.retain.map_or(walked, |retain| retain.keep_from));
            prop_assert_eq!(model.submit(batch.clone()).unwrap(), real.submit(batch).unwrap());
            if index == reopen_after {
                real.reopen();
            }
        }
        prop_assert_eq!(everything(&model), everything(&real));
        drop(real);
        let mut problems = verify(dir.path()).unwrap().problems;
        // Random batches do that; the engine of dispatch does not.
        problems.retain(|problem| !problem.contains("both waiting and dead"));
        prop_assert_eq!(problems, [""; 0]);
    }
}
