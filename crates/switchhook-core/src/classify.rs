//! What to do after an attempt: the policy's rules in their order, then the built-in table.
//!
//! The table follows `facts` 5.8: a success is done; what time may heal is retried; what an operator
//! must heal is held (401, 403, 407, 410); what would fail again in the same way is given up at once.
//! Rules judge what the endpoint and the network did. Where no request was made, because the address
//! guard refused it or the request could not be built, only the table judges: no rule, `*` included,
//! can call that delivered.
//!
//! Every attempt is judged, so the names of the table are made once; a default costs no allocation.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use crate::delivery::{Failure, OutcomeKind};
use crate::retry::{Action, Match, Rule};

/// What a rule decided, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What to do.
    pub action: Action,
    /// The rule's name, for example `rule 2: 5xx` or `default: 5xx`.
    pub rule: Arc<str>,
}

/// After a TLS failure nothing is tried sooner than this, in milliseconds (`facts` 5.8): a bad
/// certificate is healed by people, not by load.
pub const TLS_DELAY_MIN_MS: u64 = 5 * 60_000;

/// The built-in rules; the first that takes a result decides.
const DEFAULTS: &[(Match, Action)] = &[
    (Match::Class(2), Action::Done),
    (Match::Status(408), Action::Retry),
    (Match::Status(425), Action::Retry),
    (Match::Status(429), Action::Retry),
    (Match::Status(501), Action::DeadLetter),
    (Match::Status(505), Action::DeadLetter),
    (Match::Class(5), Action::Retry),
    (Match::Status(401), Action::Hold),
    (Match::Status(403), Action::Hold),
    (Match::Status(407), Action::Hold),
    (Match::Status(410), Action::Hold),
    (Match::Class(4), Action::DeadLetter),
    (Match::Class(3), Action::DeadLetter),
    (Match::Class(1), Action::DeadLetter),
    (Match::Failure(Failure::Timeout), Action::Retry),
    (Match::Failure(Failure::Dns), Action::Retry),
    (Match::Failure(Failure::Connect), Action::Retry),
    (Match::Failure(Failure::Tls), Action::Retry),
    (Match::Failure(Failure::Reset), Action::Retry),
    (Match::Failure(Failure::Protocol), Action::Retry),
    (Match::Failure(Failure::Blocked), Action::DeadLetter),
    (Match::Failure(Failure::Template), Action::DeadLetter),
    // A secret that is being replaced, or a mount that comes late, is there again in a moment.
    (Match::Failure(Failure::Secret), Action::Retry),
];

/// [`DEFAULTS`] with their names.
static NAMED_DEFAULTS: LazyLock<Vec<(Match, Judgement)>> = LazyLock::new(|| {
    let judged = |&(on, action): &(Match, Action)| {
        (
            on,
            Judgement {
                action,
                rule: format!("default: {on}").into(),
            },
        )
    };
    DEFAULTS.iter().map(judged).collect()
});

/// The last resort: a status outside 100 to 599 is no answer that a retry would better.
static OTHER: LazyLock<Judgement> = LazyLock::new(|| Judgement {
    action: Action::DeadLetter,
    rule: "default: *".into(),
});

/// Judges the result of an attempt.
#[must_use]
pub fn judge(rules: &[Rule], outcome: OutcomeKind) -> Judgement {
    if was_sent(outcome) {
        for (rule, number) in rules.iter().zip(1_usize..) {
            if let Some(on) = rule.on.iter().find(|on| on.takes(outcome)) {
                return Judgement {
                    action: rule.action,
                    rule: format!("rule {number}: {on}").into(),
                };
            }
        }
    }
    let default = NAMED_DEFAULTS.iter().find(|(on, _)| on.takes(outcome));
    default.map_or(&*OTHER, |(_, judgement)| judgement).clone()
}

/// No retry after this result may come sooner, in milliseconds.
#[must_use]
pub const fn min_delay_ms(outcome: OutcomeKind) -> u64 {
    match outcome {
        OutcomeKind::Failed(Failure::Tls) => TLS_DELAY_MIN_MS,
        OutcomeKind::Failed(_) | OutcomeKind::Status(_) => 0,
    }
}

/// Whether a request was at least tried, so that the result says something about the endpoint.
const fn was_sent(outcome: OutcomeKind) -> bool {
    !matches!(
        outcome,
        OutcomeKind::Failed(Failure::Blocked | Failure::Template | Failure::Secret)
    )
}

/// Text that names no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no result: use a status (`408`), a class (`5xx`), a range (`500-599`), `timeout`, \
     `dns`, `connect`, `tls`, `reset`, `protocol`, or `*` for any"
)]
pub struct MatchError(pub String);

impl Match {
    /// Whether it names this result.
    #[must_use]
    pub fn takes(self, outcome: OutcomeKind) -> bool {
        match (self, outcome) {
            (Self::Any, _) => true,
            (Self::Status(this), OutcomeKind::Status(status)) => this == status,
            (Self::Class(class), OutcomeKind::Status(status)) => u16::from(class) == status / 100,
            (Self::Range(from, to), OutcomeKind::Status(status)) => (from..=to).contains(&status),
            (Self::Failure(this), OutcomeKind::Failed(failure)) => this == failure,
            (Self::Status(_) | Self::Class(_) | Self::Range(..), OutcomeKind::Failed(_))
            | (Self::Failure(_), OutcomeKind::Status(_)) => false,
        }
    }
}

