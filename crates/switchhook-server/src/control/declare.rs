//! `/v1/{sources,endpoints,subscriptions,policies}`: looking at resources, and changing those that the API owns.
//!
//! A change is checked as a whole, written to the store, and put in force; the answer goes out when all of that is done,
//! even if the asker has gone. One lock serialises changes. `?dryRun=true` stops after the check.
//! `GET /v1/secrets` shows which names exist and where each is read from, never a value. No request can set a value: it is
//! put into the directory of secrets, which is listed anew for each change, or declared in the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde_json::{Value, json as object};
use switchhook_store::Batch;
use switchhook_store::batch::ResourceChange;
use switchhook_wire::api::{Owner, ResourceList, ResourceView};
use switchhook_wire::config::{Kind, Listed, Problem, SecretOrigin};
use switchhook_wire::problem::{self, FieldError, Kind as Refused};

use super::Control;
use super::answer::{Answer, Refusal, json};
use super::paging::next_uri;
use super::request::{Params, needed_json};
use super::resources::{Names, Resources};
use crate::observe::log;
use crate::secrets::directory::Directory;

pub(super) async fn list(kind: Kind, State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let resources = control.gateway.resources.lock().await;
    let all = resources
        .of_kind(kind)
        .filter(|listed| after.as_deref().is_none_or(|after| &*listed.name > after));
    json(page(
        all.map(|listed| resources.view(listed)),
        page_size,
        &uri,
    ))
}

pub(super) async fn secrets(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let resources = control.gateway.resources.lock().await;
    let directory = resources.directory();
    let names = names_in(directory.clone()).await?;
    let of_directory = names.iter().map(|name| {
        let place = object!({ "file": directory.file(name) });
        (name, (Owner::Directory, place))
    });
    let of_file = resources.secrets_of_file().iter().map(|(name, origin)| {
        let place = match origin {
            SecretOrigin::File(path) => object!({ "file": path }),
            SecretOrigin::Env(variable) => object!({ "env": variable }),
        };
        (name, (Owner::File, place))
    });
    // The later one of a name stays: that of the file.
    let all: BTreeMap<_, _> = of_directory.chain(of_file).collect();
    let all = all.into_iter().map(|(name, (owner, body))| ResourceView {
        kind: "secret".to_owned(),
        name: name.to_string(),
        version: 0,
        owner,
        defined_at: None,
        updated_at: None,
        body,
    });
    let all = all.filter(|view| after.as_ref().is_none_or(|after| view.name > *after));
    json(page(all, page_size, &uri))
}

/// The names in the directory of secrets, as they are now.
async fn names_in(directory: Directory) -> Answer<Names> {
    let listing = tokio::task::spawn_blocking(move || directory.names());
    let names = listing.await.map_err(Refusal::internal)?;
    names.map_err(Refusal::internal)
}

/// The first `size` of `all`, which are in the order of their names.
fn page(all: impl Iterator<Item = ResourceView>, size: usize, uri: &Uri) -> ResourceList {
    let mut all = all.peekable();
    let entities: Vec<ResourceView> = all.by_ref().take(size).collect();
    let last = entities.last().filter(|_| all.peek().is_some());
    let next_uri = last.map(|last| next_uri(uri, "after", &last.name));
    ResourceList {
        entities,
        next_uri,
        page_size: size,
    }
}

pub(super) async fn show(
    kind: Kind,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
) -> Answer {
    let resources = control.gateway.resources.lock().await;
    json(resources.view(found(&resources, kind, &name)?))
}

