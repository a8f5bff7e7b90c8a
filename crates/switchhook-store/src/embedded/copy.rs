//! Backup and restore: whole stores as one file.
//!
//! A backup is made while the store runs, of one moment, and has its name only when it is whole and
//! durable. A restore checks the copy first and never writes into a directory that has something in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::lock::{self, file_error};
use super::{database, sqlite, verify};
use crate::Error;

/// Copies the running store at `from` to the new file `to`.
pub(super) fn backup(from: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() {
        return Err(Error::File {
            path: to.into(),
            reason: "it exists; a backup needs a new file".into(),
        });
    }
    let part = partial(to);
    let written = write_copy(from, &part).and_then(|()| publish(&part, to));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

fn write_copy(from: &Path, part: &Path) -> Result<(), Error> {
    lock::private()
        .create_new(true)
        .open(part)
        .map_err(|e| file_error(part, &e))?;
    let name = part.to_str().ok_or_else(|| Error::File {
        path: part.into(),
        reason: "a path for a backup must be UTF-8".into(),
    })?;
    sqlite::open_reader(from)
        .and_then(|conn| conn.execute("VACUUM INTO ?1", [name]))
        .map(drop)
        .map_err(|error| sqlite::read_error(from, &error))
}

/// Copies the backup `from` into the empty or new directory `dir`, after checking it.
///
/// # Errors
/// When the copy is damaged, `dir` is not empty, or a file cannot be used.
pub fn restore(from: &Path, dir: &Path) -> Result<(), Error> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        let reason =
            "it is not empty; restore into a new directory and put that in its place".into();
        return Err(Error::File {
            path: dir.into(),
            reason,
        });
    }
    let report = verify::verify_file(from)?;
    if let Some(what) = report.problems.first() {
        return Err(Error::Damaged {
            path: from.into(),
            what: what.clone(),
        });
    }
    lock::make_dir(dir)?;
    let to = database(dir);
    let part = partial(&to);
    let copied = lock::private()
        .create_new(true)
        .open(&part)
        .and_then(|mut file| io::copy(&mut fs::File::open(from)?, &mut file))
        .map(drop)
        .map_err(|error| file_error(&part, &error))
        .and_then(|()| publish(&part, &to));
    if copied.is_err() {
        let _ = fs::remove_file(&part);
    }
    copied
}

/// Makes `part` durable and gives it its name, which must be free.
fn publish(part: &Path, to: &Path) -> Result<(), Error> {
    fs::File::open(part)
        .and_then(|file| file.sync_all())
        // Unlike a rename, a link never writes over a file.
        .and_then(|()| fs::hard_link(part, to))
        .and_then(|()| fs::remove_file(part))
        .map_err(|error| file_error(to, &error))?;
    to.parent().map_or(Ok(()), lock::sync_dir)
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}
