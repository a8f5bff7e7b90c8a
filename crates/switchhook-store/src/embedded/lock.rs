//! One process per data directory, and files that only their owner can read.
//!
//! The lock is an exclusive `flock` on the file `lock`: the system lets go of it when the process ends,
//! however it ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::Error;

/// The lock on a data directory; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held open for its lock")] File);

/// Makes `dir` if it is not there and locks it.
pub(super) fn take(dir: &Path) -> Result<Lock, Error> {
    make_dir(dir)?;
    let path = dir.join("lock");
    let file = private()
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| file_error(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.into())),
        Err(TryLockError::Error(error)) => Err(file_error(&path, &error)),
    }
}

/// Makes `dir` and its parents, for the owner only, and makes each of them durable.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new("/"));
    make_dir(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file_error(dir, &error)),
        _ => sync_dir(parent),
    }
}

/// Options for a file that only its owner can read and write.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes the names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| file_error(dir, &e))
}

/// An error about a file.
pub(super) fn file_error(path: &Path, error: &io::Error) -> Error {
    Error::File {
        path: path.into(),
        reason: error.to_string(),
    }
}
