//! Promise: the configuration changes while the gateway runs, as a whole or not at all; every version that was in force can
//! be gone back to; and nobody loses sight of deliveries that wait.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::sender::{Sender, body};
use crate::harness::{Gateway, PATIENCE, SOURCE, Site, endpoint, subscription, until};

/// A literal that must be found nowhere on disk but in the file itself.
const PLANTED: &str = "planted-literal-of-the-file";

/// One endpoint and subscription; what is sent tells the version in two headers.
fn config(url: &str) -> String {
    let headers = format!(
        "breaker = false\n\n[endpoint.crm.headers]\nx-one = \"v1\"\nx-two = \"v1\"\nx-api-key = \"{PLANTED}\""
    );
    let crm =
        endpoint("crm", url, &headers).replace("headers = { x-run = \"{{secret:run}}\" }\n", "");
    SOURCE.to_owned()
        + "\n[policy.slow]\nfixed = { delay = \"1h\" }\n"
        + &crm
        + &subscription("crm", "endpoint = \"crm\"\npolicy = \"slow\"")
}

fn version(gateway: &Gateway) -> u64 {
    gateway.get("/v1/config")["version"]["number"]
        .as_u64()
        .unwrap()
}

fn metric(gateway: &Gateway, name: &str) -> String {
    let answer = gateway.ask("GET /metrics", b"");
    let text = String::from_utf8(answer.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_default().to_owned()
}

/// What the next delivery carries in `x-one`.
fn delivered_as(gateway: &Gateway, receiver: &Receiver, id: &str) -> String {
    gateway.accept(&body(id));
    receiver.wait_until(PATIENCE, |arrivals| arrivals.iter().any(|it| it.id == id));
    let arrivals = receiver.arrivals();
    let arrival = arrivals.iter().find(|it| it.id == id).unwrap();
    arrival.request.header("x-one").unwrap().to_owned()
}

#[test]
fn reloads_under_load_lose_nothing_and_a_request_sees_one_version() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&config(&receiver.url()));
    let gateway = site.start();
    let sender = Sender::start(site.ingest(), 7, 4);
    for round in 1..=8 {
        let (from, to) = (format!("\"v{round}\""), format!("\"v{}\"", round + 1));
        site.edit(&from, &to);
        // A subscription that comes and goes beside the one that is under load.
        let other = subscription("other", "types = []\nendpoint = \"crm\"");
        if round % 2 == 1 {
            site.edit("[policy.slow]", &format!("{other}\n[policy.slow]"));
        } else {
            site.edit(&other, "");
        }
        gateway.hang_up();
        until("the next version", || {
            (version(&gateway) == round + 1).then_some(())
        });
        sender.wait_for(sender.acked() + 20, PATIENCE);
    }
    let acked = sender.stop();
    gateway.settle(PATIENCE);
    let arrivals = receiver.arrivals();
    let arrived: BTreeSet<&str> = arrivals.iter().map(|it| it.id.as_str()).collect();
    let lost: Vec<_> = acked
        .iter()
        .filter(|(id, _)| !arrived.contains(id.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        acked.len()
    );
    let mut seen = BTreeSet::new();
    for arrival in &arrivals {
        let (one, two) = (
            arrival.request.header("x-one"),
            arrival.request.header("x-two"),
        );
        assert_eq!(one, two, "a request of two versions");
        seen.insert(one.unwrap().to_owned());
    }
    assert!(seen.len() > 4, "the load saw only {seen:?}");
    let versions = gateway.all("/v1/config/versions");
    assert_eq!(versions.len(), 9);
    assert_eq!(versions[0]["actor"], "signal");
    let objects: Vec<_> = versions[0]["changes"].as_array().unwrap().iter().collect();
    assert_eq!(
        objects,
        [
            &json!({"object": "endpoint/crm", "change": "changed"}),
            &json!({"object": "subscription/other", "change": "deleted"})
        ]
    );
    let entries = gateway.all("/v1/audit");
    let reloads = entries
        .iter()
        .filter(|it| it["action"] == "config.reload")
        .count();
    assert_eq!(reloads, 8);
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_raises_the_alert_until_it_is_mended() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&config(&receiver.url()));
    let gateway = site.start();
    let last = "switchhook_config_last_reload_successful";
    assert_eq!(metric(&gateway, last), format!("{last} 1"));
    site.edit("\"v1\"", "\"v2\"");
    site.edit("endpoint = \"crm\"", "endpoint = \"nowhere\"\ntyops = 1");
    gateway.hang_up();
    until("the refusal", || {
        (metric(&gateway, last) == format!("{last} 0")).then_some(())
    });
    for named in ["SH0104", "tyops", "SH0201", "nowhere", "switchhook.toml:"] {
        assert!(
            gateway.words().contains(named),
            "`{named}` is not in the log"
        );
    }
    let told = gateway.cli(&["reload"]);
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(
        told.stderr.contains("tyops") && told.stderr.contains("nowhere"),
        "{told:?}"
    );
    let view = gateway.get("/v1/config");
    assert_eq!(view["version"]["number"], 1);
    assert_eq!(view["lastRead"]["succeeded"], false);
    assert_eq!(view["lastRead"]["problems"].as_array().unwrap().len(), 2);
    let raised = |gateway: &Gateway| {
        let alerts = gateway.all("/v1/alerts");
        alerts
            .iter()
            .any(|it| it["name"] == "config" && it["raised"] == true)
    };
    until("the alert", || raised(&gateway).then_some(()));
    assert_eq!(delivered_as(&gateway, &receiver, "a"), "v1");

    site.edit("endpoint = \"nowhere\"\ntyops = 1", "endpoint = \"crm\"");
    let told = gateway.cli(&["reload"]);
    assert!(
        told.ok().stdout.contains("changed  endpoint/crm"),
        "{told:?}"
    );
    assert_eq!(metric(&gateway, last), format!("{last} 1"));
    assert_eq!(delivered_as(&gateway, &receiver, "b"), "v2");
    let again = gateway.cli(&["reload"]);
    assert!(
        again.ok().stdout.contains("nothing has changed"),
        "{again:?}"
    );
    assert_eq!(version(&gateway), 2);
}

