//! The reads that dispatch makes of its progress and of waiting work, and what the API shows of them.
//!
//! Rows whose time is [`UnixMs::NEVER`] wait for their turn: they are never due and never next.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use switchhook_core::delivery::{
    Attempt, Cursor, DeadReason, DeliveryKey, Place, Verdict, WaitReason, Waiting,
};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::codec::{int, key_of, outcome, uint};
use super::names::{Lexicon, id_of};
use super::read::{END, code, event_at, time};
use crate::query::{Budget, Counts, DueWork, History, Limit};

/// The number in the text is `UnixMs::NEVER`.
pub(super) const DUE: &str = "SELECT due_at, seq FROM waiting
     WHERE subscription = ?1 AND partition = ?2 AND due_at < 9223372036854775807 ORDER BY due_at, seq";
pub(super) const WAITING: &str =
    "SELECT seq, subscription, chain, attempts, counted, due_at, deadline, delay_ms, reason, partition, key
     FROM waiting WHERE seq = ?1 AND subscription = ?2";
/// In the order of the log; `+` keeps SQLite from sorting all rows of the subscription first.
pub(super) const WAITING_FROM: &str =
    "SELECT seq, subscription, chain, attempts, counted, due_at, deadline, delay_ms, reason, partition, key
     FROM waiting WHERE seq >= ?1 AND +subscription = ?2 ORDER BY seq";
pub(super) const SETTLED: &str = "
     SELECT seq FROM attempt WHERE seq BETWEEN ?1 AND ?2 AND subscription = ?3
     UNION ALL SELECT seq FROM waiting WHERE seq BETWEEN ?1 AND ?2 AND subscription = ?3
     UNION ALL SELECT seq FROM dead WHERE seq BETWEEN ?1 AND ?2 AND subscription = ?4";
pub(super) const ATTEMPTS_OF: &str =
    "SELECT seq, subscription, chain, n, endpoint, at, duration_ms, outcome,
     rule, verdict, detail, next_at FROM attempt WHERE seq = ?1";
pub(super) const WAITING_OF: &str =
    "SELECT seq, subscription, chain, attempts, counted, due_at, deadline,
     delay_ms, reason, partition, key FROM waiting WHERE seq = ?1";
pub(super) const TOP: &str = "SELECT top FROM progress WHERE subscription = ?1 AND partition = ?2";
pub(super) const OLDEST_DUE: &str = "SELECT min(due_at) FROM waiting
     WHERE subscription = ?1 AND partition = ?2 AND due_at < 9223372036854775807";
/// The code of [`WaitReason::Hold`] stands in the text: only so does SQLite see that the partial index serves it.
pub(super) const HELD: &str = "SELECT count(*) FROM waiting WHERE subscription = ?1 AND reason = 2";

pub(super) fn cursors(conn: &Connection, names: &mut Lexicon) -> rusqlite::Result<Vec<Cursor>> {
    let mut statement = conn.prepare_cached(
        "SELECT subscription, partition, committed, member FROM progress WHERE committed IS NOT NULL",
    )?;
    let mut rows = statement.query([])?;
    let mut cursors = Vec::new();
    while let Some(row) = rows.next()? {
        let member: Option<i64> = row.get(3)?;
        cursors.push(Cursor {
            subscription: names.text(conn, row.get(0)?)?,
            partition: row.get(1)?,
            offset: Offset(uint(row.get(2)?)),
            member: member.map(|id| names.text(conn, id)).transpose()?,
        });
    }
    cursors.sort_by(|a, b| (&a.subscription, a.partition).cmp(&(&b.subscription, b.partition)));
    Ok(cursors)
}

