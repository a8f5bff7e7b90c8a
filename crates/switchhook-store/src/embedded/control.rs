//! What the management API makes and keeps: resources, pauses, jobs, layouts; and the breakers, which are as few
//! and as small. Each is written and read here.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use switchhook_core::breaker::{Cause, Record, State};
use switchhook_core::time::UnixMs;

use super::codec::{bad, int, uint};
use super::read::{code, time};
use crate::batch::{JOBS_MAX, Job, Layout, Pause, PauseChange, Resource, ResourceChange};

/// The version goes on over a delete, which leaves a row without a body.
const PUT: &str = "INSERT INTO resource (kind, name, version, body, managed_by, updated_at)
     VALUES (?1, ?2, 1, ?3, ?4, ?5)
     ON CONFLICT (kind, name) DO UPDATE SET version = version + 1, body = excluded.body,
     managed_by = excluded.managed_by, updated_at = excluded.updated_at";
const DELETE: &str =
    "UPDATE resource SET version = version + 1, body = NULL, managed_by = ?3, updated_at = ?4
     WHERE kind = ?1 AND name = ?2 AND body IS NOT NULL";
const SAVE_BREAKER: &str = "INSERT OR REPLACE INTO breaker
     (endpoint, state, cause, since, until, failed_probes, reason, pause_until)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const LAYOUT: &str = "SELECT text FROM layout WHERE subscription = ?1";
const SAVE_LAYOUT: &str = "INSERT OR REPLACE INTO layout (subscription, text) VALUES (?1, ?2)";
const PAUSE: &str = "INSERT OR REPLACE INTO pause (subscription, at, reason) VALUES (?1, ?2, ?3)";
const RESUME: &str = "DELETE FROM pause WHERE subscription = ?1";
const SAVE_JOB: &str =
    "INSERT OR REPLACE INTO job (id, is_over, body, updated_at) VALUES (?1, ?2, ?3, ?4)";
/// All but the newest, where one that is over counts as older than one that is not.
const FORGET_JOBS: &str = "DELETE FROM job WHERE id IN
     (SELECT id FROM job ORDER BY is_over, id DESC LIMIT -1 OFFSET ?1)";

/// Makes, changes or deletes a resource.
pub(super) fn change(conn: &Connection, change: &ResourceChange) -> rusqlite::Result<()> {
    let (kind, name, at) = (&*change.kind, &*change.name, int(change.at.0));
    let managed_by = change.managed_by.as_deref();
    match change.body.as_deref() {
        Some(body) => conn
            .prepare_cached(PUT)?
            .execute(params![kind, name, body, managed_by, at]),
        None => conn
            .prepare_cached(DELETE)?
            .execute(params![kind, name, managed_by, at]),
    }
    .map(drop)
}

/// Writes what of a gate outlives a restart.
pub(super) fn save_breaker(conn: &Connection, record: &Record) -> rusqlite::Result<()> {
    let values = params![
        &*record.endpoint,
        record.state.code(),
        record.cause.map(Cause::code),
        int(record.since.0),
        record.until.map(|until| int(until.0)),
        record.failed_probes,
        record.reason.as_deref(),
        int(record.pause_until.0),
    ];
    conn.prepare_cached(SAVE_BREAKER)?.execute(values).map(drop)
}

/// Keeps the text of a layout, and says whether there was another one before.
pub(super) fn save_layout(conn: &Connection, layout: &Layout) -> rusqlite::Result<bool> {
    let (name, text) = (&*layout.subscription, &*layout.text);
    let before: Option<String> = conn
        .prepare_cached(LAYOUT)?
        .query_row([name], |row| row.get(0))
        .optional()?;
    conn.prepare_cached(SAVE_LAYOUT)?.execute([name, text])?;
    Ok(before.is_some_and(|before| before != text))
}

/// Pauses or resumes a subscription.
pub(super) fn pause(conn: &Connection, change: &PauseChange) -> rusqlite::Result<()> {
    let name = &*change.subscription;
    match &change.pause {
        Some(Pause { at, reason }) => {
            conn.prepare_cached(PAUSE)?
                .execute(params![name, int(at.0), reason.as_deref()])
        }
        None => conn.prepare_cached(RESUME)?.execute([name]),
    }
    .map(drop)
}

/// Writes jobs, and forgets those that are too many.
pub(super) fn save_jobs(conn: &Connection, jobs: &[Job]) -> rusqlite::Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let mut save = conn.prepare_cached(SAVE_JOB)?;
    for job in jobs {
        save.execute(params![
            &*job.id,
            job.is_over,
            &*job.body,
            int(job.updated_at.0)
        ])?;
    }
    conn.prepare_cached(FORGET_JOBS)?
        .execute([i64::try_from(JOBS_MAX).unwrap_or(i64::MAX)])
        .map(drop)
}

pub(super) fn resources(conn: &Connection) -> rusqlite::Result<Vec<Resource>> {
    conn.prepare_cached(
        "SELECT kind, name, version, body, managed_by, updated_at FROM resource ORDER BY kind, name",
    )?
    .query_map([], |row| {
        Ok(Resource {
            kind: row.get(0)?,
            name: row.get(1)?,
            version: uint(row.get(2)?),
            body: row.get(3)?,
            managed_by: row.get(4)?,
            updated_at: time(row, 5)?,
        })
    })?
    .collect()
}

pub(super) fn breakers(conn: &Connection) -> rusqlite::Result<Vec<Record>> {
    conn.prepare_cached(
        "SELECT endpoint, state, cause, since, until, failed_probes, reason, pause_until
         FROM breaker ORDER BY endpoint",
    )?
    .query_map([], |row| {
        let cause: Option<u8> = row.get(2)?;
        Ok(Record {
            endpoint: row.get(0)?,
            state: code(row, 1, State::from_code)?,
            cause: cause
                .map(|cause| Cause::from_code(cause).ok_or_else(|| bad("unknown cause")))
                .transpose()?,
            since: time(row, 3)?,
            until: row.get::<_, Option<i64>>(4)?.map(|at| UnixMs(uint(at))),
            failed_probes: row.get(5)?,
            reason: row.get(6)?,
            pause_until: time(row, 7)?,
        })
    })?
    .collect()
}

pub(super) fn layouts(conn: &Connection) -> rusqlite::Result<BTreeMap<Arc<str>, Arc<str>>> {
    conn.prepare_cached("SELECT subscription, text FROM layout")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn pauses(conn: &Connection) -> rusqlite::Result<BTreeMap<Arc<str>, Pause>> {
    conn.prepare_cached("SELECT subscription, at, reason FROM pause")?
        .query_map([], |row| {
            let pause = Pause {
                at: time(row, 1)?,
                reason: row.get(2)?,
            };
            Ok((row.get(0)?, pause))
        })?
        .collect()
}

pub(super) fn jobs(conn: &Connection) -> rusqlite::Result<Vec<Job>> {
    conn.prepare_cached("SELECT id, is_over, body, updated_at FROM job ORDER BY id DESC")?
        .query_map([], |row| {
            Ok(Job {
                id: row.get(0)?,
                is_over: row.get(1)?,
                body: row.get(2)?,
                updated_at: time(row, 3)?,
            })
        })?
        .collect()
}
