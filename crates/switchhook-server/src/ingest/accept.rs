//! Reads a body: its exact bytes, within limits of size and time.
//!
//! What is too large is refused as soon as that is known: by its declared length before a byte is read (and before a
//! waiting sender is told to continue), else by the first byte too many. The time is one limit for the whole body, so
//! that sending slowly gains nothing.
//!
//! [`Buffered`] bounds the bytes of all bodies under way together. Bytes count when they have arrived, not when they are
//! announced, and until the [`Received`] that holds them is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

/// Room that is made for a declared length before the bytes are there, in bytes at most.
const RESERVE_MAX: usize = 64 * 1024;

/// So much of a refused body is read over, in bytes: what is larger was not meant for us.
const DISCARD_MAX: usize = 1024 * 1024;
/// For so long.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Larger than allowed.
    TooLarge,
    /// Not there in time.
    TooSlow,
    /// The connection or the encoding broke off.
    Broken,
    /// Too many bytes of other requests are under way.
    NoRoom,
}

/// How many bytes of bodies are in memory, and may be.
pub struct Buffered {
    bytes: AtomicUsize,
    max: usize,
}

/// Bytes that count in a [`Buffered`] until this is dropped.
struct Share {
    of: Arc<Buffered>,
    bytes: usize,
}

/// A whole body.
pub struct Received {
    bytes: Bytes,
    _share: Share,
}

impl Received {
    /// Its exact bytes, in memory of their own.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Buffered {
    /// Room for `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            max,
        }
    }
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), Unread> {
        let before = self.of.bytes.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.of.max {
            Err(Unread::NoRoom)
        } else {
            Ok(())
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Reads `body` to its end.
///
/// # Errors
/// See [`Unread`].
pub async fn read<B>(
    body: &mut B,
    bytes_max: usize,
    time: Duration,
    buffered: &Arc<Buffered>,
) -> Result<Received, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Unread::TooLarge);
    }
    tokio::time::timeout(time, collect(body, bytes_max, buffered))
        .await
        .unwrap_or(Err(Unread::TooSlow))
}

/// Reads on, and forgets what comes, so that a sender that reads only after it has written gets the refusal: a connection
/// that is closed with unread bytes is reset, and the refusal lost. Gives up after [`DISCARD_MAX`] or [`DISCARD_TIME`].
pub async fn discard<B>(body: &mut B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let end = async {
        let mut left = DISCARD_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(length);
            if left == 0 {
                return;
            }
        }
    };
    // Whether it came to its end makes no difference.
    let _ = tokio::time::timeout(DISCARD_TIME, end).await;
}

async fn collect<B>(
    body: &mut B,
    bytes_max: usize,
    buffered: &Arc<Buffered>,
) -> Result<Received, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut share = Share {
        of: Arc::clone(buffered),
        bytes: 0,
    };
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(RESERVE_MAX);
    // Copied out of the connection's buffer: a slice would keep all of that buffer in memory with the event.
    let mut bytes = Vec::with_capacity(declared.min(RESERVE_MAX));
    while let Some(frame) = body.frame().await {
        // Trailers are no part of the event.
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        if data.len() > bytes_max - bytes.len() {
            return Err(Unread::TooLarge);
        }
        share.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Received {
        bytes: Bytes::from(bytes.into_boxed_slice()),
        _share: share,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;

    /// Gives its parts, then ends or waits for ever. Declares no length.
    struct Parts {
        parts: VecDeque<&'static [u8]>,
        ends: bool,
    }

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.parts.pop_front() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(part))))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn parts(parts: &[&'static [u8]], ends: bool) -> Parts {
        Parts {
            parts: parts.iter().copied().collect(),
            ends,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_refused() {
        let buffered = Arc::new(Buffered::new(100));
        let received = read(&mut parts(&[b"123", b"45"], true), 5, LONG, &buffered)
            .await
            .ok();
        assert_eq!(
            received.as_ref().map(|received| &received.bytes()[..]),
            Some(&b"12345"[..])
        );
        let refused = read(&mut parts(&[b"123", b"456"], true), 5, LONG, &buffered)
            .await
            .err();
        assert_eq!(refused, Some(Unread::TooLarge));
        let declared = read(
            &mut Full::new(Bytes::from_static(b"123456")),
            5,
            LONG,
            &buffered,
        )
        .await
        .err();
        assert_eq!(declared, Some(Unread::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_given_up_in_time() {
        let buffered = Arc::new(Buffered::new(100));
        let refused = read(
            &mut parts(&[b"1"], false),
            5,
            Duration::from_millis(20),
            &buffered,
        )
        .await
        .err();
        assert_eq!(refused, Some(Unread::TooSlow));
        assert_eq!(buffered.bytes.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn bodies_under_way_share_the_room_and_give_it_back() {
        let buffered = Arc::new(Buffered::new(8));
        let held = read(&mut parts(&[b"12345"], true), 5, LONG, &buffered)
            .await
            .ok();
        assert!(held.is_some());
        assert_eq!(
            read(&mut parts(&[b"1234"], true), 5, LONG, &buffered)
                .await
                .err(),
            Some(Unread::NoRoom)
        );
        drop(held);
        assert!(
            read(&mut parts(&[b"1234"], true), 5, LONG, &buffered)
                .await
                .is_ok()
        );
        assert_eq!(buffered.bytes.load(Relaxed), 0);
    }
}
