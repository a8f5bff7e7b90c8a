//! How long identities are remembered.

use rusqlite::Connection;
use switchhook_core::time::UnixMs;
use tempfile::tempdir;

use super::{event, open, write};
use crate::Batch;
use crate::batch::NewEvent;

#[test]
fn expired_identities_are_removed_while_new_ones_come() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let identified = |n: u64| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let dedup = crate::batch::DedupEntry {
            key,
            body_hash: n,
            window_ms: 1000,
        };
        NewEvent {
            received_at: UnixMs(n * 10_000),
            dedup: Some(dedup),
            ..event(n)
        }
    };
    for hundred in 0..100 {
        let events = (hundred * 100..(hundred + 1) * 100)
            .map(identified)
            .collect();
        write(
            &store,
            Batch {
                events,
                ..Batch::default()
            },
        )
        .unwrap();
    }
    drop(store);
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    let left: i64 = conn
        .query_row("SELECT count(*) FROM identity", [], |row| row.get(0))
        .unwrap();
    // 360 of them are younger than the hour that entries are kept longer.
    assert!((300..3000).contains(&left), "{left} of 10000");
}

#[test]
fn identities_are_remembered_after_the_clock_was_ahead_for_a_moment() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    const DAY_MS: u64 = 86_400_000;
    let identified = |id: u64, identity: u64, at: u64| NewEvent {
        received_at: UnixMs(at),
        dedup: Some(crate::batch::DedupEntry {
            key: u128::from(identity).to_be_bytes(),
            body_hash: identity,
            window_ms: DAY_MS,
        }),
        ..event(id)
    };
    let one = |event| {
        let batch = Batch {
            events: vec![event],
            ..Batch::default()
        };
        write(&store, batch).unwrap().appended
    };
    one(identified(1, 1, 100 * DAY_MS));
    // More than memory keeps, so that all of them move on to the table.
    for n in 2..=20 {
        one(identified(n, n, n));
    }
    for n in 2..=20 {
        let again = one(identified(100 + n, n, 100));
        assert!(
            matches!(again[..], [crate::Appended::Duplicate { .. }]),
            "{n}: {again:?}"
        );
    }
}
