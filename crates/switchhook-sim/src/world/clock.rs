//! Virtual time: a monotonic clock that the world moves, and a wall clock that can jump.

use switchhook_core::time::UnixMs;

/// The wall clock when a world begins, in milliseconds since 1970: far enough from 0 to go back for days.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// Both clocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    /// Milliseconds since the world began; never goes back.
    pub(crate) now_ms: u64,
    /// What the wall clock is ahead of the monotonic one, besides [`BEGIN_MS`].
    ahead_ms: i64,
    /// All jumps forward together, in milliseconds: so much earlier may things happen than planned.
    pub(crate) forward_ms: u64,
    /// When the wall clock last jumped back, if it did: waits may begin anew then.
    pub(crate) back_at_ms: Option<u64>,
}

impl Clock {
    pub(crate) const fn wall(&self) -> UnixMs {
        UnixMs((BEGIN_MS + self.now_ms).saturating_add_signed(self.ahead_ms))
    }

    pub(crate) const fn jump(&mut self, by_ms: i64) {
        self.ahead_ms = self.ahead_ms.saturating_add(by_ms);
        if by_ms >= 0 {
            self.forward_ms = self.forward_ms.saturating_add(by_ms.unsigned_abs());
        } else {
            self.back_at_ms = Some(self.now_ms);
        }
    }
}
