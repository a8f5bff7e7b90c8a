//! Metrics as a scraper sees them.

use std::sync::Arc;

use switchhook_core::breaker::{Cause, State};
use switchhook_core::delivery::{Attempt, DeadReason, DeliveryKey, Failure, OutcomeKind, Verdict};
use switchhook_core::engine::{EndpointNow, LaneNow};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_store::query::Counts;
use switchhook_wire::config::load_toml;

use super::*;
use crate::dispatch::{Observer as _, Snapshot};
use crate::ingest::Observer as _;

fn plan(endpoints: &[&str]) -> Plan {
    plan_with(endpoints, "")
}

fn plan_with(endpoints: &[&str], more: &str) -> Plan {
    let section = |name: &&str| format!("[endpoint.{name}]\nurl = \"https://example.com/\"\n");
    let text: String = endpoints.iter().map(section).collect();
    let source = "[source.web]\nverify = { scheme = \"none\" }\n";
    load_toml(&format!("{source}{text}{more}"), "c.toml", &|_| None)
        .config
        .unwrap()
        .plan
}

fn observe(plan: &Plan) -> Observe {
    Observe::new(Clock::system(), plan)
}

fn judged(endpoint: &str, outcome: OutcomeKind, verdict: Verdict) -> Judged {
    let event = Event {
        offset: Offset(1),
        id: EventId(uuid::Uuid::from_u128(1)),
        source: "web".into(),
        kind: "Text".into(),
        key: None,
        received_at: UnixMs(1_000),
        headers: Arc::from([]),
        body: bytes::Bytes::new(),
    };
    let attempt = Attempt {
        key: DeliveryKey {
            subscription: "s".into(),
            offset: Offset(1),
        },
        partition: 0,
        chain: 0,
        n: 1,
        endpoint: endpoint.into(),
        at: UnixMs(1_900),
        duration_ms: 100,
        outcome,
        rule: "default".into(),
        verdict,
        detail: None,
        next_at: (verdict == Verdict::Retry).then_some(UnixMs(7_000)),
    };
    let dead = (verdict == Verdict::Dead).then_some(DeadReason::Refused);
    Judged {
        attempt,
        event: Arc::new(event),
        dead,
        breaker: None,
    }
}

