//! What people want: the configuration, and the plan that follows from it.
//!
//! It survives crashes. The plan in force follows it: at the next start, or a little later when the process runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use switchhook_core::criteria::Criterion;
use switchhook_core::endpoint::{Auth, Endpoint};
use switchhook_core::expression::Expression;
use switchhook_core::filter::TypePattern;
use switchhook_core::group::Group;
use switchhook_core::plan::Plan;
use switchhook_core::retry::Policy;
use switchhook_core::secret::SecretRef;
use switchhook_core::subscription::{Order, Subscription, Target};

use super::World;
use super::options::{self, EndpointOptions, Options, SubscriptionOptions, index, name};
use crate::entropy::Entropy;
use crate::faults::{Sabotage, chance};

/// What people want.
pub(super) struct Config {
    subscriptions: Vec<(Arc<Subscription>, bool)>,
    endpoints: Vec<(Arc<Endpoint>, u64)>,
    groups: Vec<Arc<Group>>,
    policies: Vec<Arc<Policy>>,
    slots: usize,
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
                .filter_map(|(n, e)| Some((Arc::new(endpoint(n, e)?), 0)))
                .collect(),
            groups: options.groups.clone(),
            policies: options.policies.clone(),
            slots: options.slots,
            prune: options.prune,
        }
    }

    /// With everything that there will ever be.
    pub(super) fn whole_plan(&self) -> Plan {
        self.plan_of(|_| true)
    }

    /// Brings back every subscription and switches it on; whether one was missing.
    pub(super) fn restore(&mut self) -> bool {
        let mut missing = false;
        for (subscription, present) in &mut self.subscriptions {
            missing |= !std::mem::replace(present, true);
            if !subscription.enabled {
                Arc::make_mut(subscription).enabled = true;
                missing = true;
            }
        }
        missing
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan_of(|present| present)
    }

    fn plan_of(&self, there: impl Fn(bool) -> bool) -> Plan {
        let present = self
            .subscriptions
            .iter()
            .filter(|(_, present)| there(*present));
        let subscriptions: BTreeMap<_, _> =
            present.map(|(s, _)| (s.name.clone(), s.clone())).collect();
        let groups: BTreeMap<_, _> = self
            .groups
            .iter()
            .map(|g| (g.name.clone(), g.clone()))
            .collect();
        let goes_to =
            |subscription: &Arc<Subscription>, endpoint: &Arc<str>| match &subscription.target {
                Target::Endpoint(name) => name == endpoint,
                Target::Group(name) => groups
                    .get(name)
                    .is_some_and(|group| group.members.contains(endpoint)),
            };
        let used = |endpoint: &Arc<str>| {
            !self.prune || subscriptions.values().any(|s| goes_to(s, endpoint))
        };
        let endpoints = self
            .endpoints
            .iter()
            .filter(|(endpoint, _)| used(&endpoint.name));
        Plan {
            sources: BTreeMap::new(),
            endpoints: endpoints
                .map(|(e, _)| (e.name.clone(), e.clone()))
                .collect(),
            policies: self
                .policies
                .iter()
                .map(|p| (p.name.clone(), p.clone()))
                .collect(),
            // A plan is whole: no group names an endpoint that is not in it.
            groups: groups
                .iter()
                .filter(|(_, group)| group.members.iter().all(&used))
                .map(|(name, group)| (name.clone(), group.clone()))
                .collect(),
            slots: self.slots,
            subscriptions,
        }
    }

    /// Switches a subscription off, or on; which one, and whether it is on now.
    fn switch(&mut self, entropy: &mut Entropy) -> (u64, bool) {
        let number = entropy.below(self.subscriptions.len() as u64);
        let Some((subscription, _)) = self.subscriptions.get_mut(index(number)) else {
            return (number, true);
        };
        let subscription = Arc::make_mut(subscription);
        subscription.enabled = !subscription.enabled;
        (number, subscription.enabled)
    }

    /// One change; the number says of what kind.
    fn change(&mut self, entropy: &mut Entropy) -> u64 {
        let kind = entropy.below(10);
        let subscription = index(entropy.below(self.subscriptions.len() as u64));
        let endpoint = index(entropy.below(self.endpoints.len() as u64));
        let group = index(entropy.below(self.groups.len() as u64));
        match kind {
            0 | 1 => {
                if let Some((_, present)) = self.subscriptions.get_mut(subscription) {
                    *present = !*present;
                }
            }
            2 | 3 | 8 => self.change_subscription(subscription, kind, entropy),
            4 | 5 => self.change_endpoint(endpoint, kind, entropy),
            _ => self.change_group(group, kind, entropy),
        }
        kind
    }

    fn change_subscription(&mut self, number: usize, kind: u64, entropy: &mut Entropy) {
        let (endpoints, policies, groups) = (
            self.endpoints.len() as u64,
            self.policies.len() as u64,
            self.groups.len() as u64,
        );
        let Some((subscription, _)) = self.subscriptions.get_mut(number) else {
            return;
        };
        let subscription = Arc::make_mut(subscription);
        match kind {
            2 if groups > 0 && chance(entropy, 200) => {
                subscription.target = Target::Group(name('g', index(entropy.below(groups))));
            }
            2 if matches!(subscription.target, Target::Endpoint(_)) || chance(entropy, 300) => {
                subscription.target = Target::Endpoint(name('e', index(entropy.below(endpoints))));
            }
            2 | 3 => subscription.policy = name('p', index(entropy.below(policies))),
            _ => subscription.order = options::order(entropy),
        }
    }

    fn change_endpoint(&mut self, number: usize, kind: u64, entropy: &mut Entropy) {
        let Some((endpoint, version)) = self.endpoints.get_mut(number) else {
            return;
        };
        let endpoint = Arc::make_mut(endpoint);
        if kind == 5 {
            *version += 1;
            endpoint.url.set_path(&format!("/{version}"));
        } else if chance(entropy, 300) {
            endpoint.breaker = options::breaker(entropy);
        } else {
            endpoint.concurrency = u16::try_from(1 + entropy.below(8)).unwrap_or(1);
        }
    }

    /// A member joins or leaves, or the partitions are others.
    fn change_group(&mut self, number: usize, kind: u64, entropy: &mut Entropy) {
        let joins = name('e', index(entropy.below(self.endpoints.len() as u64)));
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        let group = Arc::make_mut(group);
        match group.members.iter().position(|member| *member == joins) {
            _ if kind == 9 => {
                group.partitions = options::partitions(entropy);
                if chance(entropy, 200) {
                    group.affinity = options::affinity(entropy);
                }
            }
            Some(_) if group.members.len() == 1 => {}
            Some(at) => {
                group.members.remove(at);
            }
            None => group.members.push(joins),
        }
    }
}

