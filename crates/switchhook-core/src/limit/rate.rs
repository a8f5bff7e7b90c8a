//! A configured rate: so many requests in a unit of time, as a token bucket.
//!
//! The bucket is kept as the moment at which it would be full again (the virtual schedule of GCRA), in
//! units of which a whole number makes a token. There is no division of a remainder, so that a rate of 7 in
//! a minute is 7 in every minute: it does not drift. What one second brings may go out at once, at least
//! one request. A caller that is refused is told when the next request may go.

use std::fmt;
use std::str::FromStr;

use crate::time::UnixMs;

/// At most so many requests in a unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many, at least 1.
    pub count: u32,
    /// In each of these.
    pub per: Unit,
}

/// The units a rate can be given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `/s`
    Second,
    /// `/min`
    Minute,
    /// `/h`
    Hour,
}

/// Highest rate: nothing on one machine sends faster.
pub const PER_SECOND_MAX: u32 = 100_000;

/// Text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Not `count/unit`.
    #[error(
        "`{0}` is no rate: write a whole number and a unit, as in `200/s`, `10/min` or `500/h`"
    )]
    Form(String),
    /// It would never send.
    #[error(
        "a rate of `{0}` sends nothing: the lowest is `1/h`; to stop deliveries, pause the endpoint"
    )]
    Zero(String),
    /// Faster than can be.
    #[error("a rate of `{0}` is too high: the highest is `{PER_SECOND_MAX}/s`")]
    TooHigh(String),
}

impl Unit {
    /// Its length in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u32 {
        match self {
            Self::Second => 1_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }
}

impl Rate {
    /// Reads `200/s`, `10/min` or `500/h`; 1/h to [`PER_SECOND_MAX`]/s.
    ///
    /// # Errors
    /// Text of another form, and rates out of range.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let form = || RateError::Form(text.into());
        let (count, unit) = text.split_once('/').ok_or_else(form)?;
        let per = match unit {
            "s" => Unit::Second,
            "min" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(form()),
        };
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(form());
        }
        let too_high = || RateError::TooHigh(text.into());
        let count: u32 = count.parse().map_err(|_| too_high())?;
        if count == 0 {
            return Err(RateError::Zero(text.into()));
        }
        let rate = Self { count, per };
        if u64::from(count) * 1_000 > u64::from(PER_SECOND_MAX) * u64::from(per.ms()) {
            return Err(too_high());
        }
        Ok(rate)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        Self::parse(text)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.name())
    }
}

/// How far a rate is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    /// When it is full again, in milliseconds times `rate.count`.
    full_at: u128,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self { rate, full_at: 0 }
    }

    /// The rate it keeps.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether the next request may go now.
    ///
    /// # Errors
    /// When it may, later than `now`.
    pub fn look(&self, now: UnixMs) -> Result<(), UnixMs> {
        let count = u128::from(self.rate.count.max(1));
        let free_at = self.full_at.saturating_sub(self.slack());
        if free_at <= u128::from(now.0) * count {
            return Ok(());
        }
        Err(UnixMs(
            u64::try_from(free_at.div_ceil(count)).unwrap_or(u64::MAX),
        ))
    }

    /// Uses up one request, if it may go now.
    ///
    /// # Errors
    /// When it may, later than `now`.
    pub fn take(&mut self, now: UnixMs) -> Result<(), UnixMs> {
        self.look(now)?;
        self.sent(now);
        Ok(())
    }

    /// Uses up one request, whether it might go or not.
    pub fn sent(&mut self, now: UnixMs) {
        let at = u128::from(now.0) * u128::from(self.rate.count.max(1));
        self.full_at = self.full_at.max(at) + u128::from(self.rate.per.ms());
    }

    /// The clock went back: what is left of a wait stays as long as it is.
    pub fn clock_went_back(&mut self, by_ms: u64) {
        let by = u128::from(by_ms) * u128::from(self.rate.count.max(1));
        self.full_at = self.full_at.saturating_sub(by);
    }

    /// How far `full_at` may run ahead and one more request still go: a burst less one.
    fn slack(&self) -> u128 {
        let token = u128::from(self.rate.per.ms());
        let burst = (u128::from(self.rate.count) * 1_000 / token).max(1);
        (burst - 1) * token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_reads_back_as_itself_and_nothing_else_parses() {
        for text in [
            "1/s",
            "200/s",
            "10/min",
            "500/h",
            "1/h",
            "100000/s",
            "360000000/h",
        ] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "", "5", "/s", "5/", "5/m", "5 /s", "+5/s", "-5/s", "1.5/s", "5/S", "5/s/s",
        ] {
            assert_eq!(
                Rate::parse(text),
                Err(RateError::Form(text.into())),
                "{text}"
            );
        }
        for text in ["0/s", "00/h"] {
            assert_eq!(Rate::parse(text), Err(RateError::Zero(text.into())));
        }
        for text in ["100001/s", "6000001/min", "99999999999/h"] {
            assert_eq!(Rate::parse(text), Err(RateError::TooHigh(text.into())));
        }
    }

    /// Takes whenever it may, from `start` on for so long; how many went.
    fn taken(bucket: &mut Bucket, start: UnixMs, ms: u64) -> u64 {
        let (mut now, mut taken) = (start, 0);
        while now < start.plus_ms(ms) {
            match bucket.take(now) {
                Ok(()) => taken += 1,
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        taken
    }

    #[test]
    fn a_burst_is_what_a_second_brings_and_one_at_least() {
        for (text, burst) in [("200/s", 200), ("600/min", 10), ("10/min", 1), ("3/h", 1)] {
            let mut bucket = Bucket::new(Rate::parse(text).unwrap());
            let now = UnixMs(1_700_000_000_000);
            let at_once = (0..1_000).take_while(|_| bucket.take(now).is_ok()).count();
            assert_eq!(at_once, burst, "{text}");
        }
    }

    #[test]
    fn it_does_not_drift() {
        for (text, ms, expected) in [
            ("7/min", 60_000 * 1_000, 7_000),
            ("3/s", 1_000 * 1_000, 3_000 + 2),
            ("11/h", 3_600_000 * 100, 1_100),
            ("1300/s", 10_000, 13_000 + 1_299),
        ] {
            let mut bucket = Bucket::new(Rate::parse(text).unwrap());
            let taken = taken(&mut bucket, UnixMs(1_700_000_000_000), ms);
            assert!(
                taken.abs_diff(expected) <= 1,
                "{text}: {taken} instead of {expected}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_second_brings_more_than_twice_the_rate(
            count in 1..2_000_u32, waits in proptest::collection::vec(0..3_000_u64, 1..40)
        ) {
            let mut bucket = Bucket::new(Rate { count, per: Unit::Second });
            let mut now = UnixMs(5_000_000);
            for wait in waits {
                now = now.plus_ms(wait);
                let sent = taken(&mut bucket, now, 1_000);
                prop_assert!(sent <= 2 * u64::from(count), "{} in a second", sent);
                now = now.plus_ms(1_000);
            }
        }
    }
}
