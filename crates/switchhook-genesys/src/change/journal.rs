//! The journal: each step of each change, on disk before what follows from it.
//!
//! It is made shorter when [`CLOSED_MAX`] changes have ended: what is open stays, the rest becomes one line of totals. A
//! last line that a crash has cut is left out. Bounds: [`OPEN_MAX`] open changes, [`BYTES_MAX`] for the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use switchhook_core::time::UnixMs;
use switchhook_wire::change::{Done, Failed, Line, Planned, Step, Totals, Tried};

use super::{lines, moment, private, replace, text_of, unwritable};
use crate::refusal::Error;

/// Changes that ended before the journal is made shorter.
pub const CLOSED_MAX: usize = 200;
/// Most changes without an end: each is something that a person has to look at.
pub const OPEN_MAX: usize = 1_000;
/// Largest file that is read: 1,200 changes with bodies of 16 KiB have room.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A change without an end.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Its id, `chg_…`.
    pub id: String,
    /// When it was planned.
    pub planned_at: UnixMs,
    /// The change.
    pub planned: Planned,
    /// Its last request that may have changed something.
    pub last: Option<Tried>,
    /// 0, 1, … in the order of planning.
    number: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    open: BTreeMap<String, Open>,
    totals: Totals,
    closed: usize,
    next: u64,
}

impl Journal {
    /// Reads the journal at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let (found, whole) = lines(&path, BYTES_MAX, |line| serde_json::from_str::<Line>(line))?;
        let file = private(&path).map_err(|error| unwritable(&path, &error))?;
        file.set_len(whole)
            .map_err(|error| unwritable(&path, &error))?;
        let mut journal = Self {
            path,
            file,
            open: BTreeMap::new(),
            totals: Totals::default(),
            closed: 0,
            next: 0,
        };
        for line in found {
            journal.take(line);
        }
        journal.shorten()?;
        Ok(journal)
    }

    /// Changes without an end, in the order of planning.
    pub fn open_changes(&self) -> impl Iterator<Item = &Open> {
        let mut open: Vec<&Open> = self.open.values().collect();
        open.sort_by_key(|open| open.number);
        open.into_iter()
    }

    /// Counts of what has ended.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// A change is going to be made.
    ///
    /// # Errors
    /// When there are too many open ones, or it cannot be written.
    pub fn planned(&mut self, id: &str, planned: Planned, now: UnixMs) -> Result<(), Error> {
        if self.open.len() >= OPEN_MAX && !self.open.contains_key(id) {
            return Err(Error::Journal(format!(
                "{OPEN_MAX} changes have no end; finish or discard some first"
            )));
        }
        self.append(id, Step::Planned(planned), now)
    }

    /// A request is about to go out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tried(&mut self, id: &str, tried: Tried, now: UnixMs) -> Result<(), Error> {
        self.append(id, Step::Tried(tried), now)
    }

    /// A change is in force.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn done(&mut self, id: &str, done: Done, now: UnixMs) -> Result<(), Error> {
        self.append(id, Step::Done(done), now)?;
        self.shorten()
    }

    /// A change failed for good.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn failed(&mut self, id: &str, failed: Failed, now: UnixMs) -> Result<(), Error> {
        self.append(id, Step::Failed(failed), now)?;
        self.shorten()
    }

    fn append(&mut self, id: &str, step: Step, now: UnixMs) -> Result<(), Error> {
        let line = Line {
            at: text_of(now),
            id: id.to_owned(),
            step,
        };
        let text = text(&line)?;
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| unwritable(&self.path, &error))?;
        self.take(line);
        Ok(())
    }

    fn take(&mut self, line: Line) {
        let Line { at, id, step } = line;
        match step {
            Step::Planned(planned) => {
                let open = Open {
                    id: id.clone(),
                    planned_at: moment(&at),
                    planned,
                    last: None,
                    number: self.next,
                };
                self.next += 1;
                self.open.insert(id, open);
            }
            Step::Tried(tried) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.last = Some(tried);
                }
            }
            Step::Done(Done {
                tries, latency_ms, ..
            }) => self.close(&id, true, tries, latency_ms),
            Step::Failed(Failed {
                tries, latency_ms, ..
            }) => self.close(&id, false, tries, latency_ms),
            Step::Totals(totals) => self.totals = totals,
        }
    }

    fn close(&mut self, id: &str, succeeded: bool, tries: u32, latency_ms: u64) {
        if self.open.remove(id).is_some() {
            self.totals.add(succeeded, tries, latency_ms);
            self.closed += 1;
        }
    }

    /// Leaves out what has ended, when that is much.
    fn shorten(&mut self) -> Result<(), Error> {
        if self.closed < CLOSED_MAX {
            return Ok(());
        }
        let mut whole = text(&Line {
            at: text_of(UnixMs(0)),
            id: String::new(),
            step: Step::Totals(self.totals),
        })?;
        for open in self.open_changes() {
            let line = |step| Line {
                at: text_of(open.planned_at),
                id: open.id.clone(),
                step,
            };
            whole.push_str(&text(&line(Step::Planned(open.planned.clone())))?);
            if let Some(tried) = &open.last {
                whole.push_str(&text(&line(Step::Tried(tried.clone())))?);
            }
        }
        let failed = |error| unwritable(&self.path, &error);
        replace(&self.path, whole.as_bytes()).map_err(failed)?;
        self.file = private(&self.path).map_err(failed)?;
        self.closed = 0;
        Ok(())
    }
}

fn text(line: &Line) -> Result<String, Error> {
    serde_json::to_string(line)
        .map(|text| text + "\n")
        .map_err(|error| {
            Error::Journal(format!("a line of the journal cannot be written: {error}"))
        })
}
