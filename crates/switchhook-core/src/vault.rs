//! How what is secret is kept in the store: an envelope around each record.
//!
//! Each record has a data key of its own, which its value is sealed with; the data key is sealed with the *vault key*,
//! which stands outside of the store. So another vault key takes 48 bytes of a record to be written anew and not its value
//! ([`rewrap`]), and who has the store alone has nothing.
//!
//! * AES-256-GCM twice, with random 96-bit nonces and whole tags. Keys, nonces and the data key come in as values
//!   ([`Entropy`]), and must be new for each record: a vault key is good for 2^32 of them (SP 800-38D, 8.3).
//! * Both seals are bound to the [`Place`] of the record, so that no row can stand for another, and the data key's to the
//!   id of the vault key as well. The value's is not: its own key is the record's alone, and it outlives the vault key.
//! * The id of the vault key stands in front and is no secret. It follows from the key, so that nobody has to give keys
//!   names, and what is sealed with a key that is not there can say which one it needs.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of this form: 1 |
//! | 8 | id of the vault key |
//! | 12 + 48 | nonce, and the data key sealed with the vault key |
//! | 12 + n + 16 | nonce, and the value sealed with the data key |

mod key;

use std::fmt;
use std::sync::Arc;

use crate::seal::gcm::{self, GcmError, TAG_BYTES};
use crate::secret::Secret;

pub use key::{KeyError, KeyId, VaultKey};

/// Bytes of a vault key and of a data key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// By how much a record is longer than its value, in bytes.
pub const OVERHEAD_BYTES: usize = 1 + KEY_ID_BYTES + WRAPPED_BYTES + NONCE_BYTES + TAG_BYTES;
/// Bytes of the id of a vault key.
pub const KEY_ID_BYTES: usize = 8;

const VERSION: u8 = 1;
/// Nonce and sealed data key.
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// Where a record is kept. What was sealed for one place opens at no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// What kind of thing it is.
    pub area: &'a str,
    /// Unique within its area.
    pub id: &'a str,
}

/// What one record needs of randomness.
#[derive(Debug, Clone)]
pub struct Entropy {
    /// The data key.
    pub data_key: Secret,
    /// For the data key's seal.
    pub key_nonce: [u8; NONCE_BYTES],
    /// For the value's seal.
    pub value_nonce: [u8; NONCE_BYTES],
}

/// Why a record cannot be sealed or opened. The text names the record, and nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It is no sealed record, or one of a later version.
    #[error("{place} cannot be opened: {why}")]
    NotSealed {
        /// Which record.
        place: Arc<str>,
        /// What it is instead.
        why: &'static str,
    },
    /// The key is not there.
    #[error(
        "{place} is sealed with the vault key {needed}, and the keys at hand are {known}: put that key back, or add it to `vault.previous`"
    )]
    OtherKey {
        /// Which record.
        place: Arc<str>,
        /// The key that it needs.
        needed: KeyId,
        /// Those that were tried.
        known: Known,
    },
    /// The key is the right one and the record does not fit.
    #[error("{0} was altered, or is the record of another place")]
    Forged(Arc<str>),
    /// Nothing can be sealed without them.
    #[error("the system gives no random numbers to seal with")]
    NoEntropy,
    /// AES-GCM cannot take it.
    #[error("cannot be sealed: {0}")]
    Gcm(#[from] GcmError),
}

