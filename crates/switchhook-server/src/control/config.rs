//! `/v1/config`: what is in force and where it comes from, its versions, reading the file again, and going back.
//!
//! How that is done is in [`crate::reload`]. Refusals name every problem with its place in the file; texts of versions
//! are never shown, since they may hold secrets.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::Uri;
use switchhook_wire::api::{
    ConfigReloaded, ConfigResource, ConfigRollback, ConfigSettings, ConfigVersionList, ConfigView,
};
use switchhook_wire::config::{Config, Kind, restart_needed};
use switchhook_wire::problem::{Body as Problem, FieldError, Kind as Refused};

use super::answer::{Answer, Refusal, json};
use super::ask::Ask;
use super::paging::next_uri;
use super::request::{Params, optional_json};
use super::resources::Resources;
use super::{Control, stranded};
use crate::reload::{self, Wish};

pub(super) async fn show(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    Params::of(&uri).finish()?;
    let gateway = &control.gateway;
    let resources = gateway.resources.lock().await;
    let standing = gateway.reloads.standing();
    let needed = restart_needed(&gateway.config, &standing.config);
    json(ConfigView {
        file: gateway.reloads.file_name(),
        version: standing.version,
        file_hash: standing.file_hash,
        pinned: standing.pin,
        last_read: standing.last_read,
        restart_needed: needed.into_iter().map(str::to_owned).collect(),
        settings: settings(&gateway.config, &standing.config),
        resources: owned(&resources),
    })
}

/// The settings at work: those that only a restart takes over are from the start, the others from the last reload.
fn settings(started: &Config, now: &Config) -> ConfigSettings {
    let (server, retention, alerts) = (&started.server, now.retention, now.alerts);
    ConfigSettings {
        ingest: server.ingest.to_string(),
        admin: server.admin.to_string(),
        data_dir: server.data_dir.display().to_string(),
        shutdown_drain_ms: server.shutdown_drain_ms,
        max_connections: server.max_connections,
        concurrency: now.server.concurrency.try_into().unwrap_or(u64::MAX),
        durability: started.store.durability.name().to_owned(),
        retention_events_ms: retention.events_ms,
        retention_attempts_ms: retention.attempts_ms,
        retention_dead_ms: retention.dead_ms,
        retention_bytes_max: retention.bytes_max,
        alert_lag: alerts.lag,
        alert_backlog_age_ms: alerts.backlog_age_ms,
        alert_disk_per_mille: alerts.disk_per_mille,
    }
}

fn owned(resources: &Resources) -> Vec<ConfigResource> {
    let all = Kind::ALL
        .into_iter()
        .flat_map(|kind| resources.of_kind(kind));
    let shown = all.map(|listed| {
        let view = resources.view(listed);
        ConfigResource {
            kind: view.kind,
            name: view.name,
            owner: view.owner,
            defined_at: view.defined_at,
            managed_by: view.managed_by,
            version: view.version,
        }
    });
    shown.collect()
}

/// The newest first.
pub(super) async fn versions(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let before = params.number("before", 1..=u64::MAX);
    let page_size = params.page_size();
    params.finish()?;
    let (vault, now) = (control.gateway.vault.clone(), control.gateway.clock.now());
    // Each is opened whole, so it counts as a read of the store. The store's own error is not the only one there is.
    let read = control.read(move |store| Ok(reload::versions::all(store, &vault, now)));
    let kept = read.await?.map_err(refusal)?;
    let mut left = kept
        .into_iter()
        .rev()
        .filter(|head| before.is_none_or(|before| head.number < before))
        .peekable();
    let entities: Vec<_> = left.by_ref().take(page_size).collect();
    let last = entities.last().filter(|_| left.peek().is_some());
    let next_uri = last.map(|last| next_uri(&uri, "before", &last.number.to_string()));
    json(ConfigVersionList {
        entities,
        next_uri,
        page_size,
    })
}

pub(super) async fn reload(State(control): State<Arc<Control>>, ask: Ask) -> Answer {
    answered(control.gateway.reload(&wish(&ask)).await)
}

pub(super) async fn roll_back(State(control): State<Arc<Control>>, ask: Ask, body: Body) -> Answer {
    let asked: ConfigRollback = optional_json(body).await?.unwrap_or_default();
    answered(control.gateway.roll_back(&wish(&ask), asked.version).await)
}

fn wish(ask: &Ask) -> Wish {
    Wish {
        actor: ask.actor.0.clone(),
        force: ask.flags.force,
        dry_run: ask.flags.dry_run,
    }
}

fn answered(done: Result<ConfigReloaded, reload::Refused>) -> Answer {
    match done {
        Ok(done) => json(done),
        Err(refused) => Err(refusal(refused)),
    }
}

fn refusal(refused: reload::Refused) -> Refusal {
    let words = refused.to_string();
    let conflict = |hint: &str| {
        Problem::new(Refused::Conflict, words.clone())
            .with_hint(hint)
            .into()
    };
    match refused {
        reload::Refused::Invalid(problems) => {
            let errors = reload::errors(&problems).map(|problem| FieldError {
                pointer: problem.place.pointer.clone(),
                code: problem.code.to_owned(),
                // The code has a member of its own.
                detail: format!("{}: {}", reload::place(problem), problem.message),
                hint: problem.hint.clone(),
            });
            Refusal::faults(Refused::InvalidResource, errors.collect())
        }
        reload::Refused::Unreadable(_) => {
            let hint = "what was in force before still is";
            Problem::new(Refused::InvalidResource, words)
                .with_hint(hint)
                .into()
        }
        reload::Refused::Stranded(errors) => match stranded::refused(errors) {
            Err(refusal) => refusal,
            Ok(()) => Refusal::internal("nothing is stranded"),
        },
        reload::Refused::NoFile => conflict("start it with `switchhook serve -c FILE`"),
        reload::Refused::Pinned(_) => conflict(
            "change the file, or put it in force as it is with `switchhook config rollback VERSION`, the number that \
             it had in `switchhook config versions`",
        ),
        reload::Refused::NoneBefore | reload::Refused::InForce(_) => {
            conflict("`switchhook config versions` lists them")
        }
        reload::Refused::Unknown(number) => {
            Problem::not_found("version", &number.to_string()).into()
        }
        reload::Refused::Store(error) => error.into(),
        reload::Refused::Vault(error) => Refusal::internal(error),
        reload::Refused::Dispatch(stopped) => stopped.into(),
    }
}
