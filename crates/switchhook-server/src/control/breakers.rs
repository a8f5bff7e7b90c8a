//! `/v1/breakers`, `PUT /v1/endpoints/{name}/breaker`, `POST /v1/endpoints/{name}/pause|resume`: how endpoints stand, and
//! opening and closing their breakers by hand.
//!
//! A pause is a breaker that a person opened: nothing is sent, deliveries wait and use up no attempt, and only a person
//! closes it. It outlives a restart.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::json as object;
use switchhook_core::engine::{EndpointNow, Operator};
use switchhook_core::plan::Plan;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{
    BreakerCommand, BreakerList, BreakerState, BreakerWish, PauseRequest, REASON_BYTES_MAX,
};
use switchhook_wire::problem::Body as Problem;

use super::Control;
use super::answer::{Answer, json};
use super::audit::Actor;
use super::paging::listed;
use super::request::{Faults, Params, needed_json, optional_json};

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let snapshot = control.gateway.dispatch.snapshot().await?;
    let plan = control.gateway.plan.load();
    let mut all: Vec<BreakerState> = snapshot
        .endpoints
        .iter()
        .map(|endpoint| state(endpoint, &plan))
        .collect();
    all.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    let page: BreakerList = listed(all, after.as_deref(), page_size, &uri, |breaker| {
        &breaker.endpoint
    });
    json(page)
}

/// How an endpoint stands, as it is shown.
pub(super) fn state(now: &EndpointNow, plan: &Plan) -> BreakerState {
    let configured = plan
        .endpoints
        .get(&now.endpoint)
        .map(|endpoint| endpoint.concurrency);
    BreakerState {
        endpoint: now.endpoint.to_string(),
        state: now.state.name().to_owned(),
        cause: now.cause.map(|cause| cause.name().to_owned()),
        since: rfc3339(now.since),
        until: now.until.map(rfc3339),
        reason: now.reason.as_deref().map(str::to_owned),
        paused_until: now.pause_until.map(rfc3339),
        in_flight: now.in_flight as u64,
        slots: now.slots_now,
        slots_configured: configured.unwrap_or(now.slots_now),
        pace_per_second: now.pace_per_second,
    }
}

pub(super) async fn command(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let asked: BreakerCommand = needed_json(body).await?;
    let wish = match asked.state {
        BreakerWish::Open => Operator::Open,
        BreakerWish::Closed => Operator::Close,
    };
    let reason = checked_reason(Some(asked.reason))?;
    operate(&control, &actor, &name, wish, reason).await
}

pub(super) async fn pause(
    control: State<Arc<Control>>,
    name: Path<String>,
    actor: Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    by_hand(control, name, actor, uri, body, Operator::Open).await
}

pub(super) async fn resume(
    control: State<Arc<Control>>,
    name: Path<String>,
    actor: Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    by_hand(control, name, actor, uri, body, Operator::Close).await
}

async fn by_hand(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
    wish: Operator,
) -> Answer {
    Params::of(&uri).finish()?;
    let asked: PauseRequest = optional_json(body).await?.unwrap_or_default();
    let reason = checked_reason(asked.reason)?;
    operate(&control, &actor, &name, wish, reason).await
}

/// What a person said, trimmed; `None` when they said nothing.
pub(super) fn checked_reason(reason: Option<String>) -> Answer<Option<Arc<str>>> {
    let reason = reason.map(|text| text.trim().to_owned());
    let reason = reason.filter(|text| !text.is_empty());
    if let Some(bytes) = reason.as_ref().map(String::len)
        && bytes > REASON_BYTES_MAX
    {
        let mut faults = Faults::default();
        let detail =
            format!("the reason has {bytes} bytes, at most {REASON_BYTES_MAX} are allowed");
        faults.malformed("reason", detail);
        faults.none()?;
    }
    Ok(reason.map(Arc::from))
}

async fn operate(
    control: &Control,
    actor: &Actor,
    name: &str,
    wish: Operator,
    reason: Option<Arc<str>>,
) -> Answer {
    let gateway = &control.gateway;
    let plan = gateway.plan.load_full();
    if !plan.endpoints.contains_key(name) {
        return Err(Problem::not_found("endpoint", name).into());
    }
    let action = match wish {
        Operator::Open => "breaker.open",
        Operator::Close => "breaker.close",
    };
    let detail = object!({ "reason": reason.as_deref() });
    let entry = actor.entry(gateway.clock.now(), action, ("endpoint", name), &detail);
    control.note(entry).await?;
    if let Some(change) = gateway.dispatch.operate(name, wish, reason).await? {
        gateway.observe.breaker_changed(&change);
    }
    let snapshot = gateway.dispatch.snapshot().await?;
    let now = snapshot
        .endpoints
        .iter()
        .find(|endpoint| *endpoint.endpoint == *name)
        .ok_or_else(|| Problem::not_found("endpoint", name))?;
    json(state(now, &plan))
}
