//! The ground moves: the clock goes back, subscriptions leave the plan and come back.

use super::*;

#[test]
fn after_the_clock_went_back_a_pause_is_no_longer_than_asked_for_and_a_past_one_stays_past() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("web", 3);
    let first = bench.starts();
    bench.end(&first[0], OutcomeKind::Status(503), Some(5_000));
    bench.commit();
    bench.now = UnixMs(bench.now.0 - 24 * 60 * MINUTE_MS);
    bench.engine.handle_rows_changed("s");
    assert!(bench.starts().is_empty());
    bench.pass(5_000);
    let second = bench.starts();
    assert_eq!(second.len(), 1);
    bench.now = UnixMs(bench.now.0 - 5_000);
    bench.status(&second[0], 200);
    assert_eq!(bench.starts().len(), 1, "the pause was over");
}

#[test]
fn after_the_clock_went_back_a_cursor_is_still_written_within_a_second() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("other", 1);
    bench.now = UnixMs(bench.now.0 - 24 * 60 * MINUTE_MS);
    bench.starts();
    bench.pass(1_000);
    bench.commit();
    assert_eq!(bench.all.cursors.last(), Some(&cursor(2)));
}

#[test]
fn a_removed_subscription_does_not_take_the_slot_that_another_one_waits_for() {
    let mut bench = Bench::new(plan(&[("a", "crm"), ("b", "crm"), ("c", "crm")], 1));
    bench.append("web", 1);
    let first = bench.starts();
    let stays = plan(&[("c", "crm")], 1);
    bench
        .engine
        .handle_plan(&stays, &Known::default(), bench.now);
    assert!(bench.starts().is_empty(), "the slot is taken");
    bench.status(&first[0], 200);
    let second = bench.starts();
    assert_eq!(second.len(), 1);
    assert_eq!(&*second[0].subscription.name, "c");
}

#[test]
fn a_subscription_that_comes_back_sends_nothing_twice_and_nothing_too_little() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 2));
    bench.append("web", 5);
    let first = bench.starts();
    bench.status(&first[0], 200);
    bench.take();
    let (with, mut without) = (bench.plan.clone(), bench.plan.clone());
    without.subscriptions.clear();
    bench
        .engine
        .handle_plan(&without, &Known::default(), bench.now);
    assert!(bench.starts().is_empty());
    // Nothing of it is on disk, so that the store knows no better than when it began.
    let known = known(Recovered {
        cursor: Offset(1),
        ..Recovered::default()
    });
    bench.engine.handle_plan(&with, &known, bench.now);
    let mut sent = vec![first[0].event.offset, first[1].event.offset];
    bench.status(&first[1], 200);
    loop {
        let starts = bench.starts();
        if starts.is_empty() {
            break;
        }
        for start in starts {
            sent.push(start.event.offset);
            bench.status(&start, 200);
        }
        bench.commit();
    }
    assert_eq!(sent, (1..=5).map(Offset).collect::<Vec<_>>());
    assert_eq!(bench.cursor("s"), Offset(6));
}

#[test]
fn an_event_from_before_the_clock_went_back_gets_a_row_that_is_due_at_once() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("web", 2);
    bench.now = UnixMs(bench.now.0 - 24 * 60 * MINUTE_MS);
    let first = bench.starts();
    bench.append("other", usize::try_from(WINDOW).unwrap());
    bench.starts();
    bench.commit();
    assert_eq!(
        bench.rows.len(),
        2,
        "one is under way, one waits for a slot"
    );
    assert!(bench.rows.values().all(|row| row.due_at <= bench.now));
    bench.status(&first[0], 200);
    let second = bench.starts();
    assert_eq!((second.len(), second[0].event.offset), (1, Offset(2)));
}

#[test]
fn a_read_from_before_the_clock_went_back_starts_nothing_early() {
    let mut bench = Bench::new(plan(&[("s", "crm")], 1));
    bench.append("web", 1);
    let first = bench.starts();
    bench.status(&first[0], 500);
    bench.commit();
    bench.pass(MINUTE_MS);
    let command = bench.engine.poll(bench.now);
    let Some(Command::ReadDue(read)) = command else {
        panic!("{command:?}")
    };
    bench.now = UnixMs(bench.now.0 - 24 * 60 * MINUTE_MS);
    let rebased = bench.now.plus_ms(MINUTE_MS);
    bench.rows.values_mut().for_each(|row| row.due_at = rebased);
    assert!(bench.starts().is_empty());
    bench.answer_due(&read);
    assert!(bench.starts().is_empty());
    bench.pass(MINUTE_MS);
    assert_eq!(bench.starts().len(), 1);
}
