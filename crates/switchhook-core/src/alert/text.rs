//! Spans as people read them.

/// `90 s`, `15 min`, `2 h`: whole units, rounded down.
pub(super) fn span(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_given_in_the_unit_that_fits() {
        for (ms, text) in [
            (999, "0 s"),
            (90_000, "90 s"),
            (900_000, "15 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
