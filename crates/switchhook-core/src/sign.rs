//! The signatures on what we send: Standard Webhooks 1.0 (`v1`, `v1a`) and seed 003's body HMAC.
//!
//! [`headers`] is called for every attempt, after the body is final. A [`Signer`] is one scheme with one
//! to [`SECRETS_MAX`] secrets, the current one first; the others are there while one rotates. A secret that the gateway
//! itself rotates has a value before for a while, which signs too.
//! * Standard Webhooks signs `id.timestamp.body` and sends a signature per secret, space-separated. `v1`
//!   secrets are read as [`crate::verify`] reads them, and the signature is made there, so that what we
//!   send is what we take in. `v1a` keys are `whsk_`: see [`ed25519`].
//! * The seed's header holds one hex digest. It is made with the current secret; the one before goes
//!   into a second header, the same name with `-previous`. It has no defence against replay. Of three, the two newest.
//!
//! The id is the delivery id: stable over all attempts, so a receiver can drop repeats by it. A secret
//! that cannot be had is an error; leaving its signature out would look like a forgery. Signing is
//! refused while the clock stands before [`CLOCK_FLOOR`]: every receiver would call the time stale.

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};

use crate::secret::{Lookup, SecretError, SecretRef};
use crate::source::{Encoding, Verify};
use crate::time::UnixMs;
use crate::verify::prove;

pub mod ed25519;

use ed25519::SigningKey;

/// Most secrets of one signer: the current one and what may still be in use while it rotates.
pub const SECRETS_MAX: usize = 4;
/// Most secrets of a seed 003 signer: its headers hold one digest each.
pub const GENESYS_SECRETS_MAX: usize = 2;
/// 2025-01-01T00:00:00Z. A clock before this was never set.
pub const CLOCK_FLOOR: UnixMs = UnixMs(1_735_689_600_000);
/// The header of seed 003.
pub const GENESYS_HEADER: HeaderName = HeaderName::from_static("x-genesys-signature");

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How a signature is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks with a shared secret: HMAC-SHA256.
    StandardV1,
    /// Standard Webhooks with a key pair: ed25519.
    StandardV1a,
    /// Seed 003: hex HMAC-SHA256 of the body in this header.
    Genesys {
        /// Usually [`GENESYS_HEADER`].
        header: HeaderName,
    },
}

/// A scheme and its secrets, checked.
#[derive(Debug, Clone)]
pub struct Signer {
    how: How,
    secrets: Vec<SecretRef>,
}

#[derive(Debug, Clone)]
enum How {
    V1,
    V1a,
    /// The headers for the current secret and the one before.
    Genesys([HeaderName; GENESYS_SECRETS_MAX]),
}

/// Why nothing is signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Too few or too many secrets.
    #[error("{given} secrets to sign with; give 1 to {max}, the current one first")]
    Secrets {
        /// How many there are.
        given: usize,
        /// How many there may be.
        max: usize,
    },
    /// The header's name is too long for the one of the secret before.
    #[error("`{0}` is too long for the name of a signature header")]
    Header(HeaderName),
    /// The id would make the signed text ambiguous, or cannot stand in a header.
    #[error("`{0}` cannot be signed as an id: it must be visible ASCII without `.`")]
    Id(String),
    /// The clock is not set.
    #[error("the clock says {0:?} since 1970, which is before 2025: set it, then signing goes on")]
    Clock(UnixMs),
    /// A secret cannot be had, or is no key for the scheme.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Signer {
    /// Checks that the secrets fit the scheme. Their values are looked at when something is signed.
    ///
    /// # Errors
    /// When there are too few or too many secrets, or the header's name is too long.
    pub fn new(scheme: &Scheme, secrets: &[SecretRef]) -> Result<Self, SignError> {
        let max = match scheme {
            Scheme::StandardV1 | Scheme::StandardV1a => SECRETS_MAX,
            Scheme::Genesys { .. } => GENESYS_SECRETS_MAX,
        };
        if secrets.is_empty() || secrets.len() > max {
            return Err(SignError::Secrets {
                given: secrets.len(),
                max,
            });
        }
        let how = match scheme {
            Scheme::StandardV1 => How::V1,
            Scheme::StandardV1a => How::V1a,
            Scheme::Genesys { header } => How::Genesys([header.clone(), previous(header)?]),
        };
        Ok(Self {
            how,
            secrets: secrets.to_vec(),
        })
    }

    /// Its secrets, the current one first.
    #[must_use]
    pub fn secrets(&self) -> &[SecretRef] {
        &self.secrets
    }

    /// What `sign` makes of each secret and of the value before of each, the newest first.
    fn each<T>(
        &self,
        secrets: &dyn Lookup,
        sign: impl Fn(&SecretRef) -> Result<Option<T>, SecretError>,
    ) -> Result<Vec<T>, SecretError> {
        let mut made = Vec::new();
        for secret in &self.secrets {
            made.extend(sign(secret)?);
            let previous = secret.previous(secrets).map(SecretRef::Literal);
            // One before that is no key never signed, so that nobody waits for its signature.
            made.extend(previous.and_then(|previous| sign(&previous).ok().flatten()));
        }
        Ok(made)
    }
}

