//! How a body is encrypted for one endpoint, and opened again: AES-256-GCM under a key from scrypt.
//!
//! [`Scheme::Standard`] is what to use: a random salt per key, `N = 2^17` (OWASP), a 12-byte nonce, and
//! the delivery id as additional data, so that one delivery's ciphertext cannot pose as another's.
//! [`Scheme::Seed002`] is that document's format to the byte: a fixed public salt, Node's default cost,
//! a 16-byte iv and nothing authenticated beside the payload. It is for receivers that exist already.
//!
//! * Metadata stays in clear: ids, times, event type and key are not encrypted.
//! * Nonces are random, so a key is good for [`MESSAGES_MAX`] messages; whoever keeps the key counts
//!   them and derives one with a new salt before that. Salt and nonce come in as entropy.
//! * [`Key::derive`] takes some tenths of a second and [`DERIVE_BYTES`] of memory. It is called once
//!   per key, never per message.
//! * The receiver learns the scheme from the directive: one with a `salt` is `Standard`.
//! * No key or passphrase is ever printed; both are wiped when the last copy goes.

use std::sync::Arc;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use scrypt::Params;
use serde_json::{Map, Value};

use crate::id::DeliveryId;
use crate::secret::{Secret, SecretRef};

pub mod gcm;

/// Messages under one key: half of the 2^32 that random 96-bit nonces allow (SP 800-38D, 8.3).
pub const MESSAGES_MAX: u64 = 1 << 31;
/// Memory that deriving a `Standard` key takes, in bytes: `128 * N * r`.
pub const DERIVE_BYTES: usize = 128 << 20;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

const KEY_BYTES: usize = 32;
const STANDARD_NONCE_BYTES: usize = 12;
const SEED_002_SALT: &[u8] = b"genesys-salt";
const ALGORITHM: &str = "aes-256-gcm";
const KEY_DERIVATION: &str = "scrypt";

/// Which form encryption takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Salted, with an authenticated delivery id.
    Standard,
    /// `compat = "seed-002"`.
    Seed002,
}

/// How an endpoint's bodies are encrypted.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which form.
    pub scheme: Scheme,
    /// Name of the key, sent along so that the receiver finds its passphrase while one rotates.
    pub key_id: Arc<str>,
    /// The passphrase that both sides know.
    pub secret: SecretRef,
}

impl Settings {
    /// The passphrase's reference.
    #[must_use]
    pub const fn secret(&self) -> &SecretRef {
        &self.secret
    }
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Anyone can derive a key from nothing.
    #[error("the passphrase is empty; give it a value of at least 16 random bytes")]
    EmptyPassphrase,
    /// scrypt refused its parameters.
    #[error("scrypt cannot derive a key with these parameters")]
    Derivation,
    /// AES-GCM cannot take it.
    #[error(transparent)]
    Gcm(#[from] gcm::GcmError),
    /// What came in is no sealed body.
    #[error("not a sealed body: {0}")]
    NotSealed(&'static str),
    /// The key belongs to the other scheme, or to another salt.
    #[error("the key was derived for another scheme or salt than the body was sealed with")]
    OtherKey,
}

/// A derived key with what a receiver needs to derive it too.
#[derive(Debug, Clone)]
pub struct Key {
    scheme: Scheme,
    id: Arc<str>,
    salt: [u8; SALT_BYTES],
    bytes: Secret,
}

impl Key {
    /// Derives the key that `passphrase` gives. Slow by intent.
    ///
    /// `salt` is random and new for every key; `Seed002` has a fixed one and does not look at it.
    ///
    /// # Errors
    /// When the passphrase is empty.
    pub fn derive(
        scheme: Scheme,
        key_id: Arc<str>,
        passphrase: &Secret,
        salt: [u8; SALT_BYTES],
    ) -> Result<Self, SealError> {
        if passphrase.expose().is_empty() {
            return Err(SealError::EmptyPassphrase);
        }
        let (log_n, salted): (u8, &[u8]) = match scheme {
            Scheme::Standard => (17, &salt),
            Scheme::Seed002 => (14, SEED_002_SALT),
        };
        let cost = Params::new(log_n, 8, 1).map_err(|_| SealError::Derivation)?;
        let mut bytes = vec![0; KEY_BYTES];
        scrypt::scrypt(passphrase.expose(), salted, &cost, &mut bytes)
            .map_err(|_| SealError::Derivation)?;
        Ok(Self {
            scheme,
            id: key_id,
            salt,
            bytes: Secret::new(bytes),
        })
    }
}

/// An encrypted body with everything but the passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    origin: Origin,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: [u8; gcm::TAG_BYTES],
}

/// What the two schemes say about where a sealed body comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Standard {
        key_id: Arc<str>,
        salt: [u8; SALT_BYTES],
        delivery: DeliveryId,
    },
    Seed002,
}

impl Origin {
    /// What is authenticated beside the payload.
    fn aad(&self) -> String {
        match self {
            Self::Standard { delivery, .. } => delivery.to_string(),
            Self::Seed002 => String::new(),
        }
    }
}

