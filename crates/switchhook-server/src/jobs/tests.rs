//! Which deliveries a job makes, on a store in memory.

use std::sync::Arc;

use bytes::Bytes;
use switchhook_core::delivery::{
    Attempt, Dead, DeadReason, DeliveryKey, Gap, OutcomeKind, Place, Records, Verdict, WaitReason,
    Waiting,
};
use switchhook_core::id::EventId;
use switchhook_core::sight::Sight;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::NewEvent;
use switchhook_store::memory::Memory;
use switchhook_wire::api::{JobSelection, JobStatus};
use switchhook_wire::config::load_toml;

use super::selection::Known;
use super::*;

const CONFIG: &str = r#"
[source.web]
verify = { scheme = "none" }
[source.other]
verify = { scheme = "none" }
[endpoint.crm]
url = "https://example.com/"
[group.pool]
members = ["crm"]
partitions = 2
[subscription.orders]
sources = ["web"]
endpoint = "crm"
[subscription.copies]
sources = ["web"]
endpoint = "crm"
[subscription.shared]
sources = ["web"]
group = "pool"
"#;

/// Events 1 to 20, the odd ones from `web`; everything before 15 was passed by the cursors.
struct Log {
    store: Memory,
    plan: Plan,
}

fn id(n: u64) -> EventId {
    EventId(uuid::Uuid::from_u128(u128::from(n)))
}

fn key(subscription: &str, n: u64) -> DeliveryKey {
    DeliveryKey {
        subscription: subscription.into(),
        offset: Offset(n),
    }
}

impl Log {
    fn new() -> Self {
        let loaded = load_toml(CONFIG, "c.toml", &|_| None);
        let plan = loaded.config.expect("it is valid").plan;
        let log = Self {
            store: Memory::new(),
            plan,
        };
        let events = (1..=20).map(|n| NewEvent {
            id: id(n),
            source: if n % 2 == 1 { "web" } else { "other" }.into(),
            kind: if n < 10 { "Text" } else { "Call" }.into(),
            key: Some(format!("conversation-{n}").into()),
            received_at: UnixMs(n * 1_000),
            headers: Arc::from([]),
            body: Bytes::from_static(b"{}"),
            dedup: None,
        });
        log.submit(Batch {
            events: events.collect(),
            ..Batch::default()
        });
        log
    }

    fn submit(&self, batch: Batch) {
        self.store.submit(
            batch,
            Box::new(|receipt| {
                receipt.unwrap();
            }),
        );
    }

    fn record(&self, records: Records) {
        self.submit(Batch {
            records,
            ..Batch::default()
        });
    }

    fn attempt(&self, subscription: &str, n: u64, verdict: Verdict) {
        let attempt = Attempt {
            key: key(subscription, n),
            partition: 0,
            chain: 0,
            n: 1,
            endpoint: "crm".into(),
            at: UnixMs(30_000),
            duration_ms: 1,
            outcome: OutcomeKind::Status(200),
            rule: "default".into(),
            verdict,
            detail: None,
            next_at: None,
        };
        self.record(Records {
            attempts: vec![attempt],
            ..Records::default()
        });
    }

    fn bury(&self, n: u64, at: u64) {
        let dead = Dead {
            key: key("orders", n),
            place: Place::default(),
            chain: 4,
            attempts: 1,
            at: UnixMs(at),
            reason: DeadReason::Refused,
            outcome: None,
            endpoint: "crm".into(),
            detail: None,
            gap: Gap::None,
        };
        self.record(Records {
            dead: vec![dead],
            ..Records::default()
        });
    }

    /// Everything that a job takes, page after page of `items`; and what it leaves out.
    fn walk(&self, draft: Draft, items: usize) -> (Vec<(u64, Option<u16>)>, u64) {
        let (mut from, until) = (draft.from, draft.until);
        let kept = draft.into_kept("first", UnixMs(100_000));
        let selection = Selection::of(&kept).unwrap();
        let mut road = Road::new(&selection);
        let (mut taken, mut skipped) = (Vec::new(), 0);
        while from < until {
            let known = Known {
                store: &self.store,
                plan: &self.plan,
                cursors: &[(0, Offset(15)), (1, Offset(15))].into(),
            };
            let page = road.page(&known, &selection, (from, items)).unwrap();
            assert!(page.next > from && page.picks.len() <= items, "{page:?}");
            from = page.next;
            skipped += page.skipped;
            let picks = page.picks.iter();
            taken.extend(picks.map(|pick| (pick.offset.0, pick.dead_chain)));
        }
        (taken, skipped)
    }

    fn offsets(&self, select: JobSelection, to: &str) -> Vec<u64> {
        let found = [1, 3, 1_000].map(|items| self.walk(draft(select.clone(), to), items).0);
        assert!(
            found.iter().all(|other| *other == found[0]),
            "whatever the pages are: {found:?}"
        );
        found[0].iter().map(|(offset, _)| *offset).collect()
    }
}

fn draft(select: JobSelection, to: &str) -> Draft {
    Draft {
        from: Offset(select.from_offset.unwrap_or(1)),
        until: Offset(select.to_offset.unwrap_or(21)),
        select,
        to: to.into(),
        rate_per_second: 10,
        ranges: None,
        sight: Sight::Whole,
    }
}

