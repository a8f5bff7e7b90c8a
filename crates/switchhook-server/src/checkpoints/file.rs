//! The file that gets every checkpoint: notes one after the other, an empty line between them.
//!
//! It is only ever appended to, so that it may lie where nothing can be taken back. A mark in the store says which
//! checkpoint it has got last; one that it could not take comes with the next, as long as the store keeps it. After a
//! crash a note may stand in it twice, or cut off and then whole: who reads it passes over the piece.
//!
//! Bounds: [`STEP`] notes in one append, which may take [`APPEND_PATIENCE`]. A disk that does not answer holds one thread,
//! since nobody else writes meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Room;
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::api::CheckpointFileMark;
use tokio::sync::Mutex;

use super::id;
use super::signer::setting;
use crate::gateway::{in_background, write};

/// The document that has the mark.
const MARK: &str = "audit-file";
/// Notes in one append.
const STEP: usize = 100;
/// How long an append may take: a stop waits for it.
const APPEND_PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct CheckpointFile {
    path: PathBuf,
    mark: Mutex<CheckpointFileMark>,
    /// Whose it is to write.
    turn: Arc<Mutex<()>>,
}

/// Why the file has not got all.
#[derive(Debug, thiserror::Error)]
enum NotAppended {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    File(#[from] io::Error),
}

impl CheckpointFile {
    /// The file at `path`, which is not looked at yet. Another one than before gets all that is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn open(
        path: &Path,
        store: &Arc<dyn Store>,
        now: UnixMs,
    ) -> Result<Self, Error> {
        let read = in_background(store, move |store| store.document(Room::Setting, MARK, now));
        let mark = read.await?;
        let mark = mark.and_then(|it| serde_json::from_slice::<CheckpointFileMark>(&it.body).ok());
        let file = path.display().to_string();
        let mark = mark.filter(|mark| mark.file == file);
        Ok(Self {
            path: path.into(),
            mark: Mutex::new(mark.unwrap_or(CheckpointFileMark { file, entries: 0 })),
            turn: Arc::default(),
        })
    }

    /// Opens the file, so that one that cannot be is known from the start, and brings it up.
    pub(super) async fn begin(&self, store: &Arc<dyn Store>, now: UnixMs) {
        match self.append(Vec::new()).await {
            Ok(()) => self.bring_up(store, now).await,
            Err(error) => self.failed(&error.into()),
        }
    }

    /// Appends what it has not got. What fails is said, and tried again with the next checkpoint.
    pub(super) async fn bring_up(&self, store: &Arc<dyn Store>, now: UnixMs) {
        if let Err(error) = self.append_missing(store, now).await {
            self.failed(&error);
        }
    }

    fn failed(&self, error: &NotAppended) {
        tracing::error!(
            file = %self.path.display(),
            %error,
            "the file did not get the newest checkpoint of the audit log; the next one tries again"
        );
    }

    async fn append_missing(&self, store: &Arc<dyn Store>, now: UnixMs) -> Result<(), NotAppended> {
        let mut mark = self.mark.lock().await;
        loop {
            let after = id(mark.entries);
            let read = in_background(store, move |store| {
                store.documents(Room::Checkpoint, Some(&after), STEP, now)
            });
            let page = read.await?;
            let Some(last) = page.last().and_then(|last| last.id.parse().ok()) else {
                return Ok(());
            };
            let notes = page.into_iter().map(|document| document.body);
            self.append(notes.collect()).await?;
            mark.entries = last;
            let body = serde_json::to_vec(&*mark).map_err(io::Error::other)?;
            let batch = Batch {
                documents: vec![setting(MARK, body.into(), now)],
                ..Batch::default()
            };
            write(&**store, batch).await?;
        }
    }

    async fn append(&self, notes: Vec<Bytes>) -> io::Result<()> {
        let path = self.path.clone();
        let turn = self.turn.clone();
        let appended = async {
            let turn = turn.lock_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                append(&path, &notes)
            });
            work.await.map_err(io::Error::other)?
        };
        let ended = tokio::time::timeout(APPEND_PATIENCE, appended).await;
        ended.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer"))?
    }
}

/// Appends `notes`, and returns once they are on the disk.
fn append(path: &Path, notes: &[Bytes]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let is_new = file.metadata()?.len() == 0;
    for (at, note) in notes.iter().enumerate() {
        // A line end first: what stands before may be a piece that a crash has left.
        let mut text = Vec::with_capacity(note.len().saturating_add(1));
        if at > 0 || !is_new {
            text.push(b'\n');
        }
        text.extend_from_slice(note);
        file.write_all(&text)?;
    }
    file.sync_all()?;
    if is_new && let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        // Where a directory cannot be opened, the name of the file is on the disk a little later.
        let _later = File::open(dir).and_then(|dir| dir.sync_all());
    }
    Ok(())
}
