//! Requests to endpoints: one exchange within one deadline, over connections that are kept for the next one.
//!
//! Each endpoint has a [`Channel`] of its own with its own idle connections. They are never shared: a connection that one
//! endpoint's allow list permitted must not serve another endpoint with a stricter one. A changed endpoint gets a new
//! channel, and so does one whose certificates or keys have changed (see [`super::tls`]): a connection made under an old
//! identity is not used again. No redirect is followed, no proxy, cookie or compression is known (SEC-12).
//!
//! It is our own small pool on hyper's connections, not a ready-made client, for three things: a connection's owner,
//! the exact kind of every failure, and no shared lock between endpoints.
//!
//! A request is sent a second time only when a kept connection turned out dead before any byte of it was written.
//!
//! Bounds: the numbers below; as many idle connections per endpoint as its concurrency, for [`IDLE_MAX`] each.

#[cfg(test)]
pub(super) mod lab;
mod once;
mod probe;
#[cfg(test)]
mod rebinding;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use switchhook_core::delivery::Failure;
use switchhook_core::endpoint::Endpoint;
use tokio::time::{Instant, timeout, timeout_at};
use url::{Position, Url};

pub use self::probe::Probed;
use super::guard::{Fault, Guard, Steps, Target};
use super::tls::Terms;
use crate::secrets::Secrets;

/// Largest head of an answer, in bytes (SEC-12).
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// So much of an answer's body is read; one that is larger costs the connection, not the result (SEC-12).
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// So much of it is kept (SEC-12).
pub const EXCERPT_BYTES_MAX: usize = 4 * 1024;
/// An idle connection is closed after this: less than the 60 s after which common servers close theirs.
pub const IDLE_MAX: Duration = Duration::from_secs(55);

/// How often idle connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// A kept connection must be ready within this. It is at once, unless its endpoint answered before it had read.
const READY_MAX: Duration = Duration::from_millis(20);

/// What an endpoint answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its protocol version.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// The start of its body: [`EXCERPT_BYTES_MAX`] bytes for people; all of it, where it was asked for.
    pub excerpt: Vec<u8>,
}

/// Sends requests to endpoints.
pub struct Transport {
    guard: Guard,
    secrets: Arc<Secrets>,
    channels: RwLock<HashMap<Arc<str>, Arc<Channel>>>,
}

/// The way to one endpoint.
struct Channel {
    url: Url,
    allow: Vec<IpNet>,
    terms: Option<Terms>,
    target: Target,
    path: Uri,
    host: HeaderValue,
    idle_max: usize,
    /// Oldest first.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Sending,
    since: Instant,
}

type Sending = SendRequest<Full<Bytes>>;

impl Transport {
    /// Connects through `guard`, with certificates and keys from `secrets`. Must be called inside a runtime, where it closes idle connections in the background.
    #[must_use]
    pub fn new(guard: Guard, secrets: Arc<Secrets>) -> Arc<Self> {
        let transport = Arc::new(Self {
            guard,
            secrets,
            channels: RwLock::default(),
        });
        tokio::spawn(sweep(Arc::downgrade(&transport)));
        transport
    }

    /// Sends one request to `endpoint` and reads the answer, all before `deadline`.
    ///
    /// # Errors
    /// When there is no usable answer; the text names the host and no header.
    pub async fn send(
        &self,
        endpoint: &Arc<Endpoint>,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let channel = self.channel(endpoint)?;
        let request = channel.request(method, headers, body);
        timeout_at(deadline, channel.exchange(&self.guard, request))
            .await
            .unwrap_or_else(|_| Err(channel.late()))
    }

    fn channel(&self, endpoint: &Endpoint) -> Result<Arc<Channel>, Fault> {
        let terms = Terms::read(&endpoint.tls, &*self.secrets)?;
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&endpoint.name)
            && channel.leads_to(endpoint, terms.as_ref())
        {
            return Ok(Arc::clone(channel));
        }
        drop(channels);
        let channel = Arc::new(Channel::to_endpoint(&self.guard, endpoint, terms)?);
        let mut channels = self
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        channels.insert(Arc::clone(&endpoint.name), Arc::clone(&channel));
        Ok(channel)
    }

    /// Closes connections that were idle for too long, and forgets channels that nobody uses.
    fn sweep(&self, now: Instant) {
        self.channels
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, channel| {
                let mut idle = channel.idle();
                idle.retain(|idle| idle.is_fresh(now));
                !idle.is_empty() || Arc::strong_count(channel) > 1
            });
    }
}

async fn sweep(transport: Weak<Transport>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(transport) = transport.upgrade() else {
            return;
        };
        transport.sweep(Instant::now());
    }
}

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        !self.connection.is_closed() && now.duration_since(self.since) < IDLE_MAX
    }
}

impl Channel {
    fn to_endpoint(
        guard: &Guard,
        endpoint: &Endpoint,
        terms: Option<Terms>,
    ) -> Result<Self, Fault> {
        let channel = Self::new(guard, &endpoint.url, &endpoint.allow_private, terms)?;
        Ok(Self {
            idle_max: usize::from(endpoint.concurrency),
            ..channel
        })
    }

