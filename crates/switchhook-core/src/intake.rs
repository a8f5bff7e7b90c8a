//! What a source's rules read out of a request: type, key, identity, kept headers.
use std::sync::Arc;
use crate::dedup::Identity;
use crate::event::Headers;
use crate::source::Source;
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
/// Reads one request.
/// # Errors
/// When a rule of the source needs JSON and the body is none.
pub fn read(source: &Source, headers: &http::HeaderMap, body: &[u8]) -> Result<Intake, NotJson> {
    let _ = (source, headers, body);
    Err(NotJson(String::new()))
}
