//! Order per key: a failing key holds only itself, and nothing overtakes.

use super::*;
use crate::delivery::{Dead, DeliveryKey, Gap, Place};
use crate::subscription::{OnExhausted, Order};

fn ordered(order: Order, on_exhausted: OnExhausted, concurrency: u16) -> Plan {
    let mut plan = plan(&[("s", "crm")], concurrency);
    let s = Subscription {
        order,
        on_exhausted,
        ..(*subscription("s", "crm")).clone()
    };
    plan.subscriptions.insert("s".into(), Arc::new(s));
    plan
}

fn by_key() -> Bench {
    Bench::new(ordered(Order::Key, OnExhausted::Skip, 100))
}

fn offsets(starts: &[Start]) -> Vec<u64> {
    starts.iter().map(|start| start.event.offset.0).collect()
}

/// Puts a dead letter back to work in the store; the engine is not told.
fn replay(bench: &mut Bench, dead: &Dead) {
    let row = Waiting::replay(dead.key.clone(), dead.place, 1, MINUTE_MS, bench.now);
    let key = (row.key.subscription.clone(), row.key.offset);
    bench.rows.insert(key, row);
}

/// Delivers everything that can be, committing after each round; the order in which events were sent.
fn drain(bench: &mut Bench) -> Vec<u64> {
    let mut sent = vec![];
    loop {
        let starts = bench.starts();
        if starts.is_empty() {
            bench.commit();
            let starts = bench.starts();
            if starts.is_empty() {
                return sent;
            }
            sent.extend(offsets(&starts));
            starts
                .iter()
                .for_each(|start| drop(bench.status(start, 200)));
            continue;
        }
        sent.extend(offsets(&starts));
        starts
            .iter()
            .for_each(|start| drop(bench.status(start, 200)));
    }
}

#[test]
fn of_a_key_one_is_under_way_at_a_time_and_other_keys_do_not_wait() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a", "b", "a", "c"]);
    let first = bench.starts();
    assert_eq!(offsets(&first), [1, 3, 5]);
    bench.status(&first[0], 200);
    let second = bench.starts();
    assert_eq!(offsets(&second), [2]);
    bench.status(&second[0], 200);
    assert_eq!(offsets(&bench.starts()), [4]);
}

#[test]
fn events_without_a_key_wait_for_nobody() {
    let mut bench = by_key();
    bench.append("web", 3);
    assert_eq!(bench.starts().len(), 3);
}

#[test]
fn a_key_that_fails_holds_only_itself_and_the_cursor_goes_on() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a", "b", "a", "b"]);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.status(&first[1], 200);
    bench.commit();
    assert_eq!(offsets(&bench.starts()), [5]);
    bench.append_keys(&["a"]);
    bench.starts();
    bench.commit();
    let reasons: Vec<_> = bench
        .rows
        .values()
        .map(|row| (row.key.offset.0, row.reason))
        .collect();
    let (retry, order) = (WaitReason::Retry, WaitReason::Order);
    assert_eq!(reasons, [(1, retry), (2, order), (4, order), (6, order)]);
    assert_eq!(
        bench.cursor("s"),
        Offset(5),
        "only the request under way keeps it"
    );
}

#[test]
fn those_behind_a_key_that_failed_come_in_the_order_of_the_log() {
    let mut bench = by_key();
    bench.append_keys(&["a"; 40]);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.append_keys(&["a"; 20]);
    assert!(bench.starts().is_empty());
    bench.commit();
    bench.pass(MINUTE_MS);
    assert_eq!(drain(&mut bench), (1..=60).collect::<Vec<_>>());
    assert!(bench.rows.is_empty(), "{:?}", bench.rows);
    assert_eq!(bench.engine.lanes().map(|lane| lane.keys).sum::<usize>(), 0);
}

#[test]
fn a_key_that_is_given_up_goes_on_and_the_dead_letter_marks_the_gap() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a"]);
    let first = bench.starts();
    bench.status(&first[0], 422);
    assert_eq!(offsets(&bench.starts()), [2]);
    bench.commit();
    assert_eq!(bench.all.dead[0].gap, Gap::Skipped);
}

