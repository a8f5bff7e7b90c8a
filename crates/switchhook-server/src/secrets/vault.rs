//! The vault: seals what is secret before it goes into the store, and opens it again.
//!
//! How a record looks, and what it is bound to, is in [`switchhook_core::vault`]; here are the keys and the random numbers.
//! Which keys there are is decided once, at the start ([`keys`]), and so is whether they are the right ones: a gateway
//! that could not open what its store holds serves nothing ([`at_start`]). What is sealed with a previous key is sealed
//! with the current one from then on ([`rewrap`]).
//!
//! Opening and sealing take microseconds and block on nothing. No error and no log line has anything of a key or a value.

pub mod keys;
mod rewrap;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustls::crypto::SecureRandom;
use switchhook_core::secret::Secret;
use switchhook_core::time::UnixMs;
pub use switchhook_core::vault::VaultError;
use switchhook_core::vault::{self, Entropy, KEY_BYTES, KeyId, Place, VaultKey};
use switchhook_store::batch::Room;
use switchhook_store::{Error, Store};
use switchhook_wire::config::Config;

use super::Environment;
use keys::KeysError;

/// Seals and opens.
pub struct Vault {
    /// The current one first; the others only open.
    keys: Vec<VaultKey>,
    random: &'static dyn SecureRandom,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.keys.iter().map(|key| key.id().to_string()).collect();
        f.debug_tuple("Vault").field(&ids).finish()
    }
}

/// What kind of thing is sealed: a record of one area opens in no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area(&'static str);

impl From<&'static str> for Area {
    fn from(name: &'static str) -> Self {
        Self(name)
    }
}

impl From<Room> for Area {
    fn from(room: Room) -> Self {
        Self(match room {
            Room::Token => "token",
            Room::Client => "client",
            Room::Secret => "secret",
            Room::Config => "config",
            Room::Answer => "answer",
            Room::Checkpoint => "checkpoint",
            Room::Setting => "setting",
        })
    }
}

/// Why the gateway does not start with these keys.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key is not to be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// They are not those of this store, or something in it was altered.
    #[error("the store cannot be opened with the vault keys at hand: {0}")]
    Vault(#[from] VaultError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The vault of a gateway that starts: its keys are there and fit the store, and everything in the store is sealed with
/// the current one.
///
/// # Errors
/// When a key is not to be had or is not the one that the store was sealed with; nothing is changed then.
pub async fn at_start(
    config: &Config,
    environment: Environment,
    store: &Arc<dyn Store>,
    now: UnixMs,
) -> Result<Vault, StartError> {
    let (settings, data_dir) = (config.vault.clone(), config.server.data_dir.clone());
    let found = rewrap::marker(store, now).await?;
    let has_sealed = found.is_some();
    let read = move || keys::read(&settings, &data_dir, environment, has_sealed);
    let keys = tokio::task::spawn_blocking(read).await;
    let keys = keys.map_err(|error| Error::Read(error.to_string()))??;
    let vault = Vault::new(keys);
    rewrap::bring_up(&vault, store, found, now).await?;
    Ok(vault)
}

impl Vault {
    /// With `keys`, the current one first: there must be one.
    fn new(keys: Vec<VaultKey>) -> Self {
        Self {
            keys,
            random: rustls::crypto::aws_lc_rs::default_provider().secure_random,
        }
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.keys.first().map(VaultKey::id)
    }

    /// Seals `plain` for the record `id` of `area`.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn seal(&self, area: impl Into<Area>, id: &str, plain: &[u8]) -> Result<Bytes, VaultError> {
        let key = self.keys.first().ok_or(VaultError::NoEntropy)?;
        let entropy = Entropy {
            data_key: Secret::new(self.draw::<KEY_BYTES>()?.to_vec()),
            key_nonce: self.draw()?,
            value_nonce: self.draw()?,
        };
        let area = area.into().0;
        Ok(vault::seal(key, Place { area, id }, plain, &entropy)?.into())
    }

    /// Opens what was sealed for the record `id` of `area`.
    ///
    /// # Errors
    /// When it needs another key, was altered, or is another record.
    pub fn open(
        &self,
        area: impl Into<Area>,
        id: &str,
        sealed: &[u8],
    ) -> Result<Secret, VaultError> {
        let area = area.into().0;
        vault::open(&self.keys, Place { area, id }, sealed)
    }

    /// The same record under the current key; `None` if it is already.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub(crate) fn rewrapped(
        &self,
        area: impl Into<Area>,
        id: &str,
        sealed: &[u8],
    ) -> Result<Option<Bytes>, VaultError> {
        let area = area.into().0;
        let place = Place { area, id };
        let current = self.keys.first().ok_or(VaultError::NoEntropy)?;
        if vault::key_of(place, sealed)? == current.id() {
            return Ok(None);
        }
        let rewrapped = vault::rewrap(&self.keys, current, place, sealed, self.draw()?)?;
        Ok(Some(rewrapped.into()))
    }

    /// Random bytes: nonces, keys, and the values of secrets that nobody brings.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn draw<const N: usize>(&self) -> Result<[u8; N], VaultError> {
        let mut bytes = [0; N];
        self.random
            .fill(&mut bytes)
            .map_err(|_| VaultError::NoEntropy)?;
        Ok(bytes)
    }

    /// A vault with a fixed key, for tests of what uses one.
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        let bytes = std::array::from_fn(|at| u8::try_from(at).unwrap());
        Self::new(vec![VaultKey::new(bytes).unwrap()])
    }
}
