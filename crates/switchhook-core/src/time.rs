//! Wall-clock instants as plain numbers, so that they can be stored, compared and handed in.

use std::fmt;

use jiff::Timestamp;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// Later than any instant: what has no time. Fits the signed 64 bits of a store.
    pub const NEVER: Self = Self(i64::MAX as u64);

    /// The instant `delay_ms` later; stops at the largest representable one.
    #[must_use]
    pub const fn plus_ms(self, delay_ms: u64) -> Self {
        Self(self.0.saturating_add(delay_ms))
    }

    /// The instant `back_ms` earlier; stops at 1970.
    #[must_use]
    pub const fn minus_ms(self, back_ms: u64) -> Self {
        Self(self.0.saturating_sub(back_ms))
    }

    /// Milliseconds from `earlier` to `self`, 0 when `earlier` is in fact later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// `at` as RFC 3339 in UTC with milliseconds, for example `2026-11-20T10:00:00.000Z`.
///
/// A time after the year 9999, which only a broken clock gives, is shown as the last one before.
#[must_use]
pub fn rfc3339(at: UnixMs) -> String {
    let time = i64::try_from(at.0)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

impl fmt::Debug for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_end_with_the_year_9999() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
        ] {
            assert_eq!(rfc3339(UnixMs(ms)), text);
        }
        assert!(rfc3339(UnixMs::NEVER).starts_with("9999-12-"));
    }
}