/// Encrypts `plaintext` for `delivery`. `entropy` is drawn anew for every attempt.
///
/// # Errors
/// When the plaintext is longer than AES-GCM can take (64 GiB).
pub fn seal(
    key: &Key,
    entropy: [u8; 16],
    delivery: DeliveryId,
    plaintext: &[u8],
) -> Result<Sealed, SealError> {
    let (origin, iv_bytes) = match key.scheme {
        Scheme::Standard => {
            let origin = Origin::Standard {
                key_id: Arc::clone(&key.id),
                salt: key.salt,
                delivery,
            };
            (origin, STANDARD_NONCE_BYTES)
        }
        Scheme::Seed002 => (Origin::Seed002, entropy.len()),
    };
    let iv: Vec<u8> = entropy.into_iter().take(iv_bytes).collect();
    let (ciphertext, tag) = gcm::encrypt(&key.bytes, &iv, origin.aad().as_bytes(), plaintext)?;
    Ok(Sealed {
        origin,
        iv,
        ciphertext,
        tag,
    })
}

/// Decrypts what [`seal`] made.
///
/// # Errors
/// When it was altered, is another delivery's, or was sealed with another key.
pub fn open(key: &Key, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
    if key.scheme != sealed.scheme() || sealed.salt().is_some_and(|salt| salt != key.salt) {
        return Err(SealError::OtherKey);
    }
    let aad = sealed.origin.aad();
    let plaintext = gcm::decrypt(
        &key.bytes,
        &sealed.iv,
        aad.as_bytes(),
        &sealed.ciphertext,
        &sealed.tag,
    )?;
    Ok(plaintext)
}

impl Sealed {
    /// The scheme it was sealed with.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self.origin {
            Origin::Standard { .. } => Scheme::Standard,
            Origin::Seed002 => Scheme::Seed002,
        }
    }

    /// The salt of its key, where the scheme has one.
    #[must_use]
    pub const fn salt(&self) -> Option<[u8; SALT_BYTES]> {
        match self.origin {
            Origin::Standard { salt, .. } => Some(salt),
            Origin::Seed002 => None,
        }
    }

    /// The name of its key, where the scheme has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&Arc<str>> {
        match &self.origin {
            Origin::Standard { key_id, .. } => Some(key_id),
            Origin::Seed002 => None,
        }
    }

    /// The members of the encryption directive, in order. All are text.
    ///
    /// An envelope around it tells the delivery id; a directive that stands alone (`alone`) carries it
    /// itself, since the receiver must authenticate it. `Seed002` authenticates none and has exactly
    /// its five members.
    #[must_use]
    pub fn members(&self, alone: bool) -> Vec<(&'static str, String)> {
        let mut members = vec![
            ("algorithm", ALGORITHM.into()),
            ("keyDerivation", KEY_DERIVATION.into()),
            ("encryptedPayload", HEXLOWER.encode(&self.ciphertext)),
            ("iv", HEXLOWER.encode(&self.iv)),
            ("authTag", HEXLOWER.encode(&self.tag)),
        ];
        match &self.origin {
            Origin::Standard {
                key_id,
                salt,
                delivery,
            } => {
                members.push(("salt", HEXLOWER.encode(salt)));
                members.push(("keyId", key_id.as_ref().into()));
                if alone {
                    members.push(("deliveryId", delivery.to_string()));
                }
            }
            Origin::Seed002 => {}
        }
        members
    }

    /// Reads a sealed body as it was delivered: an envelope, a directive alone, or a structured
    /// `CloudEvent` whose data is one.
    ///
    /// # Errors
    /// When the body is none of these, or a member is missing or malformed.
    pub fn parse(body: &[u8]) -> Result<Self, SealError> {
        let document: Value =
            serde_json::from_slice(body).map_err(|_| SealError::NotSealed("it is not JSON"))?;
        let outer = object(&document)?;
        let inner = outer.get("encryptionDirective").or(outer.get("data"));
        let directive = inner.map_or(Ok(outer), object)?;
        let fixed = |name, value| text(directive, name).is_ok_and(|given| given == value);
        if !fixed("algorithm", ALGORITHM) || !fixed("keyDerivation", KEY_DERIVATION) {
            return Err(SealError::NotSealed(
                "its `algorithm` or `keyDerivation` is not known",
            ));
        }
        let origin = match directive.contains_key("salt") {
            false => Origin::Seed002,
            true => Origin::Standard {
                key_id: text(directive, "keyId")?.into(),
                salt: array(hex(directive, "salt")?)?,
                delivery: text(directive, "deliveryId")
                    .or_else(|_| text(outer, "deliveryId"))?
                    .parse()
                    .map_err(|_| SealError::NotSealed("its `deliveryId` is none"))?,
            },
        };
        Ok(Self {
            origin,
            iv: hex(directive, "iv")?,
            ciphertext: hex(directive, "encryptedPayload")?,
            tag: array(hex(directive, "authTag")?)?,
        })
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, SealError> {
    value
        .as_object()
        .ok_or(SealError::NotSealed("it has no encryption directive"))
}

fn text<'v>(members: &'v Map<String, Value>, name: &str) -> Result<&'v str, SealError> {
    members
        .get(name)
        .and_then(Value::as_str)
        .ok_or(SealError::NotSealed(
            "a member of its directive is missing or no text",
        ))
}

fn hex(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SealError> {
    HEXLOWER_PERMISSIVE
        .decode(text(members, name)?.as_bytes())
        .map_err(|_| SealError::NotSealed("a member of its directive is not hexadecimal"))
}

fn array(bytes: Vec<u8>) -> Result<[u8; 16], SealError> {
    bytes
        .try_into()
        .map_err(|_| SealError::NotSealed("its `salt` or `authTag` is not 16 bytes"))
}

#[cfg(test)]
mod tests;