fn all_of(subscription: &str) -> JobSelection {
    JobSelection {
        subscription: Some(subscription.into()),
        ..JobSelection::default()
    }
}

#[test]
fn a_filter_selects_what_it_says_of_what_the_subscription_takes() {
    let log = Log::new();
    let past = vec![1, 3, 5, 7, 9, 11, 13];
    let text = |text: &str| Some(text.to_owned());
    let table: [(JobSelection, Vec<u64>); 6] = [
        (all_of("orders"), past),
        (
            JobSelection {
                kind: text("Text"),
                ..all_of("orders")
            },
            vec![1, 3, 5, 7, 9],
        ),
        (
            JobSelection {
                since: text("1970-01-01T00:00:05Z"),
                until: text("1970-01-01T00:00:11Z"),
                ..all_of("orders")
            },
            vec![5, 7, 9],
        ),
        (
            JobSelection {
                from_offset: Some(4),
                to_offset: Some(8),
                ..all_of("orders")
            },
            vec![5, 7],
        ),
        (
            JobSelection {
                key: text("conversation-3"),
                ..all_of("orders")
            },
            vec![3],
        ),
        (
            JobSelection {
                source: text("other"),
                ..all_of("orders")
            },
            vec![],
        ),
    ];
    for (select, expected) in table {
        assert_eq!(
            log.offsets(select.clone(), "orders"),
            expected,
            "{select:?}"
        );
    }
}

#[test]
fn what_the_cursor_has_not_come_to_is_left_out_unless_it_is_settled() {
    let log = Log::new();
    log.attempt("orders", 17, Verdict::Delivered);
    log.attempt("orders", 19, Verdict::Retry);
    let (taken, skipped) = log.walk(draft(all_of("orders"), "orders"), 100);
    let offsets: Vec<u64> = taken.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [1, 3, 5, 7, 9, 11, 13, 17]);
    assert_eq!(skipped, 2, "15 and 19");
}

#[test]
fn ids_are_taken_in_the_order_of_the_log_and_once() {
    let log = Log::new();
    let ids = [9, 3, 9, 2, 999, 5].map(|n| id(n).to_string());
    let select = JobSelection {
        event_ids: Some(ids.into()),
        ..all_of("orders")
    };
    assert_eq!(log.offsets(select, "orders"), [3, 5, 9]);
}

#[test]
fn dead_letters_are_taken_in_the_order_of_the_log_with_their_chain() {
    let log = Log::new();
    for (n, at) in [(5, 40_000), (3, 50_000), (9, 30_000), (11, 100_001)] {
        log.bury(n, at);
    }
    let select = JobSelection {
        status: JobStatus::Dead,
        ..all_of("orders")
    };
    // 11 was given up after the job was made.
    assert_eq!(log.offsets(select.clone(), "orders"), [3, 5, 9]);
    let (taken, _) = log.walk(draft(select.clone(), "orders"), 2);
    assert_eq!(taken[0], (3, Some(4)));
    let (taken, _) = log.walk(draft(select.clone(), "copies"), 2);
    assert_eq!(taken[0], (3, None), "a copy leaves the dead letter alone");
    let refused = JobSelection {
        reason: Some("expired".into()),
        ..select
    };
    assert!(log.offsets(refused, "orders").is_empty());
}

#[test]
fn delivered_ones_are_those_whose_last_attempt_delivered_and_that_wait_no_more() {
    let log = Log::new();
    for (n, verdict) in [
        (1, Verdict::Delivered),
        (3, Verdict::Dead),
        (5, Verdict::Delivered),
    ] {
        log.attempt("orders", n, verdict);
    }
    log.attempt("copies", 7, Verdict::Delivered);
    let row = Waiting {
        reason: WaitReason::Replay,
        ..Waiting::replay(key("orders", 5), Place::default(), 1, 1_000, UnixMs(0))
    };
    log.record(Records {
        waiting: vec![row],
        ..Records::default()
    });
    let select = JobSelection {
        status: JobStatus::Delivered,
        ..all_of("orders")
    };
    assert_eq!(log.offsets(select, "orders"), [1]);
}

#[test]
fn a_seek_takes_of_each_partition_what_lies_in_its_range() {
    let log = Log::new();
    let of = |partition: u16| -> Vec<u64> {
        let shared = &log.plan.subscriptions["shared"];
        let is_its = |n: &u64| {
            let event = log.store.event(id(*n)).unwrap().unwrap();
            log.plan.place(shared, &event).partition == partition
        };
        (1..15).step_by(2).filter(is_its).collect()
    };
    let (zero, one) = (of(0), of(1));
    assert!(!zero.is_empty() && !one.is_empty(), "{zero:?} {one:?}");
    let mut seek = draft(all_of("shared"), "shared");
    seek.ranges = Some([(1, (Offset(3), Offset(12)))].into());
    let expected: Vec<_> = one.into_iter().filter(|n| (3..12).contains(n)).collect();
    let (taken, _) = log.walk(seek, 2);
    let offsets: Vec<u64> = taken.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, expected);
}