    /// One that keeps no connection.
    fn new(guard: &Guard, url: &Url, allow: &[IpNet], terms: Option<Terms>) -> Result<Self, Fault> {
        let unusable = |_| {
            Fault::new(
                Failure::Protocol,
                "the URL cannot be written into a request",
            )
        };
        let path = url[Position::BeforePath..Position::AfterQuery]
            .parse::<Uri>()
            .map_err(|_| unusable(()))?;
        let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])
            .map_err(|_| unusable(()))?;
        Ok(Self {
            target: guard.target(url, allow, terms.as_ref())?,
            url: url.clone(),
            allow: allow.to_vec(),
            terms,
            path,
            host,
            idle_max: 0,
            idle: Mutex::default(),
        })
    }

    /// Whether its connections may be used for `endpoint`: another plan may define it anew, the same or not.
    fn leads_to(&self, endpoint: &Endpoint, terms: Option<&Terms>) -> bool {
        self.url == endpoint.url
            && self.allow == endpoint.allow_private
            && self.idle_max == usize::from(endpoint.concurrency)
            && self.terms.as_ref() == terms
    }

    fn request(&self, method: Method, mut headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        headers.insert(HOST, self.host.clone());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        request
    }

    fn late(&self) -> Fault {
        Fault::new(
            Failure::Timeout,
            format!("{} gave no whole answer in time", self.target.host()),
        )
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        &self,
        guard: &Guard,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Fault> {
        let mut request = request;
        if let Some(mut connection) = self.take_idle().await {
            match connection.try_send_request(request).await {
                Ok(answer) => return self.finish(connection, answer).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(error.error())),
                },
            }
        }
        let mut connection = self.connect(guard, &mut Steps::default()).await?;
        match connection.send_request(request).await {
            Ok(answer) => self.finish(connection, answer).await,
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// The connection that was used last and still works.
    async fn take_idle(&self) -> Option<Sending> {
        loop {
            let mut idle = self.idle().pop()?;
            if !idle.is_fresh(Instant::now()) {
                continue;
            }
            if idle.connection.is_ready()
                || matches!(
                    timeout(READY_MAX, idle.connection.ready()).await,
                    Ok(Ok(()))
                )
            {
                return Some(idle.connection);
            }
        }
    }

    fn put_idle(&self, connection: Sending) {
        let mut idle = self.idle();
        if !connection.is_closed() && idle.len() < self.idle_max {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    async fn connect(&self, guard: &Guard, steps: &mut Steps) -> Result<Sending, Fault> {
        let socket = TokioIo::new(guard.connect(&self.target, steps).await?);
        let (sending, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(socket)
            .await
            .map_err(|error| self.broken(&error))?;
        // It ends when `sending` is dropped or the peer closes; its errors reach the request that they hit.
        tokio::spawn(connection);
        Ok(sending)
    }

    /// Reads the answer and keeps the connection, if it is good for another request.
    async fn finish(
        &self,
        connection: Sending,
        answer: Response<Incoming>,
    ) -> Result<Answer, Fault> {
        let (answer, is_whole) = self.read(answer, EXCERPT_BYTES_MAX).await?;
        if is_whole {
            self.put_idle(connection);
        }
        Ok(answer)
    }

    /// Reads the answer, of its body at most [`BODY_BYTES_MAX`], and says whether that was all. Keeps `bytes_max` of it.
    async fn read(
        &self,
        answer: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<(Answer, bool), Fault> {
        let (head, mut body) = answer.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let text = format!(
                "{} answered 101 although no upgrade was asked for",
                self.target.host()
            );
            return Err(Fault::new(Failure::Protocol, text));
        }
        let mut excerpt = Vec::new();
        let mut read = 0;
        while !body.is_end_stream() && read <= BODY_BYTES_MAX {
            let Some(frame) = body.frame().await else {
                break;
            };
            let Ok(data) = frame.map_err(|error| self.broken(&error))?.into_data() else {
                continue;
            };
            read += data.len();
            excerpt.extend(data.iter().take(bytes_max - excerpt.len()));
        }
        let answer = Answer {
            status: head.status,
            version: head.version,
            headers: head.headers,
            excerpt,
        };
        Ok((answer, read <= BODY_BYTES_MAX))
    }

    /// What an error of the connection means.
    fn broken(&self, error: &hyper::Error) -> Fault {
        let host = self.target.host();
        if let Some(tls) = source_of::<rustls::Error>(error) {
            return Fault::new(Failure::Tls, format!("TLS with {host} failed: {tls}"));
        }
        if error.is_parse_too_large() {
            let text =
                format!("the head of the answer of {host} is larger than {HEAD_BYTES_MAX} bytes");
            return Fault::new(Failure::Protocol, text);
        }
        if error.is_parse() {
            return Fault::new(
                Failure::Protocol,
                format!("the answer of {host} is not HTTP/1.1: {error}"),
            );
        }
        Fault::new(
            Failure::Reset,
            format!("{host} broke the connection before its answer was whole"),
        )
    }
}

/// The cause of this type, however deep.
fn source_of<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An io::Error hands out the source of what it wraps, not what it wraps.
        if let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<E>()
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}