pub(super) async fn put(
    kind: Kind,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    uri: Uri,
    body: Body,
) -> Answer {
    let dry_run = dry_run(&uri)?;
    let body: Value = needed_json(body).await?;
    let change = tokio::spawn(async move {
        let mut resources = control.gateway.resources.lock().await;
        let is_new = match resources.listed(kind, &name) {
            Some(listed) => {
                owned_here(listed)?;
                listed.origin.owner == Owner::BuiltIn
            }
            None => true,
        };
        let names = names_in(resources.directory().clone()).await?;
        let changed = resources
            .with(kind, &name, Some(body.clone()), names)
            .map_err(|problems| invalid(&problems))?;
        if dry_run {
            return json(changed.view(found(&changed, kind, &name)?));
        }
        commit(&control, &mut resources, changed, kind, &name, Some(body)).await?;
        let view = resources.view(found(&resources, kind, &name)?);
        log::resource_changed(kind.name(), &name, Some(view.version));
        let status = if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok((status, Json(view)).into_response())
    });
    change.await.map_err(Refusal::internal)?
}

pub(super) async fn delete(
    kind: Kind,
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answer {
    let dry_run = dry_run(&uri)?;
    let change = tokio::spawn(async move {
        let mut resources = control.gateway.resources.lock().await;
        let listed = found(&resources, kind, &name)?;
        owned_here(listed)?;
        if listed.origin.owner == Owner::BuiltIn {
            return Err(Refusal::new(
                Refused::Conflict,
                format!("{} `{name}` is built in", kind.name()),
            ));
        }
        let names = names_in(resources.directory().clone()).await?;
        let changed = resources
            .with(kind, &name, None, names)
            .map_err(|problems| in_use(&resources, kind, &name, &problems))?;
        if !dry_run {
            commit(&control, &mut resources, changed, kind, &name, None).await?;
            log::resource_changed(kind.name(), &name, None);
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    });
    change.await.map_err(Refusal::internal)?
}

/// Writes the change and puts `changed` in force. A write that failed changes nothing.
async fn commit(
    control: &Control,
    resources: &mut Resources,
    mut changed: Resources,
    kind: Kind,
    name: &str,
    body: Option<Value>,
) -> Answer<()> {
    let change = ResourceChange {
        kind: kind.name().into(),
        name: name.into(),
        body: body.map(|body| body.to_string().into()),
        at: control.gateway.clock.now(),
    };
    control
        .write(Batch {
            resources: vec![change],
            ..Batch::default()
        })
        .await?;
    changed.adopt(control.read(|store| store.resources()).await?);
    *resources = changed;
    Ok(control.gateway.put_in_force(resources).await?)
}

fn dry_run(uri: &Uri) -> Answer<bool> {
    let mut params = Params::of(uri);
    let dry_run = params.flag("dryRun");
    params.finish()?;
    Ok(dry_run)
}

fn found<'r>(resources: &'r Resources, kind: Kind, name: &str) -> Answer<&'r Listed> {
    let listed = resources.listed(kind, name);
    Ok(listed.ok_or_else(|| problem::Body::not_found(kind.name(), name))?)
}

fn owned_here(listed: &Listed) -> Answer<()> {
    if listed.origin.owner != Owner::File {
        return Ok(());
    }
    let place = listed
        .origin
        .defined_at
        .as_deref()
        .unwrap_or("the configuration file");
    let detail = format!(
        "{} `{}` is declared at {place}",
        listed.kind.name(),
        listed.name
    );
    Err(problem::Body::new(Refused::OwnedByFile, detail)
        .with_hint("change it there and restart")
        .into())
}

fn invalid(problems: &[Problem]) -> Refusal {
    let errors = problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(FieldError::from);
    Refusal::faults(Refused::InvalidResource, errors.collect())
}

/// A resource that cannot go: because of those that mention it, else because of what `problems` say.
fn in_use(resources: &Resources, kind: Kind, name: &str, problems: &[Problem]) -> Refusal {
    let users = resources.users(kind, name);
    if users.is_empty() {
        return invalid(problems);
    }
    let detail = format!(
        "{} `{name}` is used by subscription {}",
        kind.name(),
        users.join(", ")
    );
    problem::Body::new(Refused::InUse, detail)
        .with_hint("change or delete these first")
        .into()
}
