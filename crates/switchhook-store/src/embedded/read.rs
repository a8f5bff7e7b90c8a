//! The reads of the log, and what all reads share.
//!
//! The log has gaps where events are forgotten; every read goes on behind them.
//!
//! Each runs on a read-only connection inside one read transaction, so that it sees one moment. The queries
//! of the hot path are constants; a test asks SQLite for their plans and finds no scan.

use std::path::Path;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use uuid::Uuid;

use super::codec::{bad, int, read_headers, uint};
use super::names::{Lexicon, id_of};
use super::sqlite;
use crate::query::{Budget, EventFilter, Limit, SCANNED_MAX};

pub(super) const LOG: &str = "SELECT seq, id, source, kind, key, received_at, headers, body
     FROM event WHERE seq >= ?1 ORDER BY seq";
pub(super) const BY_ID: &str = "SELECT seq, id, source, kind, key, received_at, headers, body
     FROM event WHERE id = ?1";
pub(super) const BY_OFFSET: &str = "SELECT seq, id, source, kind, key, received_at, headers, body
     FROM event WHERE seq = ?1";
/// The offset that the next event will get.
pub(super) const END: &str =
    "SELECT max(coalesce((SELECT max(seq) FROM event), 0), top) + 1 FROM forgotten WHERE one = 1";
pub(super) const FIRST_FROM: &str =
    "SELECT seq, received_at FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1";

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
    let to = [before, filter.to].into_iter().flatten().min();
    let from = filter.from.unwrap_or_default();
    let (found, _) = matching(conn, names, filter, (from, to), limit, "DESC")?;
    Ok(found)
}

/// Events that match in a part of the log, forwards, and where to go on.
pub(super) fn scan(
    conn: &Connection,
    names: &mut Lexicon,
    filter: &EventFilter,
    from: Offset,
    limit: Limit,
) -> rusqlite::Result<(Vec<Arc<Event>>, Offset)> {
    let from = from.max(filter.from.unwrap_or_default());
    let end = Offset(uint(
        conn.prepare_cached(END)?.query_row([], |row| row.get(0))?,
    ));
    let end = filter.to.map_or(end, |to| to.min(end));
    let first = first_from(conn, from)?.map_or(end, |(first, _)| first);
    let to = Offset(first.0.saturating_add(SCANNED_MAX)).min(end);
    let (found, next) = matching(conn, names, filter, (first, Some(to)), limit, "ASC")?;
    Ok((found, next.unwrap_or(to).max(from)))
}

/// The first event at or after `from`, with its time.
fn first_from(conn: &Connection, from: Offset) -> rusqlite::Result<Option<(Offset, UnixMs)>> {
    conn.prepare_cached(FIRST_FROM)?
        .query_row([int(from.0)], |row| {
            Ok((Offset(uint(row.get(0)?)), time(row, 1)?))
        })
        .optional()
}

/// The first event accepted at or after `at`, by bisection: times rise with offsets, but where the clock jumped.
pub(super) fn offset_at(conn: &Connection, at: UnixMs) -> rusqlite::Result<Offset> {
    let end = Offset(uint(
        conn.prepare_cached(END)?.query_row([], |row| row.get(0))?,
    ));
    // Everything before `low` is earlier; nothing from `high` on is looked for.
    let (mut low, mut high) = (Offset(0), end);
    while low < high {
        let middle = Offset(low.0 + (high.0 - low.0) / 2);
        match first_from(conn, middle)? {
            Some((found, earlier)) if earlier < at => low = found.next(),
            Some(_) | None => high = middle,
        }
    }
    Ok(first_from(conn, low)?.map_or(end, |(found, _)| found))
}

/// Events that match in a range of offsets; and the offset of the first that did not fit, if the limit ended it.
fn matching(
    conn: &Connection,
    names: &mut Lexicon,
    filter: &EventFilter,
    (from, to): (Offset, Option<Offset>),
    limit: Limit,
    direction: &str,
) -> rusqlite::Result<(Vec<Arc<Event>>, Option<Offset>)> {
    let mut conditions = Conditions::new("seq <", to.map_or(i64::MAX, |to| int(to.0)));
    conditions.add("seq >=", int(from.0));
    for (column, name) in [("source =", &filter.source), ("kind =", &filter.kind)] {
        if let Some(name) = name {
            let Some(id) = id_of(conn, name)? else {
                return Ok((Vec::new(), None));
            };
            conditions.add(column, id);
        }
    }
    conditions.add_some("key =", filter.key.clone());
    conditions.add_some("received_at >=", filter.since.map(|at| int(at.0)));
    conditions.add_some("received_at <", filter.until.map(|at| int(at.0)));
    let sql = format!(
        "SELECT seq, id, source, kind, key, received_at, headers, body FROM event
         WHERE {} ORDER BY seq {direction}",
        conditions.sql
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values))?;
    let mut budget = Budget::new(limit);
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let event = event(conn, names, row)?;
        if !budget.take(event.weight()) {
            return Ok((found, Some(event.offset)));
        }
        found.push(Arc::new(event));
    }
    Ok((found, None))
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