#[test]
fn a_key_that_halts_waits_until_its_dead_letter_is_discarded() {
    let mut bench = Bench::new(ordered(Order::Key, OnExhausted::Halt, 100));
    bench.append_keys(&["a", "a", "b"]);
    let first = bench.starts();
    bench.status(&first[0], 422);
    bench.commit();
    bench.append_keys(&["a"]);
    assert!(bench.starts().is_empty());
    bench.commit();
    let dead = bench.all.dead[0].clone();
    assert_eq!(dead.gap, Gap::Halted);
    bench
        .engine
        .handle_discarded(&dead.key, dead.place, bench.now);
    bench.status(&first[1], 200);
    assert_eq!(drain(&mut bench), [2, 4]);
}

#[test]
fn a_key_that_halts_goes_on_after_its_dead_letter_was_replayed() {
    let mut bench = Bench::new(ordered(Order::Key, OnExhausted::Halt, 100));
    bench.append_keys(&["a", "a"]);
    let first = bench.starts();
    bench.status(&first[0], 422);
    bench.commit();
    let dead = bench.all.dead[0].clone();
    replay(&mut bench, &dead);
    bench.engine.handle_rows_changed("s");
    assert_eq!(drain(&mut bench), [1, 2]);
}

#[test]
fn a_replay_does_not_overtake_the_one_that_waits_for_its_next_attempt() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a", "a"]);
    let first = bench.starts();
    bench.status(&first[0], 422);
    let second = bench.starts();
    bench.status(&second[0], 503);
    bench.commit();
    let dead = bench.all.dead[0].clone();
    replay(&mut bench, &dead);
    bench.engine.handle_rows_changed("s");
    assert!(bench.starts().is_empty());
    bench.commit();
    bench.pass(MINUTE_MS);
    assert_eq!(drain(&mut bench), [2, 1, 3]);
}

#[test]
fn a_strict_subscription_stands_still_behind_an_event_that_fails_and_writes_no_rows_for_the_rest() {
    let mut bench = Bench::new(ordered(Order::Strict, OnExhausted::Skip, 100));
    bench.append_keys(&["a", "b"]);
    bench.append("web", 600);
    let first = bench.starts();
    assert_eq!(offsets(&first), [1]);
    bench.status(&first[0], 503);
    assert!(bench.starts().is_empty());
    bench.commit();
    assert_eq!(bench.rows.len(), 1);
    bench.pass(MINUTE_MS);
    assert_eq!(drain(&mut bench), (1..=602).collect::<Vec<_>>());
}

#[test]
fn after_a_restart_a_key_that_waits_still_holds_its_later_events() {
    let plan = ordered(Order::Key, OnExhausted::Skip, 100);
    let mut bench = Bench::new(plan.clone());
    bench.append_keys(&["a", "a", "b"]);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.status(&first[1], 200);
    bench.commit();
    // On disk: 1 waits, 2 is held, 3 is done, the cursor is at the end.
    let rows = KeyRows {
        waiting: vec![Offset(1)],
        held: 1,
        ..KeyRows::default()
    };
    let known = known(Recovered {
        cursor: Offset(4),
        keys: BTreeMap::from([(crate::group::key_hash("a"), rows)]),
        ..Recovered::default()
    });
    bench.engine = Engine::new(&plan, &known, Offset(4), bench.now);
    bench.append_keys(&["a", "b"]);
    assert_eq!(offsets(&bench.starts()), [5]);
    bench.commit();
    bench.pass(MINUTE_MS);
    assert_eq!(drain(&mut bench), [1, 2, 4]);
}

#[test]
fn a_busy_key_does_not_take_the_room_of_the_others() {
    let mut bench = by_key();
    bench.append_keys(&["hot"; 2_000]);
    bench.append_keys(&["cold"]);
    let mut sent = vec![];
    for _ in 0..40 {
        let starts = bench.starts();
        sent.extend(offsets(&starts));
        bench.commit();
    }
    assert_eq!(
        sent,
        [1, 2_001],
        "with the first of the hot key still under way"
    );
}

#[test]
fn a_skip_leaves_what_is_under_way_and_passes_over_the_rest() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a", "a", "b", "a"]);
    let first = bench.starts();
    assert_eq!(offsets(&first), [1, 4]);
    bench
        .engine
        .handle_skip(&"s".into(), 0, Offset(5), bench.now);
    first
        .iter()
        .for_each(|start| drop(bench.status(start, 200)));
    assert_eq!(drain(&mut bench), [5]);
    assert_eq!(bench.cursor("s"), Offset(6));
}

