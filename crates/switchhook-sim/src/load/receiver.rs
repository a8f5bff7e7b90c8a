//! The receiver of a bench: reads, counts, answers 200, and knows how long an event was under way.
//!
//! It answers over bare sockets with one fixed text. End-to-end latency is the wall clock minus the
//! `"sent-at":<microseconds>` that the driver wrote into the body, which the gateway hands on unchanged; a
//! body without it is only counted. `/black-hole…` is read and never answered. `/every-100-fails…` answers 500 to
//! every 100th key, that is to bodies whose `"key":"<4 hex>"` is a multiple of 100. `GET /report` and `GET /reset`
//! serve a bench in another process.
//! Bounds: those of [`crate::serve`] and of `frame`; a request that is none ends its connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::frame::{self, Head};
use super::latency::{Latency, Quantiles};
use crate::serve::{self, Running};
use crate::unix_us;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

const ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

const KEY: &[u8] = b"\"key\":\"";

/// Digits of a key, as the driver writes it.
const KEY_LEN: usize = 4;

const SENT_AT: &[u8] = b"\"sent-at\":";

/// A receiver that runs.
#[derive(Debug)]
pub struct Receiver {
    server: Running,
    tally: Arc<Mutex<Tally>>,
}

/// What a receiver has seen since its start or its last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Requests answered with 200.
    pub answered: u64,
    /// Requests answered with 500.
    pub refused: u64,
    /// Requests to the black hole.
    pub swallowed: u64,
    /// From `sent-at` to the arrival of the whole request.
    pub end_to_end: Quantiles,
}

#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    refused: u64,
    swallowed: u64,
    latency: Latency,
}

impl Receiver {
    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(addr: SocketAddr) -> io::Result<Self> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let shared = Arc::clone(&tally);
        let server = Running::launch(addr, |listener, stopping| {
            serve::accept(listener, stopping, Duration::ZERO, move |mut stream, _| {
                let tally = Arc::clone(&shared);
                // How a connection ends is the peer's affair.
                async move { drop(connection(&mut stream, &tally).await) }
            })
        });
        Ok(Self {
            server: server.await?,
            tally,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// What it has seen.
    #[must_use]
    pub fn received(&self) -> Received {
        lock(&self.tally).received()
    }

    /// Starts the counters anew.
    pub fn reset(&self) {
        *lock(&self.tally) = Tally::default();
    }

    /// Stops it.
    pub async fn stop(self) -> Received {
        let received = self.received();
        self.server.stop().await;
        received
    }
}

impl Received {
    /// As JSON, the body of `GET /report`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "answered": self.answered,
            "refused": self.refused,
            "swallowed": self.swallowed,
            "end_to_end": self.end_to_end.json(),
        })
    }
}

impl Tally {
    fn received(&self) -> Received {
        let end_to_end = self.latency.quantiles();
        Received {
            answered: self.answered,
            refused: self.refused,
            swallowed: self.swallowed,
            end_to_end,
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection(stream: &mut TcpStream, tally: &Mutex<Tally>) -> io::Result<()> {
    let mut requests = BytesMut::with_capacity(64 * 1024);
    let mut answers = Vec::new();
    loop {
        if stream.read_buf(&mut requests).await? == 0 {
            return Ok(());
        }
        while let Some(head) = frame::head(&requests)? {
            let length = head.length + head.body_length;
            let Some(request) = requests.get(..length) else {
                requests.reserve(length - requests.len());
                break;
            };
            take(request, head, tally, &mut answers);
            requests.advance(length);
        }
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            answers.clear();
        }
    }
}

/// Counts one request and appends its answer.
fn take(request: &[u8], head: Head, tally: &Mutex<Tally>, answers: &mut Vec<u8>) {
    if request.starts_with(b"GET /re") {
        let mut tally = lock(tally);
        let report = tally.received().json().to_string();
        if request.starts_with(b"GET /reset") {
            *tally = Tally::default();
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{report}",
            report.len()
        );
        answers.extend_from_slice(answer.as_bytes());
        return;
    }
    let body = request.get(head.length..).unwrap_or_default();
    let (sent, fails) = (sent_us(body), is_refused(request, body));
    let now = unix_us();
    let mut tally = lock(tally);
    if request.starts_with(b"POST /black-hole") {
        tally.swallowed += 1;
        return;
    }
    if fails {
        tally.refused += 1;
        answers.extend_from_slice(ERROR);
        return;
    }
    tally.answered += 1;
    if let Some(sent) = sent {
        tally.latency.record_us(now.saturating_sub(sent));
    }
    drop(tally);
    answers.extend_from_slice(OK);
}

/// Whether the path says that the key of this body fails.
fn is_refused(request: &[u8], body: &[u8]) -> bool {
    let Some(rest) = request.strip_prefix(b"POST /every-") else {
        return false;
    };
    let every = rest.split(|byte| *byte == b'-').next();
    let every = every.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    let key = after(body, KEY).and_then(|rest| std::str::from_utf8(rest.get(..KEY_LEN)?).ok());
    let key = key.and_then(|key| u32::from_str_radix(key, 16).ok());
    matches!((key, every), (Some(key), Some(every)) if every > 0 && key % every == 0)
}

/// What follows `name` in `body`.
fn after<'b>(body: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let at = body.windows(name.len()).position(|text| text == name)?;
    body.get(at + name.len()..)
}

/// The `sent-at` of a body.
fn sent_us(body: &[u8]) -> Option<u64> {
    let digits = after(body, SENT_AT)?;
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    std::str::from_utf8(digits.get(..length)?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_sending_is_found_wherever_it_stands() {
        assert_eq!(
            sent_us(br#"{"sent-at":1767323045000123,"pad":""}"#),
            Some(1_767_323_045_000_123)
        );
        assert_eq!(sent_us(br#"{"a":1,"sent-at":5}"#), Some(5));
        assert_eq!(sent_us(br#"{"sent-at":"x"}"#), None);
        assert_eq!(sent_us(b""), None);
    }

    #[test]
    fn the_keys_that_fail_are_those_that_the_path_says() {
        let body = |key: u32| format!(r#"{{"id":"1","key":"{key:04x}","sent-at":1}}"#);
        for (path, key, refused) in [
            ("/every-100-fails/e0", 0, true),
            ("/every-100-fails/e0", 300, true),
            ("/every-100-fails/e0", 301, false),
            ("/every-0-fails/e0", 0, false),
            ("/every-x-fails/e0", 0, false),
            ("/e0", 0, false),
        ] {
            let body = body(key);
            let request = format!("POST {path} HTTP/1.1\r\n\r\n{body}");
            assert_eq!(
                is_refused(request.as_bytes(), body.as_bytes()),
                refused,
                "{path} {key}"
            );
        }
        assert!(!is_refused(b"POST /every-1-fails HTTP/1.1", b"{}"));
    }
}
