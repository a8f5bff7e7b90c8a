//! Answers: what they look like, and that what is stored reads back as itself.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use switchhook_core::breaker::{Cause, Change, State};
use switchhook_core::delivery::{Dead, DeadReason, Gap, Place};
use switchhook_core::engine::EndpointNow;
use switchhook_core::subscription::{Mismatch, Selection};

use super::*;

fn reads_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value, "{text}");
}

fn job(state: JobState) -> Job {
    Job {
        id: "job_01932b5f000070008000000000000001".to_owned(),
        kind: JobKind::Replay,
        state,
        select: JobSelection {
            status: JobStatus::Dead,
            subscription: Some("web-to-crm".to_owned()),
            ..JobSelection::default()
        },
        subscription: Some("web-to-crm".to_owned()),
        to: "web-to-bi".to_owned(),
        rate_per_second: 10,
        total: 1_204,
        done: 7,
        skipped: 1,
        failed: None,
        from: 1,
        until: 9_000,
        position: 42,
        created_at: "2026-11-20T10:00:00.000Z".to_owned(),
        started_at: Some("2026-11-20T10:00:01.000Z".to_owned()),
        ended_at: None,
        actor: "ops".to_owned(),
        error: None,
    }
}

#[test]
fn a_job_of_the_store_reads_back_as_itself_in_every_state() {
    for (state, is_over) in [
        (JobState::Counting, false),
        (JobState::Running, false),
        (JobState::Paused, false),
        (JobState::Done, true),
        (JobState::Cancelled, true),
        (JobState::Failed, true),
    ] {
        let mut job = job(state);
        reads_back(&job);
        assert_eq!(serde_json::to_value(state).unwrap(), json!(state.name()));
        assert_eq!(state.is_over(), is_over, "{state:?}");
        job.failed = Some(3);
        job.error = Some("subscription `web-to-bi` is gone".to_owned());
        job.select.event_ids = Some(vec!["evt_1".to_owned()]);
        job.select.from_offset = Some(u64::MAX);
        reads_back(&job);
    }
    assert_eq!(
        serde_json::to_value(job(JobState::Running)).unwrap(),
        json!({
            "id": "job_01932b5f000070008000000000000001", "kind": "replay", "state": "running",
            "select": {"status": "dead", "subscription": "web-to-crm"}, "subscription": "web-to-crm", "to": "web-to-bi",
            "ratePerSecond": 10, "total": 1204, "done": 7, "skipped": 1, "from": 1, "until": 9000, "position": 42,
            "createdAt": "2026-11-20T10:00:00.000Z", "startedAt": "2026-11-20T10:00:01.000Z", "actor": "ops",
        })
    );
}

#[test]
fn a_dead_letter_says_what_it_means_for_the_events_after_it() {
    let mut dead = Dead {
        key: DeliveryKey {
            subscription: "web-to-crm".into(),
            offset: Offset(7),
        },
        place: Place {
            partition: 3,
            key: None,
        },
        chain: 0,
        attempts: 12,
        at: UnixMs(0),
        reason: DeadReason::Exhausted,
        outcome: None,
        endpoint: "crm".into(),
        detail: None,
        gap: Gap::None,
    };
    for gap in Gap::ALL {
        dead.gap = *gap;
        let view = DeadLetterView::new(&dead, &event(b"{}"), BodyForm::Absent);
        assert_eq!((view.gap.as_str(), view.partition), (gap.name(), 3));
        reads_back(&view);
    }
}

#[test]
fn a_group_shows_every_partition_with_its_lag_and_says_when_it_never_drains() {
    let description = GroupDescription {
        name: "analytics".to_owned(),
        affinity: "key".to_owned(),
        partitions: 2,
        members: vec![GroupMember {
            endpoint: "a".to_owned(),
            available: true,
            state: "closed".to_owned(),
            partitions: 1,
            throughput_per_second: 12.5,
        }],
        subscriptions: vec![GroupProgress {
            subscription: "s".to_owned(),
            lag: 5,
            partitions: vec![PartitionView {
                partition: 1,
                committed: 95,
                end: 100,
                lag: 5,
                ..PartitionView::default()
            }],
            estimated_per_second: 80,
            ..GroupProgress::default()
        }],
    };
    reads_back(&description);
    assert_eq!(
        serde_json::to_value(&description.subscriptions[0]).unwrap(),
        json!({
            "subscription": "s", "paused": false, "lag": 5,
            "partitions": [{"partition": 1, "committed": 95, "end": 100, "lag": 5, "waiting": 0}],
            "estimatedPerSecond": 80, "measuredPerSecond": 0.0, "drainSeconds": null,
        })
    );
}

