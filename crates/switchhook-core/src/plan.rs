//! The plan: all checked resources that are in force at one moment.
//!
//! A plan is whole: every name that a resource mentions exists in it. It is swapped as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::retry::Policy;
use crate::source::Source;
use crate::subscription::Subscription;

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
    /// How hard to try.
    pub policies: BTreeMap<Arc<str>, Arc<Policy>>,
}
