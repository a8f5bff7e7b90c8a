//! Spans of time as people write them: `250ms`, `5s`, `15m`, `24h`, `7d`, `1h30m`.
//!
//! A span is one or more whole numbers, each with its unit, largest unit first and no unit twice. A bare
//! number is refused, since nobody can tell seconds from milliseconds in it. The unit of the result is
//! milliseconds; the longest span is ten years, the longest that anything is kept.

/// Longest span that parses, in milliseconds: ten years.
pub const MAX_MS: u64 = 3_650 * 86_400_000;

/// Units, largest first, and their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A number without a unit.
    #[error("`{0}` has no unit: write `{0}s`, or another of ms, s, m, h, d")]
    NoUnit(String),
    /// Anything else.
    #[error(
        "`{0}` is not a duration: write whole numbers with units, largest first, for example `250ms`, `5s`, `1h30m`, `7d`"
    )]
    Malformed(String),
    /// Longer than [`MAX_MS`].
    #[error("`{0}` is longer than 3650 days")]
    TooLong(String),
}

/// The milliseconds that `text` means.
///
/// # Errors
/// When `text` is no span of time, or a longer one than [`MAX_MS`].
pub fn parse(text: &str) -> Result<u64, Error> {
    let malformed = || Error::Malformed(text.chars().take(40).collect());
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::NoUnit(text.chars().take(40).collect()));
    }
    let (mut rest, mut total, mut units) = (text, 0_u64, UNITS.as_slice());
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(malformed)?;
        let letters = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(malformed)?;
        let place = units
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(malformed)?;
        let ms = units.get(place).map(|(_, ms)| *ms).ok_or_else(malformed)?;
        if number.is_empty() {
            return Err(malformed());
        }
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(ms))
            .and_then(|n| n.checked_add(total))
            .filter(|total| *total <= MAX_MS)
            .ok_or_else(|| Error::TooLong(text.chars().take(40).collect()))?;
        units = units.get(place + 1..).unwrap_or_default();
        rest = tail;
    }
    if text.is_empty() {
        Err(malformed())
    } else {
        Ok(total)
    }
}

/// `ms` as text that [`parse`] reads back, for example `1h30m`; zero is `0s`.
#[must_use]
pub fn format(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let (mut text, mut rest) = (String::new(), ms);
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        let table = [
            ("250ms", 250),
            ("5s", 5_000),
            ("15m", 900_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1s500ms", 1_500),
            ("0s", 0),
        ];
        for (text, ms) in table {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused_and_a_bare_number_is_told_apart() {
        for text in [
            "", "s", "5x", "5 s", "-5s", "1.5h", "30m1h", "5s5s", "1h30", "5S", "½h", "5s ",
        ] {
            assert!(matches!(parse(text), Err(Error::Malformed(_))), "{text}");
        }
        assert_eq!(parse("30"), Err(Error::NoUnit("30".into())));
        for text in ["3651d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(matches!(parse(text), Err(Error::TooLong(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_formatted_span_reads_back_as_itself(ms in 0..=MAX_MS) {
            prop_assert_eq!(parse(&format(ms)), Ok(ms));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
