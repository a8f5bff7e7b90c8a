//! Brings a database to the newest format, one step at a time, or says why it cannot be opened.
//!
//! `user_version` is the format. Each step runs in a transaction of its own together with the new number,
//! so that a crash leaves the old format or the next one. A file of another program, a newer format or a
//! damaged file is refused as it is; nothing is ever repaired on the way.

use std::path::Path;

use rusqlite::Connection;

use super::schema::{APPLICATION_ID, FORMAT_1};
use super::sqlite;
use crate::Error;

/// Step `i` leads from format `i` to `i + 1`.
const STEPS: &[&str] = &[FORMAT_1];

/// The newest format.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
const FORMAT: u32 = STEPS.len() as u32;

/// Makes sure that `conn`, which is the file at `path`, has the newest format.
pub(super) fn run(conn: &Connection, path: &Path) -> Result<(), Error> {
    let found = format(conn, path)?;
    for (to, step) in (found + 1..).zip(STEPS.iter().skip(found as usize)) {
        conn.execute_batch(&format!(
            "BEGIN EXCLUSIVE; {step} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {to}; COMMIT;"
        ))
        .map_err(|error| sqlite::open_error(path, &error))?;
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
