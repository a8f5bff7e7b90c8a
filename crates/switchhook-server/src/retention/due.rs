//! What may be forgotten now: by age, and by size.
//!
//! Nothing from `keep_from` on is ever named: it is the lowest offset that somebody still wants. By size the oldest go
//! first, a step's worth at a time.

use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Retain;
use switchhook_store::query::Limit;
use switchhook_wire::config;

use super::{STEP_BYTES_MAX, STEP_ITEMS, STEP_PAGES};

/// What is older than it has to be kept.
pub(super) const fn by_age(settings: &config::Retention, keep_from: Offset, now: UnixMs) -> Retain {
    Retain {
        events_before: now.minus_ms(settings.events_ms),
        keep_from,
        attempts_before: now.minus_ms(settings.attempts_ms),
        dead_before: now.minus_ms(settings.dead_ms),
        now,
        items: STEP_ITEMS,
        pages: STEP_PAGES,
    }
}

/// How much of the oldest has to go next from a store of so many bytes: no more than what is too much, and no more than a
/// step reads. `None` when it is not too large.
pub(super) fn by_size(bytes: u64, bytes_max: u64) -> Option<Limit> {
    let excess = bytes.checked_sub(bytes_max).filter(|excess| *excess > 0)?;
    Some(Limit {
        items: usize::try_from(STEP_ITEMS).unwrap_or(usize::MAX),
        bytes: usize::try_from(excess).map_or(STEP_BYTES_MAX, |excess| excess.min(STEP_BYTES_MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_age_everything_has_a_time_of_its_own_and_what_is_wanted_stays() {
        let settings = config::Retention {
            events_ms: 10,
            attempts_ms: 20,
            dead_ms: 2_000,
            bytes_max: None,
        };
        let retain = by_age(&settings, Offset(7), UnixMs(1_000));
        let times = [
            retain.events_before,
            retain.attempts_before,
            retain.dead_before,
        ];
        assert_eq!(times, [990, 980, 0].map(UnixMs));
        assert_eq!(retain.keep_from, Offset(7));
    }

    #[test]
    fn by_size_no_more_goes_than_is_too_much() {
        for (bytes, limit) in [
            (0, None),
            (1_000, None),
            (1_001, Some(1)),
            (5_000, Some(4_000)),
            (u64::MAX, Some(STEP_BYTES_MAX)),
        ] {
            let found = by_size(bytes, 1_000);
            assert_eq!(found.map(|limit| limit.bytes), limit, "{bytes}");
        }
    }
}
