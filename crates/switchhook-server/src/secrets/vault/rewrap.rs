//! At the start: whether the keys fit the store, and everything under the current one.
//!
//! A *marker* in the store is sealed with the key that everything is sealed with. It opens with the current key: all is
//! as it should be, and nothing else is read. It opens with a previous one: everything is sealed anew, a step at a time,
//! and the marker last, so that a start that was cut off does it again. It opens with none: these are not the keys.
//!
//! A resource that is sealed anew counts as changed: its version is one more. Bounds: [`STEP`] records in one commit.

use std::sync::Arc;

use bytes::Bytes;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{Document, DocumentChange, Room};
use switchhook_store::{Batch, Error, Store};

use super::{StartError, Vault, VaultError};
use crate::control::rewrapped_resources;
use crate::gateway::{in_background, write};

/// The id of the marker, among the settings.
const MARKER: &str = "vault";
/// What is sealed in it.
const TEXT: &[u8] = b"switchhook";
/// Records in one commit. The largest are configuration files of 8 MiB.
const STEP: usize = 8;

/// The marker of the store; `None` in one that has never been sealed.
pub(super) async fn marker(store: &Arc<dyn Store>, now: UnixMs) -> Result<Option<Bytes>, Error> {
    let read = in_background(store, move |store| {
        store.document(Room::Setting, MARKER, now)
    });
    Ok(read.await?.map(|document| document.body))
}

/// Checks the keys against the store's `marker`, and seals with the current one what is not.
pub(super) async fn bring_up(
    vault: &Vault,
    store: &Arc<dyn Store>,
    marker: Option<Bytes>,
    now: UnixMs,
) -> Result<(), StartError> {
    if let Some(marker) = marker {
        vault.open(Room::Setting, MARKER, &marker)?;
        if vault.rewrapped(Room::Setting, MARKER, &marker)?.is_none() {
            return Ok(());
        }
        all(vault, store, now).await?;
    }
    let document = DocumentChange {
        room: Room::Setting,
        id: MARKER.into(),
        body: Some(vault.seal(Room::Setting, MARKER, TEXT)?),
        at: now,
        expires_at: None,
    };
    let documents = vec![document];
    let batch = Batch {
        documents,
        ..Batch::default()
    };
    write(&**store, batch).await?;
    Ok(())
}

/// Seals everything with the current key.
async fn all(vault: &Vault, store: &Arc<dyn Store>, now: UnixMs) -> Result<(), StartError> {
    let mut documents_done = 0;
    for room in Room::ALL {
        let mut after: Option<Arc<str>> = None;
        loop {
            let from = after.take();
            let page = in_background(store, move |store| {
                store.documents(room, from.as_deref(), STEP, now)
            });
            let page = page.await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let documents = anew(vault, room, &page)?;
            documents_done += documents.len();
            if !documents.is_empty() {
                let batch = Batch {
                    documents,
                    ..Batch::default()
                };
                write(&**store, batch).await?;
            }
        }
    }
    let rows = in_background(store, |store| store.resources()).await?;
    let resources = rewrapped_resources(vault, &rows)?;
    for step in resources.chunks(STEP) {
        let batch = Batch {
            resources: step.to_vec(),
            ..Batch::default()
        };
        write(&**store, batch).await?;
    }
    tracing::info!(
        key = vault.key_id().map(tracing::field::display),
        documents = documents_done,
        resources = resources.len(),
        "everything is sealed with the current vault key; previous ones are no longer needed"
    );
    Ok(())
}

/// Those of `page` that are sealed with a previous key, with the current one.
fn anew(vault: &Vault, room: Room, page: &[Document]) -> Result<Vec<DocumentChange>, VaultError> {
    let mut changes = Vec::new();
    for document in page {
        if room == Room::Setting && *document.id == *MARKER {
            continue;
        }
        changes.extend(one(vault, document)?.map(|body| DocumentChange {
            room,
            id: document.id.clone(),
            body: Some(body),
            at: document.updated_at,
            expires_at: document.expires_at,
        }));
    }
    Ok(changes)
}

/// `document` with the current key; `None` if it is so already, or is not sealed.
fn one(vault: &Vault, document: &Document) -> Result<Option<Bytes>, VaultError> {
    let whole = || vault.rewrapped(document.room, &document.id, &document.body);
    match document.room {
        Room::Secret | Room::Config => whole(),
        // Some of these are sealed. What is not stays as it is, and an answer that does not open is forgotten in a day.
        Room::Token | Room::Client | Room::Answer | Room::Checkpoint | Room::Setting => {
            Ok(whole().unwrap_or_default())
        }
    }
}