fn lines(observe: &Observe) -> Vec<String> {
    observe
        .metrics(Reading {
            engine: "embedded",
            ..Reading::default()
        })
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_attempt_is_counted_by_what_came_back_and_what_was_decided() {
    let observe = observe(&plan(&["crm"]));
    let now = UnixMs(2_000);
    observe.judged(
        &judged("crm", OutcomeKind::Status(204), Verdict::Delivered),
        now,
    );
    observe.judged(
        &judged("crm", OutcomeKind::Status(503), Verdict::Retry),
        now,
    );
    observe.judged(
        &judged("crm", OutcomeKind::Failed(Failure::Timeout), Verdict::Retry),
        now,
    );
    observe.judged(&judged("crm", OutcomeKind::Status(404), Verdict::Dead), now);
    let lines = lines(&observe);
    for line in [
        r#"switchhook_attempts_total{endpoint="crm",outcome="delivered",status_class="2xx",reason="status"} 1"#,
        r#"switchhook_attempts_total{endpoint="crm",outcome="retry",status_class="5xx",reason="status"} 1"#,
        r#"switchhook_attempts_total{endpoint="crm",outcome="retry",status_class="none",reason="timeout"} 1"#,
        r#"switchhook_attempts_total{endpoint="crm",outcome="dead",status_class="4xx",reason="status"} 1"#,
        r#"switchhook_deliveries_total{endpoint="crm",outcome="delivered"} 1"#,
        r#"switchhook_deliveries_total{endpoint="crm",outcome="dead"} 1"#,
        r#"switchhook_dead_letters_total{endpoint="crm",reason="refused"} 1"#,
        r#"switchhook_delivery_age_seconds_sum{endpoint="crm"} 1.0"#,
        r#"switchhook_attempt_duration_seconds_count{endpoint="crm",outcome="failed"} 3"#,
        r#"switchhook_retry_delay_seconds_sum{endpoint="crm"} 10.0"#,
        r#"switchhook_build_info{version="0.1.0",store="embedded"} 1"#,
    ] {
        assert!(
            lines.iter().any(|found| found == line),
            "{line}\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn no_label_grows_with_what_comes_in() {
    let observe = observe(&plan(&["crm"]));
    for n in 0..100 {
        let name = format!("unknown-{n}");
        observe.judged(
            &judged(&name, OutcomeKind::Status(200), Verdict::Delivered),
            UnixMs(2_000),
        );
        observe.accepted(&name, 10, 10);
        observe.rejected(Some(&name), "signature-mismatch");
    }
    observe.rejected(None, "source-unknown");
    let text = lines(&observe).join("\n");
    assert!(!text.contains("unknown-"), "{text}");
    assert!(
        text.contains(r#"switchhook_deliveries_total{endpoint="other",outcome="delivered"} 100"#),
        "{text}"
    );
    assert!(
        text.contains(r#"{source="other",outcome="rejected",reason="signature-mismatch"} 100"#),
        "{text}"
    );
}

#[test]
fn counts_outlive_a_change_of_the_plan_and_go_with_their_endpoint() {
    let observe = observe(&plan(&["crm", "wfm"]));
    let delivered = |name| {
        observe.judged(
            &judged(name, OutcomeKind::Status(200), Verdict::Delivered),
            UnixMs(2_000),
        )
    };
    delivered("crm");
    delivered("wfm");
    observe.adopt(&plan(&["crm", "new"]));
    delivered("crm");
    let text = lines(&observe).join("\n");
    assert!(
        text.contains(r#"deliveries_total{endpoint="crm",outcome="delivered"} 2"#),
        "{text}"
    );
    assert!(
        text.contains(r#"deliveries_total{endpoint="new",outcome="delivered"} 0"#),
        "{text}"
    );
    assert!(!text.contains("wfm"), "{text}");
}

#[test]
fn each_metric_is_described_once_and_named_with_its_prefix() {
    let observe = observe(&plan(&["crm"]));
    observe.accepted("web", 10, 10);
    observe.judged(
        &judged("crm", OutcomeKind::Status(503), Verdict::Retry),
        UnixMs(2_000),
    );
    let types: Vec<String> = lines(&observe)
        .into_iter()
        .filter(|line| line.starts_with("# TYPE "))
        .collect();
    let unique: std::collections::BTreeSet<_> = types.iter().collect();
    assert_eq!(unique.len(), types.len(), "{types:?}");
    let named = |line: &String| {
        line.starts_with("# TYPE switchhook_") || line.starts_with("# TYPE process_")
    };
    assert!(types.len() > 15 && types.iter().all(named), "{types:?}");
}

#[test]
fn what_waits_and_what_is_held_are_counted_apart() {
    let grouped = "[group.pool]\nmembers = [\"crm\"]\n[subscription.a]\nsources = [\"web\"]\nendpoint = \"crm\"\n\
                   [subscription.b]\nsources = [\"web\"]\ngroup = \"pool\"\n";
    let plan = plan_with(&["crm"], grouped);
    let observe = observe(&plan);
    let counts = Counts {
        waiting: [("a".into(), 5), ("b".into(), 2), ("gone".into(), 9)].into(),
        held: [("a".into(), 3)].into(),
        ..Counts::default()
    };
    let reading = Reading {
        counts: Arc::new(counts),
        plan: Arc::new(plan),
        ..Reading::default()
    };
    let text = observe.metrics(reading.clone());
    for (subscription, state, count) in [
        ("a", "waiting", 2),
        ("a", "held", 3),
        ("b", "waiting", 2),
        ("other", "waiting", 9),
    ] {
        let line =
            format!(r#"queue_events{{subscription="{subscription}",state="{state}"}} {count}"#);
        assert!(text.contains(&line), "{line}\n{text}");
    }
    // By itself, and as a member of a group.
    let endpoint = &observe.live_view(&reading).endpoints[0];
    assert_eq!((endpoint.waiting, endpoint.held), (7, 3));
}

fn lane(subscription: &str, partition: u16, cursor: u64) -> LaneNow {
    LaneNow {
        subscription: subscription.into(),
        partition,
        endpoint: Some("crm".into()),
        cursor: Offset(cursor),
        position: Offset(cursor),
        done: 0,
        keys: 2,
        paused: false,
        enabled: true,
    }
}

fn endpoint(name: &str, state: State) -> EndpointNow {
    EndpointNow {
        endpoint: name.into(),
        state,
        cause: None,
        since: UnixMs(0),
        until: None,
        reason: None,
        pause_until: None,
        in_flight: 3,
        slots_now: 4,
        pace_per_second: None,
        waiting_lanes: 0,
    }
}

#[test]
fn lag_is_what_lies_between_the_partition_that_is_most_behind_and_the_end_of_the_log() {
    let reading = Reading {
        end: Offset(10),
        snapshot: Snapshot {
            lanes: vec![lane("s", 0, 7), lane("s", 1, 4)],
            ..Snapshot::default()
        },
        ..Reading::default()
    };
    assert_eq!(reading.lags(), [("s".into(), 6)].into());
}

#[test]
fn how_things_stand_is_shown_by_endpoint_and_by_partition() {
    let grouped = "[group.pool]\nmembers = [\"crm\"]\npartitions = 2\n\
                   [subscription.s]\nsources = [\"web\"]\ngroup = \"pool\"\n";
    let plan = plan_with(&["crm"], grouped);
    let observe = observe(&plan);
    let mut opened = judged("crm", OutcomeKind::Status(503), Verdict::Retry);
    opened.breaker = Some(Change {
        endpoint: "crm".into(),
        from: State::Closed,
        to: State::Open,
        cause: Cause::Failures,
        reason: None,
        at: UnixMs(2_000),
        until: None,
    });
    observe.judged(&opened, UnixMs(2_000));
    let reading = Reading {
        end: Offset(10),
        plan: Arc::new(plan),
        snapshot: Snapshot {
            endpoints: vec![endpoint("crm", State::Open)],
            lanes: vec![lane("s", 0, 7), lane("s", 1, 4)],
        },
        jobs: [("running", 1)].into(),
        alerts: [("lag", 2)].into(),
        ..Reading::default()
    };
    let text = observe.metrics(reading);
    for line in [
        r#"switchhook_attempts_in_flight{endpoint="crm"} 3"#,
        r#"switchhook_breaker_state{endpoint="crm",state="open"} 1"#,
        r#"switchhook_breaker_state{endpoint="crm",state="closed"} 0"#,
        r#"switchhook_breaker_transitions_total{endpoint="crm",to="open",cause="failures"} 1"#,
        r#"switchhook_endpoint_slots{endpoint="crm"} 4"#,
        r#"switchhook_lag_events{subscription="s"} 6"#,
        r#"switchhook_committed_offset{subscription="s"} 4"#,
        r#"switchhook_keys_busy{subscription="s"} 4"#,
        r#"switchhook_group_lag_events{group="pool",subscription="s",partition="0"} 3"#,
        r#"switchhook_group_committed_offset{group="pool",subscription="s",partition="1"} 4"#,
        r#"switchhook_group_partitions{group="pool",endpoint="crm"} 2"#,
        r#"switchhook_jobs{state="running"} 1"#,
        r#"switchhook_jobs{state="paused"} 0"#,
        r#"switchhook_alerts_raised{figure="lag"} 2"#,
        r#"switchhook_retention_removed_total{kind="events"} 0"#,
        "switchhook_retention_freed_bytes_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
