//! Where connections to endpoints are made, and the only place where they are.
//!
//! A host is resolved once; each of its addresses is judged by [`switchhook_core::guard`] with the endpoint's own
//! allow list; and the connection is made to exactly the address that was judged. So a name that changes its mind
//! between check and use gains nothing (SEC-10). An address that is refused is passed over; if none is left, the
//! attempt is blocked. Literal addresses take the same path without the lookup.
//!
//! Addresses of this machine are refused too, whatever range they are in: what listens there may be meant for its
//! neighbours alone. An allow list permits them like any other range. The gateway's own listeners are refused on top of
//! that, since an endpoint that is the gateway is a loop. Only an allow list that names the very address (`/32` or `/128`)
//! permits it: a wider range was meant for its neighbours.
//!
//! A blocked address and a refused connection give the same text (SEC-13): who may set a URL must not learn from it
//! what listens inside. The [`Failure`] tells them apart, because they are retried differently, and the log has the reason;
//! so does the management API, whose readers are operators (see `control`).
//!
//! Bounds: [`ADDRESSES_MAX`] addresses tried, [`LOOKUPS_MAX`] lookups at once, a time for each step.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use switchhook_core::delivery::Failure;
use switchhook_core::guard::{check_address, check_plain_address};
use switchhook_core::secret::SecretError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::tls::{self, Terms, Trust};

/// Addresses of one host that are tried at most; a name with more is not served better by trying them all.
const ADDRESSES_MAX: usize = 8;
/// Lookups at once. Each holds a blocking thread, and a resolver that does not answer must not take all of them.
const LOOKUPS_MAX: usize = 64;

/// How long each step of connecting may take (`facts` 5.6).
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// One lookup.
    pub dns: Duration,
    /// The connection to one address.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            dns: Duration::from_secs(2),
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(5),
        }
    }
}

/// Why there is no usable answer: the kind for the engine, and words for people that hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// The kind.
    pub failure: Failure,
    /// In words; names the host.
    pub text: String,
}

impl Fault {
    pub(super) fn new(failure: Failure, text: impl Into<String>) -> Self {
        Self {
            failure,
            text: text.into(),
        }
    }

    /// A secret that could not be had. Its text names it.
    pub(super) fn of_secret(error: SecretError) -> Self {
        Self::new(Failure::Secret, error.to_string())
    }
}

/// Turns a name into addresses.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, with `port`.
    fn resolve(&self, host: String, port: u16) -> Resolving;
}

/// A lookup under way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The resolver of the operating system.
pub struct SystemResolver {
    places: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String, port: u16) -> Resolving {
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                // Held by the thread itself: a lookup that nobody waits for any more still occupies it.
                let _place = place;
                (host, port).to_socket_addrs().map(Iterator::collect)
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// A byte stream to an endpoint.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// How a connection came to be, as far as it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// How many addresses the host has; one for a literal address.
    pub addresses: Option<usize>,
    /// The address that took the connection.
    pub address: Option<SocketAddr>,
    /// Time of the lookup; `None` for a literal address.
    pub dns: Option<Duration>,
    /// Time until an address took the connection, those before it that did not included.
    pub connect: Option<Duration>,
    /// Time of the TLS handshake.
    pub tls: Option<Duration>,
    /// For example `TLSv1.3`.
    pub tls_version: Option<&'static str>,
}

/// Makes connections.
pub struct Guard {
    resolver: Arc<dyn Resolve>,
    trust: Arc<Trust>,
    own: Arc<ArcSwap<Vec<SocketAddr>>>,
    times: Times,
}

/// What connections are made to, worked out once.
#[derive(Clone)]
pub struct Target {
    host: Host,
    port: u16,
    /// `None` for plain HTTP.
    tls: Option<Tls>,
    allow: Vec<IpNet>,
}

#[derive(Clone)]
struct Tls {
    /// The name that the certificate must have; from the URL, always.
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Target {
    /// The host as people write it.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    fn judge(&self, address: IpAddr) -> Result<(), switchhook_core::guard::Blocked> {
        match self.tls {
            Some(_) => check_address(address, &self.allow),
            None => check_plain_address(address, &self.allow),
        }
    }

