//! People: they change the plan while it works, and replay and discard dead letters.
//!
//! The configuration is what they want; it survives crashes. The plan in force follows it: at the next
//! start, or a little later when the process runs.

use std::sync::Arc;

use switchhook_core::delivery::Waiting;
use switchhook_core::endpoint::{Endpoint, Method};
use switchhook_core::filter::TypePattern;
use switchhook_core::plan::Plan;
use switchhook_core::retry::Policy;
use switchhook_core::subscription::Subscription;
use switchhook_store::batch::Replay;
use switchhook_store::query::{DeadFilter, DeadLetter, Limit};
use switchhook_store::{Batch, Store};

use super::disk::Origin;
use super::options::{Options, SubscriptionOptions, index, name};
use super::{Happening, World};
use crate::checks::Checked;
use crate::entropy::Entropy;
use crate::faults::{Sabotage, chance};

/// What people want.
pub(super) struct Config {
    subscriptions: Vec<(Arc<Subscription>, bool)>,
    endpoints: Vec<(Arc<Endpoint>, u64)>,
    policies: Vec<Arc<Policy>>,
    prune: bool,
}

impl Config {
    pub(super) fn new(options: &Options) -> Self {
        let endpoints = options.endpoints.iter().enumerate();
        let subscriptions = options.subscriptions.iter().enumerate();
        Self {
            subscriptions: subscriptions
                .map(|(n, s)| (Arc::new(subscription(n, s)), !s.late))
                .collect(),
            endpoints: endpoints
                .filter_map(|(n, e)| Some((Arc::new(endpoint(n, e.concurrency, e.timeout_ms)?), 0)))
                .collect(),
            policies: options.policies.clone(),
            prune: options.prune,
        }
    }

    /// All that there will ever be.
    pub(super) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.subscriptions
            .iter()
            .map(|(subscription, _)| subscription.clone())
            .collect()
    }

    /// Brings back every subscription; whether one was missing.
    pub(super) fn restore(&mut self) -> bool {
        let mut missing = false;
        for (_, present) in &mut self.subscriptions {
            missing |= !std::mem::replace(present, true);
        }
        missing
    }

    pub(super) fn plan(&self) -> Plan {
        let present = self.subscriptions.iter().filter(|(_, present)| *present);
        let subscriptions: Vec<_> = present
            .map(|(subscription, _)| subscription.clone())
            .collect();
        let used =
            |name: &Arc<str>| !self.prune || subscriptions.iter().any(|s| s.endpoint == *name);
        Plan {
            sources: std::collections::BTreeMap::new(),
            endpoints: self
                .endpoints
                .iter()
                .filter(|(endpoint, _)| used(&endpoint.name))
                .map(|(endpoint, _)| (endpoint.name.clone(), endpoint.clone()))
                .collect(),
            policies: self
                .policies
                .iter()
                .map(|policy| (policy.name.clone(), policy.clone()))
                .collect(),
            subscriptions: subscriptions
                .into_iter()
                .map(|s| (s.name.clone(), s))
                .collect(),
        }
    }

    /// One change; the number says of what kind.
    fn change(&mut self, entropy: &mut Entropy) -> u64 {
        let kind = entropy.below(6);
        let (endpoint_count, policy_count) =
            (self.endpoints.len() as u64, self.policies.len() as u64);
        let subscription = index(entropy.below(self.subscriptions.len() as u64));
        let endpoint = index(entropy.below(endpoint_count));
        match (
            kind,
            self.subscriptions.get_mut(subscription),
            self.endpoints.get_mut(endpoint),
        ) {
            (0 | 1, Some((_, present)), _) => *present = !*present,
            (2, Some((subscription, _)), _) => {
                let endpoint = name('e', index(entropy.below(endpoint_count)));
                *subscription = Arc::new(Subscription {
                    endpoint,
                    ..(**subscription).clone()
                });
            }
            (3, Some((subscription, _)), _) => {
                let policy = name('p', index(entropy.below(policy_count)));
                *subscription = Arc::new(Subscription {
                    policy,
                    ..(**subscription).clone()
                });
            }
            (4, _, Some((endpoint, _))) => {
                let concurrency = u16::try_from(1 + entropy.below(8)).unwrap_or(1);
                *endpoint = Arc::new(Endpoint {
                    concurrency,
                    ..(**endpoint).clone()
                });
            }
            (_, _, Some((endpoint, version))) => {
                *version += 1;
                let mut changed = (**endpoint).clone();
                changed.url.set_path(&format!("/{version}"));
                *endpoint = Arc::new(changed);
            }
            _ => {}
        }
        kind
    }
}

