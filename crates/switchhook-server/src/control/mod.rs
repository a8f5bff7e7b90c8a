//! The management API on the admin listener, and the health checks.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /livez`, `/readyz?verbose=true`, `/metrics` | open, see `tokens`; everything below needs a token |
//! | `GET /v1/events`, `/v1/events/{id}`, `/v1/events/{id}/timeline` | what came in, and where it is and why |
//! | `GET /v1/deadLetters`, `/v1/deadLetters/{id}`, `/v1/deadLetters:export` | what was given up |
//! | `POST /v1/deadLetters:replay`, `:discard` | acts on all that match a filter |
//! | `GET`, `PUT`, `DELETE /v1/{sources,endpoints,subscriptions,policies}/{name}`, `GET /v1/secrets` | resources |
//! | `GET /v1/policies/{name}/preview` | the schedule that a policy gives |
//! | `POST /v1/sources/{name}/test-event`, `/v1/endpoints/{name}/probe` | tries one out |
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

mod answer;
mod bulk;
mod declare;
mod events;
mod export;
mod gateway;
mod health;
mod letters;
mod live;
mod paging;
mod probe;
mod request;
mod resources;
mod selection;
mod store;
mod test_event;
mod timeline;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use http::Uri;
use switchhook_store::{Batch, Error, Receipt, Store};
use switchhook_wire::config::{Durability, Kind};
use switchhook_wire::problem::{Body as Problem, Kind as Refused};
use tokio::sync::{Semaphore, oneshot};

use crate::gateway::{Gateway, in_background};
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
        .route("/v1/events/{id}/timeline", get(timeline::show))
        .route("/v1/deadLetters", get(letters::list))
        .route("/v1/deadLetters/{id}", get(letters::show))
        .route("/v1/deadLetters:export", get(export::export))
        .route("/v1/deadLetters:replay", post(bulk::replay))
        .route("/v1/deadLetters:discard", post(bulk::discard))
        .route("/v1/policies/{name}/preview", get(gateway::preview))
        .route("/v1/sources/{name}/test-event", post(test_event::send))
        .route("/v1/endpoints/{name}/probe", post(probe::probe));
    router = router.route("/v1/secrets", get(declare::secrets));
    for kind in Kind::ALL {
        let one = get(move |control, name| declare::show(kind, control, name))
            .put(move |control, name, uri, body| declare::put(kind, control, name, uri, body))
            .delete(move |control, name, uri| declare::delete(kind, control, name, uri));
        let path = format!("/v1/{}", kind.plural());
        router = router
            .route(
                &path,
                get(move |control, uri| declare::list(kind, control, uri)),
            )
            .route(&format!("{path}/{{name}}"), one);
    }
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(|| async {
            Refusal::new(Refused::MethodNotAllowed, "`Allow` lists the methods")
        })
        .layer(from_fn_with_state(control.clone(), tokens::check))
        .layer(from_fn(answer::finish))
        .with_state(control)
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
        let routes = gateway
            .plan
            .load()
            .subscriptions
            .iter()
            .map(|(name, to)| (name.clone(), to.endpoint.clone()))
            .collect();
        Ok(Reading {
            started_at: gateway.observe.started_at,
            engine: ENGINE,
            relaxed: gateway.config.store.durability == Durability::Os,
            counts,
            end: gateway.store.tail().end(),
            snapshot: gateway.dispatch.snapshot().await?,
            routes,
        })
    }
}

/// Hands `batch` in and waits until it is on disk.
async fn write(store: &dyn Store, batch: Batch) -> Result<Receipt, Error> {
    let (done, receipt) = oneshot::channel();
    store.submit(
        batch,
        Box::new(move |result| {
            // Nobody waits any more when the asker has gone.
            let _gone = done.send(result);
        }),
    );
    receipt.await.map_err(|_| Error::Closed)?
}

#[cfg(test)]
mod tests;
