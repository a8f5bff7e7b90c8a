//! The audit log: entries that are only ever added, each with the hash that chains it to the one before.
//!
//! The writer knows the last number and hash, so that an entry costs one insertion.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use switchhook_core::audit::{Hash, ORIGIN};

use super::codec::{int, uint};
use super::read::time;
use crate::batch::AuditEntry;
use crate::query::Audited;

pub(super) const LAST: &str =
    "SELECT number, hash FROM audit WHERE number = (SELECT max(number) FROM audit)";
pub(super) const INSERT: &str =
    "INSERT INTO audit (number, actor, action, object, detail, at, hash)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const BEFORE: &str = "SELECT number, actor, action, object, detail, at, hash FROM audit
     WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
pub(super) const FROM: &str = "SELECT number, actor, action, object, detail, at, hash FROM audit
     WHERE number >= ?1 ORDER BY number LIMIT ?2";
/// For a check alone.
pub(super) const ALL: &str =
    "SELECT number, actor, action, object, detail, at, hash FROM audit ORDER BY number";

/// The end of the log, where entries are added.
pub(super) struct AuditLog<'c> {
    insert: CachedStatement<'c>,
    number: u64,
    hash: Hash,
}

impl<'c> AuditLog<'c> {
    /// Goes on with what is written.
    pub(super) fn load(conn: &'c Connection) -> rusqlite::Result<Self> {
        let last = conn
            .prepare_cached(LAST)?
            .query_row([], |row| Ok((uint(row.get(0)?), row.get(1)?)))
            .optional()?;
        let (number, hash) = last.unwrap_or((0, ORIGIN));
        Ok(Self {
            insert: conn.prepare_cached(INSERT)?,
            number,
            hash,
        })
    }

    /// Adds an entry.
    pub(super) fn note(&mut self, entry: &AuditEntry) -> rusqlite::Result<()> {
        let number = self.number + 1;
        self.hash = add(&mut self.insert, &self.hash, number, entry)?;
        self.number = number;
        Ok(())
    }
}

/// Writes `entry` behind one whose hash is `before`, and returns its own.
pub(super) fn add(
    insert: &mut CachedStatement<'_>,
    before: &Hash,
    number: u64,
    entry: &AuditEntry,
) -> rusqlite::Result<Hash> {
    let hash = switchhook_core::audit::link(before, &entry.hashed(number));
    let AuditEntry {
        at,
        actor,
        action,
        object,
        detail,
    } = entry;
    insert.execute(params![
        int(number),
        &**actor,
        &**action,
        &**object,
        &**detail,
        int(at.0),
        hash.as_slice()
    ])?;
    Ok(hash)
}

/// The newest entries with numbers below `before`, the newest first.
pub(super) fn before(
    conn: &Connection,
    before: Option<u64>,
    items: usize,
) -> rusqlite::Result<Vec<Audited>> {
    list(conn, BEFORE, before.map_or(i64::MAX, int), items)
}

/// Entries in the order of their numbers.
pub(super) fn from(conn: &Connection, from: u64, items: usize) -> rusqlite::Result<Vec<Audited>> {
    list(conn, FROM, int(from), items)
}

fn list(conn: &Connection, sql: &str, number: i64, items: usize) -> rusqlite::Result<Vec<Audited>> {
    let items = i64::try_from(items).unwrap_or(i64::MAX);
    conn.prepare_cached(sql)?
        .query_map(params![number, items], |row| {
            Ok(Audited {
                number: uint(row.get(0)?),
                entry: entry(row)?,
                hash: row.get(6)?,
            })
        })?
        .collect()
}

/// The entry in the columns `number, actor, action, object, detail, at`.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        actor: row.get(1)?,
        action: row.get(2)?,
        object: row.get(3)?,
        detail: row.get(4)?,
        at: time(row, 5)?,
    })
}
