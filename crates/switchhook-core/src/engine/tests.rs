//! The engine against a store that is two maps, driven by hand: one rule of dispatch per test.

mod change;
mod enabled;
mod group;
mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::breaker::Cause;
use crate::delivery::{Failure, WaitReason, Waiting};
use crate::event::OWN_SOURCE;
use crate::filter::TypePattern;
use crate::id::{DeliveryId, EventId};
use crate::retry::{Action, Jitter, Match, Policy, Rule, Schedule};
use crate::subscription::{Subscription, Target};

/// The engine, a log, and rows that come into being when a batch is reported as on disk.
struct Bench {
    engine: Engine,
    plan: Plan,
    log: Vec<Arc<Event>>,
    rows: BTreeMap<(Arc<str>, Offset), Waiting>,
    on_the_way: Vec<(u64, Records)>,
    all: Records,
    now: UnixMs,
}

const MINUTE_MS: u64 = 60_000;

fn endpoint(name: &str, concurrency: u16) -> Arc<Endpoint> {
    let url = "https://crm.example.com/hook".parse().unwrap();
    Arc::new(Endpoint {
        concurrency,
        ..Endpoint::new(name, url)
    })
}

fn subscription(name: &str, endpoint: &str) -> Arc<Subscription> {
    let all = TypePattern::parse("*").unwrap();
    let to = Target::Endpoint(endpoint.into());
    let subscription = Subscription::new(name, vec!["web".into()], vec![all], to, "minute");
    Arc::new(subscription)
}

fn policy() -> Policy {
    Policy {
        name: "minute".into(),
        schedule: Schedule::Fixed {
            delay_ms: MINUTE_MS,
        },
        jitter: Jitter::None,
        max_attempts: 3,
        max_age_ms: 60 * MINUTE_MS,
        retry_after_max_ms: 60 * MINUTE_MS,
        rules: vec![Rule {
            on: vec![Match::Status(423)],
            action: Action::Hold,
        }],
    }
}

fn plan(subscriptions: &[(&str, &str)], concurrency: u16) -> Plan {
    let mut plan = Plan::default();
    plan.policies.insert("minute".into(), Arc::new(policy()));
    for (name, to) in subscriptions {
        plan.endpoints
            .insert((*to).into(), endpoint(to, concurrency));
        plan.subscriptions
            .insert((*name).into(), subscription(name, to));
    }
    plan
}

impl Bench {
    fn new(plan: Plan) -> Self {
        let now = UnixMs(1_700_000_000_000);
        let engine = Engine::new(&plan, &Known::default(), Offset(1), now);
        let mut bench = Self {
            engine,
            plan,
            log: vec![],
            rows: BTreeMap::new(),
            on_the_way: vec![],
            all: Records::default(),
            now,
        };
        bench.commit();
        bench
    }

    fn append(&mut self, source: &str, count: usize) {
        for _ in 0..count {
            self.push(source, None);
        }
        self.engine.handle_end(Offset(self.log.len() as u64 + 1));
    }

    /// Appends one event for each key, from the source of `s`.
    fn append_keys(&mut self, keys: &[&str]) {
        for key in keys {
            self.push("web", Some((*key).into()));
        }
        self.engine.handle_end(Offset(self.log.len() as u64 + 1));
    }

    fn push(&mut self, source: &str, key: Option<Arc<str>>) {
        {
            let offset = Offset(self.log.len() as u64 + 1);
            self.log.push(Arc::new(Event {
                offset,
                id: EventId(Uuid::from_u128(u128::from(offset.0))),
                source: source.into(),
                kind: "a.b".into(),
                key,
                received_at: self.now,
                headers: Arc::from([]),
                body: Bytes::from_static(b"{}"),
            }));
        }
    }

