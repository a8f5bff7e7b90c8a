use proptest::prelude::*;
use switchhook_core::retry::{Match, Rule};

use super::*;
use crate::config::{self, ApiResource, Kind};

/// The policy that a body makes, read as the API reads it.
fn policy(body: &Map<String, Json>) -> Policy {
    let config = config::load_toml("", "test.toml", &|_| None)
        .config
        .unwrap();
    let made = ApiResource {
        kind: Kind::Policy,
        name: "p".into(),
        body: Json::Object(body.clone()),
    };
    let merged = config.declared.with_api(&[made]);
    let problems = &merged.problems;
    let plan = merged
        .plan
        .unwrap_or_else(|| panic!("{problems:?} in {body:?}"));
    let warned = problems
        .iter()
        .any(|problem| problem.code == config::codes::SCHEDULE_TOO_LONG.id);
    assert!(!warned, "the delays do not fit: {body:?}");
    Policy::clone(&plan.policies["p"])
}

fn written(retry: Retry) -> Policy {
    let mut body = Map::new();
    retry.apply(&mut body);
    policy(&body)
}

fn delays(policy: &Policy) -> Vec<u64> {
    plain_ms(policy)
}

#[test]
fn a_spread_doubles_and_adds_up_to_its_duration() {
    let spread = |attempts, duration_s| Retry::Spread {
        attempts,
        duration_s,
    };
    let policy = written(spread(5, 15));
    assert_eq!(delays(&policy), [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(policy.jitter, Jitter::None);
    assert_eq!(
        delays(&written(spread(5, 605))),
        [40_333, 80_667, 161_333, 322_667]
    );
    assert_eq!(written(spread(1, 9)).max_attempts, 1);
    let longest = written(spread(100, 86_400));
    assert_eq!(delays(&longest).iter().sum::<u64>(), 86_400_000);
    assert!(
        longest.max_age_ms > 86_400_000,
        "there is room for the attempts themselves"
    );
}

#[test]
fn growth_is_what_it_says() {
    let backoff = |growth| {
        delays(&written(Retry::Backoff {
            retries: 4,
            delay_ms: 1_000,
            growth,
            jitter: true,
        }))
    };
    assert_eq!(backoff(Growth::Exponential), [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(backoff(Growth::Linear), [1_000, 2_000, 3_000, 4_000]);
    assert_eq!(backoff(Growth::Fixed), [1_000; 4]);
}

#[test]
fn a_timeout_is_retried_or_not_and_other_rules_stay() {
    let interval = |on_timeout| Retry::Interval {
        retries: 3,
        interval_ms: 60_000,
        on_timeout,
    };
    let mut body = Map::new();
    body.insert(
        "rule".into(),
        json!([{"on": ["404", "timeout"], "do": "hold"}, {"on": ["*"], "do": "dead-letter"}]),
    );
    body.insert("retry_after_max".into(), "1h".into());
    interval(false).apply(&mut body);
    assert_eq!(Retry::interval(&policy(&body)), interval(false));
    interval(true).apply(&mut body);
    let after = policy(&body);
    assert_eq!(Retry::interval(&after), interval(true));
    assert_eq!(after.retry_after_max_ms, 3_600_000);
    let (on, action) = (vec![Match::Status(404)], Action::Hold);
    assert!(
        after.rules.contains(&Rule { on, action }),
        "{:?}",
        after.rules
    );
}

#[test]
fn what_is_not_said_stays() {
    let mut body = Map::new();
    let table = json!({"initial": "2s", "factor": 3.0, "max": "5m"});
    body.insert("exponential".into(), table);
    body.insert("max_age".into(), "1h".into());
    let backoff = Retry::Backoff {
        retries: 3,
        delay_ms: 1_000,
        growth: Growth::Exponential,
        jitter: true,
    };
    backoff.apply(&mut body);
    let after = policy(&body);
    assert_eq!(after.max_age_ms, 3_600_000);
    let Schedule::Exponential { max_ms, .. } = after.schedule else {
        panic!("{:?}", after.schedule)
    };
    assert_eq!(max_ms, 300_000);
}

#[test]
fn the_standard_policy_has_a_view_in_every_dialect() {
    let standard = config::standard();
    assert_eq!(
        Retry::spread(&standard),
        Retry::Spread {
            attempts: 7,
            duration_s: 63_305
        }
    );
    assert_eq!(
        Retry::interval(&standard),
        Retry::Interval {
            retries: 6,
            interval_ms: 10_550_834,
            on_timeout: true
        }
    );
    assert!(matches!(
        Retry::backoff(&standard),
        Retry::Backoff {
            retries: 6,
            delay_ms: 5_000,
            growth: Growth::Exponential,
            jitter: true
        }
    ));
}

fn any_retry() -> impl Strategy<Value = Retry> {
    let interval =
        (0..=99_u16, 1..=DELAY_MAX_MS, any::<bool>()).prop_map(|(retries, ms, on_timeout)| {
            Retry::Interval {
                retries,
                interval_ms: ms,
                on_timeout,
            }
        });
    let spread = (1..=100_u16, 1..=SPREAD_MAX_S).prop_map(|(attempts, duration_s)| Retry::Spread {
        attempts,
        duration_s,
    });
    let growth = prop_oneof![
        Just(Growth::Exponential),
        Just(Growth::Linear),
        Just(Growth::Fixed)
    ];
    let backoff = (0..=99_u16, 1..=DELAY_MAX_MS, growth, any::<bool>()).prop_map(
        |(retries, delay_ms, growth, jitter)| Retry::Backoff {
            retries,
            delay_ms,
            growth,
            jitter,
        },
    );
    prop_oneof![interval, spread, backoff]
        .prop_filter("refused", |retry| retry.longest_ms() <= DELAY_MAX_MS)
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(first in any_retry(), then in any_retry()) {
        let mut body = Map::new();
        for retry in [first, then] {
            retry.apply(&mut body);
            let policy = policy(&body);
            prop_assert!(retry.is_that_of(&policy), "{retry:?} became {policy:?}");
        }
    }

    #[test]
    fn the_delays_of_a_spread_add_up_and_never_shrink(attempts in 2..=100_u16, duration_s in 1..=SPREAD_MAX_S) {
        let delays = spread_ms(attempts, duration_s * 1_000);
        prop_assert_eq!(delays.len(), usize::from(attempts) - 1);
        prop_assert_eq!(delays.iter().sum::<u64>(), duration_s * 1_000);
        // Each end is rounded to a millisecond, so a delay may be one off.
        prop_assert!(delays.windows(2).all(|pair| pair[0].abs_diff(pair[1] / 2) <= 2));
    }
}
