//! What a seed stands for: the shape of one world, drawn once and printed when a check fails.
//!
//! Bounds: at most 4 sources, 4 endpoints, 2 groups, 4 policies and 6 subscriptions; some hundred events, or some
//! ten thousand where a flood is drawn. No planned delay is longer than [`DELAY_MAX_MS`], so that the
//! quiet end of the world is long enough for all work to end.

use std::fmt;
use std::sync::Arc;

use switchhook_core::breaker;
use switchhook_core::event::OWN_SOURCE;
use switchhook_core::group::{Affinity, Group};
use switchhook_core::limit::{adaptive, budget, rate};
use switchhook_core::retry::{Action, Jitter, Match, Policy, Rule, Schedule};
use switchhook_core::subscription::{OnExhausted, Order, Start};

use crate::entropy::Entropy;
use crate::faults::{Behaviour, CHAOS_MS, Faults, HOUR_MS, between, chance, swarm};

/// The longest delay of a schedule and the longest `Retry-After` honoured, before jitter.
const DELAY_MAX_MS: u64 = 2 * HOUR_MS;

/// The types of events that senders send.
pub(crate) const KINDS: &[&str] = &["a.one", "a.two", "b.one", "c.one"];
/// The type of an event that no subscription takes.
pub(crate) const NOISE: &str = "noise.x";

/// The shape of a world.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    pub(crate) faults: Faults,
    /// For each source, how long it remembers an identity; `None` where every request is a new event.
    pub(crate) sources: Vec<Option<u64>>,
    pub(crate) endpoints: Vec<EndpointOptions>,
    pub(crate) groups: Vec<Arc<Group>>,
    /// Requests under way at once, over all endpoints; 0: as many as are usual.
    pub(crate) slots: usize,
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) subscriptions: Vec<SubscriptionOptions>,
    pub(crate) bursts: Vec<Burst>,
    /// Whether endpoints that nobody uses leave the plan.
    pub(crate) prune: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct EndpointOptions {
    pub(crate) concurrency: u16,
    pub(crate) timeout_ms: u64,
    pub(crate) rate: Option<rate::Rate>,
    pub(crate) adaptive: Option<adaptive::Bounds>,
    pub(crate) retry_budget: Option<budget::Settings>,
    pub(crate) breaker: Option<breaker::Settings>,
    pub(crate) behaviour: Behaviour,
}

#[derive(Debug, Clone)]
pub(crate) struct SubscriptionOptions {
    pub(crate) sources: Vec<Arc<str>>,
    pub(crate) types: Vec<&'static str>,
    pub(crate) endpoint: usize,
    /// Instead of `endpoint`.
    pub(crate) group: Option<usize>,
    pub(crate) policy: usize,
    pub(crate) order: Order,
    pub(crate) on_exhausted: OnExhausted,
    /// What else must hold, in CEL.
    pub(crate) when: Option<&'static str>,
    /// A criterion besides: `$.n` is greater than this.
    pub(crate) above: Option<u64>,
    pub(crate) start: Start,
    /// Not in the first plan; a change of the plan may add it.
    pub(crate) late: bool,
}

/// Requests that come close together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) at_ms: u64,
    pub(crate) source: usize,
    pub(crate) requests: u64,
    pub(crate) spread_ms: u64,
    /// So many events in a request.
    pub(crate) events: u64,
    /// Whether most of them are for nobody.
    pub(crate) noise: bool,
    /// Their keys are drawn from so many; 0: they have none.
    pub(crate) keys: u64,
}

impl Options {
    /// The world of `seed`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let entropy = &mut Entropy::new(seed);
        let faults = Faults::draw(entropy);
        let sources: Vec<_> = (0..between(entropy, 1, 4))
            .map(|_| dedup_window(entropy))
            .collect();
        let endpoints: Vec<_> = (0..between(entropy, 1, 4))
            .map(|_| endpoint(entropy))
            .collect();
        let groups: Vec<_> = (0..entropy.below(3))
            .map(|number| Arc::new(group(entropy, number, endpoints.len())))
            .collect();
        let policies: Vec<_> = (0..between(entropy, 1, 4))
            .map(|number| Arc::new(policy(entropy, number)))
            .collect();
        let count = between(entropy, 1, 5);
        let of = (sources.len(), endpoints.len(), groups.len(), policies.len());
        let mut subscriptions: Vec<_> = (0..count).map(|_| subscription(entropy, of)).collect();
        if chance(entropy, 600) {
            let mut alerts = subscription(entropy, of);
            alerts.sources = vec![OWN_SOURCE.into()];
            alerts.types = vec![*entropy.pick(&["integration.*", "*"]).unwrap_or(&"*")];
            (alerts.when, alerts.above) = (None, None);
            subscriptions.push(alerts);
        }
        let slots = if chance(entropy, 200) {
            index(between(entropy, 1, 6))
        } else {
            0
        };
        let bursts = bursts(entropy, sources.len());
        let prune = chance(entropy, 500);
        Self {
            seed,
            faults,
            sources,
            endpoints,
            groups,
            slots,
            policies,
            subscriptions,
            bursts,
            prune,
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:?}", self.faults)?;
        writeln!(
            f,
            "  dedup windows of the sources: {:?}, prune: {}, slots: {}",
            self.sources, self.prune, self.slots
        )?;
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            writeln!(f, "  e{number}: {endpoint:?}")?;
        }
        for group in &self.groups {
            writeln!(f, "  {group:?}")?;
        }
        for policy in &self.policies {
            writeln!(f, "  {policy:?}")?;
        }
        for (number, subscription) in self.subscriptions.iter().enumerate() {
            writeln!(f, "  s{number}: {subscription:?}")?;
        }
        let requests: u64 = self.bursts.iter().map(|burst| burst.requests).sum();
        write!(f, "  {} bursts, {requests} requests", self.bursts.len())
    }
}

