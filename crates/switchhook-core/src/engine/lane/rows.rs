//! The waiting rows of a lane: which of them are in memory, and when to look for more.
//!
//! A row that was taken, or that a batch changes, stays *taken* until that batch is on disk, and while a read of
//! due rows is under way: such a read may have seen the row as it was before.

use std::collections::{BTreeSet, VecDeque};

use crate::id::Offset;
use crate::time::UnixMs;

use super::Pending;

/// A row to let go of once its batch is on disk.
#[derive(Debug, Clone, Copy)]
struct Release {
    batch: u64,
    /// `None` where other rows became due with that batch.
    offset: Option<Offset>,
    /// When the row as written is due, if it is still there.
    due_at: Option<UnixMs>,
}

#[derive(Debug)]
pub(super) struct Rows {
    due: VecDeque<Pending>,
    /// Rows in memory or under way, or changed by a batch that is not on disk yet.
    taken: BTreeSet<Offset>,
    releases: VecDeque<Release>,
    /// No row that is not taken is due before this; `None` when there is none at all.
    next_due: Option<UnixMs>,
    pub(super) reading_log: bool,
    reading_due: bool,
    /// Rows were written by someone else during a read of due rows.
    reread: bool,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            due: VecDeque::new(),
            taken: BTreeSet::new(),
            releases: VecDeque::new(),
            next_due: Some(UnixMs(0)),
            reading_log: false,
            reading_due: false,
            reread: false,
        }
    }
}

impl Rows {
    /// Which rows to skip, if some may be due and no read is under way.
    pub(super) fn ask(&mut self, now: UnixMs) -> Option<BTreeSet<Offset>> {
        if self.reading_due || self.next_due.is_none_or(|at| at > now) {
            return None;
        }
        self.reading_due = true;
        Some(self.taken.clone())
    }

    /// When to look for due rows again, if that lies ahead.
    pub(super) fn timer(&self, now: UnixMs) -> Option<UnixMs> {
        self.next_due.filter(|at| !self.reading_due && *at > now)
    }

    /// A read has ended; `next_due` is when the next row after those it found is due.
    pub(super) fn read(&mut self, next_due: Option<UnixMs>) {
        self.reading_due = false;
        self.next_due = if std::mem::take(&mut self.reread) {
            Some(UnixMs(0))
        } else {
            next_due
        };
    }

    /// A row is due at `at`.
    pub(super) fn look_at(&mut self, at: UnixMs) {
        self.next_due = Some(self.next_due.map_or(at, |next| next.min(at)));
    }

    /// Rows were written behind the engine's back: look again at once.
    pub(super) fn changed(&mut self) {
        self.reread = self.reading_due;
        self.next_due = Some(UnixMs(0));
    }

    /// The row at `offset` is the engine's; `false` if it was before.
    pub(super) fn take(&mut self, offset: Offset) -> bool {
        self.taken.insert(offset)
    }

    /// The row at `offset` is as `batch` writes it: due at `due_at`, or not due by time, or gone.
    pub(super) fn release_after(&mut self, batch: u64, offset: Offset, due_at: Option<UnixMs>) {
        self.taken.insert(offset);
        self.releases.push_back(Release {
            batch,
            offset: Some(offset),
            due_at,
        });
    }

    /// `batch` makes rows due that are not in memory.
    pub(super) fn look_after(&mut self, batch: u64, due_at: UnixMs) {
        self.releases.push_back(Release {
            batch,
            offset: None,
            due_at: Some(due_at),
        });
    }

    /// Whether a batch that makes rows due is not on disk yet.
    pub(super) fn is_releasing(&self) -> bool {
        self.releases.iter().any(|release| release.offset.is_none())
    }

    /// Lets go of rows whose batch is on disk; whether there may be something to do now.
    /// `committed`: so many batches are on disk.
    pub(super) fn release(&mut self, committed: u64) -> bool {
        let mut released = false;
        while !self.reading_due
            && let Some(release) = self.releases.front()
            && release.batch < committed
        {
            if let Some(offset) = release.offset {
                self.taken.remove(&offset);
            }
            if let Some(at) = release.due_at {
                self.look_at(at);
            }
            self.releases.pop_front();
            released = true;
        }
        released
    }

    pub(super) fn push_due(&mut self, pending: Pending) {
        self.due.push_back(pending);
    }

    pub(super) fn next(&mut self) -> Option<Pending> {
        self.due.pop_front()
    }

    pub(super) fn first(&self) -> Option<&Pending> {
        self.due.front()
    }

    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// Forgets the rows that are in memory and not under way; returns those that were ready.
    pub(super) fn let_go(&mut self) -> Vec<Pending> {
        let due: Vec<Pending> = std::mem::take(&mut self.due).into();
        for pending in &due {
            self.taken.remove(&pending.event.offset);
        }
        due
    }

    /// Forgets a row that waited in memory behind another one.
    pub(super) fn untake(&mut self, offset: Offset) {
        self.taken.remove(&offset);
    }
}