fn subscription(number: usize, options: &SubscriptionOptions) -> Subscription {
    Subscription {
        name: name('s', number),
        sources: options.sources.clone(),
        types: options
            .types
            .iter()
            .filter_map(|text| TypePattern::parse(text).ok())
            .collect(),
        endpoint: name('e', options.endpoint),
        policy: name('p', options.policy),
        start: options.start,
    }
}

fn endpoint(number: usize, concurrency: u16, timeout_ms: u64) -> Option<Endpoint> {
    Some(Endpoint {
        name: name('e', number),
        url: format!("http://e{number}.invalid/").parse().ok()?,
        method: Method::Post,
        headers: vec![],
        content_type: None,
        timeout_ms,
        concurrency,
        allow_private: vec![],
    })
}

impl World {
    /// Somebody changes the configuration.
    pub(super) fn change_plan(&mut self) {
        let kind = self.config.change(&mut self.entropy);
        self.note("configuration changed (kind)", [kind, 0, 0]);
        let at_ms = self.after(0, 1_000);
        self.queue.push(at_ms, Happening::Replan(self.processes));
    }

    /// The plan as the engine gets to see it.
    pub(super) fn plan_for_engine(&self, plan: &Plan) -> Plan {
        let mut told = plan.clone();
        for policy in told.policies.values_mut() {
            let policy = Arc::make_mut(policy);
            if self.is_sabotaged(Sabotage::AttemptTooMany) {
                policy.max_attempts += 1;
            }
            if self.is_sabotaged(Sabotage::DeadlineIgnored) {
                policy.max_age_ms *= 1_000;
            }
        }
        if self.is_sabotaged(Sabotage::EditIgnored) {
            let told = told.endpoints.values_mut();
            told.for_each(|endpoint| Arc::make_mut(endpoint).url.set_path("/"));
        }
        if self.is_sabotaged(Sabotage::SlotTooMany) {
            told.endpoints
                .values_mut()
                .for_each(|endpoint| Arc::make_mut(endpoint).concurrency += 1);
        }
        told
    }

    /// Somebody replays or discards dead letters.
    pub(super) fn operate(&mut self) -> Checked {
        if !self
            .process
            .as_ref()
            .is_some_and(|process| process.is_accepting())
        {
            return Ok(());
        }
        let endpoints = self.options.endpoints.len() as u64;
        let filter = DeadFilter {
            endpoint: chance(&mut self.entropy, 300)
                .then(|| name('e', index(self.entropy.below(endpoints))).to_string()),
            ..DeadFilter::default()
        };
        let limit = Limit {
            items: index(1 + self.entropy.below(200)),
            bytes: usize::MAX,
        };
        let letters = self.disk.store.dead(&filter, None, limit)?;
        let planned = letters.iter().filter(|l| {
            self.plan
                .subscriptions
                .contains_key(&l.dead.key.subscription)
        });
        let planned: Vec<DeadLetter> = planned.cloned().collect();
        let mut batch = Batch::default();
        if chance(&mut self.entropy, 250) {
            batch.discards = planned
                .iter()
                .map(|letter| (letter.dead.key.clone(), letter.dead.chain))
                .collect();
        } else {
            batch.replays = planned
                .iter()
                .filter_map(|letter| self.replay(letter))
                .collect();
        }
        self.note(
            "operation (replays, discards)",
            [batch.replays.len() as u64, batch.discards.len() as u64, 0],
        );
        let mut changed: Vec<Arc<str>> = planned
            .into_iter()
            .map(|l| l.dead.key.subscription)
            .collect();
        changed.sort();
        changed.dedup();
        self.submit(batch, Origin::Operator(changed));
        Ok(())
    }

    /// A replayed delivery starts again, with a deadline of its own.
    fn replay(&self, letter: &DeadLetter) -> Option<Replay> {
        let key = letter.dead.key.clone();
        let policy = &self.plan.subscriptions.get(&key.subscription)?.policy;
        let policy = self.plan.policies.get(policy)?;
        let now = self.clock.wall();
        let waiting = Waiting::replay(&letter.dead, policy.max_age_ms, now);
        Some(Replay {
            dead_chain: letter.dead.chain,
            waiting,
        })
    }
}
