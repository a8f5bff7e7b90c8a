//! `/v1/secrets`: which secrets there are, and setting, rotating and deleting those that the store keeps.
//!
//! Values only come in. No answer, audit entry, log line or refusal has one, and a body that cannot be read is refused
//! without a word of it. A secret of the configuration file is changed there. What uses a secret that is changed has the
//! new value at its next use, and what was held for a refused credential is tried again at once.
//!
//! Bounds: `core::secret::versions` for values and overlaps, `secrets::kept` for how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde_json::{Value, json as object};
use switchhook_core::secret::versions::Versions;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::DocumentChange;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{Owner, SecretPlace, SecretRotation, SecretSet, SecretView};
use switchhook_wire::config::{Kind, SecretOrigin, is_name, secrets_in};
use switchhook_wire::problem::{self, FieldError, Kind as Refused};

use super::Control;
use super::answer::{Answer, Refusal, json};
use super::ask::Ask;
use super::commit::{self, Proposal};
use super::paging::listed;
use super::precondition::{Current, Precondition, etag, tagged};
use super::request::{BODY_BYTES_MAX, Params};
use super::resources::{Names, Resources};
use crate::gateway::Gateway;
use crate::secrets::kept::{self, NotChanged};

/// The word for it in tags, audit entries and problems.
const KIND: &str = "secret";

/// The names that resources of the API may mention besides those of the file, once `changed` is written.
pub(super) fn names(control: &Control, changed: &[DocumentChange]) -> Names {
    control.gateway.secrets.names_after(changed)
}

/// Secrets that were written are in force from now on.
pub(super) fn adopt(control: &Control, changed: &[DocumentChange]) -> Answer<()> {
    let Gateway { secrets, vault, .. } = &*control.gateway;
    secrets.adopt(vault, changed).map_err(Refusal::internal)
}

/// What the audit log says of a secret that is written: the action, and what is known of it.
pub(super) fn told(control: &Control, change: &DocumentChange) -> (&'static str, Value) {
    let Some(sealed) = &change.body else {
        let before = control.gateway.secrets.kept(&change.id);
        let version = before.map(|versions| versions.number());
        return ("secret.delete", object!({ "version": version }));
    };
    let Ok(versions) = kept::opened(&control.gateway.vault, &change.id, sealed) else {
        return ("secret.set", Value::Null);
    };
    let version = versions.number();
    match versions.overlap_until() {
        Some(until) => (
            "secret.rotate",
            object!({ "version": version, "overlapUntil": rfc3339(until) }),
        ),
        None => ("secret.set", object!({ "version": version })),
    }
}

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let resources = control.gateway.resources.lock().await;
    let kept = control.gateway.secrets.all_kept();
    let names: BTreeSet<&Arc<str>> = kept
        .keys()
        .chain(resources.secrets_of_file().keys())
        .collect();
    let users = users(&resources);
    let now = control.gateway.clock.now();
    let all = names.into_iter().filter_map(|name| {
        view(
            &resources,
            &users,
            name,
            kept.get(name).map(AsRef::as_ref),
            now,
        )
    });
    json(listed(all, after.as_deref(), page_size, &uri, |view| {
        &view.name
    }))
}

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let precondition = Precondition::of(&headers)?;
    let resources = control.gateway.resources.lock().await;
    let view = one(&control, &resources, &name, None)?;
    if precondition.has(&view.etag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        tagged(&view.etag, response.headers_mut());
        return Ok(response);
    }
    Ok(answered(StatusCode::OK, view))
}

pub(super) async fn put(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    ask: Ask,
    body: Body,
) -> Answer {
    let set: SecretSet = read(body).await?.unwrap_or_default();
    let value = set.read().map_err(faults)?;
    let secrets = &control.gateway.secrets;
    let make = |now| secrets.set(&name, value, now);
    change(&control, &ask, &name, true, make).await
}

