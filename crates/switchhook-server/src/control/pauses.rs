//! `POST /v1/subscriptions/{name}/pause|resume`, and the same for every subscription of a group.
//!
//! A paused subscription reads no further and sends nothing: what is under way ends, the rest waits where it is. The
//! pause is on disk, with its entry in the audit log, before dispatch is told, and in force when the answer goes out.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::json as object;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::Target;
use switchhook_store::Batch;
use switchhook_store::batch::{Pause, PauseChange};
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{Page, PauseRequest, PauseState, Stopped};
use switchhook_wire::problem::Body as Problem;

use super::Control;
use super::answer::{Answer, json};
use super::audit::Actor;
use super::breakers::checked_reason;
use super::request::{Params, optional_json};

/// What is paused or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Subscription,
    /// Every subscription that uses it.
    Group,
}

pub(super) async fn change(
    of: Of,
    pauses: bool,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let asked: PauseRequest = optional_json(body).await?.unwrap_or_default();
    let reason = checked_reason(asked.reason)?;
    let gateway = &control.gateway;
    let subscriptions = concerned(&gateway.plan.load(), of, &name)?;
    let now = gateway.clock.now();
    let pause = pauses.then(|| Pause {
        at: now,
        reason: reason.clone(),
    });
    let action = if pauses {
        "subscription.pause"
    } else {
        "subscription.resume"
    };
    let detail = object!({ "reason": reason.as_deref() });
    let batch = Batch {
        pauses: subscriptions
            .iter()
            .map(|subscription| PauseChange {
                subscription: subscription.clone(),
                pause: pause.clone(),
            })
            .collect(),
        audit: subscriptions
            .iter()
            .map(|subscription| actor.entry(now, action, ("subscription", subscription), &detail))
            .collect(),
        ..Batch::default()
    };
    let turn = gateway.dispatch.turn_to_pause().await;
    control.write(batch).await?;
    for subscription in &subscriptions {
        gateway.dispatch.pause(subscription, pauses);
    }
    drop(turn);
    // Messages are taken in order: once this one is answered, the pause is in force.
    gateway.dispatch.snapshot().await?;
    let plan = gateway.plan.load();
    let enabled = |name: &Arc<str>| {
        let subscription = plan.subscriptions.get(name);
        subscription.is_none_or(|subscription| subscription.enabled)
    };
    let mut states = subscriptions.iter().map(|subscription| PauseState {
        subscription: subscription.to_string(),
        paused: pauses,
        stopped: Stopped::of(enabled(subscription), pauses),
        since: pause.as_ref().map(|pause| rfc3339(pause.at)),
        reason: reason.as_deref().filter(|_| pauses).map(str::to_owned),
    });
    match of {
        Of::Subscription => json(states.next()),
        Of::Group => {
            let entities: Vec<PauseState> = states.collect();
            let page_size = entities.len();
            json(Page {
                entities,
                next_uri: None,
                page_size,
            })
        }
    }
}

fn concerned(plan: &Plan, of: Of, name: &str) -> Answer<Vec<Arc<str>>> {
    match of {
        Of::Subscription => match plan.subscriptions.get_key_value(name) {
            Some((name, _)) => Ok(vec![name.clone()]),
            None => Err(Problem::not_found("subscription", name).into()),
        },
        Of::Group => {
            let group = plan.groups.get(name);
            let group = group.ok_or_else(|| Problem::not_found("group", name))?;
            let users = plan.subscriptions.values();
            Ok(users
                .filter(|user| user.target == Target::Group(group.name.clone()))
                .map(|user| user.name.clone())
                .collect())
        }
    }
}
