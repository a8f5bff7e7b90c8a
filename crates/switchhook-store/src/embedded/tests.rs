mod copies;
mod disk;
mod format;
mod format_2;
mod identities;
mod plans;
mod retention;
mod verify;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::Connection;
use switchhook_core::delivery::{
    Attempt, DeliveryKey, OutcomeKind, Place, Records, Verdict, WaitReason, Waiting,
};
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use super::{Embedded, Options, read};
use crate::batch::NewEvent;
use crate::query::Limit;
use crate::{Batch, Error, Receipt, Store};

const ALL: Limit = Limit {
    items: 1000,
    bytes: usize::MAX,
};

fn options() -> Options {
    Options {
        ballast_bytes: 0,
        soft_free_bytes: 0,
        hard_free_bytes: 0,
        ..Options::default()
    }
}

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, options()).unwrap()
}

fn refusal(dir: &Path) -> Error {
    Embedded::open(dir, options())
        .err()
        .expect("it must be refused")
}

fn event(n: u64) -> NewEvent {
    NewEvent {
        id: EventId(Uuid::from_u128(u128::from(n))),
        source: "web".into(),
        kind: "order.made".into(),
        key: None,
        received_at: UnixMs(n),
        headers: [].into(),
        body: Bytes::from(n.to_string()),
        dedup: None,
    }
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Batch {
    Batch {
        events: numbers.into_iter().map(event).collect(),
        ..Batch::default()
    }
}

fn waiting(offset: u64) -> Waiting {
    Waiting {
        key: DeliveryKey {
            subscription: "s".into(),
            offset: Offset(offset),
        },
        place: Place::default(),
        chain: 0,
        attempts: 1,
        counted: 1,
        due_at: UnixMs(offset),
        deadline: UnixMs::NEVER,
        delay_ms: 1,
        reason: WaitReason::Retry,
    }
}

fn rows(offsets: impl IntoIterator<Item = u64>) -> Batch {
    let records = Records {
        waiting: offsets.into_iter().map(waiting).collect(),
        ..Records::default()
    };
    Batch {
        records,
        ..Batch::default()
    }
}

fn hand_in(store: &Embedded, batch: Batch) -> Receiver<Result<Receipt, Error>> {
    let (answer, answered) = channel();
    store.submit(
        batch,
        Box::new(move |result| answer.send(result).unwrap_or_default()),
    );
    answered
}

fn attempt(offset: u64) -> Attempt {
    Attempt {
        key: waiting(offset).key,
        partition: 0,
        chain: 0,
        n: 1,
        endpoint: "e".into(),
        at: UnixMs(1),
        duration_ms: 1,
        outcome: OutcomeKind::Status(200),
        rule: "r".into(),
        verdict: Verdict::Delivered,
        detail: None,
        next_at: None,
    }
}

fn write(store: &Embedded, batch: Batch) -> Result<Receipt, Error> {
    hand_in(store, batch).recv().unwrap()
}

fn three_events() -> (TempDir, Embedded) {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    write(&store, events(1..=3)).unwrap();
    (dir, store)
}

#[test]
fn a_second_open_is_refused_until_the_first_is_closed() {
    let (dir, store) = three_events();
    assert!(matches!(refusal(dir.path()), Error::Locked(path) if path == dir.path()));
    drop(store);
    drop(open(dir.path()));
}

#[test]
fn a_store_is_its_owners_alone() {
    let base = tempdir().unwrap();
    let dir = base.path().join("a/b");
    let _store = open(&dir);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in ["store.db", "store.db-wal", "store.db-shm", "lock"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let garbage = vec![b'g'; 8192];
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.db");
    std::fs::write(&path, &garbage).unwrap();
    assert!(matches!(refusal(dir.path()), Error::Damaged { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);

    let other = tempdir().unwrap();
    let conn = Connection::open(other.path().join("store.db")).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let Error::Damaged { what, .. } = refusal(other.path()) else {
        panic!("another program's file")
    };
    assert!(what.contains("application id"), "{what}");
}

#[test]
fn a_newer_format_is_refused() {
    let (dir, store) = three_events();
    drop(store);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(conn);
    assert!(matches!(
        refusal(dir.path()),
        Error::TooNew {
            found: 99,
            known: 3,
            ..
        }
    ));
}

#[test]
fn a_batch_that_cannot_be_written_takes_no_other_with_it() {
    let (dir, store) = three_events();
    let other = Connection::open(dir.path().join("store.db")).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON waiting WHEN new.seq = 2 BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    let answers = [
        rows([1]),
        Batch {
            events: vec![event(9)],
            ..rows([2])
        },
        rows([3]),
        events([4]),
    ]
    .map(|batch| hand_in(&store, batch))
    .map(|answer| answer.recv().unwrap());
    let [first, refused, third, event] = answers;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    first.unwrap();
    third.unwrap();
    let offset = Offset(4);
    assert!(
        matches!(event.unwrap().appended[..], [crate::Appended::New { offset: found, .. }] if found == offset)
    );
    assert_eq!(store.counts().unwrap().waiting.get("s"), Some(&2));
}

#[test]
fn closing_commits_what_was_handed_in_and_refuses_what_comes_later() {
    let (dir, store) = three_events();
    let early: Vec<_> = (4..50).map(|n| hand_in(&store, events([n]))).collect();
    let late_record = hand_in(&store, rows([1]));
    store.close();
    assert!(
        early
            .into_iter()
            .all(|answer| answer.recv().unwrap().is_ok())
    );
    assert!(late_record.recv().unwrap().is_ok());
    assert!(matches!(write(&store, events([99])), Err(Error::Closed)));
    assert_eq!(
        std::fs::metadata(dir.path().join("store.db-wal"))
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn a_write_that_fails_poisons_the_store() {
    let (dir, store) = three_events();
    // Another connection breaks the table that the writer needs next.
    let other = Connection::open(dir.path().join("store.db")).unwrap();
    other
        .execute_batch("DROP TABLE dead_count; DROP TABLE event")
        .unwrap();
    let first = write(&store, events([4]));
    assert!(matches!(first, Err(Error::Fatal(_))), "{first:?}");
    assert!(matches!(write(&store, rows([1])), Err(Error::Fatal(_))));
}

#[test]
fn a_hundred_thousand_waiting_rows_are_found_by_index() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for block in 0..100 {
        write(&store, events(block * 1000 + 1..=(block + 1) * 1000)).unwrap();
        write(&store, rows(block * 1000 + 1..=(block + 1) * 1000)).unwrap();
    }
    let skip: BTreeSet<Offset> = (1..=10).map(Offset).collect();
    let work = store
        .due("s", 0, UnixMs(u64::MAX), &skip, Limit { items: 2, ..ALL })
        .unwrap();
    let found: Vec<u64> = work.rows.iter().map(|(row, _)| row.key.offset.0).collect();
    assert_eq!((found, work.next_due), (vec![11, 12], Some(UnixMs(13))));
    assert_eq!(store.counts().unwrap().waiting.get("s"), Some(&100_000));
}

#[test]
fn records_alone_are_written_without_an_event_to_ride_with() {
    let (_dir, store) = three_events();
    let attempt = attempt(1);
    let records = Records {
        attempts: vec![attempt.clone()],
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
    assert_eq!(store.history(Offset(1)).unwrap().attempts, [attempt]);
}

#[test]
fn queries_that_take_long_do_not_hold_up_dispatch() {
    let (_dir, store) = three_events();
    write(&store, rows([1])).unwrap();
    let queries: Vec<_> = store.readers.lock().drain(..).collect();
    let (answer, answered) = channel();
    std::thread::spawn(move || {
        store.read_log(Offset(1), ALL).unwrap();
        store.cursors().unwrap();
        store.settled_from("s", 0, Offset(1)).unwrap();
        let due = store.due("s", 0, UnixMs(9), &BTreeSet::new(), ALL);
        answer.send(due.unwrap().rows.len()).unwrap();
    });
    assert_eq!(answered.recv_timeout(Duration::from_secs(10)), Ok(1));
    drop(queries);
}

#[test]
fn what_a_failed_read_tells_is_why_it_failed() {
    let (dir, _store) = three_events();
    let mut reader = read::Reader::open(&dir.path().join("store.db")).unwrap();
    // SQLite ends the transaction by itself when the disk fails.
    let failed = reader.at_one_moment(|conn, _| {
        conn.execute_batch("ROLLBACK")?;
        Err::<(), _>(super::codec::bad("the disk failed"))
    });
    let told = failed.unwrap_err().to_string();
    assert!(told.contains("the disk failed"), "{told}");
    assert_eq!(reader.at_one_moment(|_, _| Ok(7)).unwrap(), 7);
}

#[test]
fn closing_does_not_wait_for_another_program_that_reads() {
    let (dir, store) = three_events();
    let other = Connection::open(dir.path().join("store.db")).unwrap();
    other
        .execute_batch("BEGIN; SELECT count(*) FROM event;")
        .unwrap();
    write(&store, events([4])).unwrap();
    let began = Instant::now();
    store.close();
    assert!(began.elapsed() < Duration::from_secs(5));
}
