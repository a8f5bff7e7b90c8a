//! The functions and the arithmetic of expressions.
//!
//! Of CEL's standard functions all but `matches` (no regular expression runs on what a stranger sent),
//! `type` and `dyn`; of its string extension those listed in [`FUNCTIONS`]. Times are UTC.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a function takes few types; every other is refused alike"
)]

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;

use super::Position;
use super::convert;
use super::evaluate::{Machine, Outcome};
use super::report::shown;
use super::term::{Term, Text};

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    Join,
    Replace,
    ToInt,
    ToUint,
    ToDouble,
    ToText,
    ToBool,
    ToBytes,
    ToTimestamp,
    ToDuration,
    Year,
    Month,
    Day,
    DayFromZero,
    Weekday,
    Hours,
    Minutes,
    Seconds,
}

/// How a function is written: alone (`int(x)`), on its first argument (`x.trim()`), or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Alone,
    Member,
    Both,
}

/// Every function: its name, how it is written, and how many arguments it takes with the one before
/// the dot.
const FUNCTIONS: [(&str, Style, std::ops::RangeInclusive<usize>, Function); 26] = [
    ("size", Style::Both, 1..=1, Function::Size),
    ("contains", Style::Member, 2..=2, Function::Contains),
    ("startsWith", Style::Member, 2..=2, Function::StartsWith),
    ("endsWith", Style::Member, 2..=2, Function::EndsWith),
    ("lowerAscii", Style::Member, 1..=1, Function::LowerAscii),
    ("upperAscii", Style::Member, 1..=1, Function::UpperAscii),
    ("trim", Style::Member, 1..=1, Function::Trim),
    ("split", Style::Member, 2..=2, Function::Split),
    ("join", Style::Member, 1..=2, Function::Join),
    ("replace", Style::Member, 3..=3, Function::Replace),
    ("int", Style::Alone, 1..=1, Function::ToInt),
    ("uint", Style::Alone, 1..=1, Function::ToUint),
    ("double", Style::Alone, 1..=1, Function::ToDouble),
    ("string", Style::Alone, 1..=1, Function::ToText),
    ("bool", Style::Alone, 1..=1, Function::ToBool),
    ("bytes", Style::Alone, 1..=1, Function::ToBytes),
    ("timestamp", Style::Alone, 1..=1, Function::ToTimestamp),
    ("duration", Style::Alone, 1..=1, Function::ToDuration),
    ("getFullYear", Style::Member, 1..=1, Function::Year),
    ("getMonth", Style::Member, 1..=1, Function::Month),
    ("getDate", Style::Member, 1..=1, Function::Day),
    ("getDayOfMonth", Style::Member, 1..=1, Function::DayFromZero),
    ("getDayOfWeek", Style::Member, 1..=1, Function::Weekday),
    ("getHours", Style::Member, 1..=1, Function::Hours),
    ("getMinutes", Style::Member, 1..=1, Function::Minutes),
    ("getSeconds", Style::Member, 1..=1, Function::Seconds),
];

impl Function {
    /// The function called `name`, written in this style with that many arguments.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn find(name: &str, member: bool, arguments: usize) -> Result<Self, String> {
        if name == "matches" {
            return Err(
                "there is no `matches`: regular expressions are not supported; use \
                        startsWith, endsWith, contains or split"
                    .into(),
            );
        }
        let Some((name, style, counts, function)) =
            FUNCTIONS.iter().find(|(known, ..)| *known == name)
        else {
            let near = FUNCTIONS
                .iter()
                .map(|(known, ..)| *known)
                .find(|known| strsim::damerau_levenshtein(known, super::clip(name).as_ref()) <= 2);
            let hint = near.map_or(String::new(), |known| format!(" (did you mean `{known}`?)"));
            return Err(format!(
                "there is no function `{}`{hint}",
                super::clip(name)
            ));
        };
        match (style, member) {
            (Style::Alone, true) => Err(format!("write `{name}(x)`, not `x.{name}()`")),
            (Style::Member, false) => Err(format!("write `x.{name}(…)`, not `{name}(x, …)`")),
            (Style::Alone, false) | (Style::Member, true) | (Style::Both, _) => {
                if counts.contains(&arguments) {
                    Ok(*function)
                } else {
                    let before = usize::from(*style != Style::Alone && member);
                    let wanted = counts.end() - before;
                    let given = arguments - before;
                    Err(format!("`{name}` takes {wanted} arguments, not {given}"))
                }
            }
        }
    }

    fn name(self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|(.., function)| *function == self)
            .map_or("", |(name, ..)| name)
    }
}

/// What `function` makes of `arguments`.
///
/// # Errors
/// When it does not take what they are.
pub(super) fn call<'a>(
    machine: &mut Machine<'a>,
    at: Position,
    function: Function,
    arguments: &[Term<'a>],
) -> Outcome<Term<'a>> {
    let refuse = || {
        let shown: Vec<String> = arguments.iter().map(shown).collect();
        at.failed(format!(
            "`{}` does not take {}",
            function.name(),
            shown.join(", ")
        ))
    };
    let Some(first) = arguments.first() else {
        return Err(refuse());
    };
    let found = match function {
        Function::Size => size(machine, first)?,
        Function::Contains
        | Function::StartsWith
        | Function::EndsWith
        | Function::LowerAscii
        | Function::UpperAscii
        | Function::Trim
        | Function::Split
        | Function::Replace => text_call(machine, function, arguments)?,
        Function::Join => join(machine, arguments)?,
        Function::ToInt => convert::int(first).map(Term::Int),
        Function::ToUint => convert::uint(first).map(Term::Uint),
        Function::ToDouble => convert::double(first).map(Term::Double),
        Function::ToText => convert::text(machine, first)?,
        Function::ToBool => convert::bool(first).map(Term::Bool),
        Function::ToBytes => convert::bytes(machine, first)?,
        Function::ToTimestamp => convert::timestamp(first).map(Term::Timestamp),
        Function::ToDuration => convert::duration(first).map(Term::Duration),
        Function::Year
        | Function::Month
        | Function::Day
        | Function::DayFromZero
        | Function::Weekday
        | Function::Hours
        | Function::Minutes
        | Function::Seconds => part_of_time(function, first),
    };
    found.ok_or_else(refuse)
}

