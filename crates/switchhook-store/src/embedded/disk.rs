//! Watches the free space, and keeps a reserve for completions.
//!
//! Below the soft mark the texts of attempts are not kept. Below the hard mark no event is taken; completions still are, so that work can end. If the disk runs
//! full all the same, a ballast file is given up to make room for them, and made again when there is
//! room above the soft mark (`facts/reliability.md` 5.14).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::Options;
use super::lock::private;
use crate::Error;

/// How often free space is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Watches one data directory.
pub(super) struct Disk {
    dir: PathBuf,
    soft_bytes: u64,
    hard_bytes: u64,
    ballast_bytes: u64,
    has_ballast: bool,
    is_low: bool,
    checked: Option<(Instant, u64)>,
}

impl Disk {
    pub(super) fn new(dir: &Path, options: &Options) -> Self {
        let mut disk = Self {
            dir: dir.into(),
            soft_bytes: options.soft_free_bytes,
            hard_bytes: options.hard_free_bytes,
            ballast_bytes: options.ballast_bytes,
            has_ballast: false,
            is_low: false,
            checked: None,
        };
        disk.has_ballast = disk.ballast().exists();
        disk.look(Instant::now());
        disk
    }

    /// The error to answer events with, if there is no room for them.
    pub(super) fn refusal(&mut self) -> Option<Error> {
        let now = Instant::now();
        let free_bytes = match self.checked {
            Some((at, free_bytes)) if now.duration_since(at) < CHECK_EVERY => free_bytes,
            _ => self.look(now),
        };
        (free_bytes < self.hard_bytes).then(|| self.full())
    }

    /// Whether the soft mark was passed when the free space was last looked at.
    pub(super) fn is_low(&self) -> bool {
        self.is_low
    }

    /// "Full", with the figures.
    pub(super) fn full(&self) -> Error {
        Error::Full {
            free_bytes: free_bytes(&self.dir),
            needed_bytes: self.hard_bytes,
        }
    }

    /// Gives up the reserve.
    pub(super) fn release_ballast(&mut self) {
        if !std::mem::take(&mut self.has_ballast) {
            return;
        }
        tracing::error!(dir = %self.dir.display(), "the disk is full: the ballast file is given up so that work can end");
        if let Err(error) = std::fs::remove_file(self.ballast()) {
            tracing::error!(%error, "the ballast file could not be removed");
        }
    }

    fn look(&mut self, now: Instant) -> u64 {
        let free_bytes = free_bytes(&self.dir);
        let is_low = free_bytes < self.soft_bytes;
        if is_low && !self.is_low {
            tracing::warn!(
                free_bytes,
                soft_bytes = self.soft_bytes,
                "the disk is filling up"
            );
        }
        if !is_low && !self.has_ballast && self.ballast_bytes > 0 {
            self.make_ballast();
        }
        self.is_low = is_low;
        self.checked = Some((now, free_bytes));
        free_bytes
    }

    /// Tries once; where the file system cannot do it, there is no reserve.
    fn make_ballast(&mut self) {
        let made = private()
            .create(true)
            .truncate(false)
            .open(self.ballast())
            .and_then(|file| {
                Ok(fallocate(
                    &file,
                    FallocateFlags::empty(),
                    0,
                    self.ballast_bytes,
                )?)
            });
        if let Err(error) = made {
            tracing::warn!(%error, "no ballast file: a full disk may stop completions from being written");
            let _ = std::fs::remove_file(self.ballast());
            self.ballast_bytes = 0;
            return;
        }
        self.has_ballast = true;
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join(BALLAST)
    }
}

/// Bytes free where `dir` lies, for us. If the system does not say, a lot.
pub(super) fn free_bytes(dir: &Path) -> u64 {
    statvfs(dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Name of the ballast file in the data directory.
const BALLAST: &str = "ballast";

/// Bytes of all files in `dir` but the ballast: that is room kept free, and nothing that is forgotten makes it smaller.
pub(super) fn used_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name() != BALLAST)
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| data.len())
        .sum()
}
