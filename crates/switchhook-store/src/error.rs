//! What can go wrong with a store, and what the caller should do about it.

use std::path::PathBuf;

/// A failure of the store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No room for new events. Completions are still written. Tell the sender to come back later.
    #[error(
        "the disk is almost full: {free_bytes} bytes free, {needed_bytes} needed to take new events"
    )]
    Full {
        /// Bytes free now.
        free_bytes: u64,
        /// Bytes that must be free.
        needed_bytes: u64,
    },
    /// More events wait to be written than may. Tell the sender to come back in a moment.
    #[error("{queued_bytes} bytes wait to be written, more than the limit of {limit_bytes}")]
    Overloaded {
        /// Bytes that wait.
        queued_bytes: usize,
        /// Bytes that may wait before events are refused.
        limit_bytes: usize,
    },
    /// This batch cannot be written, and would not be if it came again. Nothing of it was kept.
    #[error("the batch was refused and nothing of it was kept: {0}")]
    Refused(String),
    /// A write or fsync failed: what is on disk is unknown. The process must stop; a restart reads what is really there.
    #[error("a write to the store failed and was not repeated: {0}")]
    Fatal(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// Another process has the store open.
    #[error("the data directory {0} is in use by another process")]
    Locked(PathBuf),
    /// The store is damaged; it must not be opened as it is.
    #[error("the store {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The store was written by a newer version.
    #[error(
        "the store {path} has format {found}, this version reads up to {known}: use a newer version"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Newest format known.
        known: u32,
    },
    /// A read failed.
    #[error("the store could not be read: {0}")]
    Read(String),
    /// A file could not be used.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
