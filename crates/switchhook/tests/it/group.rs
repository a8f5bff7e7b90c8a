//! Promise: endpoints of a group share the keys, each key with one of them; one that dies loses its keys to the others
//! and gets its share again, and no key's order suffers. What is shown adds up, and cursors move as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchhook_core::group::{key_hash, partition_of_key};

use crate::harness::audit::Arrival;
use crate::harness::ordeal::QUICK;
use crate::harness::order::{Entry, assert_order};
use crate::harness::receiver::Receiver;
use crate::harness::sender::keyed;
use crate::harness::{Gateway, KEY, PATIENCE, SOURCE, Site, endpoint, pass, subscription, until};

const MEMBERS: [&str; 3] = ["a", "b", "c"];
const KEYS: usize = 60;
const PARTITIONS: u16 = 16;

fn site(receiver: &Receiver) -> Site {
    let limits = "breaker = { failures = 3, open = \"1s\", open_max = \"1s\", successes = 1 }";
    let mut config = SOURCE.to_owned() + KEY + QUICK;
    for name in MEMBERS {
        config += &endpoint(name, &receiver.at(name), limits);
    }
    config += "\n[group.pool]\nmembers = [\"a\", \"b\", \"c\"]\nfailover_after = \"1s\"\n";
    config += &subscription(
        "pool",
        "group = \"pool\"\norder = \"key\"\npolicy = \"quick\"",
    );
    Site::new(&config)
}

/// Sends events `from` to before `to`, their keys in turn.
fn send(gateway: &Gateway, from: usize, to: usize) {
    for n in from..to {
        gateway.accept(&keyed(&n.to_string(), &format!("k{}", n % KEYS)));
    }
}

fn successes(arrivals: &[Arrival]) -> usize {
    arrivals.iter().filter(|it| it.is_success()).count()
}

/// Which members answered which key with success, in arrivals from `first` on.
fn homes(arrivals: &[Arrival], first: usize) -> BTreeMap<String, BTreeSet<String>> {
    let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for it in arrivals[first..].iter().filter(|it| it.is_success()) {
        let members = homes.entry(it.key.clone()).or_default();
        members.insert(it.place().to_owned());
    }
    homes
}

fn describe(gateway: &Gateway) -> Value {
    gateway.get("/v1/groups/pool")
}

fn member<'v>(group: &'v Value, name: &str) -> &'v Value {
    let members = group["members"].as_array().unwrap();
    members.iter().find(|it| it["endpoint"] == name).unwrap()
}

#[test]
fn a_key_has_one_member_and_keeps_its_order_while_a_member_dies_and_comes_back() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let receiver = Receiver::start(Instant::now(), move |it| {
        if it.place() == "b" && down.load(Ordering::Relaxed) {
            503
        } else {
            200
        }
    });
    let site = site(&receiver);
    let gateway = site.start();
    let await_all = |count: usize| {
        receiver.wait_until(PATIENCE, |arrivals| successes(arrivals) == count);
    };
    send(&gateway, 0, 240);
    await_all(240);
    let first = homes(&receiver.arrivals(), 0);
    assert_eq!(first.len(), KEYS);
    assert!(
        first.values().all(|members| members.len() == 1),
        "{first:?}"
    );
    let used: BTreeSet<&String> = first.values().flatten().collect();
    assert_eq!(used.len(), MEMBERS.len(), "{used:?}");

    is_down.store(true, Ordering::Relaxed);
    let begun = receiver.arrivals().len();
    send(&gateway, 240, 340);
    await_all(340);
    let second = homes(&receiver.arrivals(), begun);
    for (key, members) in &second {
        let moved = first[key].contains("b");
        assert_eq!(members.len(), 1, "{key}: {members:?}");
        assert!(!members.contains("b"), "{key}");
        assert!(moved || *members == first[key], "{key} moved without need");
    }
    assert!(second.keys().any(|key| first[key].contains("b")));

    is_down.store(false, Ordering::Relaxed);
    // A probe needs something to be sent, of a key whose partition it is tried with.
    let mut sent = 340;
    until("the member to have its share again", || {
        send(&gateway, sent, sent + 1);
        sent += 1;
        pass(Duration::from_millis(20));
        let shown = describe(&gateway);
        let b = member(&shown, "b");
        (b["state"] == "closed" && b["partitions"].as_u64() >= Some(5)).then_some(())
    });
    let begun = receiver.arrivals().len();
    send(&gateway, sent, sent + KEYS);
    await_all(sent + KEYS);
    assert!(
        receiver.arrivals()[begun..]
            .iter()
            .any(|it| it.place() == "b"),
        "it works again"
    );
    gateway.settle(PATIENCE);
    assert_eq!(gateway.counts(), (0, 0));
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let log: Vec<Entry> = gateway
        .log()
        .iter()
        .map(|event| (text(event, "id"), text(event, "key")))
        .collect();
    assert_eq!(log.len(), sent + KEYS);
    assert_order(&receiver.arrivals(), &log);
}

