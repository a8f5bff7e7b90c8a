//! `[policy.NAME]`: how hard to try, and the policy that is there without being written.

use std::ops::RangeInclusive;
use std::sync::Arc;

use switchhook_core::retry::{
    AGE_LONG_MAX_MS, AGE_MAX_MS, ATTEMPTS_MAX, Action, Jitter, Match, Policy,
    RETRY_AFTER_MAX_DEFAULT_MS, RETRY_AFTER_MAX_RANGE_MS, Rule, Schedule,
};

use super::codes;
use super::node::Value;
use super::read::{Item, Report, Table, shown};
use crate::api::PolicyPreview;
use crate::duration;

pub(super) const KEYS: [&str; 10] = [
    "exponential",
    "matrix",
    "fixed",
    "linear",
    "jitter",
    "max_attempts",
    "max_age",
    "long",
    "retry_after_max",
    "rule",
];
/// Name of the policy that a subscription has when it names none.
pub const STANDARD: &str = "standard";
/// Delays of [`STANDARD`] (`facts`, reliability 5.7): with the longest jitter they end within 22 hours.
const STANDARD_DELAYS_MS: [u64; 6] = [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000];
/// Attempts when a schedule that has no end of its own says nothing.
const ATTEMPTS_DEFAULT: u16 = 12;
/// Jitter when none is set: never earlier, at most a quarter later.
const JITTER_DEFAULT: Jitter = Jitter::Additive(0.25);
/// Shortest delay that a schedule repeats, in milliseconds; a matrix may hold zeros, since it ends.
const DELAY_MS: RangeInclusive<u64> = 1..=AGE_LONG_MAX_MS;
/// Largest growth of a delay.
const FACTOR_MAX: f64 = 100.0;
/// Shortest `max_age`, in milliseconds.
const AGE_MIN_MS: u64 = 1_000;
/// Most rules of a policy and results of a rule: they are tried one after the other.
const RULES_MAX: usize = 32;

/// The policy [`STANDARD`] as it is when nobody declares one of that name.
#[must_use]
pub fn standard() -> Policy {
    Policy {
        name: STANDARD.into(),
        schedule: Schedule::Matrix {
            delays_ms: STANDARD_DELAYS_MS.to_vec(),
        },
        jitter: JITTER_DEFAULT,
        max_attempts: 7,
        max_age_ms: AGE_MAX_MS,
        retry_after_max_ms: RETRY_AFTER_MAX_DEFAULT_MS,
        rules: Vec::new(),
    }
}

pub(super) fn read(name: &Arc<str>, item: &Item<'_>, report: &mut Report) -> Option<Policy> {
    let table = report.table(item, &KEYS)?;
    let schedule = table
        .one_of(&["exponential", "matrix", "fixed", "linear"], report)
        .and_then(|(kind, item)| schedule(kind, &item, report));
    let attempts_default = match &schedule {
        Some(Schedule::Matrix { delays_ms }) => {
            u16::try_from(delays_ms.len() + 1).unwrap_or(ATTEMPTS_MAX)
        }
        _ => ATTEMPTS_DEFAULT,
    };
    let jitter = table.or("jitter", JITTER_DEFAULT, |item| jitter(item, report));
    let max_attempts = table.or("max_attempts", attempts_default, |item| {
        report.integer(item, 1..=ATTEMPTS_MAX)
    });
    let max_age = max_age(&table, report);
    let (low, high) = RETRY_AFTER_MAX_RANGE_MS;
    let retry_after_max = table.or("retry_after_max", RETRY_AFTER_MAX_DEFAULT_MS, |item| {
        report.duration(item, low..=high)
    });
    let rules = table.or("rule", Vec::new(), |item| {
        report.each(item, 0..=RULES_MAX, rule)
    });
    let policy = Policy {
        name: Arc::clone(name),
        schedule: schedule?,
        jitter: jitter?,
        max_attempts: max_attempts?,
        max_age_ms: max_age?,
        retry_after_max_ms: retry_after_max?,
        rules: rules?,
    };
    check_span(&policy, &table, report);
    Some(policy)
}

fn max_age(table: &Table<'_>, report: &mut Report) -> Option<u64> {
    let long = table.or("long", false, |item| report.boolean(item));
    table.or("max_age", AGE_MAX_MS, |item| {
        let ms = report.duration(item, AGE_MIN_MS..=AGE_LONG_MAX_MS)?;
        if ms > AGE_MAX_MS && !long? {
            let message = format!(
                "max_age {} is above the limit of 24h (86400 s)",
                duration::format(ms)
            );
            let hint = "write `long = true` beside it to go up to 7d".to_owned();
            report.add(codes::OUT_OF_RANGE, item, message, Some(hint));
            return None;
        }
        Some(ms)
    })
}

