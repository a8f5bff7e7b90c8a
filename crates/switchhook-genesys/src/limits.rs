//! What to do next with an answer of the management API. Pure: entropy is an argument.
//!
//! * 429 waits as long as `Retry-After` says, at least a second; without it, and after 5xx, 408 or a broken connection,
//!   the wait doubles from at most 2 s to at most 8 s and is drawn from its upper half (seeds 001 and 003: three repeats;
//!   seed 000: five for policies).
//! * 401 drops the token once and repeats once.
//! * 409, 412 and 428 say that what was read has changed: read it again, a bounded number of times. A 409 because the
//!   first request with the same key is still under way is waited for instead.
//! * Everything else is final.
//!
//! Waits in one call never add up to more than [`Rules::patience_ms`]: whoever is told to wait longer is told so, and can
//! come back.

/// Shortest wait, in milliseconds (`facts` genesys 3.3: at least a second, also after `Retry-After: 0`).
pub const WAIT_MIN_MS: u64 = 1_000;
/// Longest wait of the backoff, in milliseconds.
pub const WAIT_MAX_MS: u64 = 8_000;
/// At most so much is added to what `Retry-After` says, in milliseconds, so that those told the same do not return together.
const SPREAD_MS: u64 = 250;

/// How often and how long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Repeats after 429, 5xx, 408 and broken connections, after the first try.
    pub retries: u32,
    /// Times that what was read is read again after 409, 412 and 428.
    pub rereads: u32,
    /// Waits of one call together, in milliseconds.
    pub patience_ms: u64,
}

impl Rules {
    /// For everything but policies (seeds 001 and 003).
    pub const USUAL: Self = Self {
        retries: 3,
        rereads: 3,
        patience_ms: 120_000,
    };
    /// For retry policies (seed 000).
    pub const POLICY: Self = Self {
        retries: 5,
        rereads: 3,
        patience_ms: 120_000,
    };
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered {
        /// Its status.
        status: u16,
        /// What `Retry-After` asks for, in milliseconds.
        retry_after_ms: Option<u64>,
        /// The first request with the same idempotency key has no answer yet.
        busy: bool,
    },
    /// Without one: not connected, cut, or too slow.
    Broken,
}

/// What a call has used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Repeats after 429, 5xx, 408 and broken connections.
    pub retries: u32,
    /// Tokens that were replaced after a 401.
    pub refreshes: u32,
    /// Milliseconds waited.
    pub waited_ms: u64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It worked.
    Done,
    /// Get another token and send it once more, now.
    Refresh,
    /// Send it once more after so many milliseconds.
    Wait(u64),
    /// It is final for this call.
    GiveUp,
}

/// What a failure means for whoever asked. The exit codes of the command line follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 400, 413, 415, 422: what was sent is wrong.
    Invalid,
    /// 401, 403.
    Denied,
    /// 404, 410.
    NotFound,
    /// 409, 412, 428.
    Conflict,
    /// No answer, 408, 429, 5xx: safe to try again later.
    Unavailable,
    /// Anything else, also a redirect: not an API that we know.
    Foreign,
}

/// What follows from `outcome`, after `spent`.
#[must_use]
pub const fn next(outcome: Outcome, spent: Spent, rules: &Rules, entropy: u64) -> Next {
    let wish_ms = match outcome {
        Outcome::Answered {
            status: 200..=299, ..
        } => return Next::Done,
        Outcome::Answered { status: 401, .. } if spent.refreshes == 0 => return Next::Refresh,
        Outcome::Answered {
            status: 429 | 503,
            retry_after_ms: Some(asked_ms),
            ..
        } => {
            let least_ms = if asked_ms < WAIT_MIN_MS {
                WAIT_MIN_MS
            } else {
                asked_ms
            };
            least_ms.saturating_add(entropy % (SPREAD_MS + 1))
        }
        Outcome::Answered {
            status: 408 | 429 | 500..=599,
            ..
        }
        | Outcome::Answered {
            status: 409,
            busy: true,
            ..
        }
        | Outcome::Broken => backoff_ms(spent.retries, entropy),
        Outcome::Answered { .. } => return Next::GiveUp,
    };
    if spent.retries >= rules.retries || spent.waited_ms.saturating_add(wish_ms) > rules.patience_ms
    {
        return Next::GiveUp;
    }
    Next::Wait(wish_ms)
}

/// The wait before the repeat after `retries` others: from the upper half of 2, 4, 8, 8, … seconds.
const fn backoff_ms(retries: u32, entropy: u64) -> u64 {
    let doublings = if retries > 2 { 2 } else { retries };
    let most_ms = (2 * WAIT_MIN_MS) << doublings;
    let most_ms = if most_ms > WAIT_MAX_MS {
        WAIT_MAX_MS
    } else {
        most_ms
    };
    most_ms / 2 + entropy % (most_ms / 2 + 1)
}

