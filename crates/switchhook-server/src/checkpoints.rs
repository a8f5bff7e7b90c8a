//! Checkpoints of the audit log: again and again, how long it is and the hash of its end are signed.
//!
//! A checkpoint says what the log was, so that nobody can write it anew unseen; see [`switchhook_core::audit`]. It is kept
//! in the store, and appended to a file where the configuration names one ([`mod@file`]): what lies where the gateway's disk is
//! not proves the log also against who can write the store. When one is due and which old ones go, [`due`] decides; who
//! signs is in [`signer`].
//!
//! A look every [`LOOK_INTERVAL`] costs one read of one row. The last checkpoint is made when the gateway stops in order.
//! Bounds: [`due::KEPT_MAX`] checkpoints of some 300 bytes; their numbers are in memory.

mod due;
mod file;
mod signer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchhook_core::audit::checkpoint;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{DocumentChange, Room};
use switchhook_store::query::Audited;
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::api::AuditKey;
use switchhook_wire::config;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::gateway::{Gateway, in_background, write};
use crate::observe::log;
use crate::secrets::vault::{StartError, Vault};
use file::CheckpointFile;
use signer::Signer;

/// How often to look whether one is due: the shortest time that can be asked for between two.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Checkpoints that are read at once.
const PAGE: usize = 1_000;

/// What makes them.
pub(crate) struct Checkpoints {
    signer: Signer,
    every_ms: u64,
    /// The numbers of those in the store, in order.
    kept: Mutex<Vec<u64>>,
    file: Option<CheckpointFile>,
    /// Whether there were entries without one when the gateway started.
    was_behind: bool,
}

/// Since when entries wait for their checkpoint.
enum Waits {
    /// Since before the start: as long as can be.
    Long,
    Nothing,
    Since(Instant),
}

