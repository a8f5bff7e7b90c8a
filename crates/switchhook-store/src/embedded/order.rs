//! Rows that wait behind an earlier event of their key: made due when their turn comes, and counted by key at a start.
//!
//! How many may go at a time is the engine's business; finding them must cost the same however many wait. So
//! the next of a key are at the front of `waiting_order`, and the next of all keys are those in `waiting_due` whose time is
//! [`UnixMs::NEVER`](switchhook_core::time::UnixMs::NEVER): both in the order of the log.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use switchhook_core::delivery::{Release, WaitReason};
use switchhook_core::engine::KeyRows;
use switchhook_core::group::KeyHash;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::codec::{int, key_bits, key_of, uint};
use super::names::{Interner, id_of};
use super::read::code;
use crate::keys::Keys;

/// The codes stand in the text, here and below: only so does SQLite see that the partial index serves it.
pub(super) const RELEASE_KEY: &str = "UPDATE waiting SET due_at = ?5
     WHERE subscription = ?1 AND seq IN
     (SELECT seq FROM waiting WHERE subscription = ?1 AND partition = ?2 AND key = ?3
      AND reason = 5 AND due_at = 9223372036854775807 ORDER BY seq LIMIT ?4)";
pub(super) const RELEASE_ALL: &str = "UPDATE waiting SET due_at = ?4
     WHERE subscription = ?1 AND seq IN
     (SELECT seq FROM waiting INDEXED BY waiting_due WHERE subscription = ?1 AND partition = ?2
      AND reason = 5 AND due_at = 9223372036854775807 ORDER BY seq LIMIT ?3)";
pub(super) const KEYS: &str = "SELECT key, seq, reason, due_at FROM waiting
     WHERE subscription = ?1 AND partition = ?2 AND key IS NOT NULL";
pub(super) const HALTING: &str = "SELECT key, seq FROM dead WHERE subscription = ?1 AND partition = ?2 AND gap = 3 AND key IS NOT NULL";

/// Makes held rows due.
pub(super) fn release(
    conn: &Connection,
    names: &mut Interner<'_>,
    release: &Release,
) -> rusqlite::Result<()> {
    let (subscription, partition) = (names.id(&release.subscription)?, release.partition);
    let (items, due_at) = (release.items, int(release.due_at.0));
    match key_bits(release.key) {
        Some(key) => conn.prepare_cached(RELEASE_KEY)?.execute(params![
            subscription,
            partition,
            key,
            items,
            due_at
        ])?,
        None => conn.prepare_cached(RELEASE_ALL)?.execute(params![
            subscription,
            partition,
            items,
            due_at
        ])?,
    };
    Ok(())
}

/// What keeps the keys of a partition from going on.
pub(super) fn keys(
    conn: &Connection,
    subscription: &str,
    partition: u16,
) -> rusqlite::Result<BTreeMap<KeyHash, KeyRows>> {
    let mut keys = Keys::default();
    if let Some(id) = id_of(conn, subscription)? {
        let mut statement = conn.prepare_cached(KEYS)?;
        let mut rows = statement.query(params![id, partition])?;
        while let Some(row) = rows.next()? {
            let (Some(key), offset) = (key_of(row.get(0)?), Offset(uint(row.get(1)?))) else {
                continue;
            };
            let due_at = UnixMs(uint(row.get(3)?));
            keys.waits(key, offset, code(row, 2, WaitReason::from_code)?, due_at);
        }
    }
    let mut statement = conn.prepare_cached(HALTING)?;
    let mut rows = statement.query(params![subscription, partition])?;
    while let Some(row) = rows.next()? {
        if let Some(key) = key_of(row.get(0)?) {
            keys.halts(key, Offset(uint(row.get(1)?)));
        }
    }
    Ok(keys.sorted())
}
