//! One connection: which protocols are spoken on it, within which sizes, and how it ends.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::watch::{Answer, Watch, Watched};
use super::{Limits, begun};

/// Requests under way on one HTTP/2 connection (SEC-4).
const STREAMS_MAX: u32 = 128;
/// Streams that a client may open and reset before they were looked at; more closes the connection (rapid reset).
const RESET_STREAMS_MAX: usize = 20;
/// HTTP/2 pings: sent after this long, and answered within [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Before the first deadline is known.
const AS_GOOD_AS_NEVER: Duration = Duration::from_secs(86_400);

/// How connections are spoken to.
pub(super) struct Protocols {
    http1: http1::Builder,
    both: Option<auto::Builder<TokioExecutor>>,
    limits: Limits,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        // The number of fields stays at hyper's 100: setting it costs an allocation per request. Ingest counts by itself.
        // No `pipeline_flush`: with it hyper buffers answers without bound for a client that does not read them.
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(limits.head_bytes_max)
            .header_read_timeout(None);
        Self {
            http1,
            both: limits.http2.then(|| both(limits)),
            limits: limits.clone(),
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve<T, S, B>(
        self: Arc<Self>,
        stream: T,
        service: S,
        shutdown: Receiver<bool>,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let watch = Arc::new(Watch::new(&self.limits));
        let socket = TokioIo::new(Watched::new(stream, Arc::clone(&watch)));
        let seen = Arc::clone(&watch);
        let service = service_fn(move |request: Request<Incoming>| {
            let handling = seen.begin(request.version());
            let answer = service.call(request);
            async move {
                answer
                    .await
                    .map(|answer| answer.map(|body| Answer::new(body, handling)))
            }
        });
        match &self.both {
            None => {
                drive(
                    pin!(self.http1.serve_connection(socket, service)),
                    &watch,
                    shutdown,
                )
                .await
            }
            Some(both) => {
                drive(
                    pin!(both.serve_connection(socket, service)),
                    &watch,
                    shutdown,
                )
                .await
            }
        }
    }
}

fn both(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut both = auto::Builder::new(TokioExecutor::new());
    both.http1()
        .max_buf_size(limits.head_bytes_max)
        .header_read_timeout(None);
    both.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    both
}

/// Runs a connection until it ends by itself or its watch says that it is overdue.
async fn drive<C: Connection>(
    mut connection: Pin<&mut C>,
    watch: &Watch,
    mut shutdown: Receiver<bool>,
) {
    tokio::select! {
        biased;
        () = run(connection.as_mut(), watch) => return,
        () = begun(&mut shutdown) => {}
    }
    connection.as_mut().finish();
    run(connection, watch).await;
}

async fn run<C: Connection>(mut connection: Pin<&mut C>, watch: &Watch) {
    let mut overdue = pin!(sleep_until(Instant::now() + AS_GOOD_AS_NEVER));
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // The deadline moves only when the connection is polled. It moves later with every request, which must not
        // touch the timer; only an earlier one does.
        while let Some(deadline) = watch.deadline() {
            if deadline < overdue.deadline() {
                overdue.as_mut().reset(deadline);
            }
            ready!(overdue.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            overdue.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await;
}

/// What both kinds of connection can do.
trait Connection: Future {
    /// Takes no new request; ends when those under way are answered.
    fn finish(self: Pin<&mut Self>);
}

impl<T, S, B> Connection for http1::Connection<TokioIo<Watched<T>>, S>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<T, S, B> Connection for auto::Connection<'_, TokioIo<Watched<T>>, S, TokioExecutor>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