    /// Polls until idle; answers every read at once; returns what was started.
    fn starts(&mut self) -> Vec<Start> {
        let mut starts = vec![];
        while let Some(command) = self.engine.poll(self.now) {
            match command {
                Command::Start(start) => starts.push(start),
                Command::ReadLog(read) => {
                    let from = usize::try_from(read.from.0 - 1).unwrap();
                    let events: Vec<_> = self
                        .log
                        .iter()
                        .skip(from)
                        .take(read.items)
                        .cloned()
                        .collect();
                    self.engine.handle_log(read.lane, read.from, &events);
                }
                Command::ReadDue(read) => self.answer_due(&read),
            }
        }
        starts
    }

    fn answer_due(&mut self, read: &ReadDue) {
        let mut rows: Vec<Waiting> = self
            .rows
            .values()
            .filter(|row| {
                row.key.subscription == read.subscription
                    && row.place.partition == read.partition
                    && row.due_at < UnixMs::NEVER
                    && !read.skip.contains(&row.key.offset)
            })
            .cloned()
            .collect();
        rows.sort_by_key(|row| (row.due_at, row.key.offset));
        let due: Vec<_> = rows
            .iter()
            .filter(|row| row.due_at <= read.until)
            .take(read.items)
            .cloned()
            .collect();
        let next = rows.get(due.len()).map(|row| row.due_at);
        let with_events = due
            .into_iter()
            .map(|row| {
                let event = self.log[usize::try_from(row.key.offset.0 - 1).unwrap()].clone();
                (row, event)
            })
            .collect();
        self.engine.handle_due(read.lane, with_events, next);
    }

    fn end(&mut self, start: &Start, kind: OutcomeKind, retry_after_ms: Option<u64>) -> Judged {
        let outcome = Outcome {
            at: self.now,
            duration_ms: 5,
            kind,
            detail: None,
            retry_after_ms,
        };
        self.engine
            .handle_outcome(start.ticket, &outcome, self.now)
            .unwrap()
    }

    fn status(&mut self, start: &Start, status: u16) -> Judged {
        self.end(start, OutcomeKind::Status(status), None)
    }

    fn take(&mut self) {
        if let Some(batch) = self.engine.take_records(self.now) {
            self.on_the_way.push(batch);
        }
    }

    /// Takes what there is to commit and reports all of it as on disk.
    fn commit(&mut self) {
        self.take();
        for (number, records) in std::mem::take(&mut self.on_the_way) {
            for row in &records.waiting {
                self.rows
                    .insert((row.key.subscription.clone(), row.key.offset), row.clone());
            }
            for key in records
                .settled
                .iter()
                .chain(records.dead.iter().map(|dead| &dead.key))
            {
                self.rows.remove(&(key.subscription.clone(), key.offset));
            }
            for release in &records.released {
                let held = self.rows.values_mut().filter(|row| {
                    row.key.subscription == release.subscription
                        && row.place.partition == release.partition
                        && release.key.is_none_or(|key| row.place.key == Some(key))
                        && row.due_at == UnixMs::NEVER
                });
                held.take(release.items as usize)
                    .for_each(|row| row.due_at = release.due_at);
            }
            self.all.released.extend(records.released);
            self.all.attempts.extend(records.attempts);
            self.all.breakers.extend(records.breakers);
            self.all.dead.extend(records.dead);
            self.all.own_events.extend(records.own_events);
            self.all.cursors.extend(records.cursors);
            self.engine.handle_committed(number);
        }
    }

    fn cursor(&self, name: &str) -> Offset {
        let lane = self.engine.lanes().find(|lane| &*lane.subscription == name);
        lane.unwrap().cursor
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }
}

/// The cursor of the subscription `s`.
fn cursor(offset: u64) -> Cursor {
    Cursor {
        subscription: "s".into(),
        partition: 0,
        offset: Offset(offset),
        member: None,
    }
}

/// What the store knows of the subscription `s`.
fn known(recovered: Recovered) -> Known {
    Known {
        lanes: BTreeMap::from([(("s".into(), 0), recovered)]),
        ..Known::default()
    }
}

