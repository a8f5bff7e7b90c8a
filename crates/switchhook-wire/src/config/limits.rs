//! How much an endpoint gets: `concurrency`, `adaptive`, `rate`, `retry_budget` and `breaker`.
//!
//! A breaker is there unless it is switched off; the others are there when they are written. The numbers of
//! the breaker are those of seed 000 and `facts` (reliability 5.9), of the budget those of 5.10.

use switchhook_core::breaker;
use switchhook_core::endpoint::{CONCURRENCY_DEFAULT, CONCURRENCY_MAX};
use switchhook_core::limit::{adaptive, budget, rate};

use super::codes;
use super::read::{Item, Report, Table};

/// Keys of an endpoint that are read here.
pub(super) const KEYS: [&str; 5] = ["concurrency", "adaptive", "rate", "retry_budget", "breaker"];
/// The breaker of an endpoint that says nothing about it.
const BREAKER: breaker::Settings = breaker::Settings {
    failures: 5,
    share: 0.5,
    calls_min: 20,
    window_ms: 30_000,
    open_ms: 30_000,
    open_max_ms: 300_000,
    successes: 2,
};
/// The budget of an endpoint that has one and says nothing more about it.
const BUDGET: budget::Settings = budget::Settings {
    share: 0.2,
    per_second: 1,
};
/// Most retries in a second that a budget lets through whatever its share says.
const BUDGET_PER_SECOND_MAX: u16 = 10_000;
/// Most failures in a row, and most probes, that a breaker waits for.
const COUNT_MAX: u16 = 1_000;
/// Most calls that a breaker's window may need before its share counts.
const CALLS_MAX: u16 = 10_000;
/// Smallest share of failures at which a breaker opens.
const SHARE_MIN: f64 = 0.01;
/// Shortest and longest time that a breaker looks back or stays open, in milliseconds.
const SPAN_MS: (u64, u64) = (1_000, 3_600_000);
/// Longest time that a breaker stays open before the next probe, in milliseconds.
const OPEN_MAX_MS: u64 = 86_400_000;

/// What an endpoint gets.
pub(super) struct Limits {
    pub(super) concurrency: u16,
    pub(super) adaptive: Option<adaptive::Bounds>,
    pub(super) rate: Option<rate::Rate>,
    pub(super) retry_budget: Option<budget::Settings>,
    pub(super) breaker: Option<breaker::Settings>,
}

/// The limits in the table of an endpoint.
pub(super) fn read(table: &Table<'_>, report: &mut Report) -> Option<Limits> {
    let adaptive = table.or("adaptive", None, |item| {
        report.switch(item, adaptive::Bounds::default(), bounds)
    });
    // The least of both counts. A default must not keep adaptive concurrency from growing.
    let usual = adaptive
        .flatten()
        .map_or(CONCURRENCY_DEFAULT, |bounds| bounds.max);
    let concurrency = table.or("concurrency", usual, |item| {
        report.integer(item, 1..=CONCURRENCY_MAX)
    });
    let rate = table.or("rate", None, |item| {
        report
            .parsed(item, codes::RATE, rate::Rate::parse)
            .map(Some)
    });
    let retry_budget = table.or("retry_budget", None, |item| {
        report.switch(item, BUDGET, budget)
    });
    let breaker = table.or("breaker", Some(BREAKER), |item| {
        report.switch(item, BREAKER, breaker)
    });
    Some(Limits {
        concurrency: concurrency?,
        adaptive: adaptive?,
        rate: rate?,
        retry_budget: retry_budget?,
        breaker: breaker?,
    })
}

fn bounds(item: &Item<'_>, report: &mut Report) -> Option<adaptive::Bounds> {
    let table = report.table(item, &["max", "min"])?;
    let usual = adaptive::Bounds::default();
    let max = table.or("max", usual.max, |item| {
        report.integer(item, 1..=adaptive::CONCURRENCY_MAX)
    });
    let min = table.or("min", usual.min, |item| {
        report.integer(item, 1..=max.unwrap_or(adaptive::CONCURRENCY_MAX))
    });
    Some(adaptive::Bounds {
        min: min?,
        max: max?,
    })
}

fn budget(item: &Item<'_>, report: &mut Report) -> Option<budget::Settings> {
    let table = report.table(item, &["share", "per_second"])?;
    let share = table.or("share", BUDGET.share, |item| report.number(item, 0.0..=1.0));
    let per_second = table.or("per_second", BUDGET.per_second, |item| {
        report.integer(item, 0..=BUDGET_PER_SECOND_MAX)
    });
    let settings = budget::Settings {
        share: share?,
        per_second: per_second?,
    };
    if settings.share <= 0.0 && settings.per_second == 0 {
        let message = "a budget of nothing never lets a retry through".to_owned();
        let hint = "raise `share` or `per_second`, or remove `retry_budget`".to_owned();
        report.add(codes::OUT_OF_RANGE, item, message, Some(hint));
        return None;
    }
    Some(settings)
}

fn breaker(item: &Item<'_>, report: &mut Report) -> Option<breaker::Settings> {
    let keys = [
        "failures",
        "share",
        "calls",
        "window",
        "open",
        "open_max",
        "successes",
    ];
    let table = report.table(item, &keys)?;
    let (low, high) = SPAN_MS;
    let failures = table.or("failures", BREAKER.failures, |item| {
        report.integer(item, 1..=COUNT_MAX)
    });
    let share = table.or("share", BREAKER.share, |item| {
        report.number(item, SHARE_MIN..=1.0)
    });
    let calls = table.or("calls", BREAKER.calls_min, |item| {
        report.integer(item, 1..=CALLS_MAX)
    });
    let window = table.or("window", BREAKER.window_ms, |item| {
        report.duration(item, low..=high)
    });
    let open = table.or("open", BREAKER.open_ms, |item| {
        report.duration(item, low..=high)
    });
    // One that says only `open` stays open for at least that long.
    let least = open.unwrap_or(low);
    let open_max = table.or("open_max", BREAKER.open_max_ms.max(least), |item| {
        report.duration(item, least..=OPEN_MAX_MS)
    });
    let successes = table.or("successes", BREAKER.successes, |item| {
        report.integer(item, 1..=COUNT_MAX)
    });
    Some(breaker::Settings {
        failures: failures?,
        share: share?,
        calls_min: calls?,
        window_ms: window?,
        open_ms: open?,
        open_max_ms: open_max?,
        successes: successes?,
    })
}
