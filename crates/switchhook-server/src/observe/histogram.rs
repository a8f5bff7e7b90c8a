//! A histogram with fixed buckets whose hot side is two atomic additions.
//!
//! Values are whole numbers of a small unit (microseconds, milliseconds, bytes), so that the sum needs no
//! floating point; [`Scale::per_unit`] turns them into the base unit when they are shown. Bucket bounds are
//! constants: `facts` (ux, section 7) asks for those of the OTel HTTP convention plus 30 and 60 seconds. Ours
//! start finer, since an ack is expected within milliseconds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bucket bounds and the unit they are in.
#[derive(Debug)]
pub(super) struct Scale {
    /// Upper bounds, ascending, included in their bucket.
    bounds: &'static [u64],
    /// So many of the recorded unit make one of the shown unit.
    per_unit: f64,
}

/// Durations of requests, recorded in microseconds.
pub(super) static DURATION_US: Scale = Scale {
    bounds: &[
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
        1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000, 60_000_000,
    ],
    per_unit: 1_000_000.0,
};

/// From acceptance to delivery and from one attempt to the next, recorded in milliseconds: 0.1 s to 24 h.
pub(super) static AGE_MS: Scale = Scale {
    bounds: &[
        100, 250, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 10_800_000,
        21_600_000, 43_200_000, 86_400_000,
    ],
    per_unit: 1_000.0,
};

/// Sizes of bodies, recorded in bytes: up to the largest that a source can take.
pub(super) static BODY_BYTES: Scale = Scale {
    bounds: &[
        256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 5_242_880,
    ],
    per_unit: 1.0,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Histogram {
    scale: &'static Scale,
    /// One per bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What is shown of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Upper bound and number of values in this bucket alone; the last bound is infinite.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(super) fn new(scale: &'static Scale) -> Self {
        let counts = (0..=scale.bounds.len())
            .map(|_| AtomicU64::new(0))
            .collect();
        Self {
            scale,
            counts,
            sum: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    pub(super) fn shown(&self) -> Shown {
        let bounds = self
            .scale
            .bounds
            .iter()
            .map(|bound| *bound as f64 / self.scale.per_unit);
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(self.counts.iter().map(|count| count.load(Relaxed)))
            .collect();
        Shown {
            sum: self.sum.load(Relaxed) as f64 / self.scale.per_unit,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_to_the_bucket_of_that_bound() {
        let histogram = Histogram::new(&BODY_BYTES);
        for value in [0, 256, 257, 5_242_880, 5_242_881] {
            histogram.record(value);
        }
        let shown = histogram.shown();
        let filled: Vec<(f64, u64)> = shown
            .buckets
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(
            filled,
            [
                (256.0, 2),
                (1_024.0, 1),
                (5_242_880.0, 1),
                (f64::INFINITY, 1)
            ]
        );
        assert_eq!((shown.count, shown.sum), (5, 10_486_274.0));
    }

    #[test]
    fn bounds_ascend_and_are_shown_in_the_base_unit() {
        for scale in [&DURATION_US, &AGE_MS, &BODY_BYTES] {
            assert!(scale.bounds.is_sorted_by(|a, b| a < b), "{scale:?}");
        }
        assert_eq!(Histogram::new(&AGE_MS).shown().buckets[0], (0.1, 0));
    }
}
