//! `/v1/events/{id}/timeline`: what became of an event for each subscription, attempt by attempt.
//!
//! One entry per subscription of the plan and per one that has left a trace. Where each delivery stands, [`standing`]
//! decides.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::Uri;
use switchhook_core::id::DeliveryId;
use switchhook_core::subscription::Target;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{AttemptView, BodyForm, DeliveryView, EventView, TimelineView};

use super::answer::{Answer, json};
use super::request::Params;
use super::scene::Scene;
use super::sight::Seen;
use super::standing::{Trace, standing};
use super::{Control, events};

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let event = events::find(&control, &id).await?;
    let scene = Scene::of(&control, event, sight).await?;
    let traces = scene.traces();
    let deliveries = traces
        .iter()
        .map(|(name, trace)| view(&scene, name, trace))
        .collect();
    json(TimelineView {
        event: EventView::new(&scene.event, BodyForm::Readable),
        deliveries,
    })
}

fn view(scene: &Scene, name: &str, trace: &Trace<'_>) -> DeliveryView {
    let facts = scene.facts(name, trace);
    let found = standing(&facts);
    let last = trace.attempts.last();
    let place = facts
        .subscription
        .map(|subscription| scene.plan.place(subscription, &scene.event));
    let of_traces = || {
        let row = trace.waiting.map(|row| row.place);
        row.or(trace.dead.map(|dead| dead.place))
    };
    let chains = trace.attempts.iter().map(|attempt| attempt.chain);
    let chains = chains
        .chain(trace.waiting.map(|row| row.chain))
        .chain(trace.dead.map(|dead| dead.chain));
    let endpoint = scene.endpoint(name).map(|endpoint| &*endpoint.endpoint);
    let target = facts.subscription.map(|subscription| {
        let (Target::Endpoint(name) | Target::Group(name)) = &subscription.target;
        &**name
    });
    let endpoint = endpoint
        .or(target)
        .or(trace.dead.map(|dead| &*dead.endpoint))
        .or(last.map(|last| &*last.endpoint));
    DeliveryView {
        id: DeliveryId::derive(scene.event.id, name).to_string(),
        subscription: name.to_owned(),
        endpoint: endpoint.unwrap_or_default().to_owned(),
        partition: place.or_else(of_traces).map_or(0, |place| place.partition),
        state: found.state,
        chain: chains.max().unwrap_or(0),
        attempts: trace
            .attempts
            .iter()
            .map(|attempt| AttemptView::from(*attempt))
            .collect(),
        next_at: found.next_at.map(rfc3339),
        reason: found.reason.map(str::to_owned),
        behind: found.behind.map(|offset| scene.behind(offset)),
        why: found.why,
    }
}
