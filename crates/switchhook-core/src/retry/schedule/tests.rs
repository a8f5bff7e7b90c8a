use super::*;
use proptest::prelude::*;

const EXPONENTIAL: Schedule = Schedule::Exponential {
    initial_ms: 1_000,
    factor: 2.0,
    max_ms: 600_000,
};

fn plain(schedule: &Schedule, attempts: u16) -> Vec<u64> {
    (1..attempts)
        .map(|failed| delay_ms(schedule, Jitter::None, failed, 0, 77))
        .collect()
}

#[test]
fn each_schedule_gives_the_delays_it_promises() {
    let doubling = [
        1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000,
    ];
    let mut expected = doubling.to_vec();
    expected.push(600_000);
    assert_eq!(plain(&EXPONENTIAL, 12), expected);

    let matrix = Schedule::Matrix {
        delays_ms: vec![5_000, 15_000, 45_000],
    };
    assert_eq!(plain(&matrix, 6), [5_000, 15_000, 45_000, 45_000, 45_000]);
    assert_eq!(plain(&Schedule::Fixed { delay_ms: 7 }, 4), [7, 7, 7]);
    let linear = Schedule::Linear {
        initial_ms: 100,
        step_ms: 50,
        max_ms: 180,
    };
    assert_eq!(plain(&linear, 5), [100, 150, 180, 180]);
    let fraction = Schedule::Exponential {
        initial_ms: 1_000,
        factor: 1.5,
        max_ms: 10_000,
    };
    assert_eq!(plain(&fraction, 5), [1_000, 1_500, 2_250, 3_375]);
}

#[test]
fn each_jitter_spreads_the_capped_delay_as_it_promises() {
    let thousand = Schedule::Fixed { delay_ms: 1_000 };
    for (jitter, earliest, middle, latest) in [
        (Jitter::None, 1_000, 1_000, 1_000),
        (Jitter::PlusMinus(0.15), 850, 999, 1_150),
        (Jitter::Additive(0.25), 1_000, 1_124, 1_250),
        (Jitter::Equal, 500, 749, 1_000),
        (Jitter::Full, 0, 499, 1_000),
        (Jitter::PlusMinus(1.0), 0, 999, 2_000),
    ] {
        let at = |entropy| delay_ms(&thousand, jitter, 3, 0, entropy);
        assert_eq!(
            (at(0), at(u64::MAX / 2), at(u64::MAX)),
            (earliest, middle, latest),
            "{jitter:?}"
        );
    }
    assert_eq!(
        delay_ms(&EXPONENTIAL, Jitter::Additive(0.5), 50, 0, u64::MAX),
        900_000
    );
}

#[test]
fn decorrelated_jitter_grows_from_the_delay_before_and_stops_at_the_longest() {
    let at = |previous_ms, entropy| {
        delay_ms(&EXPONENTIAL, Jitter::Decorrelated, 5, previous_ms, entropy)
    };
    assert_eq!((at(0, 0), at(0, u64::MAX)), (1_000, 3_000));
    assert_eq!((at(20_000, 0), at(20_000, u64::MAX)), (1_000, 60_000));
    assert_eq!(at(500_000, u64::MAX), 600_000);
}

#[test]
fn the_bands_name_each_attempt_after_the_first() {
    let bands = bands(&policy(EXPONENTIAL, Jitter::Additive(0.25), 4));
    let rows: Vec<_> = bands
        .iter()
        .map(|band| (band.attempt, band.earliest_ms, band.latest_ms))
        .collect();
    assert_eq!(
        rows,
        [(2, 1_000, 1_250), (3, 2_000, 2_500), (4, 4_000, 5_000)]
    );
    assert!(super::bands(&policy(EXPONENTIAL, Jitter::None, 1)).is_empty());
    assert_eq!(
        super::bands(&policy(EXPONENTIAL, Jitter::None, u16::MAX)).len(),
        99
    );
}