/// What [`describe`] says of each partition: member, committed, end, lag.
fn partitions(group: &Value) -> Vec<(String, u64, u64, u64)> {
    let all = group["subscriptions"][0]["partitions"].as_array().unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    all.iter()
        .map(|it| {
            let member = it["endpoint"].as_str().unwrap_or_default().to_owned();
            let [committed, end, lag] = ["committed", "end", "lag"].map(|name| number(&it[name]));
            (member, committed, end, lag)
        })
        .collect()
}

fn lag(gateway: &Gateway) -> u64 {
    let shown = describe(gateway);
    shown["subscriptions"][0]["lag"].as_u64().unwrap()
}

/// Everything that is shown about partitions agrees with itself.
#[track_caller]
fn assert_adds_up(group: &Value) {
    let partitions = partitions(group);
    assert_eq!(partitions.len(), usize::from(PARTITIONS));
    let mut loads: BTreeMap<&str, u64> = BTreeMap::new();
    for (member, committed, end, lag) in &partitions {
        *loads.entry(member).or_default() += 1;
        assert_eq!(end - committed, *lag, "{group}");
    }
    let most = partitions.iter().map(|(_, _, _, lag)| *lag).max();
    assert_eq!(group["subscriptions"][0]["lag"].as_u64(), most, "{group}");
    for name in MEMBERS {
        let shown = member(group, name)["partitions"].as_u64().unwrap();
        assert_eq!(Some(&shown), loads.get(name), "{name}: {group}");
        assert!((5..=6).contains(&shown), "even: {group}");
    }
}

