//! Documents: what the server keeps by room and id, written, read, and taken away when it has expired.

use rusqlite::{Connection, OptionalExtension, Row, params};
use switchhook_core::time::UnixMs;

use super::codec::{int, uint};
use super::read::{code, time};
use crate::batch::{Document, DocumentChange, Room};

pub(super) const PUT: &str =
    "INSERT OR REPLACE INTO document (room, id, updated_at, expires_at, body)
     VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const DELETE: &str = "DELETE FROM document WHERE room = ?1 AND id = ?2";
pub(super) const GET: &str = "SELECT room, id, updated_at, expires_at, body FROM document
     WHERE room = ?1 AND id = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
pub(super) const LIST: &str = "SELECT room, id, updated_at, expires_at, body FROM document
     WHERE room = ?1 AND id >= ?2 AND (expires_at IS NULL OR expires_at > ?3) ORDER BY id LIMIT ?4";
pub(super) const LIST_AFTER: &str = "SELECT room, id, updated_at, expires_at, body FROM document
     WHERE room = ?1 AND id > ?2 AND (expires_at IS NULL OR expires_at > ?3) ORDER BY id LIMIT ?4";
/// `IS NOT NULL` stands in the text: only so does SQLite see that the partial index serves it.
pub(super) const EXPIRED: &str = "SELECT room, id FROM document
     WHERE expires_at IS NOT NULL AND expires_at <= ?1 ORDER BY expires_at, room, id LIMIT ?2";

/// Makes, changes or deletes a document.
pub(super) fn change(conn: &Connection, change: &DocumentChange) -> rusqlite::Result<()> {
    let DocumentChange {
        room,
        id,
        body,
        at,
        expires_at,
    } = change;
    match body {
        Some(body) => conn.prepare_cached(PUT)?.execute(params![
            room.code(),
            &**id,
            int(at.0),
            expires_at.map(|at| int(at.0)),
            &**body
        ]),
        None => conn
            .prepare_cached(DELETE)?
            .execute(params![room.code(), &**id]),
    }
    .map(drop)
}

/// Takes away at most `items` documents that have expired by `now`, and says how many it were.
pub(super) fn sweep(conn: &Connection, now: UnixMs, items: u32) -> rusqlite::Result<u64> {
    let expired: Vec<(u8, Box<str>)> = conn
        .prepare_cached(EXPIRED)?
        .query_map(params![int(now.0), items], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = conn.prepare_cached(DELETE)?;
    for (room, id) in &expired {
        delete.execute(params![room, &**id])?;
    }
    Ok(expired.len() as u64)
}

pub(super) fn list(
    conn: &Connection,
    room: Room,
    after: Option<&str>,
    items: usize,
    now: UnixMs,
) -> rusqlite::Result<Vec<Document>> {
    let sql = if after.is_some() { LIST_AFTER } else { LIST };
    let items = i64::try_from(items).unwrap_or(i64::MAX);
    let place = params![room.code(), after.unwrap_or_default(), int(now.0), items];
    conn.prepare_cached(sql)?
        .query_map(place, document)?
        .collect()
}

pub(super) fn get(
    conn: &Connection,
    room: Room,
    id: &str,
    now: UnixMs,
) -> rusqlite::Result<Option<Document>> {
    conn.prepare_cached(GET)?
        .query_row(params![room.code(), id, int(now.0)], document)
        .optional()
}

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        room: code(row, 0, Room::from_code)?,
        id: row.get(1)?,
        updated_at: time(row, 2)?,
        expires_at: row.get::<_, Option<i64>>(3)?.map(|at| UnixMs(uint(at))),
        body: row.get::<_, Vec<u8>>(4)?.into(),
    })
}