#[test]
fn numbers_at_the_edge_neither_overflow_nor_panic() {
    for schedule in [
        Schedule::Exponential {
            initial_ms: u64::MAX,
            factor: f64::MAX,
            max_ms: u64::MAX,
        },
        Schedule::Exponential {
            initial_ms: 0,
            factor: f64::INFINITY,
            max_ms: u64::MAX,
        },
        Schedule::Exponential {
            initial_ms: 5,
            factor: f64::NAN,
            max_ms: 9,
        },
        Schedule::Linear {
            initial_ms: u64::MAX,
            step_ms: u64::MAX,
            max_ms: u64::MAX,
        },
        Schedule::Matrix { delays_ms: vec![] },
        Schedule::Fixed { delay_ms: u64::MAX },
    ] {
        for share in [0.0, 1.0, 7.0, -1.0, f64::NAN, f64::INFINITY] {
            for jitter in [
                Jitter::PlusMinus(share),
                Jitter::Additive(share),
                Jitter::Decorrelated,
            ] {
                for failed in [0, 1, 2, u16::MAX] {
                    let low = delay_ms(&schedule, jitter, failed, u64::MAX, 0);
                    assert!(low <= delay_ms(&schedule, jitter, failed, u64::MAX, u64::MAX));
                }
            }
        }
    }
}

fn policy(schedule: Schedule, jitter: Jitter, max_attempts: u16) -> Policy {
    Policy {
        name: "p".into(),
        schedule,
        jitter,
        max_attempts,
        max_age_ms: super::super::AGE_MAX_MS,
        retry_after_max_ms: super::super::RETRY_AFTER_MAX_DEFAULT_MS,
        rules: vec![],
    }
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let ms = || 0_u64..100_000_000;
    prop_oneof![
        (ms(), 1.0_f64..10.0, ms()).prop_map(|(initial_ms, factor, max_ms)| {
            Schedule::Exponential {
                initial_ms,
                factor,
                max_ms,
            }
        }),
        prop::collection::vec(ms(), 1..8).prop_map(|delays_ms| Schedule::Matrix { delays_ms }),
        ms().prop_map(|delay_ms| Schedule::Fixed { delay_ms }),
        (ms(), ms(), ms()).prop_map(|(initial_ms, step_ms, max_ms)| {
            Schedule::Linear {
                initial_ms,
                step_ms,
                max_ms,
            }
        }),
    ]
}

fn any_jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        (0.0_f64..=1.0).prop_map(Jitter::PlusMinus),
        (0.0_f64..=1.0).prop_map(Jitter::Additive),
        Just(Jitter::Equal),
        Just(Jitter::Full),
        Just(Jitter::Decorrelated),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_delay_lies_in_its_band(
        schedule in any_schedule(),
        jitter in any_jitter(),
        entropies in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let attempts = u16::try_from(entropies.len()).unwrap() + 1;
        let bands = bands(&policy(schedule.clone(), jitter, attempts));
        prop_assert_eq!(bands.len(), entropies.len());
        let mut previous_ms = 0;
        for (band, entropy) in bands.iter().zip(entropies) {
            let delay = delay_ms(&schedule, jitter, band.attempt - 1, previous_ms, entropy);
            prop_assert!((band.earliest_ms..=band.latest_ms).contains(&delay), "{:?} {}", band, delay);
            prop_assert!((band.earliest_ms..=band.latest_ms).contains(&band.expected_ms), "{:?}", band);
            previous_ms = delay;
        }
    }

    #[test]
    fn more_entropy_never_means_an_earlier_attempt(
        schedule in any_schedule(),
        jitter in any_jitter(),
        failed in 1_u16..200,
        previous_ms in 0_u64..100_000_000,
        entropies in (any::<u64>(), any::<u64>()),
    ) {
        let (low, high) = (entropies.0.min(entropies.1), entropies.0.max(entropies.1));
        let at = |entropy| delay_ms(&schedule, jitter, failed, previous_ms, entropy);
        prop_assert!(at(low) <= at(high));
    }

    #[test]
    fn additive_jitter_never_comes_before_the_plain_schedule(
        schedule in any_schedule(),
        share in 0.0_f64..=1.0,
        failed in 1_u16..200,
        entropy in any::<u64>(),
    ) {
        let plain = delay_ms(&schedule, Jitter::None, failed, 0, entropy);
        let spread = delay_ms(&schedule, Jitter::Additive(share), failed, 0, entropy);
        prop_assert!(spread >= plain && spread <= plain.saturating_mul(2));
    }
}
