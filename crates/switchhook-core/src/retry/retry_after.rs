//! stub
use crate::time::UnixMs;
/// How long the endpoint asked to be left alone, in milliseconds from now.
#[must_use]
pub fn parse_retry_after<'a>(values: impl IntoIterator<Item = &'a str>, date: Option<&str>, now: UnixMs) -> Option<u64> {
    let _ = (values.into_iter().count(), date, now);
    None
}