#[test]
fn the_figures_add_up_and_a_dry_run_changes_nothing() {
    const BACKLOG: usize = 30;
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site(&receiver);
    let gateway = site.start();
    send(&gateway, 0, 60);
    gateway.settle(PATIENCE);
    until("no lag", || (lag(&gateway) == 0).then_some(()));
    let shown = describe(&gateway);
    assert_adds_up(&shown);

    gateway.tell("POST /v1/groups/pool/pause", &json!({ "reason": "a look" }));
    send(&gateway, 60, 60 + BACKLOG);
    let log = gateway.log();
    let backlog = &log[log.len() - BACKLOG..];
    let end = log.last().unwrap()["offset"].as_u64().unwrap() + 1;
    let shown = describe(&gateway);
    let backlog_lag = u64::try_from(BACKLOG).unwrap();
    for (_, committed, end_shown, _) in partitions(&shown) {
        assert_eq!((committed, end_shown), (end - backlog_lag, end), "{shown}");
    }
    assert_adds_up(&shown);
    assert_eq!(shown["subscriptions"][0]["paused"], true, "{shown}");
    let lagging = gateway
        .cli(&["group", "lag", "pool", "--json"])
        .ok()
        .stdout
        .clone();
    assert!(lagging.contains(&format!("\"end\":{end}")), "{lagging}");

    let rebalance = gateway.tell("POST /v1/groups/pool/rebalance", &json!({}));
    assert_eq!(rebalance["dryRun"], true, "{rebalance}");
    assert_eq!(rebalance["moves"], json!([]), "it is even already");
    let dry = gateway.tell(
        "POST /v1/groups/pool/seek",
        &json!({ "to": { "offset": end } }),
    );
    assert_eq!(
        (&dry["dryRun"], &dry["skipped"], &dry["replayed"]),
        (&json!(true), &json!(BACKLOG), &json!(0)),
        "{dry}"
    );
    // Each partition counts the events whose key is its own.
    let mut counted = [0_u64; PARTITIONS as usize];
    for event in backlog {
        let key = key_hash(event["key"].as_str().unwrap());
        counted[usize::from(partition_of_key(key, PARTITIONS))] += 1;
    }
    let moves = dry["partitions"].as_array().unwrap();
    let shown_counts: Vec<u64> = moves
        .iter()
        .map(|it| it["events"].as_u64().unwrap())
        .collect();
    assert_eq!(shown_counts, counted, "{dry}");
    let back = gateway.tell(
        "POST /v1/groups/pool/seek",
        &json!({ "to": { "offset": 1 } }),
    );
    assert_eq!(back["replayed"], 60, "{back}");
    assert_eq!(partitions(&describe(&gateway)), partitions(&shown));
    assert_eq!(gateway.all("/v1/jobs"), [json!(null); 0]);
    assert_eq!(receiver.arrivals().len(), 60);
}

#[test]
fn a_seek_forwards_leaves_out_and_a_seek_back_delivers_again() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site(&receiver);
    let gateway = site.start();
    send(&gateway, 0, 20);
    gateway.settle(PATIENCE);
    gateway.tell("POST /v1/groups/pool/pause", &json!({}));
    send(&gateway, 20, 50);
    let log = gateway.log();
    let offset = |n: usize| log[n].clone()["offset"].as_u64().unwrap();
    let forwards = json!({ "to": { "offset": offset(49) + 1 }, "dryRun": false });
    let done = gateway.tell("POST /v1/groups/pool/seek", &forwards);
    assert_eq!(
        (&done["skipped"], &done["job"]),
        (&json!(30), &Value::Null),
        "{done}"
    );
    until("no lag", || (lag(&gateway) == 0).then_some(()));
    gateway.tell("POST /v1/groups/pool/resume", &json!({}));
    send(&gateway, 50, 55);
    receiver.wait_until(PATIENCE, |arrivals| arrivals.len() == 25);
    gateway.settle(PATIENCE);
    pass(Duration::from_millis(300));
    let arrived: BTreeSet<String> = receiver.arrivals().iter().map(|it| it.id.clone()).collect();
    let expected: BTreeSet<String> = (0..20)
        .chain(50..55)
        .map(|n: usize| n.to_string())
        .collect();
    assert_eq!(arrived, expected);

    until("no lag", || (lag(&gateway) == 0).then_some(()));
    let back = json!({ "to": { "offset": offset(10) }, "dryRun": false });
    let done = gateway.tell("POST /v1/groups/pool/seek", &back);
    assert_eq!(
        (&done["replayed"], &done["skipped"]),
        (&json!(45), &json!(0)),
        "{done}"
    );
    let job = done["job"].as_str().unwrap();
    until("the job to be done", || {
        (gateway.get(&format!("/v1/jobs/{job}"))["state"] == "done").then_some(())
    });
    gateway.settle(PATIENCE);
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for it in receiver.arrivals() {
        *times.entry(it.id).or_default() += 1;
    }
    for n in 0..55_usize {
        let expected = match n {
            0..10 | 20..50 => 1,
            _ => 2,
        };
        assert_eq!(times.get(&n.to_string()), Some(&expected), "event {n}");
    }
    let actions = gateway.all("/v1/audit");
    let seeks = actions.iter().filter(|it| it["action"] == "group.seek");
    assert_eq!(seeks.count(), 2);
}
