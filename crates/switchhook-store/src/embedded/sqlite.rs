//! How connections are opened, and what SQLite's errors mean for us.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::PAGE_BYTES;
use super::{Durability, Options};
use crate::Error;

/// 3.51.3: the first release in which a WAL cannot be corrupted by a reset (`facts/reliability.md` 1.3).
const OLDEST: i32 = 3_051_003;

/// Pages the writer may keep in memory, in KiB.
const WRITER_CACHE_KIB: u32 = 32 * 1024;

/// Pages a reader may keep in memory, in KiB.
const READER_CACHE_KIB: u32 = 2 * 1024;

/// How long another program that looks into the file may hold us up, in milliseconds.
const BUSY_MS: u32 = 10_000;

/// The WAL file is cut back to this when it starts over, in bytes.
const WAL_KEPT_BYTES: u32 = 64 * 1024 * 1024;

/// Prepared statements kept per connection; every query of this crate, in all its forms that occur.
const STATEMENTS_MAX: usize = 64;

/// Refuses to run with a SQLite that is known to damage files.
pub(super) fn check_version(path: &Path) -> Result<(), Error> {
    if rusqlite::version_number() < OLDEST {
        let reason = format!(
            "SQLite {} can damage it, at least 3.51.3 is needed",
            rusqlite::version()
        );
        return Err(Error::File {
            path: path.into(),
            reason,
        });
    }
    Ok(())
}

/// Opens the connection that writes.
pub(super) fn open_writer(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let synchronous = match options.durability {
        Durability::Fsync => "FULL",
        Durability::Os => "NORMAL",
    };
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 {
        // So that free pages can be given back later; this can be said only before the first table.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES};
         PRAGMA cache_size = -{WRITER_CACHE_KIB};
         PRAGMA temp_store = MEMORY;"
    ))?;
    #[cfg(test)]
    if let Some(pages) = options.pages_max {
        conn.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
    }
    Ok(conn)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.execute_batch(&format!(
        "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -{READER_CACHE_KIB}; PRAGMA temp_store = MEMORY;"
    ))?;
    Ok(conn)
}

fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.execute_batch(&format!(
        "PRAGMA busy_timeout = {BUSY_MS}; PRAGMA mmap_size = 0;"
    ))?;
    Ok(conn)
}

/// What a failure to open means.
pub(super) fn open_error(path: &Path, error: &rusqlite::Error) -> Error {
    if is_damage(error) {
        return Error::Damaged {
            path: path.into(),
            what: error.to_string(),
        };
    }
    Error::File {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// What a failed read means.
pub(super) fn read_error(path: &Path, error: &rusqlite::Error) -> Error {
    if is_damage(error) {
        return Error::Damaged {
            path: path.into(),
            what: error.to_string(),
        };
    }
    Error::Read(error.to_string())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) || matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
    )
}