#[test]
fn a_new_subscription_begins_at_the_end_of_the_log_and_records_that_at_once() {
    let plan = plan(&[("s", "crm")], 5);
    let mut engine = Engine::new(&plan, &Known::default(), Offset(42), UnixMs(0));
    let (_, records) = engine.take_records(UnixMs(0)).unwrap();
    assert_eq!(records.cursors, [cursor(42)]);
}

#[test]
fn an_event_that_is_delivered_at_once_leaves_one_attempt_and_no_row() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("web", 1);
    let starts = bench.starts();
    assert_eq!(starts.len(), 1);
    assert_eq!((starts[0].n, starts[0].chain), (1, 0));
    assert_eq!(bench.cursor("s"), Offset(1), "not settled yet");
    bench.status(&starts[0], 200);
    bench.commit();
    assert_eq!(bench.cursor("s"), Offset(2));
    assert_eq!(bench.all.attempts.len(), 1);
    assert!(bench.rows.is_empty());
}

#[test]
fn events_of_other_sources_are_passed_over_and_the_cursor_is_written_within_a_second() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("other", 10);
    assert!(bench.starts().is_empty());
    assert!(
        bench.engine.take_records(bench.now).is_none(),
        "no write for each event passed over"
    );
    assert!(bench.engine.next_wake().unwrap() <= bench.now.plus_ms(1_000));
    bench.pass(1_000);
    bench.commit();
    assert_eq!(bench.all.cursors.last(), Some(&cursor(11)));
}

#[test]
fn a_failed_delivery_gets_a_row_and_the_cursor_goes_on() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("web", 2);
    let starts = bench.starts();
    bench.status(&starts[0], 503);
    bench.status(&starts[1], 200);
    bench.commit();
    assert_eq!(bench.cursor("s"), Offset(3));
    let row = bench.rows.values().next().unwrap();
    assert_eq!(
        (row.key.offset, row.attempts, row.reason),
        (Offset(1), 1, WaitReason::Retry)
    );
    assert_eq!(row.due_at, bench.now.plus_ms(MINUTE_MS));
}

#[test]
fn a_retry_starts_when_it_is_due_and_not_before() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("web", 1);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.commit();
    bench.pass(MINUTE_MS - 1);
    assert!(bench.starts().is_empty());
    assert_eq!(bench.engine.next_wake(), Some(bench.now.plus_ms(1)));
    bench.pass(1);
    let second = bench.starts();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].n, 2);
    bench.status(&second[0], 200);
    bench.commit();
    assert!(bench.rows.is_empty());
}

#[test]
fn a_row_is_not_taken_again_before_its_settlement_is_on_disk() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("web", 1);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.commit();
    bench.pass(MINUTE_MS);
    let second = bench.starts();
    bench.status(&second[0], 200);
    bench.take(); // On its way, not on disk: the old row is still there to be read.
    bench.engine.handle_rows_changed("s");
    assert!(bench.starts().is_empty());
    bench.commit();
    bench.engine.handle_rows_changed("s");
    assert!(bench.starts().is_empty());
}

#[test]
fn a_read_that_began_before_a_commit_cannot_bring_a_settled_row_back() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("web", 1);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.commit();
    bench.pass(MINUTE_MS);
    let second = bench.starts();
    bench.engine.handle_rows_changed("s");
    let Some(Command::ReadDue(read)) = bench.engine.poll(bench.now) else {
        panic!("a read is due")
    };
    let stale: Vec<_> = bench
        .rows
        .values()
        .cloned()
        .map(|row| (row, bench.log[0].clone()))
        .collect();
    bench.status(&second[0], 200);
    bench.commit();
    bench.engine.handle_due(read.lane, stale, None);
    assert!(bench.starts().is_empty());
}

#[test]
fn retry_after_closes_the_endpoint_for_all_its_subscriptions() {
    let mut bench = Bench::new(plan(&[("a", "crm"), ("b", "crm")], 1));
    bench.append("web", 1);
    let first = bench.starts();
    assert_eq!(first.len(), 1, "one slot");
    bench.end(&first[0], OutcomeKind::Status(429), Some(5_000));
    bench.commit();
    assert!(
        bench.starts().is_empty(),
        "the other subscription waits as well"
    );
    bench.pass(4_999);
    assert!(bench.starts().is_empty());
    bench.pass(1);
    let second = bench.starts();
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].subscription.name, first[0].subscription.name);
}

