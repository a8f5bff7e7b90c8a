//! What can go wrong in the virtual world, and how often.
//!
//! Swarm testing: every fault is off in half of the worlds, and where it is on its rate is drawn, so that
//! faults meet in combinations that no fixed mix would reach. All numbers come from the seed.
//!
//! [`Sabotage`] is different: it breaks the world on purpose, to show that a check can fail.

use crate::entropy::Entropy;

/// One simulated hour, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;
/// How long faults happen; after that everything heals.
pub const CHAOS_MS: u64 = 36 * HOUR_MS;
/// How long a world lasts. The quiet part is longer than any planned delay, so that all work must end.
pub const WORLD_MS: u64 = 48 * HOUR_MS;

/// Faults of the process and of what is around it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Of a thousand bursts of traffic, so many end in a crash at some step of theirs.
    pub crash_pm: u64,
    /// Crashes at any time.
    pub crashes: u64,
    /// Stops in good order, with a drain.
    pub stops: u64,
    /// Steps of the wall clock.
    pub jumps: u64,
    /// Changes of the plan.
    pub plan_changes: u64,
    /// Replays and discards of dead letters.
    pub operations: u64,
    /// Subscriptions paused and resumed.
    pub pauses: u64,
    /// Subscriptions switched off and on in the configuration. None in the worlds that are drawn: see
    /// [`crate::world::run_with_switches`].
    pub disables: u64,
    /// Breakers opened and closed by hand, and partitions assigned anew.
    pub switches: u64,
    /// Steps of retention.
    pub retentions: u64,
    /// Old events that are delivered again, also for subscriptions that never took them.
    pub reruns: u64,
    /// Partitions in which somebody seeks forward.
    pub seeks: u64,
    /// Of a thousand commits and reads, so many take seconds.
    pub stall_pm: u64,
    /// Of a thousand events, so many are sent once more after their acknowledgement.
    pub repeat_pm: u64,
}

/// How an endpoint misbehaves: of a thousand requests, so many.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Answer with a 5xx, some with `Retry-After`.
    pub fail_pm: u64,
    /// Answer 429 or 503 with `Retry-After`.
    pub throttle_pm: u64,
    /// Take up to the whole timeout.
    pub slow_pm: u64,
    /// Never answer.
    pub black_hole_pm: u64,
    /// Take the request and lose the answer.
    pub lost_answer_pm: u64,
    /// Break the connection before the request has arrived.
    pub reset_pm: u64,
    /// Answer with a 4xx that will not heal.
    pub refuse_pm: u64,
    /// Answer 401 or 403, and now and then 410.
    pub hold_pm: u64,
    /// Fail in TLS, DNS or the like, or never leave the gateway.
    pub odd_pm: u64,
    /// Times at which all requests meet the same fate.
    pub outages: Vec<Outage>,
}

/// A time at which an endpoint does one thing only.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// From this moment of the world, in milliseconds.
    pub from_ms: u64,
    /// Until then.
    pub until_ms: u64,
    /// What it does.
    pub kind: OutageKind,
}

/// What an endpoint does during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageKind {
    /// No connection.
    Refused,
    /// 503.
    Unavailable,
    /// No answer.
    BlackHole,
    /// 401, 403 or 407, until somebody changes the secret when it is over.
    Unauthorized,
    /// 410: it takes a person to open its breaker afterwards.
    Gone,
    /// 429 with `Retry-After`.
    Throttled,
}