pub(super) async fn rotate(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    ask: Ask,
    body: Body,
) -> Answer {
    let wanted: SecretRotation = read(body).await?.unwrap_or_default();
    let wanted = wanted.read().map_err(faults)?;
    let Gateway { secrets, vault, .. } = &*control.gateway;
    let make = |now| secrets.rotate(vault, &name, wanted.value, wanted.overlap_ms, now);
    // A tag keeps two apart who rotate at once; who names none means what is there.
    let needs_tag = ask.precondition.names_one();
    change(&control, &ask, &name, needs_tag, make).await
}

pub(super) async fn delete(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Answer {
    let propose = |resources: &Resources| {
        let view = one(&control, resources, &name, None)?;
        may_change(&view)?;
        check(&ask.precondition, &name, Some(&view))?;
        if !view.users.is_empty() && !ask.flags.force {
            let detail = format!("secret `{name}` is used by {}", view.users.join(", "));
            let hint = "change these first, or repeat the request with `?force=true`: what needs the secret waits then";
            return Err(problem::Body::new(Refused::InUse, detail)
                .with_hint(hint)
                .into());
        }
        Ok(Proposal {
            documents: vec![kept::deletion(&name, control.gateway.clock.now())],
            ..Proposal::default()
        })
    };
    let answer = |_: &Resources, _: &Resources| Ok(StatusCode::NO_CONTENT.into_response());
    commit::change(&control, &ask, propose, answer).await
}

/// Writes what `make` makes of `name`, and answers with what is known of it then.
async fn change(
    control: &Arc<Control>,
    ask: &Ask,
    name: &str,
    needs_tag: bool,
    make: impl FnOnce(UnixMs) -> Result<Versions, NotChanged> + Send,
) -> Answer {
    if !is_name(name) {
        let shown: String = name.chars().take(64).collect();
        return Err(Refusal::new(
            Refused::InvalidResource,
            format!(
                "`{shown}` cannot be the name of a secret: use 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit"
            ),
        ));
    }
    let gateway = &control.gateway;
    let made = OnceLock::new();
    let propose = |resources: &Resources| {
        let before = one(control, resources, name, None).ok();
        if let Some(before) = &before {
            may_change(before)?;
        }
        if needs_tag {
            check(&ask.precondition, name, before.as_ref())?;
        }
        let now = gateway.clock.now();
        let versions = make(now).map_err(not_changed)?;
        let document = kept::document(&gateway.vault, name, &versions, now);
        let documents = vec![document.map_err(Refusal::internal)?];
        made.get_or_init(|| (versions, before.is_none()));
        Ok(Proposal {
            documents,
            ..Proposal::default()
        })
    };
    let answer = |_: &Resources, after: &Resources| {
        let (versions, is_new) = made
            .get()
            .ok_or_else(|| Refusal::internal("nothing was proposed"))?;
        let view = one(control, after, name, Some(versions))?;
        let status = if *is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(answered(status, view))
    };
    commit::change(control, ask, propose, answer).await
}

/// Reads a whole body as JSON; `None` when it is empty. What is wrong is told without what was read.
async fn read<T: DeserializeOwned>(body: Body) -> Answer<Option<T>> {
    let bytes = to_bytes(body, BODY_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| Refusal::from(problem::Body::body_too_large(BODY_BYTES_MAX)))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        if error.is_data() {
            let detail = "the body must be an object, and its members `value`, `base64` and, for a rotation, `overlap`, each a text";
            return Refusal::new(Refused::InvalidRequest, detail);
        }
        let (line, column) = (error.line(), error.column());
        let detail = format!("the body is not JSON: something is wrong in line {line} at column {column}");
        Refusal::new(Refused::NotJson, detail)
    })
}

fn faults(errors: Vec<FieldError>) -> Refusal {
    Refusal::faults(Refused::InvalidRequest, errors)
}

