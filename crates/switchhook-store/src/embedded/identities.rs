//! Remembers identities, so that a repeat is found, at the price of appending.
//!
//! Identities are hashes. A table in their order would have one page changed per event, which costs four
//! to eight times the event itself. So a new identity is appended to `identity_log` and kept in memory,
//! and moves on to the table `identity`, which is in the order of the hashes, in rounds: each group moves as many
//! as it brought, those that lie next to each other, so that one changed page takes several.
//!
//! * A lookup asks memory first, then the table: one descent.
//! * After a round everything that was there at its beginning is in the table, and that part of the log goes.
//! * Expired ones are dropped on the way into the table. In the table, another walk removes them: two looked
//!   at for each new one, so that it stays below twice its live size and no step is long.
//! * Memory: at most [`RECENT_MAX`] plus one group. A start reads the log, at most twice as many short rows.

use std::collections::BTreeMap;
use std::ops::Bound;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use switchhook_core::id::EventId;
use uuid::Uuid;

use super::codec::int;
use crate::batch::DedupEntry;

/// Identities in memory before they move on: some 5 MiB. Tests use few, so that all of them see moves.
const RECENT_MAX: usize = if cfg!(test) { 4 } else { 65_536 };

/// Log rows that go per identity that came: the log shrinks faster than it grows.
const TRIM_PER_NEW: i64 = 4;

/// New identities between two steps of removal.
const STEP_AFTER: u32 = 1024;

/// Identities looked at in one step of removal.
const STEP_ROWS: u32 = 2 * STEP_AFTER;

/// An identity is kept this much longer than its window, in case the clock goes back a little.
const KEPT_LONGER_MS: u64 = 3_600_000;

const LOAD: &str = "SELECT seq, key, id, body_hash, expires_at FROM identity_log ORDER BY seq";
pub(super) const NOTE: &str =
    "INSERT INTO identity_log (seq, key, id, body_hash, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const FIND: &str = "SELECT id, body_hash, expires_at FROM identity WHERE key = ?1";
pub(super) const MOVE: &str =
    "INSERT OR REPLACE INTO identity (key, id, body_hash, expires_at) VALUES (?1, ?2, ?3, ?4)";
pub(super) const TRIM: &str = "DELETE FROM identity_log WHERE seq < ?1";
pub(super) const WALK: &str =
    "SELECT key, expires_at FROM identity WHERE key > ?1 ORDER BY key LIMIT ?2";
pub(super) const FORGET: &str = "DELETE FROM identity WHERE key = ?1";

type Key = [u8; 16];

/// The event that an identity belongs to.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: [u8; 16],
    body_hash: i64,
    expires_at: i64,
}

/// All identities that are remembered.
pub(super) struct Identities<'c> {
    conn: &'c Connection,
    note: CachedStatement<'c>,
    find: CachedStatement<'c>,
    recent: BTreeMap<Key, Known>,
    /// The round has moved all keys up to this one.
    moved_to: Key,
    /// Where the log ended when the round began.
    round_began: i64,
    /// All before this is in the table and may go from the log.
    trim_to: i64,
    /// The log begins here, or later.
    log_from: i64,
    /// Removal has walked to this key.
    walked_to: Key,
    /// New ones in this group, and since the last step of removal.
    new_in_group: u32,
    new_since_step: u32,
    now_ms: u64,
}

