//! The secrets that the store keeps: written through the API, sealed, and opened once.
//!
//! What a secret is, and what setting and rotating make of it, is in [`switchhook_core::secret::versions`]. A change is a
//! document that goes into a batch; once that is on disk, [`Secrets::adopt`] puts it in force. Changes are made under the
//! lock of the resources, so that what a change is made of is what is there.
//!
//! A value before is erased from the store once its overlap has ended ([`forget`]). Bounds: [`SECRETS_MAX`] secrets, of
//! which each has at most two values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchhook_core::secret::Secret;
use switchhook_core::secret::versions::{ValueError, Versions};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{DocumentChange, Room};
use switchhook_store::{Batch, Store};

use super::Secrets;
use super::vault::{StartError, Vault, VaultError};
use crate::gateway::{Gateway, in_background, write};

/// Secrets in the store: as many as a configuration file may declare.
pub const SECRETS_MAX: usize = 10_000;
/// Secrets that are read at once.
const PAGE: usize = 100;
/// How often to look for overlaps that have ended. They count no longer from the moment on; this is for the disk.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// Secrets of the store by name, opened.
pub type Kept = BTreeMap<Arc<str>, Arc<Versions>>;

/// Why a secret is not changed. No text has a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    /// The value cannot be one.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// There is nothing to rotate.
    #[error("secret `{0}` is not in the store")]
    Absent(Arc<str>),
    /// There are enough.
    #[error("there are {SECRETS_MAX} secrets already, which is the most; delete some")]
    TooMany,
    /// The vault cannot.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// All secrets of the store.
///
/// # Errors
/// When the store cannot be read, or one cannot be opened.
pub(crate) async fn all(
    store: &Arc<dyn Store>,
    vault: &Vault,
    now: UnixMs,
) -> Result<Kept, StartError> {
    let mut kept = Kept::new();
    let mut after: Option<Arc<str>> = None;
    loop {
        let from = after.take();
        let page = in_background(store, move |store| {
            store.documents(Room::Secret, from.as_deref(), PAGE, now)
        });
        let page = page.await?;
        let Some(last) = page.last() else {
            return Ok(kept);
        };
        after = Some(last.id.clone());
        for document in page {
            let versions = opened(vault, &document.id, &document.body)?;
            kept.insert(document.id, Arc::new(versions));
        }
    }
}

pub(crate) fn opened(vault: &Vault, name: &str, sealed: &[u8]) -> Result<Versions, VaultError> {
    let plain = vault.open(Room::Secret, name, sealed)?;
    Versions::read(plain.expose()).ok_or_else(|| VaultError::NotSealed {
        place: format!("secret `{name}`").into(),
        why: "what was sealed is of a later version",
    })
}

/// The document that makes `name` have these values.
///
/// # Errors
/// When it cannot be sealed.
pub(crate) fn document(
    vault: &Vault,
    name: &str,
    versions: &Versions,
    now: UnixMs,
) -> Result<DocumentChange, VaultError> {
    let sealed = vault.seal(Room::Secret, name, versions.write().expose())?;
    Ok(change(name, Some(sealed), now))
}

/// The document that takes `name` away.
pub(crate) fn deletion(name: &str, now: UnixMs) -> DocumentChange {
    change(name, None, now)
}

fn change(name: &str, body: Option<Bytes>, now: UnixMs) -> DocumentChange {
    DocumentChange {
        room: Room::Secret,
        id: name.into(),
        body,
        at: now,
        expires_at: None,
    }
}

impl Secrets {
    /// The secret `name` of the store.
    pub(crate) fn kept(&self, name: &str) -> Option<Arc<Versions>> {
        self.kept.load().get(name).cloned()
    }

    /// Those of the store.
    pub(crate) fn all_kept(&self) -> Arc<Kept> {
        self.kept.load_full()
    }

    /// The names in the store once `changes` are written.
    pub(crate) fn names_after(&self, changes: &[DocumentChange]) -> BTreeSet<Arc<str>> {
        let mut names: BTreeSet<Arc<str>> = self.kept.load().keys().cloned().collect();
        for change in changes.iter().filter(|change| change.room == Room::Secret) {
            match change.body {
                Some(_) => names.insert(change.id.clone()),
                None => names.remove(&change.id),
            };
        }
        names
    }

