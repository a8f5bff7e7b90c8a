//! Forgets what may be forgotten, in bounded steps from the low end of the log, and gives disk space back.
//!
//! What may go: dead letters by the time they were given up, then events with their attempts, then attempts of
//! events that stay, and documents that have expired. What never goes: anything at or after `keep_from` (a restart asks what is settled there), and
//! anything of an event that has a waiting row or a dead letter.
//!
//! A [`Walk`] remembers how far it has looked, so that what had to stay is not looked at again with each step, be
//! it a million events. What becomes free behind it is noted and looked at first. What was too young there (attempts
//! of a replay, events accepted while the clock was ahead) is found by the next round: one begins each day, and at
//! each start, and is done in the same bounded steps.
//!
//! An event that lies in the log behind [`YOUNG_MAX`] younger ones is not reached before these are old enough: only
//! a clock that was ahead makes such, and looking further would cost each step the whole log.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use switchhook_core::time::UnixMs;

use super::codec::int;
use super::documents;
use super::records::Recorder;
use super::schema::PAGE_BYTES;
use crate::batch::{Retain, Retained};

/// Rows looked at in a step, for each that may go.
const LOOKED_PER_ITEM: usize = 4;

/// Rows looked at in a step, whatever the caller asks for: a tenth of a second or so that commits wait.
const LOOKED_MAX: usize = 32_768;

/// A walk ends at so many rows in a row that are too young.
const YOUNG_MAX: usize = 256;

/// Offsets noted behind a walk, at most: 1 MiB. Past it the walk starts over.
const FREED_MAX: usize = 65_536;

/// A walk begins anew when the time before which things go is this much later, in milliseconds: a day.
const ROUND_MS: i64 = 86_400_000;

/// Events: offset, time, and whether they are needed.
pub(super) const EVENTS: &str = "SELECT seq, received_at,
     EXISTS (SELECT 1 FROM waiting w WHERE w.seq = e.seq) OR EXISTS (SELECT 1 FROM dead d WHERE d.seq = e.seq)
     FROM event e WHERE seq >= ?1 AND seq < ?2 ORDER BY seq LIMIT ?3";
/// Events with attempts, in the same columns; the time is that of their oldest attempt.
pub(super) const ATTEMPTS: &str = "SELECT seq, min(at),
     EXISTS (SELECT 1 FROM waiting w WHERE w.seq = a.seq) OR EXISTS (SELECT 1 FROM dead d WHERE d.seq = a.seq)
     FROM attempt a WHERE seq >= ?1 AND seq < ?2 GROUP BY seq ORDER BY seq LIMIT ?3";
/// Dead letters that halt nothing, the oldest first.
pub(super) const DEAD: &str = "SELECT seq, subscription FROM dead WHERE gap <> 3 AND at < ?1
     ORDER BY at, subscription, seq LIMIT ?2";
pub(super) const FORGET_EVENT: &str = "DELETE FROM event WHERE seq = ?1";
pub(super) const FORGET_ALL_ATTEMPTS: &str = "DELETE FROM attempt WHERE seq = ?1";
pub(super) const FORGET_ATTEMPTS: &str = "DELETE FROM attempt WHERE seq = ?1 AND at < ?2";
pub(super) const NOTE: &str = "UPDATE forgotten SET events = events + ?1, top = max(top, ?2)
     WHERE one = 1";

/// How far a walk over the log has got.
#[derive(Debug, Default)]
struct Walk {
    /// What is before this was looked at and had to stay.
    next: i64,
    /// Offsets before `next` whose event has lost a row since.
    freed: BTreeSet<i64>,
    /// Before when things went as the round began.
    round: Option<i64>,
}

/// Something that a walk has come to.
struct Met {
    seq: i64,
    at: i64,
    is_needed: bool,
}

/// Where a walk looks.
#[derive(Clone, Copy)]
struct Search<'a> {
    conn: &'a Connection,
    sql: &'static str,
    before: i64,
    keep_from: i64,
    rows: usize,
}

impl Search<'_> {
    fn look(&self, from: i64, to: i64, rows: usize) -> rusqlite::Result<Vec<Met>> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached(self.sql)?
            .query_map(params![from, to, rows], |row| {
                Ok(Met {
                    seq: row.get(0)?,
                    at: row.get(1)?,
                    is_needed: row.get(2)?,
                })
            })?
            .collect()
    }
}

impl Walk {
    /// The event at `seq` has one row less.
    fn free(&mut self, seq: i64) {
        if seq >= self.next {
            return;
        }
        self.freed.insert(seq);
        if self.freed.len() > FREED_MAX {
            *self = Self::default();
        }
    }

    /// The walk has come to the end of what is old.
    fn end(&mut self, before: i64) {
        let round = *self.round.get_or_insert(before);
        if before.saturating_sub(round) >= ROUND_MS {
            *self = Self {
                round: Some(before),
                ..Self::default()
            };
        }
    }

