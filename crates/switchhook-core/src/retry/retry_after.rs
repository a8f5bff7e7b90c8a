//! What an endpoint asks for with `Retry-After` (RFC 9110 section 10.2.3, `facts` 5.8).
//!
//! Either whole seconds or one of the three HTTP dates. A date is read against the answer's own
//! `Date`, so that a wrong clock at either end does not matter. What is not exactly one well-formed
//! value is ignored: a guess could hold an endpoint for years. The policy caps what comes out of here.

use std::time::UNIX_EPOCH;

use crate::time::UnixMs;

/// The longest wish that is taken for one, in seconds: 2^31, the least that RFC 9110's `delta-seconds`
/// must be able to hold.
const SECONDS_MAX: u64 = 1 << 31;

/// How long the endpoint asked to be left alone, in milliseconds from now.
///
/// `values` are all `Retry-After` headers of the answer, `date` is its `Date`. A moment that has
/// passed gives 0. `None` when there is no such header, several, or one that means nothing.
#[must_use]
pub fn parse_retry_after<'a>(
    values: impl IntoIterator<Item = &'a str>,
    date: Option<&str>,
    now: UnixMs,
) -> Option<u64> {
    let mut values = values.into_iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let value = value.trim_matches([' ', '\t']);
    let delay_ms = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse::<u64>().ok()?.checked_mul(1_000)?
    } else {
        let sent_at = date.and_then(http_date).unwrap_or(now);
        http_date(value)?.since_ms(sent_at)
    };
    (delay_ms <= SECONDS_MAX * 1_000).then_some(delay_ms)
}

/// One of the three date forms of RFC 9110 section 5.6.7.
fn http_date(text: &str) -> Option<UnixMs> {
    let since = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    u64::try_from(since.as_millis()).ok().map(UnixMs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const NOW: UnixMs = UnixMs(784_111_777_000);

    #[test]
    fn one_well_formed_value_is_a_delay_and_anything_else_is_ignored() {
        for (value, expected) in [
            ("0", Some(0)),
            ("1", Some(1_000)),
            ("120", Some(120_000)),
            ("007", Some(7_000)),
            (" 120\t", Some(120_000)),
            ("2147483648", Some(2_147_483_648_000)),
            ("2147483649", None),
            ("18446744073709551615", None),
            ("99999999999999999999999", None),
            ("", None),
            ("  ", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("0x10", None),
            ("12 0", None),
            ("60, 120", None),
            ("60s", None),
            ("soon", None),
            ("١٢٠", None),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120_000)),
            ("Sunday, 06-Nov-94 08:51:37 GMT", Some(120_000)),
            ("Sun Nov  6 08:51:37 1994", Some(120_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None),
            ("Mon, 06 Nov 1994 08:51:37 GMT", None),
            ("Sun, 31 Feb 1994 08:51:37 GMT", None),
            ("Sun, 06 Nov 1994 08:51:37", None),
            ("Sun, 06 Nov 1994 08:51:37 CET", None),
            ("1994-11-06T08:51:37Z", None),
        ] {
            assert_eq!(parse_retry_after([value], None, NOW), expected, "{value:?}");
        }
    }

    #[test]
    fn no_header_or_several_ask_for_nothing() {
        assert_eq!(parse_retry_after([], None, NOW), None);
        assert_eq!(parse_retry_after(["60", "60"], None, NOW), None);
    }

    #[test]
    fn a_date_is_read_against_the_clock_that_wrote_it() {
        let wish = "Sun, 06 Nov 1994 09:49:37 GMT";
        let at = |date| parse_retry_after([wish], date, NOW);
        assert_eq!(at(None), Some(3_600_000));
        assert_eq!(at(Some("Sun, 06 Nov 1994 09:49:07 GMT")), Some(30_000));
        assert_eq!(at(Some("Sun, 06 Nov 1994 10:00:00 GMT")), Some(0));
        assert_eq!(at(Some("yesterday")), Some(3_600_000));
        let seconds = parse_retry_after(["5"], Some("Sun, 06 Nov 1994 09:49:07 GMT"), NOW);
        assert_eq!(seconds, Some(5_000));
    }
}
