//! Requests: what is taken, what its defaults are, and what is refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

/// `json` as it is read and written again.
fn again<T: Serialize + DeserializeOwned>(json: &Value) -> Value {
    let read: T = serde_json::from_value(json.clone()).unwrap();
    serde_json::to_value(read).unwrap()
}

#[test]
fn every_request_reads_back_as_it_was_written() {
    let seek =
        json!({"to": {"offset": 12}, "subscription": "s", "partitions": [0, 3], "dryRun": false});
    assert_eq!(again::<Seek>(&seek), seek);
    for to in [
        json!({"time": "2026-11-20T10:00:00Z"}),
        json!({"delta": -100}),
    ] {
        let seek = json!({"to": to, "dryRun": true});
        assert_eq!(again::<Seek>(&seek), seek);
    }
    let rebalance = json!({"dryRun": false});
    assert_eq!(again::<Rebalance>(&rebalance), rebalance);
    let breaker = json!({"state": "open", "reason": "maintenance"});
    assert_eq!(again::<BreakerCommand>(&breaker), breaker);
    let pause = json!({"reason": "release"});
    assert_eq!(again::<PauseRequest>(&pause), pause);
    let command = json!({"state": "cancelled"});
    assert_eq!(again::<JobCommand>(&command), command);
    let job = json!({
        "kind": "replay",
        "select": {
            "eventIds": ["evt_1"], "source": "web", "type": "T", "key": "c1", "since": "2026-11-20T10:00:00Z",
            "until": "2026-11-21T10:00:00Z", "fromOffset": 1, "toOffset": 9, "status": "dead", "subscription": "s",
            "reason": "exhausted",
        },
        "to": "t", "ratePerSecond": 50, "dryRun": true,
    });
    assert_eq!(again::<JobRequest>(&job), job);
}

#[test]
fn what_changes_much_is_a_dry_run_unless_it_says_otherwise() {
    let seek: Seek = serde_json::from_value(json!({"to": {"offset": 1}})).unwrap();
    let rebalance: Rebalance = serde_json::from_value(json!({})).unwrap();
    assert!(seek.dry_run && rebalance.dry_run);
    assert_eq!(Rebalance::default(), rebalance);
}

#[test]
fn a_job_takes_everything_at_ten_a_second_unless_it_says_otherwise() {
    let least = json!({"kind": "replay", "select": {"subscription": "s"}});
    let job: JobRequest = serde_json::from_value(least).unwrap();
    assert_eq!(
        (job.rate_per_second, job.dry_run),
        (JOB_RATE_DEFAULT, false)
    );
    assert_eq!(job.select.status, JobStatus::Any);
    assert_eq!(job.faults(), []);
}

#[test]
fn a_misspelt_member_is_refused() {
    assert!(serde_json::from_value::<Seek>(json!({"to": {"offset": 1}, "dryrun": false})).is_err());
    assert!(serde_json::from_value::<Seek>(json!({"to": {"offset": 1, "delta": 2}})).is_err());
    assert!(serde_json::from_value::<Seek>(json!({"to": {"ofset": 1}})).is_err());
    assert!(serde_json::from_value::<Rebalance>(json!({"dry_run": false})).is_err());
    assert!(serde_json::from_value::<BreakerCommand>(json!({"state": "open"})).is_err());
    assert!(
        serde_json::from_value::<BreakerCommand>(json!({"state": "half-open", "reason": ""}))
            .is_err()
    );
    assert!(serde_json::from_value::<PauseRequest>(json!({"why": "a"})).is_err());
    assert!(serde_json::from_value::<JobRequest>(json!({"kind": "replay"})).is_err());
    let misspelt = json!({"kind": "replay", "select": {"subscripton": "s"}});
    assert!(serde_json::from_value::<JobRequest>(misspelt).is_err());
    assert!(serde_json::from_value::<JobCommand>(json!({"state": "done"})).is_err());
    assert!(serde_json::from_value::<JobQuery>(json!({"status": "done"})).is_err());
    assert!(serde_json::from_value::<AuditQuery>(json!({"after": 1})).is_err());
}

#[test]
fn a_job_that_cannot_be_is_refused_with_everything_that_is_wrong() {
    let table = [
        (json!({"select": {}}), vec!["/to"]),
        (
            json!({"select": {"subscription": "s"}, "ratePerSecond": 0}),
            vec!["/ratePerSecond"],
        ),
        (
            json!({"select": {"subscription": "s"}, "ratePerSecond": JOB_RATE_MAX + 1}),
            vec!["/ratePerSecond"],
        ),
        (
            json!({"select": {"subscription": "s", "eventIds": []}}),
            vec!["/select/eventIds"],
        ),
        (
            json!({"select": {"status": "dead"}, "to": "t"}),
            vec!["/select/subscription"],
        ),
        (
            json!({"select": {"reason": "expired"}, "to": "t"}),
            vec!["/select/subscription"],
        ),
        (
            json!({"select": {"subscription": "s", "status": "delivered", "reason": "expired"}}),
            vec!["/select/reason"],
        ),
        (
            json!({"select": {"subscription": "s", "fromOffset": 5, "toOffset": 5}}),
            vec!["/select/toOffset"],
        ),
        (
            json!({"select": {"since": "yesterday", "until": "now"}, "ratePerSecond": 0}),
            vec!["/ratePerSecond", "/to", "/select/since", "/select/until"],
        ),
        (json!({"select": {"source": "web"}, "to": "t"}), vec![]),
    ];
    for (mut json, pointers) in table {
        json["kind"] = "replay".into();
        let request: JobRequest = serde_json::from_value(json.clone()).unwrap();
        let faults = request.faults();
        let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{json}");
    }
}

#[test]
fn a_reason_is_short_and_a_seek_goes_somewhere() {
    let seek = |json| -> Vec<String> {
        let seek: Seek = serde_json::from_value(json).unwrap();
        seek.faults()
            .into_iter()
            .map(|fault| fault.pointer)
            .collect()
    };
    assert_eq!(
        seek(json!({"to": {"offset": 0}, "partitions": [0]})),
        [""; 0]
    );
    assert_eq!(
        seek(json!({"to": {"time": "2026-11-20T10:00:00Z"}})),
        [""; 0]
    );
    assert_eq!(seek(json!({"to": {"time": "noon"}})), ["/to/time"]);
    assert_eq!(
        seek(json!({"to": {"delta": 0}, "partitions": []})),
        ["/to/delta", "/partitions"]
    );
    for (reason, faults) in [
        ("maintenance".to_owned(), 0),
        (String::new(), 1),
        ("x".repeat(513), 1),
    ] {
        let pause = PauseRequest {
            reason: Some(reason.clone()),
        };
        let breaker = BreakerCommand {
            state: BreakerWish::Open,
            reason,
        };
        assert_eq!(
            (pause.faults().len(), breaker.faults().len()),
            (faults, faults)
        );
    }
    assert_eq!(PauseRequest::default().faults(), []);
}