    /// `name` with a value that counts at once and alone.
    ///
    /// # Errors
    /// When the value cannot be one, or there are too many secrets.
    pub(crate) fn set(
        &self,
        name: &str,
        value: Secret,
        now: UnixMs,
    ) -> Result<Versions, NotChanged> {
        let kept = self.kept.load();
        let before = kept.get(name).map(AsRef::as_ref);
        if before.is_none() && kept.len() >= SECRETS_MAX {
            return Err(NotChanged::TooMany);
        }
        Ok(Versions::set(before, value, now)?)
    }

    /// `name` with another value, beside which the one before counts for `overlap_ms`. Without a value a random one is
    /// made, of the same sort: 32 bytes in base64, after the prefix of a Standard Webhooks secret where there is one.
    ///
    /// # Errors
    /// When there is no such secret, or the value cannot be one.
    pub(crate) fn rotate(
        &self,
        vault: &Vault,
        name: &str,
        value: Option<Secret>,
        overlap_ms: u64,
        now: UnixMs,
    ) -> Result<Versions, NotChanged> {
        let before = self
            .kept(name)
            .ok_or_else(|| NotChanged::Absent(name.into()))?;
        let value = match value {
            Some(value) => value,
            None => random(vault, before.current())?,
        };
        Ok(before.rotated(value, overlap_ms, now)?)
    }

    /// Puts what was written in force. Who waits for one of them is told when the names are put in force as well.
    ///
    /// # Errors
    /// When one does not open, although it was just sealed.
    pub(crate) fn adopt(
        &self,
        vault: &Vault,
        changes: &[DocumentChange],
    ) -> Result<(), VaultError> {
        let mut kept = Kept::clone(&self.kept.load());
        for change in changes.iter().filter(|change| change.room == Room::Secret) {
            match &change.body {
                Some(sealed) => {
                    let versions = opened(vault, &change.id, sealed)?;
                    kept.insert(change.id.clone(), Arc::new(versions));
                }
                None => {
                    kept.remove(&change.id);
                }
            }
        }
        self.kept.store(Arc::new(kept));
        Ok(())
    }

    /// What becomes of those whose overlap has ended.
    fn ended(&self, now: UnixMs) -> Vec<(Arc<str>, Versions)> {
        let kept = self.kept.load();
        let ended = kept
            .iter()
            .filter_map(|(name, versions)| Some((name.clone(), versions.without_the_ended(now)?)));
        ended.collect()
    }
}

fn random(vault: &Vault, like: &Secret) -> Result<Secret, VaultError> {
    let prefixes = [&b"whsec_"[..], b"whsk_"];
    let prefix = prefixes
        .iter()
        .find(|prefix| like.expose().starts_with(prefix));
    let base64 = data_encoding::BASE64.encode(&vault.draw::<32>()?);
    Ok(Secret::new(
        [prefix.unwrap_or(&&b""[..]), base64.as_bytes()].concat(),
    ))
}

/// Erases values whose overlap has ended, until the gateway stops.
pub(crate) async fn forget(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(FORGET_INTERVAL).await;
        if let Err(error) = forget_ended(&gateway).await {
            tracing::warn!(%error, "a value before could not be erased; it counts no longer, and is tried again");
        }
    }
}

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotErased {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] switchhook_store::Error),
}

pub(crate) async fn forget_ended(gateway: &Gateway) -> Result<(), NotErased> {
    // No change may come between what is read here and what is written.
    let _unchanged = gateway.resources.lock().await;
    let now = gateway.clock.now();
    let ended = gateway.secrets.ended(now);
    if ended.is_empty() {
        return Ok(());
    }
    let documents: Result<Vec<_>, _> = ended
        .iter()
        .map(|(name, versions)| document(&gateway.vault, name, versions, now))
        .collect();
    let documents = documents?;
    let batch = Batch {
        documents: documents.clone(),
        ..Batch::default()
    };
    write(&*gateway.store, batch).await?;
    gateway.secrets.adopt(&gateway.vault, &documents)?;
    for (name, _) in ended {
        tracing::info!(
            secret = &*name,
            "the overlap has ended: the value before is erased"
        );
    }
    Ok(())
}
