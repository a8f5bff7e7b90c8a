//! The list of attempts over all events, the newest event first.
//!
//! Attempts have no index but that of their event, so that each stays as small as it is. So the list goes back along the
//! log and looks at each; a page ends after a bounded number.

use rusqlite::{Connection, OptionalExtension};
use switchhook_core::id::{EventId, Offset};
use uuid::Uuid;

use super::codec::{int, outcome, uint};
use super::names::{Lexicon, id_of};
use super::read::time;
use super::read_work::attempt;
use crate::query::{AttemptFilter, AttemptPage, AttemptWalk, Limit};

pub(super) const BEFORE: &str = "SELECT seq, subscription, chain, n, endpoint, at, duration_ms,
     outcome, rule, verdict, detail, next_at FROM attempt WHERE seq < ?1 ORDER BY seq DESC";
pub(super) const EVENT_ID: &str = "SELECT id FROM event WHERE seq = ?1";

pub(super) fn list(
    conn: &Connection,
    names: &mut Lexicon,
    filter: &AttemptFilter,
    before: Option<Offset>,
    limit: Limit,
) -> rusqlite::Result<AttemptPage> {
    let mut walk = AttemptWalk::new(limit);
    let number = |name: &Option<String>| match name {
        None => Ok(Some(None)),
        Some(name) => id_of(conn, name).map(|id| id.map(Some)),
    };
    // A name that was never used is of no attempt.
    let (Some(subscription), Some(endpoint)) =
        (number(&filter.subscription)?, number(&filter.endpoint)?)
    else {
        return Ok(AttemptPage::default());
    };
    let is_named = |wanted: Option<i64>, found: i64| wanted.is_none_or(|wanted| wanted == found);
    let mut event_id = conn.prepare_cached(EVENT_ID)?;
    let mut statement = conn.prepare_cached(BEFORE)?;
    let mut rows = statement.query([before.map_or(i64::MAX, |before| int(before.0))])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if walk.ends_before(Offset(uint(seq))) {
            break;
        }
        if !is_named(subscription, row.get(1)?)
            || !is_named(endpoint, row.get(4)?)
            || !filter.has(outcome(row.get(7)?)?, time(row, 5)?)
        {
            continue;
        }
        let id: Option<[u8; 16]> = event_id.query_row([seq], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            walk.take(attempt(conn, names, row)?, EventId(Uuid::from_bytes(id)));
        }
    }
    Ok(walk.page())
}