fn not_changed(error: NotChanged) -> Refusal {
    match error {
        NotChanged::Value(error) => Refusal::new(Refused::InvalidRequest, error.to_string()),
        NotChanged::Absent(name) => problem::Body::not_found(KIND, &name).into(),
        NotChanged::TooMany => Refusal::new(Refused::Conflict, error.to_string()),
        NotChanged::Vault(error) => Refusal::internal(error),
    }
}

fn may_change(view: &SecretView) -> Answer<()> {
    let place = match (&view.owner, &view.place) {
        (Owner::File, Some(SecretPlace::File(path))) => format!("the file {path}"),
        (Owner::File, Some(SecretPlace::Env(variable))) => format!("the variable {variable}"),
        (Owner::File, None) => "the configuration file".to_owned(),
        (Owner::Api | Owner::BuiltIn, _) => return Ok(()),
    };
    let detail = format!(
        "secret `{}` is declared by the configuration file and read from {place}",
        view.name
    );
    Err(problem::Body::new(Refused::OwnedByFile, detail)
        .with_hint("change the value there")
        .into())
}

fn check(precondition: &Precondition, name: &str, before: Option<&SecretView>) -> Answer<()> {
    let shown = before.map(|view| serde_json::to_value(view).unwrap_or_default());
    let current = before.zip(shown.as_ref()).map(|(view, body)| Current {
        etag: &view.etag,
        body,
        wanted: None,
    });
    precondition.check(&format!("{KIND} `{name}`"), current)
}

/// Which resources mention each secret.
fn users(resources: &Resources) -> BTreeMap<String, Vec<String>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in Kind::ALL {
        for listed in resources.of_kind(kind) {
            for name in secrets_in(&listed.body) {
                let user = format!("{} {}", kind.name(), listed.name);
                users.entry(name.to_owned()).or_default().push(user);
            }
        }
    }
    users
}

/// The secret `name`, which has these `versions` instead of those in force where they are given.
fn one(
    control: &Control,
    resources: &Resources,
    name: &str,
    versions: Option<&Versions>,
) -> Answer<SecretView> {
    let kept = control.gateway.secrets.kept(name);
    let versions = versions.or(kept.as_deref());
    let now = control.gateway.clock.now();
    let view = view(resources, &users(resources), name, versions, now);
    Ok(view.ok_or_else(|| problem::Body::not_found(KIND, name))?)
}

/// What is shown of `name`; the file's wins where both have it.
fn view(
    resources: &Resources,
    users: &BTreeMap<String, Vec<String>>,
    name: &str,
    versions: Option<&Versions>,
    now: UnixMs,
) -> Option<SecretView> {
    let place = resources
        .secrets_of_file()
        .get(name)
        .map(|origin| match origin {
            SecretOrigin::File(path) => SecretPlace::File(path.display().to_string()),
            SecretOrigin::Env(variable) => SecretPlace::Env(variable.clone()),
        });
    let versions = versions.filter(|_| place.is_none());
    if place.is_none() && versions.is_none() {
        return None;
    }
    let version = versions.map_or(0, Versions::number);
    let created_at = versions.map(|versions| rfc3339(versions.set_at()));
    let until = versions.and_then(|versions| versions.previous(now).and(versions.overlap_until()));
    Some(SecretView {
        kind: KIND.to_owned(),
        name: name.to_owned(),
        version,
        // Not of its age, nor of the overlap, which ends by itself.
        etag: etag(KIND, name, version, &object!([created_at, place])),
        owner: if place.is_some() {
            Owner::File
        } else {
            Owner::Api
        },
        age_ms: versions.map(|versions| now.0.saturating_sub(versions.set_at().0)),
        overlap_until: until.map(rfc3339),
        users: users.get(name).cloned().unwrap_or_default(),
        created_at,
        place,
    })
}

fn answered(status: StatusCode, view: SecretView) -> Response {
    let etag = view.etag.clone();
    let mut response = (status, Json(view)).into_response();
    tagged(&etag, response.headers_mut());
    response
}