fn schedule(kind: &str, item: &Item<'_>, report: &mut Report) -> Option<Schedule> {
    match kind {
        "exponential" => {
            let table = report.table(item, &["initial", "factor", "max"])?;
            let initial = delay(&table, "initial", report);
            let factor = table.or("factor", 2.0, |item| report.number(item, 1.0..=FACTOR_MAX));
            let max = longest(&table, initial, report);
            Some(Schedule::Exponential {
                initial_ms: initial?,
                factor: factor?,
                max_ms: max?,
            })
        }
        "linear" => {
            let table = report.table(item, &["initial", "step", "max"])?;
            let initial = delay(&table, "initial", report);
            let step = delay(&table, "step", report);
            let max = longest(&table, initial, report);
            Some(Schedule::Linear {
                initial_ms: initial?,
                step_ms: step?,
                max_ms: max?,
            })
        }
        "fixed" => {
            let table = report.table(item, &["delay"])?;
            Some(Schedule::Fixed {
                delay_ms: delay(&table, "delay", report)?,
            })
        }
        _ => {
            let table = report.table(item, &["delays"])?;
            let delays = table.need("delays", report)?;
            let delays_ms = report.each(
                &delays,
                1..=usize::from(ATTEMPTS_MAX) - 1,
                |item, report| report.duration(item, 0..=AGE_LONG_MAX_MS),
            );
            Some(Schedule::Matrix {
                delays_ms: delays_ms?,
            })
        }
    }
}

fn delay(table: &Table<'_>, key: &str, report: &mut Report) -> Option<u64> {
    table
        .need(key, report)
        .and_then(|item| report.duration(&item, DELAY_MS))
}

/// The key `max`, which must not be shorter than the first delay.
fn longest(table: &Table<'_>, initial_ms: Option<u64>, report: &mut Report) -> Option<u64> {
    let item = table.need("max", report)?;
    let low = initial_ms.unwrap_or(*DELAY_MS.start());
    report.duration(&item, low..=*DELAY_MS.end())
}

fn jitter(item: &Item<'_>, report: &mut Report) -> Option<Jitter> {
    if let Value::Text(_) = item.node.value {
        let choices = [
            ("none", Jitter::None),
            ("equal", Jitter::Equal),
            ("full", Jitter::Full),
            ("decorrelated", Jitter::Decorrelated),
        ];
        return report.choice(item, &choices);
    }
    let table = report.table(item, &["plus-minus", "additive"])?;
    let (kind, item) = table.one_of(&["plus-minus", "additive"], report)?;
    let share = report.number(&item, 0.0..=1.0)?;
    Some(if kind == "additive" {
        Jitter::Additive(share)
    } else {
        Jitter::PlusMinus(share)
    })
}

fn rule(item: &Item<'_>, report: &mut Report) -> Option<Rule> {
    let table = report.table(item, &["on", "do"])?;
    let on = table
        .need("on", report)
        .and_then(|item| report.each(&item, 1..=RULES_MAX, result));
    let choices = [
        ("retry", Action::Retry),
        ("dead-letter", Action::DeadLetter),
        ("hold", Action::Hold),
        ("done", Action::Done),
    ];
    let action = table
        .need("do", report)
        .and_then(|item| report.choice(&item, &choices));
    Some(Rule {
        on: on?,
        action: action?,
    })
}

/// A result in a rule: a status as a number, or a word.
fn result(item: &Item<'_>, report: &mut Report) -> Option<Match> {
    let text = if let Value::Integer(status) = item.node.value {
        status.to_string()
    } else {
        report.text(item)?.text.clone()
    };
    let parsed = text.parse::<Match>();
    parsed
        .map_err(|error| {
            report.add(
                codes::RULE_MATCH,
                item,
                shown_error(&error.to_string()),
                None,
            )
        })
        .ok()
}

fn shown_error(text: &str) -> String {
    if text.chars().count() <= 300 {
        text.to_owned()
    } else {
        shown(text)
    }
}

/// Warns when the policy gives up before its attempts are used, and says which attempt is the last.
fn check_span(policy: &Policy, table: &Table<'_>, report: &mut Report) {
    let preview = PolicyPreview::from(policy);
    let Some(last) = preview
        .bands
        .last()
        .filter(|band| band.latest_total_ms > policy.max_age_ms)
    else {
        return;
    };
    let fit = preview.attempts_that_fit;
    let after = preview
        .bands
        .iter()
        .find(|band| band.attempt == fit)
        .map_or(0, |band| band.latest_total_ms);
    let [all, age, after] =
        [last.latest_total_ms, policy.max_age_ms, after].map(|ms| duration::format(rounded(ms)));
    let message = format!(
        "{} attempts can take {all}, longer than max_age {age}",
        policy.max_attempts
    );
    let hint = format!("attempt {fit} (after at most {after}) is the last that surely fits");
    let place = table
        .get("max_age")
        .or_else(|| table.get("max_attempts"))
        .unwrap_or_else(|| table.item.clone());
    report.add(codes::SCHEDULE_TOO_LONG, &place, message, Some(hint));
}

/// Whole seconds where that loses nothing that a reader needs.
const fn rounded(ms: u64) -> u64 {
    if ms < 10_000 { ms } else { ms / 1_000 * 1_000 }
}
