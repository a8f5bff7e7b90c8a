//! What a source's rules read out of a request: type, key, identity, kept headers.
//!
//! The body stays as it is; it is parsed at most once, and only where a rule of the source points into
//! it ([`needs_json`]). What is read is bounded and clean, since it goes into logs, tables and pages:
//! * a type that is missing, empty, longer than [`KIND_BYTES_MAX`] or holds control characters is
//!   [`UNKNOWN`]; cutting it could make it another type;
//! * a key that is longer than [`KEY_BYTES_MAX`] or holds control characters is replaced by its hash,
//!   so that order by key still holds;
//! * headers that are no text, or beyond the limits, are left out.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::dedup::{self, Identity};
use crate::event::Headers;
use crate::filter::KIND_BYTES_MAX;
use crate::source::{DedupBy, KEPT_HEADERS, KindRule, Source};

/// The type of an event that does not tell its own.
pub const UNKNOWN: &str = "unknown";
/// Longest ordering key kept as it is, in bytes; an id is shorter.
pub const KEY_BYTES_MAX: usize = 256;
/// Most headers kept with an event. [`KEPT_HEADERS`] and some of a sender's own.
pub const HEADERS_MAX: usize = 32;
/// Most bytes of names and values of kept headers; they stay in memory with the event.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    /// Event type.
    pub kind: Arc<str>,
    /// Ordering key.
    pub key: Option<Arc<str>>,
    /// Headers to keep.
    pub headers: Headers,
    /// What makes it the same as another, unless dedup is off.
    pub identity: Option<Identity>,
}

/// The body had to be JSON and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub struct NotJson(pub String);

/// Whether a rule of `source` points into the body, so that the body must be JSON.
#[must_use]
pub fn needs_json(source: &Source) -> bool {
    matches!(source.kind, KindRule::Pointer(_))
        || !source.key.is_empty()
        || matches!(source.dedup.by, DedupBy::Pointers(_))
}

/// Reads one request.
///
/// # Errors
/// When a rule of the source needs JSON and the body is none.
pub fn read(source: &Source, headers: &HeaderMap, body: &[u8]) -> Result<Intake, NotJson> {
    let json = match needs_json(source) {
        true => Some(serde_json::from_slice(body).map_err(|error| NotJson(error.to_string()))?),
        false => None,
    };
    let json: Option<&Value> = json.as_ref();
    let kind = kind(&source.kind, headers, json);
    let identity = dedup::identity(&source.dedup, &source.name, &kind, headers, body, json);
    Ok(Intake {
        key: key(source, json),
        headers: kept(source, headers),
        identity,
        kind,
    })
}

fn kind(rule: &KindRule, headers: &HeaderMap, json: Option<&Value>) -> Arc<str> {
    static UNKNOWN_KIND: LazyLock<Arc<str>> = LazyLock::new(|| UNKNOWN.into());
    let text = match rule {
        KindRule::Fixed(kind) => return Arc::clone(kind),
        KindRule::Pointer(pointer) => json.and_then(|json| pointer.text(json)),
        KindRule::Header(name) => headers.get(&**name).and_then(text).map(Cow::Borrowed),
    };
    match text {
        Some(text) if !text.is_empty() && is_plain(&text, KIND_BYTES_MAX) => text.into(),
        Some(_) | None => Arc::clone(&UNKNOWN_KIND),
    }
}

/// The first key that is there and not empty.
fn key(source: &Source, json: Option<&Value>) -> Option<Arc<str>> {
    let found = source
        .key
        .iter()
        .find_map(|at| at.text(json?).filter(|text| !text.is_empty()))?;
    Some(if is_plain(&found, KEY_BYTES_MAX) {
        found.into()
    } else {
        format!(
            "sha256:{}",
            HEXLOWER.encode(&Sha256::digest(found.as_bytes()))
        )
        .into()
    })
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(char::is_control)
}

/// The value as text. HTTP allows bytes in it that are none.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The headers that the source keeps, in the order received.
fn kept(source: &Source, headers: &HeaderMap) -> Headers {
    static ALWAYS: LazyLock<Vec<Arc<str>>> =
        LazyLock::new(|| KEPT_HEADERS.iter().copied().map(Arc::from).collect());
    let traced = has_trace(headers);
    let mut bytes_left = HEADER_BYTES_MAX;
    let keep = |(name, value): (&http::HeaderName, &HeaderValue)| {
        let name = name.as_str();
        if !traced && matches!(name, "traceparent" | "tracestate") {
            return None;
        }
        let name = ALWAYS
            .iter()
            .chain(&source.keep_headers)
            .find(|kept| &***kept == name)?;
        let value = text(value)?;
        bytes_left = bytes_left.checked_sub(name.len() + value.len())?;
        Some((Arc::clone(name), value.into()))
    };
    headers.iter().filter_map(keep).take(HEADERS_MAX).collect()
}

/// Whether there is one `traceparent`, and a valid one. `tracestate` means nothing without it.
fn has_trace(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("traceparent").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => text(value).is_some_and(is_traceparent),
        _ => false,
    }
}

/// W3C Trace Context, section 3.2: `version-trace id-parent id-flags` in lower-case hex, ids not all
/// zero, version not `ff`. A version after `00` may have further parts.
fn is_traceparent(value: &str) -> bool {
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, digits| is_hex(part, digits) && part.bytes().any(|byte| byte != b'0');
    let mut parts = value.splitn(5, '-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let version_fits = is_hex(version, 2) && version != "ff";
    let ends = parts.next().is_none() || version != "00";
    version_fits && ends && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
}

#[cfg(test)]
mod tests;
