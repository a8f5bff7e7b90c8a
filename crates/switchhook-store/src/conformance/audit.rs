//! The audit log: numbered, chained, read from both ends.

use switchhook_core::audit::{Entry, ORIGIN, link, verifier};
use switchhook_core::time::UnixMs;

use super::Fixture;
use crate::Batch;
use crate::batch::AuditEntry;
use crate::query::Audited;

fn entry(n: u64) -> AuditEntry {
    AuditEntry {
        at: UnixMs(n),
        actor: "ada".into(),
        action: "replay.start".into(),
        object: format!("subscription/{n}").into(),
        detail: "{}".into(),
    }
}

fn write(fixture: &Fixture, entries: &[u64]) {
    fixture.write(Batch {
        audit: entries.iter().map(|n| entry(*n)).collect(),
        ..Batch::default()
    });
}

fn numbers(found: &[Audited]) -> Vec<u64> {
    for audited in found {
        assert_eq!(audited.entry, entry(audited.number * 10));
    }
    found.iter().map(|audited| audited.number).collect()
}

pub(super) fn the_log_is_numbered_and_read_from_both_ends(fixture: &mut Fixture) {
    write(fixture, &[10, 20]);
    write(fixture, &[30]);
    fixture.reopen();
    write(fixture, &[40]);
    let before = |before, items| {
        let found = fixture.store().audit(before, items);
        numbers(&found.expect("it can be read"))
    };
    assert_eq!(before(None, 9), [4, 3, 2, 1]);
    assert_eq!(before(None, 2), [4, 3]);
    assert_eq!(before(Some(3), 9), [2, 1]);
    assert_eq!(before(Some(1), 9), [0; 0]);
    let from = |from, items| {
        let found = fixture.store().audit_from(from, items);
        numbers(&found.expect("it can be read"))
    };
    assert_eq!(from(0, 9), [1, 2, 3, 4]);
    assert_eq!(from(1, 2), [1, 2]);
    assert_eq!(from(3, 9), [3, 4]);
    assert_eq!(from(5, 9), [0; 0]);
}

pub(super) fn each_entry_is_chained_to_the_one_before(fixture: &mut Fixture) {
    assert_eq!(
        fixture.store().audit(None, 1).expect("it can be read"),
        [],
        "nothing was done yet"
    );
    write(fixture, &[10, 20, 30]);
    fixture.reopen();
    write(fixture, &[u64::MAX]);
    write(fixture, &[50, 60]);
    fixture.reopen();
    // By hand, from what was handed in: so it is the same in every engine.
    let mut expected = Vec::new();
    let mut last = ORIGIN;
    for (number, at) in [(1, 10), (2, 20), (3, 30), (4, u64::MAX), (5, 50), (6, 60)] {
        let object = format!("subscription/{at}");
        last = link(
            &last,
            &Entry {
                number,
                // What is later than the store can say reads back as that.
                at: UnixMs(at).min(UnixMs::NEVER),
                actor: "ada",
                action: "replay.start",
                object: &object,
                detail: "{}",
            },
        );
        expected.push((number, last));
    }
    let found = fixture.store().audit_from(1, 9).expect("it can be read");
    let hashes: Vec<_> = found.iter().map(|it| (it.number, it.hash)).collect();
    assert_eq!(hashes, expected);
    let mut verifier = verifier::Verifier::new(verifier::Witnesses::default());
    for audited in &found {
        verifier.entry(&audited.entry.hashed(audited.number), &audited.hash);
    }
    let report = verifier.finish();
    assert_eq!((report.entries, report.head), (6, last));
    assert_eq!(report.findings, []);
}
