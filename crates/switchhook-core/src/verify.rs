//! stub
use crate::secret::{Lookup, SecretError};
use crate::source::Verify;
use crate::time::UnixMs;
/// Why a request was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The header that should carry the proof is not there.
    #[error("header `{0}` is missing")]
    Missing(String),
    /// The header is there but cannot be read.
    #[error("header `{header}` is malformed: {what}")]
    Malformed {
        /// Its name.
        header: String,
        /// What is wrong.
        what: &'static str,
    },
    /// No secret gives this proof.
    #[error("the signature or token does not match")]
    Mismatch,
    /// The timestamp is too far from now.
    #[error("the timestamp is {off_ms} ms from now, {tolerance_ms} ms are allowed")]
    Stale {
        /// How far.
        off_ms: u64,
        /// How far it may be.
        tolerance_ms: u64,
    },
    /// Our own secret cannot be had; the sender is not to blame.
    #[error(transparent)]
    Secret(#[from] SecretError),
}
/// Checks the proof that a request carries.
/// # Errors
/// When it does not hold.
pub fn verify(rule: &Verify, headers: &http::HeaderMap, body: &[u8], secrets: &dyn Lookup, now: UnixMs) -> Result<(), VerifyError> {
    let _ = (rule, headers, body, secrets, now);
    Ok(())
}
/// The headers with which a sender proves itself to a source with this rule (its first secret).
/// # Errors
/// When the secret cannot be had.
pub fn prove(rule: &Verify, id: &str, body: &[u8], secrets: &dyn Lookup, now: UnixMs) -> Result<Vec<(http::HeaderName, http::HeaderValue)>, SecretError> {
    let _ = (rule, id, body, secrets, now);
    Ok(vec![])
}
