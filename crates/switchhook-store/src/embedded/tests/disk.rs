//! A disk that fills up: what is refused, what is still written.

use switchhook_core::delivery::{Attempt, Records};
use switchhook_core::id::Offset;
use tempfile::tempdir;

use super::{attempt, event, events, hand_in, options, rows, three_events, write};
use crate::batch::NewEvent;
use crate::embedded::{Embedded, Options, verify};
use crate::{Batch, Error, Store};

#[test]
fn below_the_hard_mark_events_are_refused_and_records_are_written() {
    let (dir, store) = three_events();
    drop(store);
    let full = Options {
        hard_free_bytes: u64::MAX,
        ..options()
    };
    let store = Embedded::open(dir.path(), full).unwrap();
    let with_both = Batch {
        events: vec![event(9)],
        ..rows([2])
    };
    let answers = [events([4]), rows([1]), with_both].map(|batch| hand_in(&store, batch));
    let [event, record, both] = answers.map(|answer| answer.recv().unwrap());
    assert!(matches!(
        event,
        Err(Error::Full {
            needed_bytes: u64::MAX,
            ..
        })
    ));
    assert!(matches!(both, Err(Error::Full { .. })));
    record.unwrap();
    let counts = store.counts().unwrap();
    assert_eq!((counts.events, counts.waiting.get("s")), (3, Some(&1)));
}

#[test]
fn while_the_disk_fills_up_attempts_keep_their_results_but_not_their_texts() {
    for (soft_free_bytes, kept) in [(0, true), (u64::MAX, false)] {
        let dir = tempdir().unwrap();
        let options = Options {
            soft_free_bytes,
            ..options()
        };
        let store = Embedded::open(dir.path(), options).unwrap();
        write(&store, events(1..=1)).unwrap();
        let records = Records {
            attempts: vec![Attempt {
                detail: Some("busy".into()),
                ..attempt(1)
            }],
            ..Records::default()
        };
        let batch = Batch {
            records,
            ..Batch::default()
        };
        write(&store, batch).unwrap();
        let history = store.history(Offset(1)).unwrap();
        assert_eq!(history.attempts[0].outcome, attempt(1).outcome);
        assert_eq!(history.attempts[0].detail.is_some(), kept);
    }
}

#[test]
fn on_a_full_disk_the_ballast_goes_and_completions_are_still_written() {
    let dir = tempdir().unwrap();
    let small = Options {
        pages_max: Some(60),
        ballast_bytes: 4096,
        ..options()
    };
    let store = Embedded::open(dir.path(), small).unwrap();
    write(&store, events(1..=3)).unwrap();
    assert!(dir.path().join("ballast").exists());
    let huge = NewEvent {
        body: vec![0; 1 << 20].into(),
        ..event(4)
    };
    let record = hand_in(&store, rows([1]));
    let refused = write(
        &store,
        Batch {
            events: vec![huge],
            ..rows([2])
        },
    );
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    record.recv().unwrap().unwrap();
    assert!(!dir.path().join("ballast").exists());
    // Nothing of the refused batch is left, and what fits is taken.
    let receipt = write(&store, events([5])).unwrap();
    assert_eq!(
        receipt.appended,
        [crate::Appended::New {
            id: event(5).id,
            offset: Offset(4)
        }]
    );
    assert_eq!(store.counts().unwrap().waiting.get("s"), Some(&1));
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().problems, [""; 0]);
}

#[test]
fn the_ballast_is_there_when_it_may_be() {
    let dir = tempdir().unwrap();
    let with = Options {
        ballast_bytes: 1 << 20,
        ..options()
    };
    drop(Embedded::open(dir.path(), with).unwrap());
    assert_eq!(
        std::fs::metadata(dir.path().join("ballast")).unwrap().len(),
        1 << 20
    );
}
