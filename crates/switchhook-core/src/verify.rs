//! Whether a request comes from whom it says: the proof in its headers, over the raw bytes received.
//!
//! [`verify`] checks a proof and [`prove`] makes the same one, for test events and load. Rules that
//! hold for every scheme:
//! * the header that carries the proof must be there exactly once; its form is checked before any
//!   secret is used, and secrets are compared in constant time;
//! * any of several secrets may hold, and the value before of each while it rotates. If none does and one could not be
//!   had, that is our fault ([`VerifyError::Secret`]) and not the sender's: it may try again;
//! * an empty secret never holds.
//!
//! HMAC over the body alone has no defence against replay; the dedup rule of the source is that.
//! Standard Webhooks (spec 1.0) signs id and time too. Its secrets are base64 after `whsec_`; without
//! that prefix a secret that is valid base64 is decoded as well, which is what the reference
//! libraries do, and any other is used as the bytes that it is.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::{Lookup, Secret, SecretError, SecretRef};
use crate::source::{Encoding, Verify};
use crate::time::UnixMs;

/// Most signatures looked at in one `webhook-signature`; two overlap while a key rotates.
pub const SIGNATURES_MAX: usize = 16;

/// Most digits of a `webhook-timestamp` in seconds: enough until the year 33658.
const TIMESTAMP_DIGITS_MAX: usize = 12;

const WEBHOOK_ID: &str = "webhook-id";
const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
const WEBHOOK_SIGNATURE: &str = "webhook-signature";
const AUTHORIZATION: &str = "authorization";

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

impl VerifyError {
    /// The stable word for it in answers, logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "signature-missing",
            Self::Malformed { .. } => "signature-malformed",
            Self::Mismatch => "signature-mismatch",
            Self::Stale { .. } => "timestamp-stale",
            Self::Secret(_) => "secret-unavailable",
        }
    }
}

/// Checks the proof that a request carries.
///
/// # Errors
/// When it does not hold, or no secret could be had to check it with.
pub fn verify(
    rule: &Verify,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &dyn Lookup,
    now: UnixMs,
) -> Result<(), VerifyError> {
    match rule {
        Verify::None => Ok(()),
        Verify::Hmac {
            header,
            prefix,
            encoding,
            secrets: any,
        } => {
            let given = decode_digest(after_prefix(headers, header, prefix)?, *encoding)
                .map_err(|what| malformed(header, what))?;
            any_holds(any, secrets, |secret| {
                Ok(mac(secret, &[body])?.ct_eq(&given).into())
            })
        }
        Verify::StandardWebhooks {
            secrets: any,
            tolerance_ms,
        } => {
            let signed = Signed::read(headers)?;
            signed.check_time(now, *tolerance_ms)?;
            any_holds(any, secrets, |secret| {
                let expected = standard_mac(secret, signed.id, signed.timestamp, body)?;
                Ok(signed
                    .signatures
                    .iter()
                    .any(|given| expected.ct_eq(given).into()))
            })
        }
        Verify::Token {
            header,
            prefix,
            secrets: any,
        } => {
            let given = after_prefix(headers, header, prefix)?;
            any_holds(any, secrets, |secret| {
                Ok(secret.expose().ct_eq(given).into())
            })
        }
        Verify::Basic { user, passwords } => {
            let given = after_prefix(headers, AUTHORIZATION, "Basic ")?;
            let (given_user, given_password) =
                credentials(given).map_err(|what| malformed(AUTHORIZATION, what))?;
            let known = user.as_bytes().ct_eq(&given_user);
            any_holds(passwords, secrets, |password| {
                Ok((known & password.expose().ct_eq(&given_password)).into())
            })
        }
    }
}

/// The headers with which a sender proves itself to a source with this rule (its first secret).
///
/// `id` is the `webhook-id` where the scheme has one; it must not hold a `.`.
///
/// # Errors
/// When the secret cannot be had, or cannot be used for this.
pub fn prove(
    rule: &Verify,
    id: &str,
    body: &[u8],
    secrets: &dyn Lookup,
    now: UnixMs,
) -> Result<Vec<(HeaderName, HeaderValue)>, SecretError> {
    let any = match rule {
        Verify::None => return Ok(Vec::new()),
        Verify::Hmac { secrets, .. }
        | Verify::StandardWebhooks { secrets, .. }
        | Verify::Token { secrets, .. }
        | Verify::Basic {
            passwords: secrets, ..
        } => secrets,
    };
    let first = any.first().ok_or_else(|| SecretError {
        name: "(none)".into(),
        reason: "cannot sign: the source has no secret".into(),
    })?;
    let secret = usable(first, secrets)?;
    proof(rule, id, body, &secret, now).map_err(|reason| unusable(first, reason))
}

