//! One HTTP request and its answer, read whole.
//!
//! TLS is rustls with the machine's certificates, or with those that the caller gives instead. HTTP/1.1, nothing is
//! followed, nothing is repeated here. Times: [`Times`]; an answer has at most [`ANSWER_BYTES_MAX`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::names::Names;

/// Largest answer that is read. A page of 500 webhooks with all they may have is smaller.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Idle connections kept for the next request: calls are made one after the other.
const IDLE_MAX: usize = 2;
/// Certificates of one PEM text that are looked at.
const CERTIFICATES_MAX: usize = 256;

/// What we call ourselves.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("switchhook/", env!("CARGO_PKG_VERSION")));

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Lookup of the name, TCP and TLS.
    pub connect: Duration,
    /// The whole request, from the start to the last byte of the answer.
    pub total: Duration,
}

impl Default for Times {
    /// 5 s to connect; 30 s in all, three times what seed 003 gives, since a list of 500 may take a while.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: String,
    /// Whether the request may have been received.
    pub(crate) may_have_acted: bool,
}

/// TLS could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(String);

/// Whom to trust.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

impl Trust {
    /// The machine's certificates; with `ca`, a PEM text, those in it instead.
    ///
    /// # Errors
    /// When `ca` holds no certificate.
    pub fn new(ca: Option<&[u8]>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => {
                // What cannot be read is not trusted; a connection that needs it fails and says so.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX) {
                    let certificate = certificate.map_err(|error| TlsError(error.to_string()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| TlsError(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(TlsError("the CA file holds no certificate".to_owned()));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// A pool of connections.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pool: Pool<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>,
    times: Times,
}

impl Transport {
    pub(crate) fn new(trust: &Trust, times: Times, names: Names) -> Self {
        let mut http = HttpConnector::new_with_resolver(names);
        http.enforce_http(false);
        http.set_connect_timeout(Some(times.connect));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*trust.0).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { pool, times }
    }

    /// Sends it, and reads the answer whole.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Reply, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|error: http::uri::InvalidUri| Fault {
                what: error.to_string(),
                may_have_acted: false,
            })?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, AGENT);
        request
            .headers_mut()
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        let began = Instant::now();
        timeout(self.times.total, self.exchange(request))
            .await
            .unwrap_or_else(|_| {
                Err(Fault {
                    what: format!("no whole answer within {} ms", began.elapsed().as_millis()),
                    may_have_acted: true,
                })
            })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, Fault> {
        let answer = self.pool.request(request).await.map_err(|error| Fault {
            may_have_acted: !error.is_connect(),
            what: root_cause(&error),
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Fault {
            what: root_cause(&*error),
            may_have_acted: true,
        })?;
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

/// The innermost reason, which is the one that says what to do: `Connection refused`.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
