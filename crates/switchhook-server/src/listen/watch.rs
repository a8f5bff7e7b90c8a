//! What a connection owes next, and by when.
//!
//! One [`Watch`] per connection is told of bytes (by [`Watched`], the socket) and of requests: first [`Handling`], then
//! [`Answering`]. From that it knows the moment at which the connection must be cut off if nothing happens. It is asked
//! only when that moment has come, so a request costs a few stores and no timer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;

/// Times in milliseconds after the accept; 0 means never, so the first millisecond counts as 1.
pub(super) struct Watch {
    accepted_at: Instant,
    first_byte: Duration,
    head: Duration,
    idle: Duration,
    /// Last byte either way.
    progress_ms: AtomicU64,
    /// First byte of a request whose head is not complete.
    head_since_ms: AtomicU64,
    /// Requests whose handler has not answered.
    handling: AtomicU32,
    /// Answers that are not written to their end.
    answering: AtomicU32,
    /// HTTP/2 has frames besides requests: bytes between requests do not begin one.
    http2: AtomicBool,
}

/// A request is being handled while this exists.
pub(super) struct Handling(Arc<Watch>);

/// An answer is being written while this exists.
struct Answering(Arc<Watch>);

impl Watch {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            accepted_at: Instant::now(),
            first_byte: limits.first_byte,
            head: limits.head,
            idle: limits.idle,
            progress_ms: AtomicU64::new(0),
            head_since_ms: AtomicU64::new(0),
            handling: AtomicU32::new(0),
            answering: AtomicU32::new(0),
            http2: AtomicBool::new(false),
        }
    }

    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Self>, version: http::Version) -> Handling {
        if version == http::Version::HTTP_2 {
            self.http2.store(true, Relaxed);
        }
        self.handling.fetch_add(1, Relaxed);
        self.head_since_ms.store(0, Relaxed);
        Handling(Arc::clone(self))
    }

    /// When the connection must be cut off if nothing happens until then; `None` while a request is handled.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let after = |at_ms: u64, limit: Duration| {
            Some(self.accepted_at + Duration::from_millis(at_ms) + limit)
        };
        let (progress, head_since) = (
            self.progress_ms.load(Relaxed),
            self.head_since_ms.load(Relaxed),
        );
        if self.handling.load(Relaxed) > 0 {
            None
        } else if progress == 0 {
            after(0, self.first_byte)
        } else if head_since > 0 {
            after(head_since, self.head)
        } else {
            after(progress, self.idle)
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.accepted_at.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn has_read(&self) {
        let now = self.now_ms();
        self.progress_ms.store(now, Relaxed);
        let under_way = self.handling.load(Relaxed) + self.answering.load(Relaxed) > 0;
        if !under_way && self.head_since_ms.load(Relaxed) == 0 && !self.http2.load(Relaxed) {
            self.head_since_ms.store(now, Relaxed);
        }
    }

    fn has_written(&self) {
        self.progress_ms.store(self.now_ms(), Relaxed);
    }
}

impl Handling {
    fn answer(self) -> Answering {
        self.0.answering.fetch_add(1, Relaxed);
        Answering(Arc::clone(&self.0))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.has_written();
        self.0.handling.fetch_sub(1, Relaxed);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Relaxed);
    }
}

/// A socket that tells its watch of every byte.
pub(super) struct Watched<T> {
    stream: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(result, Poll::Ready(Ok(count)) if count > 0) {
            self.watch.has_written();
        }
        result
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.has_read();
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(result)
    }
}

/// The body of an answer: the request is under way until it ends or is dropped.
pub(super) struct Answer<B> {
    body: B,
    _under_way: Answering,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, handling: Handling) -> Self {
        Self {
            body,
            _under_way: handling.answer(),
        }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
