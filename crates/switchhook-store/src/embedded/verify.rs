//! Checks a whole store: SQLite's own check, and what must be true of ours; and the audit log against its checkpoints.
//!
//! It only reads, and may run beside a gateway. It changes and repairs nothing. The time it takes grows with
//! the store.

use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;
use switchhook_core::audit::verifier::{Kept, Report as AuditReport, Verifier, Witnesses};
use switchhook_core::time::UnixMs;

use super::codec::uint;
use super::{audit, database, documents, migrate, sqlite};
use crate::Error;
use crate::batch::Room;

/// Problems reported, at most: after some the picture is clear.
const PROBLEMS_MAX: usize = 100;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Events in the log.
    pub events: u64,
    /// Attempts recorded.
    pub attempts: u64,
    /// Waiting deliveries.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// What is wrong, in words; empty when all is well.
    pub problems: Vec<String>,
}

/// The format from which it holds, what is wrong otherwise, and a query that gives the number of violations.
const INVARIANTS: &[(u32, &str, &str)] = &[
    (
        2,
        "offsets are missing from the log",
        "SELECT max(coalesce((SELECT max(seq) FROM event), 0), top) - events - (SELECT count(*) FROM event)
         FROM forgotten",
    ),
    (
        1,
        "events have a source or type without a name",
        "SELECT count(*) FROM event
         WHERE source NOT IN (SELECT id FROM name) OR kind NOT IN (SELECT id FROM name)",
    ),
    (
        2,
        "cursors are past the end of the log",
        "SELECT count(*) FROM progress WHERE committed >
         (SELECT max(coalesce((SELECT max(seq) FROM event), 0), top) + 1 FROM forgotten)",
    ),
    (
        2,
        "members of groups have no name",
        "SELECT count(*) FROM progress WHERE member IS NOT NULL AND member NOT IN (SELECT id FROM name)",
    ),
    (1, "waiting rows are of no event", "SELECT count(*) FROM waiting WHERE seq NOT IN (SELECT seq FROM event)"),
    (1, "dead letters are of no event", "SELECT count(*) FROM dead WHERE seq NOT IN (SELECT seq FROM event)"),
    (1, "attempts are of no event", "SELECT count(*) FROM attempt WHERE seq NOT IN (SELECT seq FROM event)"),
    (
        2,
        "identities are past the end of the log",
        "SELECT count(*) FROM identity_log WHERE seq >
         (SELECT max(coalesce((SELECT max(seq) FROM event), 0), top) FROM forgotten)",
    ),
    (
        1,
        "deliveries are both waiting and dead",
        "SELECT count(*) FROM dead d JOIN name s ON s.text = d.subscription
         JOIN waiting w ON w.seq = d.seq AND w.subscription = s.id AND w.chain = d.chain",
    ),
    (
        2,
        "counts of waiting rows are wrong",
        "SELECT count(*) FROM
         (SELECT 1 FROM
          (SELECT subscription, partition, waiting AS n FROM progress UNION ALL
           SELECT subscription, partition, -count(*) FROM waiting GROUP BY subscription, partition)
          GROUP BY subscription, partition HAVING sum(n) <> 0)",
    ),
    (
        1,
        "counts of dead letters are wrong",
        "SELECT count(*) FROM dead_count c LEFT JOIN
         (SELECT endpoint, reason, count(*) AS n FROM dead GROUP BY endpoint, reason) d USING (endpoint, reason)
         WHERE c.count <> coalesce(d.n, 0)",
    ),
    (
        2,
        "waiting rows are above the highest offset noted for their partition",
        "SELECT count(*) FROM waiting w LEFT JOIN progress p USING (subscription, partition)
         WHERE w.seq > coalesce(p.top, 0)",
    ),
    (
        2,
        "attempts are above the highest offset noted for their subscription",
        "SELECT count(*) FROM attempt a LEFT JOIN
         (SELECT subscription, max(top) AS top FROM progress GROUP BY subscription) p USING (subscription)
         WHERE a.seq > coalesce(p.top, 0)",
    ),
    (
        3,
        "documents are in no room",
        "SELECT count(*) FROM document WHERE room NOT BETWEEN 1 AND 7",
    ),
    (
        2,
        "numbers are missing from the audit log",
        "SELECT coalesce(max(number), 0) - count(*) FROM audit",
    ),
];

/// Checks the store in `dir`.
///
/// # Errors
/// When there is no store, it is of another format, or it is so damaged that it cannot be read.
pub fn verify(dir: &Path) -> Result<Report, Error> {
    verify_file(&database(dir))
}

