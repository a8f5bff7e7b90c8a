//! Writes what dispatch has done, and what an operator does to dead letters.
//!
//! Counts and progress are kept in memory, changed with the rows, and written once per group: a group of
//! 500 completions for one subscription writes its progress row once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use switchhook_core::delivery::{Attempt, Dead, DeliveryKey, Waiting};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::codec::{int, outcome_code};
use super::names::Interner;
use crate::batch::Replay;

pub(super) const INSERT_ATTEMPT: &str = "INSERT OR REPLACE INTO attempt
     (seq, subscription, chain, n, endpoint, at, duration_ms, outcome, rule, verdict, detail, next_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
pub(super) const INSERT_WAITING: &str = "INSERT OR IGNORE INTO waiting
     (seq, subscription, chain, attempts, counted, due_at, deadline, delay_ms, reason)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const UPDATE_WAITING: &str =
    "UPDATE waiting SET chain = ?3, attempts = ?4, counted = ?5,
     due_at = ?6, deadline = ?7, delay_ms = ?8, reason = ?9 WHERE seq = ?1 AND subscription = ?2";
pub(super) const DELETE_WAITING: &str = "DELETE FROM waiting WHERE seq = ?1 AND subscription = ?2";
pub(super) const INSERT_DEAD: &str = "INSERT INTO dead
     (seq, subscription, chain, attempts, at, reason, outcome, endpoint, kind, detail)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT kind FROM event WHERE seq = ?1), ?9)";
pub(super) const DELETE_DEAD: &str = "DELETE FROM dead
     WHERE seq = ?1 AND subscription = ?2 AND chain = coalesce(?3, chain) RETURNING endpoint, reason";
const REBASE: &str = "UPDATE waiting SET due_at = ?1 + delay_ms WHERE due_at > ?1 + delay_ms";
const SAVE_PROGRESS: &str =
    "INSERT OR REPLACE INTO progress (subscription, committed, top, waiting)
     VALUES (?1, ?2, ?3, ?4)";
const SAVE_DEAD_COUNT: &str =
    "INSERT OR REPLACE INTO dead_count (endpoint, reason, count) VALUES (?1, ?2, ?3)";

/// How far a subscription has got, and what it has.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    committed: Option<i64>,
    /// No record has a higher offset.
    top: i64,
    waiting: i64,
}

/// Endpoint name and code of the reason.
type DeadGroup = (Arc<str>, u8);

/// Writes records.
pub(super) struct Recorder<'c> {
    conn: &'c Connection,
    attempt: CachedStatement<'c>,
    insert_waiting: CachedStatement<'c>,
    update_waiting: CachedStatement<'c>,
    delete_waiting: CachedStatement<'c>,
    progress: BTreeMap<i64, Progress>,
    dead: BTreeMap<DeadGroup, i64>,
    progress_changed: BTreeSet<i64>,
    dead_changed: BTreeSet<DeadGroup>,
}

impl<'c> Recorder<'c> {
    /// Goes on with the counts as they are written.
    pub(super) fn load(conn: &'c Connection) -> rusqlite::Result<Self> {
        let progress = conn
            .prepare("SELECT subscription, committed, top, waiting FROM progress")?
            .query_map([], |row| {
                let found = Progress {
                    committed: row.get(1)?,
                    top: row.get(2)?,
                    waiting: row.get(3)?,
                };
                Ok((row.get(0)?, found))
            })?
            .collect::<rusqlite::Result<_>>()?;
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
            progress,
            dead,
            progress_changed: BTreeSet::new(),
            dead_changed: BTreeSet::new(),
        })
    }

    pub(super) fn attempt(
        &mut self,
        names: &mut Interner<'_>,
        attempt: &Attempt,
    ) -> rusqlite::Result<()> {
        let subscription = self.touch(names, &attempt.key)?;
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
        let subscription = self.touch(names, &row.key)?;
        let values = params![
            int(row.key.offset.0),
            subscription,
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
            self.update_waiting.execute(values)?;
            return Ok(());
        }
        self.progress.entry(subscription).or_default().waiting += 1;
        Ok(())
    }

    /// Removes the waiting row of a delivery, if it has one.
    pub(super) fn settle(
        &mut self,
        names: &mut Interner<'_>,
        key: &DeliveryKey,
    ) -> rusqlite::Result<()> {
        let subscription = names.id(&key.subscription)?;
        if self
            .delete_waiting
            .execute(params![int(key.offset.0), subscription])?
            > 0
        {
            self.progress.entry(subscription).or_default().waiting -= 1;
            self.progress_changed.insert(subscription);
        }
        Ok(())
    }

    /// Writes a dead letter, over the one that is there if there is one, and ends the delivery's waiting row.
    pub(super) fn bury(&mut self, names: &mut Interner<'_>, dead: &Dead) -> rusqlite::Result<()> {
        self.touch(names, &dead.key)?;
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
        let group: Option<DeadGroup> = self
            .conn
            .prepare_cached(DELETE_DEAD)?
            .query_row(
                params![int(key.offset.0), &*key.subscription, chain],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let there = group.is_some();
        if let Some(group) = group {
            self.count_dead(group, -1);
        }
        Ok(there)
    }

    /// Puts a dead letter back to work, and says whether it was there.
    pub(super) fn replay(
        &mut self,
        names: &mut Interner<'_>,
        replay: &Replay,
    ) -> rusqlite::Result<bool> {
        let there = self.remove_dead(&replay.waiting.key, Some(replay.dead_chain))?;
        if there {
            self.wait(names, &replay.waiting)?;
        }
        Ok(there)
    }

    /// Sets the committed offset of a subscription.
    pub(super) fn commit(
        &mut self,
        names: &mut Interner<'_>,
        subscription: &Arc<str>,
        offset: Offset,
    ) -> rusqlite::Result<()> {
        let subscription = names.id(subscription)?;
        self.progress.entry(subscription).or_default().committed = Some(int(offset.0));
        self.progress_changed.insert(subscription);
        Ok(())
    }

    /// Writes the counts and progress that have changed.
    pub(super) fn save(&mut self) -> rusqlite::Result<()> {
        let mut save = self.conn.prepare_cached(SAVE_PROGRESS)?;
        for subscription in std::mem::take(&mut self.progress_changed) {
            let Progress {
                committed,
                top,
                waiting,
            } = self
                .progress
                .get(&subscription)
                .copied()
                .unwrap_or_default();
            save.execute(params![subscription, committed, top, waiting])?;
        }
        let mut save = self.conn.prepare_cached(SAVE_DEAD_COUNT)?;
        for group in std::mem::take(&mut self.dead_changed) {
            let count = self.dead.get(&group).copied().unwrap_or_default();
            save.execute(params![&*group.0, group.1, count])?;
        }
        Ok(())
    }

    /// The subscription's number, after noting that it has a record at this offset.
    fn touch(&mut self, names: &mut Interner<'_>, key: &DeliveryKey) -> rusqlite::Result<i64> {
        let subscription = names.id(&key.subscription)?;
        let progress = self.progress.entry(subscription).or_default();
        progress.top = progress.top.max(int(key.offset.0));
        self.progress_changed.insert(subscription);
        Ok(subscription)
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
