//! The management API on the admin listener, and the health checks.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /livez`, `/readyz?verbose=true`, `/metrics` | open, see `tokens`; everything below needs a token |
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
//! | `GET /v1/alerts`, `GET /v1/audit` | what is out of bounds, and who did what |
//! | `GET /v1/stats`, `/v1/stream`, `/v1/version`, `/v1/store/status`, `POST /v1/store/backup` | the gateway itself |
//!
//! It decides nothing about deliveries: it reads what the store holds and writes batches. Every refusal is a problem
//! (`answer`). Bounds: pages of at most 500, bodies of `request::BODY_BYTES_MAX`, `READS_MAX` reads of the store at
//! once with `paging::READ_BYTES_MAX` each, bulk actions and exports in chunks.
//!
//! Whoever has a token is an operator of this gateway and is trusted as one: attempts, dead letters, timelines, figures and
//! probes tell `blocked` (refused by the address guard) from `connect`, since the two are mended in different places.
//! SEC-13 is about those who may set a URL and are not operators: no text, which receivers' people may get to see, tells
//! the two apart, and senders at ingest learn nothing of endpoints. An API for such tenants must show `connect` for both.

mod alerts;
mod answer;
mod audit;
mod breakers;
mod bulk;
mod declare;
mod events;
mod explain;
mod export;
mod gateway;
mod groups;
mod health;
mod jobs;
mod letters;
mod live;
mod paging;
mod pauses;
mod probe;
mod request;
mod resources;
mod scene;
mod selection;
mod standing;
mod store;
mod stranded;
mod test_event;
mod timeline;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use http::Uri;
use switchhook_store::{Batch, Error, Receipt, Store};
use switchhook_wire::config::{Durability, Kind};
use switchhook_wire::problem::{Body as Problem, Kind as Refused};
use tokio::sync::Semaphore;

use crate::gateway::{Gateway, in_background, write};
use crate::observe::Reading;
use answer::{Answer, Refusal};
use tokens::Tokens;

pub use resources::Resources;
pub use tokens::ensure_first_token;

/// Reads of the store at once; the rest waits. It bounds memory, and leaves blocking threads to dispatch.
const READS_MAX: usize = 8;

/// The store engine that this version has.
const ENGINE: &str = "embedded";

/// What all requests share.
struct Control {
    gateway: Arc<Gateway>,
    tokens: Tokens,
    reads: Arc<Semaphore>,
    probes: Semaphore,
    streams: Arc<Semaphore>,
}

/// The API of `gateway`.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let control = Arc::new(Control {
        gateway,
        tokens: Tokens::default(),
        reads: Arc::new(Semaphore::new(READS_MAX)),
        probes: Semaphore::new(probe::PROBES_MAX),
        streams: Arc::new(Semaphore::new(live::STREAMS_MAX)),
    });
    let mut router = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/version", get(gateway::version))
        .route("/v1/stats", get(live::stats))
        .route("/v1/stream", get(live::stream))
        .route("/v1/store/status", get(store::status))
        .route("/v1/store/backup", post(store::backup))
        .route("/v1/events", get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/explain", get(explain::show))
        .route("/v1/events/{id}/timeline", get(timeline::show))
        .route("/v1/deadLetters", get(letters::list))
        .route("/v1/deadLetters/{id}", get(letters::show))
        .route("/v1/deadLetters:export", get(export::export))
        .route("/v1/deadLetters:replay", post(bulk::replay))
        .route("/v1/deadLetters:discard", post(bulk::discard))
        .route("/v1/policies/{name}/preview", get(gateway::preview))
        .route("/v1/sources/{name}/test-event", post(test_event::send))
        .route("/v1/endpoints/{name}/probe", post(probe::probe));
    router = operations(router).route("/v1/secrets", get(declare::secrets));
    for kind in Kind::ALL {
        router = declared(router, kind);
    }
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(|| async {
            Refusal::new(Refused::MethodNotAllowed, "`Allow` lists the methods")
        })
        .layer(from_fn(answer::carry_through))
        .layer(from_fn_with_state(control.clone(), tokens::check))
        .layer(from_fn(answer::finish))
        .with_state(control)
}

/// The routes of a kind of resources. A group is shown as it works.
fn declared(router: Router<Arc<Control>>, kind: Kind) -> Router<Arc<Control>> {
    let (list, show) = if kind == Kind::Group {
        (get(groups::list), get(groups::show))
    } else {
        (
            get(move |control, uri| declare::list(kind, control, uri)),
            get(move |control, name| declare::show(kind, control, name)),
        )
    };
    let one = show
        .put(move |control, name, actor, uri, body| {
            declare::put(kind, control, name, actor, uri, body)
        })
        .delete(move |control, name, actor, uri| declare::delete(kind, control, name, actor, uri));
    let path = format!("/v1/{}", kind.plural());
    router
        .route(&path, list)
        .route(&format!("{path}/{{name}}"), one)
}

/// What people do to a running gateway, and what they see of it then.
fn operations(router: Router<Arc<Control>>) -> Router<Arc<Control>> {
    let pause = |of, pauses| {
        post(move |control, name, actor, uri, body| {
            pauses::change(of, pauses, control, name, actor, uri, body)
        })
    };
    let (subscription, group) = (pauses::Of::Subscription, pauses::Of::Group);
    router
        .route("/v1/breakers", get(breakers::list))
        .route("/v1/endpoints/{name}/breaker", put(breakers::command))
        .route("/v1/endpoints/{name}/pause", post(breakers::pause))
        .route("/v1/endpoints/{name}/resume", post(breakers::resume))
        .route("/v1/subscriptions/{name}/pause", pause(subscription, true))
        .route(
            "/v1/subscriptions/{name}/resume",
            pause(subscription, false),
        )
        .route("/v1/groups/{name}/pause", pause(group, true))
        .route("/v1/groups/{name}/resume", pause(group, false))
        .route("/v1/groups/{name}/rebalance", post(groups::rebalance))
        .route("/v1/groups/{name}/seek", post(groups::seek::seek))
        .route("/v1/jobs", get(jobs::list).post(jobs::make))
        .route("/v1/jobs/{id}", get(jobs::show).patch(jobs::command))
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/audit", get(audit::list))
}

async fn unknown_path(uri: Uri) -> Refusal {
    Problem::not_found("path", uri.path()).into()
}

impl Control {
    /// Reads the store on a thread that may block.
    async fn read<T: Send + 'static>(
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
    async fn write(&self, batch: Batch) -> Answer<Receipt> {
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
            alerts: gateway.alerts.raised(),
        })
    }
}

#[cfg(test)]
mod tests;