#[test]
fn a_rollback_holds_over_restarts_until_the_file_changes() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&config(&receiver.url()));
    let gateway = site.start();
    site.edit("\"v1\"", "\"v2\"");
    gateway.cli(&["reload"]).ok();
    assert_eq!(delivered_as(&gateway, &receiver, "a"), "v2");
    let tried = gateway.cli(&["config", "rollback", "--dry-run"]);
    assert!(
        tried.ok().stdout.contains("nothing was changed"),
        "{tried:?}"
    );
    let back = gateway.cli(&["--json", "config", "rollback"]).json();
    assert_eq!(
        (&back["version"], &back["pinned"]["version"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(delivered_as(&gateway, &receiver, "b"), "v1");
    assert!(
        fs::read_to_string(site.config())
            .unwrap()
            .contains("\"v2\""),
        "the file is left alone"
    );
    let refused = gateway.cli(&["reload"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("pinned"), "{refused:?}");
    gateway.terminate();
    assert_eq!(gateway.wait().0, Some(0));

    let gateway = site.start();
    assert!(
        gateway.words().contains("does not count"),
        "{}",
        gateway.words()
    );
    assert_eq!(gateway.get("/v1/config")["pinned"]["version"], 3);
    assert_eq!(delivered_as(&gateway, &receiver, "c"), "v1");
    gateway.kill();
    site.edit("\"v2\"", "\"v3\"");
    let gateway = site.start();
    let view = gateway.get("/v1/config");
    assert_eq!(
        (&view["version"]["number"], &view["pinned"]),
        (&json!(4), &Value::Null)
    );
    assert_eq!(view["version"]["cause"], "start");
    assert_eq!(delivered_as(&gateway, &receiver, "d"), "v3");
    let list = gateway.cli(&["config", "versions"]);
    assert!(list.ok().stdout.contains("rollback to 1"), "{list:?}");
    let told = [
        "config.start",
        "config.rollback",
        "config.reload",
        "config.start",
    ];
    assert_eq!(audited(&gateway), told);
    // Forward again, to the one that was rolled back from, by its number.
    gateway.cli(&["config", "rollback", "2"]).ok();
    assert_eq!(delivered_as(&gateway, &receiver, "e"), "v2");
    gateway.kill();
    assert_eq!(
        found_in(&site.data(), PLANTED),
        [""; 0],
        "texts of versions are sealed"
    );
}

/// What the audit log says of the configuration, the newest first.
fn audited(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.all("/v1/audit");
    let actions = entries.iter().filter_map(|it| it["action"].as_str());
    let of_config = actions.filter(|action| action.starts_with("config."));
    of_config.map(str::to_owned).collect()
}

/// The files under `dir` that hold `text`.
fn found_in(dir: &Path, text: &str) -> Vec<String> {
    let (mut open, mut found) = (vec![dir.to_owned()], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let bytes = fs::read(&path).unwrap();
            if bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn what_would_strand_deliveries_that_wait_is_asked_first_by_reload_and_by_start() {
    let receiver = Receiver::start(Instant::now(), |_| 503);
    let mut site = Site::new(&config(&receiver.url()));
    let gateway = site.start();
    for id in ["a", "b"] {
        gateway.accept(&body(id));
    }
    until("two that wait", || (gateway.counts().0 == 2).then_some(()));
    site.edit("[subscription.crm]", "[subscription.renamed]");
    let asked = gateway.cli(&["reload"]);
    assert_eq!(asked.code, Some(5), "{asked:?}");
    for named in ["crm", "2 deliveries wait", "--force"] {
        assert!(
            asked.stderr.contains(named),
            "`{named}` is not in {asked:?}"
        );
    }
    assert_eq!(version(&gateway), 1);
    let tried = gateway.cli(&["reload", "--force", "--dry-run"]);
    assert!(
        tried.ok().stdout.contains("deleted  subscription/crm"),
        "{tried:?}"
    );
    gateway.kill();

    let (code, words) = site.spawn().wait();
    assert_eq!(code, Some(3), "{words}");
    for named in ["crm", "2 deliveries wait", "serve --force"] {
        assert!(words.contains(named), "`{named}` is not in:\n{words}");
    }
    // Nothing was changed by the refusal: with the old file it goes on.
    site.edit("[subscription.renamed]", "[subscription.crm]");
    let gateway = site.start();
    assert_eq!((version(&gateway), gateway.counts().0), (1, 2));
    gateway.kill();
    site.edit("[subscription.crm]", "[subscription.renamed]");
    site.flags.push("--force");
    let gateway = site.start();
    assert_eq!(version(&gateway), 2);
    site.edit("[subscription.renamed]", "[subscription.crm]");
    gateway.cli(&["reload"]).ok();
    receiver.behave(|_| 200);
    assert_eq!(gateway.counts().0, 2, "what was stranded is there again");
}

#[test]
fn what_only_a_restart_takes_over_is_named_and_the_rest_counts_at_once() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&config(&receiver.url()));
    let gateway = site.start();
    site.edit(
        "shutdown_drain = \"5s\"",
        "shutdown_drain = \"6s\"\nmax_connections = 99",
    );
    site.edit(
        "[policy.slow]",
        "[alerts]\nlag = 7\n\n[retention]\nevents = \"3d\"\n\n[policy.slow]",
    );
    let told = gateway.cli(&["reload"]);
    let needed = "restart needed: server.shutdown_drain, server.max_connections";
    assert!(told.ok().stdout.contains(needed), "{told:?}");
    let view = gateway.get("/v1/config");
    assert_eq!(view["settings"]["maxConnections"], 2048);
    assert_eq!(view["settings"]["retentionEventsMs"], 3 * 86_400_000_u64);
    assert_eq!(view["restartNeeded"].as_array().unwrap().len(), 2);
    let alerts = gateway.all("/v1/alerts");
    let lag = alerts.iter().find(|it| it["name"] == "lag").unwrap();
    assert_eq!(lag["threshold"], 7);
    let shown = gateway.cli(&["config", "show"]);
    assert!(shown.ok().stdout.contains(needed), "{shown:?}");
    assert!(shown.stdout.contains("endpoint"), "{shown:?}");
    gateway.terminate();
    gateway.wait();
    let gateway = site.start();
    let view = gateway.get("/v1/config");
    assert_eq!(view["settings"]["maxConnections"], 99);
    assert_eq!(view["restartNeeded"], json!([]));
}

#[test]
fn a_watched_file_is_read_when_it_has_changed() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let mut site = Site::new(&config(&receiver.url()));
    site.flags.push("--watch");
    let gateway = site.start();
    site.edit("\"v1\"", "\"v2\"");
    until("the next version", || {
        (version(&gateway) == 2).then_some(())
    });
    assert_eq!(gateway.get("/v1/config")["version"]["actor"], "watch");
    assert_eq!(delivered_as(&gateway, &receiver, "a"), "v2");
}

#[test]
fn the_last_fifty_versions_are_kept_and_each_can_be_gone_back_to() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(&config(&receiver.url()));
    let gateway = site.start();
    for round in 1..=52 {
        site.edit(&format!("\"v{round}\""), &format!("\"v{}\"", round + 1));
        let done = gateway.tell("POST /v1/config:reload", &json!({}));
        assert_eq!(done["version"], round + 1);
    }
    let versions = gateway.all("/v1/config/versions?pageSize=7");
    let numbers: Vec<u64> = versions
        .iter()
        .map(|it| it["number"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (4..=53).rev().collect();
    assert_eq!(numbers, expected);
    let gone = gateway.cli(&["config", "rollback", "3"]);
    assert_eq!(gone.code, Some(4), "{gone:?}");
    gateway.cli(&["config", "rollback", "4"]).ok();
    assert_eq!(delivered_as(&gateway, &receiver, "a"), "v4");
}