/// Why a secret cannot do what it is for.
type Reason = &'static str;

fn proof(
    rule: &Verify,
    id: &str,
    body: &[u8],
    secret: &Secret,
    now: UnixMs,
) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
    let header = |name: &str, value: &[&[u8]]| {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(&value.concat());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err("gives a proof that no header can carry");
        };
        value.set_sensitive(true);
        Ok((name, value))
    };
    match rule {
        Verify::None => Ok(Vec::new()),
        Verify::Hmac {
            header: name,
            prefix,
            encoding,
            ..
        } => {
            let digest = encode_digest(mac(secret, &[body])?, *encoding);
            Ok(vec![header(name, &[prefix.as_bytes(), digest.as_bytes()])?])
        }
        Verify::StandardWebhooks { .. } => {
            let timestamp = (now.0 / 1_000).to_string();
            let digest = standard_mac(secret, id.as_bytes(), timestamp.as_bytes(), body)?;
            let signature = encode_digest(digest, Encoding::Base64);
            Ok(vec![
                header(WEBHOOK_ID, &[id.as_bytes()])?,
                header(WEBHOOK_TIMESTAMP, &[timestamp.as_bytes()])?,
                header(WEBHOOK_SIGNATURE, &[b"v1,", signature.as_bytes()])?,
            ])
        }
        Verify::Token {
            header: name,
            prefix,
            ..
        } => Ok(vec![header(name, &[prefix.as_bytes(), secret.expose()])?]),
        Verify::Basic { user, .. } => {
            let pair = BASE64.encode(&[user.as_bytes(), b":", secret.expose()].concat());
            Ok(vec![header(AUTHORIZATION, &[b"Basic ", pair.as_bytes()])?])
        }
    }
}

/// What a Standard Webhooks sender says about a message.
struct Signed<'h> {
    id: &'h [u8],
    timestamp: &'h [u8],
    sent_at: UnixMs,
    signatures: Vec<[u8; 32]>,
}

impl<'h> Signed<'h> {
    fn read(headers: &'h HeaderMap) -> Result<Self, VerifyError> {
        let id = only(headers, WEBHOOK_ID)?;
        // A dot would let the borders of id, timestamp and body be moved under the same signature.
        if id.is_empty() || id.contains(&b'.') {
            return Err(malformed(WEBHOOK_ID, "must be text without `.`"));
        }
        let timestamp = only(headers, WEBHOOK_TIMESTAMP)?;
        let sent_at = seconds(timestamp).ok_or_else(|| {
            malformed(WEBHOOK_TIMESTAMP, "must be seconds since 1970, digits only")
        })?;
        let signatures: Vec<_> = only(headers, WEBHOOK_SIGNATURE)?
            .split(|byte| *byte == b' ')
            .take(SIGNATURES_MAX)
            .filter_map(|one| decode_digest(one.strip_prefix(b"v1,")?, Encoding::Base64).ok())
            .collect();
        if signatures.is_empty() {
            return Err(malformed(
                WEBHOOK_SIGNATURE,
                "holds no signature of the form `v1,<base64>`",
            ));
        }
        Ok(Self {
            id,
            timestamp,
            sent_at,
            signatures,
        })
    }

    fn check_time(&self, now: UnixMs, tolerance_ms: u64) -> Result<(), VerifyError> {
        let off_ms = now.0.abs_diff(self.sent_at.0);
        if off_ms > tolerance_ms {
            Err(VerifyError::Stale {
                off_ms,
                tolerance_ms,
            })
        } else {
            Ok(())
        }
    }
}

fn seconds(digits: &[u8]) -> Option<UnixMs> {
    let plain = digits.len() <= TIMESTAMP_DIGITS_MAX && digits.iter().all(u8::is_ascii_digit);
    let seconds: u64 = std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()?;
    Some(UnixMs(seconds.checked_mul(1_000)?))
}

/// User name and password of HTTP Basic (RFC 7617): base64, parted at the first colon.
fn credentials(given: &[u8]) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
    let pair = BASE64
        .decode(given)
        .map_err(|_| "is not base64 after `Basic `")?;
    let mut parts = pair.splitn(2, |byte| *byte == b':').map(<[u8]>::to_vec);
    parts
        .next()
        .zip(parts.next())
        .ok_or("has no `:` between user name and password")
}