impl FromStr for Match {
    type Err = MatchError;

    fn from_str(text: &str) -> Result<Self, MatchError> {
        let nameable = |failure: &Failure| was_sent(OutcomeKind::Failed(*failure));
        let found = match text {
            "*" => Some(Self::Any),
            "1xx" => Some(Self::Class(1)),
            "2xx" => Some(Self::Class(2)),
            "3xx" => Some(Self::Class(3)),
            "4xx" => Some(Self::Class(4)),
            "5xx" => Some(Self::Class(5)),
            _ => match text.split_once('-') {
                Some((from, to)) => status(from)
                    .zip(status(to))
                    .filter(|(from, to)| from <= to)
                    .map(|(from, to)| Self::Range(from, to)),
                None => status(text)
                    .map(Self::Status)
                    .or_else(|| Failure::from_name(text).filter(nameable).map(Self::Failure)),
            },
        };
        found.ok_or_else(|| MatchError(text.into()))
    }
}

/// A status code: three digits from 100 to 599.
fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let code = text.parse().ok()?;
    (digits && (100..=599).contains(&code)).then_some(code)
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
            Self::Range(from, to) => write!(f, "{from}-{to}"),
            Self::Failure(failure) => f.write_str(failure.name()),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(texts: &[&str], action: Action) -> Rule {
        Rule {
            on: texts.iter().map(|text| text.parse().unwrap()).collect(),
            action,
        }
    }

    #[test]
    fn every_status_has_the_default_that_the_table_promises() {
        for code in 0..=999 {
            let expected = match code {
                200..=299 => Action::Done,
                408 | 425 | 429 => Action::Retry,
                501 | 505 => Action::DeadLetter,
                500..=599 => Action::Retry,
                401 | 403 | 407 | 410 => Action::Hold,
                _ => Action::DeadLetter,
            };
            assert_eq!(
                judge(&[], OutcomeKind::Status(code)).action,
                expected,
                "{code}"
            );
        }
    }

    #[test]
    fn every_failure_is_retried_unless_no_request_was_made() {
        for &failure in Failure::ALL {
            let judgement = judge(&[], OutcomeKind::Failed(failure));
            let refused = matches!(failure, Failure::Blocked | Failure::Template);
            let expected = if refused {
                Action::DeadLetter
            } else {
                Action::Retry
            };
            assert_eq!(judgement.action, expected, "{failure:?}");
            assert_eq!(*judgement.rule, *format!("default: {}", failure.name()));
        }
    }

    #[test]
    fn the_first_rule_that_takes_a_result_decides_and_is_named() {
        let rules = [
            on(&["404", "410"], Action::Retry),
            on(&["timeout", "500-502"], Action::DeadLetter),
            on(&["5xx"], Action::Hold),
        ];
        for (outcome, action, name) in [
            (OutcomeKind::Status(410), Action::Retry, "rule 1: 410"),
            (
                OutcomeKind::Status(502),
                Action::DeadLetter,
                "rule 2: 500-502",
            ),
            (OutcomeKind::Status(503), Action::Hold, "rule 3: 5xx"),
            (
                OutcomeKind::Failed(Failure::Timeout),
                Action::DeadLetter,
                "rule 2: timeout",
            ),
            (
                OutcomeKind::Failed(Failure::Dns),
                Action::Retry,
                "default: dns",
            ),
            (OutcomeKind::Status(204), Action::Done, "default: 2xx"),
            (OutcomeKind::Status(429), Action::Retry, "default: 429"),
            (OutcomeKind::Status(777), Action::DeadLetter, "default: *"),
        ] {
            let judgement = judge(&rules, outcome);
            assert_eq!((judgement.action, &*judgement.rule), (action, name));
        }
    }

    #[test]
    fn no_rule_can_call_delivered_what_was_never_sent() {
        let rules = [on(&["*"], Action::Done)];
        assert_eq!(judge(&rules, OutcomeKind::Status(500)).action, Action::Done);
        for failure in [Failure::Blocked, Failure::Template, Failure::Secret] {
            assert_ne!(
                judge(&rules, OutcomeKind::Failed(failure)).action,
                Action::Done
            );
        }
    }

    #[test]
    fn a_default_is_judged_without_making_its_name_anew() {
        let ok = OutcomeKind::Status(200);
        assert!(Arc::ptr_eq(&judge(&[], ok).rule, &judge(&[], ok).rule));
    }

    #[test]
    fn a_result_name_reads_back_as_itself_and_nothing_else_parses() {
        for text in [
            "408", "100", "599", "1xx", "5xx", "500-599", "404-404", "timeout", "dns", "connect",
            "tls", "reset", "protocol", "*",
        ] {
            assert_eq!(text.parse::<Match>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "99",
            "600",
            "0408",
            "+40",
            "4xX",
            "6xx",
            "0xx",
            "xx",
            "599-500",
            "500-",
            "-500",
            "500-600",
            "500 - 599",
            "Timeout",
            "blocked",
            "template",
            "secret",
            "**",
            "two",
        ] {
            assert_eq!(
                text.parse::<Match>(),
                Err(MatchError(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn only_a_tls_failure_has_a_least_delay() {
        assert_eq!(min_delay_ms(OutcomeKind::Failed(Failure::Tls)), 300_000);
        assert_eq!(min_delay_ms(OutcomeKind::Failed(Failure::Timeout)), 0);
        assert_eq!(min_delay_ms(OutcomeKind::Status(503)), 0);
    }
}