/// A deliberate defect of the world around the engine. Each must be found by the invariant named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Events are acknowledged when they are handed in (I1).
    AckBeforeCommit,
    /// The disk writes each cursor one position too far (I1).
    CursorTooFar,
    /// The disk loses one waiting row of each batch (I1).
    WaitingRowLost,
    /// The disk loses the attempts that succeeded (I1).
    SuccessLost,
    /// The engine is told that policies allow a thousand times their age (I2).
    DeadlineIgnored,
    /// A restart does not tell the engine what was settled (I3).
    SettledForgotten,
    /// The engine is told that policies allow one attempt more (I4).
    AttemptTooMany,
    /// The engine is told that endpoints have one slot more (I6).
    SlotTooMany,
    /// No `Retry-After` reaches the engine (I8).
    RetryAfterIgnored,
    /// The store hands out rows ten minutes early (I8).
    RowsEarly,
    /// Events are stored without their identity (I10).
    DedupForgotten,
    /// The disk does not remove rows of settled deliveries (I12).
    SettledRowKept,
    /// Reads return four times of what was asked for (bounds).
    ReadTooMuch,
    /// Some reads of due rows are never answered (progress).
    ReadLost,
    /// The disk loses the events that tell of dead letters (letters).
    LetterLost,
    /// The engine is not told that the URL of an endpoint has changed (as planned).
    EditIgnored,
    /// A restart does not tell the engine which keys are held up (I5).
    KeysForgotten,
    /// Rows that wait behind others are handed out at once and without their key (I5).
    HeldHandedOut,
    /// The engine is told that a key goes on after a letter that halts it (I5).
    HaltIgnored,
    /// The engine is told that endpoints have no rate (I6).
    RateIgnored,
    /// A restart does not tell the engine which breakers are open (I7).
    BreakerForgotten,
    /// The disk counts probes that failed as attempts (I7).
    ProbeCounted,
    /// The engine is not told of pauses that a restart finds (pauses).
    PauseForgotten,
    /// The engine is not told that a subscription is switched off (pauses).
    SwitchIgnored,
    /// Some requests go to another member of the group than the one that has the partition (groups).
    TwoMembers,
    /// Retention is told that nobody wants what lies behind the end of the log (retention).
    RetentionTooKeen,
    /// Rows stay where they are when a subscription gets other partitions (groups).
    RowsNotMoved,
}

/// Whether something that happens to `per_mille` of a thousand happens now.
pub(crate) const fn chance(entropy: &mut Entropy, per_mille: u64) -> bool {
    entropy.below(1_000) < per_mille
}

/// 0 in half of all worlds, else up to `most`.
pub(crate) const fn swarm(entropy: &mut Entropy, most: u64) -> u64 {
    if entropy.below(2) == 0 {
        0
    } else {
        1 + entropy.below(most)
    }
}

/// A number from `from` to `to`, both included.
pub(crate) const fn between(entropy: &mut Entropy, from: u64, to: u64) -> u64 {
    from + entropy.below(to - from + 1)
}

impl Faults {
    pub(crate) fn draw(entropy: &mut Entropy) -> Self {
        Self {
            crash_pm: swarm(entropy, 300),
            crashes: swarm(entropy, 6),
            stops: swarm(entropy, 6),
            jumps: swarm(entropy, 6),
            plan_changes: swarm(entropy, 30),
            operations: swarm(entropy, 16),
            pauses: swarm(entropy, 12),
            disables: 0,
            switches: swarm(entropy, 12),
            retentions: swarm(entropy, 12),
            reruns: swarm(entropy, 12),
            seeks: swarm(entropy, 3),
            stall_pm: swarm(entropy, 60),
            repeat_pm: swarm(entropy, 200),
        }
    }
}

impl Behaviour {
    pub(crate) fn draw(entropy: &mut Entropy) -> Self {
        let kinds = [
            OutageKind::Refused,
            OutageKind::Unavailable,
            OutageKind::BlackHole,
            OutageKind::Unauthorized,
            OutageKind::Throttled,
            OutageKind::Gone,
        ];
        let outages = (0..swarm(entropy, 4)).filter_map(|_| {
            let from_ms = entropy.below(CHAOS_MS);
            let longest_ms = if chance(entropy, 300) {
                8 * HOUR_MS
            } else {
                HOUR_MS / 2
            };
            let until_ms = from_ms + entropy.below(longest_ms);
            Some(Outage {
                from_ms,
                until_ms,
                kind: *entropy.pick(&kinds)?,
            })
        });
        Self {
            outages: outages.collect(),
            fail_pm: swarm(entropy, 400),
            throttle_pm: swarm(entropy, 100),
            slow_pm: swarm(entropy, 200),
            black_hole_pm: swarm(entropy, 100),
            lost_answer_pm: swarm(entropy, 150),
            reset_pm: swarm(entropy, 150),
            refuse_pm: swarm(entropy, 80),
            hold_pm: swarm(entropy, 8),
            odd_pm: swarm(entropy, 50),
        }
    }

    /// The outage at `now_ms`, if there is one.
    pub(crate) fn outage(&self, now_ms: u64) -> Option<OutageKind> {
        let at = self
            .outages
            .iter()
            .find(|outage| (outage.from_ms..outage.until_ms).contains(&now_ms));
        at.map(|outage| outage.kind)
    }
}
