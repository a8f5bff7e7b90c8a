//! `/v1/events/{id}/explain`: for every subscription, why it takes the event or not, and where the delivery is and why.
//!
//! Why is decided by the function that dispatch uses, under the plan of now: an event that came under another plan may
//! have been judged otherwise, and then its records show what became of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::Uri;
use serde_json::Value;
use switchhook_core::breaker;
use switchhook_core::id::DeliveryId;
use switchhook_core::subscription::{Mismatch, Selection, Subscription, Target};
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{
    DeliveryState, ExplainedDelivery, ExplainedEvent, ExplainedSubscription, Explanation, Why,
};
use switchhook_wire::config::Kind;

use super::answer::{Answer, json};
use super::request::Params;
use super::resources::Resources;
use super::scene::Scene;
use super::sight::Seen;
use super::standing::{Standing, Trace, mismatch_text, standing};
use super::{Control, breakers, events};

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let event = events::find(&control, &id).await?;
    let scene = Scene::of(&control, event, sight).await?;
    let resources = control.gateway.resources.lock().await;
    let attempts_ms = control.gateway.retention.settings().attempts_ms;
    let traces = scene.traces();
    let explained = scene.plan.subscriptions.values().map(|subscription| {
        let none = Trace::default();
        let trace = traces.get(&*subscription.name).unwrap_or(&none);
        explain(&scene, subscription, trace, (&resources, attempts_ms))
    });
    json(Explanation {
        event: ExplainedEvent::from(&*scene.event),
        subscriptions: explained.collect(),
    })
}

fn explain(
    scene: &Scene,
    subscription: &Subscription,
    trace: &Trace<'_>,
    (resources, attempts_ms): (&Resources, u64),
) -> ExplainedSubscription {
    let event = &*scene.event;
    let selection = subscription.select(event);
    let found = standing(&scene.facts(&subscription.name, trace));
    let is_untouched = trace.attempts.is_empty() && trace.waiting.is_none() && trace.dead.is_none();
    let (why, text, detail) = match &selection {
        // It would be taken, but nothing of it is there and nothing will be.
        Selection::Taken | Selection::Failed(_) if found.state == DeliveryState::NotMatched => {
            let forgotten = event.received_at.plus_ms(attempts_ms) <= scene.now;
            passed_over(forgotten)
        }
        Selection::Taken => (Why::Taken, taken_text(subscription), None),
        Selection::Failed(how) => {
            let text = "its filter fails on the event, so that nobody can say whether it is wanted";
            (Why::FilterFailed, text.to_owned(), Some(how.to_string()))
        }
        Selection::PassedOver(mismatch) => (
            Why::from(&selection),
            mismatch_text(subscription, event, mismatch),
            detail(subscription, mismatch, resources),
        ),
    };
    let has_delivery = !is_untouched || found.state != DeliveryState::NotMatched;
    ExplainedSubscription {
        subscription: subscription.name.to_string(),
        taken: why == Why::Taken,
        why,
        text,
        detail,
        delivery: has_delivery.then(|| delivery(scene, subscription, trace, found)),
    }
}

fn taken_text(subscription: &Subscription) -> String {
    let mut fits = vec!["source", "type"];
    if !subscription.filters.is_empty() {
        fits.push("the filter of its type");
    }
    if !subscription.criteria.is_empty() {
        fits.push("every criterion");
    }
    if subscription.when.is_some() {
        fits.push("`when`");
    }
    let last = fits.pop().unwrap_or_default();
    format!("it takes the event: {} and {last} fit", fits.join(", "))
}

fn passed_over(forgotten: bool) -> (Why, String, Option<String>) {
    let (why, text) = if forgotten {
        let text = "everything fits, but nothing is known of a delivery: retention has forgotten what became of it, \
                    or a seek left it out";
        (Why::PassedOver, text)
    } else {
        let text =
            "everything fits, but the subscription began after the event, or a seek left it out";
        (Why::BeforeStart, text)
    };
    (why, text.to_owned(), None)
}

/// What exactly does not fit, as it was written.
fn detail(
    subscription: &Subscription,
    mismatch: &Mismatch,
    resources: &Resources,
) -> Option<String> {
    match mismatch {
        Mismatch::Source | Mismatch::Type => None,
        Mismatch::Filter { at, missing } => {
            let filter = || subscription.filters.get(at).map(|filter| filter.text());
            missing.clone().or_else(|| filter().map(str::to_owned))
        }
        Mismatch::Criterion(at) => {
            let listed = resources.listed(Kind::Subscription, &subscription.name)?;
            criterion(&listed.body, *at).map(ToString::to_string)
        }
        Mismatch::When => subscription
            .when
            .as_ref()
            .map(|when| when.text().to_owned()),
        Mismatch::Missing(what) => Some(what.clone()),
    }
}

/// The criterion at this place of a declaration.
fn criterion(body: &Value, at: usize) -> Option<&Value> {
    let spellings = ["match_criteria", "matchCriteria"];
    spellings.iter().find_map(|key| body.get(key))?.get(at)
}

fn delivery(
    scene: &Scene,
    subscription: &Subscription,
    trace: &Trace<'_>,
    found: Standing,
) -> ExplainedDelivery {
    let endpoint = scene.endpoint(&subscription.name);
    let keeps = found.by_breaker
        || endpoint.is_some_and(|endpoint| endpoint.state != breaker::State::Closed)
            && !found.state.is_final();
    let is_grouped = matches!(subscription.target, Target::Group(_));
    let partition = scene.plan.place(subscription, &scene.event).partition;
    ExplainedDelivery {
        id: DeliveryId::derive(scene.event.id, &subscription.name).to_string(),
        state: found.state,
        why: found.why,
        next_attempt_at: found.next_at.map(rfc3339),
        behind: found.behind.map(|offset| scene.behind(offset)),
        endpoint: endpoint.map(|endpoint| endpoint.endpoint.to_string()),
        partition: is_grouped.then_some(partition),
        breaker: endpoint
            .filter(|_| keeps)
            .map(|endpoint| breakers::state(endpoint, &scene.plan)),
        attempts: trace.attempts.len() as u64,
    }
}
