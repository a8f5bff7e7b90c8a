//! Groups: every partition has one member, and keeps its order when it changes hands.

use super::*;
use crate::breaker::{self, State};
use crate::group::{Affinity, Group};
use crate::subscription::Order;

fn pool(members: &[&str], partitions: u16) -> Plan {
    let mut plan = Plan::default();
    plan.policies.insert("minute".into(), Arc::new(policy()));
    for name in members {
        let settings = breaker::Settings {
            failures: 2,
            share: 1.0,
            calls_min: 1_000,
            window_ms: 30_000,
            open_ms: 30_000,
            open_max_ms: 300_000,
            successes: 1,
        };
        let endpoint = Endpoint {
            breaker: Some(settings),
            ..(*endpoint(name, 100)).clone()
        };
        plan.endpoints.insert((*name).into(), Arc::new(endpoint));
    }
    let group = Group {
        name: "pool".into(),
        members: members.iter().map(|name| (*name).into()).collect(),
        partitions,
        affinity: Affinity::Key,
        failover_after_ms: Some(MINUTE_MS),
    };
    plan.groups.insert("pool".into(), Arc::new(group));
    let s = Subscription {
        target: Target::Group("pool".into()),
        order: Order::Key,
        ..(*subscription("s", "")).clone()
    };
    plan.subscriptions.insert("s".into(), Arc::new(s));
    plan
}

fn keys(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("conversation-{number}"))
        .collect()
}

fn append(bench: &mut Bench, keys: &[String]) {
    bench.append_keys(&keys.iter().map(String::as_str).collect::<Vec<_>>());
}

fn shares(bench: &Bench) -> BTreeMap<Arc<str>, usize> {
    let mut shares = BTreeMap::new();
    for lane in bench.engine.lanes() {
        *shares.entry(lane.endpoint.unwrap()).or_default() += 1;
    }
    shares
}

#[test]
fn partitions_are_shared_evenly_and_every_event_goes_to_the_member_of_its_partition() {
    let mut bench = Bench::new(pool(&["a", "b", "c"], 16));
    assert_eq!(shares(&bench).into_values().collect::<Vec<_>>(), [6, 5, 5]);
    let keys = keys(60);
    append(&mut bench, &keys);
    let first = bench.starts();
    assert_eq!(first.len(), 60);
    first
        .iter()
        .for_each(|start| drop(bench.status(start, 200)));
    append(&mut bench, &keys);
    let member = |starts: &[Start]| -> BTreeMap<_, _> {
        let of = |start: &Start| {
            (
                start.event.key.clone().unwrap(),
                start.endpoint.name.clone(),
            )
        };
        starts.iter().map(of).collect()
    };
    let second = bench.starts();
    assert_eq!(member(&first), member(&second));
}

#[test]
fn each_partition_has_a_cursor_of_its_own_that_says_who_has_it() {
    let mut bench = Bench::new(pool(&["a", "b"], 4));
    bench.commit();
    let recorded: BTreeMap<u16, _> = bench
        .all
        .cursors
        .iter()
        .map(|cursor| (cursor.partition, cursor.member.is_some()))
        .collect();
    assert_eq!(
        recorded,
        BTreeMap::from([(0, true), (1, true), (2, true), (3, true)])
    );
}

#[test]
fn a_key_keeps_its_order_while_its_partition_changes_hands() {
    let mut bench = Bench::new(pool(&["a"], 1));
    bench.append_keys(&["x", "x"]);
    let first = bench.starts();
    assert_eq!(first.len(), 1);
    let mut swapped = pool(&["a", "b"], 1);
    let group = Group {
        members: vec!["b".into()],
        ..(**swapped.groups.get("pool").unwrap()).clone()
    };
    swapped.groups.insert("pool".into(), Arc::new(group));
    bench
        .engine
        .handle_plan(&swapped, &Known::default(), bench.now);
    assert!(
        bench.starts().is_empty(),
        "the first is still under way to the old member"
    );
    bench.status(&first[0], 200);
    let second = bench.starts();
    assert_eq!(&*second[0].endpoint.name, "b");
}