#[test]
fn slots_go_round_between_subscriptions_of_one_endpoint() {
    let mut bench = Bench::new(plan(&[("a", "crm"), ("b", "crm")], 1));
    bench.append("web", 3);
    let mut order = vec![];
    let mut starts = bench.starts();
    while let Some(start) = starts.pop() {
        assert!(starts.is_empty(), "one at a time");
        order.push(start.subscription.name.to_string());
        bench.status(&start, 200);
        bench.commit();
        starts = bench.starts();
    }
    assert_eq!(order.len(), 6);
    assert!(
        order
            .windows(3)
            .all(|three| three[0] != three[1] || three[1] != three[2]),
        "{order:?}"
    );
}

#[test]
fn a_full_endpoint_does_not_hold_up_another_one() {
    let mut bench = Bench::new(plan(&[("a", "dead"), ("b", "crm")], 2));
    bench.append("web", 50);
    let mut delivered = 0;
    loop {
        let to_crm: Vec<_> = bench
            .starts()
            .into_iter()
            .filter(|s| &*s.endpoint.name == "crm")
            .collect();
        if to_crm.is_empty() {
            break;
        }
        for start in to_crm {
            bench.status(&start, 200);
            delivered += 1;
        }
        bench.commit();
    }
    assert_eq!(delivered, 50);
    assert_eq!(bench.cursor("a"), Offset(1));
}

#[test]
fn a_slow_request_gets_a_row_when_the_cursor_has_run_far_ahead_and_loses_it_when_it_ends() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 2));
    let total = usize::try_from(WINDOW).unwrap() + 600;
    bench.append("web", total);
    let mut slow = None;
    loop {
        let starts = bench.starts();
        let mut any = false;
        for start in starts {
            if start.event.offset == Offset(1) {
                slow = Some(start);
            } else {
                bench.status(&start, 200);
                any = true;
            }
        }
        bench.commit();
        if !any {
            break;
        }
    }
    assert_eq!(bench.cursor("s"), Offset(total as u64 + 1));
    let row = bench.rows.values().next().unwrap();
    assert_eq!(
        (row.key.offset, row.reason),
        (Offset(1), WaitReason::InFlight)
    );
    bench.status(&slow.unwrap(), 200);
    bench.commit();
    assert!(bench.rows.is_empty());
}

#[test]
fn no_attempt_starts_while_too_many_results_wait_for_the_disk() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 64));
    bench.append("web", UNCOMMITTED_MAX + 500);
    let mut started = 0;
    loop {
        let starts = bench.starts();
        if starts.is_empty() {
            break;
        }
        for start in starts {
            bench.status(&start, 200);
            started += 1;
        }
    }
    assert!(
        (UNCOMMITTED_MAX..UNCOMMITTED_MAX + 64).contains(&started),
        "{started}"
    );
    bench.commit();
    assert!(!bench.starts().is_empty());
}

#[test]
fn the_last_attempt_of_a_policy_makes_a_dead_letter_and_an_event_that_tells_of_it() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 5));
    bench.append("web", 1);
    for n in 1..=3 {
        let starts = bench.starts();
        assert_eq!(starts[0].n, n);
        let judged = bench.status(&starts[0], 500);
        assert_eq!(judged.dead, (n == 3).then_some(DeadReason::Exhausted));
        bench.commit();
        bench.pass(MINUTE_MS);
    }
    assert_eq!((bench.all.dead.len(), bench.all.own_events.len()), (1, 1));
    assert!(bench.rows.is_empty());
}

