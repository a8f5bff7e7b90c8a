//! The embedded engine: SQLite, one writer thread, group commit.
//!
//! * [`Embedded`] implements [`Store`]. Writes go through a bounded queue to the writer thread, which commits
//!   whatever waits as one transaction and answers after the fsync. Reads use a few read-only connections.
//! * One process per data directory, by a lock; files are their owner's alone.
//! * Nothing is repaired: a damaged file, another program's file or a newer format is refused as it is.
//! * [`verify()`], [`restore`] and [`Embedded::backup`](Store::backup) work on whole stores.
//!
//! In a data directory lie `store.db` with its `-wal` and `-shm` (any `sqlite3` reads it), `lock`, and
//! `ballast`, the reserve for a full disk.

mod append;
mod audit;
mod codec;
mod control;
mod copy;
mod disk;
mod documents;
mod identities;
mod lock;
mod migrate;
mod names;
mod order;
mod pool;
mod progress;
mod queue;
mod read;
mod read_attempts;
mod read_dead;
mod read_work;
mod records;
mod retention;
mod schema;
mod sqlite;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use switchhook_core::breaker;
use switchhook_core::delivery::{Cursor, Waiting};
use switchhook_core::engine::KeyRows;
use switchhook_core::event::Event;
use switchhook_core::group::KeyHash;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

pub use copy::restore;
pub use verify::{Report, setting, verify, verify_audit};

use self::lock::Lock;
use self::names::Lexicon;
use self::pool::Pool;
use self::queue::Queue;
use self::read::Reader;
use self::writer::{Shared, Writer};
use crate::batch::{Document, Job, Pause, Resource, Room};
use crate::query::{
    AttemptFilter, AttemptPage, Audited, Counts, DeadFilter, DeadLetter, DeadPosition, DueWork,
    EventFilter, History, Limit,
};
use crate::tail::Tail;
use crate::{Batch, Done, Error, Store};

/// When a batch counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When fsync has returned: it survives a power failure.
    #[default]
    Fsync,
    /// When the system has it: it survives the end of the process, not a power failure.
    Os,
}

/// How the engine works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When a batch counts as written. Default: [`Durability::Fsync`].
    pub durability: Durability,
    /// Below this many free bytes a warning is logged and the ballast is not made again. Default: 1 GiB.
    pub soft_free_bytes: u64,
    /// Below this many free bytes events are refused; completions are not. Default: 256 MiB.
    pub hard_free_bytes: u64,
    /// Size of the reserve that makes room for completions on a full disk; 0 for none. Default: 64 MiB.
    pub ballast_bytes: u64,
    /// How long records alone wait for events to ride with, in milliseconds. Default: 5.
    pub records_hold_ms: u64,
    /// The WAL is copied into the database when it holds this much, in bytes. Commits wait meanwhile, so
    /// less means shorter waits; from 2 to 16 MiB throughput and bytes written were the same. Default: 4 MiB.
    pub wal_bytes_max: u64,
    /// Read-only connections for queries, 2 MiB of cache each; dispatch has its own. Default: 3.
    pub readers: usize,
    /// Pages after which SQLite says that the disk is full.
    #[cfg(test)]
    pub(crate) pages_max: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            soft_free_bytes: 1024 * 1024 * 1024,
            hard_free_bytes: 256 * 1024 * 1024,
            ballast_bytes: 64 * 1024 * 1024,
            records_hold_ms: 5,
            wal_bytes_max: 4 * 1024 * 1024,
            readers: 3,
            #[cfg(test)]
            pages_max: None,
        }
    }
}

/// Connections for the reads of dispatch: each is short, and two keep both cores of a small machine busy.
const DISPATCH_READERS: usize = 2;

/// A store in a directory.
pub struct Embedded {
    dir: PathBuf,
    path: PathBuf,
    shared: Arc<Shared>,
    /// For dispatch alone: a query may look through the whole log, and due work must not wait for it.
    dispatch: Pool,
    readers: Pool,
    writer: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<Lock>>,
}

