//! The management API on the admin listener, and the health checks.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /livez`, `/readyz?verbose=true`, `/metrics` | open; everything below needs a token |
//! | `GET /v1/events`, `/v1/events/{id}`, `…/timeline`, `…/explain` | what came in, and where it is and why |
//! | `GET /v1/deadLetters`, `/v1/deadLetters/{id}`, `/v1/deadLetters:export` | what was given up |
//! | `POST /v1/deadLetters:replay`, `:discard` | acts on all that match a filter |
//! | `GET`, `PUT`, `DELETE /v1/{sources,endpoints,groups,subscriptions,policies}/{name}`, `GET /v1/secrets` | resources |
//! | `GET /v1/policies/{name}/preview` | the schedule that a policy gives |
//! | `POST /v1/sources/{name}/test-event`, `/v1/endpoints/{name}/probe` | tries one out |
//! | `GET /v1/breakers`, `PUT /v1/endpoints/{name}/breaker`, `POST …/pause`, `…/resume` | endpoints by hand |
//! | `POST /v1/{subscriptions,groups}/{name}/pause`, `…/resume` | stops deliveries, lets them go on |
//! | `POST /v1/groups/{name}/seek`, `…/rebalance` | moves cursors and partitions |
//! | `GET`, `POST /v1/jobs`, `GET`, `PATCH /v1/jobs/{id}` | replays that go on by themselves |
//! | `GET /v1/alerts`, `GET /v1/audit`, `/v1/audit:export`, `/v1/audit/checkpoints`, `…/key` | what is out of bounds, and who did what, and its proof |
//! | `GET /v1/stats`, `/v1/stream`, `/v1/version`, `/v1/store/status`, `POST /v1/store/backup` | the gateway itself |
//!
//! It decides nothing about deliveries: it reads what the store holds and writes batches. Every refusal is a problem
//! (`answer`). Bounds: pages of at most 500, bodies of `request::BODY_BYTES_MAX`, `READS_MAX` reads of the store at
//! once with `paging::READ_BYTES_MAX` each, bulk actions and exports in chunks.
//!
//! Only who may administer is an operator. To them attempts, dead letters, timelines and probes tell `blocked` (refused by
//! the address guard) from `connect`, since the two are mended in different places. Everybody else may set a URL and must
//! not learn from it what listens inside (SEC-13): to them both are `connect`, with the same words and no duration. The
//! rule is [`switchhook_core::sight`]; every view of results is made of what it lets through ([`sight::Seen`]), and so is
//! every choice by a reason. `/metrics`, which needs no token, is for operators alone: it tells the two apart.

mod alerts;
pub(crate) mod answer;
pub(crate) mod ask;
mod at_rest;
mod attempts;
pub(crate) mod audit;
mod breakers;
mod bulk;
pub(crate) mod commit;
mod config;
mod declare;
mod events;
mod explain;
mod export;
mod gateway;
mod groups;
mod health;
pub(crate) mod idempotency;
mod jobs;
mod letters;
mod live;
mod openapi;
pub(crate) mod paging;
mod pauses;
mod permit;
pub(crate) mod precondition;
mod probe;
pub(crate) mod request;
pub(crate) mod resources;
pub(crate) mod routes;
mod scene;
mod secrets;
mod selection;
pub(crate) mod sight;
mod standing;
mod store;
mod stranded;
mod test_event;
mod timeline;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use http::Uri;
use switchhook_store::{Batch, Error, Receipt, Store};
use switchhook_wire::config::Durability;
use switchhook_wire::problem::{Body as Problem, Kind as Refused};
use tokio::sync::Semaphore;

use crate::gateway::{Gateway, in_background, write};
use crate::observe::Reading;
use crate::{dialect, identity};
use answer::{Answer, Refusal};

pub(crate) use at_rest::{opened, rewrapped as rewrapped_resources, sealed as sealed_resources};
pub use openapi::openapi;
pub use resources::Resources;
pub(crate) use stranded::concerned;

/// Reads of the store at once; the rest waits. It bounds memory, and leaves blocking threads to dispatch.
const READS_MAX: usize = 8;

/// The store engine that this version has.
const ENGINE: &str = "embedded";

/// What all requests share.
pub(crate) struct Control {
    pub(crate) gateway: Arc<Gateway>,
    /// What each route needs.
    pub(crate) needs: routes::Needs,
    reads: Arc<Semaphore>,
    probes: Semaphore,
    streams: Arc<Semaphore>,
    under_way: idempotency::UnderWay,
    answers_kept: idempotency::Counts,
}

/// The API of `gateway`.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let (router, needs) = routes::built(routes::table());
    let control = Arc::new(Control {
        gateway,
        needs,
        reads: Arc::new(Semaphore::new(READS_MAX)),
        probes: Semaphore::new(probe::PROBES_MAX),
        streams: Arc::new(Semaphore::new(live::STREAMS_MAX)),
        under_way: idempotency::UnderWay::default(),
        answers_kept: idempotency::Counts::default(),
    });
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(|| async {
            Refusal::new(Refused::MethodNotAllowed, "`Allow` lists the methods")
        })
        .layer(from_fn_with_state(control.clone(), idempotency::layer))
        .layer(from_fn(answer::carry_through))
        .layer(from_fn_with_state(control.clone(), identity::gate::layer))
        .layer(from_fn_with_state(control.clone(), identity::hosts::layer))
        .layer(from_fn(dialect::answer::finish))
        .layer(from_fn(answer::finish))
        .with_state(control)
}

async fn unknown_path(uri: Uri) -> Refusal {
    Problem::not_found("path", uri.path()).into()
}

impl Control {
    /// Reads the store on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, Error> + Send + 'static,
    ) -> Answer<T> {
        let place = self.reads.clone().acquire_owned().await;
        let place = place.map_err(Refusal::internal)?;
        // The place goes with the read, not with the request: a client that hangs up does not end the read.
        let held = move |store: &dyn Store| {
            let _place = place;
            read(store)
        };
        Ok(in_background(&self.gateway.store, held).await?)
    }

    /// Commits `batch`.
    pub(crate) async fn write(&self, batch: Batch) -> Answer<Receipt> {
        Ok(write(&*self.gateway.store, batch).await?)
    }

    /// Where everything stands: counts of the store that may be a few seconds old, and dispatch as it is now.
    async fn reading(&self) -> Answer<Reading> {
        let gateway = &self.gateway;
        let counts = gateway
            .observe
            .counted
            .get(&gateway.store, gateway.clock.monotonic_us())
            .await?;
        Ok(Reading {
            started_at: gateway.observe.started_at,
            engine: ENGINE,
            relaxed: gateway.config.store.durability == Durability::Os,
            counts,
            end: gateway.store.tail().end(),
            snapshot: gateway.dispatch.snapshot().await?,
            plan: gateway.plan.load_full(),
            jobs: gateway.jobs.unfinished().await,
            replayed: gateway.jobs.replayed_total(),
            retention: gateway.retention.done(),
            config: gateway.reloads.last(),
            alerts: gateway.alerts.raised(),
        })
    }
}

#[cfg(test)]
mod tests;