    /// Whether the allow list has this address.
    fn lists(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        let has = |net: &IpNet| net.contains(&address) || net.contains(&plain);
        self.allow.iter().any(has)
    }

    /// Whether the allow list names this very address.
    fn names(&self, address: IpAddr) -> bool {
        self.allow
            .iter()
            .any(|net| net.prefix_len() == net.max_prefix_len() && net.contains(&address))
    }
}

impl Guard {
    /// Resolves with `resolver`, and trusts what `trust` says. `own` are the listeners of the gateway.
    #[must_use]
    pub fn new(
        resolver: Arc<dyn Resolve>,
        trust: Arc<Trust>,
        own: Arc<ArcSwap<Vec<SocketAddr>>>,
        times: Times,
    ) -> Self {
        Self {
            resolver,
            trust,
            own,
            times,
        }
    }

    /// The target of `url`, whose addresses `allow` may permit, on the TLS terms of its endpoint.
    ///
    /// # Errors
    /// When the URL has no host or port, or a host that no certificate can have; or when the terms cannot be kept.
    pub(super) fn target(
        &self,
        url: &Url,
        allow: &[IpNet],
        terms: Option<&Terms>,
    ) -> Result<Target, Fault> {
        let unusable =
            |what: &str| Fault::new(Failure::Blocked, format!("the URL has no usable {what}"));
        let host = url.host().ok_or_else(|| unusable("host"))?.to_owned();
        let port = url
            .port_or_known_default()
            .ok_or_else(|| unusable("port"))?;
        let name = match (url.scheme(), &host) {
            ("http", _) => None,
            (_, Host::Domain(name)) => {
                Some(ServerName::try_from(name.clone()).map_err(|_| unusable("host"))?)
            }
            (_, Host::Ipv4(ip)) => Some(ServerName::from(IpAddr::V4(*ip))),
            (_, Host::Ipv6(ip)) => Some(ServerName::from(IpAddr::V6(*ip))),
        };
        let tls = name.map(|name| {
            let config = self.trust.config(terms)?;
            Ok(Tls { name, config })
        });
        Ok(Target {
            host,
            port,
            tls: tls.transpose()?,
            allow: allow.to_vec(),
        })
    }

