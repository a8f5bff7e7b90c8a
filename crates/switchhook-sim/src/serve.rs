//! One small HTTP/1.1 server for everything here that listens.
//!
//! It accepts, hands each request to a handler, and stops gracefully: after [`Running::stop`] no
//! connection is taken, requests under way may finish within [`GRACE`], then the rest is cut.
//! A handler that answers [`Cut`] has its connection ended with RST instead of an answer.
//! Bounds: [`CONNECTIONS_MAX`] at once; the handlers bound their bodies themselves.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Connections served at once; more wait in the accept queue. Above the 512 that the bench opens,
/// below the usual limits on open files.
pub const CONNECTIONS_MAX: usize = 4096;

/// How long requests under way may take once the server stops.
pub const GRACE: Duration = Duration::from_secs(2);

/// An answer's body.
pub type Body = BoxBody<Bytes, Infallible>;

/// The connection is to be ended with RST, without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection is reset on purpose")]
pub struct Cut;

/// A server that runs. Dropping it stops it without grace.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Binds `addr` (port 0 takes a free one) and runs `accept` on it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn launch<F, Fut>(addr: SocketAddr, accept: F) -> io::Result<Self>
    where
        F: FnOnce(TcpListener, watch::Receiver<bool>) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(accept(listener, stopping));
        Ok(Self { addr, stop, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops taking connections, lets requests under way finish within [`GRACE`], then cuts the rest.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // The task ends by itself within `GRACE`; a panic inside it has been reported by the runtime.
        (&mut self.task).await.ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until told to stop and runs `connection` for each stream, at most [`CONNECTIONS_MAX`] at
/// once. Connections that have not ended `grace` after the stop are dropped.
pub(crate) async fn accept<F, Fut>(
    listener: TcpListener,
    mut stopping: watch::Receiver<bool>,
    grace: Duration,
    connection: F,
) where
    F: Fn(TcpStream, watch::Receiver<bool>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = stopped(&mut stopping) => break,
            (accepted, permit) = next => match accepted {
                Ok((stream, _)) => {
                    stream.set_nodelay(true).ok();
                    let served = connection(stream, stopping.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                // Out of file descriptors, or the peer is gone already: look again shortly.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(grace, all).await.ok();
}

/// Resolves when the server is told to stop, or its handle is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    stopping.wait_for(|stop| *stop).await.ok();
}

/// Serves HTTP/1.1 on every connection of `listener` with `handler`.
pub(crate) async fn http<H, Fut>(
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
    handler: Arc<H>,
) where
    H: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>, Cut>> + Send + 'static,
{
    accept(listener, stopping, GRACE, |stream, mut stopping| {
        let handler = Arc::clone(&handler);
        async move {
            let cut = Arc::new(AtomicBool::new(false));
            let line = Line {
                stream,
                cut: Arc::clone(&cut),
            };
            let service = service_fn(|request| {
                let answer = handler(request);
                let cut = Arc::clone(&cut);
                async move {
                    let answer = answer.await;
                    cut.store(answer.is_err(), Ordering::Relaxed);
                    answer
                }
            });
            let mut builder = http1::Builder::new();
            let connection = builder
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(line), service);
            let mut connection = std::pin::pin!(connection);
            // How a connection ends is the peer's affair; what was answered is in the records.
            tokio::select! {
                _ = connection.as_mut() => return,
                () = stopped(&mut stopping) => connection.as_mut().graceful_shutdown(),
            }
            connection.await.ok();
        }
    })
    .await;
}

/// A TCP stream that ends with RST once `cut` is set.
struct Line {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl Line {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.cut.load(Ordering::Relaxed) {
            // SO_LINGER of zero: closing sends RST and forgets what was not sent.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cut.load(Ordering::Relaxed) {
            // A FIN first would make it an orderly end.
            return Poll::Ready(Ok(()));
        }
        self.inner().poll_shutdown(cx)
    }
}
