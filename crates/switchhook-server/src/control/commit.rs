//! Changing resources: checked as a whole, one commit, then in force.
//!
//! A change may concern several resources, and the secrets that they use. It is tried on a copy, so that one that breaks a
//! rule leaves everything as it was; `?dryRun=true` stops there. A resource has one owner: what the configuration file
//! declares is changed there, what another file declares by `switchhook apply` only by that file or by who says that they
//! take it over. A change that concerns deliveries that wait is refused, unless it says `?force=true`.
//! Resources, secrets, audit entries and the answer that is kept for an idempotency key are one batch, so that there is
//! nothing between "done" and "known to be done". One lock serialises changes, and they run to their end even if the
//! asker has gone.
//!
//! Bounds: [`CHANGES_MAX`] resources in one change; of a body in the audit log at most [`SHOWN_BYTES_MAX`].

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json as object};
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::{AuditEntry, DocumentChange, ResourceChange, Room};
use switchhook_wire::api::{Owner, ResourceView};
use switchhook_wire::config::{Kind, Problem};
use switchhook_wire::problem::{self, FieldError, Kind as Refused};

use super::answer::{Answer, Refusal};
use super::ask::Ask;
use super::idempotency::Kept;
use super::precondition::Current;
use super::resources::{Change, Resources};
use super::{Control, at_rest, permit, secrets, stranded};
use crate::observe::log;

/// Most resources of one change: a webhook is three.
const CHANGES_MAX: usize = 100;
/// Most of a body that the audit log keeps, in bytes; of a larger one it keeps the tag.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// What is to be done, together.
#[derive(Debug, Default)]
pub(crate) struct Proposal {
    /// What becomes of resources.
    pub(crate) changes: Vec<Change>,
    /// Secrets that are set or deleted with them.
    pub(crate) documents: Vec<DocumentChange>,
    /// Through what, where it is not the resource itself that was addressed: for the audit log.
    pub(crate) via: Option<&'static str>,
    /// Whether the tags have been compared already, since the request names something that is made of several resources.
    pub(crate) is_matched: bool,
}

