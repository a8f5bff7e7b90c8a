//! The bare proxy that the gateway is compared with: accept, answer 202, forward, count.
//!
//! It uses the gateway's HTTP libraries in the same way (hyper server, pooled hyper-util client) and
//! does nothing else: no verification, no store, no retry. The 202 goes out as soon as the request has a
//! place in the queue; each target is then called in the background. What it loses it only counts. So
//! the ratio of the gateway's deliveries per second to this proxy's is the price of being durable.
//! Bounds: [`QUEUE_MAX`] forwards in hand (when they are all taken, the 202 waits), `concurrency` of
//! them on the wire, bodies of at most 5 MB. `GET /report` and `GET /reset` serve a bench in another process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::frame::BODY_BYTES_MAX;
use crate::serve::{self, Body, Cut, Running};

/// Forwards in hand: at 1 KiB each a few MB.
pub const QUEUE_MAX: u32 = 4096;

/// A proxy that runs.
#[derive(Debug)]
pub struct Proxy {
    server: Running,
    road: Arc<Road>,
}

/// What a proxy has done since its start or its last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// Requests answered with 202.
    pub accepted: u64,
    /// Forwards answered with 2xx.
    pub forwarded: u64,
    /// Forwards that were not.
    pub failed: u64,
}

#[derive(Debug)]
struct Road {
    targets: Vec<Uri>,
    client: Client<HttpConnector, Full<Bytes>>,
    queue: Arc<Semaphore>,
    lanes: Semaphore,
    accepted: AtomicU64,
    forwarded: AtomicU64,
    failed: AtomicU64,
}

impl Proxy {
    /// Listens on `addr` and forwards every request to each of `targets` (at most [`QUEUE_MAX`]), with
    /// `concurrency` forwards on the wire.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(
        addr: SocketAddr,
        targets: Vec<Uri>,
        concurrency: usize,
    ) -> io::Result<Self> {
        let concurrency = concurrency.clamp(1, QUEUE_MAX as usize);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let road = Arc::new(Road {
            targets: targets.into_iter().take(QUEUE_MAX as usize).collect(),
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(concurrency)
                .build(connector),
            queue: Arc::new(Semaphore::new(QUEUE_MAX as usize)),
            lanes: Semaphore::new(concurrency),
            accepted: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let serving = Arc::clone(&road);
        let handler = Arc::new(move |request| take(Arc::clone(&serving), request));
        let server =
            Running::launch(addr, |listener, stop| serve::http(listener, stop, handler)).await?;
        Ok(Self { server, road })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// What it has done.
    #[must_use]
    pub fn forwarded(&self) -> Forwarded {
        self.road.report()
    }

    /// Stops accepting and waits for the forwards in hand.
    pub async fn stop(self) -> Forwarded {
        self.server.stop().await;
        // All places free means that nothing is in hand.
        drop(self.road.queue.acquire_many(QUEUE_MAX).await);
        self.road.report()
    }
}

impl Forwarded {
    /// As JSON, the body of `GET /report`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"accepted": self.accepted, "forwarded": self.forwarded, "failed": self.failed})
    }
}

async fn take(road: Arc<Road>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/report") => {
            return Ok(text(StatusCode::OK, road.report().json().to_string()));
        }
        (&Method::GET, "/reset") => {
            return Ok(text(StatusCode::OK, road.reset().json().to_string()));
        }
        _ => {}
    }
    let (mut head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, String::new()));
    };
    let body = body.to_bytes();
    head.headers.remove(header::HOST);
    for target in &road.targets {
        let Ok(place) = Arc::clone(&road.queue).acquire_owned().await else {
            return Err(Cut);
        };
        tokio::spawn(forward(
            Arc::clone(&road),
            target.clone(),
            head.headers.clone(),
            body.clone(),
            place,
        ));
    }
    road.accepted.fetch_add(1, Ordering::Relaxed);
    Ok(text(StatusCode::ACCEPTED, String::new()))
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    answer
}

async fn forward(
    road: Arc<Road>,
    target: Uri,
    headers: HeaderMap,
    body: Bytes,
    place: OwnedSemaphorePermit,
) {
    let sent = async {
        let _lane = road.lanes.acquire().await.ok()?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        let answer = road.client.request(request).await.ok()?;
        let taken = answer.status().is_success();
        Limited::new(answer.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .ok()?;
        taken.then_some(())
    };
    let count = if sent.await.is_some() {
        &road.forwarded
    } else {
        &road.failed
    };
    count.fetch_add(1, Ordering::Relaxed);
    drop(place);
}

impl Road {
    fn report(&self) -> Forwarded {
        Forwarded {
            accepted: self.accepted.load(Ordering::Relaxed),
            forwarded: self.forwarded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn reset(&self) -> Forwarded {
        Forwarded {
            accepted: self.accepted.swap(0, Ordering::Relaxed),
            forwarded: self.forwarded.swap(0, Ordering::Relaxed),
            failed: self.failed.swap(0, Ordering::Relaxed),
        }
    }
}
