//! Making, changing and deleting webhooks: a request becomes a change of up to three resources, in one commit.
//!
//! What the change is, is decided in `propose`; here is whether the request is for the webhook as it is now, and what is
//! answered. What belongs to the configuration file is changed there: 409. `If-Match` is compared with the tag of the
//! webhook (412), a `version` in the body with its version (409); dialect B must name the tag where it replaces (428, seed
//! 003).

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use ipnet::IpNet;
use serde_json::Value;
use switchhook_wire::config::Kind;
use switchhook_wire::dialect::error::{self, Code, Fault};
use switchhook_wire::dialect::{Dialect, Edit, How, Webhook, integrations};
use switchhook_wire::problem::{self, FieldError, Kind as Refused};
use uuid::Uuid;

use super::answer::{base_url, tagged_json, unknown};
use super::found::{self, Found};
use super::propose::{free_name, not_of_the_file};
use crate::control::Control;
use crate::control::answer::{Answer, Refusal};
use crate::control::ask::Ask;
use crate::control::commit::{self, Proposal};
use crate::control::precondition::Current;
use crate::control::request::BODY_BYTES_MAX;
use crate::control::resources::Resources;

/// A change that was asked for.
pub(super) struct Task<'t> {
    pub(super) control: &'t Arc<Control>,
    pub(super) ask: &'t Ask,
    pub(super) dialect: Dialect,
    pub(super) edit: Edit,
    pub(super) base_url: String,
}

pub(super) async fn create(
    dialect: Dialect,
    State(control): State<Arc<Control>>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = read(body).await?;
    let task = Task {
        control: &control,
        ask: &ask,
        dialect,
        edit: decoded(dialect.decode_within(&body, How::Create, allowed(&control)))?,
        base_url: base_url(&control, &headers),
    };
    let title = task.edit.title.clone().unwrap_or_default();
    // Chosen under the lock, since it must be free.
    let name = OnceLock::new();
    let propose = |resources: &Resources| {
        let free = name.get_or_init(|| free_name(resources, &title));
        task.made(resources, free)
    };
    let answer = |_: &Resources, after: &Resources| {
        let found = name.get().and_then(|name| found::by_name(after, name));
        let found =
            found.ok_or_else(|| Refusal::internal("a webhook that was made is not there"))?;
        let mut response = task.shown(&found.webhook(), StatusCode::CREATED);
        if let Ok(place) = HeaderValue::try_from(dialect.path(found.id)) {
            response.headers_mut().insert(LOCATION, place);
        }
        Ok(response)
    };
    task.run(propose, answer).await
}

pub(super) async fn update(
    dialect: Dialect,
    how: How,
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = read(body).await?;
    let task = Task {
        control: &control,
        ask: &ask,
        dialect,
        edit: decoded(dialect.decode_within(&body, how, allowed(&control)))?,
        base_url: base_url(&control, &headers),
    };
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    let propose = |resources: &Resources| {
        let found = find(resources, dialect, &id)?;
        let is_needed = dialect == Dialect::Lifecycle && how == How::Replace;
        task.is_meant(&found, is_needed, Some(&wanted))?;
        task.changed(resources, &found)
    };
    let answer = |_: &Resources, after: &Resources| {
        let found = find(after, dialect, &id)?;
        Ok(task.shown(&found.webhook(), StatusCode::OK))
    };
    task.run(propose, answer).await
}

