//! Brings a database to the newest format, one step at a time, or says why it cannot be opened.
//!
//! `user_version` is the format. Each step runs in a transaction of its own together with the new number,
//! so that a crash leaves the old format or the next one. A file of another program, a newer format or a
//! damaged file is refused as it is; nothing is ever repaired on the way.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use switchhook_core::audit::ORIGIN;
use switchhook_core::group::key_hash;

use super::codec::uint;
use super::schema::{
    APPLICATION_ID, FORMAT_1, FORMAT_2_INDEXES, FORMAT_2_TABLES, FORMAT_3, FORMAT_3_END,
};
use super::{audit, sqlite};
use crate::Error;

/// Leads from one format to the next.
type Step = fn(&Connection) -> rusqlite::Result<()>;

/// Step `i` leads from format `i` to `i + 1`.
const STEPS: &[Step] = &[
    |conn| conn.execute_batch(FORMAT_1),
    to_format_2,
    to_format_3,
];

/// The newest format.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
pub(super) const FORMAT: u32 = STEPS.len() as u32;

/// `PRAGMA auto_vacuum` of a file whose free pages can be given back a few at a time.
const INCREMENTAL: i64 = 2;

/// Makes sure that `conn`, which is the file at `path`, has the newest format.
pub(super) fn run(conn: &Connection, path: &Path) -> Result<(), Error> {
    let failed = |error| sqlite::open_error(path, &error);
    let found = format(conn, path)?;
    for (to, step) in (found + 1..).zip(STEPS.iter().skip(found as usize)) {
        take(conn, to, *step).map_err(failed)?;
    }
    let vacuum: i64 = conn
        .query_row("PRAGMA auto_vacuum", [], |row| row.get(0))
        .map_err(failed)?;
    if vacuum != INCREMENTAL {
        rewrite(conn, path);
    }
    Ok(())
}

fn take(conn: &Connection, to: u32, step: Step) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Exclusive)?;
    step(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

/// Rewrites a file of format 1, which cannot give pages back. It may fail for want of room: then the next start tries
/// again, and until then free pages are only used again.
fn rewrite(conn: &Connection, path: &Path) {
    tracing::info!(path = %path.display(), "the store is rewritten once, so that it can shrink");
    if let Err(error) = conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;") {
        tracing::warn!(%error, "the store could not be rewritten: it does not give disk space back");
    }
}

fn to_format_2(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(FORMAT_2_TABLES)?;
    fill_keys(conn, "waiting")?;
    fill_keys(conn, "dead")?;
    conn.execute_batch(FORMAT_2_INDEXES)
}

/// Gives the rows of `table` the hashes of the keys of their events. Memory: two numbers for each event with a row.
fn fill_keys(conn: &Connection, table: &str) -> rusqlite::Result<()> {
    let keys: Vec<(i64, i64)> = conn
        .prepare(&format!(
            "SELECT seq, key FROM event WHERE key IS NOT NULL AND seq IN (SELECT seq FROM {table})"
        ))?
        .query_map([], |row| {
            let hash = key_hash(row.get_ref(1)?.as_str()?);
            Ok((row.get(0)?, hash.0.cast_signed()))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut fill = conn.prepare(&format!("UPDATE {table} SET key = ?2 WHERE seq = ?1"))?;
    for (seq, key) in keys {
        fill.execute(params![seq, key])?;
    }
    Ok(())
}

fn to_format_3(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(FORMAT_3)?;
    chain(conn)?;
    conn.execute_batch(FORMAT_3_END)
}

/// Gives the entries of the audit log their hashes, in their order.
fn chain(conn: &Connection) -> rusqlite::Result<()> {
    let mut entries = conn
        .prepare("SELECT number, actor, action, object, detail, at FROM audit_2 ORDER BY number")?;
    let mut insert = conn.prepare_cached(audit::INSERT)?;
    let mut rows = entries.query([])?;
    let mut last = ORIGIN;
    while let Some(row) = rows.next()? {
        let number = uint(row.get(0)?);
        last = audit::add(&mut insert, &last, number, &audit::entry(row)?)?;
    }
    Ok(())
}

/// The format of a database that this version can read.
pub(super) fn format(conn: &Connection, path: &Path) -> Result<u32, Error> {
    let damaged = |what: String| Error::Damaged {
        path: path.into(),
        what,
    };
    let number = |sql: &str| {
        conn.query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| sqlite::open_error(path, &error))
    };
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let found = u32::try_from(version).map_err(|_| damaged(format!("its format is {version}")))?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application == 0 && found == 0 && tables == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(damaged(format!(
            "its application id is {application:#010x}, that of a store is {APPLICATION_ID:#010x}"
        )));
    }
    if found > FORMAT {
        return Err(Error::TooNew {
            path: path.into(),
            found,
            known: FORMAT,
        });
    }
    if found == 0 {
        return Err(damaged("it has no format number".into()));
    }
    Ok(found)
}
