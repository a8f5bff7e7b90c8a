//! `/v1/{sources,endpoints,subscriptions,policies}`: looking at resources, and changing those that the API owns.
//!
//! How a change is checked, written and put in force is in [`super::commit`].

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use switchhook_wire::api::{Owner, ResourceList, ResourceView};
use switchhook_wire::config::{Kind, Listed};
use switchhook_wire::problem;

use super::answer::{Answer, json};
use super::ask::Ask;
use super::commit::{self, Proposal};
use super::precondition::{Precondition, tagged};
use super::request::{Params, needed_json};
use super::resources::{Change, Resources};
use super::{Control, paging};

pub(super) async fn list(kind: Kind, State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let resources = control.gateway.resources.lock().await;
    let all = resources.of_kind(kind).map(|listed| resources.view(listed));
    json(page(all, after.as_deref(), page_size, &uri))
}

pub(super) fn page(
    all: impl Iterator<Item = ResourceView>,
    after: Option<&str>,
    size: usize,
    uri: &Uri,
) -> ResourceList {
    paging::listed(all, after, size, uri, |view| &view.name)
}

pub(super) async fn show(
    kind: Kind,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let precondition = Precondition::of(&headers)?;
    let resources = control.gateway.resources.lock().await;
    let view = resources.view(found(&resources, kind, &name)?);
    if precondition.has(&view.etag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        tagged(&view.etag, response.headers_mut());
        return Ok(response);
    }
    Ok(answered(StatusCode::OK, view))
}

pub(super) async fn put(
    kind: Kind,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    ask: Ask,
    body: Body,
) -> Answer {
    let body: Value = needed_json(body).await?;
    let (changed, path) = (name.clone(), name.clone());
    let propose = move |_: &Resources| {
        Ok(Proposal::of([Change {
            kind,
            name: changed,
            body: Some(body),
        }]))
    };
    let answer = move |before: &Resources, after: &Resources| {
        let view = after.view(found(after, kind, &path)?);
        let was = before.listed(kind, &path).map(|listed| listed.origin.owner);
        let status = match was {
            None | Some(Owner::BuiltIn) => StatusCode::CREATED,
            Some(Owner::Api | Owner::File) => StatusCode::OK,
        };
        Ok(answered(status, view))
    };
    commit::change(&control, &ask, propose, answer).await
}

pub(super) async fn delete(
    kind: Kind,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Answer {
    let propose = move |resources: &Resources| {
        found(resources, kind, &name)?;
        Ok(Proposal::of([Change {
            kind,
            name,
            body: None,
        }]))
    };
    let answer = |_: &Resources, _: &Resources| Ok(StatusCode::NO_CONTENT.into_response());
    commit::change(&control, &ask, propose, answer).await
}

fn answered(status: StatusCode, view: ResourceView) -> Response {
    let etag = view.etag.clone();
    let mut response = (status, Json(view)).into_response();
    tagged(&etag, response.headers_mut());
    response
}

fn found<'r>(resources: &'r Resources, kind: Kind, name: &str) -> Answer<&'r Listed> {
    let listed = resources.listed(kind, name);
    Ok(listed.ok_or_else(|| problem::Body::not_found(kind.name(), name))?)
}
