//! How a receiver behaves, as one word on the command line, and what it does next.
//!
//! Decides the reply to each request from the script, the time and 64 random bits; carrying it out
//! is the shell's part (`answer`). A script is per receiver: a sequence counts requests, whichever
//! delivery they belong to. Times are milliseconds; `now_ms` counts from the start of the lab, so
//! that an outage begins with the run. The failure modes are those of `facts/reliability` 9.4.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::entropy::scale;

/// The forms that [`Behaviour::from_str`] takes, for messages and help.
pub const FORMS: &[&str] = &[
    "ok",
    "ok:12ms",
    "slow:2s",
    "status:503",
    "sequence:503,503,200",
    "fail:50%",
    "outage:5s/10s",
    "rate-limit:429/3s/20%",
    "redirect",
    "redirect:/elsewhere",
    "black-hole",
    "reset-before",
    "reset-after",
    "huge",
];

/// Most statuses in a sequence: more than the 100 attempts of any policy.
const SEQUENCE_LEN_MAX: usize = 200;

/// Longest time in a script, one hour: longer than any request may take.
const TIME_MS_MAX: u64 = 3_600_000;

/// Where a redirect points when the script does not say; the lab answers 404 there, so that a client
/// that follows is seen.
const ELSEWHERE: &str = "/elsewhere";

/// A script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Always this status, after a while (`ok`, `ok:12ms`, `slow:2s`, `status:503`).
    Always {
        /// The status answered.
        status: u16,
        /// How long it takes.
        after_ms: u64,
    },
    /// One status after the other; the last one stays.
    Sequence {
        /// The statuses, at least one.
        statuses: Arc<[u16]>,
        /// Requests answered so far, up to the length.
        answered: usize,
    },
    /// 503 that often, else 200.
    Fail {
        /// Chance of a 503 in percent, 0 to 100.
        percent: u8,
    },
    /// 503 for the first `down_ms` of every `every_ms`, else 200.
    Outage {
        /// Length of the outage.
        down_ms: u64,
        /// From one outage's start to the next.
        every_ms: u64,
    },
    /// This status with `Retry-After` that often, else 200. Each request is judged by itself.
    RateLimit {
        /// The status answered, usually 429.
        status: u16,
        /// The `Retry-After` in seconds.
        retry_after_s: u32,
        /// Chance in percent, 0 to 100.
        percent: u8,
    },
    /// Always a 307 to this place.
    Redirect {
        /// The `Location`.
        location: Arc<str>,
    },
    /// Reads the request and never answers.
    BlackHole,
    /// RST before the body is read.
    ResetBefore,
    /// RST after the whole request was read.
    ResetAfter,
    /// 200 with a body that does not end.
    Huge,
}

/// What to do with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answer.
    Answer {
        /// The status.
        status: u16,
        /// Not before this long after the request was read.
        after_ms: u64,
        /// Value of `Retry-After`, in seconds.
        retry_after_s: Option<u32>,
        /// Value of `Location`.
        location: Option<Arc<str>>,
    },
    /// Read the request, then do nothing until the peer gives up.
    BlackHole,
    /// Reset the connection before the body is read.
    ResetBefore,
    /// Read the request, then reset the connection.
    ResetAfter,
    /// Answer 200 with a body that does not end.
    Huge,
}

impl Reply {
    const fn answer(status: u16) -> Self {
        Self::Answer {
            status,
            after_ms: 0,
            retry_after_s: None,
            location: None,
        }
    }
}

impl Behaviour {
    /// The reply to the next request, at `now_ms` after the start of the lab.
    pub fn next(&mut self, now_ms: u64, entropy: u64) -> Reply {
        let chance = |percent: u8| scale(entropy, 100) < u64::from(percent);
        match self {
            Self::Always { status, after_ms } => Reply::Answer {
                status: *status,
                after_ms: *after_ms,
                retry_after_s: None,
                location: None,
            },
            Self::Sequence { statuses, answered } => {
                let status = statuses.get(*answered).or_else(|| statuses.last());
                *answered = (*answered + 1).min(statuses.len());
                Reply::answer(status.copied().unwrap_or(200))
            }
            Self::Fail { percent } => Reply::answer(if chance(*percent) { 503 } else { 200 }),
            Self::Outage { down_ms, every_ms } => {
                let down = now_ms % (*every_ms).max(1) < *down_ms;
                Reply::answer(if down { 503 } else { 200 })
            }
            Self::RateLimit {
                status,
                retry_after_s,
                percent,
            } => {
                if !chance(*percent) {
                    return Reply::answer(200);
                }
                let retry_after_s = Some(*retry_after_s);
                Reply::Answer {
                    status: *status,
                    after_ms: 0,
                    retry_after_s,
                    location: None,
                }
            }
            Self::Redirect { location } => {
                let location = Some(Arc::clone(location));
                Reply::Answer {
                    status: 307,
                    after_ms: 0,
                    retry_after_s: None,
                    location,
                }
            }
            Self::BlackHole => Reply::BlackHole,
            Self::ResetBefore => Reply::ResetBefore,
            Self::ResetAfter => Reply::ResetAfter,
            Self::Huge => Reply::Huge,
        }
    }
}

/// Text that is no behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a behaviour: {what}; known forms: {}", FORMS.join(", "))]
pub struct BehaviourError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub what: String,
}

impl FromStr for Behaviour {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, BehaviourError> {
        read(text.trim()).map_err(|what| BehaviourError {
            text: text.into(),
            what,
        })
    }
}

