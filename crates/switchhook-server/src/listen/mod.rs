//! The accept loop of both listeners: who may connect, for how long, and how connections end.
//!
//! hyper's own server has no defence against a client that sends nothing or sends slowly (`facts` 1.6). Here every
//! connection has a [`watch::Watch`] that knows what the connection owes next, and by when; who does not deliver is
//! cut off. The times and sizes are in [`Limits`] (SEC-4).
//!
//! What it does not decide: what a request means, and how long its body and its answer may take. While a request
//! is being handled, time is the handler's business. An answer that streams must write something every
//! [`Limits::idle`], or it is cut off like an idle connection.
//!
//! With a [`Certificate`], a connection must finish its handshake within [`Limits::handshake`]; what it owes counts from then
//! on, in bytes of requests and answers, so that nobody keeps a connection with empty records.
//!
//! Bounds: [`Limits::connections_max`] in all and [`Limits::connections_per_ip_max`] from one address, loopback excepted;
//! a connection beyond them is told 503 and closed.

mod connection;
mod places;
mod tls;
mod watch;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::connection::Protocols;
use self::places::{Place, Places};
pub use self::tls::{Certificate, CertificateError, LOOK_INTERVAL};

/// What a connection may take. The defaults are those of SEC-4.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address. Loopback is excepted: a proxy on this machine has only one.
    pub connections_per_ip_max: usize,
    /// From the accept to the end of the TLS handshake, where there is one.
    pub handshake: Duration,
    /// From the accept, or the end of the handshake, to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// Without a byte either way while no request is being handled.
    pub idle: Duration,
    /// Largest request head, in bytes; at least 8,192.
    pub head_bytes_max: usize,
    /// Whether HTTP/2 is spoken too. Without it, HTTP/1 connections save the look at their first bytes.
    pub http2: bool,
    /// How long requests under way may take after the shutdown has begun.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_ip_max: 1_024,
            handshake: Duration::from_secs(5),
            first_byte: Duration::from_secs(5),
            head: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            head_bytes_max: 32 * 1024,
            http2: true,
            grace: Duration::from_secs(20),
        }
    }
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because their requests did not end within [`Limits::grace`].
    pub cut_off: usize,
}

/// After an error of `accept` that is not one connection's own (no file descriptors left, no memory): wait this long.
/// The condition does not go away by asking again, and a loop without a wait would take a whole core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection beyond the limits is told.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves `listener`, with TLS where there is a `certificate`, until `shutdown` becomes true (or its sender goes), then lets requests under way finish.
///
/// `service_for` makes the service of one connection; it is told the remote address. Idle connections are closed at
/// once when the shutdown begins, the others after their request, and all of them after [`Limits::grace`].
pub async fn serve<F, S, B>(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    limits: Limits,
    service_for: F,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
) -> Drained
where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let protocols = Arc::new(Protocols::new(&limits));
    let places = Arc::new(Places::new(
        limits.connections_max,
        limits.connections_per_ip_max,
    ));
    let mut connections = JoinSet::new();
    loop {
        let (stream, remote) = tokio::select! {
            biased;
            () = begun(&mut shutdown) => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                note_end(ended);
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        let Some(place) = places.take(remote.ip()) else {
            refuse(&stream, remote, certificate.is_some());
            continue;
        };
        // An answer is one small write; waiting for more to send would only delay it.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let (protocols, service) = (Arc::clone(&protocols), service_for(remote));
        let ending = shutdown.clone();
        match &certificate {
            None => {
                let connection = protocols.serve(stream, service, ending);
                connections.spawn(hold(place, connection));
            }
            Some(certificate) => {
                let greeted = greet(
                    certificate.acceptor(),
                    stream,
                    limits.handshake,
                    ending.clone(),
                );
                let connection = async move {
                    if let Some(stream) = greeted.await {
                        protocols.serve(stream, service, ending).await;
                    }
                };
                connections.spawn(hold(place, connection));
            }
        }
    }
    drop(listener);
    drain(connections, limits.grace).await
}

/// Returns once the shutdown has begun.
async fn begun(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // Without a sender nobody can keep the listener alive either.
    let _ = shutdown.wait_for(|begun| *begun).await;
}

/// The handshake; `None` when it failed, took too long, or the shutdown came first.
async fn greet(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    within: Duration,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    tokio::select! {
        biased;
        () = begun(&mut shutdown) => None,
        greeted = tokio::time::timeout(within, acceptor.accept(stream)) => match greeted {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        },
    }
}

async fn hold(place: Place, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

async fn drain(mut connections: JoinSet<()>, grace: Duration) -> Drained {
    let deadline = Instant::now() + grace;
    while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, connections.join_next()).await {
        note_end(ended);
    }
    let drained = Drained {
        cut_off: connections.len(),
    };
    connections.shutdown().await;
    drained
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    ) {
        return;
    }
    tracing::warn!(%error, "no connection can be accepted now");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn refuse(stream: &TcpStream, remote: SocketAddr, is_secure: bool) {
    tracing::debug!(%remote, "connection refused: the limit is reached");
    if is_secure {
        // A handshake would cost more than the limit is there to save.
        return;
    }
    // Into the empty send buffer of a new socket; if it does not fit, closing says enough.
    let _ = stream.try_write(REFUSAL);
}
