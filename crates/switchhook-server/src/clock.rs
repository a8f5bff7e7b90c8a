//! The two clocks of the process: the wall clock, which is stored and shown, and the monotonic one, which waits.
//!
//! * [`Clock`] reads both. It is the only place of this crate that does.
//! * [`step`] decides whether the wall clock has jumped: between two readings it must advance by what the
//!   monotonic clock advanced. More than [`STEP_MIN_MS`] of difference is a step (`facts` 5.15); a machine
//!   that slept counts as one, since the monotonic clock stands still meanwhile.
//! * [`watch_steps`] looks every now and then and reports what it finds.
//!
//! Slewing by NTP (at most 0.5 ms a second) stays far below the limit between two looks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use switchhook_core::time::UnixMs;
use tokio::sync::mpsc;

/// A difference between the clocks from here on is a step, in milliseconds.
pub const STEP_MIN_MS: u64 = 30_000;

/// How often [`watch_steps`] should look. Often enough that few rows are written with a wrong time.
pub const STEP_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the wall clock, and a monotonic clock that starts with it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: UnixMs,
    /// Milliseconds since the clock was made.
    pub monotonic_ms: u64,
}

/// A jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The wall clock after it.
    pub now: UnixMs,
    /// How far it jumped, in milliseconds; negative is back.
    pub by_ms: i64,
}

impl Clock {
    /// The clocks of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// The wall clock; 0 if it stands before 1970.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Microseconds since the clock was made; never goes back.
    #[must_use]
    pub fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Both at once.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            wall: self.now(),
            monotonic_ms: self.monotonic_us() / 1_000,
        }
    }
}

/// The step that happened between two readings, if one did.
#[must_use]
pub fn step(before: Reading, after: Reading) -> Option<Step> {
    let expected = before
        .wall
        .plus_ms(after.monotonic_ms.saturating_sub(before.monotonic_ms));
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let by_ms = signed(after.wall.0).saturating_sub(signed(expected.0));
    (by_ms.unsigned_abs() > STEP_MIN_MS).then_some(Step {
        now: after.wall,
        by_ms,
    })
}

/// Looks at both clocks every `interval` and reports each step, until nobody listens.
pub async fn watch_steps(clock: Clock, interval: Duration, steps: mpsc::Sender<Step>) {
    let mut before = clock.read();
    loop {
        tokio::select! {
            () = steps.closed() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let after = clock.read();
        if let Some(step) = step(before, after) {
            tracing::warn!(by_ms = step.by_ms, "the wall clock has jumped");
            if steps.send(step).await.is_err() {
                return;
            }
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_difference_of_more_than_thirty_seconds_either_way() {
        let before = Reading {
            wall: UnixMs(1_000_000),
            monotonic_ms: 500,
        };
        for (wall, monotonic_ms, by_ms) in [
            (1_005_000, 5_500, None),
            (1_035_000, 5_500, None),
            (1_035_001, 5_500, Some(30_001)),
            (975_000, 5_500, None),
            (974_999, 5_500, Some(-30_001)),
            (0, 500, Some(-1_000_000)),
        ] {
            let after = Reading {
                wall: UnixMs(wall),
                monotonic_ms,
            };
            assert_eq!(
                step(before, after).map(|step| step.by_ms),
                by_ms,
                "{wall} {monotonic_ms}"
            );
        }
    }

    #[test]
    fn the_clocks_advance_together() {
        let clock = Clock::system();
        assert_eq!(step(clock.read(), clock.read()), None);
        assert!(clock.now().0 > 1_700_000_000_000);
    }
}
