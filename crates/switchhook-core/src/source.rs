//! A source: a named way in, and how its requests are verified and read.

use std::sync::Arc;

use crate::pointer::Pointer;
use crate::secret::SecretRef;

/// A way in: `POST /in/{name}`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, the last part of its path.
    pub name: Arc<str>,
    /// How a sender proves itself.
    pub verify: Verify,
    /// Where the event type stands.
    pub kind: KindRule,
    /// Where the ordering key stands: the first pointer that is present.
    pub key: Vec<Pointer>,
    /// When two requests are the same event.
    pub dedup: Dedup,
    /// Largest body taken, in bytes.
    pub body_bytes_max: usize,
    /// Headers kept with the event besides [`KEPT_HEADERS`], lower case.
    pub keep_headers: Vec<Arc<str>>,
}

/// Headers kept of every request. Others are dropped, since many carry credentials.
pub const KEPT_HEADERS: &[&str] = &[
    "content-type",
    "content-encoding",
    "traceparent",
    "tracestate",
    "webhook-id",
    "webhook-timestamp",
];

/// Default and largest settable body size, in bytes (`facts`: 256 KiB is what `EventBridge` sends; seed 003 takes 5 MB).
pub const BODY_BYTES_DEFAULT: usize = 256 * 1024;
/// See [`BODY_BYTES_DEFAULT`].
pub const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// How a request proves where it comes from. Several secrets may hold at once, so that one can rotate.
#[derive(Debug, Clone)]
pub enum Verify {
    /// HMAC-SHA256 over the raw body in a header (`genesys-signature`, `open-messaging`, `hmac`).
    Hmac {
        /// Header that carries it, lower case.
        header: Arc<str>,
        /// Text before the digest, for example `sha256=`; may be empty.
        prefix: Arc<str>,
        /// How the digest is written.
        encoding: Encoding,
        /// Any of these may have signed.
        secrets: Vec<SecretRef>,
    },
    /// Standard Webhooks 1.0: id, timestamp and body signed; `whsec_` secrets.
    StandardWebhooks {
        /// Any of these may have signed.
        secrets: Vec<SecretRef>,
        /// How far the timestamp may be from now, either way, in milliseconds.
        tolerance_ms: u64,
    },
    /// A fixed token in a header (`bearer`, `api-key`).
    Token {
        /// Header that carries it, lower case.
        header: Arc<str>,
        /// Text before the token, for example `Bearer `; compared without regard to case.
        prefix: Arc<str>,
        /// Any of these is right.
        secrets: Vec<SecretRef>,
    },
    /// HTTP Basic.
    Basic {
        /// User name.
        user: Arc<str>,
        /// Any of these is right.
        passwords: Vec<SecretRef>,
    },
    /// No proof. Only on a loopback listener, or where the configuration says so in words.
    None,
}

/// How a digest is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// Where a source's event type stands.
#[derive(Debug, Clone)]
pub enum KindRule {
    /// In the JSON body; a body that has none there gets the type `unknown`.
    Pointer(Pointer),
    /// In a request header (lower case); missing means `unknown`.
    Header(Arc<str>),
    /// Always this one.
    Fixed(Arc<str>),
}

/// When two requests of a source are the same event.
#[derive(Debug, Clone)]
pub struct Dedup {
    /// What identifies an event.
    pub by: DedupBy,
    /// For how long a repeat is recognised, in milliseconds.
    pub window_ms: u64,
}

/// What identifies an event. Where a pointer or header is missing, the content decides.
#[derive(Debug, Clone)]
pub enum DedupBy {
    /// All of these places in the JSON body together.
    Pointers(Vec<Pointer>),
    /// A request header, lower case.
    Header(Arc<str>),
    /// SHA-256 of type and body.
    Content,
    /// Every request is a new event.
    Off,
}

/// Dedup window when none is set: 25 h covers `EventBridge`'s 24 h of retries and the seeds' 86,400 s.
pub const DEDUP_WINDOW_DEFAULT_MS: u64 = 25 * 3_600_000;
/// `EventBridge` preset: Genesys re-sends for up to 4 days.
pub const DEDUP_WINDOW_EVENTBRIDGE_MS: u64 = 5 * 86_400_000;
/// Shortest and longest settable dedup window.
pub const DEDUP_WINDOW_RANGE_MS: (u64, u64) = (60_000, 7 * 86_400_000);
