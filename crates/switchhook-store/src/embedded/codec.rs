//! How values look in the database: numbers, outcomes, headers.
//!
//! Everything here reads back as what was written, except that a number above 2^63 - 1 reads back as that
//! (which is [`UnixMs::NEVER`](switchhook_core::time::UnixMs::NEVER)).

use std::sync::Arc;

use rusqlite::types::Type;
use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::event::Headers;
use switchhook_core::group::KeyHash;

/// `value` as SQLite's integer.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The number that [`int`] wrote.
pub(super) fn uint(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

/// The bits of a key's hash, or NULL.
pub(super) fn key_bits(key: Option<KeyHash>) -> Option<i64> {
    key.map(|key| key.0.cast_signed())
}

/// The hash that [`key_bits`] wrote.
pub(super) fn key_of(stored: Option<i64>) -> Option<KeyHash> {
    stored.map(|bits| KeyHash(bits.cast_unsigned()))
}

/// A status as itself, a failure as its negative code.
pub(super) fn outcome_code(outcome: OutcomeKind) -> i64 {
    match outcome {
        OutcomeKind::Status(status) => i64::from(status),
        OutcomeKind::Failed(failure) => -i64::from(failure.code()),
    }
}

/// The outcome that [`outcome_code`] wrote.
pub(super) fn outcome(code: i64) -> rusqlite::Result<OutcomeKind> {
    if let Ok(status) = u16::try_from(code) {
        return Ok(OutcomeKind::Status(status));
    }
    let failure = u8::try_from(-code).ok().and_then(Failure::from_code);
    failure
        .map(OutcomeKind::Failed)
        .ok_or_else(|| bad(format!("unknown outcome {code}")))
}

/// A stored value that makes no sense.
pub(super) fn bad(what: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, what.into().into())
}

/// Appends each name and value to `out`, its length before it: 7 bits a byte, the lowest first, and the
/// eighth set on all but the last.
pub(super) fn write_headers(headers: &Headers, out: &mut Vec<u8>) {
    for (name, value) in headers.iter() {
        write_text(name, out);
        write_text(value, out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let mut len = text.len();
    loop {
        let [low, ..] = len.to_le_bytes();
        len >>= 7;
        if len == 0 {
            out.push(low & 0x7f);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(text.as_bytes());
}

/// The headers that [`write_headers`] wrote.
pub(super) fn read_headers(mut bytes: &[u8]) -> rusqlite::Result<Headers> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let both = read_text(&mut bytes).and_then(|name| Some((name, read_text(&mut bytes)?)));
        headers.push(both.ok_or_else(|| bad("headers that cannot be read"))?);
    }
    Ok(headers.into())
}

fn read_text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let mut len = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = bytes.split_off_first()?;
        len |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            let text = bytes.split_off(..len)?;
            return std::str::from_utf8(text).ok().map(Into::into);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use switchhook_core::time::UnixMs;

    use super::*;

    proptest! {
        #[test]
        fn headers_read_back_as_themselves(pairs in prop::collection::vec((".{0,200}", ".{0,300}"), 0..5)) {
            let headers: Headers = pairs.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect();
            let mut bytes = Vec::new();
            write_headers(&headers, &mut bytes);
            prop_assert_eq!(read_headers(&bytes).unwrap(), headers);
        }

        #[test]
        fn no_bytes_make_reading_headers_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_headers(&bytes);
        }
    }

    #[test]
    fn an_outcome_reads_back_as_itself_and_an_unknown_one_is_refused() {
        for kind in Failure::ALL
            .iter()
            .map(|f| OutcomeKind::Failed(*f))
            .chain([OutcomeKind::Status(503)])
        {
            assert_eq!(outcome(outcome_code(kind)).unwrap(), kind);
        }
        assert!(outcome(-99).is_err());
        assert!(outcome(i64::MIN + 1).is_err());
    }

    #[test]
    fn never_reads_back_as_never_and_what_is_later_too() {
        let never = UnixMs::NEVER.0;
        for (value, read) in [
            (0, 0),
            (1_700_000_000_000, 1_700_000_000_000),
            (never, never),
            (u64::MAX, never),
        ] {
            assert_eq!(uint(int(value)), read);
        }
    }

    #[test]
    fn a_hash_reads_back_as_itself() {
        for hash in [0, 1, u64::MAX, 1 << 63] {
            assert_eq!(key_of(key_bits(Some(KeyHash(hash)))), Some(KeyHash(hash)));
        }
        assert_eq!(key_of(key_bits(None)), None);
    }
}
