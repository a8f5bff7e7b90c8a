//! Backup and restore.

use rusqlite::Connection;
use switchhook_core::id::Offset;
use tempfile::tempdir;

use super::{ALL, events, open, rows, three_events, write};
use crate::embedded::{restore, verify};
use crate::query::Limit;
use crate::{Error, Store};

#[test]
fn a_backup_of_a_running_store_restores_to_the_same_content() {
    let (dir, store) = three_events();
    write(&store, rows([1, 2])).unwrap();
    let copy = dir.path().join("copy.db");
    store.backup(&copy).unwrap();
    assert!(matches!(store.backup(&copy), Err(Error::File { .. })));
    write(&store, events([4])).unwrap();

    let base = tempdir().unwrap();
    let to = base.path().join("restored");
    restore(&copy, &to).unwrap();
    let again = restore(&copy, &to);
    assert!(matches!(again, Err(Error::File { .. })), "{again:?}");
    let restored = open(&to);
    let vacuum = restored
        .read(|conn, _| conn.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0)));
    assert_eq!(
        vacuum.unwrap(),
        2,
        "it can shrink, like the one it was made from"
    );
    let before = store
        .read_log(Offset(1), Limit { items: 3, ..ALL })
        .unwrap();
    assert_eq!(restored.read_log(Offset(1), ALL).unwrap(), before);
    assert_eq!(restored.counts().unwrap().waiting.get("s"), Some(&2));
    write(&restored, events([5])).unwrap();
    drop(restored);
    let report = verify(&to).unwrap();
    assert_eq!(
        (report.events, report.waiting, report.problems),
        (4, 2, vec![])
    );
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let (dir, store) = three_events();
    let copy = dir.path().join("copy.db");
    store.backup(&copy).unwrap();
    let conn = Connection::open(&copy).unwrap();
    conn.execute_batch("DELETE FROM event WHERE seq = 2")
        .unwrap();
    drop(conn);
    let to = tempdir().unwrap();
    let Err(Error::Damaged { what, .. }) = restore(&copy, to.path()) else {
        panic!("an event is missing")
    };
    assert_eq!(what, "1 offsets are missing from the log");
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
}
