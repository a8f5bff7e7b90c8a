//! `/v1/version` and `/v1/policies/{name}/preview`: what is known without asking the store.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::Uri;
use switchhook_wire::api::{PolicyPreview, VersionView};
use switchhook_wire::problem::Body as Problem;

use super::answer::{Answer, json};
use super::request::Params;
use super::{Control, ENGINE};

pub(super) async fn version(uri: Uri) -> Answer {
    Params::of(&uri).finish()?;
    json(VersionView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store: ENGINE.to_owned(),
    })
}

/// The schedule that a policy gives, from the function that schedules.
pub(super) async fn preview(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let plan = control.gateway.plan.load();
    let policy = plan
        .policies
        .get(&*name)
        .ok_or_else(|| Problem::not_found("policy", &name))?;
    json(PolicyPreview::from(&**policy))
}
