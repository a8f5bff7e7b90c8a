//! Who is let in, and who is told what.

use super::*;
use crate::limit::adaptive::Bounds;
use crate::limit::budget;
use crate::retry::HOLD_MS;

const NOW: UnixMs = UnixMs(1_000_000);

/// Whether what is let in goes as a probe; `None` when it is not let in.
fn is_probe(gates: &mut Gates, id: GateId, now: UnixMs) -> Option<bool> {
    let Admission::Yes(permit) = gates.admit(id, false, now) else {
        return None;
    };
    Some(permit.probe)
}

fn not_before(gates: &mut Gates, id: GateId, now: UnixMs) -> UnixMs {
    let Admission::NotBefore(at) = gates.admit(id, false, now) else {
        panic!("it may go, or wait for something else")
    };
    at
}

/// One attempt from start to end, of an event of its own.
fn attempt(gates: &mut Gates, id: GateId, status: u16, now: UnixMs) -> Left {
    let Admission::Yes(permit) = gates.admit(id, false, now) else {
        panic!("not let in")
    };
    let outcome = outcome(OutcomeKind::Status(status), now, 1);
    let hold = match status {
        401 => Some(Cause::Auth),
        410 => Some(Cause::Gone),
        _ => None,
    };
    let ended = Ended {
        probe: permit.probe,
        hold,
        ..ended(&outcome, now.0)
    };
    gates.leave(id, &ended, now)
}

fn open_by_failures(gates: &mut Gates, id: GateId) {
    for n in 1..=5 {
        attempt(gates, id, 503, NOW.minus_ms(5 - n));
    }
    assert_eq!(gates.standing_at(id, NOW).unwrap().state, State::Open);
}

/// Two good probes.
fn close(gates: &mut Gates, id: GateId, now: UnixMs) {
    attempt(gates, id, 200, now);
    let left = attempt(gates, id, 200, now);
    assert_eq!(left.change.unwrap().to, State::Closed);
}

#[test]
fn no_more_than_the_concurrency_are_let_in_and_who_leaves_wakes_one_in_line() {
    let (mut gates, id) = gates(endpoint(2), None, NOW);
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    assert!(matches!(gates.admit(id, false, NOW), Admission::Full));
    gates.wait(id, LaneId(1));
    gates.wait(id, LaneId(2));
    let ok = outcome(OutcomeKind::Status(200), NOW, 1);
    assert_eq!(gates.leave(id, &ended(&ok, 1), NOW).waiter, Some(LaneId(1)));
    assert_eq!(
        gates.pass_on(id, NOW),
        Some(LaneId(2)),
        "the slot is free still"
    );
    assert_eq!(gates.pass_on(id, NOW), None);
}

#[test]
fn a_pause_is_never_undercut_not_even_by_a_probe() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    open_by_failures(&mut gates, id);
    let at = NOW.plus_ms(30_000);
    assert_eq!(is_probe(&mut gates, id, at), Some(true));
    let busy = outcome(OutcomeKind::Status(503), at, 1);
    let pause = at.plus_ms(3_600_000);
    let ended = Ended {
        probe: true,
        pause_until: Some(pause),
        ..ended(&busy, 1)
    };
    let left = gates.leave(id, &ended, at);
    assert_eq!(left.change.unwrap().until, Some(at.plus_ms(60_000)));
    assert_eq!(not_before(&mut gates, id, at), pause);
    assert_eq!(not_before(&mut gates, id, pause.minus_ms(1)), pause);
    assert_eq!(is_probe(&mut gates, id, pause), Some(true));
}