fn previous(header: &HeaderName) -> Result<HeaderName, SignError> {
    format!("{header}-previous")
        .parse()
        .map_err(|_| SignError::Header(header.clone()))
}

/// The rule of a source that takes what we sign with `secret`.
fn standard_rule(secret: &SecretRef) -> Verify {
    Verify::StandardWebhooks {
        secrets: vec![secret.clone()],
        tolerance_ms: 0,
    }
}

/// The same for the seed's header.
fn body_rule(header: &HeaderName, secret: &SecretRef) -> Verify {
    Verify::Hmac {
        header: header.as_str().into(),
        prefix: "".into(),
        encoding: Encoding::Hex,
        secrets: vec![secret.clone()],
    }
}

/// The headers that prove to an endpoint that `body` comes from us.
///
/// `id` is the delivery id, `now` the time of the attempt. The headers are each there once if there is
/// at most one signer of each scheme.
///
/// # Errors
/// When the clock is not set, the id cannot be signed, or a secret cannot be had or is no key.
pub fn headers(
    signers: &[Signer],
    id: &str,
    now: UnixMs,
    body: &[u8],
    secrets: &dyn Lookup,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
    if signers.is_empty() {
        return Ok(Vec::new());
    }
    if now < CLOCK_FLOOR {
        return Err(SignError::Clock(now));
    }
    let unsendable = || SignError::Id(id.chars().take(64).collect());
    if id.is_empty()
        || !id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'.')
    {
        return Err(unsendable());
    }
    let timestamp = (now.0 / 1_000).to_string();
    let (mut headers, mut signatures) = (Vec::new(), Vec::new());
    for signer in signers {
        match &signer.how {
            How::V1 => {
                signatures.extend(signer.each(secrets, |secret| {
                    let proof = prove(&standard_rule(secret), id, body, secrets, now)?;
                    let signature = proof
                        .into_iter()
                        .find(|(name, _)| *name == WEBHOOK_SIGNATURE);
                    Ok(signature.map(|(_, value)| value.as_bytes().to_vec()))
                })?);
            }
            How::V1a => {
                let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
                signatures.extend(signer.each(secrets, |secret| {
                    let signature = SigningKey::read(secret, secrets)?.sign(&signed);
                    Ok(Some(
                        format!("v1a,{}", BASE64.encode(&signature)).into_bytes(),
                    ))
                })?);
            }
            How::Genesys(names) => {
                // The name makes no difference to the digest; which one it gets follows from its place.
                let proofs = signer.each(secrets, |secret| {
                    let proof = prove(&body_rule(&GENESYS_HEADER, secret), id, body, secrets, now)?;
                    Ok(proof.into_iter().next())
                })?;
                let named = names.iter().zip(proofs);
                headers.extend(named.map(|(name, (_, digest))| (name.clone(), digest)));
            }
        }
    }
    if !signatures.is_empty() {
        let list = signatures.join(&b' ');
        for (name, value) in [
            (WEBHOOK_ID, id.as_bytes()),
            (WEBHOOK_TIMESTAMP, timestamp.as_bytes()),
            (WEBHOOK_SIGNATURE, &list),
        ] {
            let value = HeaderValue::from_bytes(value).map_err(|_| unsendable())?;
            headers.push((name, value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