impl Waits {
    /// How long by now, in milliseconds; from now on, if nothing waited.
    fn ms(&mut self) -> u64 {
        match self {
            Self::Long => u64::MAX,
            Self::Nothing => {
                *self = Self::Since(Instant::now());
                0
            }
            Self::Since(since) => u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Checkpoints {
    /// As the store has them; the key is made if there is none.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the vault does not open the key.
    pub(crate) async fn open(
        settings: &config::Audit,
        vault: &Vault,
        store: &Arc<dyn Store>,
        now: UnixMs,
    ) -> Result<Self, StartError> {
        let signer = Signer::open(vault, store, now).await?;
        let kept = in_background(store, move |store| {
            let kept = numbers(store, now)?;
            compare_newest(store, kept.last().copied(), now)?;
            let known = kept.last().copied().unwrap_or(0);
            let newest = store.audit(None, 1)?.pop();
            Ok((kept, newest.is_some_and(|newest| newest.number > known)))
        });
        let (kept, was_behind) = kept.await?;
        let file = match &settings.checkpoint_file {
            Some(path) => Some(CheckpointFile::open(path, store, now).await?),
            None => None,
        };
        Ok(Self {
            signer,
            every_ms: settings.checkpoint_every_ms,
            kept: Mutex::new(kept),
            file,
            was_behind,
        })
    }

    /// What checkpoints are checked with.
    pub(crate) const fn key(&self) -> &AuditKey {
        self.signer.known()
    }

    /// Makes one if it is due.
    async fn look(
        &self,
        store: &Arc<dyn Store>,
        waits: &mut Waits,
        now: UnixMs,
    ) -> Result<(), Error> {
        let head = head(store).await?;
        let known = self.kept.lock().await.last().copied().unwrap_or(0);
        let Some(head) = head.filter(|head| head.number > known) else {
            *waits = Waits::Nothing;
            return Ok(());
        };
        if due::is_due(head.number - known, waits.ms(), self.every_ms) {
            self.make(store, &head, now).await?;
            *waits = Waits::Nothing;
        }
        Ok(())
    }

    /// Makes one of the log that ends with `head`.
    async fn make(&self, store: &Arc<dyn Store>, head: &Audited, now: UnixMs) -> Result<(), Error> {
        let note = self.signer.note(head, now)?;
        let mut kept = self.kept.lock().await;
        let gone = due::thinned(&kept);
        let mut documents = vec![document(head.number, Some(note.into()), now)];
        documents.extend(gone.iter().map(|number| document(*number, None, now)));
        let batch = Batch {
            documents,
            ..Batch::default()
        };
        write(&**store, batch).await?;
        kept.retain(|number| gone.binary_search(number).is_err());
        kept.push(head.number);
        drop(kept);
        log::checkpoint(head.number, &head.hash);
        if let Some(file) = &self.file {
            file.bring_up(store, now).await;
        }
        Ok(())
    }
}

/// Makes them until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let checkpoints = &gateway.checkpoints;
    log::checkpoint_key(&checkpoints.key().key);
    if let Some(file) = &checkpoints.file {
        file.begin(&gateway.store, gateway.clock.now()).await;
    }
    let mut waits = if checkpoints.was_behind {
        Waits::Long
    } else {
        Waits::Nothing
    };
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let now = gateway.clock.now();
        match checkpoints.look(&gateway.store, &mut waits, now).await {
            Ok(()) => {}
            Err(Error::Closed) => return,
            // The store says so itself, and the next look tries again.
            Err(error) => tracing::debug!(%error, "a checkpoint of the audit log was not made"),
        }
    }
}

/// The last one, before the store closes.
pub(crate) async fn finish(gateway: &Gateway) {
    let (mut waits, now) = (Waits::Long, gateway.clock.now());
    let made = gateway.checkpoints.look(&gateway.store, &mut waits, now);
    if let Err(error) = made.await {
        tracing::warn!(%error, "the last checkpoint of the audit log was not made; the next start makes it");
    }
}

/// The last entry of the log.
async fn head(store: &Arc<dyn Store>) -> Result<Option<Audited>, Error> {
    let newest = in_background(store, |store| store.audit(None, 1));
    Ok(newest.await?.pop())
}

/// The id of the checkpoint of so many entries: ids are in the order of the numbers.
pub(crate) fn id(entries: u64) -> String {
    format!("{entries:020}")
}

fn document(entries: u64, note: Option<Bytes>, at: UnixMs) -> DocumentChange {
    DocumentChange {
        room: Room::Checkpoint,
        id: id(entries).into(),
        body: note,
        at,
        expires_at: None,
    }
}

/// The numbers of all that the store has.
fn numbers(store: &dyn Store, now: UnixMs) -> Result<Vec<u64>, Error> {
    let (mut numbers, mut after) = (Vec::new(), None::<Arc<str>>);
    loop {
        let page = store.documents(Room::Checkpoint, after.as_deref(), PAGE, now)?;
        let Some(last) = page.last() else {
            return Ok(numbers);
        };
        after = Some(last.id.clone());
        // What is no number is none of ours.
        numbers.extend(page.iter().filter_map(|it| it.id.parse::<u64>().ok()));
    }
}

/// Says so if the log is not the one that the newest checkpoint knew. It goes on: what there is is kept and proves it.
fn compare_newest(store: &dyn Store, newest: Option<u64>, now: UnixMs) -> Result<(), Error> {
    let Some(newest) = newest else { return Ok(()) };
    let kept = store.document(Room::Checkpoint, &id(newest), now)?;
    let note = kept.and_then(|it| checkpoint::parse(std::str::from_utf8(&it.body).ok()?).ok());
    let entry = store.audit_from(newest, 1)?.pop();
    let head = entry
        .filter(|entry| entry.number == newest)
        .map(|it| it.hash);
    if note.is_none_or(|note| Some(note.checkpoint.head) != head) {
        tracing::error!(
            entries = newest,
            "the audit log is not the one that its newest checkpoint knew; `switchhook audit verify` shows more"
        );
    }
    Ok(())
}