/// A name like `e3`.
pub(crate) fn name(prefix: char, number: usize) -> Arc<str> {
    format!("{prefix}{number}").into()
}

/// `number` as an index.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn dedup_window(entropy: &mut Entropy) -> Option<u64> {
    match entropy.below(4) {
        0 => None,
        1 => Some(60_000),
        2 => Some(HOUR_MS),
        _ => Some(25 * HOUR_MS),
    }
}

fn endpoint(entropy: &mut Entropy) -> EndpointOptions {
    let concurrency = match entropy.below(3) {
        0 => 1,
        1 => 2,
        _ => 1 + entropy.below(16),
    };
    EndpointOptions {
        concurrency: u16::try_from(concurrency).unwrap_or(1),
        timeout_ms: between(entropy, 1_000, 30_000),
        rate: chance(entropy, 250).then(|| rate(entropy)),
        adaptive: chance(entropy, 250).then(|| adaptive::Bounds {
            min: 1,
            max: u16::try_from(between(entropy, 1, 16)).unwrap_or(1),
        }),
        retry_budget: chance(entropy, 250).then(|| budget::Settings {
            share: 0.2,
            per_second: u16::try_from(between(entropy, 1, 3)).unwrap_or(1),
        }),
        breaker: breaker(entropy),
        behaviour: Behaviour::draw(entropy),
    }
}

/// At least ten in a minute, so that what waits is done in the quiet part of the world.
fn rate(entropy: &mut Entropy) -> rate::Rate {
    let (per, from, to) = match entropy.below(3) {
        0 => (rate::Unit::Second, 1, 50),
        1 => (rate::Unit::Minute, 10, 300),
        _ => (rate::Unit::Hour, 600, 5_000),
    };
    rate::Rate {
        count: between_u32(entropy, from, to),
        per,
    }
}

/// None, the usual one, or one that opens at next to nothing.
pub(crate) fn breaker(entropy: &mut Entropy) -> Option<breaker::Settings> {
    let usual = breaker::Settings {
        failures: 5,
        share: 0.5,
        calls_min: 20,
        window_ms: 30_000,
        open_ms: 30_000,
        open_max_ms: 300_000,
        successes: 2,
    };
    match entropy.below(4) {
        0 => None,
        1 | 2 => Some(usual),
        _ => Some(breaker::Settings {
            failures: u16::try_from(between(entropy, 1, 3)).unwrap_or(1),
            share: 0.1,
            calls_min: u16::try_from(between(entropy, 1, 5)).unwrap_or(1),
            open_ms: between(entropy, 1_000, 60_000),
            open_max_ms: between(entropy, 60_000, 900_000),
            successes: u16::try_from(between(entropy, 1, 3)).unwrap_or(1),
            ..usual
        }),
    }
}

fn group(entropy: &mut Entropy, number: u64, endpoints: usize) -> Group {
    let first = index(entropy.below(endpoints as u64));
    let count = 1 + index(entropy.below(endpoints as u64));
    Group {
        name: name('g', index(number)),
        members: (first..first + count)
            .map(|n| name('e', n % endpoints))
            .collect(),
        partitions: partitions(entropy),
        affinity: affinity(entropy),
        failover_after_ms: chance(entropy, 700).then(|| between(entropy, 1_000, 600_000)),
    }
}

pub(crate) fn partitions(entropy: &mut Entropy) -> u16 {
    u16::try_from(between(entropy, 1, 8)).unwrap_or(1)
}

pub(crate) fn affinity(entropy: &mut Entropy) -> Affinity {
    if chance(entropy, 300) {
        Affinity::EventType
    } else {
        Affinity::Key
    }
}

pub(crate) fn order(entropy: &mut Entropy) -> Order {
    match entropy.below(5) {
        0 | 1 => Order::None,
        2 | 3 => Order::Key,
        _ => Order::Strict,
    }
}

