//! A store of format 1 is brought to the newest format, and the result is like a new one.

use std::path::Path;

use rusqlite::{Connection, params};
use switchhook_core::delivery::{Dead, DeadReason, Gap, Place, Records};
use switchhook_core::group::key_hash;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;
use tempfile::{TempDir, tempdir};

use super::super::schema::{APPLICATION_ID, FORMAT_1};
use super::{ALL, attempt, event, events, open, options, rows, waiting, write};
use crate::batch::{DedupEntry, NewEvent};
use crate::embedded::{Embedded, restore, verify};
use crate::{Appended, Batch, Store};

/// Some events have a key.
fn keyed(n: u64) -> NewEvent {
    NewEvent {
        key: (n % 2 == 1).then(|| format!("conversation-{n}").into()),
        dedup: Some(DedupEntry {
            key: u128::from(n).to_be_bytes(),
            body_hash: n,
            window_ms: 60_000,
        }),
        ..event(n)
    }
}

/// A file as format 1 had it: five events, identities in both places, attempts, rows, a dead letter, progress.
fn format_1(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; {FORMAT_1}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;
         INSERT INTO name VALUES (1, 'web'), (2, 'order.made'), (3, 's'), (4, 'e'), (5, 'r');"
    ))
    .unwrap();
    for n in 1..=5 {
        let event = keyed(n);
        let (id, seq) = (event.id.0.into_bytes(), n.cast_signed());
        conn.execute(
            "INSERT INTO event VALUES (?1, ?2, 1, 2, ?3, ?1, x'', ?4)",
            params![seq, id.as_slice(), event.key.as_deref(), &*event.body],
        )
        .unwrap();
        let table = if n < 3 { "identity" } else { "identity_log" };
        conn.execute(
            &format!("INSERT INTO {table} (seq, key, body_hash, expires_at) VALUES (?1, ?2, ?1, ?1 + 60000)"),
            params![seq, u128::from(n).to_be_bytes().as_slice()],
        )
        .unwrap();
    }
    conn.execute_batch(&format!(
        "INSERT INTO attempt VALUES (1, 3, 0, 1, 4, 1, 1, 200, 5, 1, NULL, NULL);
         INSERT INTO waiting VALUES (3, 3, 0, 1, 1, 3, {max}, 1, 1), (4, 3, 0, 1, 1, 4, {max}, 1, 1);
         INSERT INTO dead VALUES (5, 's', 0, 1, 9, 1, 503, 'e', 2, NULL);
         INSERT INTO progress VALUES (3, 5, 5, 2);
         INSERT INTO dead_count VALUES ('e', 1, 1);
         INSERT INTO resource VALUES ('source', 'web', 1, '{{}}', 1);",
        max = i64::MAX
    ))
    .unwrap();
}

fn migrated() -> (TempDir, Embedded) {
    let dir = tempdir().unwrap();
    format_1(&dir.path().join("store.db"));
    let store = open(dir.path());
    (dir, store)
}

fn key(n: u64) -> Place {
    Place {
        partition: 0,
        key: keyed(n).key.as_deref().map(key_hash),
    }
}

#[test]
fn a_store_of_format_1_keeps_everything_it_has() {
    let (dir, store) = migrated();
    let log = store.read_log(Offset(1), ALL).unwrap();
    let expected: Vec<_> = (1..=5).map(|n| keyed(n).at(Offset(n))).collect();
    assert_eq!(
        log.iter()
            .map(|event| (**event).clone())
            .collect::<Vec<_>>(),
        expected
    );
    let rows = store.waiting("s", Offset(0), ALL).unwrap();
    let rows: Vec<_> = rows.into_iter().map(|(row, _)| row).collect();
    let row = |n| super::Waiting {
        place: key(n),
        ..waiting(n)
    };
    assert_eq!(rows, [row(3), row(4)]);
    assert!(row(3).place.key.is_some() && row(4).place.key.is_none());
    let history = store.history(Offset(5)).unwrap();
    assert_eq!(
        (history.dead[0].place, history.dead[0].gap),
        (key(5), Gap::None)
    );
    assert_eq!(store.history(Offset(1)).unwrap().attempts, [attempt(1)]);
    let [cursor] = &store.cursors().unwrap()[..] else {
        panic!("there is one cursor")
    };
    assert_eq!(
        (cursor.partition, cursor.offset, &cursor.member),
        (0, Offset(5), &None)
    );
    assert_eq!(store.resources().unwrap().len(), 1);
    let counts = store.counts().unwrap();
    assert_eq!(
        (counts.events, counts.end, counts.waiting.get("s")),
        (5, Offset(6), Some(&2))
    );
    for n in 1..=5 {
        let again = NewEvent {
            id: event(n + 20).id,
            ..keyed(n)
        };
        let batch = Batch {
            events: vec![again],
            ..Batch::default()
        };
        let first = Appended::Duplicate {
            id: event(n).id,
            same_body: true,
        };
        assert_eq!(write(&store, batch).unwrap().appended, [first]);
    }
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn a_migrated_store_has_the_tables_of_a_new_one_and_can_shrink() {
    let (old, store) = migrated();
    drop(store);
    let new = tempdir().unwrap();
    drop(open(new.path()));
    let [old, new] = [old, new].map(|dir| {
        let conn = Connection::open(dir.path().join("store.db")).unwrap();
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("PRAGMA auto_vacuum"), 2);
        assert_eq!(number("PRAGMA user_version"), 3);
        let mut tables = conn
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name")
            .unwrap();
        let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
        tables.map(Result::unwrap).collect::<Vec<_>>()
    });
    assert_eq!(old, new);
}

#[test]
fn what_is_written_before_and_after_a_migration_is_found_together() {
    let (dir, store) = migrated();
    write(&store, events([6])).unwrap();
    write(&store, rows([6])).unwrap();
    let halting = Dead {
        key: waiting(3).key,
        place: key(3),
        chain: 0,
        attempts: 2,
        at: UnixMs(10),
        reason: DeadReason::Exhausted,
        outcome: None,
        endpoint: "e".into(),
        detail: None,
        gap: Gap::Halted,
    };
    let records = Records {
        dead: vec![halting],
        ..Records::default()
    };
    write(
        &store,
        Batch {
            records,
            ..Batch::default()
        },
    )
    .unwrap();
    let keys = store.keys("s", 0).unwrap();
    let halted: Vec<_> = keys.values().map(|rows| rows.halted.clone()).collect();
    assert_eq!(halted, [[Offset(3)]]);
    assert_eq!(store.counts().unwrap().waiting.get("s"), Some(&2));
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn a_backup_of_format_1_is_checked_and_restored() {
    let dir = tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    format_1(&copy);
    let to = dir.path().join("restored");
    restore(&copy, &to).unwrap();
    assert_eq!(open(&to).counts().unwrap().events, 5);

    let conn = Connection::open(&copy).unwrap();
    conn.execute_batch("UPDATE waiting SET seq = 99 WHERE seq = 3")
        .unwrap();
    drop(conn);
    let refused = restore(&copy, &dir.path().join("again"));
    assert!(refused.is_err(), "a row is of no event");
}

#[test]
fn a_migration_that_fails_leaves_format_1() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.db");
    format_1(&path);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE audit (theirs)").unwrap();
    drop(conn);
    assert!(Embedded::open(dir.path(), options()).is_err());
    let conn = Connection::open(&path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 1);
    assert_eq!(number("SELECT count(*) FROM progress WHERE waiting = 2"), 1);
    conn.execute_batch("DROP TABLE audit").unwrap();
    drop(conn);
    assert_eq!(open(dir.path()).counts().unwrap().events, 5);
}