    /// Connects to the first address of `target` that is allowed and takes the connection. What was done, also before a
    /// failure, is written into `steps`.
    ///
    /// # Errors
    /// When no address is found, allowed or reachable, or the TLS handshake fails.
    pub async fn connect(
        &self,
        target: &Target,
        steps: &mut Steps,
    ) -> Result<Box<dyn Socket>, Fault> {
        let began = Instant::now();
        let addresses = self.addresses(target).await?;
        let resolved = Instant::now();
        steps.addresses = Some(addresses.len());
        steps.dns = matches!(target.host, Host::Domain(_)).then(|| resolved - began);
        let mut fault = None;
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match self.reach(target, address).await {
                Ok(stream) => {
                    steps.connect = Some(resolved.elapsed());
                    steps.address = Some(address);
                    return self.secure(target, stream, steps).await;
                }
                // A real try says more than an address that was never tried.
                Err(new) if new.failure == Failure::Blocked && fault.is_some() => {}
                Err(new) => fault = Some(new),
            }
        }
        Err(fault
            .unwrap_or_else(|| Fault::new(Failure::Dns, format!("{} has no address", target.host))))
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Fault> {
        let name = match &target.host {
            Host::Domain(name) => name,
            Host::Ipv4(ip) => return Ok(vec![SocketAddr::from((*ip, target.port))]),
            Host::Ipv6(ip) => return Ok(vec![SocketAddr::from((*ip, target.port))]),
        };
        let failed =
            |why: String| Fault::new(Failure::Dns, format!("{name} could not be resolved: {why}"));
        match timeout(
            self.times.dns,
            self.resolver.resolve(name.clone(), target.port),
        )
        .await
        {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!(
                "no answer within {} ms",
                self.times.dns.as_millis()
            ))),
        }
    }

    async fn reach(&self, target: &Target, address: SocketAddr) -> Result<TcpStream, Fault> {
        if let Err(reason) = target.judge(address.ip()) {
            return Err(blocked(target, address, &reason.to_string()));
        }
        if !target.lists(address.ip()) && is_here(address) {
            return Err(blocked(target, address, HERE));
        }
        if self.is_own(target, address, None) {
            return Err(blocked(target, address, OWN));
        }
        let stream = match timeout(self.times.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(host = %target.host, %address, %error, "no connection");
                return Err(Fault::new(Failure::Connect, unreachable(target)));
            }
            Err(_) => {
                let text = format!(
                    "{} took no connection within {} ms",
                    target.host,
                    self.times.connect.as_millis()
                );
                return Err(Fault::new(Failure::Timeout, text));
            }
        };
        if self.is_own(target, address, stream.local_addr().ok()) {
            return Err(blocked(target, address, OWN));
        }
        // A request is written at once; waiting for more to send would only delay it.
        stream
            .set_nodelay(true)
            .map_err(|_| Fault::new(Failure::Connect, unreachable(target)))?;
        Ok(stream)
    }

    /// Whether `address` is a listener of the gateway. One that listens on all addresses is known on loopback, and once
    /// connected by both ends having the same address: only a machine's connection to itself has that.
    fn is_own(&self, target: &Target, address: SocketAddr, local: Option<SocketAddr>) -> bool {
        let ip = address.ip().to_canonical();
        let here = ip.is_loopback() || local.is_some_and(|local| local.ip().to_canonical() == ip);
        let is_listener = |own: &SocketAddr| {
            let own_ip = own.ip().to_canonical();
            own.port() == address.port() && (own_ip == ip || (own_ip.is_unspecified() && here))
        };
        self.own.load().iter().any(is_listener) && !target.names(ip)
    }

    async fn secure(
        &self,
        target: &Target,
        stream: TcpStream,
        steps: &mut Steps,
    ) -> Result<Box<dyn Socket>, Fault> {
        let Some(Tls { name, config }) = &target.tls else {
            return Ok(Box::new(stream));
        };
        let began = Instant::now();
        let connector = TlsConnector::from(Arc::clone(config));
        match timeout(self.times.tls, connector.connect(name.clone(), stream)).await {
            Ok(Ok(stream)) => {
                steps.tls = Some(began.elapsed());
                steps.tls_version = match stream.get_ref().1.protocol_version() {
                    Some(ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
                    // No older one is taken.
                    Some(_) => Some("TLSv1.2"),
                    None => None,
                };
                Ok(Box::new(stream))
            }
            Ok(Err(error)) => Err(Fault::new(
                Failure::Tls,
                format!(
                    "the TLS handshake with {} failed: {}",
                    target.host,
                    tls::reason(&error)
                ),
            )),
            Err(_) => {
                let ms = self.times.tls.as_millis();
                Err(Fault::new(
                    Failure::Timeout,
                    format!(
                        "the TLS handshake with {} took more than {ms} ms",
                        target.host
                    ),
                ))
            }
        }
    }
}

const OWN: &str = "it is a listener of this gateway";
const HERE: &str = "it is an address of this machine; list it in `allow_private` if it is meant";

/// Whether packets to `address` would stay on this machine: then it is also where they would come from. Nothing is sent to
/// find that out. Where it cannot be found out, there is no way to the address either.
fn is_here(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let from = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip().to_canonical() == address.ip().to_canonical())
}

fn unreachable(target: &Target) -> String {
    format!(
        "no connection to {} port {} could be made",
        target.host, target.port
    )
}

fn blocked(target: &Target, address: SocketAddr, reason: &str) -> Fault {
    tracing::warn!(host = %target.host, %address, reason, "address refused by the guard");
    Fault::new(Failure::Blocked, unreachable(target))
}
