//! How SQLite finds things: no query of the hot path reads a table from end to end.

use rusqlite::Connection;
use switchhook_core::delivery::DeadReason;
use switchhook_core::time::UnixMs;

use super::super::{
    append, audit, documents, identities, names, order, progress, read, read_attempts, read_dead,
    read_work, records, retention,
};
use super::{three_events, waiting};
use crate::query::{DeadFilter, DeadPosition};

/// Everything that is asked or written while the gateway works.
const HOT: &[&str] = &[
    names::ID_OF,
    names::TEXT_OF,
    append::INSERT_EVENT,
    append::BODY_OF,
    identities::NOTE,
    identities::FIND,
    identities::MOVE,
    identities::TRIM,
    identities::WALK,
    identities::FORGET,
    audit::BEFORE,
    audit::FROM,
    audit::INSERT,
    audit::LAST,
    documents::DELETE,
    documents::EXPIRED,
    documents::GET,
    documents::LIST,
    documents::LIST_AFTER,
    documents::PUT,
    read_attempts::BEFORE,
    read_attempts::EVENT_ID,
    order::HALTING,
    order::RELEASE_ALL,
    order::RELEASE_KEY,
    order::KEYS,
    progress::RECOUNT,
    retention::ATTEMPTS,
    retention::DEAD,
    retention::EVENTS,
    retention::FORGET_ALL_ATTEMPTS,
    retention::FORGET_ATTEMPTS,
    retention::FORGET_EVENT,
    retention::NOTE,
    records::INSERT_ATTEMPT,
    records::INSERT_WAITING,
    records::UPDATE_WAITING,
    records::DELETE_WAITING,
    records::INSERT_DEAD,
    records::DELETE_DEAD,
    read::LOG,
    read::BY_ID,
    read::BY_OFFSET,
    read::END,
    read::FIRST_FROM,
    read_work::DUE,
    read_work::WAITING_FROM,
    records::LAST_CHAIN,
    read_work::WAITING,
    read_work::SETTLED,
    read_work::ATTEMPTS_OF,
    read_work::WAITING_OF,
    read_work::TOP,
    read_work::OLDEST_DUE,
    read_work::HELD,
    read_dead::OF_EVENT,
];

/// The steps of a plan.
fn steps(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![rusqlite::types::Value::Integer(1); statement.parameter_count()];
    let steps = statement
        .query_map(rusqlite::params_from_iter(parameters), |row| {
            row.get::<_, String>(3)
        })
        .unwrap();
    steps.map(Result::unwrap).collect()
}

/// The steps of a plan that read a table from end to end, or sort.
fn bad_steps(conn: &Connection, sql: &str) -> Vec<String> {
    steps(conn, sql)
        .into_iter()
        .filter(|step| {
            step.contains("TEMP B-TREE")
                || step.starts_with("SCAN") && !step.contains("CONSTANT ROW")
        })
        .collect()
}

#[test]
fn no_hot_query_reads_a_whole_table() {
    let (dir, store) = three_events();
    drop(store);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    for sql in HOT {
        assert_eq!(bad_steps(&conn, sql), [""; 0], "{sql}");
    }
    let scan = bad_steps(&conn, "SELECT * FROM waiting WHERE due_at < ?1");
    assert_eq!(scan, ["SCAN waiting"], "the check itself finds scans");
}

#[test]
fn what_is_looked_for_is_found_by_the_index_that_was_made_for_it() {
    let (dir, store) = three_events();
    drop(store);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    let lane = "(subscription=? AND partition=?";
    for (sql, index) in [
        (
            read_work::HELD,
            "waiting USING COVERING INDEX waiting_held (subscription=?)".into(),
        ),
        (
            read_work::DUE,
            format!("waiting USING COVERING INDEX waiting_due {lane} AND due_at<?)"),
        ),
        (
            order::KEYS,
            format!("waiting USING COVERING INDEX waiting_due {lane})"),
        ),
        (
            order::HALTING,
            format!("dead USING COVERING INDEX dead_halting {lane} AND key>?)"),
        ),
        (
            order::RELEASE_KEY,
            format!("waiting USING COVERING INDEX waiting_order {lane} AND key=?)"),
        ),
        (
            order::RELEASE_ALL,
            format!("waiting USING COVERING INDEX waiting_due {lane} AND due_at=?)"),
        ),
        (retention::DEAD, "dead USING INDEX dead_old (at<?)".into()),
        (
            documents::EXPIRED,
            "document USING COVERING INDEX document_expiring (expires_at>? AND expires_at<?)"
                .into(),
        ),
        (
            documents::LIST_AFTER,
            "document USING PRIMARY KEY (room=? AND id>?)".into(),
        ),
        (
            read_attempts::BEFORE,
            "attempt USING PRIMARY KEY (seq<?)".into(),
        ),
    ] {
        let found = steps(&conn, sql);
        assert!(
            found.contains(&format!("SEARCH {index}")),
            "{sql}: {found:?}"
        );
    }
    for sql in [order::RELEASE_KEY, order::RELEASE_ALL] {
        let found = steps(&conn, sql);
        let row = "SEARCH waiting USING PRIMARY KEY (seq=? AND subscription=?)";
        assert!(found.iter().any(|step| step == row), "{sql}: {found:?}");
    }
}

#[test]
fn dead_letters_are_listed_by_an_index_in_their_order() {
    let (dir, store) = three_events();
    drop(store);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    let after = DeadPosition {
        at: UnixMs(5),
        key: waiting(1).key,
    };
    for filter in [
        DeadFilter::default(),
        DeadFilter {
            endpoint: Some("e".into()),
            ..DeadFilter::default()
        },
        DeadFilter {
            subscription: Some("s".into()),
            ..DeadFilter::default()
        },
        DeadFilter {
            reason: Some(DeadReason::Refused),
            status: Some(400),
            ..DeadFilter::default()
        },
    ] {
        for after in [None, Some(&after)] {
            let conditions = read_dead::conditions(&conn, &filter, after)
                .unwrap()
                .unwrap();
            assert_eq!(
                bad_steps(&conn, &read_dead::list_sql(&conditions)),
                [""; 0],
                "{filter:?}"
            );
        }
    }
}
