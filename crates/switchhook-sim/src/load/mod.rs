//! What `switchhook bench` measures with: a driver, a receiver and a bare proxy.
//!
//! * [`driver`] sends prebuilt requests over keep-alive connections and measures the answers
//! * [`receiver`] answers 200 as cheaply as it can and measures end to end
//! * [`proxy`] is the comparison: the same HTTP libraries as the gateway, nothing durable
//! * [`latency`] gives quantiles
//!
//! All three run in the caller's process or in one of their own; each takes addresses. Driver and
//! receiver must share a machine, since end-to-end times compare their wall clocks. They speak a
//! small part of HTTP/1.1 over bare sockets (`frame`), so that the machine's time goes to what is
//! measured, not to what measures.

pub mod driver;
mod frame;
pub mod latency;
mod letter;
pub mod proxy;
pub mod receiver;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use tokio::net::TcpStream;

pub use self::driver::{Pace, Plan, Report, Until, drive};
pub use self::latency::{Latency, Quantiles};
pub use self::proxy::Proxy;
pub use self::receiver::Receiver;

/// How long a report is awaited.
const REPORT_WITHIN: Duration = Duration::from_secs(10);

/// Asks a receiver or proxy in another process: `GET /report`, or `GET /reset`, which also starts its
/// counters anew.
///
/// # Errors
/// When it cannot be reached or does not answer in JSON.
pub async fn ask(addr: SocketAddr, path: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    let mut answer = BytesMut::new();
    let exchange = driver::exchange(&mut stream, request.as_bytes(), &mut answer);
    tokio::time::timeout(REPORT_WITHIN, exchange).await??;
    let body = frame::head(&answer)?.and_then(|head| answer.get(head.length..));
    serde_json::from_slice(body.unwrap_or_default()).map_err(io::Error::other)
}