fn subscription(number: usize, options: &SubscriptionOptions) -> Subscription {
    let types = options.types.iter();
    let target = match options.group {
        Some(group) => Target::Group(name('g', group)),
        None => Target::Endpoint(name('e', options.endpoint)),
    };
    let above = options.above.map(Value::from);
    let above = above.map(|n| Criterion::compile("$.n", "GreaterThan", Some(n), None));
    Subscription {
        criteria: above.and_then(Result::ok).into_iter().collect(),
        when: options.when.and_then(|when| Expression::compile(when).ok()),
        order: options.order,
        on_exhausted: options.on_exhausted,
        start: options.start,
        ..Subscription::new(
            name('s', number),
            options.sources.clone(),
            types
                .filter_map(|text| TypePattern::parse(text).ok())
                .collect(),
            target,
            name('p', options.policy),
        )
    }
}

fn endpoint(number: usize, options: &EndpointOptions) -> Option<Endpoint> {
    let url = format!("http://e{number}.invalid/").parse().ok()?;
    Some(Endpoint {
        timeout_ms: options.timeout_ms,
        concurrency: options.concurrency,
        rate: options.rate,
        adaptive: options.adaptive,
        retry_budget: options.retry_budget,
        breaker: options.breaker.clone(),
        auth: Some(Auth::Bearer(SecretRef::Named(name('k', number)))),
        ..Endpoint::new(name('e', number), url)
    })
}

impl World {
    /// Somebody changes the configuration.
    pub(super) fn change_plan(&mut self) {
        let kind = self.config.change(&mut self.entropy);
        self.note("configuration changed (kind)", [kind, 0, 0]);
        let at_ms = self.after(0, 1_000);
        self.queue
            .push(at_ms, super::Happening::Replan(self.processes));
    }

    /// Somebody switches a subscription off, or on.
    pub(super) fn switch_subscription(&mut self) {
        let (number, enabled) = self.config.switch(&mut self.entropy);
        self.note("switched (subscription, on)", [number, enabled.into(), 0]);
        let at_ms = self.after(0, 1_000);
        self.queue
            .push(at_ms, super::Happening::Replan(self.processes));
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
        for endpoint in told.endpoints.values_mut() {
            let endpoint = Arc::make_mut(endpoint);
            if self.is_sabotaged(Sabotage::EditIgnored) {
                endpoint.url.set_path("/");
            }
            if self.is_sabotaged(Sabotage::SlotTooMany) {
                endpoint.concurrency += 1;
            }
            if self.is_sabotaged(Sabotage::RateIgnored) {
                endpoint.rate = None;
            }
        }
        if self.is_sabotaged(Sabotage::SwitchIgnored) {
            for subscription in told.subscriptions.values_mut() {
                Arc::make_mut(subscription).enabled = true;
            }
        }
        if self.is_sabotaged(Sabotage::HaltIgnored) {
            for subscription in told.subscriptions.values_mut() {
                let subscription = Arc::make_mut(subscription);
                if subscription.order != Order::None {
                    subscription.on_exhausted = switchhook_core::subscription::OnExhausted::Skip;
                }
            }
        }
        told
    }
}