/// Whether what was read is to be read once more after `status`, which came `rereads` times already.
#[must_use]
pub const fn may_reread(status: u16, rereads: u32, rules: &Rules) -> bool {
    matches!(status, 409 | 412 | 428) && rereads < rules.rereads
}

/// What a final status means.
#[must_use]
pub const fn class(status: u16) -> Class {
    match status {
        400 | 413 | 415 | 422 => Class::Invalid,
        401 | 403 => Class::Denied,
        404 | 410 => Class::NotFound,
        409 | 412 | 428 => Class::Conflict,
        408 | 429 | 500..=599 => Class::Unavailable,
        _ => Class::Foreign,
    }
}

/// Whether `status` proves that the request changed nothing. After 5xx or 408 it may have.
#[must_use]
pub const fn is_certain(status: u16) -> bool {
    matches!(status, 300..=407 | 409..=499)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRESH: Spent = Spent {
        retries: 0,
        refreshes: 0,
        waited_ms: 0,
    };

    const fn status(status: u16) -> Outcome {
        Outcome::Answered {
            status,
            retry_after_ms: None,
            busy: false,
        }
    }

    const fn asking(status: u16, retry_after_ms: u64) -> Outcome {
        Outcome::Answered {
            status,
            retry_after_ms: Some(retry_after_ms),
            busy: false,
        }
    }

    #[test]
    fn each_answer_leads_to_what_the_page_says() {
        let busy = Outcome::Answered {
            status: 409,
            retry_after_ms: None,
            busy: true,
        };
        for (outcome, expected) in [
            (status(200), Next::Done),
            (status(204), Next::Done),
            (status(401), Next::Refresh),
            (status(429), Next::Wait(1_000)),
            (asking(429, 0), Next::Wait(1_000)),
            (asking(429, 7_000), Next::Wait(7_000)),
            (asking(503, 7_000), Next::Wait(7_000)),
            (asking(500, 7_000), Next::Wait(1_000)),
            (status(408), Next::Wait(1_000)),
            (status(500), Next::Wait(1_000)),
            (Outcome::Broken, Next::Wait(1_000)),
            (busy, Next::Wait(1_000)),
            (status(409), Next::GiveUp),
            (status(412), Next::GiveUp),
            (status(422), Next::GiveUp),
            (status(403), Next::GiveUp),
            (status(302), Next::GiveUp),
            (asking(429, 121_000), Next::GiveUp),
        ] {
            assert_eq!(
                next(outcome, FRESH, &Rules::USUAL, 0),
                expected,
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn a_second_401_is_final() {
        let spent = Spent {
            refreshes: 1,
            ..FRESH
        };
        assert_eq!(next(status(401), spent, &Rules::USUAL, 0), Next::GiveUp);
    }

    #[test]
    fn waits_double_up_to_eight_seconds_and_come_from_the_upper_half() {
        let most = |retries| backoff_ms(retries, 1_000 << retries.min(2));
        assert_eq!(
            [0, 1, 2, 3, 4].map(most),
            [2_000, 4_000, 8_000, 8_000, 8_000]
        );
        assert_eq!(
            [0, 1, 2, 3].map(|retries| backoff_ms(retries, 0)),
            [1_000, 2_000, 4_000, 4_000]
        );
    }

    #[test]
    fn what_was_read_is_read_again_three_times_at_most() {
        for code in [409, 412, 428] {
            assert!(may_reread(code, 2, &Rules::USUAL) && !may_reread(code, 3, &Rules::USUAL));
        }
        assert!(!may_reread(422, 0, &Rules::USUAL));
    }

    #[test]
    fn only_a_refusal_proves_that_nothing_happened() {
        assert!(
            [301, 400, 401, 403, 404, 409, 412, 422, 429]
                .into_iter()
                .all(is_certain)
        );
        assert!(![200, 408, 500, 502, 503, 504].into_iter().any(is_certain));
    }

    proptest! {
        #[test]
        fn a_call_ends_within_its_repeats_and_its_patience(
            answers in prop::collection::vec((100_u16..600, prop::option::of(0_u64..200_000), any::<bool>(), any::<u64>()), 1..50),
            policy in any::<bool>(),
        ) {
            let rules = if policy { Rules::POLICY } else { Rules::USUAL };
            let (mut spent, mut tries) = (FRESH, 0);
            for (status, retry_after_ms, busy, entropy) in answers {
                tries += 1;
                match next(Outcome::Answered { status, retry_after_ms, busy }, spent, &rules, entropy) {
                    Next::Done | Next::GiveUp => break,
                    Next::Refresh => spent.refreshes += 1,
                    Next::Wait(ms) => {
                        prop_assert!(ms >= WAIT_MIN_MS);
                        prop_assert!(retry_after_ms.is_none_or(|asked| status != 429 || ms >= asked));
                        spent.retries += 1;
                        spent.waited_ms += ms;
                    }
                }
            }
            prop_assert!(tries <= rules.retries + 2);
            prop_assert!(spent.waited_ms <= rules.patience_ms);
        }
    }
}
