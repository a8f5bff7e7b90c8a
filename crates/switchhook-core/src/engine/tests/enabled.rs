//! A subscription that the configuration switches off keeps everything and sends nothing.

use super::*;

/// The plan of one subscription, `s`.
fn switched(enabled: bool) -> Plan {
    let mut plan = plan(&[("s", "crm")], 1);
    for subscription in plan.subscriptions.values_mut() {
        Arc::make_mut(subscription).enabled = enabled;
    }
    plan
}

impl Bench {
    fn switch(&mut self, enabled: bool) {
        let plan = switched(enabled);
        assert!(self.engine.can_go_on_with(&plan));
        self.engine.handle_plan(&plan, &Known::default(), self.now);
    }
}

fn offsets(starts: &[Start]) -> Vec<u64> {
    starts.iter().map(|start| start.event.offset.0).collect()
}

#[test]
fn what_is_under_way_ends_and_the_rest_waits_where_it_is_until_it_is_switched_on() {
    let mut bench = Bench::new(switched(true));
    bench.append("web", 3);
    let first = bench.starts();
    bench.switch(false);
    bench.status(&first[0], 200);
    bench.append("web", 2);
    assert!(bench.starts().is_empty());
    bench.pass(MINUTE_MS);
    bench.commit();
    assert_eq!((bench.cursor("s"), bench.rows.len()), (Offset(2), 0));
    let now = bench.engine.lanes().next().unwrap();
    assert_eq!((now.enabled, now.paused), (false, false));
    bench.switch(true);
    for offset in 2..=5 {
        let starts = bench.starts();
        assert_eq!(offsets(&starts), [offset]);
        bench.status(&starts[0], 200);
    }
    bench.commit();
    assert_eq!(bench.cursor("s"), Offset(6));
}

#[test]
fn a_retry_that_falls_due_waits_until_it_is_switched_on() {
    let mut bench = Bench::new(switched(true));
    bench.append("web", 1);
    let first = bench.starts();
    bench.status(&first[0], 503);
    bench.commit();
    bench.switch(false);
    bench.pass(10 * MINUTE_MS);
    assert!(bench.starts().is_empty());
    bench.switch(true);
    let again = bench.starts();
    assert_eq!((offsets(&again), again[0].n), (vec![1], 2));
}

#[test]
fn a_restart_and_a_new_plan_find_it_switched_off() {
    let log = Recovered {
        cursor: Offset(1),
        ..Recovered::default()
    };
    let mut bench = Bench::new(switched(false));
    bench.engine = Engine::new(&switched(false), &known(log), Offset(1), bench.now);
    bench.append("web", 1);
    assert!(bench.starts().is_empty());
    // Another change of the plan leaves it as it is.
    bench.switch(false);
    assert!(bench.starts().is_empty());
    bench.switch(true);
    assert_eq!(offsets(&bench.starts()), [1]);
}

#[test]
fn a_pause_and_the_switch_both_have_to_let_it_go() {
    let mut bench = Bench::new(switched(false));
    bench.engine.handle_pause("s", true);
    bench.append("web", 1);
    bench.engine.handle_pause("s", false);
    assert!(bench.starts().is_empty(), "resumed, and switched off");
    bench.engine.handle_pause("s", true);
    bench.switch(true);
    assert!(bench.starts().is_empty(), "switched on, and paused");
    let now = bench.engine.lanes().next().unwrap();
    assert_eq!((now.enabled, now.paused), (true, true));
    bench.engine.handle_pause("s", false);
    assert_eq!(offsets(&bench.starts()), [1]);
}

#[test]
fn one_that_is_switched_off_does_not_take_the_slot_that_another_one_waits_for() {
    let both = || plan(&[("a", "crm"), ("b", "crm"), ("c", "crm")], 1);
    let mut bench = Bench::new(both());
    bench.append("web", 1);
    let first = bench.starts();
    let mut off = both();
    let next = off.subscriptions.get_mut("b").unwrap();
    Arc::make_mut(next).enabled = false;
    bench.engine.handle_plan(&off, &Known::default(), bench.now);
    assert!(bench.starts().is_empty(), "the slot is taken");
    bench.status(&first[0], 200);
    let second = bench.starts();
    assert_eq!(second.len(), 1);
    assert_eq!(&*second[0].subscription.name, "c");
}
