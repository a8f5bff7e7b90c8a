//! Times as text: RFC 3339 in UTC.

use jiff::Timestamp;
use switchhook_core::time::UnixMs;
pub use switchhook_core::time::rfc3339;

/// Text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write RFC 3339, for example `2026-11-20T10:00:00Z`")]
pub struct Error(pub String);

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