#[test]
fn a_member_whose_breaker_stays_open_loses_its_partitions_until_a_probe_succeeds() {
    let mut bench = Bench::new(pool(&["a", "b"], 4));
    let keys = keys(40);
    append(&mut bench, &keys);
    for start in bench.starts() {
        let status = if &*start.endpoint.name == "a" {
            500
        } else {
            200
        };
        bench.status(&start, status);
    }
    bench.commit();
    let state = |bench: &Bench| bench.engine.endpoints(bench.now).next().unwrap().state;
    assert_eq!((state(&bench), shares(&bench).len()), (State::Open, 2));
    // The probe after half a minute fails; a minute after it opened its partitions move.
    for _ in 0..8 {
        bench.pass(10_000);
        for start in bench.starts() {
            let status = if &*start.endpoint.name == "a" {
                500
            } else {
                200
            };
            bench.status(&start, status);
        }
        bench.commit();
    }
    assert!(
        bench
            .engine
            .lanes()
            .all(|lane| &*lane.endpoint.unwrap() == "b")
    );
    // With the next probe due it gets one partition on trial, and with its success its share.
    append(&mut bench, &keys);
    for _ in 0..60 {
        bench.pass(10_000);
        bench
            .starts()
            .iter()
            .for_each(|start| drop(bench.status(start, 200)));
        bench.commit();
        append(&mut bench, &keys);
    }
    assert_eq!(shares(&bench).into_values().collect::<Vec<_>>(), [2, 2]);
}

/// A pool whose deliveries are given up after one attempt.
fn pool_of_one_attempt(members: &[&str], partitions: u16) -> Plan {
    let mut plan = pool(members, partitions);
    let policy = Policy {
        max_attempts: 1,
        ..policy()
    };
    plan.policies.insert("minute".into(), Arc::new(policy));
    plan
}

impl Bench {
    /// Everything that can go is answered with this status; where it went.
    fn answer_all(&mut self, status: u16) -> Vec<Arc<str>> {
        let starts = self.starts();
        let answer = |start: &Start| {
            self.status(start, status);
            start.endpoint.name.clone()
        };
        let names = starts.iter().map(answer).collect();
        self.commit();
        names
    }
}

#[test]
fn a_member_on_trial_gets_a_partition_that_has_something_to_send() {
    let mut bench = Bench::new(pool_of_one_attempt(&["a", "b"], 4));
    append(&mut bench, &keys(40));
    bench.answer_all(500);
    assert!(bench.rows.is_empty(), "nothing is left to try them with");
    bench.pass(2 * MINUTE_MS);
    assert!(bench.answer_all(500).is_empty());
    let smaller = pool_of_one_attempt(&["a"], 4);
    bench
        .engine
        .handle_plan(&smaller, &Known::default(), bench.now);
    // What `b` had belongs to nobody, and what `a` has rests.
    let free = bench.engine.lanes().find(|lane| lane.endpoint.is_none());
    let free = free.unwrap().partition;
    let is_in_it =
        |key: &String| crate::group::partition_of_key(crate::group::key_hash(key), 4) == free;
    let key = keys(40).into_iter().find(is_in_it).unwrap();
    append(&mut bench, &[key]);
    assert_eq!(bench.answer_all(200), ["a".into()]);
    assert_eq!(shares(&bench).into_values().collect::<Vec<_>>(), [4]);
}

#[test]
fn with_nobody_well_a_member_without_a_partition_is_tried_with_that_of_another_one() {
    let mut bench = Bench::new(pool_of_one_attempt(&["a", "b"], 1));
    let key = || vec!["conversation".to_owned(); 2];
    // First one fails and loses the partition, then the other one, which fails its probe as well.
    for (after_ms, member) in [(0, "a"), (MINUTE_MS, "b")] {
        bench.pass(after_ms);
        bench.starts();
        append(&mut bench, &key());
        for _ in 0..2 {
            assert_eq!(bench.answer_all(500), [member.into()]);
        }
    }
    bench.pass(MINUTE_MS);
    append(&mut bench, &key());
    assert_eq!(bench.answer_all(500), ["b".into()]);
    bench.pass(MINUTE_MS);
    assert_eq!(bench.answer_all(200)[0], "a".into());
}