#[test]
fn a_shorter_pause_does_not_cut_a_longer_one_and_an_operator_ends_it() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    for ms in [60_000, 10] {
        let busy = outcome(OutcomeKind::Status(429), NOW, 1);
        let pause_until = Some(NOW.plus_ms(ms));
        gates.leave(
            id,
            &Ended {
                pause_until,
                ..ended(&busy, 1)
            },
            NOW,
        );
    }
    assert_eq!(not_before(&mut gates, id, NOW), NOW.plus_ms(60_000));
    assert_eq!(gates.operate("crm", Operator::Close, None, NOW), None);
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    assert_eq!(
        gates.standing_at(id, NOW).unwrap().pace_per_second,
        Some(1),
        "up the ramp"
    );
}

#[test]
fn one_probe_goes_when_nothing_else_is_under_way() {
    let (mut gates, id) = gates(endpoint(10), None, NOW);
    for _ in 0..6 {
        assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    }
    let down = outcome(REFUSED, NOW, 1);
    for offset in 1..=5 {
        gates.leave(id, &ended(&down, offset), NOW);
    }
    let at = NOW.plus_ms(30_000);
    assert_eq!(not_before(&mut gates, id, NOW), at);
    assert!(
        matches!(gates.admit(id, false, at), Admission::Full),
        "one is still under way"
    );
    gates.wait(id, LaneId(1));
    assert_eq!(
        gates.leave(id, &ended(&down, 6), at).waiter,
        Some(LaneId(1))
    );
    assert_eq!(is_probe(&mut gates, id, at), Some(true));
    assert!(matches!(gates.admit(id, false, at), Admission::Full));
    assert_eq!(gates.standing_at(id, at).unwrap().state, State::HalfOpen);
}

#[test]
fn a_closed_breaker_is_followed_by_a_ramp_that_ends_when_nobody_waits_for_it() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    open_by_failures(&mut gates, id);
    let at = NOW.plus_ms(30_000);
    close(&mut gates, id, at);
    let now = gates.standing_at(id, at).unwrap();
    assert_eq!(
        (now.state, now.slots_now, now.pace_per_second),
        (State::Closed, 1, Some(1))
    );
    assert_eq!(is_probe(&mut gates, id, at), Some(false));
    assert!(matches!(gates.admit(id, false, at), Admission::Full));
    let ok = outcome(OutcomeKind::Status(200), at, 1);
    gates.leave(id, &ended(&ok, 1), at);
    assert_eq!(
        not_before(&mut gates, id, at),
        at.plus_ms(1_000),
        "one in the first second"
    );
    let later = at.plus_ms(10_000);
    assert_eq!(gates.standing_at(id, later).unwrap().pace_per_second, None);
    for _ in 0..5 {
        assert_eq!(is_probe(&mut gates, id, later), Some(false));
    }
}

#[test]
fn a_rate_lets_a_second_s_worth_go_and_says_when_the_next_may() {
    let rate = Some("10/s".parse().unwrap());
    let (mut gates, id) = gates(
        Endpoint {
            rate,
            ..endpoint(100)
        },
        None,
        NOW,
    );
    for _ in 0..10 {
        assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    }
    assert_eq!(not_before(&mut gates, id, NOW), NOW.plus_ms(100));
    assert_eq!(is_probe(&mut gates, id, NOW.plus_ms(100)), Some(false));
}

#[test]
fn a_retry_over_the_budget_waits_while_first_attempts_go() {
    let retry_budget = Some(budget::Settings {
        share: 0.0,
        per_second: 1,
    });
    let (mut gates, id) = gates(
        Endpoint {
            retry_budget,
            ..endpoint(100)
        },
        None,
        NOW,
    );
    for _ in 0..10 {
        assert!(matches!(gates.admit(id, true, NOW), Admission::Yes(_)));
    }
    let Admission::RetryNotBefore(at) = gates.admit(id, true, NOW) else {
        panic!("over the budget")
    };
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    assert!(matches!(gates.admit(id, true, at), Admission::Yes(_)));
}

