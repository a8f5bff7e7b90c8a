//! The plan: all checked resources that are in force at one moment.
//!
//! A plan is whole: every name that a resource mentions exists in it. It is swapped as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delivery::Place;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::group::Group;
use crate::retry::Policy;
use crate::source::Source;
use crate::subscription::{Subscription, Target};

/// Most resources of one kind; a bound on memory and on the work of one swap.
pub const RESOURCES_MAX: usize = 10_000;

/// All checked resources by name.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Ways in.
    pub sources: BTreeMap<Arc<str>, Arc<Source>>,
    /// Where deliveries go.
    pub endpoints: BTreeMap<Arc<str>, Arc<Endpoint>>,
    /// What goes where.
    pub subscriptions: BTreeMap<Arc<str>, Arc<Subscription>>,
    /// Endpoints that share subscriptions.
    pub groups: BTreeMap<Arc<str>, Arc<Group>>,
    /// How hard to try.
    pub policies: BTreeMap<Arc<str>, Arc<Policy>>,
    /// Requests under way at once, over all endpoints; 0 stands for [`SLOTS_DEFAULT`].
    pub slots: usize,
}

/// Requests under way at once over all endpoints, unless the configuration says otherwise: four full
/// endpoints of the largest concurrency.
pub const SLOTS_DEFAULT: usize = 4_096;

impl Plan {
    /// Requests under way at once over all endpoints.
    #[must_use]
    pub const fn slots_or_default(&self) -> usize {
        if self.slots == 0 {
            SLOTS_DEFAULT
        } else {
            self.slots
        }
    }

    /// Into how many partitions the deliveries of `subscription` are divided.
    #[must_use]
    pub fn partitions(&self, subscription: &Subscription) -> u16 {
        self.group_of(subscription)
            .map_or(1, |group| group.partitions_for(subscription.types.len()))
    }

    /// The group whose members `subscription` sends to, if it has one.
    #[must_use]
    pub fn group_of(&self, subscription: &Subscription) -> Option<&Arc<Group>> {
        match &subscription.target {
            Target::Endpoint(_) => None,
            Target::Group(name) => self.groups.get(name),
        }
    }

    /// Where the delivery of `event` for `subscription` stands.
    #[must_use]
    pub fn place(&self, subscription: &Subscription, event: &Event) -> Place {
        let group = self.group_of(subscription);
        subscription.place(group.map(|group| &**group), event)
    }

    /// What decides where the deliveries of a subscription stand, as a text that is equal where they stand equally.
    #[must_use]
    pub fn layout(&self, subscription: &Subscription) -> String {
        subscription.layout(self.group_of(subscription).map(|group| &**group))
    }
}
