//! Two counts over the last while, in bounded memory.
//!
//! The while is cut into [`SPANS`] equal spans, counted from 1970; a count leaves with its span. So the
//! window is between nine and ten tenths of its nominal length.

use crate::time::UnixMs;

/// So many spans: a tenth of the window is as exact as any rule here needs.
pub(crate) const SPANS: u64 = 10;
#[expect(clippy::cast_possible_truncation, reason = "it is ten")]
const PLACES: usize = SPANS as usize;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    span_ms: u64,
    /// Number of the newest span, since 1970.
    newest: u64,
    /// The counts of span `n` stand at `n % SPANS`.
    spans: [(u32, u32); PLACES],
}

impl Window {
    /// An empty one of `window_ms`.
    pub(crate) fn new(window_ms: u64) -> Self {
        Self {
            span_ms: (window_ms / SPANS).max(1),
            newest: 0,
            spans: Default::default(),
        }
    }

    /// Adds to both counts.
    pub(crate) fn add(&mut self, first: u32, second: u32, now: UnixMs) {
        self.advance(now);
        let at = self.newest % SPANS;
        if let Some(span) = usize::try_from(at)
            .ok()
            .and_then(|at| self.spans.get_mut(at))
        {
            span.0 = span.0.saturating_add(first);
            span.1 = span.1.saturating_add(second);
        }
    }

    /// Both counts at the beginning of the `later`th span after that of `now`, if nothing is added.
    pub(crate) fn totals(&self, now: UnixMs, later: u64) -> (u64, u64) {
        let last = (now.0 / self.span_ms)
            .max(self.newest)
            .saturating_add(later);
        let mut totals = (0, 0);
        for (at, span) in (0..SPANS).zip(&self.spans) {
            // How long before the newest span the one that stands here was.
            let age = (self.newest + SPANS - at) % SPANS;
            if self.newest.saturating_sub(age) + SPANS > last {
                totals.0 += u64::from(span.0);
                totals.1 += u64::from(span.1);
            }
        }
        totals
    }

    /// When the `later`th span after that of `now` begins.
    pub(crate) fn begin(&self, now: UnixMs, later: u64) -> UnixMs {
        let span = (now.0 / self.span_ms).saturating_add(later);
        UnixMs(span.saturating_mul(self.span_ms))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.newest = 0;
        self.spans = Default::default();
    }

    fn advance(&mut self, now: UnixMs) {
        let span = now.0 / self.span_ms;
        let gone = span.saturating_sub(self.newest).min(SPANS);
        for n in 0..gone {
            let at = span.saturating_sub(n) % SPANS;
            if let Some(span) = usize::try_from(at)
                .ok()
                .and_then(|at| self.spans.get_mut(at))
            {
                *span = (0, 0);
            }
        }
        self.newest = self.newest.max(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_leaves_after_nine_to_ten_tenths_of_the_window() {
        for at in [50_000, 50_999, 51_000, 59_999] {
            let mut window = Window::new(10_000);
            window.add(1, 2, UnixMs(at));
            assert_eq!(window.totals(UnixMs(at), 0), (1, 2));
            assert_eq!(window.totals(UnixMs(at + 9_000), 0), (1, 2), "{at}");
            assert_eq!(window.totals(UnixMs(at + 10_000), 0), (0, 0), "{at}");
            window.add(4, 4, UnixMs(at + 9_000));
            assert_eq!(window.totals(UnixMs(at + 9_000), 0), (5, 6));
            assert_eq!(window.totals(UnixMs(at + 9_000), 1), (4, 4));
            assert_eq!(window.totals(UnixMs(at + 9_000), 10), (0, 0));
            window.add(8, 8, UnixMs(at + 900_000));
            assert_eq!(window.totals(UnixMs(at + 900_000), 0), (8, 8));
        }
    }

    #[test]
    fn spans_begin_at_whole_multiples() {
        let window = Window::new(10_000);
        assert_eq!(window.begin(UnixMs(1_500), 1), UnixMs(2_000));
        assert_eq!(window.begin(UnixMs(2_000), 3), UnixMs(5_000));
    }
}