#[test]
fn a_dead_letter_of_our_own_event_tells_nobody() {
    let mut plan = plan(&[("s", "crm")], 5);
    let own = Subscription {
        sources: vec![OWN_SOURCE.into()],
        ..(*subscription("s", "crm")).clone()
    };
    plan.subscriptions.insert("s".into(), Arc::new(own));
    let mut bench = Bench::new(plan);
    bench.append(OWN_SOURCE, 1);
    let starts = bench.starts();
    bench.status(&starts[0], 400);
    bench.commit();
    assert_eq!((bench.all.dead.len(), bench.all.own_events.len()), (1, 0));
}

#[test]
fn a_restart_sends_again_only_what_was_not_recorded() {
    let plan = plan(&[("s", "crm")], 5);
    let mut bench = Bench::new(plan.clone());
    bench.append("web", 4);
    let starts = bench.starts();
    bench.status(&starts[1], 200);
    bench.status(&starts[2], 503);
    bench.commit();
    // The process dies with 1 and 4 under way. The store knows: cursor 1; 2 has an attempt, 3 a row.
    let settled = BTreeSet::from([Offset(2), Offset(3)]);
    let known = known(Recovered {
        cursor: Offset(1),
        settled: settled.into(),
        ..Recovered::default()
    });
    bench.engine = Engine::new(&plan, &known, Offset(5), bench.now);
    let again: Vec<_> = bench
        .starts()
        .iter()
        .map(|start| start.event.offset)
        .collect();
    assert_eq!(again, [Offset(1), Offset(4)]);
}

#[test]
fn a_changed_endpoint_counts_for_what_waits_already() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("web", 3);
    let first = bench.starts();
    let mut wider = bench.plan.clone();
    wider.endpoints.insert("crm".into(), endpoint("crm", 3));
    bench
        .engine
        .handle_plan(&wider, &Known::default(), bench.now);
    assert_eq!(bench.starts().len(), 2);
    bench.status(&first[0], 200);
    assert_eq!(bench.engine.in_flight(), 2);
}

#[test]
fn the_outcome_of_a_removed_subscription_is_still_recorded() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("web", 1);
    let starts = bench.starts();
    let mut without = bench.plan.clone();
    without.subscriptions.clear();
    bench
        .engine
        .handle_plan(&without, &Known::default(), bench.now);
    bench.status(&starts[0], 200);
    bench.commit();
    assert_eq!(bench.all.attempts.len(), 1);
}

#[test]
fn a_ticket_counts_once() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("web", 2);
    let first = bench.starts();
    bench.status(&first[0], 200);
    let outcome = Outcome {
        at: bench.now,
        duration_ms: 1,
        kind: OutcomeKind::Status(200),
        detail: None,
        retry_after_ms: None,
    };
    assert!(
        bench
            .engine
            .handle_outcome(first[0].ticket, &outcome, bench.now)
            .is_none()
    );
}

mod what_follows {
    use super::*;

    fn outcome(kind: OutcomeKind, retry_after_ms: Option<u64>) -> Outcome {
        Outcome {
            at: UnixMs(0),
            duration_ms: 1,
            kind,
            detail: None,
            retry_after_ms,
        }
    }

    fn follow(
        standing: Standing,
        kind: OutcomeKind,
        retry_after_ms: Option<u64>,
        now: UnixMs,
    ) -> Next {
        let delivery = DeliveryId(Uuid::from_u128(7));
        next(
            &policy(),
            standing,
            delivery,
            &outcome(kind, retry_after_ms),
            false,
            now,
        )
        .next
    }

    const FRESH: Standing = Standing::first(UnixMs(60 * MINUTE_MS));

    #[test]
    fn retry_after_is_never_undercut_but_the_deadline_ends_every_wait() {
        let now = UnixMs(MINUTE_MS);
        let wait = |ms| Next::Wait {
            due_at: now.plus_ms(ms),
            delay_ms: ms,
            reason: WaitReason::Retry,
            counts: true,
        };
        let busy = OutcomeKind::Status(503);
        assert_eq!(
            follow(FRESH, busy, Some(5 * MINUTE_MS), now),
            wait(5 * MINUTE_MS)
        );
        assert_eq!(
            follow(FRESH, busy, Some(1), now),
            wait(MINUTE_MS),
            "the schedule is longer"
        );
        assert_eq!(
            follow(FRESH, busy, Some(u64::MAX), now),
            wait(59 * MINUTE_MS),
            "one last at the deadline"
        );
    }

