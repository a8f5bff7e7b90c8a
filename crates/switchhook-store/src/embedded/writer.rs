//! The writer thread: takes groups of batches, commits each group as one transaction, and answers.
//!
//! What it promises:
//! * A batch is answered after the commit it is in has returned. New events reach the tail first, in order.
//! * A batch that fails for a reason of its own takes no other with it: the group is rolled back, and its
//!   batches are committed one by one. Nothing had reached the disk then.
//! * A failed commit, write or fsync is the end: nothing is tried again, every batch that waits and every
//!   later one is answered [`Error::Fatal`] (`facts/reliability.md` 5.2). Only a full disk before the commit
//!   is different: SQLite has undone the whole group, no fsync failed, and completions get one more
//!   chance in the room that the ballast leaves.
//! * Checkpoints happen between commits, after the answers; but what was given back to the file system is given back
//!   when that is answered, so the file is cut before.

#[cfg(feature = "sabotage")]
mod sabotage;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use switchhook_core::event::Event;

use super::append::Appender;
use super::audit::AuditLog;
use super::disk::Disk;
use super::names::Interner;
use super::queue::{Job, Queue};
use super::records::{Recorder, rebase};
use super::schema::PAGE_BYTES;
use super::{Options, control, documents, order, retention};
use crate::conflict;
use crate::tail::Tail;
use crate::{Batch, Done, Error, Receipt};

/// What the writer shares with the rest of the engine.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) tail: Tail,
}

/// Why a group was not committed.
enum Failure {
    /// No room, found before anything was committed. Everything is rolled back.
    Full,
    /// A statement failed. Everything is rolled back.
    Batch(rusqlite::Error),
    /// What is on disk is unknown.
    Fatal(rusqlite::Error),
}

/// The state of the writer between two groups. It is read from the database and never differs from it.
struct Ledger<'c> {
    conn: &'c Connection,
    names: Interner<'c>,
    events: Appender<'c>,
    records: Recorder<'c>,
    audit: AuditLog<'c>,
}

/// The writer.
pub(super) struct Writer<'c> {
    ledger: Ledger<'c>,
    disk: Disk,
    shared: Arc<Shared>,
    wal_pages_max: i64,
}

/// Answers everybody if the thread ends in another way than by closing.
struct LastWord<'a>(&'a Shared);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        let error = if panicked {
            Error::Fatal("the writer thread panicked".into())
        } else {
            Error::Closed
        };
        poison(self.0, &error);
    }
}