impl Embedded {
    /// Opens the store in `dir`; makes both if they are not there.
    ///
    /// Takes milliseconds, whatever the store holds.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::Damaged`] or [`Error::TooNew`] if the file must
    /// not be opened as it is, [`Error::File`] if a file cannot be used.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let lock = lock::take(dir)?;
        let path = database(dir);
        sqlite::check_version(&path)?;
        let conn = open_database(dir, &path, &options)?;
        let (shared, writer) = start_writer(conn, dir, &path, &options)?;
        let opened = |count: usize| {
            (0..count)
                .map(|_| Reader::open(&path))
                .collect::<rusqlite::Result<Vec<_>>>()
                .map_err(|error| sqlite::open_error(&path, &error))
        };
        let (dispatch, readers) = (opened(DISPATCH_READERS), opened(options.readers.max(1)));
        // Made before the check, so that a writer that has started is stopped in any case.
        let store = Self {
            dir: dir.into(),
            path,
            shared,
            dispatch: Pool::default(),
            readers: Pool::default(),
            writer: Mutex::new(Some(writer)),
            lock: Mutex::new(Some(lock)),
        };
        *store.dispatch.lock() = dispatch?;
        *store.readers.lock() = readers?;
        Ok(store)
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection, &mut Lexicon) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.read_with(&self.readers, read)
    }

    /// The reads of dispatch: through an index and within a limit, so that each is short.
    fn read_for_dispatch<T>(
        &self,
        read: impl FnOnce(&Connection, &mut Lexicon) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.read_with(&self.dispatch, read)
    }

    fn read_with<T>(
        &self,
        pool: &Pool,
        read: impl FnOnce(&Connection, &mut Lexicon) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        pool.with(|reader| reader.at_one_moment(read))
            .map_err(|error| sqlite::read_error(&self.path, &error))
    }
}

/// The database file in `dir`.
fn database(dir: &Path) -> PathBuf {
    dir.join("store.db")
}

/// Opens the database for writing, in the newest format.
fn open_database(dir: &Path, path: &Path, options: &Options) -> Result<Connection, Error> {
    let is_new = !path.exists();
    lock::private()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| lock::file_error(path, &e))?;
    let failed = |error| sqlite::open_error(path, &error);
    let conn = sqlite::open_writer(path, options).map_err(failed)?;
    migrate::run(&conn, path)?;
    if is_new {
        // The format is in the file itself, not in the WAL alone, before anything relies on it.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
        lock::sync_dir(dir)?;
    }
    Ok(conn)
}