/// Adds event types to an integration.
pub(super) async fn bind(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = read(body).await?;
    let dialect = Dialect::Integrations;
    let task = Task {
        control: &control,
        ask: &ask,
        dialect,
        edit: decoded(integrations::decode_bindings(&body))?,
        base_url: base_url(&control, &headers),
    };
    let propose = |resources: &Resources| {
        let found = find(resources, dialect, &id)?;
        task.is_meant(&found, false, None)?;
        task.changed(resources, &found)
    };
    let answer = |before: &Resources, after: &Resources| {
        let (old, new) = (find(before, dialect, &id)?, find(after, dialect, &id)?);
        let (old, new) = (old.webhook(), new.webhook());
        let status = if old.events == new.events {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        Ok(tagged_json(
            status,
            integrations::encode_bindings(&new),
            &new.etag,
        ))
    };
    task.run(propose, answer).await
}

/// Deletes the subscription, and what was made with it and nobody else uses.
pub(super) async fn delete(
    dialect: Dialect,
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    ask: Ask,
) -> Answer {
    let task = Task {
        control: &control,
        ask: &ask,
        dialect,
        edit: Edit::default(),
        base_url: String::new(),
    };
    let propose = |resources: &Resources| {
        let found = find(resources, dialect, &id)?;
        not_of_the_file(&found.subscription)?;
        task.is_meant(&found, false, None)?;
        task.gone(resources, &found)
    };
    let answer = |_: &Resources, _: &Resources| Ok(StatusCode::NO_CONTENT.into_response());
    task.run(propose, answer).await
}

impl Task<'_> {
    async fn run(
        &self,
        propose: impl FnOnce(&Resources) -> Answer<Proposal>,
        answer: impl FnOnce(&Resources, &Resources) -> Answer<Response>,
    ) -> Answer {
        let kinds: OnceLock<Vec<Kind>> = OnceLock::new();
        let propose = |resources: &Resources| {
            let proposal = propose(resources)?;
            kinds.get_or_init(|| proposal.changes.iter().map(|change| change.kind).collect());
            Ok(Proposal {
                via: Some(self.dialect.path_of_all()),
                // The tag of a webhook is that of all its parts.
                is_matched: true,
                ..proposal
            })
        };
        let done = commit::change(self.control, self.ask, propose, answer).await;
        done.map_err(|refusal| {
            in_words_of(
                self.dialect,
                refusal,
                kinds.get().map_or(&[], Vec::as_slice),
            )
        })
    }

    fn shown(&self, webhook: &Webhook, status: StatusCode) -> Response {
        let body = self.dialect.encode(webhook, &self.base_url);
        tagged_json(status, body, &webhook.etag)
    }

    /// Whether the request is for the webhook as it is now.
    fn is_meant(&self, found: &Found, tag_is_needed: bool, wanted: Option<&Value>) -> Answer<()> {
        let webhook = found.webhook();
        let precondition = &self.ask.precondition;
        let what = format!("{} {}", self.dialect.noun(), found.id);
        if tag_is_needed || precondition.names_one() || precondition.has(&webhook.etag) {
            let body = self.dialect.encode(&webhook, &self.base_url);
            let current = Current {
                etag: &webhook.etag,
                body: &body,
                // The request may hold secrets: nothing of it is told but names.
                wanted: None,
            };
            let checked = precondition.check(&what, Some(current));
            checked.map_err(|refusal| by_name(refusal, &body, wanted))?;
        }
        if let Some(id) = &self.edit.id
            && Uuid::try_parse(id).ok() != Some(found.id)
        {
            let detail = format!("is another one than in the path: {}", found.id);
            return Err(fault("id", Code::Value, detail));
        }
        match self.edit.version {
            Some(version) if version != webhook.version => {
                let detail = format!(
                    "{what} has version {}, the request is for version {version}",
                    webhook.version
                );
                let body = problem::Body::new(Refused::VersionConflict, detail);
                Err(body
                    .with_hint("read it again, and make your change to what is there")
                    .into())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A 412 with the names of the fields in which the request differs from what is there `now`.
fn by_name(refusal: Refusal, now: &Value, wanted: Option<&Value>) -> Refusal {
    let body = refusal.body();
    let fields = wanted.and_then(Value::as_object);
    let (Some(fields), Some(Refused::PreconditionFailed)) = (fields, body.known_kind()) else {
        return refusal;
    };
    // The dialect knows each of them, else the request would have been refused.
    let differing = fields
        .iter()
        .filter(|(name, value)| now.get(name) != Some(value));
    let errors = differing.map(|(name, _)| FieldError {
        pointer: format!("/{name}"),
        code: "differs".to_owned(),
        detail: "is not what is there now".to_owned(),
        hint: None,
    });
    let told = Refusal::from(body.clone().with_errors(errors));
    match refusal.etag() {
        Some(etag) => told.with_etag(etag),
        None => told,
    }
}

async fn read(body: Body) -> Answer<Bytes> {
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    bytes.map_err(|_| problem::Body::body_too_large(BODY_BYTES_MAX).into())
}

/// Ranges that endpoints made here may lie in although they are private.
pub(super) fn allowed(control: &Control) -> &[IpNet] {
    &control.gateway.config.server.dialect_allow_private
}

fn decoded(edit: Result<Edit, Vec<Fault>>) -> Answer<Edit> {
    edit.map_err(|faults| error::problem_of(&faults).into())
}

pub(super) fn fault(field: &str, code: Code, detail: String) -> Refusal {
    let fault = Fault {
        field: field.to_owned(),
        code,
        detail,
        hint: None,
    };
    error::problem_of(&[fault]).into()
}

/// The webhook with the id that stands in a path.
pub(super) fn find(resources: &Resources, dialect: Dialect, id: &str) -> Answer<Found> {
    let found = Uuid::try_parse(id)
        .ok()
        .and_then(|id| found::by_id(resources, id));
    found.ok_or_else(|| unknown(dialect.noun(), id))
}

/// A refusal of the resources with the fields of the dialect. `kinds` are those of the changed resources, in their order.
fn in_words_of(dialect: Dialect, refusal: Refusal, kinds: &[Kind]) -> Refusal {
    let body = refusal.body();
    if body.known_kind() != Some(Refused::InvalidResource) || body.errors.is_empty() {
        return refusal;
    }
    let field = |pointer: &str| {
        // Of one of several: `/endpoint/NAME/url`.
        let several = pointer.strip_prefix('/').and_then(|rest| {
            let (kind, rest) = rest.split_once('/')?;
            let kind = Kind::from_name(kind)?;
            let inner = rest.find('/').and_then(|at| rest.get(at..));
            Some(dialect.field(kind.name(), inner.unwrap_or_default()))
        });
        match kinds {
            [only] => Some(dialect.field(only.name(), pointer)),
            _ => several,
        }
    };
    let errors = body.errors.iter().map(|error| FieldError {
        pointer: field(&error.pointer).unwrap_or_else(|| error.pointer.clone()),
        ..error.clone()
    });
    let mut told = body.clone();
    told.errors = errors.collect();
    if let [only] = told.errors.as_slice() {
        told.detail = format!("{}: {}", only.pointer, only.detail);
    }
    Refusal::from(told)
}
