//! Changes that outlive the process: planned before they are sent, finished after a restart, kept where they fail.
//!
//! One logical change is an operation, a target and a body. In the state directory stand
//!
//! | file | what |
//! |---|---|
//! | `journal.jsonl` | each step of each change: planned, tried, done, failed ([`journal`]) |
//! | `dead.jsonl` | changes that failed for good, until they are repeated or discarded ([`letters`]) |
//! | `audit.jsonl` | one line for each request, and one for the end of each change ([`trail`]) |
//! | `lock` | held while a process works here |
//!
//! * The key of a change is drawn when it is planned and is on disk before the first request. Whoever makes an equal change
//!   while the first one has no end, or failed so that it may be in force, goes on with the same key: [`identity`] says
//!   what is equal. After [`KEY_LIFE_MS`] no server remembers a key, and a new one is drawn.
//! * A change that failed for good, after all repeats, is written to the dead letters before the journal says so: a crash
//!   in between leaves it in both, and the next start mends that.
//! * No file has a secret: bodies are masked. A change whose body was masked goes on when it is made again, not by itself.
//!
//! Files are written by small synchronous calls: this is for a command line, not for a server.

pub mod identity;
pub mod journal;
pub mod letters;
mod run;
pub mod trail;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use switchhook_core::time::{UnixMs, rfc3339};
use switchhook_wire::api::time;
use switchhook_wire::change::{DeadChange, Failed, Figures};

use crate::dialect::Dialect;
use crate::refusal::Error;
use crate::webhook::Effect;
use journal::{Journal, Open};
use letters::Letters;
use trail::Trail;

/// For how long a server remembers a key, in milliseconds (`wire.md` section 2: 24 h), less an hour for the clocks.
pub const KEY_LIFE_MS: u64 = 23 * 3_600_000;
/// Only the owner reads what is here: bodies tell where an organisation sends its events.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A webhook is made or changed.
    Apply,
    /// A webhook is deleted.
    Delete,
    /// The retry policy of a webhook is set.
    SetPolicy,
}

impl Operation {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Apply, Self::Delete, Self::SetPolicy];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apply => "webhook.apply",
            Self::Delete => "webhook.delete",
            Self::SetPolicy => "policy.set",
        }
    }

    /// The operation with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }
}

/// A logical change.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// What is done.
    pub operation: Operation,
    /// In which dialect.
    pub dialect: Dialect,
    /// To what: a name or an id.
    pub target: String,
    /// What it is to become; `null` for a deletion.
    pub body: Value,
}

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its id, `chg_…`.
    pub id: String,
    /// What it did.
    pub effect: Effect,
    /// Id of what it was done to.
    pub object: Option<String>,
    /// The tag of what is there now, where it is known.
    pub etag: Option<String>,
    /// The answer was that of an earlier request with the same key.
    pub is_replayed: bool,
    /// It had been begun before.
    pub is_resumed: bool,
    /// Requests that it took, reads included.
    pub tries: u32,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

/// The state directory, for one process at a time.
#[derive(Debug)]
pub struct Changes {
    journal: Journal,
    letters: Letters,
    trail: Trail,
    /// Unlocked when it is closed.
    _lock: File,
}

impl Changes {
    /// Opens `dir`, and makes it where it is not there.
    ///
    /// # Errors
    /// When it cannot be read or written, another process works there, or a file is damaged.
    pub fn open(dir: &Path, now: UnixMs) -> Result<Self, Error> {
        let failed = |what: &str, error: io::Error| {
            Error::Journal(format!("{} {what}: {error}", dir.display()))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(dir)
            .map_err(|error| failed("cannot be made", error))?;
        let lock =
            private(&dir.join("lock")).map_err(|error| failed("cannot be written", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::Journal(format!(
                    "another process makes changes with {}; wait for it, or use another directory",
                    dir.display()
                )));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed("cannot be locked", error)),
        }
        let mut changes = Self {
            journal: Journal::open(dir.join("journal.jsonl"))?,
            letters: Letters::open(dir.join("dead.jsonl"))?,
            trail: Trail::open(dir.join("audit.jsonl"))?,
            _lock: lock,
        };
        changes.mend(now)?;
        Ok(changes)
    }

    /// Ends what the journal has open although its dead letter is written.
    fn mend(&mut self, now: UnixMs) -> Result<(), Error> {
        let dead: Vec<(String, Failed)> = self
            .letters
            .all()
            .iter()
            .filter(|dead| self.journal.open_changes().any(|open| open.id == dead.id))
            .map(|dead| (dead.id.clone(), dead.failed.clone()))
            .collect();
        for (id, failed) in dead {
            self.journal.failed(&id, failed, now)?;
        }
        Ok(())
    }

    /// Changes without an end, oldest first.
    pub fn open_changes(&self) -> impl Iterator<Item = &Open> {
        self.journal.open_changes()
    }

    /// Changes that failed for good, oldest first.
    #[must_use]
    pub fn dead(&self) -> &[DeadChange] {
        self.letters.all()
    }

    /// Counts of all changes that ended here.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.journal.totals().figures()
    }

    /// Forgets a change that failed for good, or one without an end.
    ///
    /// # Errors
    /// When there is none with this id, or that cannot be written.
    pub fn discard(&mut self, id: &str, now: UnixMs) -> Result<(), Error> {
        if self.journal.open_changes().any(|open| open.id == id) {
            let failed = Failed {
                status: None,
                error: "discarded".to_owned(),
                is_certain: false,
                tries: 0,
                latency_ms: 0,
            };
            return self.journal.failed(id, failed, now);
        }
        if !self.letters.remove(id)? {
            return Err(Error::Journal(format!("there is no change `{id}`")));
        }
        Ok(())
    }
}

/// Opens a file for appending that only its owner can read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Puts `text` in the place of `path` at once, and on disk.
fn replace(path: &PathBuf, text: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&part)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Journal(format!("{} cannot be written: {error}", path.display()))
}

/// The lines of `path`, each read by `read`. A last line without an end was cut by a crash and is left out; the number
/// that is returned is the length of what is whole.
fn lines<T>(
    path: &Path,
    bytes_max: u64,
    read: impl Fn(&str) -> Result<T, serde_json::Error>,
) -> Result<(Vec<T>, u64), Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::Journal(format!("{} cannot be read: {error}", path.display()))
    };
    let size = match fs::metadata(path) {
        Ok(data) => data.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(failed(&error)),
    };
    if size > bytes_max {
        return Err(failed(&format!(
            "it has {size} bytes, at most {bytes_max} are read"
        )));
    }
    if size == 0 {
        return Ok((Vec::new(), 0));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let mut found = Vec::new();
    for (number, line) in text.get(..whole).unwrap_or_default().lines().enumerate() {
        found.push(read(line).map_err(|error| {
            let number = number + 1;
            failed(&format!(
                "line {number} is damaged ({error}); move the file away to begin anew"
            ))
        })?);
    }
    Ok((found, whole as u64))
}

/// When a line was written; 1970 if that cannot be read, which makes it old.
fn moment(at: &str) -> UnixMs {
    time::parse(at).unwrap_or_default()
}

fn text_of(now: UnixMs) -> String {
    rfc3339(now)
}

#[cfg(test)]
mod tests;