/// Starts the writer thread and waits until it has read its state.
fn start_writer(
    conn: Connection,
    dir: &Path,
    path: &Path,
    options: &Options,
) -> Result<(Arc<Shared>, JoinHandle<()>), Error> {
    let end = conn
        .query_row(read::END, [], |row| row.get(0))
        .map_err(|error| sqlite::open_error(path, &error))?;
    let shared = Arc::new(Shared {
        queue: Queue::new(options),
        tail: Tail::new(Offset(codec::uint(end))),
    });
    let (ready, loaded) = mpsc::sync_channel(1);
    let (dir, options, for_writer) = (dir.to_path_buf(), options.clone(), shared.clone());
    let thread = std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(
            move || match Writer::load(&conn, &dir, &options, for_writer) {
                Ok(writer) => {
                    let _ = ready.send(Ok(()));
                    writer.run();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            },
        )
        .map_err(|error| lock::file_error(path, &error))?;
    match loaded.recv() {
        Ok(Ok(())) => Ok((shared, thread)),
        Ok(Err(error)) => Err(sqlite::open_error(path, &error)),
        Err(_) => Err(Error::Fatal("the writer thread ended at its start".into())),
    }
}

impl Store for Embedded {
    fn submit(&self, batch: Batch, done: Done) {
        self.shared.queue.push(batch, done);
    }

    fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    fn read_log(&self, from: Offset, limit: Limit) -> Result<Vec<Arc<Event>>, Error> {
        self.read_for_dispatch(|conn, names| read::log(conn, names, from, limit))
    }

    fn cursors(&self) -> Result<Vec<Cursor>, Error> {
        self.read_for_dispatch(read_work::cursors)
    }

    fn settled_from(
        &self,
        subscription: &str,
        partition: u16,
        from: Offset,
    ) -> Result<BTreeSet<Offset>, Error> {
        self.read_for_dispatch(|conn, _| {
            read_work::settled_from(conn, subscription, partition, from)
        })
    }

    fn keys(
        &self,
        subscription: &str,
        partition: u16,
    ) -> Result<BTreeMap<KeyHash, KeyRows>, Error> {
        self.read_for_dispatch(|conn, _| order::keys(conn, subscription, partition))
    }

    fn due(
        &self,
        subscription: &str,
        partition: u16,
        until: UnixMs,
        skip: &BTreeSet<Offset>,
        limit: Limit,
    ) -> Result<DueWork, Error> {
        let lane = (subscription, partition);
        self.read_for_dispatch(|conn, names| read_work::due(conn, names, lane, until, skip, limit))
    }

    fn waiting(
        &self,
        subscription: &str,
        from: Offset,
        limit: Limit,
    ) -> Result<Vec<(Waiting, Arc<Event>)>, Error> {
        self.read(|conn, names| read_work::waiting_from(conn, names, subscription, from, limit))
    }

    fn breakers(&self) -> Result<Vec<breaker::Record>, Error> {
        self.read(|conn, _| control::breakers(conn))
    }

    fn layouts(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, Error> {
        self.read(|conn, _| control::layouts(conn))
    }

    fn pauses(&self) -> Result<BTreeMap<Arc<str>, Pause>, Error> {
        self.read(|conn, _| control::pauses(conn))
    }

    fn jobs(&self) -> Result<Vec<Job>, Error> {
        self.read(|conn, _| control::jobs(conn))
    }

    fn audit(&self, before: Option<u64>, items: usize) -> Result<Vec<Audited>, Error> {
        self.read(|conn, _| audit::before(conn, before, items))
    }

    fn audit_from(&self, from: u64, items: usize) -> Result<Vec<Audited>, Error> {
        self.read(|conn, _| audit::from(conn, from, items))
    }

    fn offset_at(&self, time: UnixMs) -> Result<Offset, Error> {
        self.read(|conn, _| read::offset_at(conn, time))
    }

    fn scan(
        &self,
        filter: &EventFilter,
        from: Offset,
        limit: Limit,
    ) -> Result<(Vec<Arc<Event>>, Offset), Error> {
        self.read(|conn, names| read::scan(conn, names, filter, from, limit))
    }

    fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, Error> {
        self.read(|conn, names| read::event_with_id(conn, names, id))
    }

    fn events(
        &self,
        filter: &EventFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> Result<Vec<Arc<Event>>, Error> {
        self.read(|conn, names| read::events(conn, names, filter, before, limit))
    }

    fn history(&self, offset: Offset) -> Result<History, Error> {
        self.read(|conn, names| read_work::history(conn, names, offset))
    }

    fn dead(
        &self,
        filter: &DeadFilter,
        after: Option<&DeadPosition>,
        limit: Limit,
    ) -> Result<Vec<DeadLetter>, Error> {
        self.read(|conn, names| read_dead::list(conn, names, filter, after, limit))
    }

    fn count_dead(&self, filter: &DeadFilter) -> Result<u64, Error> {
        self.read(|conn, _| read_dead::count(conn, filter))
    }

    fn counts(&self) -> Result<Counts, Error> {
        let mut counts = self.read(read_work::counts)?;
        counts.bytes = disk::used_bytes(&self.dir);
        counts.free_bytes = disk::free_bytes(&self.dir);
        Ok(counts)
    }

    fn attempts(
        &self,
        filter: &AttemptFilter,
        before: Option<Offset>,
        limit: Limit,
    ) -> Result<AttemptPage, Error> {
        self.read(|conn, names| read_attempts::list(conn, names, filter, before, limit))
    }

    fn documents(
        &self,
        room: Room,
        after: Option<&str>,
        items: usize,
        now: UnixMs,
    ) -> Result<Vec<Document>, Error> {
        self.read(|conn, _| documents::list(conn, room, after, items, now))
    }

    fn document(&self, room: Room, id: &str, now: UnixMs) -> Result<Option<Document>, Error> {
        self.read(|conn, _| documents::get(conn, room, id, now))
    }

    fn resources(&self) -> Result<Vec<Resource>, Error> {
        self.read(|conn, _| control::resources(conn))
    }

    fn backup(&self, path: &Path) -> Result<(), Error> {
        copy::backup(&self.path, path)
    }

    fn close(&self) {
        self.shared.queue.close();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}