fn read(text: &str) -> Result<Behaviour, String> {
    let (word, value) = match text.split_once(':') {
        Some((word, value)) => (word, Some(value)),
        None => (text, None),
    };
    match (word, value) {
        ("ok", None) => Ok(Behaviour::Always {
            status: 200,
            after_ms: 0,
        }),
        ("ok" | "slow", Some(time)) => Ok(Behaviour::Always {
            status: 200,
            after_ms: time_ms(time)?,
        }),
        ("status", Some(code)) => Ok(Behaviour::Always {
            status: status(code)?,
            after_ms: 0,
        }),
        ("sequence", Some(codes)) => {
            let statuses: Arc<[u16]> = codes.split(',').map(status).collect::<Result<_, _>>()?;
            if statuses.len() > SEQUENCE_LEN_MAX {
                return Err(format!(
                    "{} statuses are more than {SEQUENCE_LEN_MAX}",
                    statuses.len()
                ));
            }
            Ok(Behaviour::Sequence {
                statuses,
                answered: 0,
            })
        }
        ("fail", Some(share)) => Ok(Behaviour::Fail {
            percent: percent(share)?,
        }),
        ("outage", Some(value)) => outage(value),
        ("rate-limit", Some(value)) => rate_limit(value),
        ("redirect", location) => {
            let location = location.unwrap_or(ELSEWHERE);
            if location.is_empty() {
                return Err("`redirect` needs a place, or no colon".into());
            }
            http::HeaderValue::from_str(location)
                .map_err(|_| "the place cannot stand in a header")?;
            Ok(Behaviour::Redirect {
                location: location.into(),
            })
        }
        ("black-hole", None) => Ok(Behaviour::BlackHole),
        ("reset-before", None) => Ok(Behaviour::ResetBefore),
        ("reset-after", None) => Ok(Behaviour::ResetAfter),
        ("huge", None) => Ok(Behaviour::Huge),
        ("black-hole" | "reset-before" | "reset-after" | "huge", Some(_)) => {
            Err(format!("`{word}` takes no value"))
        }
        ("slow" | "status" | "sequence" | "fail" | "outage" | "rate-limit", None) => {
            Err(format!("`{word}` needs a value"))
        }
        _ => Err(format!("`{word}` is not known")),
    }
}

fn outage(value: &str) -> Result<Behaviour, String> {
    let (down, every) = value
        .split_once('/')
        .ok_or("it is written <down>/<every>")?;
    let (down_ms, every_ms) = (time_ms(down)?, time_ms(every)?);
    if down_ms > every_ms || every_ms == 0 {
        return Err(format!(
            "an outage of {down} does not fit into every {every}"
        ));
    }
    Ok(Behaviour::Outage { down_ms, every_ms })
}

fn rate_limit(value: &str) -> Result<Behaviour, String> {
    let mut parts = value.split('/');
    let (Some(code), Some(after), Some(share), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it is written <status>/<retry-after>/<percent>".into());
    };
    let after_ms = time_ms(after)?;
    if after_ms % 1000 != 0 {
        return Err(format!("Retry-After counts whole seconds, not {after}"));
    }
    let retry_after_s =
        u32::try_from(after_ms / 1000).map_err(|_| format!("{after} is too long"))?;
    Ok(Behaviour::RateLimit {
        status: status(code)?,
        retry_after_s,
        percent: percent(share)?,
    })
}

fn status(text: &str) -> Result<u16, String> {
    let code = text
        .trim()
        .parse()
        .ok()
        .filter(|code| (200..=599).contains(code));
    code.ok_or_else(|| format!("`{text}` is no status from 200 to 599"))
}

fn percent(text: &str) -> Result<u8, String> {
    let share = text
        .strip_suffix('%')
        .and_then(|digits| digits.parse().ok());
    share
        .filter(|share| *share <= 100)
        .ok_or_else(|| format!("`{text}` is no share from 0% to 100%"))
}

fn time_ms(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "`{text}` is no time such as 12ms, 2s or 1m, at most {}s",
            TIME_MS_MAX / 1000
        )
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count
        .checked_mul(unit_ms)
        .filter(|ms| *ms <= TIME_MS_MAX)
        .ok_or_else(wrong)
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always {
                status: 200,
                after_ms: 0,
            } => f.write_str("ok"),
            Self::Always {
                status: 200,
                after_ms,
            } => write!(f, "ok:{}", Time(*after_ms)),
            Self::Always { status, .. } => write!(f, "status:{status}"),
            Self::Sequence { statuses, .. } => {
                let codes: Vec<_> = statuses.iter().map(u16::to_string).collect();
                write!(f, "sequence:{}", codes.join(","))
            }
            Self::Fail { percent } => write!(f, "fail:{percent}%"),
            Self::Outage { down_ms, every_ms } => {
                write!(f, "outage:{}/{}", Time(*down_ms), Time(*every_ms))
            }
            Self::RateLimit {
                status,
                retry_after_s,
                percent,
            } => {
                write!(f, "rate-limit:{status}/{retry_after_s}s/{percent}%")
            }
            Self::Redirect { location } if &**location == ELSEWHERE => f.write_str("redirect"),
            Self::Redirect { location } => write!(f, "redirect:{location}"),
            Self::BlackHole => f.write_str("black-hole"),
            Self::ResetBefore => f.write_str("reset-before"),
            Self::ResetAfter => f.write_str("reset-after"),
            Self::Huge => f.write_str("huge"),
        }
    }
}

/// Milliseconds in the largest unit that shows them exactly.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms > 0 && ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms > 0 && ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}