impl<'c> Identities<'c> {
    /// Goes on with what is written; the log of events ends at `end`.
    pub(super) fn load(conn: &'c Connection, end: i64) -> rusqlite::Result<Self> {
        let mut recent = BTreeMap::new();
        let mut statement = conn.prepare(LOAD)?;
        let mut rows = statement.query([])?;
        let mut log_from = end;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            log_from = log_from.min(seq);
            recent.insert(
                row.get(1)?,
                Known {
                    id: row.get(2)?,
                    body_hash: row.get(3)?,
                    expires_at: row.get(4)?,
                },
            );
        }
        // Somewhere else at each start, so that frequent restarts do not leave one part for ever.
        let [.., low] = end.to_be_bytes();
        Ok(Self {
            conn,
            note: conn.prepare_cached(NOTE)?,
            find: conn.prepare_cached(FIND)?,
            recent,
            moved_to: [0; 16],
            round_began: end,
            trim_to: log_from,
            log_from,
            walked_to: [low; 16],
            new_in_group: 0,
            new_since_step: 0,
            now_ms: 0,
        })
    }

    /// The first event with this identity and whether the bodies are the same, if it is remembered.
    pub(super) fn first(
        &mut self,
        entry: &DedupEntry,
        now_ms: u64,
    ) -> rusqlite::Result<Option<(EventId, bool)>> {
        // Not the latest time ever seen: the clock may have been ahead, and has come back.
        self.now_ms = now_ms;
        let known = match self.recent.get(&entry.key) {
            Some(known) => Some(*known),
            None => self.find_moved(&entry.key)?,
        };
        let Some(known) = known.filter(|known| int(now_ms) <= known.expires_at) else {
            return Ok(None);
        };
        Ok(Some((
            EventId(Uuid::from_bytes(known.id)),
            known.body_hash == entry.body_hash.cast_signed(),
        )))
    }

    fn find_moved(&mut self, key: &Key) -> rusqlite::Result<Option<Known>> {
        self.find
            .query_row([key.as_slice()], |row| {
                Ok(Known {
                    id: row.get(0)?,
                    body_hash: row.get(1)?,
                    expires_at: row.get(2)?,
                })
            })
            .optional()
    }

    /// Remembers that the event at `seq`, whose id is `id`, has this identity.
    pub(super) fn remember(
        &mut self,
        entry: &DedupEntry,
        now_ms: u64,
        seq: i64,
        id: EventId,
    ) -> rusqlite::Result<()> {
        let known = Known {
            id: id.0.into_bytes(),
            body_hash: entry.body_hash.cast_signed(),
            expires_at: int(now_ms.saturating_add(entry.window_ms)),
        };
        self.note.execute(params![
            seq,
            entry.key.as_slice(),
            known.id.as_slice(),
            known.body_hash,
            known.expires_at
        ])?;
        self.recent.insert(entry.key, known);
        self.new_in_group += 1;
        Ok(())
    }

    /// At the end of a group: moves what is too much for memory, trims the log, removes what has expired.
    pub(super) fn tidy(&mut self, end: i64) -> rusqlite::Result<()> {
        let new = std::mem::take(&mut self.new_in_group);
        if self.recent.len() > RECENT_MAX {
            self.move_some(self.recent.len() - RECENT_MAX, end)?;
        }
        if self.log_from < self.trim_to && new > 0 {
            self.log_from = self
                .trim_to
                .min(self.log_from + TRIM_PER_NEW * i64::from(new));
            self.conn.prepare_cached(TRIM)?.execute([self.log_from])?;
        }
        self.new_since_step += new;
        if self.new_since_step >= STEP_AFTER {
            self.new_since_step -= STEP_AFTER;
            self.remove_some_expired()?;
        }
        Ok(())
    }

    fn move_some(&mut self, count: usize, end: i64) -> rusqlite::Result<()> {
        let after = (Bound::Excluded(self.moved_to), Bound::Unbounded);
        let next: Vec<(Key, Known)> = self
            .recent
            .range(after)
            .take(count)
            .map(|(key, known)| (*key, *known))
            .collect();
        let live_from = int(self.now_ms.saturating_sub(KEPT_LONGER_MS));
        let mut insert = self.conn.prepare_cached(MOVE)?;
        for (key, known) in &next {
            if known.expires_at >= live_from {
                insert.execute(params![
                    key.as_slice(),
                    known.id.as_slice(),
                    known.body_hash,
                    known.expires_at
                ])?;
            }
            self.recent.remove(key);
        }
        if let Some((last, _)) = next.last()
            && next.len() == count
        {
            self.moved_to = *last;
        } else {
            self.moved_to = [0; 16];
            self.trim_to = self.round_began;
            self.round_began = end;
        }
        Ok(())
    }

    fn remove_some_expired(&mut self) -> rusqlite::Result<()> {
        let live_from = int(self.now_ms.saturating_sub(KEPT_LONGER_MS));
        let mut walk = self.conn.prepare_cached(WALK)?;
        let mut rows = walk.query(params![self.walked_to.as_slice(), STEP_ROWS])?;
        let (mut expired, mut last): (Vec<Key>, Option<Key>) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            let key = row.get(0)?;
            if row.get::<_, i64>(1)? < live_from {
                expired.push(key);
            }
            last = Some(key);
        }
        // At the end of the table it starts over.
        self.walked_to = last.unwrap_or_default();
        let mut forget = self.conn.prepare_cached(FORGET)?;
        for key in &expired {
            forget.execute([key.as_slice()])?;
        }
        Ok(())
    }
}
