//! What an endpoint of the virtual world answers to a request: a function of its behaviour, time and entropy.
//!
//! The answer says what really happened at the endpoint ([`Answer::taken`]) and what the gateway gets to
//! see, which is not the same when an answer is lost. `Retry-After` comes as header text of all kinds,
//! together with what it means; the gateway's own parser has to find that out.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::time::UnixMs;

use crate::entropy::Entropy;
use crate::faults::{Behaviour, OutageKind, between, chance};

/// What comes of a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) after_ms: u64,
    /// What the gateway sees.
    pub(crate) kind: OutcomeKind,
    /// The status that the endpoint gave, if the request reached it and it came to a decision.
    pub(crate) taken: Option<u16>,
    pub(crate) wish: Option<Wish>,
}

/// A `Retry-After`, as sent.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) values: Vec<String>,
    pub(crate) date: Option<String>,
    /// What it means, in milliseconds; `None` when it means nothing.
    pub(crate) meant_ms: Option<u64>,
}

/// An endpoint that is well.
pub(crate) fn healthy(entropy: &mut Entropy) -> Answer {
    status(200, between(entropy, 1, 50))
}

/// An endpoint that behaves like this; `now_ms` is the world's time.
pub(crate) fn answer(
    behaviour: &Behaviour,
    timeout_ms: u64,
    now_ms: u64,
    wall: UnixMs,
    entropy: &mut Entropy,
) -> Answer {
    let after_ms = if chance(entropy, behaviour.slow_pm) {
        entropy.below(timeout_ms)
    } else {
        between(entropy, 1, 200)
    };
    if let Some(outage) = behaviour.outage(now_ms) {
        return during(outage, timeout_ms, after_ms, wall, entropy);
    }
    if chance(entropy, behaviour.black_hole_pm) {
        let taken = chance(entropy, 500).then_some(200);
        return Answer {
            taken,
            ..failed(Failure::Timeout, timeout_ms)
        };
    }
    if chance(entropy, behaviour.lost_answer_pm) {
        return Answer {
            taken: Some(200),
            ..failed(Failure::Reset, after_ms)
        };
    }
    if chance(entropy, behaviour.reset_pm) {
        return failed(Failure::Reset, after_ms);
    }
    if chance(entropy, behaviour.throttle_pm) {
        return throttled(after_ms, wall, entropy);
    }
    if chance(entropy, behaviour.fail_pm) {
        let code = *entropy.pick(&[500, 502, 503, 504, 501]).unwrap_or(&500);
        let wish = chance(entropy, 200).then(|| wish(wall, entropy));
        return Answer {
            wish,
            ..status(code, after_ms)
        };
    }
    if chance(entropy, behaviour.refuse_pm) {
        return status(
            *entropy.pick(&[400, 404, 413, 422, 302]).unwrap_or(&400),
            after_ms,
        );
    }
    if chance(entropy, behaviour.hold_pm) {
        let held = [401, 401, 401, 403, 403, 407, 410];
        return status(*entropy.pick(&held).unwrap_or(&401), after_ms);
    }
    if chance(entropy, behaviour.odd_pm) {
        let odd = [
            Failure::Dns,
            Failure::Tls,
            Failure::Protocol,
            Failure::Blocked,
            Failure::Template,
            Failure::Secret,
        ];
        return failed(*entropy.pick(&odd).unwrap_or(&Failure::Dns), after_ms);
    }
    status(200, after_ms)
}

fn during(
    kind: OutageKind,
    timeout_ms: u64,
    after_ms: u64,
    wall: UnixMs,
    entropy: &mut Entropy,
) -> Answer {
    match kind {
        OutageKind::Refused => failed(Failure::Connect, 1),
        OutageKind::Unavailable => status(503, after_ms),
        OutageKind::BlackHole => failed(Failure::Timeout, timeout_ms),
        OutageKind::Unauthorized => {
            status(*entropy.pick(&[401, 403, 407]).unwrap_or(&401), after_ms)
        }
        OutageKind::Gone => status(410, after_ms),
        OutageKind::Throttled => throttled(after_ms, wall, entropy),
    }
}

fn throttled(after_ms: u64, wall: UnixMs, entropy: &mut Entropy) -> Answer {
    let code = if chance(entropy, 500) { 429 } else { 503 };
    Answer {
        wish: Some(wish(wall.plus_ms(after_ms), entropy)),
        ..status(code, after_ms)
    }
}

const fn status(code: u16, after_ms: u64) -> Answer {
    Answer {
        after_ms,
        kind: OutcomeKind::Status(code),
        taken: Some(code),
        wish: None,
    }
}

const fn failed(failure: Failure, after_ms: u64) -> Answer {
    Answer {
        after_ms,
        kind: OutcomeKind::Failed(failure),
        taken: None,
        wish: None,
    }
}

fn wish(wall: UnixMs, entropy: &mut Entropy) -> Wish {
    let plain = |text: String, meant_ms| Wish {
        values: vec![text],
        date: None,
        meant_ms,
    };
    match entropy.below(8) {
        0..3 => {
            let seconds = between(entropy, 1, 600);
            plain(seconds.to_string(), Some(seconds * 1_000))
        }
        3 => {
            let seconds = between(entropy, 600, 90_000);
            plain(seconds.to_string(), Some(seconds * 1_000))
        }
        4 => {
            let seconds = entropy.below(3_600);
            let sent_s = wall.0 / 1_000;
            Wish {
                values: vec![http_date(sent_s + seconds)],
                date: Some(http_date(sent_s)),
                meant_ms: Some(seconds * 1_000),
            }
        }
        5 => Wish {
            values: vec![http_date(wall.0 / 1_000 - entropy.below(100_000))],
            date: Some(http_date(wall.0 / 1_000)),
            meant_ms: Some(0),
        },
        6 => Wish {
            values: vec!["60".into(), "120".into()],
            date: None,
            meant_ms: None,
        },
        _ => {
            let hostile = [
                "-1",
                "1.5",
                "",
                "soon",
                "99999999999999999999999",
                "2147483649",
                "60, 120",
                "1e3",
            ];
            plain((*entropy.pick(&hostile).unwrap_or(&"")).into(), None)
        }
    }
}

fn http_date(seconds: u64) -> String {
    let at = Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default();
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .unwrap_or_default()
}