    /// Hands what may go to `remove` until that says no, and says whether there is more.
    fn go(
        &mut self,
        search: Search<'_>,
        mut remove: impl FnMut(i64) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<bool> {
        let mut left = search.rows;
        while let Some(&seq) = self.freed.first()
            && seq < search.keep_from
        {
            if left == 0 {
                return Ok(true);
            }
            left -= 1;
            for met in search.look(seq, seq + 1, 1)? {
                if met.at < search.before && !met.is_needed && !remove(seq)? {
                    return Ok(true);
                }
            }
            self.freed.pop_first();
        }
        let rows = left + YOUNG_MAX;
        let found = search.look(self.next, search.keep_from, rows)?;
        let mut young = 0;
        for met in &found {
            if met.at >= search.before {
                young += 1;
                if young == YOUNG_MAX {
                    break;
                }
                continue;
            }
            if !met.is_needed && !remove(met.seq)? {
                return Ok(true);
            }
            young = 0;
            self.next = met.seq + 1;
        }
        if found.len() == rows && young < YOUNG_MAX {
            return Ok(true);
        }
        self.end(search.before);
        Ok(false)
    }
}

/// What retention remembers between two steps.
#[derive(Debug, Default)]
pub(super) struct Retention {
    events: Walk,
    attempts: Walk,
}

impl Retention {
    /// The event at `seq` has lost a waiting row or a dead letter.
    pub(super) fn free(&mut self, seq: i64) {
        self.events.free(seq);
        self.attempts.free(seq);
    }

    /// Forgets events and attempts.
    fn step(
        &mut self,
        conn: &Connection,
        retain: &Retain,
        done: &mut Retained,
    ) -> rusqlite::Result<()> {
        let (mut top, items) = (0, u64::from(retain.items.max(1)));
        let rows = looked_max(retain);
        let search = |sql, before: UnixMs| Search {
            conn,
            sql,
            before: int(before.0),
            keep_from: int(retain.keep_from.0),
            rows,
        };
        let mut forget_event = conn.prepare_cached(FORGET_EVENT)?;
        let mut forget_all = conn.prepare_cached(FORGET_ALL_ATTEMPTS)?;
        let mut forget_attempts = conn.prepare_cached(FORGET_ATTEMPTS)?;
        done.more |= self
            .events
            .go(search(EVENTS, retain.events_before), |seq| {
                if done.events >= items || done.attempts >= items {
                    return Ok(false);
                }
                done.events += 1;
                forget_event.execute([seq])?;
                done.attempts += forget_all.execute([seq])? as u64;
                top = top.max(seq);
                Ok(true)
            })?;
        done.more |= self
            .attempts
            .go(search(ATTEMPTS, retain.attempts_before), |seq| {
                if done.attempts >= items {
                    return Ok(false);
                }
                let gone = forget_attempts.execute(params![seq, int(retain.attempts_before.0)])?;
                done.attempts += gone as u64;
                Ok(true)
            })?;
        if done.events > 0 {
            conn.prepare_cached(NOTE)?
                .execute(params![int(done.events), top])?;
        }
        Ok(())
    }
}

fn looked_max(retain: &Retain) -> usize {
    let items = retain.items.max(1) as usize;
    items.saturating_mul(LOOKED_PER_ITEM).min(LOOKED_MAX)
}

/// One step: forgets within the transaction. Space is given back after it, by [`give_back`].
pub(super) fn retain(
    conn: &Connection,
    records: &mut Recorder<'_>,
    retain: &Retain,
) -> rusqlite::Result<Retained> {
    let mut done = Retained::default();
    let items = retain.items.max(1) as usize;
    let looked = i64::try_from(looked_max(retain)).unwrap_or(i64::MAX);
    let old: Vec<(i64, Box<str>)> = conn
        .prepare_cached(DEAD)?
        .query_map(params![int(retain.dead_before.0), looked], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let keep_from = int(retain.keep_from.0);
    for (seq, subscription) in old.iter().filter(|(seq, _)| *seq < keep_from).take(items) {
        done.dead += u64::from(records.remove_dead_at(*seq, subscription, None)?);
    }
    done.more = done.dead >= items as u64;
    records.retention.step(conn, retain, &mut done)?;
    done.documents = documents::sweep(conn, retain.now, retain.items.max(1))?;
    done.more |= done.documents >= items as u64;
    Ok(done)
}

/// Gives at most `pages` free pages back to the file system, outside any transaction; returns their bytes, and whether
/// there are more to give.
///
/// Only while more than a tenth of the file is free: new events fill free pages first, so a log that loses as much as
/// it gains needs them again at once, and moving pages costs writes.
pub(super) fn give_back(conn: &Connection, pages: u32) -> rusqlite::Result<(u64, bool)> {
    let number = |sql: &str| -> rusqlite::Result<i64> {
        conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
    };
    // All pages, and how many must go until a tenth of the rest is free.
    let spare = || -> rusqlite::Result<(i64, i64)> {
        let (free, all) = (
            number("PRAGMA freelist_count")?,
            number("PRAGMA page_count")?,
        );
        Ok((all, (10 * free - all + 8) / 9))
    };
    let (before, too_many) = spare()?;
    let wanted = i64::from(pages).min(too_many);
    if wanted <= 0 {
        return Ok((0, false));
    }
    // A page goes with each step of the statement.
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({wanted})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let (after, left) = spare()?;
    let given = (before - after).unsigned_abs();
    Ok((given * u64::from(PAGE_BYTES), left > 0 && given > 0))
}
