//! Wall-clock instants as plain numbers, so that they can be stored, compared and handed in.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMs(pub u64);

impl UnixMs {
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

impl fmt::Debug for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}