/// An engine that finds `rows` of the key `a` after a restart, with everything before `offset` behind its cursor.
fn restarted(bench: &mut Bench, rows: KeyRows, offset: u64) {
    let known = known(Recovered {
        cursor: Offset(offset),
        keys: BTreeMap::from([(crate::group::key_hash("a"), rows)]),
        ..Recovered::default()
    });
    let plan = bench.plan.clone();
    bench.engine = Engine::new(&plan, &known, Offset(offset), bench.now);
    bench.commit();
}

#[test]
fn rows_whose_head_was_settled_just_before_a_crash_are_released_after_it() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a", "a"]);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.commit();
    // The first was settled by someone else, and the process died before the others were released.
    bench.rows.remove(&("s".into(), Offset(1)));
    let rows = KeyRows {
        held: 2,
        ..KeyRows::default()
    };
    restarted(&mut bench, rows, 4);
    assert_eq!(drain(&mut bench), [2, 3]);
}

#[test]
fn after_a_restart_later_events_wait_for_the_replay_of_the_one_that_halted() {
    let mut bench = Bench::new(ordered(Order::Key, OnExhausted::Halt, 100));
    bench.append_keys(&["a"]);
    let first = bench.starts();
    bench.status(&first[0], 422);
    bench.commit();
    let dead = bench.all.dead[0].clone();
    replay(&mut bench, &dead);
    let rows = KeyRows {
        waiting: vec![Offset(1)],
        ..KeyRows::default()
    };
    restarted(&mut bench, rows, 2);
    bench.append_keys(&["a"]);
    assert_eq!(drain(&mut bench), [1, 2]);
}

#[test]
fn a_strict_cursor_does_not_run_away_from_its_head() {
    let mut bench = Bench::new(ordered(Order::Strict, OnExhausted::Skip, 1));
    bench.append("web", 2);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.append("other", 3 * usize::try_from(WINDOW).unwrap());
    bench.starts();
    let lane = bench.engine.lanes().next().unwrap();
    assert!(
        lane.position.0 <= lane.cursor.0 + WINDOW + FRESH_MAX as u64,
        "{lane:?}"
    );
}

#[test]
fn no_more_events_become_rows_than_the_disk_keeps_up_with() {
    let mut bench = by_key();
    bench.append_keys(&["a"]);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.append_keys(&["a"; 2 * UNCOMMITTED_MAX]);
    bench.starts();
    let (_, records) = bench.engine.take_records(bench.now).unwrap();
    assert!(records.waiting.len() <= UNCOMMITTED_MAX + FRESH_MAX);
}

#[test]
fn after_a_restart_nothing_is_released_before_the_log_is_read_up_to_where_the_process_died() {
    let mut bench = by_key();
    bench.append_keys(&["a", "a"]);
    // The first waited in memory and has no row; the second has one.
    let place = Place {
        partition: 0,
        key: Some(crate::group::key_hash("a")),
    };
    let key = DeliveryKey {
        subscription: "s".into(),
        offset: Offset(2),
    };
    let standing = Standing::first(bench.now.plus_ms(MINUTE_MS));
    let row = standing.waiting(key, place, UnixMs::NEVER, 0, WaitReason::Order);
    bench.rows.insert(("s".into(), Offset(2)), row);
    let rows = KeyRows {
        held: 1,
        ..KeyRows::default()
    };
    let known = known(Recovered {
        cursor: Offset(1),
        settled: BTreeSet::from([Offset(2)]).into(),
        keys: BTreeMap::from([(crate::group::key_hash("a"), rows)]),
        ..Recovered::default()
    });
    bench.engine = Engine::new(&bench.plan.clone(), &known, Offset(3), bench.now);
    assert_eq!(drain(&mut bench), [1, 2]);
}

#[test]
fn of_two_dead_letters_that_halt_one_key_both_are_sent_when_both_are_replayed() {
    let mut bench = Bench::new(ordered(Order::Key, OnExhausted::Halt, 100));
    bench.append_keys(&["a", "a", "a"]);
    let place = Place {
        partition: 0,
        key: Some(crate::group::key_hash("a")),
    };
    for offset in [1, 2] {
        let key = DeliveryKey {
            subscription: "s".into(),
            offset: Offset(offset),
        };
        let row = Waiting::replay(key, place, 1, MINUTE_MS, bench.now);
        bench.rows.insert(("s".into(), Offset(offset)), row);
    }
    let rows = KeyRows {
        halted: vec![Offset(1), Offset(2)],
        ..KeyRows::default()
    };
    restarted(&mut bench, rows, 4);
    bench.append_keys(&["a"]);
    assert_eq!(drain(&mut bench), [1, 2, 4]);
}

