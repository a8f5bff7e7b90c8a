//! The reads of dead letters: listed, counted, and by event.
//!
//! The list is ordered by time, subscription and offset, and so is each index it may walk. Filters that no
//! index serves (status, reason, type) are judged on the way; a filter without them counts in an index alone.

use rusqlite::{Connection, Row, params_from_iter};
use switchhook_core::delivery::{Dead, DeadReason, DeliveryKey, Gap, Place};
use switchhook_core::id::Offset;

use super::codec::{int, key_of, outcome, uint};
use super::names::{Lexicon, id_of};
use super::read::{Conditions, code, event_at, time};
use crate::query::{Budget, DeadFilter, DeadLetter, DeadPosition, Limit};

pub(super) const OF_EVENT: &str =
    "SELECT seq, subscription, chain, attempts, at, reason, outcome, endpoint, detail, partition, key, gap
     FROM dead WHERE seq = ?1 ORDER BY subscription";

pub(super) fn list(
    conn: &Connection,
    names: &mut Lexicon,
    filter: &DeadFilter,
    after: Option<&DeadPosition>,
    limit: Limit,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let Some(conditions) = conditions(conn, filter, after)? else {
        return Ok(Vec::new());
    };
    let mut statement = conn.prepare_cached(&list_sql(&conditions))?;
    let mut rows = statement.query(params_from_iter(conditions.values))?;
    let mut budget = Budget::new(limit);
    let mut found = Vec::new();
    while budget.is_open()
        && let Some(row) = rows.next()?
    {
        let dead = dead(row)?;
        let Some(event) = event_at(conn, names, int(dead.key.offset.0))? else {
            continue;
        };
        if budget.take(event.weight()) {
            found.push(DeadLetter { dead, event });
        }
    }
    Ok(found)
}

pub(super) fn list_sql(conditions: &Conditions) -> String {
    format!(
        "SELECT seq, subscription, chain, attempts, at, reason, outcome, endpoint, detail, partition, key, gap FROM dead
         WHERE {} ORDER BY at, subscription, seq",
        conditions.sql
    )
}

pub(super) fn count(conn: &Connection, filter: &DeadFilter) -> rusqlite::Result<u64> {
    let Some(conditions) = conditions(conn, filter, None)? else {
        return Ok(0);
    };
    conn.prepare_cached(&format!(
        "SELECT count(*) FROM dead WHERE {}",
        conditions.sql
    ))?
    .query_row(params_from_iter(conditions.values), |row| {
        row.get(0).map(uint)
    })
}

pub(super) fn of_event(conn: &Connection, seq: i64) -> rusqlite::Result<Vec<Dead>> {
    conn.prepare_cached(OF_EVENT)?
        .query_map([seq], dead)?
        .collect()
}

/// The filter as conditions; `None` if nothing can match.
pub(super) fn conditions(
    conn: &Connection,
    filter: &DeadFilter,
    after: Option<&DeadPosition>,
) -> rusqlite::Result<Option<Conditions>> {
    let since = filter
        .since
        .map_or(0, |at| int(at.0))
        .max(after.map_or(0, |after| int(after.at.0)));
    let mut conditions = Conditions::new("at >=", since);
    conditions.add_some("at <", filter.until.map(|at| int(at.0)));
    conditions.add_some("endpoint =", filter.endpoint.clone());
    conditions.add_some("subscription =", filter.subscription.clone());
    conditions.add_some("seq =", filter.offset.map(|offset| int(offset.0)));
    if let Some(wanted) = filter.reason {
        let all = DeadReason::ALL.iter().copied();
        let seen_as_it = all.filter(|reason| filter.sight.reason(*reason) == wanted);
        let codes: Vec<String> = seen_as_it.map(|reason| reason.code().to_string()).collect();
        if codes.is_empty() {
            return Ok(None);
        }
        let codes = codes.join(", ");
        conditions
            .sql
            .push_str(&format!(" AND reason IN ({codes})"));
    }
    conditions.add_some("outcome =", filter.status.map(i64::from));
    if let Some(kind) = &filter.kind {
        let Some(id) = id_of(conn, kind)? else {
            return Ok(None);
        };
        conditions.add("kind =", id);
    }
    if let Some(after) = after {
        conditions
            .sql
            .push_str(" AND (at, subscription, seq) > (?, ?, ?)");
        conditions.values.push(int(after.at.0).into());
        conditions
            .values
            .push(after.key.subscription.to_string().into());
        conditions.values.push(int(after.key.offset.0).into());
    }
    Ok(Some(conditions))
}

fn dead(row: &Row<'_>) -> rusqlite::Result<Dead> {
    Ok(Dead {
        key: DeliveryKey {
            offset: Offset(uint(row.get(0)?)),
            subscription: row.get(1)?,
        },
        chain: row.get(2)?,
        attempts: row.get(3)?,
        at: time(row, 4)?,
        reason: code(row, 5, DeadReason::from_code)?,
        outcome: row.get::<_, Option<i64>>(6)?.map(outcome).transpose()?,
        endpoint: row.get(7)?,
        detail: row.get(8)?,
        place: Place {
            partition: row.get(9)?,
            key: key_of(row.get(10)?),
        },
        gap: code(row, 11, Gap::from_code)?,
    })
}