fn policy(entropy: &mut Entropy, number: u64) -> Policy {
    let initial_ms = 10_u64.pow(between_u32(entropy, 2, 5)) * between(entropy, 1, 9);
    let max_ms = initial_ms.max(entropy.below(DELAY_MAX_MS));
    let share =
        |entropy: &mut Entropy| u32::try_from(entropy.below(101)).map_or(0.0, f64::from) / 100.0;
    let schedule = match entropy.below(4) {
        0 => Schedule::Exponential {
            initial_ms,
            factor: 1.0 + 2.0 * share(entropy),
            max_ms,
        },
        1 => Schedule::Matrix {
            delays_ms: (0..between(entropy, 1, 6))
                .map(|_| entropy.below(max_ms))
                .collect(),
        },
        2 => Schedule::Fixed {
            delay_ms: initial_ms,
        },
        _ => Schedule::Linear {
            initial_ms,
            step_ms: entropy.below(initial_ms),
            max_ms,
        },
    };
    let jitter = match entropy.below(6) {
        0 => Jitter::None,
        1 => Jitter::PlusMinus(share(entropy)),
        2 => Jitter::Additive(share(entropy)),
        3 => Jitter::Equal,
        4 => Jitter::Full,
        _ => Jitter::Decorrelated,
    };
    let rule = |on, action| {
        vec![Rule {
            on: vec![on],
            action,
        }]
    };
    let rules = match entropy.below(8) {
        0 => rule(Match::Status(404), Action::Retry),
        1 => rule(Match::Status(422), Action::Done),
        2 => rule(Match::Range(500, 503), Action::Hold),
        3 => rule(Match::Class(5), Action::DeadLetter),
        _ => vec![],
    };
    Policy {
        name: name('p', index(number)),
        schedule,
        jitter,
        max_attempts: u16::try_from(between(entropy, 1, 12)).unwrap_or(1),
        max_age_ms: between(entropy, HOUR_MS / 6, 24 * HOUR_MS),
        retry_after_max_ms: between(entropy, 1_000, DELAY_MAX_MS),
        rules,
    }
}

fn between_u32(entropy: &mut Entropy, from: u64, to: u64) -> u32 {
    u32::try_from(between(entropy, from, to)).unwrap_or(0)
}

fn subscription(
    entropy: &mut Entropy,
    (sources, endpoints, groups, policies): (usize, usize, usize, usize),
) -> SubscriptionOptions {
    let below = |entropy: &mut Entropy, count: usize| index(entropy.below(count as u64));
    let only = below(entropy, sources);
    let some = chance(entropy, 300);
    let types: &[&[&str]] = &[
        &["a.*"],
        &["b.one", "a.two"],
        &["a.*", "b.*", "c.*"],
        &["{x}.one"],
    ];
    SubscriptionOptions {
        sources: (0..sources)
            .filter(|n| !some || *n == only)
            .map(|n| name('i', n))
            .collect(),
        types: entropy
            .pick(types)
            .map(|types| types.to_vec())
            .unwrap_or_default(),
        endpoint: below(entropy, endpoints),
        group: chance(entropy, 500)
            .then(|| below(entropy, groups))
            .filter(|_| groups > 0),
        policy: below(entropy, policies),
        order: order(entropy),
        on_exhausted: if chance(entropy, 400) {
            OnExhausted::Halt
        } else {
            OnExhausted::Skip
        },
        // Fails where `n` is a text.
        when: chance(entropy, 250).then_some("event.data.n % 3 != 0"),
        above: chance(entropy, 150).then(|| entropy.below(50)),
        start: if chance(entropy, 500) {
            Start::Now
        } else {
            Start::Earliest
        },
        late: chance(entropy, 200),
    }
}

fn bursts(entropy: &mut Entropy, sources: usize) -> Vec<Burst> {
    let any_source = |entropy: &mut Entropy| index(entropy.below(sources as u64));
    let mut bursts: Vec<Burst> = (0..between(entropy, 5, 50))
        .map(|_| Burst {
            at_ms: entropy.below(CHAOS_MS),
            source: any_source(entropy),
            requests: between(entropy, 1, 32),
            spread_ms: 1 + swarm(entropy, 3_000),
            events: 1,
            noise: false,
            keys: keys(entropy),
        })
        .collect();
    let mut flood = |entropy: &mut Entropy, requests, events, noise| {
        let (at_ms, source) = (entropy.below(CHAOS_MS), any_source(entropy));
        bursts.push(Burst {
            at_ms,
            source,
            requests,
            spread_ms: 20_000,
            events,
            noise,
            keys: keys(entropy),
        });
    };
    if chance(entropy, 20) {
        // More positions than a cursor may run ahead, most of them for nobody.
        flood(entropy, 30, 400, true);
    }
    if chance(entropy, 100) {
        // More deliveries than a lane may hold.
        flood(entropy, 4, 250, false);
    }
    bursts
}

/// None, a few that many events share, or many.
fn keys(entropy: &mut Entropy) -> u64 {
    *entropy.pick(&[0, 1, 3, 3, 10, 1_000]).unwrap_or(&3)
}
