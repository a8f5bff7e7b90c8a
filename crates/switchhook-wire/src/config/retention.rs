//! `[retention]`: how long things stay. What a waiting or dead delivery needs always stays.

use std::ops::RangeInclusive;

use super::read::{Item, Report};

/// How long delivered events stay, in milliseconds, when nothing else is written.
const EVENTS_DEFAULT_MS: u64 = 7 * 86_400_000;
/// How long dead letters stay (`facts`, reliability 5.11: 30 d).
const DEAD_DEFAULT_MS: u64 = 30 * 86_400_000;
/// Shortest and longest time that anything stays: an hour, so that nothing goes while someone looks at it,
/// to ten years.
const AGE_MS: RangeInclusive<u64> = 3_600_000..=3_650 * 86_400_000;
/// The least that the store may be held to: below it a burst would be forgotten at once.
const BYTES_MIN: usize = 64 << 20;

/// How long things stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Delivered events, in milliseconds from their acceptance.
    pub events_ms: u64,
    /// Attempts, in milliseconds from when they were made.
    pub attempts_ms: u64,
    /// Dead letters, in milliseconds from when they were given up.
    pub dead_ms: u64,
    /// Bytes on disk above which the oldest go earlier; `None`: however many.
    pub bytes_max: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events_ms: EVENTS_DEFAULT_MS,
            attempts_ms: EVENTS_DEFAULT_MS,
            dead_ms: DEAD_DEFAULT_MS,
            bytes_max: None,
        }
    }
}

pub(super) fn read(item: &Item<'_>, report: &mut Report) -> Option<Retention> {
    let table = report.table(item, &["events", "attempts", "dead", "bytes"])?;
    let events = table.or("events", EVENTS_DEFAULT_MS, |item| {
        report.duration(item, AGE_MS)
    });
    let attempts = table.or("attempts", events.unwrap_or(EVENTS_DEFAULT_MS), |item| {
        report.duration(item, AGE_MS)
    });
    let dead = table.or("dead", DEAD_DEFAULT_MS, |item| {
        report.duration(item, AGE_MS)
    });
    let bytes = table.or("bytes", None, |item| {
        report.size(item, BYTES_MIN..=usize::MAX).map(Some)
    });
    Some(Retention {
        events_ms: events?,
        attempts_ms: attempts?,
        dead_ms: dead?,
        bytes_max: bytes?.and_then(|bytes| u64::try_from(bytes).ok()),
    })
}
