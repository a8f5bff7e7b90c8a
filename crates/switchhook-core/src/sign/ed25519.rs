//! The key pairs of Standard Webhooks: `whsk_` signs, `whpk_` verifies; both are base64 after the prefix.
//!
//! The specification calls the secret "a standard ed25519 key pair" and leaves its bytes open. Both
//! usual forms are read: the 32-byte seed, and the 64 bytes of seed and public key, which must belong
//! together. The prefix is required, so that a shared secret is never taken for a key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::BASE64;

use crate::secret::{Lookup, Secret, SecretError, SecretRef};

const SEED_BYTES: usize = 32;
const SECRET_PREFIX: &[u8] = b"whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// A key that signs. `Debug` shows nothing of it.
pub struct SigningKey(Ed25519KeyPair);

/// The key that receivers verify with; `Display` gives its `whpk_` text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a public key is `whpk_` and the base64 of 32 bytes")]
pub struct PublicKeyError;

impl SigningKey {
    /// Reads a `whsk_` secret.
    ///
    /// # Errors
    /// When the secret cannot be had, or is no such key.
    pub fn read(reference: &SecretRef, secrets: &dyn Lookup) -> Result<Self, SecretError> {
        let secret = reference.resolve(secrets)?;
        Self::parse(&secret).map_err(|reason| SecretError {
            name: match reference {
                SecretRef::Named(name) => name.clone(),
                SecretRef::Literal(_) => "(literal)".into(),
            },
            reason: reason.into(),
        })
    }

    fn parse(secret: &Secret) -> Result<Self, &'static str> {
        let text = secret
            .expose()
            .strip_prefix(SECRET_PREFIX)
            .ok_or("is no key for ed25519: it must start with `whsk_`")?;
        let bytes = BASE64.decode(text).map(Secret::new);
        let bytes = bytes.map_err(|_| "is not base64 after `whsk_`")?;
        let pair = match bytes.expose().split_at_checked(SEED_BYTES) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
            Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            None => return Err("is too short: 32 or 64 bytes must follow `whsk_`"),
        };
        pair.map(Self)
            .map_err(|_| "is no key pair: its public half does not belong to its seed")
    }

    /// The signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    /// Its public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", BASE64.encode(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        text.strip_prefix(PUBLIC_PREFIX)
            .and_then(|text| BASE64.decode(text.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(PublicKeyError)
    }
}
