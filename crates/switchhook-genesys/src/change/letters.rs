//! Changes that failed for good, one JSON line each, until somebody repeats or discards them.
//!
//! Bound: [`LETTERS_MAX`]. When that many stand here nobody looks at them, and no further change is begun.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use switchhook_wire::change::DeadChange;

use super::{lines, private, replace, unwritable};
use crate::refusal::Error;

/// Most changes that failed for good.
pub const LETTERS_MAX: usize = 1_000;
/// Largest file that is read.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Letters {
    path: PathBuf,
    file: File,
    all: Vec<DeadChange>,
}

impl Letters {
    /// Reads those at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let (all, whole) = lines(&path, BYTES_MAX, |line| serde_json::from_str(line))?;
        let file = private(&path).map_err(|error| unwritable(&path, &error))?;
        file.set_len(whole)
            .map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path, file, all })
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn all(&self) -> &[DeadChange] {
        &self.all
    }

    /// Whether there is room for one more.
    ///
    /// # Errors
    /// When there is none.
    pub fn has_room(&self) -> Result<(), Error> {
        if self.all.len() < LETTERS_MAX {
            return Ok(());
        }
        Err(Error::Journal(format!(
            "{LETTERS_MAX} changes failed for good; retry or discard some before you make more"
        )))
    }

    /// Adds one. One with the same id is replaced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, dead: DeadChange) -> Result<(), Error> {
        if self.all.iter().any(|other| other.id == dead.id) {
            self.all.retain(|other| other.id != dead.id);
            self.all.push(dead);
            return self.write();
        }
        let text = line(&dead)?;
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| unwritable(&self.path, &error))?;
        self.all.push(dead);
        Ok(())
    }

    /// Removes one; whether it was there.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn remove(&mut self, id: &str) -> Result<bool, Error> {
        let before = self.all.len();
        self.all.retain(|dead| dead.id != id);
        if self.all.len() == before {
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    fn write(&mut self) -> Result<(), Error> {
        let mut whole = String::new();
        for dead in &self.all {
            whole.push_str(&line(dead)?);
        }
        let failed = |error| unwritable(&self.path, &error);
        replace(&self.path, whole.as_bytes()).map_err(failed)?;
        self.file = private(&self.path).map_err(failed)?;
        Ok(())
    }
}

fn line(dead: &DeadChange) -> Result<String, Error> {
    serde_json::to_string(dead)
        .map(|text| text + "\n")
        .map_err(|error| Error::Journal(format!("a dead change cannot be written: {error}")))
}
