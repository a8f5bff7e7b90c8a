//! The reads that dispatch and the API make of events, progress and waiting work.
//!
//! Each runs on a read-only connection inside one read transaction, so that it sees one moment. The queries
//! of the hot path are constants; a test asks SQLite for their plans and finds no scan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use switchhook_core::delivery::{Attempt, DeadReason, DeliveryKey, Verdict, WaitReason, Waiting};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use uuid::Uuid;

use super::codec::{bad, int, outcome, read_headers, uint};
use super::names::{Lexicon, id_of};
use super::sqlite;
use crate::batch::{Resource, Token};
use crate::query::{Budget, Counts, DueWork, EventFilter, History, Limit};

pub(super) const LOG: &str = "SELECT seq, id, source, kind, key, received_at, headers, body
     FROM event WHERE seq >= ?1 ORDER BY seq";
pub(super) const BY_ID: &str = "SELECT seq, id, source, kind, key, received_at, headers, body
     FROM event WHERE id = ?1";
pub(super) const BY_OFFSET: &str = "SELECT seq, id, source, kind, key, received_at, headers, body
     FROM event WHERE seq = ?1";
pub(super) const DUE: &str =
    "SELECT due_at, seq FROM waiting WHERE subscription = ?1 ORDER BY due_at, seq";
pub(super) const WAITING: &str =
    "SELECT seq, subscription, chain, attempts, counted, due_at, deadline, delay_ms, reason
     FROM waiting WHERE seq = ?1 AND subscription = ?2";
pub(super) const SETTLED: &str = "
     SELECT seq FROM attempt WHERE seq BETWEEN ?1 AND ?2 AND subscription = ?3
     UNION ALL SELECT seq FROM waiting WHERE seq BETWEEN ?1 AND ?2 AND subscription = ?3
     UNION ALL SELECT seq FROM dead WHERE seq BETWEEN ?1 AND ?2 AND subscription = ?4";
pub(super) const ATTEMPTS_OF: &str =
    "SELECT seq, subscription, chain, n, endpoint, at, duration_ms, outcome,
     rule, verdict, detail, next_at FROM attempt WHERE seq = ?1";
pub(super) const WAITING_OF: &str =
    "SELECT seq, subscription, chain, attempts, counted, due_at, deadline,
     delay_ms, reason FROM waiting WHERE seq = ?1";
pub(super) const TOP: &str = "SELECT top FROM progress WHERE subscription = ?1";
pub(super) const OLDEST_DUE: &str = "SELECT min(due_at) FROM waiting WHERE subscription = ?1";
/// The code of [`WaitReason::Hold`] stands in the text: only so does SQLite see that the partial index serves it.
pub(super) const HELD: &str = "SELECT count(*) FROM waiting WHERE subscription = ?1 AND reason = 2";

/// A read-only connection with the names it has met.
pub(super) struct Reader {
    pub(super) conn: Connection,
    pub(super) names: Lexicon,
}

impl Reader {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self {
            conn: sqlite::open_reader(path)?,
            names: Lexicon::default(),
        })
    }

    /// Runs `read` on one moment of the database.
    pub(super) fn at_one_moment<T>(
        &mut self,
        read: impl FnOnce(&Connection, &mut Lexicon) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if !self.conn.is_autocommit() {
            // An earlier read panicked.
            self.conn.execute_batch("ROLLBACK")?;
        }
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        let found = read(&self.conn, &mut self.names);
        // SQLite ends the transaction by itself on some errors. What the read says goes before what its end says.
        let ended = if self.conn.is_autocommit() {
            Ok(0)
        } else {
            self.conn
                .prepare_cached("ROLLBACK")
                .and_then(|mut rollback| rollback.execute([]))
        };
        found.and_then(|found| ended.map(|_| found))
    }
}

pub(super) fn log(
    conn: &Connection,
    names: &mut Lexicon,
    from: Offset,
    limit: Limit,
) -> rusqlite::Result<Vec<Arc<Event>>> {
    let mut statement = conn.prepare_cached(LOG)?;
    let mut rows = statement.query([int(from.0)])?;
    let mut budget = Budget::new(limit);
    let mut found = Vec::new();
    while budget.is_open()
        && let Some(row) = rows.next()?
    {
        let event = event(conn, names, row)?;
        if budget.take(event.weight()) {
            found.push(Arc::new(event));
        }
    }
    Ok(found)
}

pub(super) fn event_with_id(
    conn: &Connection,
    names: &mut Lexicon,
    id: EventId,
) -> rusqlite::Result<Option<Arc<Event>>> {
    conn.prepare_cached(BY_ID)?
        .query_row([id.0.as_bytes().as_slice()], |row| {
            event(conn, names, row).map(Arc::new)
        })
        .optional()
}

pub(super) fn event_at(
    conn: &Connection,
    names: &mut Lexicon,
    seq: i64,
) -> rusqlite::Result<Option<Arc<Event>>> {
    conn.prepare_cached(BY_OFFSET)?
        .query_row([seq], |row| event(conn, names, row).map(Arc::new))
        .optional()
}

pub(super) fn events(
    conn: &Connection,
    names: &mut Lexicon,
    filter: &EventFilter,
    before: Option<Offset>,
    limit: Limit,
) -> rusqlite::Result<Vec<Arc<Event>>> {
    let mut conditions = Conditions::new("seq <", before.map_or(i64::MAX, |before| int(before.0)));
    for (column, name) in [("source =", &filter.source), ("kind =", &filter.kind)] {
        if let Some(name) = name {
            let Some(id) = id_of(conn, name)? else {
                return Ok(Vec::new());
            };
            conditions.add(column, id);
        }
    }
    conditions.add_some("key =", filter.key.clone());
    conditions.add_some("received_at >=", filter.since.map(|at| int(at.0)));
    conditions.add_some("received_at <", filter.until.map(|at| int(at.0)));
    let sql = format!(
        "SELECT seq, id, source, kind, key, received_at, headers, body FROM event WHERE {} ORDER BY seq DESC",
        conditions.sql
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values))?;
    let mut budget = Budget::new(limit);
    let mut found = Vec::new();
    while budget.is_open()
        && let Some(row) = rows.next()?
    {
        let event = event(conn, names, row)?;
        if budget.take(event.weight()) {
            found.push(Arc::new(event));
        }
    }
    Ok(found)
}

