//! Writes what dispatch has done, and what an operator does to dead letters.
//!
//! Counts of dead letters are kept in memory, changed with the rows, and written once per group; so is the progress
//! of each partition ([`Progress`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use switchhook_core::delivery::{Attempt, Cursor, Dead, DeliveryKey, Waiting};
use switchhook_core::time::UnixMs;

use super::codec::{int, key_bits, outcome_code};
use super::control;
use super::names::Interner;
use super::progress::{Lane, Progress};
use super::retention::Retention;
use crate::batch::{Layout, Replay};

pub(super) const INSERT_ATTEMPT: &str = "INSERT OR REPLACE INTO attempt
     (seq, subscription, chain, n, endpoint, at, duration_ms, outcome, rule, verdict, detail, next_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
pub(super) const INSERT_WAITING: &str = "INSERT OR IGNORE INTO waiting
     (seq, subscription, partition, key, chain, attempts, counted, due_at, deadline, delay_ms, reason)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
pub(super) const UPDATE_WAITING: &str = "UPDATE waiting SET key = ?4, chain = ?5, attempts = ?6,
     counted = ?7, due_at = ?8, deadline = ?9, delay_ms = ?10, reason = ?11
     WHERE seq = ?1 AND subscription = ?2 AND partition = ?3";
pub(super) const DELETE_WAITING: &str =
    "DELETE FROM waiting WHERE seq = ?1 AND subscription = ?2 RETURNING partition";
pub(super) const INSERT_DEAD: &str = "INSERT INTO dead
     (seq, subscription, chain, attempts, at, reason, outcome, endpoint, kind, detail, partition, key, gap)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT kind FROM event WHERE seq = ?1), ?9, ?10, ?11, ?12)";
pub(super) const DELETE_DEAD: &str = "DELETE FROM dead
     WHERE seq = ?1 AND subscription = ?2 AND chain = coalesce(?3, chain) RETURNING endpoint, reason";
/// Whether a delivery can be made again, and the highest chain that is known of it: its event must be there, and
/// it must not wait.
pub(super) const LAST_CHAIN: &str =
    "SELECT max(coalesce((SELECT max(chain) FROM attempt WHERE seq = ?1 AND subscription = ?2), -1),
                coalesce((SELECT max(chain) FROM dead WHERE seq = ?1 AND subscription = ?3), -1))
     WHERE EXISTS (SELECT 1 FROM event WHERE seq = ?1)
       AND NOT EXISTS (SELECT 1 FROM waiting WHERE seq = ?1 AND subscription = ?2)";
/// The time is `UnixMs::NEVER`: such a row has none that could be moved.
const REBASE: &str = "UPDATE waiting SET due_at = ?1 + delay_ms
     WHERE due_at > ?1 + delay_ms AND due_at < 9223372036854775807";
const SAVE_DEAD_COUNT: &str =
    "INSERT OR REPLACE INTO dead_count (endpoint, reason, count) VALUES (?1, ?2, ?3)";

/// Endpoint name and code of the reason.
type DeadGroup = (Arc<str>, u8);

/// Writes records.
pub(super) struct Recorder<'c> {
    conn: &'c Connection,
    attempt: CachedStatement<'c>,
    insert_waiting: CachedStatement<'c>,
    update_waiting: CachedStatement<'c>,
    delete_waiting: CachedStatement<'c>,
    progress: Progress<'c>,
    dead: BTreeMap<DeadGroup, i64>,
    dead_changed: BTreeSet<DeadGroup>,
    pub(super) retention: Retention,
}