#[test]
fn adaptive_concurrency_counts_besides_the_configured_one() {
    let adaptive = Some(Bounds { min: 1, max: 64 });
    let (mut gates, id) = gates(
        Endpoint {
            adaptive,
            ..endpoint(3)
        },
        None,
        NOW,
    );
    assert_eq!(gates.standing_at(id, NOW).unwrap().slots_now, 3);
    for _ in 0..3 {
        assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    }
    assert!(matches!(gates.admit(id, false, NOW), Admission::Full));
    let slow = outcome(OutcomeKind::Failed(Failure::Timeout), NOW, 10_000);
    gates.leave(id, &ended(&slow, 1), NOW);
    let later = outcome(
        OutcomeKind::Failed(Failure::Timeout),
        NOW.plus_ms(50),
        10_000,
    );
    gates.leave(id, &ended(&later, 2), NOW.plus_ms(60));
    assert_eq!(gates.standing_at(id, NOW).unwrap().slots_now, 2);
}

#[test]
fn a_paused_endpoint_is_shut_until_someone_resumes_it() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    let change = gates
        .operate("crm", Operator::Open, Some("moving".into()), NOW)
        .unwrap();
    assert_eq!((change.to, change.cause), (State::Open, Cause::Operator));
    assert!(matches!(
        gates.admit(id, false, UnixMs::NEVER),
        Admission::Shut
    ));
    let change = gates.operate("crm", Operator::Close, None, NOW).unwrap();
    assert_eq!(change.to, State::Closed);
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    assert_eq!(gates.operate("other", Operator::Open, None, NOW), None);
}

#[test]
fn a_new_secret_makes_the_probe_of_its_endpoints_due_at_once() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    let change = attempt(&mut gates, id, 401, NOW).change.unwrap();
    assert_eq!(
        (change.cause, change.until),
        (Cause::Auth, Some(NOW.plus_ms(HOLD_MS)))
    );
    assert!(gates.secret_changed(|_| false, NOW).is_empty());
    assert_eq!(
        gates.secret_changed(|endpoint| &*endpoint.name == "crm", NOW),
        [id]
    );
    assert_eq!(is_probe(&mut gates, id, NOW), Some(true));
}

#[test]
fn a_refusal_of_the_old_secret_does_not_hold_the_new_one() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    assert!(gates.secret_changed(|_| true, NOW.plus_ms(5)).is_empty());
    let refused = outcome(OutcomeKind::Status(401), NOW, 10);
    let hold = Some(Cause::Auth);
    let at = NOW.plus_ms(10);
    gates.leave(
        id,
        &Ended {
            hold,
            ..ended(&refused, 1)
        },
        at,
    );
    assert_eq!(is_probe(&mut gates, id, at), Some(true));
}

#[test]
fn what_outlives_a_restart_is_recorded_once_and_goes_on() {
    let (mut first, id) = gates(endpoint(5), None, NOW);
    attempt(&mut first, id, 200, NOW);
    assert!(first.take_records().is_empty());
    open_by_failures(&mut first, id);
    let records = first.take_records();
    assert_eq!(records.len(), 1);
    assert!(first.take_records().is_empty());
    let (mut second, id) = gates(endpoint(5), records.into_iter().next(), NOW.plus_ms(7));
    assert_eq!(
        not_before(&mut second, id, NOW.plus_ms(7)),
        NOW.plus_ms(30_000)
    );
    close(&mut second, id, NOW.plus_ms(30_000));
    let record = second.take_records().pop().unwrap();
    assert_eq!((record.state, record.cause), (State::Closed, None));
    let (third, id) = gates(endpoint(5), Some(record), NOW.plus_ms(31_000));
    let standing = third.standing_at(id, NOW.plus_ms(31_000)).unwrap();
    assert_eq!(
        standing.pace_per_second,
        Some(1),
        "it had just begun the ramp"
    );
}

#[test]
fn only_a_pause_of_more_than_five_seconds_is_recorded() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    for (ms, records) in [(5_000, 0), (5_001, 1), (5_001, 0)] {
        let busy = outcome(OutcomeKind::Status(429), NOW, 1);
        let pause_until = Some(NOW.plus_ms(ms));
        gates.leave(
            id,
            &Ended {
                pause_until,
                ..ended(&busy, 1)
            },
            NOW,
        );
        assert_eq!(gates.take_records().len(), records, "{ms}");
    }
}