/// Ids of keys, to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known(Vec<KeyId>);

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, id) in self.0.iter().enumerate() {
            write!(f, "{}{id}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Seals `value` for `place`.
///
/// # Errors
/// When the data key is none, or the value is longer than AES-GCM can take (64 GiB).
pub fn seal(
    key: &VaultKey,
    place: Place<'_>,
    value: &[u8],
    entropy: &Entropy,
) -> Result<Vec<u8>, VaultError> {
    let mut record = Vec::with_capacity(OVERHEAD_BYTES + value.len());
    head(
        &mut record,
        key,
        place,
        &entropy.data_key,
        entropy.key_nonce,
    )?;
    record.extend_from_slice(&entropy.value_nonce);
    let aad = value_aad(place);
    let (sealed, tag) = gcm::encrypt(&entropy.data_key, &entropy.value_nonce, &aad, value)?;
    record.extend_from_slice(&sealed);
    record.extend_from_slice(&tag);
    Ok(record)
}

/// Opens what was sealed for `place` with one of `keys`.
///
/// # Errors
/// When it is no record, needs another key, was altered, or is another place's.
pub fn open(keys: &[VaultKey], place: Place<'_>, record: &[u8]) -> Result<Secret, VaultError> {
    let parts = Parts::of(place, record)?;
    let data_key = parts.data_key(keys, place)?;
    parts.value(&data_key, place)
}

/// The same record under the key `to`, its value untouched. `key_nonce` is new.
///
/// # Errors
/// As [`open`]; the value is not looked at.
pub fn rewrap(
    keys: &[VaultKey],
    to: &VaultKey,
    place: Place<'_>,
    record: &[u8],
    key_nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, VaultError> {
    let parts = Parts::of(place, record)?;
    let data_key = parts.data_key(keys, place)?;
    let mut rewrapped = Vec::with_capacity(record.len());
    head(&mut rewrapped, to, place, &data_key, key_nonce)?;
    rewrapped.extend_from_slice(parts.sealed);
    Ok(rewrapped)
}

/// The id of the vault key that `record` is sealed with.
///
/// # Errors
/// When it is no record.
pub fn key_of(place: Place<'_>, record: &[u8]) -> Result<KeyId, VaultError> {
    Ok(Parts::of(place, record)?.key)
}

/// Everything before the value.
fn head(
    record: &mut Vec<u8>,
    key: &VaultKey,
    place: Place<'_>,
    data_key: &Secret,
    nonce: [u8; NONCE_BYTES],
) -> Result<(), VaultError> {
    if data_key.expose().len() != KEY_BYTES {
        return Err(GcmError::Key(data_key.expose().len()).into());
    }
    let aad = key_aad(key.id(), place);
    let (sealed, tag) = gcm::encrypt(key.bytes(), &nonce, &aad, data_key.expose())?;
    record.push(VERSION);
    record.extend_from_slice(&key.id().0);
    record.extend_from_slice(&nonce);
    record.extend_from_slice(&sealed);
    record.extend_from_slice(&tag);
    Ok(())
}

/// A record, taken apart.
struct Parts<'r> {
    key: KeyId,
    /// Nonce and sealed data key.
    wrapped: &'r [u8; WRAPPED_BYTES],
    /// Nonce and sealed value.
    sealed: &'r [u8],
}

impl<'r> Parts<'r> {
    fn of(place: Place<'_>, record: &'r [u8]) -> Result<Self, VaultError> {
        let not_sealed = |why| VaultError::NotSealed {
            place: place.shown(),
            why,
        };
        let short = || not_sealed("it is too short for a sealed record");
        let (version, rest) = record.split_first().ok_or_else(short)?;
        if *version != VERSION {
            return Err(not_sealed("it is no sealed record of version 1"));
        }
        let (key, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (wrapped, sealed) = rest.split_first_chunk().ok_or_else(short)?;
        if sealed.len() < NONCE_BYTES + TAG_BYTES {
            return Err(short());
        }
        Ok(Self {
            key: KeyId(*key),
            wrapped,
            sealed,
        })
    }

    fn data_key(&self, keys: &[VaultKey], place: Place<'_>) -> Result<Secret, VaultError> {
        let key = keys.iter().find(|key| key.id() == self.key);
        let key = key.ok_or_else(|| VaultError::OtherKey {
            place: place.shown(),
            needed: self.key,
            known: Known(keys.iter().map(VaultKey::id).collect()),
        })?;
        unseal(key.bytes(), &key_aad(self.key, place), self.wrapped, place)
    }

    fn value(&self, data_key: &Secret, place: Place<'_>) -> Result<Secret, VaultError> {
        unseal(data_key, &value_aad(place), self.sealed, place)
    }
}

/// Opens `sealed`: nonce, ciphertext, tag.
fn unseal(key: &Secret, aad: &[u8], sealed: &[u8], place: Place<'_>) -> Result<Secret, VaultError> {
    let forged = || VaultError::Forged(place.shown());
    let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(forged)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(forged)?;
    let value = gcm::decrypt(key, nonce, aad, ciphertext, tag).map_err(|_| forged())?;
    Ok(Secret::new(value))
}

/// What the seal of a data key is bound to.
fn key_aad(key: KeyId, place: Place<'_>) -> Vec<u8> {
    bound(b"switchhook vault 1 key\n", &key.0, place)
}

/// What the seal of a value is bound to.
fn value_aad(place: Place<'_>) -> Vec<u8> {
    bound(b"switchhook vault 1 value\n", &[], place)
}

/// Every part with its length, so that no two places have the same text.
fn bound(purpose: &[u8], key: &[u8], place: Place<'_>) -> Vec<u8> {
    let mut aad = purpose.to_vec();
    for part in [key, place.area.as_bytes(), place.id.as_bytes()] {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

impl Place<'_> {
    fn shown(&self) -> Arc<str> {
        format!("{} `{}`", self.area, self.id).into()
    }
}

#[cfg(test)]
mod tests;
