//! Who signs the checkpoints: a key pair that is made once and lies sealed in the store, and the id of the store.
//!
//! The public half lies beside it, open, so that a stopped store can be checked without the vault.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use switchhook_core::audit::checkpoint::{self, Checkpoint, NoteKey};
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::ed25519::SigningKey;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{DocumentChange, Room};
use switchhook_store::query::Audited;
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::api::AuditKey;
use uuid::Uuid;

use crate::gateway::{in_background, write};
use crate::secrets::vault::{StartError, Vault};

/// The document that has the key pair, sealed.
const SEALED: &str = "audit-key";
/// Bytes of the seed of an ed25519 key.
const SEED_BYTES: usize = 32;

/// See the module.
pub(super) struct Signer {
    key: SigningKey,
    name: Box<str>,
    known: AuditKey,
}

impl Signer {
    /// The one of the store, which is made if there is none.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the vault does not open the key.
    pub(super) async fn open(
        vault: &Vault,
        store: &Arc<dyn Store>,
        now: UnixMs,
    ) -> Result<Self, StartError> {
        let read = in_background(store, move |store| {
            let of = |id| store.document(Room::Setting, id, now);
            Ok((of(SEALED)?, of(AuditKey::SETTING)?))
        });
        let (sealed, shown) = read.await?;
        let shown = shown.and_then(|it| serde_json::from_slice::<AuditKey>(&it.body).ok());
        let secret = match &sealed {
            Some(sealed) => vault.open(Room::Setting, SEALED, &sealed.body)?,
            None => minted(vault)?,
        };
        let store_id = shown.as_ref().map(|shown| shown.store.clone());
        let store_id = store_id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let signer = Self::new(&secret, store_id).map_err(Error::Read)?;
        if sealed.is_none() || shown.as_ref() != Some(&signer.known) {
            if shown.is_some() || sealed.is_some() {
                tracing::error!(
                    key = signer.known.key,
                    "the key or the id of the audit log's checkpoints is another one than before: somebody changed the store"
                );
            }
            let documents = vec![
                setting(
                    SEALED,
                    vault.seal(Room::Setting, SEALED, secret.expose())?,
                    now,
                ),
                setting(AuditKey::SETTING, signer.shown()?, now),
            ];
            let batch = Batch {
                documents,
                ..Batch::default()
            };
            write(&**store, batch).await?;
        }
        Ok(signer)
    }

    fn new(secret: &Secret, store: String) -> Result<Self, String> {
        let literal = SecretRef::Literal(secret.clone());
        let key = SigningKey::read(&literal, &NoOthers).map_err(|error| error.to_string())?;
        // The name tells the keys of several gateways apart.
        let name = format!("switchhook/{store}");
        let public = NoteKey::new(&name, key.public_key()).map_err(|error| error.to_string())?;
        let known = AuditKey {
            store,
            key: public.to_string(),
        };
        Ok(Self {
            key,
            name: name.into(),
            known,
        })
    }

    /// What the notes are checked with.
    pub(super) const fn known(&self) -> &AuditKey {
        &self.known
    }

    fn shown(&self) -> Result<Bytes, Error> {
        let body = serde_json::to_vec(&self.known);
        body.map(Into::into)
            .map_err(|error| Error::Refused(error.to_string()))
    }

    /// The signed note of the log that ends with `head`.
    ///
    /// # Errors
    /// When the id of the store cannot stand in one, which was looked at when it was made.
    pub(super) fn note(&self, head: &Audited, now: UnixMs) -> Result<String, Error> {
        let known = Checkpoint {
            store: self.known.store.as_str().into(),
            entries: head.number,
            head: head.hash,
            at: Some(now),
        };
        let note = checkpoint::sign(&known, &self.name, &self.key);
        note.map_err(|error| Error::Refused(error.to_string()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.known.key).finish()
    }
}

/// A setting that does not end.
pub(super) fn setting(id: &str, body: Bytes, at: UnixMs) -> DocumentChange {
    DocumentChange {
        room: Room::Setting,
        id: id.into(),
        body: Some(body),
        at,
        expires_at: None,
    }
}

/// A new key pair, as its text.
fn minted(vault: &Vault) -> Result<Secret, StartError> {
    let seed = Secret::new(vault.draw::<SEED_BYTES>()?.to_vec());
    let mut text = String::from("whsk_");
    BASE64.encode_append(seed.expose(), &mut text);
    Ok(Secret::new(text.into_bytes()))
}

/// The key is written out: no other secret is asked for.
struct NoOthers;

impl Lookup for NoOthers {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Err(SecretError {
            name: name.into(),
            reason: "is not configured".to_owned(),
        })
    }
}
