//! What is read from the head of an answer.

use http::HeaderMap;
use http::header::{DATE, ETAG, RETRY_AFTER};
use switchhook_core::retry::parse_retry_after;
use switchhook_core::time::UnixMs;

use crate::refusal::{Refusal, shown};

/// Longest tag that is sent back, in bytes.
const ETAG_BYTES_MAX: usize = 512;

/// How much of the allowance of a minute is used up (`inin-ratelimit-*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests counted.
    pub count: u64,
    /// Requests allowed.
    pub allowed: u64,
    /// Seconds until the count begins anew.
    pub reset_s: u64,
}

/// A header as text.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn etag(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(ETAG)?.to_str().ok()?;
    (value.len() <= ETAG_BYTES_MAX).then(|| value.to_owned())
}

pub(crate) fn rate(headers: &HeaderMap) -> Option<Rate> {
    let number = |name| text(headers, name)?.trim().parse().ok();
    Some(Rate {
        count: number("inin-ratelimit-count")?,
        allowed: number("inin-ratelimit-allowed")?,
        reset_s: number("inin-ratelimit-reset")?,
    })
}

/// What `Retry-After` asks for, in milliseconds.
pub(crate) fn retry_after_ms(headers: &HeaderMap, now: UnixMs) -> Option<u64> {
    let values = headers.get_all(RETRY_AFTER).iter();
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    parse_retry_after(values.filter_map(|value| value.to_str().ok()), date, now)
}

/// Puts what the head says about a refusal into it.
pub(crate) fn complete(refusal: &mut Refusal, headers: &HeaderMap, now: UnixMs) {
    refusal.correlation_id = text(headers, "inin-correlation-id").map(|id| shown(id, &[]));
    refusal.retry_after_ms = retry_after_ms(headers, now);
}
