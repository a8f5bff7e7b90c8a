//! What a check of a whole store finds.

use rusqlite::Connection;
use switchhook_core::audit::checkpoint::{self, Checkpoint, NoteKey};
use switchhook_core::audit::verifier::{Finding, Kept, Witnesses};
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::ed25519::SigningKey;
use switchhook_core::time::UnixMs;
use tempfile::{TempDir, tempdir};

use super::{open, refusal, rows, three_events, write};
use crate::batch::{AuditEntry, DocumentChange, Room};
use crate::embedded::{verify, verify_audit};
use crate::{Batch, Error, Store};

#[test]
fn a_damaged_store_is_refused_or_found_by_verify() {
    let (dir, store) = three_events();
    drop(store);
    let path = dir.path().join("store.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page holds the schema: without it nothing can be read.
    bytes[100..200].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(refusal(dir.path()), Error::Damaged { .. }));
    assert!(matches!(verify(dir.path()), Err(Error::Damaged { .. })));
}

#[test]
fn verify_names_each_broken_invariant() {
    let (dir, store) = three_events();
    write(&store, rows([1])).unwrap();
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    for (sql, problem) in [
        (
            "UPDATE progress SET committed = 5",
            "1 cursors are past the end of the log",
        ),
        (
            "UPDATE waiting SET seq = 9",
            "1 waiting rows are of no event",
        ),
        (
            "UPDATE progress SET waiting = 7",
            "1 counts of waiting rows are wrong",
        ),
        (
            "UPDATE event SET source = 77 WHERE seq = 1",
            "1 events have a source or type without a name",
        ),
        (
            "INSERT INTO dead SELECT seq, 's', chain, 1, 1, 1, NULL, 'e', 1, NULL, 0, NULL, 1 FROM waiting",
            "1 deliveries are both waiting and dead",
        ),
        (
            "UPDATE progress SET member = 77",
            "1 members of groups have no name",
        ),
        (
            "UPDATE progress SET top = 0",
            "1 waiting rows are above the highest offset noted for their partition",
        ),
        (
            "INSERT INTO audit VALUES (3, 'ada', 'a', 'o', '{}', 1, zeroblob(32))",
            "2 numbers are missing from the audit log",
        ),
        (
            "UPDATE forgotten SET events = 2",
            "2 offsets are missing from the log",
        ),
    ] {
        conn.execute_batch(&format!("BEGIN; {sql}; COMMIT"))
            .unwrap();
        let problems = verify(dir.path()).unwrap().problems;
        assert!(
            problems.iter().any(|found| found == problem),
            "{sql}: {problems:?}"
        );
    }
}

const STORE: &str = "0198c5d2";
const NAME: &str = "gateway.example";

struct NoLookup;

impl Lookup for NoLookup {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Err(SecretError {
            name: name.into(),
            reason: "there are none".into(),
        })
    }
}

fn key() -> SigningKey {
    // Base64 of 32 zeros.
    let text = format!("whsk_{}=", "A".repeat(43));
    let literal = SecretRef::Literal(Secret::new(text.into()));
    SigningKey::read(&literal, &NoLookup).unwrap()
}

fn witnesses() -> Witnesses {
    let key = NoteKey::new(NAME, key().public_key()).unwrap();
    Witnesses::new(vec![key], Some(STORE))
}

fn entries(actors: &[&str]) -> Batch {
    let entry = |actor: &&str| AuditEntry {
        at: UnixMs(7),
        actor: (*actor).into(),
        action: "resource.put".into(),
        object: "endpoint/crm".into(),
        detail: "{}".into(),
    };
    Batch {
        audit: actors.iter().map(entry).collect(),
        ..Batch::default()
    }
}

/// A closed store with five audit entries.
fn five_entries() -> TempDir {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    write(&store, entries(&["ada", "bob"])).unwrap();
    write(&store, entries(&["cyd", "dan", "eve"])).unwrap();
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
    dir
}