pub(super) fn settled_from(
    conn: &Connection,
    subscription: &str,
    partition: u16,
    from: Offset,
) -> rusqlite::Result<BTreeSet<Offset>> {
    let Some(id) = id_of(conn, subscription)? else {
        return Ok(BTreeSet::new());
    };
    let top: i64 = conn
        .prepare_cached(TOP)?
        .query_row(params![id, partition], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    let mut statement = conn.prepare_cached(SETTLED)?;
    let rows = statement.query_map(params![int(from.0), top, id, subscription], |row| {
        row.get::<_, i64>(0)
    })?;
    rows.map(|row| row.map(|seq| Offset(uint(seq)))).collect()
}

pub(super) fn due(
    conn: &Connection,
    names: &mut Lexicon,
    (subscription, partition): (&str, u16),
    until: UnixMs,
    skip: &BTreeSet<Offset>,
    limit: Limit,
) -> rusqlite::Result<DueWork> {
    let mut work = DueWork::default();
    let Some(id) = id_of(conn, subscription)? else {
        return Ok(work);
    };
    let (mut order, mut row_of) = (conn.prepare_cached(DUE)?, conn.prepare_cached(WAITING)?);
    let mut budget = Budget::new(limit);
    let mut rows = order.query(params![id, partition])?;
    while let Some(row) = rows.next()? {
        let (due_at, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        if skip.contains(&Offset(uint(seq))) {
            continue;
        }
        let due_at = UnixMs(uint(due_at));
        if due_at > until || !budget.is_open() {
            work.next_due = Some(due_at);
            break;
        }
        let waiting = row_of.query_row([seq, id], |row| waiting(conn, names, row))?;
        let Some(event) = event_at(conn, names, seq)? else {
            continue;
        };
        if !budget.take(event.weight()) {
            work.next_due = Some(due_at);
            break;
        }
        work.rows.push((waiting, event));
    }
    Ok(work)
}

/// All waiting rows of a subscription in the order of the log.
pub(super) fn waiting_from(
    conn: &Connection,
    names: &mut Lexicon,
    subscription: &str,
    from: Offset,
    limit: Limit,
) -> rusqlite::Result<Vec<(Waiting, Arc<Event>)>> {
    let mut found = Vec::new();
    let Some(id) = id_of(conn, subscription)? else {
        return Ok(found);
    };
    let mut statement = conn.prepare_cached(WAITING_FROM)?;
    let mut rows = statement.query(params![int(from.0), id])?;
    let mut budget = Budget::new(limit);
    while budget.is_open()
        && let Some(row) = rows.next()?
    {
        let waiting = waiting(conn, names, row)?;
        let Some(event) = event_at(conn, names, int(waiting.key.offset.0))? else {
            continue;
        };
        if budget.take(event.weight()) {
            found.push((waiting, event));
        }
    }
    Ok(found)
}

pub(super) fn history(
    conn: &Connection,
    names: &mut Lexicon,
    offset: Offset,
) -> rusqlite::Result<History> {
    let seq = int(offset.0);
    let mut history = History::default();
    let mut statement = conn.prepare_cached(ATTEMPTS_OF)?;
    let mut rows = statement.query([seq])?;
    while let Some(row) = rows.next()? {
        history.attempts.push(attempt(conn, names, row)?);
    }
    let mut statement = conn.prepare_cached(WAITING_OF)?;
    let mut rows = statement.query([seq])?;
    while let Some(row) = rows.next()? {
        history.waiting.push(waiting(conn, names, row)?);
    }
    history.dead = super::read_dead::of_event(conn, seq)?;
    history
        .attempts
        .sort_by(|a, b| (&a.key, a.chain, a.n).cmp(&(&b.key, b.chain, b.n)));
    history.waiting.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(history)
}

pub(super) fn counts(conn: &Connection, names: &mut Lexicon) -> rusqlite::Result<Counts> {
    let number = |sql: &str| {
        conn.prepare_cached(sql)?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
    };
    let end = number(END)?.unwrap_or(1);
    let first = number("SELECT min(seq) FROM event")?.unwrap_or(end);
    let forgotten = number("SELECT events FROM forgotten")?.unwrap_or(0);
    let mut counts = Counts {
        events: uint(end - 1 - forgotten),
        end: Offset(uint(end)),
        first: Offset(uint(first)),
        ..Counts::default()
    };
    count_waiting(conn, names, &mut counts)?;
    let mut statement =
        conn.prepare_cached("SELECT endpoint, reason, count FROM dead_count WHERE count > 0")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let reason = code(row, 1, DeadReason::from_code)?;
        counts.dead.insert((row.get(0)?, reason), uint(row.get(2)?));
    }
    Ok(counts)
}

fn count_waiting(
    conn: &Connection,
    names: &mut Lexicon,
    counts: &mut Counts,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT subscription, partition, waiting FROM progress WHERE waiting > 0",
    )?;
    let mut rows = statement.query([])?;
    let (mut oldest, mut held) = (conn.prepare_cached(OLDEST_DUE)?, conn.prepare_cached(HELD)?);
    while let Some(row) = rows.next()? {
        let (id, partition, waiting): (i64, u16, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = names.text(conn, id)?;
        counts
            .partitions
            .insert((name.clone(), partition), uint(waiting));
        *counts.waiting.entry(name.clone()).or_default() += uint(waiting);
        let due_at: Option<i64> = oldest.query_row(params![id, partition], |row| row.get(0))?;
        if let Some(due_at) = due_at.map(|at| UnixMs(uint(at))) {
            let earliest = counts.oldest_due.entry(name.clone()).or_insert(due_at);
            *earliest = due_at.min(*earliest);
        }
        if let Entry::Vacant(none) = counts.held.entry(name) {
            let held: i64 = held.query_row([id], |row| row.get(0))?;
            if held > 0 {
                none.insert(uint(held));
            }
        }
    }
    Ok(())
}

/// The attempt in the columns of [`ATTEMPTS_OF`].
pub(super) fn attempt(
    conn: &Connection,
    names: &mut Lexicon,
    row: &Row<'_>,
) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        key: key(conn, names, row)?,
        partition: 0,
        chain: row.get(2)?,
        n: row.get(3)?,
        endpoint: names.text(conn, row.get(4)?)?,
        at: time(row, 5)?,
        duration_ms: row.get(6)?,
        outcome: outcome(row.get(7)?)?,
        rule: names.text(conn, row.get(8)?)?,
        verdict: code(row, 9, Verdict::from_code)?,
        detail: row.get(10)?,
        next_at: row.get::<_, Option<i64>>(11)?.map(|at| UnixMs(uint(at))),
    })
}

fn waiting(conn: &Connection, names: &mut Lexicon, row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        key: key(conn, names, row)?,
        place: Place {
            partition: row.get(9)?,
            key: key_of(row.get(10)?),
        },
        chain: row.get(2)?,
        attempts: row.get(3)?,
        counted: row.get(4)?,
        due_at: time(row, 5)?,
        deadline: time(row, 6)?,
        delay_ms: uint(row.get(7)?),
        reason: code(row, 8, WaitReason::from_code)?,
    })
}

fn key(conn: &Connection, names: &mut Lexicon, row: &Row<'_>) -> rusqlite::Result<DeliveryKey> {
    Ok(DeliveryKey {
        offset: Offset(uint(row.get(0)?)),
        subscription: names.text(conn, row.get(1)?)?,
    })
}
