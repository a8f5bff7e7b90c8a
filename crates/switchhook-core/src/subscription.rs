//! A subscription: which events go to which endpoint, and how hard to try.

use std::sync::Arc;

use crate::event::Event;
use crate::filter::TypePattern;

/// Sources and event types that go to an endpoint under a policy.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its name.
    pub name: Arc<str>,
    /// Names of the sources it takes from; [`crate::event::OWN_SOURCE`] is one.
    pub sources: Vec<Arc<str>>,
    /// Event types it takes: any of these.
    pub types: Vec<TypePattern>,
    /// Name of the endpoint.
    pub endpoint: Arc<str>,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Where a new subscription begins in the log.
    pub start: Start,
}

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the next event accepted.
    Now,
    /// With the oldest event still in the log.
    Earliest,
}

impl Subscription {
    /// Whether `event` is for this subscription.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        self.sources.contains(&event.source)
            && self
                .types
                .iter()
                .any(|pattern| pattern.matches(&event.kind))
    }
}
