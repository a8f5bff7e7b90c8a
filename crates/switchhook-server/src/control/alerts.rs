//! `GET /v1/alerts`: every figure that is watched, and what is raised now. Breakers that are not closed are listed beside
//! them: they tell of themselves, but they are the first thing that people look for here.

use std::sync::Arc;

use axum::extract::State;
use http::Uri;
use switchhook_core::breaker;
use switchhook_core::engine::EndpointNow;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{AlertList, AlertStatus, AlertSubject};

use super::Control;
use super::answer::{Answer, json};
use super::paging::listed;
use super::request::Params;

/// The name under which breakers are listed.
const BREAKER: &str = "breaker";

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let gateway = &control.gateway;
    let mut all = gateway.alerts.status();
    all.push(breakers(&gateway.dispatch.snapshot().await?.endpoints));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let page: AlertList = listed(all, after.as_deref(), page_size, &uri, |alert| &alert.name);
    json(page)
}

fn breakers(endpoints: &[EndpointNow]) -> AlertStatus {
    let open = endpoints
        .iter()
        .filter(|endpoint| endpoint.state != breaker::State::Closed);
    let about: Vec<AlertSubject> = open
        .map(|endpoint| AlertSubject {
            object: format!("endpoint/{}", endpoint.endpoint),
            value: 1,
            since: Some(rfc3339(endpoint.since)),
        })
        .collect();
    AlertStatus {
        name: BREAKER.to_owned(),
        threshold: Some(1),
        unit: "breakers".to_owned(),
        raised: !about.is_empty(),
        about,
    }
}
