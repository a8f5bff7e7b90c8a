//! A store of format 2 is brought to format 3: its audit log gets its chain, its tokens become documents.

use std::path::Path;

use rusqlite::Connection;
use switchhook_core::audit::{ORIGIN, link};
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;
use tempfile::{TempDir, tempdir};

use super::super::schema::{APPLICATION_ID, FORMAT_1, FORMAT_2_INDEXES, FORMAT_2_TABLES};
use super::{ALL, events, open, options, write};
use crate::batch::{AuditEntry, Document, Resource, ResourceChange, Room};
use crate::embedded::{Embedded, restore, verify, verify_audit};
use crate::{Batch, Error, Store};

/// A file as format 2 had it: an event, resources of which one was deleted, tokens, three audit entries.
fn format_2(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
         {FORMAT_1} {FORMAT_2_TABLES} {FORMAT_2_INDEXES}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;
         INSERT INTO name VALUES (1, 'web'), (2, 'order.made');
         INSERT INTO event VALUES (1, x'00000000000000000000000000000001', 1, 2, NULL, 1, x'', x'31');
         INSERT INTO resource VALUES ('endpoint', 'gone', 2, NULL, 9), ('source', 'web', 4, '{{}}', 8);
         INSERT INTO token VALUES (zeroblob(32), 'first', 5),
             (x'ABCDEF00000000000000000000000000000000000000000000000000000000FF', 'c \"i\" é', 6);
         INSERT INTO audit VALUES (1, 'ada', 'token.create', 'token/first', '{{}}', 5),
             (2, 'bob', 'replay.start', 'subscription/s', '{{\"a\":1}}', 6), (3, 'ada', 'x', '', 'é', 7);"
    ))
    .unwrap();
}

fn migrated() -> (TempDir, Embedded) {
    let dir = tempdir().unwrap();
    format_2(&dir.path().join("store.db"));
    let store = open(dir.path());
    (dir, store)
}

fn entry(actor: &str, action: &str, object: &str, detail: &str, at: u64) -> AuditEntry {
    AuditEntry {
        at: UnixMs(at),
        actor: actor.into(),
        action: action.into(),
        object: object.into(),
        detail: detail.into(),
    }
}

#[test]
fn the_audit_log_of_format_2_is_chained_in_its_order_and_goes_on() {
    let (dir, store) = migrated();
    let new = entry("cyd", "resource.put", "source/web", "{}", 8);
    let batch = Batch {
        audit: vec![new.clone()],
        ..Batch::default()
    };
    write(&store, batch).unwrap();
    let found = store.audit_from(1, 9).unwrap();
    let expected = [
        entry("ada", "token.create", "token/first", "{}", 5),
        entry("bob", "replay.start", "subscription/s", "{\"a\":1}", 6),
        entry("ada", "x", "", "é", 7),
        new,
    ];
    let mut last = ORIGIN;
    assert_eq!(found.len(), expected.len());
    for (number, (found, expected)) in (1..).zip(found.iter().zip(&expected)) {
        last = link(&last, &expected.hashed(number));
        assert_eq!(
            (found.number, &found.entry, found.hash),
            (number, expected, last)
        );
    }
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn the_tokens_of_format_2_are_documents() {
    let (dir, store) = migrated();
    let document = |id: String, body: &str, at| Document {
        room: Room::Token,
        id: id.into(),
        body: body.to_owned().into(),
        updated_at: UnixMs(at),
        expires_at: None,
    };
    let found = store.documents(Room::Token, None, 9, UnixMs(9)).unwrap();
    let (first, second) = ("0".repeat(64), format!("abcdef{}ff", "0".repeat(56)));
    assert_eq!(
        found,
        [
            document(
                first,
                r#"{"id":"tok_00000000000570008000000000000000","name":"first","scopes":["admin"],"createdAt":5}"#,
                5
            ),
            document(
                second,
                r#"{"id":"tok_0000000000067abc8def000000000000","name":"c \"i\" é","scopes":["admin"],"createdAt":6}"#,
                6
            ),
        ]
    );
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn the_resources_of_format_2_are_managed_by_no_file_and_their_versions_go_on() {
    let (_dir, store) = migrated();
    let resource = |kind: &str, name: &str, version, body: Option<&str>, at| Resource {
        kind: kind.into(),
        name: name.into(),
        version,
        body: body.map(Into::into),
        managed_by: None,
        updated_at: UnixMs(at),
    };
    let web = resource("source", "web", 4, Some("{}"), 8);
    let gone = resource("endpoint", "gone", 2, None, 9);
    assert_eq!(store.resources().unwrap(), [gone, web.clone()]);
    let again = ResourceChange {
        kind: "endpoint".into(),
        name: "gone".into(),
        body: Some("{}".into()),
        managed_by: Some("team.toml".into()),
        at: UnixMs(10),
    };
    let batch = Batch {
        resources: vec![again],
        ..Batch::default()
    };
    write(&store, batch).unwrap();
    let back = Resource {
        managed_by: Some("team.toml".into()),
        ..resource("endpoint", "gone", 3, Some("{}"), 10)
    };
    assert_eq!(store.resources().unwrap(), [back, web]);
    write(&store, events([2])).unwrap();
    assert_eq!(store.read_log(Offset(1), ALL).unwrap().len(), 2);
}

#[test]
fn a_backup_of_format_2_is_checked_and_restored_and_has_no_chain_before() {
    let dir = tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    format_2(&copy);
    let to = dir.path().join("restored");
    restore(&copy, &to).unwrap();
    assert!(matches!(
        verify_audit(&to, Default::default()),
        Err(Error::Damaged { .. })
    ));
    drop(open(&to));
    let report = verify_audit(&to, Default::default()).unwrap();
    assert_eq!((report.entries, report.findings), (3, vec![]));
}

#[test]
fn a_migration_that_fails_leaves_format_2() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.db");
    format_2(&path);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE document (theirs)")
        .unwrap();
    drop(conn);
    assert!(Embedded::open(dir.path(), options()).is_err());
    let conn = Connection::open(&path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 2);
    assert_eq!(number("SELECT count(*) FROM token"), 2);
    conn.execute_batch("DROP TABLE document").unwrap();
    drop(conn);
    assert_eq!(open(dir.path()).counts().unwrap().events, 1);
}
