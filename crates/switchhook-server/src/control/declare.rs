//! `/v1/{sources,endpoints,subscriptions,policies}`: looking at resources, and changing those that the API owns.
//!
//! A change is checked as a whole, written to the store, and put in force; the answer goes out when all of that is done,
//! even if the asker has gone. One lock serialises changes. `?dryRun=true` stops after the check. A change that concerns
//! deliveries that wait is refused, unless it says `?force=true`.
//! `GET /v1/secrets` shows which names exist and where each is read from, never a value. No request can set a value: it is
//! put into the directory of secrets, which is listed anew for each change, or declared in the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::{StatusCode, Uri};
use serde_json::{Value, json as object};
use switchhook_store::Batch;
use switchhook_store::batch::ResourceChange;
use switchhook_wire::api::{Owner, ResourceList, ResourceView};
use switchhook_wire::config::{Kind, Listed, Problem, SecretOrigin};
use switchhook_wire::problem::{self, FieldError, Kind as Refused};

use super::answer::{Answer, Refusal, json};
use super::audit::Actor;
use super::request::{Params, needed_json};
use super::resources::{Names, Resources};
use super::{Control, paging, stranded};
use crate::observe::log;
use crate::secrets::directory::Directory;

pub(super) async fn list(kind: Kind, State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let resources = control.gateway.resources.lock().await;
    let all = resources.of_kind(kind).map(|listed| resources.view(listed));
    json(page(all, after.as_deref(), page_size, &uri))
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
    json(page(all, after.as_deref(), page_size, &uri))
}

fn page(
    all: impl Iterator<Item = ResourceView>,
    after: Option<&str>,
    size: usize,
    uri: &Uri,
) -> ResourceList {
    paging::listed(all, after, size, uri, |view| &view.name)
}

/// The names in the directory of secrets, as they are now.
async fn names_in(directory: Directory) -> Answer<Names> {
    let listing = tokio::task::spawn_blocking(move || directory.names());
    let names = listing.await.map_err(Refusal::internal)?;
    names.map_err(Refusal::internal)
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
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    let flags = Flags::of(&uri)?;
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
        if !flags.force {
            nothing_stranded(&control, &resources, &changed).await?;
        }
        if flags.dry_run {
            return json(changed.view(found(&changed, kind, &name)?));
        }
        let change = (kind, &*name, Some(body));
        commit(&control, &actor, &mut resources, changed, change).await?;
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
    Extension(actor): Extension<Actor>,
    uri: Uri,
) -> Answer {
    let flags = Flags::of(&uri)?;
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
        if !flags.force {
            nothing_stranded(&control, &resources, &changed).await?;
        }
        if !flags.dry_run {
            let change = (kind, &*name, None);
            commit(&control, &actor, &mut resources, changed, change).await?;
            log::resource_changed(kind.name(), &name, None);
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    });
    change.await.map_err(Refusal::internal)?
}

/// Refuses a change that concerns deliveries that wait.
async fn nothing_stranded(control: &Control, old: &Resources, new: &Resources) -> Answer<()> {
    let counts = control.read(|store| store.counts()).await?;
    stranded::check(&old.plan(), &new.plan(), &counts)
}

/// Writes the change and puts `changed` in force. A write that failed changes nothing.
async fn commit(
    control: &Control,
    actor: &Actor,
    resources: &mut Resources,
    mut changed: Resources,
    (kind, name, body): (Kind, &str, Option<Value>),
) -> Answer<()> {
    let now = control.gateway.clock.now();
    let action = if body.is_some() {
        "resource.put"
    } else {
        "resource.delete"
    };
    // Bodies may hold secrets; what was put is in the store under its version.
    let entry = actor.entry(now, action, (kind.name(), name), &object!({}));
    let change = ResourceChange {
        kind: kind.name().into(),
        name: name.into(),
        body: body.map(|body| body.to_string().into()),
        at: now,
    };
    control
        .write(Batch {
            resources: vec![change],
            audit: vec![entry],
            ..Batch::default()
        })
        .await?;
    changed.adopt(control.read(|store| store.resources()).await?);
    *resources = changed;
    Ok(control.gateway.put_in_force(resources).await?)
}

/// What the query of a change says.
#[derive(Debug, Clone, Copy)]
struct Flags {
    /// Only check it.
    dry_run: bool,
    /// Do it although deliveries wait.
    force: bool,
}

impl Flags {
    fn of(uri: &Uri) -> Answer<Self> {
        let mut params = Params::of(uri);
        let (dry_run, force) = (params.flag("dryRun"), params.flag("force"));
        params.finish()?;
        Ok(Self { dry_run, force })
    }
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
    let detail = format!("{} `{name}` is used by {}", kind.name(), users.join(", "));
    problem::Body::new(Refused::InUse, detail)
        .with_hint("change or delete these first")
        .into()
}
