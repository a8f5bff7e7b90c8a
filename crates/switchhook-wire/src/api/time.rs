//! Times as text: RFC 3339 in UTC.

use jiff::Timestamp;
use switchhook_core::time::UnixMs;

/// Text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write RFC 3339, for example `2026-11-20T10:00:00Z`")]
pub struct Error(pub String);

/// `at` as RFC 3339 with milliseconds, for example `2026-11-20T10:00:00.000Z`.
///
/// A time after the year 9999, which only a broken clock gives, is shown as the last one before.
#[must_use]
pub fn rfc3339(at: UnixMs) -> String {
    let time = i64::try_from(at.0)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

/// Reads RFC 3339 with any offset.
///
/// # Errors
/// When `text` is no such time, or one before 1970.
pub fn parse(text: &str) -> Result<UnixMs, Error> {
    text.parse::<Timestamp>()
        .ok()
        .and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .map(UnixMs)
        .ok_or_else(|| Error(text.chars().take(64).collect()))
}
