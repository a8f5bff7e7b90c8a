use proptest::prelude::*;

use super::*;
use crate::delivery::{Failure, OutcomeKind};
use crate::id::Offset;
use crate::retry::HOLD_MS;

const SETTINGS: Settings = Settings {
    failures: 5,
    share: 0.5,
    calls_min: 20,
    window_ms: 30_000,
    open_ms: 30_000,
    open_max_ms: 300_000,
    successes: 2,
};

const START: UnixMs = UnixMs(1_000_000);

fn breaker() -> Breaker {
    Breaker::new("crm".into(), Some(SETTINGS), START)
}

fn call(status: u16, offset: u64) -> Call<'static> {
    Call {
        probe: false,
        offset: Offset(offset),
        kind: OutcomeKind::Status(status),
        detail: None,
        hold: None,
        outdated: false,
        known_excess: false,
        entropy: 0,
    }
}

fn probe(status: u16) -> Call<'static> {
    Call {
        probe: true,
        ..call(status, 1)
    }
}

fn hold(cause: Cause) -> Call<'static> {
    Call {
        hold: Some(cause),
        ..call(401, 1)
    }
}

/// Five failures of five events.
fn opened() -> Breaker {
    let mut breaker = breaker();
    for offset in 1..=5 {
        breaker.ended(&call(503, offset), START);
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn it_opens_at_five_failures_in_a_row_over_two_events() {
    let mut breaker = breaker();
    for offset in [1, 1, 2, 2] {
        assert_eq!(breaker.ended(&call(500, offset), START), None);
    }
    let change = breaker.ended(&call(500, 2), START).unwrap();
    let until = Some(START.plus_ms(30_000));
    assert_eq!(
        (change.from, change.to, change.cause),
        (State::Closed, State::Open, Cause::Failures)
    );
    assert_eq!(
        (change.until, change.reason.as_deref()),
        (until, Some("it answered 500"))
    );
    assert_eq!(breaker.look(START), Look::NotBefore(START.plus_ms(30_000)));
    assert_eq!(breaker.look(START.plus_ms(30_000)), Look::Probe);
}

#[test]
fn one_poison_event_alone_does_not_open_it() {
    let mut breaker = breaker();
    for _ in 0..19 {
        assert_eq!(breaker.ended(&call(500, 1), START), None);
    }
}

#[test]
fn a_success_between_failures_begins_the_row_anew() {
    let mut breaker = breaker();
    for offset in [1, 2, 3, 4] {
        breaker.ended(&call(500, offset), START);
    }
    breaker.ended(&call(404, 5), START);
    for offset in [6, 7, 8, 9] {
        assert_eq!(breaker.ended(&call(500, offset), START), None);
    }
}

#[test]
fn it_opens_when_half_of_twenty_calls_within_thirty_seconds_failed() {
    let mut breaker = breaker();
    for n in 0..10 {
        breaker.ended(&call(200, n), START);
        let failed = breaker.ended(&call(500, n), START);
        assert_eq!(failed.is_some(), n == 9, "{n}");
    }
    let mut slow = self::breaker();
    for n in 0..50 {
        let now = START.plus_ms(n * 4_000);
        slow.ended(&call(200, n), now);
        assert_eq!(
            slow.ended(&call(500, n), now),
            None,
            "15 calls in 30 s are too few"
        );
    }
}

#[test]
fn what_was_never_sent_says_nothing_and_what_got_an_answer_is_a_success() {
    for (kind, fails) in [
        (OutcomeKind::Status(429), true),
        (OutcomeKind::Status(503), true),
        (OutcomeKind::Status(501), true),
        (OutcomeKind::Status(200), false),
        (OutcomeKind::Status(404), false),
        (OutcomeKind::Failed(Failure::Timeout), true),
        (OutcomeKind::Failed(Failure::Tls), true),
        (OutcomeKind::Failed(Failure::Blocked), false),
        (OutcomeKind::Failed(Failure::Template), false),
        (OutcomeKind::Failed(Failure::Secret), false),
    ] {
        let mut breaker = breaker();
        for offset in 1..=100 {
            breaker.ended(
                &Call {
                    kind,
                    ..call(0, offset)
                },
                START,
            );
        }
        assert_eq!(breaker.state() == State::Open, fails, "{kind:?}");
    }
    let mut waiting = opened();
    waiting.begin_probe();
    let unsent = OutcomeKind::Failed(Failure::Secret);
    assert_eq!(
        waiting.ended(
            &Call {
                kind: unsent,
                ..probe(0)
            },
            START
        ),
        None
    );
    assert_eq!(
        waiting.look(START),
        Look::Probe,
        "the next one is a probe as well"
    );
}

#[test]
fn two_probes_in_a_row_close_it_and_a_failed_one_doubles_the_wait() {
    let mut breaker = opened();
    let mut now = START;
    for seconds in [60, 120, 240, 300, 300] {
        now = now.plus_ms(300_000);
        breaker.begin_probe();
        assert_eq!(breaker.ended(&probe(200), now), None, "one is not enough");
        breaker.begin_probe();
        let change = breaker.ended(&probe(503), now).unwrap();
        assert_eq!((change.from, change.to), (State::HalfOpen, State::Open));
        assert_eq!(change.until, Some(now.plus_ms(seconds * 1_000)));
    }
    breaker.begin_probe();
    breaker.ended(&probe(204), now);
    breaker.begin_probe();
    let change = breaker.ended(&probe(204), now).unwrap();
    assert_eq!((change.from, change.to), (State::HalfOpen, State::Closed));
    for offset in 1..=4 {
        breaker.ended(&call(503, offset), now);
    }
    let change = breaker.ended(&call(503, 5), now).unwrap();
    assert_eq!(
        change.until,
        Some(now.plus_ms(30_000)),
        "from the start again"
    );
}

#[test]
fn up_to_a_fifth_is_added_to_the_wait() {
    for (entropy, ms) in [(0, 30_000), (100, 33_000), (200, 36_000), (201, 30_000)] {
        let mut breaker = breaker();
        for offset in 1..=5 {
            breaker.ended(
                &Call {
                    entropy,
                    ..call(503, offset)
                },
                START,
            );
        }
        assert_eq!(breaker.look(START), Look::NotBefore(START.plus_ms(ms)));
    }
}

#[test]
fn results_of_requests_that_were_under_way_are_no_probes() {
    let mut breaker = opened();
    assert_eq!(breaker.ended(&call(200, 6), START), None);
    assert_eq!(breaker.ended(&call(503, 7), START), None);
    breaker.begin_probe();
    for offset in 8..12 {
        assert_eq!(breaker.ended(&call(200, offset), START), None);
    }
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn refused_credentials_hold_it_for_a_quarter_of_an_hour_each_time() {
    let mut breaker = breaker();
    let mut now = START;
    let change = breaker.ended(&hold(Cause::Auth), now).unwrap();
    assert_eq!((change.from, change.cause), (State::Closed, Cause::Auth));
    for _ in 0..4 {
        assert_eq!(breaker.look(now), Look::NotBefore(now.plus_ms(HOLD_MS)));
        now = now.plus_ms(HOLD_MS);
        breaker.begin_probe();
        let again = Call {
            probe: true,
            ..hold(Cause::Auth)
        };
        assert_eq!(breaker.ended(&again, now).unwrap().from, State::HalfOpen);
    }
    assert!(breaker.secret_changed(now));
    assert_eq!(breaker.look(now), Look::Probe);
    assert!(!breaker.secret_changed(now), "it was due already");
}

#[test]
fn credentials_that_were_replaced_meanwhile_are_tried_at_once() {
    let mut breaker = breaker();
    breaker.ended(
        &Call {
            outdated: true,
            ..hold(Cause::Auth)
        },
        START,
    );
    assert_eq!(breaker.look(START), Look::Probe);
}

#[test]
fn a_graver_cause_takes_the_place_of_a_lesser_one_and_never_the_other_way_round() {
    let causes = Cause::ALL;
    for (n, &first) in causes.iter().enumerate().skip(1) {
        for (m, &second) in causes.iter().enumerate().skip(1) {
            let mut breaker = breaker();
            breaker.ended(&hold(first), START);
            let change = breaker.ended(&hold(second), START);
            assert_eq!(change.is_some(), m > n);
            assert_eq!(breaker.cause(), Some(first.max(second)));
            if let Some(change) = change {
                assert_eq!((change.from, change.to), (State::Open, State::Open));
            }
        }
    }
    let mut failing = opened();
    failing.ended(&hold(Cause::Auth), START);
    assert_eq!(failing.look(START), Look::NotBefore(START.plus_ms(HOLD_MS)));
}

#[test]
fn gone_and_paused_wait_for_a_person() {
    let mut gone = breaker();
    gone.ended(&hold(Cause::Gone), START);
    let mut paused = breaker();
    let change = paused.open_by_hand(Some("moving".into()), START).unwrap();
    assert_eq!(
        (change.cause, change.reason.as_deref()),
        (Cause::Operator, Some("moving"))
    );
    for breaker in [&mut gone, &mut paused] {
        assert_eq!(breaker.look(UnixMs::NEVER), Look::Shut);
        assert!(!breaker.secret_changed(START));
        let change = breaker.close_by_hand(START).unwrap();
        assert_eq!((change.from, change.to), (State::Open, State::Closed));
        assert_eq!(breaker.look(START), Look::Free);
        assert_eq!(breaker.close_by_hand(START), None);
    }
}

#[test]
fn an_operator_may_open_what_is_open() {
    let mut breaker = opened();
    let change = breaker.open_by_hand(None, START).unwrap();
    assert_eq!(
        (change.from, change.to, change.cause),
        (State::Open, State::Open, Cause::Operator)
    );
    assert_eq!(breaker.open_by_hand(Some("twice".into()), START), None);
    assert_eq!(breaker.record(UnixMs(0)).reason.as_deref(), Some("twice"));
}

#[test]
fn without_settings_it_never_opens_by_failures_but_holds_all_the_same() {
    let mut breaker = Breaker::new("crm".into(), None, START);
    for offset in 1..=1_000 {
        assert_eq!(breaker.ended(&call(503, offset), START), None);
    }
    assert!(breaker.ended(&hold(Cause::Auth), START).is_some());
    breaker.begin_probe();
    breaker.ended(&probe(503), START);
    breaker.begin_probe();
    assert_eq!(breaker.ended(&probe(503), START).unwrap().to, State::Closed);
}

#[test]
fn a_restart_changes_nothing_but_that_a_half_open_one_probes_at_once() {
    let mut before = opened();
    before.begin_probe();
    before.ended(&probe(503), START);
    let record = before.record(UnixMs(7));
    assert_eq!((record.failed_probes, record.pause_until), (1, UnixMs(7)));
    let after = Breaker::restore(&record, Some(SETTINGS), START.plus_ms(10));
    assert_eq!(after.record(UnixMs(7)), record);
    before.begin_probe();
    let mut after = Breaker::restore(&before.record(UnixMs(0)), Some(SETTINGS), START);
    assert_eq!(
        (after.state(), after.look(START)),
        (State::Open, Look::Probe)
    );
    after.begin_probe();
    let again = after.ended(&probe(503), START).unwrap();
    assert_eq!(again.until, Some(START.plus_ms(120_000)));
}

#[test]
fn a_clock_that_went_back_makes_no_wait_longer() {
    let mut breaker = opened();
    breaker.clock_went_back(900_000);
    let now = START.minus_ms(900_000);
    assert_eq!(breaker.look(now), Look::NotBefore(now.plus_ms(30_000)));
    let record = opened().record(UnixMs(0));
    let restored = Breaker::restore(&record, Some(SETTINGS), now);
    assert_eq!(
        restored.look(now),
        Look::NotBefore(now.plus_ms(360_000)),
        "the longest there is"
    );
}

#[test]
fn settings_that_change_shorten_a_wait_and_switching_off_ends_it() {
    let mut breaker = opened();
    let shorter = Settings {
        open_ms: 1_000,
        open_max_ms: 2_000,
        ..SETTINGS
    };
    breaker.configure(Some(shorter), START);
    assert_eq!(breaker.look(START), Look::NotBefore(START.plus_ms(2_400)));
    breaker.configure(None, START);
    assert_eq!(breaker.look(START), Look::Probe);
}

/// What can happen to a breaker.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(u64),
    Send,
    End {
        at: usize,
        status: u16,
        entropy: u64,
    },
    Secret,
    Operator(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![4 => Just(200), 8 => Just(503), 1 => Just(401), 1 => Just(410)];
    prop_oneof![
        4 => (1..400_000_u64).prop_map(Step::Pass),
        12 => Just(Step::Send),
        12 => (0..8_usize, status, any::<u64>())
            .prop_map(|(at, status, entropy)| Step::End { at, status, entropy }),
        1 => Just(Step::Secret),
        1 => any::<bool>().prop_map(Step::Operator),
    ]
}

proptest! {
    #[test]
    fn nothing_goes_while_it_is_open_one_at_a_time_while_half_open_and_no_success_opens_it(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let (mut breaker, mut now) = (breaker(), START);
        let mut under_way: Vec<(bool, u64)> = vec![];
        for (offset, step) in (1_u64..).zip(steps) {
            let before = breaker.state();
            match step {
                Step::Pass(ms) => now = now.plus_ms(ms),
                Step::Secret => { breaker.secret_changed(now); }
                Step::Operator(true) => { breaker.open_by_hand(None, now); }
                Step::Operator(false) => { breaker.close_by_hand(now); }
                Step::Send => match breaker.look(now) {
                    Look::Free => under_way.push((false, offset)),
                    Look::Probe if under_way.is_empty() => {
                        breaker.begin_probe();
                        under_way.push((true, offset));
                        prop_assert_eq!(breaker.state(), State::HalfOpen);
                    }
                    Look::Probe => {}
                    Look::NotBefore(at) => prop_assert!(at > now),
                    Look::Shut => prop_assert!(breaker.cause() > Some(Cause::Auth)),
                },
                Step::End { at, status, entropy } if at < under_way.len() => {
                    let (probe, offset) = under_way.remove(at);
                    let hold = match status { 401 => Some(Cause::Auth), 410 => Some(Cause::Gone), _ => None };
                    let change = breaker.ended(&Call { probe, hold, entropy, ..call(status, offset) }, now);
                    if status == 200 {
                        prop_assert!(change.is_none_or(|change| change.to == State::Closed));
                    }
                    if before == State::Open && status < 400 {
                        prop_assert_eq!(breaker.state(), State::Open);
                    }
                }
                Step::End { .. } => {}
            }
            if breaker.state() == State::HalfOpen {
                prop_assert!(under_way.len() <= 1);
            }
            let restored = Breaker::restore(&breaker.record(UnixMs(0)), Some(SETTINGS), now);
            prop_assert_eq!(restored.look(now), breaker.look(now), "a restart changes nothing");
        }
    }

    #[test]
    fn open_times_double_up_to_the_bound(open_ms in 1..100_000_u64, max_ms in 1..1_000_000_u64) {
        let settings = Settings { open_ms, open_max_ms: max_ms.max(open_ms), ..SETTINGS };
        let mut breaker = Breaker::new("crm".into(), Some(settings.clone()), START);
        (1..=5).for_each(|offset| { breaker.ended(&call(503, offset), START); });
        let mut expected = open_ms;
        for _ in 0..40 {
            prop_assert_eq!(breaker.look(START), Look::NotBefore(START.plus_ms(expected)));
            expected = (expected * 2).min(settings.open_max_ms);
            breaker.begin_probe();
            breaker.ended(&probe(503), START);
        }
    }
}
