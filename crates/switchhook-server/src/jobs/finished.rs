//! The event of our own that tells of a job's end. It has the shape of all of them (`switchhook_core::alert`), and rides in
//! the batch that ends the job.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use switchhook_core::alert::{JOB_FINISHED, OwnEvent};
use switchhook_core::id::EventId;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{Job, JobState, time::rfc3339};
use uuid::Uuid;

/// Tells that `job`, which is over, has ended.
pub(super) fn finished(job: &Job, now: UnixMs) -> OwnEvent {
    let (severity, what) = match job.state {
        JobState::Failed => ("error", "failed"),
        JobState::Cancelled => ("warning", "was cancelled"),
        JobState::Done | JobState::Counting | JobState::Running | JobState::Paused => {
            ("info", "is done")
        }
    };
    let (id, to) = (&job.id, &job.to);
    let title = format!("Replay {id} {what}");
    let why = job
        .error
        .as_deref()
        .map_or_else(String::new, |error| format!(": {error}"));
    let summary = format!(
        "{title}{why}; {} of {} deliveries were put to work for subscription {to}, {} were left out.",
        job.done, job.total, job.skipped
    );
    let body = json!({
        "title": title,
        "severity": severity,
        // It asks nobody to act, so that it never opens an incident that nothing would close.
        "state": "cleared",
        "subject": { "kind": "job", "name": id },
        "summary": summary,
        "at": rfc3339(now),
        "job": id,
        "subscription": to,
        "outcome": job.state.name(),
        "total": job.total,
        "done": job.done,
        "skipped": job.skipped,
        "actor": job.actor,
        "error": job.error,
    });
    OwnEvent {
        id: EventId(Uuid::now_v7()),
        kind: JOB_FINISHED.into(),
        key: Some(id.as_str().into()),
        at: now,
        headers: Arc::from([("content-type".into(), "application/json".into())]),
        body: Bytes::from(body.to_string()),
    }
}