/// What is found after somebody ran `sql` on the file.
fn found_after(sql: &str) -> Vec<String> {
    let dir = five_entries();
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch(sql).unwrap();
    drop(conn);
    verify(dir.path()).unwrap().problems
}

#[test]
fn an_entry_that_is_edited_deleted_swapped_or_inserted_breaks_the_audit_log_there() {
    let broken = |number: u64| Finding::Broken { number }.to_string();
    assert_eq!(
        found_after("UPDATE audit SET actor = 'nobody' WHERE number = 3"),
        [broken(3)]
    );
    assert_eq!(
        found_after("UPDATE audit SET hash = x'00' WHERE number = 3"),
        [broken(3), broken(4)]
    );
    let missing = Finding::Missing { from: 2, to: 3 }.to_string();
    assert_eq!(
        found_after("DELETE FROM audit WHERE number IN (2, 3)"),
        [
            "2 numbers are missing from the audit log".to_owned(),
            missing,
            broken(4)
        ]
    );
    assert_eq!(
        found_after(
            "UPDATE audit SET number = 9 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 4;
             UPDATE audit SET number = 4 WHERE number = 9"
        ),
        [broken(2), broken(3), broken(4), broken(5)]
    );
    assert_eq!(
        found_after(
            "UPDATE audit SET number = -number WHERE number > 2;
             UPDATE audit SET number = 1 - number WHERE number < 0;
             INSERT INTO audit SELECT 3, 'mal', action, object, detail, at, hash FROM audit WHERE number = 2"
        )[0],
        broken(3)
    );
}

#[test]
fn checkpoints_in_the_store_and_from_outside_find_what_the_chain_does_not() {
    let dir = five_entries();
    let store = open(dir.path());
    let note = |entries: usize| {
        let last = store.audit(Some(entries as u64 + 1), 1).unwrap();
        let checkpoint = Checkpoint {
            store: STORE.into(),
            entries: last[0].number,
            head: last[0].hash,
            at: None,
        };
        checkpoint::sign(&checkpoint, NAME, &key()).unwrap()
    };
    let (own, theirs) = (note(4), note(5));
    let kept = DocumentChange {
        room: Room::Checkpoint,
        id: "4".into(),
        body: Some(own.into()),
        at: UnixMs(8),
        expires_at: None,
    };
    let batch = Batch {
        documents: vec![kept],
        ..Batch::default()
    };
    write(&store, batch).unwrap();
    drop(store);
    let report = verify_audit(dir.path(), witnesses()).unwrap();
    assert_eq!((report.entries, report.checkpoints), (5, 1));
    assert_eq!(report.findings, []);

    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch("DELETE FROM audit WHERE number > 3")
        .unwrap();
    drop(conn);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
    let mut with_theirs = witnesses();
    with_theirs.add(Kept::Outside("copy".into()), &theirs);
    let truncated = |entries, known_to| Finding::Truncated {
        entries,
        found: 3,
        known_to,
    };
    assert_eq!(
        verify_audit(dir.path(), with_theirs).unwrap().findings,
        [
            truncated(4, Kept::Inside("4".into())),
            truncated(5, Kept::Outside("copy".into()))
        ]
    );
}

#[test]
fn the_audit_log_goes_on_where_it_ended_after_a_batch_that_failed() {
    let (dir, store) = three_events();
    write(&store, entries(&["ada"])).unwrap();
    let other = Connection::open(dir.path().join("store.db")).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON audit WHEN new.actor = 'mal' BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    let refused = write(&store, entries(&["bob", "mal"]));
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    other.execute_batch("DROP TRIGGER no").unwrap();
    write(&store, entries(&["bob"])).unwrap();
    let numbers: Vec<_> = store.audit_from(1, 9).unwrap();
    let numbers: Vec<_> = numbers
        .iter()
        .map(|entry| (entry.number, &*entry.entry.actor))
        .collect();
    assert_eq!(numbers, [(1, "ada"), (2, "bob")]);
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}