/// Checks the audit log of the store in `dir` against the checkpoints in it and against `witnesses`.
///
/// # Errors
/// When there is no store, its format has no chain yet, or it is so damaged that it cannot be read.
pub fn verify_audit(dir: &Path, witnesses: Witnesses) -> Result<AuditReport, Error> {
    let path = database(dir);
    let (conn, format) = open(&path)?;
    if format < CHAINED {
        return Err(Error::Damaged {
            what: format!("format {format} has no chained audit log; the next start makes one"),
            path,
        });
    }
    let failed = |error| sqlite::read_error(&path, &error);
    conn.execute_batch("BEGIN").map_err(failed)?;
    let witnesses = with_own(&conn, witnesses).map_err(failed)?;
    follow(&conn, witnesses).map_err(failed)
}

/// The setting `id` of the store in `dir`, which may be under way: something that is not sealed.
///
/// # Errors
/// When there is no store, or it is so damaged that it cannot be read.
pub fn setting(dir: &Path, id: &str) -> Result<Option<Bytes>, Error> {
    let path = database(dir);
    let (conn, format) = open(&path)?;
    if format < CHAINED {
        return Ok(None);
    }
    let found = documents::get(&conn, Room::Setting, id, UnixMs(0));
    let found = found.map_err(|error| sqlite::read_error(&path, &error))?;
    Ok(found.map(|document| document.body))
}

/// The format from which audit entries have hashes.
const CHAINED: u32 = 3;

/// Checkpoints of the store that are read at a time.
const CHECKPOINTS_AT_A_TIME: usize = 100;

/// Adds the checkpoints that the store itself has.
fn with_own(conn: &Connection, mut witnesses: Witnesses) -> rusqlite::Result<Witnesses> {
    let mut after = None;
    loop {
        let room = Room::Checkpoint;
        let page = documents::list(
            conn,
            room,
            after.as_deref(),
            CHECKPOINTS_AT_A_TIME,
            UnixMs(0),
        )?;
        let Some(last) = page.last() else {
            return Ok(witnesses);
        };
        after = Some(last.id.clone());
        for document in &page {
            let note = String::from_utf8_lossy(&document.body);
            witnesses.add(Kept::Inside((&*document.id).into()), &note);
        }
    }
}

/// Looks at every entry in the order of the numbers.
fn follow(conn: &Connection, witnesses: Witnesses) -> rusqlite::Result<AuditReport> {
    let mut verifier = Verifier::new(witnesses);
    let mut statement = conn.prepare(audit::ALL)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let entry = audit::entry(row)?;
        // What is no hash is not that of the entry either.
        let hash = row.get::<_, Vec<u8>>(6)?.try_into().unwrap_or_default();
        verifier.entry(&entry.hashed(uint(row.get(0)?)), &hash);
    }
    Ok(verifier.finish())
}

/// Opens the file at `path` for reading, with its format.
fn open(path: &Path) -> Result<(Connection, u32), Error> {
    let conn = sqlite::open_reader(path).map_err(|error| sqlite::open_error(path, &error))?;
    let format = migrate::format(&conn, path)?;
    if format == 0 {
        return Err(Error::Damaged {
            path: path.into(),
            what: "it is empty".into(),
        });
    }
    Ok((conn, format))
}

/// Checks the store in the file at `path`.
pub(super) fn verify_file(path: &Path) -> Result<Report, Error> {
    let (conn, format) = open(path)?;
    let failed = |error| sqlite::read_error(path, &error);
    conn.execute_batch("BEGIN").map_err(failed)?;
    let mut report = Report {
        problems: integrity(&conn).map_err(failed)?,
        ..Report::default()
    };
    if report.problems.is_empty() {
        for (_, what, sql) in INVARIANTS.iter().filter(|(from, ..)| format >= *from) {
            let violations: u64 = number(&conn, sql).map_err(failed)?;
            if violations > 0 {
                report.problems.push(format!("{violations} {what}"));
            }
        }
        report.events = number(&conn, "SELECT count(*) FROM event").map_err(failed)?;
        report.attempts = number(&conn, "SELECT count(*) FROM attempt").map_err(failed)?;
        report.waiting = number(&conn, "SELECT count(*) FROM waiting").map_err(failed)?;
        report.dead = number(&conn, "SELECT count(*) FROM dead").map_err(failed)?;
        if format >= CHAINED {
            let audit = follow(&conn, Witnesses::default()).map_err(failed)?;
            let breaks = audit.findings.iter().map(ToString::to_string);
            report.problems.extend(breaks);
        }
    }
    Ok(report)
}

fn integrity(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems: Vec<String> = conn
        .prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    problems.retain(|line| line != "ok");
    Ok(problems)
}

fn number(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let found: i64 = conn.query_row(sql, [], |row| row.get(0))?;
    Ok(found.unsigned_abs())
}
