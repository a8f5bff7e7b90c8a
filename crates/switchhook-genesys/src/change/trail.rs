//! The audit lines of changes: one for each request, one for the end of each change.
//!
//! A line is on disk when the change ends, at the latest. Bound: at [`BYTES_MAX`] the file is put aside as
//! `audit.1.jsonl`, in place of the one before.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use switchhook_wire::change::AuditLine;

use super::{private, unwritable};
use crate::refusal::Error;

/// From this size on a new file is begun, in bytes: some 40,000 lines.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Trail {
    path: PathBuf,
    file: File,
}

impl Trail {
    /// Goes on with the file at `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let failed = |error: std::io::Error| unwritable(&path, &error);
        let file = private(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size >= BYTES_MAX {
            fs::rename(&path, path.with_extension("1.jsonl")).map_err(failed)?;
            let file = private(&path).map_err(failed)?;
            return Ok(Self { path, file });
        }
        Ok(Self { path, file })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, line: &AuditLine) -> Result<(), Error> {
        let text = serde_json::to_string(line).map_err(|error| unwritable(&self.path, &error))?;
        self.file
            .write_all((text + "\n").as_bytes())
            .map_err(|error| unwritable(&self.path, &error))
    }

    /// Has all lines on disk.
    ///
    /// # Errors
    /// When that fails.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.file
            .sync_data()
            .map_err(|error| unwritable(&self.path, &error))
    }
}