/// The value of a header that was sent exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h [u8], VerifyError> {
    let mut values = headers.get_all(name).iter();
    let value = values
        .next()
        .ok_or_else(|| VerifyError::Missing(name.into()))?;
    match values.next() {
        None => Ok(value.as_bytes()),
        Some(_) => Err(malformed(name, "was sent more than once")),
    }
}

/// What stands after `prefix` (either case) in a header that was sent exactly once.
fn after_prefix<'h>(
    headers: &'h HeaderMap,
    name: &str,
    prefix: &str,
) -> Result<&'h [u8], VerifyError> {
    match only(headers, name)?.split_at_checked(prefix.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(prefix.as_bytes()) => Ok(rest),
        Some(_) | None => Err(malformed(name, "does not start as the source's rule says")),
    }
}

fn malformed(header: &str, what: &'static str) -> VerifyError {
    VerifyError::Malformed {
        header: header.into(),
        what,
    }
}

/// The 32 bytes of a written digest. Its length is judged before it is decoded.
fn decode_digest(text: &[u8], encoding: Encoding) -> Result<[u8; 32], &'static str> {
    let (length, format, what) = match encoding {
        Encoding::Hex => (64, HEXLOWER_PERMISSIVE, "must be a digest of 64 hex digits"),
        Encoding::Base64 => (44, BASE64, "must be a digest of 44 base64 characters"),
    };
    if text.len() != length {
        return Err(what);
    }
    format
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(what)
}

fn encode_digest(digest: [u8; 32], encoding: Encoding) -> String {
    match encoding {
        Encoding::Hex => HEXLOWER.encode(&digest),
        Encoding::Base64 => BASE64.encode(&digest),
    }
}

/// HMAC-SHA256 over `parts`, one after the other.
fn mac(secret: &Secret, parts: &[&[u8]]) -> Result<[u8; 32], Reason> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).map_err(|_| "cannot be a key for HMAC")?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().into())
}

/// The signature of Standard Webhooks: over `id.timestamp.body`.
fn standard_mac(
    secret: &Secret,
    id: &[u8],
    timestamp: &[u8],
    body: &[u8],
) -> Result<[u8; 32], Reason> {
    mac(&standard_key(secret)?, &[id, b".", timestamp, b".", body])
}

/// The key that a Standard Webhooks secret stands for.
fn standard_key(secret: &Secret) -> Result<Secret, Reason> {
    let prefixed = secret.expose().strip_prefix(b"whsec_");
    let text = prefixed.unwrap_or(secret.expose());
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let text = text.get(..text.len() - padding).unwrap_or_default();
    match BASE64_NOPAD.decode(text) {
        Ok(key) if !key.is_empty() => Ok(Secret::new(key)),
        _ if prefixed.is_some() => Err("is not base64 after `whsec_`"),
        _ => Ok(secret.clone()),
    }
}

/// Whether `holds` is true for any of the secrets, or for what one of them was before while it rotates.
fn any_holds(
    any: &[SecretRef],
    secrets: &dyn Lookup,
    holds: impl Fn(&Secret) -> Result<bool, Reason>,
) -> Result<(), VerifyError> {
    let mut failed = None;
    for reference in any {
        let held = usable(reference, secrets)
            .and_then(|secret| holds(&secret).map_err(|reason| unusable(reference, reason)));
        match held {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
        // A value before that is no key proves nothing; that it is none was told while it was the current one.
        if reference
            .previous(secrets)
            .is_some_and(|previous| holds(&previous) == Ok(true))
        {
            return Ok(());
        }
    }
    Err(failed.map_or(VerifyError::Mismatch, VerifyError::Secret))
}

/// The current value, which must not be empty: anyone can sign with nothing.
fn usable(reference: &SecretRef, secrets: &dyn Lookup) -> Result<Secret, SecretError> {
    let secret = reference.resolve(secrets)?;
    if secret.expose().is_empty() {
        Err(unusable(reference, "is empty"))
    } else {
        Ok(secret)
    }
}

fn unusable(reference: &SecretRef, reason: Reason) -> SecretError {
    let name = match reference {
        SecretRef::Named(name) => name.clone(),
        SecretRef::Literal(_) => "(literal)".into(),
    };
    SecretError {
        name,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests;
