//! From one type to another: `int(x)`, `string(x)` and their kin, as CEL has them.
//!
//! Each answers `None` when the value has no such form: the caller names function and value.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a conversion takes few types; every other is refused alike"
)]

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::evaluate::{Machine, Outcome};
use super::term::Term;

#[expect(
    clippy::cast_possible_truncation,
    reason = "the bounds are checked before"
)]
pub(super) fn int(term: &Term<'_>) -> Option<i64> {
    match term {
        Term::Int(number) => Some(*number),
        Term::Uint(number) => i64::try_from(*number).ok(),
        Term::Double(number) => (number.abs() < 9.223_372_036_854_775e18).then_some(*number as i64),
        Term::Text(text) => text.parse().ok(),
        Term::Timestamp(time) => Some(time.as_second()),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bounds are checked before"
)]
pub(super) fn uint(term: &Term<'_>) -> Option<u64> {
    match term {
        Term::Int(number) => u64::try_from(*number).ok(),
        Term::Uint(number) => Some(*number),
        Term::Double(number) => {
            (*number > -1.0 && *number < 1.844_674_407_370_955e19).then_some(*number as u64)
        }
        Term::Text(text) => text.parse().ok(),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what a double cannot hold is rounded"
)]
pub(super) fn double(term: &Term<'_>) -> Option<f64> {
    match term {
        Term::Int(number) => Some(*number as f64),
        Term::Uint(number) => Some(*number as f64),
        Term::Double(number) => Some(*number),
        Term::Text(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn bool(term: &Term<'_>) -> Option<bool> {
    match term {
        Term::Bool(bool) => Some(*bool),
        Term::Text(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn text<'a>(machine: &mut Machine<'a>, term: &Term<'a>) -> Outcome<Option<Term<'a>>> {
    let text = match term {
        Term::Text(_) => return Ok(Some(term.clone())),
        Term::Bool(bool) => bool.to_string(),
        Term::Int(number) => number.to_string(),
        Term::Uint(number) => number.to_string(),
        Term::Double(number) => number.to_string(),
        Term::Timestamp(time) => time.to_string(),
        Term::Duration(duration) => seconds(*duration),
        Term::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    machine.make(text.len(), 0)?;
    Ok(Some(Term::made(text)))
}

pub(super) fn bytes<'a>(machine: &mut Machine<'a>, term: &Term<'a>) -> Outcome<Option<Term<'a>>> {
    Ok(match term {
        Term::Bytes(_) => Some(term.clone()),
        Term::Text(text) => {
            machine.make(text.len(), 0)?;
            Some(Term::Bytes(Arc::from(text.as_bytes())))
        }
        _ => None,
    })
}

pub(super) fn timestamp(term: &Term<'_>) -> Option<Timestamp> {
    match term {
        Term::Timestamp(time) => Some(*time),
        Term::Int(second) => Timestamp::from_second(*second).ok(),
        Term::Text(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn duration(term: &Term<'_>) -> Option<SignedDuration> {
    match term {
        Term::Duration(duration) => Some(*duration),
        Term::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// A duration as proto3 JSON writes it, for example `-1.5s`.
pub(super) fn seconds(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let length = duration.unsigned_abs();
    let nanos = format!("{:09}", length.subsec_nanos());
    let fraction = nanos.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}s", length.as_secs())
}