#[test]
fn a_replay_of_one_that_halted_its_key_goes_on_although_it_had_to_wait_for_another() {
    for order in [Order::Key, Order::Strict] {
        let mut bench = Bench::new(ordered(order, OnExhausted::Halt, 100));
        bench.append_keys(&["a", "a", "a"]);
        let key = match order {
            Order::Strict => crate::subscription::STRICT_KEY,
            Order::None | Order::Key => crate::group::key_hash("a"),
        };
        let place = Place {
            partition: 0,
            key: Some(key),
        };
        let standing = Standing::first(bench.now.plus_ms(60 * MINUTE_MS));
        let of = |offset| DeliveryKey {
            subscription: "s".into(),
            offset: Offset(offset),
        };
        let due = bench.now.plus_ms(MINUTE_MS);
        let waits = standing.waiting(of(1), place, due, 0, WaitReason::Retry);
        let replay = Waiting::replay(of(2), place, 1, 60 * MINUTE_MS, bench.now);
        bench.rows.insert(("s".into(), Offset(1)), waits);
        bench.rows.insert(("s".into(), Offset(2)), replay);
        let rows = KeyRows {
            waiting: vec![Offset(1)],
            halted: vec![Offset(2)],
            ..KeyRows::default()
        };
        let known = Known {
            lanes: BTreeMap::from([(
                ("s".into(), 0),
                Recovered {
                    cursor: Offset(3),
                    keys: BTreeMap::from([(key, rows)]),
                    ..Recovered::default()
                },
            )]),
            ..Known::default()
        };
        bench.engine = Engine::new(&bench.plan.clone(), &known, Offset(4), bench.now);
        assert!(bench.starts().is_empty());
        bench.commit();
        bench.pass(MINUTE_MS);
        assert_eq!(drain(&mut bench), [1, 2, 3], "{order:?}");
    }
}

#[test]
fn a_discard_that_comes_too_late_lets_nobody_overtake_the_replay_under_way() {
    let mut bench = Bench::new(ordered(Order::Key, OnExhausted::Halt, 100));
    bench.append_keys(&["a", "a"]);
    let first = bench.starts();
    bench.status(&first[0], 422);
    bench.commit();
    let dead = bench.all.dead[0].clone();
    replay(&mut bench, &dead);
    bench.engine.handle_rows_changed("s");
    let again = bench.starts();
    assert_eq!(offsets(&again), [1]);
    bench
        .engine
        .handle_discarded(&dead.key, dead.place, bench.now);
    assert!(bench.starts().is_empty());
    bench.status(&again[0], 200);
    assert_eq!(drain(&mut bench), [2]);
}

#[test]
fn rows_that_were_held_come_back_step_by_step_once_there_is_no_order() {
    let mut bench = Bench::new(ordered(Order::None, OnExhausted::Skip, 100));
    let steps = 3;
    let count = steps * usize::try_from(order::FREED_MAX).unwrap() - 10;
    for offset in 1..=count as u64 {
        bench.push("web", Some(format!("k{}", offset % 7).into()));
        let event = bench.log.last().unwrap();
        let place = Place::of(event, 0);
        let key = DeliveryKey {
            subscription: "s".into(),
            offset: Offset(offset),
        };
        let standing = Standing::first(bench.now.plus_ms(MINUTE_MS));
        let row = standing.waiting(key, place, UnixMs::NEVER, 0, WaitReason::Order);
        bench.rows.insert(("s".into(), Offset(offset)), row);
    }
    let held = |rows: &BTreeMap<(Arc<str>, Offset), Waiting>| {
        let mut keys: BTreeMap<_, KeyRows> = BTreeMap::new();
        for row in rows.values() {
            keys.entry(row.place.key.unwrap()).or_default().held += 1;
        }
        keys
    };
    let known = known(Recovered {
        cursor: Offset(count as u64 + 1),
        keys: held(&bench.rows),
        ..Recovered::default()
    });
    let end = Offset(count as u64 + 1);
    bench.engine = Engine::new(&bench.plan.clone(), &known, end, bench.now);
    let sent: usize = (0..20).map(|_| drain(&mut bench).len()).sum();
    assert_eq!(sent, count);
    assert_eq!(bench.all.released.len(), steps);
}
