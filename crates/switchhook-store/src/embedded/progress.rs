//! How far each partition has got, who works on it and how many rows it has.
//!
//! All of it is kept in memory, changed with the rows, and written once per group: a group of 500 completions
//! for one subscription writes its progress row once. Bounds: a row per partition of every subscription that there
//! ever was.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

const LOAD: &str = "SELECT subscription, partition, committed, top, waiting, member FROM progress";
const SAVE: &str =
    "INSERT OR REPLACE INTO progress (subscription, partition, committed, top, waiting, member)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REMOVE: &str = "DELETE FROM progress WHERE subscription = ?1 AND partition = ?2";
pub(super) const RECOUNT: &str =
    "SELECT partition, count(*) FROM waiting WHERE subscription = ?1 GROUP BY partition";

/// Number of a subscription's name, and one of its partitions.
pub(super) type Lane = (i64, u16);

/// What is known of a partition.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    committed: Option<i64>,
    /// No record has a higher offset.
    top: i64,
    waiting: i64,
    /// Number of the member's name.
    member: Option<i64>,
}

/// The progress of all partitions.
pub(super) struct Progress<'c> {
    conn: &'c Connection,
    rows: BTreeMap<Lane, Row>,
    changed: BTreeSet<Lane>,
}

impl<'c> Progress<'c> {
    /// Goes on with what is written.
    pub(super) fn load(conn: &'c Connection) -> rusqlite::Result<Self> {
        let rows = conn
            .prepare(LOAD)?
            .query_map([], |row| {
                let found = Row {
                    committed: row.get(2)?,
                    top: row.get(3)?,
                    waiting: row.get(4)?,
                    member: row.get(5)?,
                };
                Ok(((row.get(0)?, row.get(1)?), found))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            conn,
            rows,
            changed: BTreeSet::new(),
        })
    }

    /// Notes that the partition has a record at the offset `seq`.
    pub(super) fn touch(&mut self, lane: Lane, seq: i64) {
        let row = self.change(lane);
        row.top = row.top.max(seq);
    }

    /// Counts waiting rows that came or went.
    pub(super) fn count(&mut self, lane: Lane, change: i64) {
        self.change(lane).waiting += change;
    }

    /// Sets the committed offset and the member.
    pub(super) fn commit(&mut self, lane: Lane, committed: i64, member: Option<i64>) {
        let row = self.change(lane);
        (row.committed, row.member) = (Some(committed), member);
    }

    /// Gives a subscription so many partitions; `moves`: deliveries stand elsewhere even if the number is the same. A
    /// subscription without any cursor is left as it is: it has not begun.
    pub(super) fn lay_out(
        &mut self,
        subscription: i64,
        partitions: u16,
        moves: bool,
    ) -> rusqlite::Result<()> {
        let old: Vec<(u16, Row)> = self
            .rows
            .range((subscription, 0)..=(subscription, u16::MAX))
            .map(|((_, partition), row)| (*partition, *row))
            .collect();
        let begun = || old.iter().filter(|(_, row)| row.committed.is_some());
        let Some(lowest) = begun().filter_map(|(_, row)| row.committed).min() else {
            return Ok(());
        };
        let last = begun().map(|(partition, _)| *partition).max();
        let is_other = moves || last.map(|last| last.saturating_add(1)) != Some(partitions);
        // Attempts do not say where they belong: any may lie in the range of any new partition.
        let top = old.iter().map(|(_, row)| row.top).max().unwrap_or(0);
        for partition in 0..partitions {
            let row = self.change((subscription, partition));
            if is_other || row.committed.is_none() {
                (row.committed, row.top) = (Some(lowest), top);
            }
        }
        if is_other {
            for (partition, _) in old.iter().filter(|(at, _)| *at >= partitions) {
                self.change((subscription, *partition));
                self.rows.remove(&(subscription, *partition));
            }
            self.recount(subscription, top)?;
        }
        Ok(())
    }

    /// Counts the rows of a subscription anew. A partition that is no more and still has some is kept without a cursor,
    /// so that they are seen.
    fn recount(&mut self, subscription: i64, top: i64) -> rusqlite::Result<()> {
        for (_, row) in self
            .rows
            .range_mut((subscription, 0)..=(subscription, u16::MAX))
        {
            row.waiting = 0;
        }
        let mut statement = self.conn.prepare_cached(RECOUNT)?;
        let counts: Vec<(u16, i64)> = statement
            .query_map([subscription], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (partition, waiting) in counts {
            let row = self.change((subscription, partition));
            (row.waiting, row.top) = (waiting, row.top.max(top));
        }
        Ok(())
    }

    /// Writes what has changed.
    pub(super) fn save(&mut self) -> rusqlite::Result<()> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let mut save = self.conn.prepare_cached(SAVE)?;
        for lane in std::mem::take(&mut self.changed) {
            let (subscription, partition) = lane;
            match self.rows.get(&lane) {
                Some(row) => save.execute(params![
                    subscription,
                    partition,
                    row.committed,
                    row.top,
                    row.waiting,
                    row.member
                ])?,
                None => self
                    .conn
                    .prepare_cached(REMOVE)?
                    .execute(params![subscription, partition])?,
            };
        }
        Ok(())
    }

    fn change(&mut self, lane: Lane) -> &mut Row {
        self.changed.insert(lane);
        self.rows.entry(lane).or_default()
    }
}
