//! `/v1/jobs`: replays of more than one answers for at once. What a job does is decided in [`crate::jobs`].
//!
//! `POST` freezes the selection: everything that is in the log now, and nothing that comes later. `"dryRun": true` counts
//! it and makes nothing. The names must exist, and every fault is told at once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::header::LOCATION;
use http::{StatusCode, Uri};
use serde_json::json as object;
use switchhook_core::delivery::DeadReason;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::sight::Sight;
use switchhook_wire::api::time;
use switchhook_wire::api::{
    Job, JobCommand, JobKind, JobRequest, JobState, JobStatus, JobWish, Page,
};
use switchhook_wire::problem::{Body as Problem, Kind};

use super::Control;
use super::answer::{Answer, Refusal, json};
use super::audit::Actor;
use super::paging::next_uri;
use super::request::{Faults, Params, needed_json};
use super::sight::Seen;
use crate::jobs::{Draft, Refused};

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooMany(_) | Refused::Over { .. } => {
                Self::new(Kind::Conflict, refused.to_string())
            }
            Refused::Unknown(id) => Problem::not_found("job", &id).into(),
            Refused::Selection(_) => Self::new(Kind::InvalidRequest, refused.to_string()),
            Refused::Store(error) => error.into(),
            Refused::Dispatch(stopped) => stopped.into(),
        }
    }
}

pub(super) async fn make(
    State(control): State<Arc<Control>>,
    Extension(actor): Extension<Actor>,
    Seen(sight): Seen,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let request: JobRequest = needed_json(body).await?;
    let (dry_run, JobKind::Replay) = (request.dry_run, request.kind);
    let draft = checked(&control, request, sight).await?;
    let jobs = &control.gateway.jobs;
    if dry_run {
        return json(jobs.count(draft).await?);
    }
    let job = jobs
        .make(draft, actor.0.clone(), |job| made(&control, &actor, job))
        .await?;
    let place = format!("/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, place)], Json(job)).into_response())
}

/// The entry of the audit log for a job that is made.
pub(super) fn made(
    control: &Control,
    actor: &Actor,
    job: &Job,
) -> switchhook_store::batch::AuditEntry {
    let mut select = serde_json::to_value(&job.select).unwrap_or_default();
    if let (Some(members), Some(ids)) = (select.as_object_mut(), &job.select.event_ids) {
        // Thousands of ids tell a reader less than how many there are.
        members.insert("eventIds".to_owned(), ids.len().into());
    }
    let detail = object!({
        "select": select,
        "to": job.to,
        "from": job.from,
        "until": job.until,
        "ratePerSecond": job.rate_per_second,
    });
    let now = control.gateway.clock.now();
    actor.entry(now, "replay.start", ("job", &job.id), &detail)
}

/// The request as a draft: whole, and within what the log holds now.
async fn checked(control: &Control, request: JobRequest, sight: Sight) -> Answer<Draft> {
    let mut errors = request.faults();
    let select = &request.select;
    let mut faults = Faults::under("/select");
    for id in select.event_ids.iter().flatten() {
        faults.parsed("eventIds", Some(id.clone()), str::parse::<EventId>);
    }
    let reasons: Vec<&str> = DeadReason::ALL.iter().map(|reason| reason.name()).collect();
    let reason = select.reason.clone();
    faults.word("reason", reason, &reasons, DeadReason::from_name);
    errors.extend(faults.take());
    if !errors.is_empty() {
        return Err(Refusal::faults(Kind::InvalidRequest, errors));
    }
    let to = request.to.as_ref().or(select.subscription.as_ref());
    let to: Arc<str> = to.map(String::as_str).unwrap_or_default().into();
    let plan = control.gateway.plan.load_full();
    let known = |name: &str| plan.subscriptions.contains_key(name);
    // The dead letters of a subscription that is gone can still go to another one.
    let of_dead = select.status == JobStatus::Dead || select.reason.is_some();
    let of = select.subscription.as_deref().filter(|_| !of_dead);
    for name in [Some(&*to), of].into_iter().flatten() {
        if !known(name) {
            return Err(Problem::not_found("subscription", name).into());
        }
    }
    let since = select.since.as_deref().map(time::parse).transpose();
    let since = since.map_err(|error| Refusal::new(Kind::InvalidRequest, error.to_string()))?;
    let read = control.read(move |store| {
        let since = since.map(|since| store.offset_at(since)).transpose()?;
        Ok((store.counts()?.first, since))
    });
    let (first, since) = read.await?;
    let end = control.gateway.store.tail().end();
    let from = Offset(select.from_offset.unwrap_or(0)).max(first);
    let from = from.max(since.unwrap_or(first));
    let until = select.to_offset.map_or(end, Offset).min(end);
    Ok(Draft {
        to,
        rate_per_second: request.rate_per_second,
        from: from.min(until),
        until,
        ranges: None,
        sight,
        select: request.select,
    })
}

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    const STATES: [JobState; 6] = [
        JobState::Counting,
        JobState::Running,
        JobState::Paused,
        JobState::Done,
        JobState::Cancelled,
        JobState::Failed,
    ];
    let mut params = Params::of(&uri);
    let (state, before) = (params.text("state"), params.text("before"));
    let state = params
        .faults
        .word("state", state, &STATES.map(JobState::name), |word| {
            STATES.into_iter().find(|state| state.name() == word)
        });
    let page_size = params.page_size();
    params.finish()?;
    let all = control.gateway.jobs.all().await?;
    let left = all.into_iter();
    // Ids grow with the time at which a job is made.
    let mut left = left
        .filter(|job| before.as_ref().is_none_or(|before| job.id < *before))
        .filter(|job| state.is_none_or(|state| job.state == state))
        .peekable();
    let entities: Vec<Job> = left.by_ref().take(page_size).collect();
    let last = entities.last().filter(|_| left.peek().is_some());
    let next_uri = last.map(|last| next_uri(&uri, "before", &last.id));
    json(Page {
        entities,
        next_uri,
        page_size,
    })
}

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    json(control.gateway.jobs.one(&id).await?)
}

pub(super) async fn command(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let asked: JobCommand = needed_json(body).await?;
    let action = match asked.state {
        JobWish::Paused => "replay.pause",
        JobWish::Running => "replay.resume",
        JobWish::Cancelled => "replay.cancel",
    };
    let now = control.gateway.clock.now();
    let entry = actor.entry(now, action, ("job", &id), &object!({}));
    json(
        control
            .gateway
            .jobs
            .command(&id, asked.state, entry)
            .await?,
    )
}