    #[test]
    fn a_hold_is_not_counted_and_ends_at_the_deadline() {
        let refused = OutcomeKind::Status(423);
        let worn = Standing {
            counted: 2,
            attempts: 9,
            ..FRESH
        };
        assert!(matches!(
            follow(worn, refused, None, UnixMs(0)),
            Next::Wait {
                reason: WaitReason::Hold,
                delay_ms: crate::retry::HOLD_MS,
                ..
            }
        ));
        assert_eq!(
            follow(worn, refused, None, FRESH.deadline),
            Next::Dead(DeadReason::Expired)
        );
    }

    #[test]
    fn refused_credentials_hold_the_endpoint_and_the_delivery_loses_nothing_however_late_it_is() {
        for (status, cause) in [
            (401, Cause::Auth),
            (403, Cause::Auth),
            (407, Cause::Auth),
            (410, Cause::Gone),
        ] {
            let answer = outcome(OutcomeKind::Status(status), None);
            let delivery = DeliveryId(Uuid::from_u128(7));
            let decision = next(&policy(), FRESH, delivery, &answer, false, FRESH.deadline);
            assert_eq!(decision.hold, Some(cause));
            let kept = Next::Wait {
                due_at: FRESH.deadline,
                delay_ms: 0,
                reason: WaitReason::Hold,
                counts: false,
            };
            assert_eq!(decision.next, kept);
        }
    }

    #[test]
    fn a_failed_probe_costs_neither_an_attempt_nor_the_deadline() {
        let worn = Standing {
            counted: 2,
            attempts: 9,
            ..FRESH
        };
        let answer = outcome(OutcomeKind::Status(503), None);
        let delivery = DeliveryId(Uuid::from_u128(7));
        let late = UnixMs(61 * MINUTE_MS);
        let decision = next(&policy(), worn, delivery, &answer, true, late);
        let kept = Next::Wait {
            due_at: late.plus_ms(MINUTE_MS),
            delay_ms: MINUTE_MS,
            reason: WaitReason::Retry,
            counts: false,
        };
        assert_eq!(decision.next, kept);
    }

    #[test]
    fn a_delivery_past_its_deadline_expires_after_one_more_attempt() {
        let late = UnixMs(61 * MINUTE_MS);
        assert_eq!(
            follow(FRESH, OutcomeKind::Status(500), None, late),
            Next::Dead(DeadReason::Expired)
        );
        assert_eq!(
            follow(FRESH, OutcomeKind::Status(204), None, late),
            Next::Done
        );
    }

    #[test]
    fn what_can_never_succeed_is_given_up_with_its_own_reason() {
        for (failure, reason) in [
            (Failure::Blocked, DeadReason::Blocked),
            (Failure::Template, DeadReason::Template),
        ] {
            assert_eq!(
                follow(FRESH, OutcomeKind::Failed(failure), None, UnixMs(0)),
                Next::Dead(reason)
            );
        }
        assert_eq!(
            follow(FRESH, OutcomeKind::Status(404), None, UnixMs(0)),
            Next::Dead(DeadReason::Refused)
        );
    }

    #[test]
    fn only_429_and_503_close_the_endpoint() {
        let delivery = DeliveryId(Uuid::from_u128(7));
        for (status, closes) in [(429, true), (503, true), (500, false), (200, false)] {
            let answer = outcome(OutcomeKind::Status(status), Some(1_000));
            let pause = next(&policy(), FRESH, delivery, &answer, false, UnixMs(5)).pause_until;
            assert_eq!(pause, closes.then_some(UnixMs(1_005)), "{status}");
        }
    }
}
