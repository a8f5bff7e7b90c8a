//! The engine lives through many seeded worlds, and every check is shown to fail on a broken one.
//!
//! `SWITCHHOOK_SEEDS=2000` lives through that many worlds; `SWITCHHOOK_SEED=123` through that one alone,
//! with its options and its last steps printed.

use switchhook_sim::checks::Invariant;
use switchhook_sim::faults::Sabotage;
use switchhook_sim::world::{self, Broken};

/// Worlds of an ordinary run; a certificate takes 2,000.
const SEEDS: u64 = 200;
/// Worlds in which subscriptions are switched off and on besides.
const SEEDS_SWITCHED: u64 = 100;
/// A defect must be found within so many worlds.
const SEEDS_UNTIL_FOUND: u64 = 40;

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    assert!(number.is_ok(), "{name} must be a number, not `{text}`");
    number.ok()
}

/// Lives through every second world below `seeds`; stops at the first that breaks.
fn live_half(first: u64, seeds: u64) -> Result<u64, Box<Broken>> {
    let mut attempts = 0;
    for seed in (first..seeds).step_by(2) {
        attempts += world::run(seed, None)?.attempts;
    }
    Ok(attempts)
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "how much was tried belongs to the result"
)]
fn no_world_breaks_an_invariant() {
    let seeds = given("SWITCHHOOK_SEEDS").unwrap_or(SEEDS);
    let (even, odd) = std::thread::scope(|scope| {
        let even = scope.spawn(|| live_half(0, seeds));
        let odd = live_half(1, seeds);
        (even.join().unwrap(), odd)
    });
    match (even, odd) {
        (Ok(even), Ok(odd)) => {
            println!("{seeds} worlds of 48 hours, {} attempts", even + odd);
        }
        (Err(broken), _) | (_, Err(broken)) => panic!("{broken}"),
    }
}

/// Does nothing unless a seed is given.
#[test]
#[expect(clippy::print_stdout, reason = "it is there to be looked at")]
fn one_seed() {
    let Some(seed) = given("SWITCHHOOK_SEED") else {
        return;
    };
    let (result, options, steps) = world::run_and_tell(seed);
    println!("seed {seed}\n{options}\n{}", steps.join("\n"));
    match result {
        Ok(summary) => println!("{summary:?}"),
        Err(broken) => panic!("{broken}"),
    }
}

#[test]
fn the_same_seed_lives_the_same_life_and_another_one_does_not() {
    for seed in 0..10 {
        let once = world::run(seed, None).unwrap();
        assert_eq!(once, world::run(seed, None).unwrap());
        let other = world::run(seed + 1, None).unwrap();
        assert_ne!(once.trace_hash, other.trace_hash);
    }
}

/// What was switched off sends nothing, loses nothing, and goes on where it stood, whatever else happens.
#[test]
fn no_world_breaks_an_invariant_when_subscriptions_are_switched_off_and_on() {
    for seed in 0..SEEDS_SWITCHED {
        if let Err(broken) = world::run_with_switches(seed, None) {
            panic!("{broken}");
        }
    }
}

#[test]
fn a_world_in_which_the_switch_does_nothing_is_found_out() {
    let ignored = Some(Sabotage::SwitchIgnored);
    let broken = (0..SEEDS_UNTIL_FOUND)
        .find_map(|seed| world::run_with_switches(seed, ignored).err())
        .map(|broken| broken.violation.invariant);
    assert_eq!(broken, Some(Invariant::Paused));
}

#[test]
fn every_check_fails_in_a_world_that_is_broken_on_purpose() {
    for (sabotage, invariant) in [
        (Sabotage::AckBeforeCommit, Invariant::Kept),
        (Sabotage::CursorTooFar, Invariant::Kept),
        (Sabotage::WaitingRowLost, Invariant::Kept),
        (Sabotage::SuccessLost, Invariant::Kept),
        (Sabotage::DeadlineIgnored, Invariant::SettledInTime),
        (Sabotage::SettledForgotten, Invariant::NoRepeat),
        (Sabotage::AttemptTooMany, Invariant::AttemptLimit),
        (Sabotage::SlotTooMany, Invariant::SlotLimit),
        (Sabotage::RetryAfterIgnored, Invariant::NotEarly),
        (Sabotage::RowsEarly, Invariant::NotEarly),
        (Sabotage::DedupForgotten, Invariant::OneEvent),
        (Sabotage::SettledRowKept, Invariant::OnePlace),
        (Sabotage::ReadTooMuch, Invariant::Bounds),
        (Sabotage::ReadLost, Invariant::Progress),
        (Sabotage::LetterLost, Invariant::Letters),
        (Sabotage::EditIgnored, Invariant::AsPlanned),
        (Sabotage::KeysForgotten, Invariant::InOrder),
        (Sabotage::HeldHandedOut, Invariant::InOrder),
        (Sabotage::HaltIgnored, Invariant::InOrder),
        (Sabotage::RateIgnored, Invariant::RateLimit),
        (Sabotage::BreakerForgotten, Invariant::ProbeOnly),
        (Sabotage::ProbeCounted, Invariant::FreeProbes),
        (Sabotage::PauseForgotten, Invariant::Paused),
        (Sabotage::TwoMembers, Invariant::OneMember),
        (Sabotage::RetentionTooKeen, Invariant::NeededKept),
        (Sabotage::RowsNotMoved, Invariant::OneMember),
    ] {
        let broken = (0..SEEDS_UNTIL_FOUND).find_map(|seed| world::run(seed, Some(sabotage)).err());
        let violation = broken.map(|broken| broken.violation);
        let found = violation.as_ref().map(|violation| violation.invariant);
        assert_eq!(found, Some(invariant), "{sabotage:?}: {violation:?}");
    }
}
