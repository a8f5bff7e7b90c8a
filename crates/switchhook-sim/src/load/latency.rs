//! Latencies in microseconds and their quantiles.
//!
//! An HDR histogram with three significant digits from 1 µs to 10 minutes; what is longer counts as
//! 10 minutes. One histogram takes about 200 kB, whatever is recorded.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Longest latency told apart, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// Recorded latencies. One that could not be set up (three digits always can) records nothing.
#[derive(Debug, Clone)]
pub struct Latency(Option<Histogram<u64>>);

/// What is reported of latencies, in microseconds; all 0 when none was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// How many there are.
    pub count: u64,
    /// Half are at most this.
    pub p50_us: u64,
    /// 99 of 100 are at most this.
    pub p99_us: u64,
    /// 999 of 1000 are at most this.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latency {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).ok())
    }

    /// Records one.
    pub fn record(&mut self, latency: Duration) {
        self.record_us(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US));
    }

    /// Records one that is counted in microseconds.
    pub fn record_us(&mut self, latency_us: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(latency_us.clamp(1, LONGEST_US));
        }
    }

    /// The quantiles of what was recorded.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let Some(histogram) = &self.0 else {
            return Quantiles::default();
        };
        Quantiles {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Quantiles {
    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "count": self.count,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "max_us": self.max_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits_and_overlong_ones_count_as_the_longest() {
        let mut latency = Latency::new();
        (1..=10_000).for_each(|us| latency.record_us(us));
        let got = latency.quantiles();
        let near = |value: u64, expected: u64| value.abs_diff(expected) <= expected / 1000 + 1;
        assert_eq!(got.count, 10_000);
        assert!(
            near(got.p50_us, 5_000) && near(got.p99_us, 9_900) && near(got.p999_us, 9_990),
            "{got:?}"
        );
        latency.record(Duration::from_secs(10_000));
        assert!(near(latency.quantiles().max_us, LONGEST_US));
        assert_eq!(Latency::new().quantiles(), Quantiles::default());
    }
}