#[test]
fn a_gate_that_stays_keeps_its_state_and_one_that_went_is_gone() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    open_by_failures(&mut gates, id);
    let wider = BTreeMap::from([("crm".into(), Arc::new(endpoint(9)))]);
    gates.set(&wider, &BTreeMap::new(), NOW);
    assert_eq!(gates.id("crm"), Some(id));
    let now = gates.standing_at(id, NOW).unwrap();
    assert_eq!((now.state, now.slots_now), (State::Open, 9));
    gates.set(&BTreeMap::new(), &BTreeMap::new(), NOW);
    assert!(matches!(gates.admit(id, false, NOW), Admission::Gone));
    assert_eq!(gates.standing(NOW).count(), 0);
}

#[test]
fn slots_of_an_endpoint_that_went_and_came_back_still_count() {
    let (mut gates, id) = gates(endpoint(1), None, NOW);
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    gates.set(&BTreeMap::new(), &BTreeMap::new(), NOW);
    assert_eq!(gates.id("crm"), None);
    let back = BTreeMap::from([("crm".into(), Arc::new(endpoint(1)))]);
    gates.set(&back, &BTreeMap::new(), NOW);
    assert_eq!(gates.id("crm"), Some(id));
    assert!(matches!(gates.admit(id, false, NOW), Admission::Full));
}

#[test]
fn a_lane_that_moved_away_is_not_let_in_any_more() {
    let (mut gates, id) = gates(endpoint(1), None, NOW);
    for lane in 1..=3 {
        gates.wait(id, LaneId(lane));
    }
    gates.forget(id, LaneId(2));
    assert_eq!(gates.standing_at(id, NOW).unwrap().waiting_lanes, 2);
    assert_eq!(gates.take_waiters(id), [LaneId(1), LaneId(3)]);
}

#[test]
fn nobody_is_woken_before_the_time_that_was_told() {
    let (mut gates, id) = gates(endpoint(5), None, NOW);
    for _ in 0..2 {
        assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    }
    let busy = outcome(OutcomeKind::Status(429), NOW, 1);
    let pause_until = Some(NOW.plus_ms(1_000));
    gates.wait(id, LaneId(1));
    let left = gates.leave(
        id,
        &Ended {
            pause_until,
            ..ended(&busy, 1)
        },
        NOW,
    );
    assert_eq!(left.waiter, Some(LaneId(1)), "somebody must be told");
    not_before(&mut gates, id, NOW);
    gates.wait(id, LaneId(1));
    assert_eq!(
        gates.leave(id, &ended(&busy, 2), NOW).waiter,
        None,
        "everybody is woken then"
    );
    assert_eq!(gates.take_waiters(id), [LaneId(1)]);
}

#[test]
fn a_clock_that_went_back_makes_no_wait_longer() {
    let rate = Some("1/min".parse().unwrap());
    let (mut gates, id) = gates(
        Endpoint {
            rate,
            ..endpoint(5)
        },
        None,
        NOW,
    );
    assert_eq!(is_probe(&mut gates, id, NOW), Some(false));
    let busy = outcome(OutcomeKind::Status(429), NOW, 1);
    let pause_until = Some(NOW.plus_ms(90_000));
    gates.leave(
        id,
        &Ended {
            pause_until,
            ..ended(&busy, 1)
        },
        NOW,
    );
    let back = NOW.minus_ms(500_000);
    gates.clock_went_back(500_000);
    assert_eq!(not_before(&mut gates, id, back), back.plus_ms(90_000));
    gates.operate("crm", Operator::Close, None, back);
    assert_eq!(
        not_before(&mut gates, id, back),
        back.plus_ms(60_000),
        "the rate"
    );
}
