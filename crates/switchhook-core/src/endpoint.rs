//! An endpoint: where deliveries go, and what one request to it looks like.

use std::sync::Arc;

use ipnet::IpNet;
use url::Url;

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
    /// Address ranges that are allowed although the guard would refuse them; also allows plain http there.
    pub allow_private: Vec<IpNet>,
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
    "traceparent",
];
/// Prefixes of such headers.
pub const RESERVED_HEADER_PREFIXES: &[&str] = &["proxy-", "webhook-"];