impl<'c> Writer<'c> {
    /// Reads what the writer must know.
    pub(super) fn load(
        conn: &'c Connection,
        dir: &Path,
        options: &Options,
        shared: Arc<Shared>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            ledger: Ledger::load(conn)?,
            disk: Disk::new(dir, options),
            shared,
            wal_pages_max: i64::try_from(options.wal_bytes_max / u64::from(PAGE_BYTES))
                .unwrap_or(i64::MAX),
        })
    }

    /// Writes until the queue is closed, or until a write fails.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        let _last_word = LastWord(&shared);
        while let Some(group) = shared.queue.next_group() {
            let group = self.refuse_when_full(group);
            let group = self.spare(group);
            let written = self.write(group).and_then(|()| self.checkpoint_if_large());
            if let Err(error) = written {
                tracing::error!(%error, "the store stops: a write failed and what is on disk is unknown");
                poison(&shared, &Error::Fatal(error.to_string()));
                return;
            }
        }
        // The end does not wait for another program that reads: what it keeps in the WAL stays there.
        let at_the_end = self.ledger.conn.busy_timeout(Duration::ZERO);
        if let Err(error) = at_the_end.and_then(|()| self.checkpoint("TRUNCATE")) {
            tracing::warn!(%error, "the last checkpoint failed; the next start reads the WAL instead");
        }
    }

    /// Answers batches with events, if the disk is too full for them; the rest goes on.
    fn refuse_when_full(&mut self, group: Vec<Job>) -> Vec<Job> {
        if !group.iter().any(Job::has_events) {
            return group;
        }
        match self.disk.refusal() {
            None => group,
            Some(refusal) => refuse_events(group, &refusal),
        }
    }

    /// Keeps no texts of attempts while the disk fills up: they are what is missed least. Dead letters keep theirs.
    fn spare(&self, mut group: Vec<Job>) -> Vec<Job> {
        if self.disk.is_low() {
            for job in &mut group {
                for attempt in &mut job.batch.records.attempts {
                    attempt.detail = None;
                }
            }
        }
        group
    }

    /// Commits `group` and answers; an error is fatal.
    fn write(&mut self, group: Vec<Job>) -> rusqlite::Result<()> {
        #[cfg(feature = "sabotage")]
        if sabotage::acks_early() {
            return self.write_after_the_answer(group);
        }
        match self.commit(&group) {
            Ok(receipts) => answer(group, receipts),
            Err(Failure::Full) => {
                self.disk.release_ballast();
                let rest = refuse_events(group, &self.disk.full());
                match self.commit(&rest) {
                    Ok(receipts) => answer(rest, receipts),
                    Err(Failure::Full) => return self.fail(rest, disk_full()),
                    Err(Failure::Batch(error) | Failure::Fatal(error)) => {
                        return self.fail(rest, error);
                    }
                }
            }
            Err(Failure::Batch(error)) if group.len() == 1 => {
                tracing::error!(%error, "a batch cannot be written");
                let refusal = Error::Refused(error.to_string());
                group
                    .into_iter()
                    .for_each(|job| (job.done)(Err(refusal.clone())));
            }
            Err(Failure::Batch(_)) => {
                return group.into_iter().try_for_each(|job| self.write(vec![job]));
            }
            Err(Failure::Fatal(error)) => return self.fail(group, error),
        }
        Ok(())
    }

    fn fail(&self, group: Vec<Job>, error: rusqlite::Error) -> rusqlite::Result<()> {
        let fatal = Error::Fatal(error.to_string());
        poison(&self.shared, &fatal);
        group
            .into_iter()
            .for_each(|job| (job.done)(Err(fatal.clone())));
        Err(error)
    }

    /// Makes the whole group durable and shows its events to the tail.
    fn commit(&mut self, group: &[Job]) -> Result<Vec<Receipt>, Failure> {
        let mut log = Vec::new();
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let mut receipts = match self.ledger.apply(group, &mut log) {
            Ok(receipts) => receipts,
            Err(error) => return Err(self.roll_back(error)),
        };
        // Before the commit: who still finds an event in the log may write about it.
        for keep_from in group
            .iter()
            .filter_map(|job| Some(job.batch.retain?.keep_from))
        {
            self.shared.tail.forget_before(keep_from);
        }
        match self.ledger.execute("COMMIT") {
            Ok(()) => {}
            Err(error) if code(&error) == Some(ErrorCode::DiskFull) => {
                return Err(self.roll_back(error));
            }
            Err(error) => return Err(Failure::Fatal(error)),
        }
        if !log.is_empty() {
            self.shared.tail.push(log);
        }
        self.give_back(group, &mut receipts)
            .map_err(Failure::Fatal)?;
        Ok(receipts)
    }

    /// Gives free pages back where a batch of the group allows it. What was forgotten is on disk already.
    fn give_back(&self, group: &[Job], receipts: &mut [Receipt]) -> rusqlite::Result<()> {
        let mut is_given = false;
        for (job, receipt) in group.iter().zip(receipts) {
            let Some(retain) = job.batch.retain else {
                continue;
            };
            match retention::give_back(self.ledger.conn, retain.pages) {
                Ok((bytes, more)) => {
                    receipt.retained.bytes = bytes;
                    receipt.retained.more |= more;
                    is_given |= bytes > 0 && !more;
                }
                // Moving pages needs room in the WAL. SQLite has undone it.
                Err(error) if code(&error) == Some(ErrorCode::DiskFull) => {
                    tracing::warn!("no room to give free pages back");
                }
                Err(error) => return Err(error),
            }
        }
        // Only the copy of the WAL into the database makes the file shorter.
        if is_given {
            self.copy_wal()?;
        }
        Ok(())
    }

    /// Undoes a transaction that was not committed, and says what `error` means.
    fn roll_back(&mut self, error: rusqlite::Error) -> Failure {
        // SQLite rolls back by itself on some errors.
        if !self.ledger.conn.is_autocommit()
            && let Err(error) = self.ledger.execute("ROLLBACK")
        {
            return Failure::Fatal(error);
        }
        match Ledger::load(self.ledger.conn) {
            Ok(ledger) => self.ledger = ledger,
            Err(error) => return Failure::Fatal(error),
        }
        match code(&error) {
            Some(ErrorCode::DiskFull) => Failure::Full,
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                Failure::Batch(error)
            }
            // An error of the conversion, not of the database.
            None => Failure::Batch(error),
            Some(_) => Failure::Fatal(error),
        }
    }

    fn checkpoint_if_large(&self) -> rusqlite::Result<()> {
        // NOOP only tells the size of the WAL.
        if self.checkpoint("NOOP")? < self.wal_pages_max {
            return Ok(());
        }
        self.copy_wal()
    }

    /// Copies as much of the WAL into the database as those who read allow.
    fn copy_wal(&self) -> rusqlite::Result<()> {
        match self.checkpoint("PASSIVE") {
            // The WAL stays as it is, and completions may still fit.
            Err(error) if code(&error) == Some(ErrorCode::DiskFull) => {
                tracing::warn!("no room for a checkpoint: the WAL keeps growing");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Pages in the WAL that are not in the database yet.
    fn checkpoint(&self, mode: &str) -> rusqlite::Result<i64> {
        let sql = match mode {
            "NOOP" => "PRAGMA wal_checkpoint(NOOP)",
            "PASSIVE" => "PRAGMA wal_checkpoint(PASSIVE)",
            _ => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let mut statement = self.ledger.conn.prepare_cached(sql)?;
        statement.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
    }
}

impl<'c> Ledger<'c> {
    fn load(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            names: Interner::new(conn),
            events: Appender::load(conn)?,
            records: Recorder::load(conn)?,
            audit: AuditLog::load(conn)?,
        })
    }

    /// Begins a transaction and writes all of `group`; new events go to `log`.
    fn apply(
        &mut self,
        group: &[Job],
        log: &mut Vec<Arc<Event>>,
    ) -> rusqlite::Result<Vec<Receipt>> {
        self.execute("BEGIN IMMEDIATE")?;
        let receipts = group
            .iter()
            .map(|job| self.apply_batch(&job.batch, log))
            .collect::<rusqlite::Result<_>>()?;
        self.records.save()?;
        self.events.tidy()?;
        Ok(receipts)
    }

    fn apply_batch(
        &mut self,
        batch: &Batch,
        log: &mut Vec<Arc<Event>>,
    ) -> rusqlite::Result<Receipt> {
        let mut receipt = Receipt::default();
        if batch.refuse_conflicts {
            receipt.conflict = conflict::first(&mut self.events, &batch.events)?;
            if receipt.conflict.is_some() {
                return Ok(receipt);
            }
        }
        for event in &batch.events {
            receipt
                .appended
                .push(self.events.append(&mut self.names, event, log)?);
        }
        self.apply_records(batch, log)?;
        for replay in &batch.replays {
            receipt.replayed += u64::from(self.records.replay(&mut self.names, replay)?);
        }
        for (key, chain) in &batch.discards {
            receipt.discarded += u64::from(self.records.remove_dead(key, Some(*chain))?);
        }
        self.apply_control(batch)?;
        if let Some(now) = batch.rebase {
            rebase(self.conn, now)?;
        }
        if let Some(retain) = &batch.retain {
            receipt.retained = retention::retain(self.conn, &mut self.records, retain)?;
        }
        Ok(receipt)
    }

    fn apply_control(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        for change in &batch.resources {
            control::change(self.conn, change)?;
        }
        for change in &batch.documents {
            documents::change(self.conn, change)?;
        }
        for change in &batch.pauses {
            control::pause(self.conn, change)?;
        }
        control::save_jobs(self.conn, &batch.jobs)?;
        for layout in &batch.layouts {
            self.records.lay_out(&mut self.names, layout)?;
        }
        for entry in &batch.audit {
            self.audit.note(entry)?;
        }
        Ok(())
    }

    fn apply_records(&mut self, batch: &Batch, log: &mut Vec<Arc<Event>>) -> rusqlite::Result<()> {
        let (records, names) = (&batch.records, &mut self.names);
        for attempt in &records.attempts {
            self.records.attempt(names, attempt)?;
        }
        for row in &records.waiting {
            self.records.wait(names, row)?;
        }
        for key in &records.settled {
            self.records.settle(names, key)?;
        }
        for dead in &records.dead {
            self.records.bury(names, dead)?;
        }
        for release in &records.released {
            order::release(self.conn, names, release)?;
        }
        for cursor in &records.cursors {
            self.records.commit(names, cursor)?;
        }
        for breaker in &records.breakers {
            control::save_breaker(self.conn, breaker)?;
        }
        for own in &records.own_events {
            self.events.append_own(names, own, log)?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }
}

fn answer(group: Vec<Job>, receipts: Vec<Receipt>) {
    for (job, receipt) in group.into_iter().zip(receipts) {
        (job.done)(Ok(receipt));
    }
}

/// Answers the batches with events with `refusal`; the others are left.
fn refuse_events(group: Vec<Job>, refusal: &Error) -> Vec<Job> {
    let (events, rest): (Vec<Job>, Vec<Job>) = group.into_iter().partition(Job::has_events);
    events
        .into_iter()
        .for_each(|job| (job.done)(Err(refusal.clone())));
    rest
}

fn poison(shared: &Shared, error: &Error) {
    let waiting: Vec<Done> = shared
        .queue
        .poison(error.clone())
        .into_iter()
        .map(|job| job.done)
        .collect();
    waiting
        .into_iter()
        .for_each(|done| done(Err(error.clone())));
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

fn disk_full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
        Some("the disk is full, and even completions cannot be written".into()),
    )
}