/// Characters of text, bytes, items or members.
fn size<'a>(machine: &mut Machine<'a>, term: &Term<'a>) -> Outcome<Option<Term<'a>>> {
    let count = match term {
        Term::Text(text) => {
            machine.read(text.len())?;
            Some(text.chars().count())
        }
        Term::Bytes(bytes) => Some(bytes.len()),
        other => other.len(),
    };
    Ok(count
        .and_then(|count| i64::try_from(count).ok())
        .map(Term::Int))
}

/// The functions of text.
fn text_call<'a>(
    machine: &mut Machine<'a>,
    function: Function,
    arguments: &[Term<'a>],
) -> Outcome<Option<Term<'a>>> {
    let texts: Option<Vec<&Text<'a>>> = arguments.iter().map(as_text).collect();
    let Some(texts) = texts else {
        return Ok(None);
    };
    machine.read(texts.iter().map(|text| text.len()).sum())?;
    Ok(match (function, texts.as_slice()) {
        (Function::Contains, [text, part]) => Some(Term::Bool(text.contains(&***part))),
        (Function::StartsWith, [text, part]) => Some(Term::Bool(text.starts_with(&***part))),
        (Function::EndsWith, [text, part]) => Some(Term::Bool(text.ends_with(&***part))),
        (Function::LowerAscii, [text]) => {
            machine.make(text.len(), 0)?;
            Some(Term::made(text.to_ascii_lowercase()))
        }
        (Function::UpperAscii, [text]) => {
            machine.make(text.len(), 0)?;
            Some(Term::made(text.to_ascii_uppercase()))
        }
        (Function::Trim, [text]) => Some(slice(machine, text, text.trim())?),
        (Function::Split, [text, by]) => {
            let mut parts = Vec::new();
            for part in text.split(&***by) {
                machine.make(0, 1)?;
                parts.push(slice(machine, text, part)?);
            }
            Some(Term::List(parts.into()))
        }
        (Function::Replace, [text, from, to]) => {
            let count = text.matches(&***from).count();
            machine.make(text.len().saturating_add(count.saturating_mul(to.len())), 0)?;
            Some(Term::made(text.replace(&***from, to)))
        }
        _ => None,
    })
}

/// A part of `whole`: borrowed when the whole is.
fn slice<'a>(machine: &mut Machine<'a>, whole: &Text<'a>, part: &str) -> Outcome<Term<'a>> {
    if let Text::Of(text) = whole {
        let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        if let Some(part) = text.get(start..start.saturating_add(part.len())) {
            return Ok(Term::text(part));
        }
    }
    machine.make(part.len(), 0)?;
    Ok(Term::made(part))
}

fn join<'a>(machine: &mut Machine<'a>, arguments: &[Term<'a>]) -> Outcome<Option<Term<'a>>> {
    let [list, by @ ..] = arguments else {
        return Ok(None);
    };
    let by = match by {
        [] => "",
        [by, ..] => match as_text(by) {
            Some(by) => by,
            None => return Ok(None),
        },
    };
    let (false, Some(each)) = (list.is_map(), list.each()) else {
        return Ok(None);
    };
    let mut joined = String::new();
    for (index, item) in each.enumerate() {
        let Some(text) = as_text(&item) else {
            return Ok(None);
        };
        machine.make(text.len().saturating_add(by.len()), 0)?;
        machine.spend(1)?;
        if index > 0 {
            joined.push_str(by);
        }
        joined.push_str(text);
    }
    Ok(Some(Term::made(joined)))
}

fn as_text<'t, 'a>(term: &'t Term<'a>) -> Option<&'t Text<'a>> {
    let Term::Text(text) = term else {
        return None;
    };
    Some(text)
}

/// A part of a timestamp in UTC, or the whole of a duration in one unit. Months, days of the month and
/// of the week count from 0, the week begins with Sunday: so CEL has it.
fn part_of_time<'a>(function: Function, term: &Term<'a>) -> Option<Term<'a>> {
    if let Term::Duration(duration) = term {
        let seconds = duration.as_secs();
        return match function {
            Function::Hours => Some(Term::Int(seconds / 3600)),
            Function::Minutes => Some(Term::Int(seconds / 60)),
            Function::Seconds => Some(Term::Int(seconds)),
            _ => None,
        };
    }
    let Term::Timestamp(time) = term else {
        return None;
    };
    let time: DateTime = TimeZone::UTC.to_datetime(*time);
    Some(Term::Int(match function {
        Function::Year => time.year().into(),
        Function::Month => i64::from(time.month()) - 1,
        Function::Day => time.day().into(),
        Function::DayFromZero => i64::from(time.day()) - 1,
        Function::Weekday => Weekday::to_sunday_zero_offset(time.weekday()).into(),
        Function::Hours => time.hour().into(),
        Function::Minutes => time.minute().into(),
        Function::Seconds => time.second().into(),
        _ => return None,
    }))
}
