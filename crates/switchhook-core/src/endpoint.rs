//! An endpoint: where deliveries go, and what one request to it looks like.

use std::sync::Arc;

use ipnet::IpNet;
use url::Url;

use crate::breaker;
use crate::limit::{adaptive, budget, rate};
use crate::seal;
use crate::secret::SecretRef;
use crate::sign::Signer;
use crate::template::Template;

/// A URL with everything needed to send to it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name.
    pub name: Arc<str>,
    /// Where to send. `http` or `https`, no user information, no fragment.
    pub url: Url,
    /// How to send.
    pub method: Method,
    /// Headers to add, filled at attempt time.
    pub headers: Vec<HeaderTemplate>,
    /// `Content-Type` of what is sent; `None` sends the event's own, or `application/json`.
    pub content_type: Option<Arc<str>>,
    /// From the start of an attempt to the last byte of the answer, in milliseconds.
    pub timeout_ms: u64,
    /// Requests under way at once.
    pub concurrency: u16,
    /// Fewer at once while it is slow or overloaded.
    pub adaptive: Option<adaptive::Bounds>,
    /// Requests over time.
    pub rate: Option<rate::Rate>,
    /// How much of the traffic may be retries.
    pub retry_budget: Option<budget::Settings>,
    /// When it is left alone; `None`: however often it fails.
    pub breaker: Option<breaker::Settings>,
    /// How requests are signed.
    pub signers: Vec<Signer>,
    /// How bodies are encrypted.
    pub seal: Option<seal::Settings>,
    /// Who we are to it.
    pub auth: Option<Auth>,
    /// What its certificate must be like, and which one we show.
    pub tls: Tls,
    /// Address ranges that are allowed although the guard would refuse them; also allows plain http there.
    pub allow_private: Vec<IpNet>,
}

/// Who we are to an endpoint.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `Authorization: Basic …`
    Basic {
        /// Without `:`.
        username: Arc<str>,
        /// Looked up at every attempt.
        password: SecretRef,
    },
    /// `Authorization: Bearer …`
    Bearer(SecretRef),
    /// A key in a header of its own.
    ApiKey {
        /// The header.
        header: http::HeaderName,
        /// Looked up at every attempt.
        key: SecretRef,
    },
    /// `Authorization: Bearer …` with a token that is fetched and kept while it is good.
    ClientCredentials(Arc<ClientCredentials>),
}

/// How to get a token (RFC 6749, 4.4).
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// Where from; judged by the address guard like the endpoint itself.
    pub token_url: Url,
    /// Who asks.
    pub client_id: Arc<str>,
    /// Looked up at every fetch.
    pub client_secret: SecretRef,
    /// What for, space-separated.
    pub scope: Option<Arc<str>>,
    /// `audience` of the request, which some servers want.
    pub audience: Option<Arc<str>>,
    /// Whether id and secret go into the body and not into `Authorization: Basic`.
    pub in_body: bool,
}

/// TLS of an endpoint. Verification cannot be switched off. PEM texts are secrets, so that a renewed one
/// counts without a restart.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates to trust instead of the system's, in PEM.
    pub ca: Option<SecretRef>,
    /// Our certificate chain and its key, in PEM.
    pub client: Option<(SecretRef, SecretRef)>,
    /// SHA-256 of the public key (SPKI) that one certificate of the chain must have; any of these, besides the
    /// usual verification.
    pub pins: Vec<[u8; 32]>,
}

impl Endpoint {
    /// One with nothing but a URL: defaults where there must be a value, no breaker, no limit over time.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, url: Url) -> Self {
        Self {
            name: name.into(),
            url,
            method: Method::Post,
            headers: Vec::new(),
            content_type: None,
            timeout_ms: TIMEOUT_DEFAULT_MS,
            concurrency: CONCURRENCY_DEFAULT,
            adaptive: None,
            rate: None,
            retry_budget: None,
            breaker: None,
            signers: Vec::new(),
            seal: None,
            auth: None,
            tls: Tls::default(),
            allow_private: Vec::new(),
        }
    }

    /// Names of all secrets that a request to it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        let headers = self
            .headers
            .iter()
            .flat_map(|header| header.value.secrets());
        let auth = self.auth.iter().map(Auth::secret);
        let tls = self.tls.ca.iter();
        let client = self.tls.client.iter().flat_map(|(chain, key)| [chain, key]);
        let signers = self.signers.iter().flat_map(Signer::secrets);
        let seal = self.seal.iter().map(seal::Settings::secret);
        let refs = auth.chain(tls).chain(client).chain(signers).chain(seal);
        headers.chain(refs.filter_map(SecretRef::name))
    }
}

impl Auth {
    /// The secret in it.
    #[must_use]
    pub fn secret(&self) -> &SecretRef {
        match self {
            Self::Basic { password, .. } => password,
            Self::Bearer(token) => token,
            Self::ApiKey { key, .. } => key,
            Self::ClientCredentials(credentials) => &credentials.client_secret,
        }
    }
}

/// The methods an endpoint can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

/// A header whose value is filled at attempt time.
#[derive(Debug, Clone)]
pub struct HeaderTemplate {
    /// Checked name, lower case.
    pub name: http::HeaderName,
    /// Its value.
    pub value: Template,
}

/// Default request timeout and its range, in milliseconds (seed 002: 10 s; standard webhooks: 15 to 30 s).
pub const TIMEOUT_DEFAULT_MS: u64 = 10_000;
/// See [`TIMEOUT_DEFAULT_MS`].
pub const TIMEOUT_RANGE_MS: (u64, u64) = (100, 60_000);
/// Default requests under way at once (seed 002) and the largest settable number.
pub const CONCURRENCY_DEFAULT: u16 = 5;
/// See [`CONCURRENCY_DEFAULT`].
pub const CONCURRENCY_MAX: u16 = 1_024;

/// Headers that only the gateway or the transport may set.
pub const RESERVED_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "cookie",
    "expect",
    "x-delivery-id",
    "x-delivery-attempt",
    "x-integration-id",
    "x-format-version",
    "x-genesys-signature",
    "x-genesys-signature-previous",
    "traceparent",
];
/// Prefixes of such headers.
pub const RESERVED_HEADER_PREFIXES: &[&str] = &["proxy-", "webhook-", "ce-"];
