//! `GET /v1/attempts`: HTTP requests one by one, over all events: which delivery, where to, when, how long, with what result.
//!
//! Pages go back through the log, a bounded number of events each; the attempts of one event are never parted. A page may
//! be empty and yet not be the last: `nextUri` says. Within a page the newest attempt comes first.

use std::sync::Arc;

use axum::extract::State;
use http::Uri;
use switchhook_core::delivery::Attempt;
use switchhook_core::id::{DeliveryId, EventId, Offset};
use switchhook_core::plan::Plan;
use switchhook_store::query::{AttemptFilter, Limit};
use switchhook_wire::api::{AttemptEntry, AttemptList, AttemptView};

use super::Control;
use super::answer::{Answer, json};
use super::paging::{READ_BYTES_MAX, next_uri};
use super::request::Params;
use super::sight::Seen;

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    let mut params = Params::of(&uri);
    let status = params.number("status", 100..=999);
    let filter = AttemptFilter {
        subscription: params.text("subscription"),
        endpoint: params.text("endpoint"),
        status: status
            .and_then(|status| u16::try_from(status).ok())
            .map(|status| (status, status)),
        since: params.time("since"),
        until: params.time("until"),
    };
    let before = params.number("before", 1..=u64::MAX).map(Offset);
    let page_size = params.page_size();
    params.finish()?;
    let limit = Limit {
        items: page_size,
        bytes: READ_BYTES_MAX,
    };
    let read = control.read(move |store| store.attempts(&filter, before, limit));
    let page = read.await?;
    let plan = control.gateway.plan.load();
    let entities = page
        .attempts
        .iter()
        .map(|(attempt, event)| entry(&plan, &sight.attempt(attempt), *event));
    json(AttemptList {
        entities: entities.collect(),
        next_uri: page
            .next
            .map(|next| next_uri(&uri, "before", &next.0.to_string())),
        page_size,
    })
}

fn entry(plan: &Plan, attempt: &Attempt, event: EventId) -> AttemptEntry {
    let endpoint = plan.endpoints.get(&attempt.endpoint);
    AttemptEntry {
        event: event.to_string(),
        delivery: DeliveryId::derive(event, &attempt.key.subscription).to_string(),
        subscription: attempt.key.subscription.to_string(),
        url: endpoint.map(|endpoint| endpoint.url.to_string()),
        attempt: AttemptView::from(attempt),
    }
}