#[test]
fn an_explanation_has_a_code_for_everything_that_a_subscription_can_say() {
    let passed = |mismatch| Selection::PassedOver(mismatch);
    for (selection, code) in [
        (Selection::Taken, "taken"),
        (passed(Mismatch::Source), "source"),
        (passed(Mismatch::Type), "type"),
        (
            passed(Mismatch::Filter {
                at: 0,
                missing: None,
            }),
            "filter",
        ),
        (passed(Mismatch::Criterion(0)), "criterion"),
        (passed(Mismatch::When), "when"),
        (
            passed(Mismatch::Missing("event.data.id".to_owned())),
            "missing",
        ),
        (Selection::Failed("no".into()), "filter-failed"),
    ] {
        assert_eq!(
            serde_json::to_value(Why::from(&selection)).unwrap(),
            json!(code)
        );
    }
    let explanation = Explanation {
        event: ExplainedEvent::from(&event(b"{}")),
        subscriptions: vec![ExplainedSubscription {
            subscription: "s".to_owned(),
            taken: true,
            why: Why::Taken,
            text: "source, type and filter fit".to_owned(),
            detail: None,
            delivery: Some(ExplainedDelivery {
                id: "dlv_1".to_owned(),
                state: DeliveryState::Held,
                why: "an earlier event of its key is not settled".to_owned(),
                next_attempt_at: None,
                behind: Some(Behind {
                    event_id: None,
                    offset: 3,
                }),
                endpoint: Some("crm".to_owned()),
                partition: None,
                breaker: Some(BreakerState::default()),
                attempts: 0,
            }),
        }],
    };
    reads_back(&explanation);
}

#[test]
fn a_breaker_shows_what_it_gives_beside_what_is_configured() {
    let now = EndpointNow {
        endpoint: "crm".into(),
        state: State::HalfOpen,
        cause: Some(Cause::Failures),
        since: UnixMs(0),
        until: None,
        reason: Some("status 503".into()),
        pause_until: Some(UnixMs(5_000)),
        in_flight: 1,
        slots_now: 1,
        pace_per_second: Some(2),
        waiting_lanes: 3,
    };
    let state = BreakerState::new(&now, 16);
    reads_back(&state);
    assert_eq!(
        serde_json::to_value(&state).unwrap(),
        json!({
            "endpoint": "crm", "state": "half-open", "cause": "failures", "since": "1970-01-01T00:00:00.000Z",
            "reason": "status 503", "pausedUntil": "1970-01-01T00:00:05.000Z", "inFlight": 1, "slots": 1,
            "slotsConfigured": 16, "pacePerSecond": 2,
        })
    );
}

#[test]
fn a_change_of_a_breaker_is_told_in_the_words_of_the_breaker() {
    let change = Change {
        endpoint: "crm".into(),
        from: State::Closed,
        to: State::Open,
        cause: Cause::Failures,
        reason: Some("5 failures in a row".into()),
        at: UnixMs(0),
        until: Some(UnixMs(30_000)),
    };
    let told = BreakerChange::from(&change);
    reads_back(&told);
    assert_eq!(
        serde_json::to_value(&told).unwrap(),
        json!({
            "endpoint": "crm", "from": "closed", "to": "open", "cause": "failures", "reason": "5 failures in a row",
            "at": "1970-01-01T00:00:00.000Z", "until": "1970-01-01T00:00:30.000Z",
        })
    );
}

#[test]
fn an_answer_of_an_older_gateway_can_still_be_read() {
    let status = json!({
        "engine": "embedded", "dataDir": "./data", "durability": "fsync", "events": 1, "endOffset": 2, "bytes": 3,
        "waiting": 0, "dead": [],
    });
    let status: StoreStatus = serde_json::from_value(status).unwrap();
    assert_eq!((status.first_offset, status.retention.events_ms), (0, 0));
    reads_back(&status);
}

#[test]
fn the_other_answers_read_back_as_they_were_written() {
    reads_back(&SeekAnswer {
        partitions: vec![SeekMove::default()],
        ..SeekAnswer::default()
    });
    reads_back(&RebalanceAnswer {
        moves: vec![PartitionMove::default()],
        ..RebalanceAnswer::default()
    });
    reads_back(&JobCount::default());
    reads_back(&PauseState::default());
    reads_back(&AlertStatus {
        about: vec![AlertSubject::default()],
        ..AlertStatus::default()
    });
    reads_back(&TestReport {
        tests: vec![TestResult {
            deliveries: vec![TestDelivery::default()],
            differences: vec![TestDifference {
                what: "delay".to_owned(),
                subscription: None,
                expected: json!(">= 30s"),
                found: json!(5_000),
            }],
            ..TestResult::default()
        }],
        ..TestReport::default()
    });
    reads_back(&AuditView {
        number: 1,
        at: String::new(),
        actor: "ops".to_owned(),
        action: "replay.start".to_owned(),
        object: "subscription/s".to_owned(),
        detail: json!({"total": 3}),
        hash: "00ff".to_owned(),
    });
    reads_back(&AuditLine {
        number: 1,
        at_ms: 1_785_000_000_000,
        actor: "ops".to_owned(),
        action: "replay.start".to_owned(),
        object: "subscription/s".to_owned(),
        detail: r#"{ "total":3.0 }"#.to_owned(),
        hash: "00ff".to_owned(),
    });
    reads_back(&AuditKey {
        store: "s".to_owned(),
        key: "switchhook/s+00000000+AQ==".to_owned(),
    });
    reads_back(&CheckpointFileMark {
        file: "/f".to_owned(),
        entries: 7,
    });
}