impl Proposal {
    pub(crate) fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        Self {
            changes: changes.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Does what `propose` makes of the resources as they are, and gives the `answer`, which is made of those before and after.
///
/// # Errors
/// When it may not be done, with every reason; nothing is changed then.
pub(crate) async fn change(
    control: &Arc<Control>,
    ask: &Ask,
    propose: impl FnOnce(&Resources) -> Answer<Proposal>,
    answer: impl FnOnce(&Resources, &Resources) -> Answer<Response>,
) -> Answer<Response> {
    let gateway = &control.gateway;
    let mut resources = gateway.resources.lock().await;
    let now = gateway.clock.now();
    let proposal = sparing(&resources, propose(&resources)?);
    may_change(&resources, ask, &proposal)?;
    let names = secrets::names(control, &proposal.documents);
    let managed_by = ask.flags.managed_by.as_ref();
    let changed = resources
        .with(&proposal.changes, managed_by, names, now)
        .map_err(|problems| refused(&resources, &proposal.changes, &problems))?;
    meant_for_this(&resources, &changed, ask, &proposal)?;
    permit::may_widen(control, (&resources, &changed), ask, &proposal)?;
    if !ask.flags.force {
        let counts = control.read(|store| store.counts()).await?;
        stranded::check(&resources.plan(), &changed.plan(), &counts)?;
    }
    let mut response = answer(&resources, &changed)?;
    if ask.flags.dry_run {
        if response.status() == StatusCode::CREATED {
            // Nothing was.
            *response.status_mut() = StatusCode::OK;
        }
        return Ok(response);
    }
    let mut batch = Batch {
        audit: entries(control, &resources, &changed, ask, &proposal, now),
        resources: rows(control, &changed, &proposal.changes, now)?,
        documents: proposal.documents,
        ..Batch::default()
    };
    if let Some(claim) = &ask.claim {
        let (kept, whole) = Kept::of(response).await?;
        response = whole;
        batch
            .documents
            .extend(claim.document(kept.as_ref(), &gateway.vault, now)?);
    }
    let secrets: Vec<DocumentChange> = in_room(&batch.documents, Room::Secret).cloned().collect();
    control.write(batch).await?;
    if proposal.changes.is_empty() && secrets.is_empty() {
        return Ok(response);
    }
    *resources = changed;
    secrets::adopt(control, &secrets)?;
    gateway.put_in_force(&resources).await?;
    for change in &proposal.changes {
        let view = shown(&resources, change.kind, &change.name);
        log::resource_changed(
            change.kind.name(),
            &change.name,
            view.map(|view| view.version),
        );
    }
    Ok(response)
}

/// Those documents that are of `room`.
pub(super) fn in_room(
    documents: &[DocumentChange],
    room: Room,
) -> impl Iterator<Item = &DocumentChange> {
    documents
        .iter()
        .filter(move |document| document.room == room)
}

/// Leaves the secrets that other resources mention: one that goes with a resource is not theirs to lose. Who deletes a
/// secret by itself has been told who uses it.
fn sparing(resources: &Resources, mut proposal: Proposal) -> Proposal {
    if !proposal.changes.is_empty() {
        let mentioned = resources.mentioned_after(&proposal.changes);
        proposal.documents.retain(|document| {
            let goes = document.room == Room::Secret && document.body.is_none();
            !(goes && mentioned.contains(&*document.id))
        });
    }
    proposal
}

/// Refuses what belongs to somebody else.
fn may_change(resources: &Resources, ask: &Ask, proposal: &Proposal) -> Answer<()> {
    if proposal.changes.len() > CHANGES_MAX {
        return Err(Refusal::new(
            Refused::InvalidRequest,
            format!(
                "{} resources in one change are too many, at most {CHANGES_MAX} are allowed",
                proposal.changes.len()
            ),
        ));
    }
    for Change { kind, name, body } in &proposal.changes {
        let Some(view) = shown(resources, *kind, name) else {
            continue;
        };
        let what = format!("{} `{name}`", kind.name());
        match view.owner {
            Owner::File => return Err(owned_by_file(&what, view.defined_at.as_deref())),
            Owner::BuiltIn if body.is_none() => {
                return Err(Refusal::new(
                    Refused::Conflict,
                    format!("{what} is built in"),
                ));
            }
            Owner::Api | Owner::BuiltIn => {}
        }
        let by = ask.flags.managed_by.as_deref();
        if let (Some(owner), Some(by)) = (view.managed_by.as_deref(), by)
            && owner != by
            && !ask.flags.take_over
        {
            let detail = format!("{what} is declared by the file `{owner}`");
            return Err(problem::Body::new(Refused::OwnedByFile, detail)
                .with_hint("change it there, or repeat the request with `?takeOver=true`")
                .into());
        }
    }
    Ok(())
}

pub(crate) fn owned_by_file(what: &str, defined_at: Option<&str>) -> Refusal {
    let place = defined_at.unwrap_or("the configuration file");
    problem::Body::new(
        Refused::OwnedByFile,
        format!("{what} is declared at {place}"),
    )
    .with_hint("change it there; the gateway reads the file again on `switchhook reload`")
    .into()
}

/// Compares the tag that the request names with that of what it changes.
fn meant_for_this(old: &Resources, new: &Resources, ask: &Ask, proposal: &Proposal) -> Answer<()> {
    if proposal.is_matched {
        return Ok(());
    }
    for Change { kind, name, .. } in &proposal.changes {
        let (before, after) = (shown(old, *kind, name), shown(new, *kind, name));
        // The policy that is there without being made is replaced as if it were not, unless a tag of it is named.
        let names_one = ask.precondition.names_one();
        let before = before.filter(|view| view.owner != Owner::BuiltIn || names_one);
        let current = before.as_ref().map(|view| Current {
            etag: &view.etag,
            body: &view.body,
            wanted: after.as_ref().map(|view| &view.body),
        });
        ask.precondition
            .check(&format!("{} `{name}`", kind.name()), current)?;
    }
    Ok(())
}

fn shown(resources: &Resources, kind: Kind, name: &str) -> Option<ResourceView> {
    let listed = resources.listed(kind, name)?;
    Some(resources.view(listed))
}

/// One entry for each resource: what it was and what it is, as both are shown.
fn entries(
    control: &Control,
    old: &Resources,
    new: &Resources,
    ask: &Ask,
    proposal: &Proposal,
    now: UnixMs,
) -> Vec<AuditEntry> {
    let entry = |change: &Change| {
        let (before, after) = (
            shown(old, change.kind, &change.name),
            shown(new, change.kind, &change.name),
        );
        let action = match change.body {
            Some(_) => "resource.put",
            None => "resource.delete",
        };
        let detail = object!({ "before": kept(before.as_ref()), "after": kept(after.as_ref()) });
        let more = [
            ("version", after.as_ref().map(|view| view.version.into())),
            (
                "managedBy",
                ask.flags.managed_by.as_deref().map(Value::from),
            ),
            ("via", proposal.via.map(Value::from)),
        ];
        let object = (change.kind.name(), &*change.name);
        ask.actor.entry(now, action, object, &with(detail, more))
    };
    let of_resources = proposal.changes.iter().map(entry);
    let of_secrets = in_room(&proposal.documents, Room::Secret).map(|document| {
        let (action, detail) = secrets::told(control, document);
        let detail = with(detail, [("via", proposal.via.map(Value::from))]);
        ask.actor
            .entry(now, action, ("secret", &document.id), &detail)
    });
    of_resources.chain(of_secrets).collect()
}

/// `object` with the members that there are.
fn with<const N: usize>(mut object: Value, members: [(&str, Option<Value>); N]) -> Value {
    if let Some(all) = object.as_object_mut() {
        let members = members.into_iter();
        all.extend(members.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    object
}

/// What the audit log keeps of a resource.
fn kept(view: Option<&ResourceView>) -> Value {
    match view {
        None => Value::Null,
        Some(view) if view.body.to_string().len() > SHOWN_BYTES_MAX => {
            object!({ "etag": view.etag })
        }
        Some(view) => view.body.clone(),
    }
}

/// What is written of the changed resources: the bodies, sealed where they hold secrets.
fn rows(
    control: &Control,
    changed: &Resources,
    changes: &[Change],
    now: UnixMs,
) -> Answer<Vec<ResourceChange>> {
    let row = |change: &Change| {
        let view = shown(changed, change.kind, &change.name);
        let seal = |body: &Value| {
            let shown = view.as_ref().map_or(&Value::Null, |view| &view.body);
            at_rest::written(
                &control.gateway.vault,
                (change.kind, &change.name),
                body,
                shown,
            )
        };
        Ok(ResourceChange {
            kind: change.kind.name().into(),
            name: change.name.as_str().into(),
            body: change.body.as_ref().map(seal).transpose()?,
            managed_by: view
                .as_ref()
                .and_then(|view| view.managed_by.as_deref().map(Arc::from)),
            at: now,
        })
    };
    changes.iter().map(row).collect()
}

/// What is wrong with a change: what still mentions something that should go, else what `problems` say.
fn refused(resources: &Resources, changes: &[Change], problems: &[Problem]) -> Refusal {
    if let [
        Change {
            kind,
            name,
            body: None,
        },
    ] = changes
    {
        let users = resources.users(*kind, name);
        if !users.is_empty() {
            let detail = format!("{} `{name}` is used by {}", kind.name(), users.join(", "));
            return problem::Body::new(Refused::InUse, detail)
                .with_hint("change or delete these first")
                .into();
        }
    }
    let errors = problems.iter().filter(|problem| problem.is_error());
    let errors = errors.map(|problem| fault(changes, problem)).collect();
    Refusal::faults(Refused::InvalidResource, errors)
}

/// A problem of a change; of one of several resources it says of which.
fn fault(changes: &[Change], problem: &Problem) -> FieldError {
    let mut fault = FieldError::from(problem);
    if changes.len() < 2 {
        return fault;
    }
    let of = |change: &&Change| {
        let rest = problem.place.path.strip_prefix(change.kind.name())?;
        let rest = rest.strip_prefix('.')?.strip_prefix(&*change.name)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(())
    };
    if let Some(Change { kind, name, .. }) = changes.iter().find(|change| of(change).is_some()) {
        fault.pointer = format!("/{}/{name}{}", kind.name(), fault.pointer);
    }
    fault
}