impl<'c> Recorder<'c> {
    /// Goes on with the counts as they are written.
    pub(super) fn load(conn: &'c Connection) -> rusqlite::Result<Self> {
        let dead = conn
            .prepare("SELECT endpoint, reason, count FROM dead_count")?
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            conn,
            attempt: conn.prepare_cached(INSERT_ATTEMPT)?,
            insert_waiting: conn.prepare_cached(INSERT_WAITING)?,
            update_waiting: conn.prepare_cached(UPDATE_WAITING)?,
            delete_waiting: conn.prepare_cached(DELETE_WAITING)?,
            progress: Progress::load(conn)?,
            dead,
            dead_changed: BTreeSet::new(),
            retention: Retention::default(),
        })
    }

    pub(super) fn attempt(
        &mut self,
        names: &mut Interner<'_>,
        attempt: &Attempt,
    ) -> rusqlite::Result<()> {
        let (subscription, _) = self.touch(names, &attempt.key, attempt.partition)?;
        self.attempt.execute(params![
            int(attempt.key.offset.0),
            subscription,
            attempt.chain,
            attempt.n,
            names.id(&attempt.endpoint)?,
            int(attempt.at.0),
            attempt.duration_ms,
            outcome_code(attempt.outcome),
            names.id(&attempt.rule)?,
            attempt.verdict.code(),
            attempt.detail.as_deref(),
            attempt.next_at.map(|at| int(at.0)),
        ])?;
        Ok(())
    }

    /// Writes a waiting row, over the one that is there if there is one.
    pub(super) fn wait(&mut self, names: &mut Interner<'_>, row: &Waiting) -> rusqlite::Result<()> {
        let lane = self.touch(names, &row.key, row.place.partition)?;
        let values = params![
            int(row.key.offset.0),
            lane.0,
            lane.1,
            key_bits(row.place.key),
            row.chain,
            row.attempts,
            row.counted,
            int(row.due_at.0),
            int(row.deadline.0),
            int(row.delay_ms),
            row.reason.code(),
        ];
        // Later attempts mostly find their row: then one statement is enough.
        if row.attempts > 1 && self.update_waiting.execute(values)? > 0 {
            return Ok(());
        }
        if self.insert_waiting.execute(values)? == 0 {
            if self.update_waiting.execute(values)? > 0 {
                return Ok(());
            }
            // It is in another partition.
            self.settle(names, &row.key)?;
            self.insert_waiting.execute(values)?;
        }
        self.progress.count(lane, 1);
        Ok(())
    }

    /// Removes the waiting row of a delivery, if it has one.
    pub(super) fn settle(
        &mut self,
        names: &mut Interner<'_>,
        key: &DeliveryKey,
    ) -> rusqlite::Result<()> {
        let (seq, subscription) = (int(key.offset.0), names.id(&key.subscription)?);
        let partition: Option<u16> = self
            .delete_waiting
            .query_row([seq, subscription], |row| row.get(0))
            .optional()?;
        if let Some(partition) = partition {
            self.progress.count((subscription, partition), -1);
            self.retention.free(seq);
        }
        Ok(())
    }

    /// Writes a dead letter, over the one that is there if there is one, and ends the delivery's waiting row.
    pub(super) fn bury(&mut self, names: &mut Interner<'_>, dead: &Dead) -> rusqlite::Result<()> {
        self.touch(names, &dead.key, dead.place.partition)?;
        self.settle(names, &dead.key)?;
        self.remove_dead(&dead.key, None)?;
        self.conn.prepare_cached(INSERT_DEAD)?.execute(params![
            int(dead.key.offset.0),
            &*dead.key.subscription,
            dead.chain,
            dead.attempts,
            int(dead.at.0),
            dead.reason.code(),
            dead.outcome.map(outcome_code),
            &*dead.endpoint,
            dead.detail.as_deref(),
            dead.place.partition,
            key_bits(dead.place.key),
            dead.gap.code(),
        ])?;
        self.count_dead((dead.endpoint.clone(), dead.reason.code()), 1);
        Ok(())
    }

    /// Removes a dead letter, if it is there with that chain (`None`: any), and says whether it was.
    pub(super) fn remove_dead(
        &mut self,
        key: &DeliveryKey,
        chain: Option<u16>,
    ) -> rusqlite::Result<bool> {
        self.remove_dead_at(int(key.offset.0), &key.subscription, chain)
    }

    /// The same, by the number of the offset.
    pub(super) fn remove_dead_at(
        &mut self,
        seq: i64,
        subscription: &str,
        chain: Option<u16>,
    ) -> rusqlite::Result<bool> {
        let group: Option<DeadGroup> = self
            .conn
            .prepare_cached(DELETE_DEAD)?
            .query_row(params![seq, subscription, chain], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let there = group.is_some();
        if let Some(group) = group {
            self.count_dead(group, -1);
            self.retention.free(seq);
        }
        Ok(there)
    }

    /// Puts a delivery back to work, and says whether it could be.
    pub(super) fn replay(
        &mut self,
        names: &mut Interner<'_>,
        replay: &Replay,
    ) -> rusqlite::Result<bool> {
        let row = &replay.waiting;
        if replay.dead_chain.is_some() {
            let there = self.remove_dead(&row.key, replay.dead_chain)?;
            if there {
                self.wait(names, row)?;
            }
            return Ok(there);
        }
        let (seq, subscription) = (int(row.key.offset.0), names.id(&row.key.subscription)?);
        let last: Option<i32> = self
            .conn
            .prepare_cached(LAST_CHAIN)?
            .query_row(params![seq, subscription, &*row.key.subscription], |row| {
                row.get(0)
            })
            .optional()?;
        let Some(last) = last else {
            return Ok(false);
        };
        self.remove_dead(&row.key, None)?;
        let next = Waiting {
            chain: u16::try_from(last + 1).unwrap_or(u16::MAX),
            ..row.clone()
        };
        self.wait(names, &next)?;
        Ok(true)
    }

    /// Sets the committed offset and the member of a partition.
    pub(super) fn commit(
        &mut self,
        names: &mut Interner<'_>,
        cursor: &Cursor,
    ) -> rusqlite::Result<()> {
        let lane = (names.id(&cursor.subscription)?, cursor.partition);
        let member = cursor
            .member
            .as_ref()
            .map(|name| names.id(name))
            .transpose()?;
        self.progress.commit(lane, int(cursor.offset.0), member);
        Ok(())
    }

    /// Gives a subscription other partitions.
    pub(super) fn lay_out(
        &mut self,
        names: &mut Interner<'_>,
        layout: &Layout,
    ) -> rusqlite::Result<()> {
        let moves = control::save_layout(self.conn, layout)?;
        let subscription = names.id(&layout.subscription)?;
        self.progress
            .lay_out(subscription, layout.partitions, moves)
    }

    /// Writes the counts and progress that have changed.
    pub(super) fn save(&mut self) -> rusqlite::Result<()> {
        self.progress.save()?;
        let mut save = self.conn.prepare_cached(SAVE_DEAD_COUNT)?;
        for group in std::mem::take(&mut self.dead_changed) {
            let count = self.dead.get(&group).copied().unwrap_or_default();
            save.execute(params![&*group.0, group.1, count])?;
        }
        Ok(())
    }

    /// The numbers of subscription and partition, after noting that they have a record at this offset.
    fn touch(
        &mut self,
        names: &mut Interner<'_>,
        key: &DeliveryKey,
        partition: u16,
    ) -> rusqlite::Result<Lane> {
        let lane = (names.id(&key.subscription)?, partition);
        self.progress.touch(lane, int(key.offset.0));
        Ok(lane)
    }

    fn count_dead(&mut self, group: DeadGroup, change: i64) {
        *self.dead.entry(group.clone()).or_default() += change;
        self.dead_changed.insert(group);
    }
}

/// After the clock went back to `now`: no row waits longer than its planned delay from there.
pub(super) fn rebase(conn: &Connection, now: UnixMs) -> rusqlite::Result<()> {
    conn.prepare_cached(REBASE)?.execute([int(now.0)]).map(drop)
}