pub(super) fn cursors(
    conn: &Connection,
    names: &mut Lexicon,
) -> rusqlite::Result<BTreeMap<Arc<str>, Offset>> {
    let mut statement = conn.prepare_cached(
        "SELECT subscription, committed FROM progress WHERE committed IS NOT NULL",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| row.and_then(|(id, at)| Ok((names.text(conn, id)?, Offset(uint(at))))))
        .collect()
}

pub(super) fn settled_from(
    conn: &Connection,
    subscription: &str,
    from: Offset,
) -> rusqlite::Result<BTreeSet<Offset>> {
    let Some(id) = id_of(conn, subscription)? else {
        return Ok(BTreeSet::new());
    };
    let top: i64 = conn
        .prepare_cached(TOP)?
        .query_row([id], |row| row.get(0))
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
    subscription: &str,
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
    let mut rows = order.query([id])?;
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
    let (first, last): (Option<i64>, Option<i64>) = (
        conn.prepare_cached("SELECT min(seq) FROM event")?
            .query_row([], |row| row.get(0))?,
        conn.prepare_cached("SELECT max(seq) FROM event")?
            .query_row([], |row| row.get(0))?,
    );
    let end = last.unwrap_or_default() + 1;
    let mut counts = Counts {
        events: uint(end - first.unwrap_or(end)),
        end: Offset(uint(end)),
        ..Counts::default()
    };
    let mut statement =
        conn.prepare_cached("SELECT subscription, waiting FROM progress WHERE waiting > 0")?;
    let mut rows = statement.query([])?;
    let (mut oldest, mut held) = (conn.prepare_cached(OLDEST_DUE)?, conn.prepare_cached(HELD)?);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let name = names.text(conn, id)?;
        counts.waiting.insert(name.clone(), uint(row.get(1)?));
        let due_at: i64 = oldest.query_row([id], |row| row.get(0))?;
        counts.oldest_due.insert(name.clone(), UnixMs(uint(due_at)));
        let held: i64 = held.query_row([id], |row| row.get(0))?;
        if held > 0 {
            counts.held.insert(name, uint(held));
        }
    }
    let mut statement =
        conn.prepare_cached("SELECT endpoint, reason, count FROM dead_count WHERE count > 0")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let reason = code(row, 1, DeadReason::from_code)?;
        counts.dead.insert((row.get(0)?, reason), uint(row.get(2)?));
    }
    Ok(counts)
}

pub(super) fn resources(conn: &Connection) -> rusqlite::Result<Vec<Resource>> {
    conn.prepare_cached(
        "SELECT kind, name, version, body, updated_at FROM resource WHERE body IS NOT NULL ORDER BY kind, name",
    )?
    .query_map([], |row| {
        Ok(Resource {
            kind: row.get(0)?,
            name: row.get(1)?,
            version: uint(row.get(2)?),
            body: row.get(3)?,
            updated_at: time(row, 4)?,
        })
    })?
    .collect()
}

pub(super) fn tokens(conn: &Connection) -> rusqlite::Result<Vec<Token>> {
    conn.prepare_cached("SELECT hash, name, created_at FROM token ORDER BY created_at, hash")?
        .query_map([], |row| {
            Ok(Token {
                hash: row.get(0)?,
                name: row.get(1)?,
                created_at: time(row, 2)?,
            })
        })?
        .collect()
}

/// The conditions of a query that is put together from a filter.
pub(super) struct Conditions {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Begins with one condition: a column and an operator, and what it is compared with.
    pub(super) fn new(column: &str, value: impl Into<Value>) -> Self {
        Self {
            sql: format!("{column} ?"),
            values: vec![value.into()],
        }
    }

    pub(super) fn add(&mut self, column: &str, value: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(column);
        self.sql.push_str(" ?");
        self.values.push(value.into());
    }

    pub(super) fn add_some(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(column, value);
        }
    }
}

/// The event in the columns `seq, id, source, kind, key, received_at, headers, body`.
pub(super) fn event(
    conn: &Connection,
    names: &mut Lexicon,
    row: &Row<'_>,
) -> rusqlite::Result<Event> {
    Ok(Event {
        offset: Offset(uint(row.get(0)?)),
        id: EventId(Uuid::from_bytes(row.get(1)?)),
        source: names.text(conn, row.get(2)?)?,
        kind: names.text(conn, row.get(3)?)?,
        key: row.get(4)?,
        received_at: time(row, 5)?,
        headers: read_headers(row.get_ref(6)?.as_blob()?)?,
        body: row.get::<_, Vec<u8>>(7)?.into(),
    })
}

fn attempt(conn: &Connection, names: &mut Lexicon, row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        key: key(conn, names, row)?,
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

/// The time in a column.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMs> {
    row.get(column).map(|at| UnixMs(uint(at)))
}

/// The enum whose code is in a column.
pub(super) fn code<T>(
    row: &Row<'_>,
    column: usize,
    from: fn(u8) -> Option<T>,
) -> rusqlite::Result<T> {
    let code = row.get(column)?;
    from(code).ok_or_else(|| bad(format!("unknown code {code}")))
}
