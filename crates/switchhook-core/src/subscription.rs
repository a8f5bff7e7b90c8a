//! A subscription: which events go where, in which order and shape, and how hard to try.

use std::sync::Arc;

use crate::criteria::Criterion;
use crate::delivery::Place;
use crate::envelope::Format;
use crate::event::Event;
use crate::expression::{Expression, Subject, Truth};
use crate::filter::TypePattern;
use crate::group::{self, Affinity, Group, KeyHash};
use crate::id::Offset;
use crate::time::UnixMs;
use crate::transform::Transform;

/// Sources and event types that go to an endpoint or group under a policy.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its name.
    pub name: Arc<str>,
    /// Names of the sources it takes from; [`crate::event::OWN_SOURCE`] is one.
    pub sources: Vec<Arc<str>>,
    /// Event types it takes: any of these.
    pub types: Vec<TypePattern>,
    /// What the body must be like: all of these.
    pub criteria: Vec<Criterion>,
    /// What else must hold.
    pub when: Option<Expression>,
    /// What is made of the body.
    pub transform: Transform,
    /// What it is wrapped in.
    pub format: Format,
    /// Where to.
    pub target: Target,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Which deliveries wait for each other.
    pub order: Order,
    /// What happens to the later events of a key when one is given up.
    pub on_exhausted: OnExhausted,
    /// Where a new subscription begins in the log.
    pub start: Start,
}

/// Where the deliveries of a subscription go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The endpoint of this name.
    Endpoint(Arc<str>),
    /// The members of the group of this name.
    Group(Arc<str>),
}

/// Which deliveries of a subscription wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// None.
    None,
    /// Those of one key: one at a time, in the order of the log. A failing key holds only itself.
    Key,
    /// All of a partition: one at a time, in the order of the log. A failing event holds everything.
    Strict,
}

/// What happens to the later events of a key when one is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhausted {
    /// They go on; the dead letter marks the gap.
    Skip,
    /// They wait until the dead letter is replayed or discarded.
    Halt,
}

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the next event accepted.
    Now,
    /// With the oldest event still in the log.
    Earliest,
    /// With this position of the log, or the oldest after it.
    At(Offset),
    /// With the first event accepted at or after this time.
    Since(UnixMs),
}

/// Whether a subscription takes an event, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// It does.
    Taken,
    /// It does not.
    PassedOver(Mismatch),
    /// Its filter failed on the event; the text says how.
    Failed(Arc<str>),
}

/// The first thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The event comes from another source.
    Source,
    /// Its type fits no pattern.
    Type,
    /// The criterion at this place of the list does not hold.
    Criterion(usize),
    /// `when` is false.
    When,
    /// `when` asks for something that the event does not have.
    Missing(String),
}

/// The one key of all events of a partition with [`Order::Strict`].
pub const STRICT_KEY: KeyHash = KeyHash(0);

impl Subscription {
    /// One that takes all events of `sources` as they are, in no order, from now on.
    #[must_use]
    pub fn new(
        name: impl Into<Arc<str>>,
        sources: Vec<Arc<str>>,
        types: Vec<TypePattern>,
        target: Target,
        policy: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            name: name.into(),
            sources,
            types,
            criteria: Vec::new(),
            when: None,
            transform: Transform::None,
            format: Format::Raw,
            target,
            policy: policy.into(),
            order: Order::None,
            on_exhausted: OnExhausted::Skip,
            start: Start::Now,
        }
    }

    /// Whether `event` is for this subscription.
    #[must_use]
    pub fn select(&self, event: &Event) -> Selection {
        if !self.sources.contains(&event.source) {
            return Selection::PassedOver(Mismatch::Source);
        }
        if !self
            .types
            .iter()
            .any(|pattern| pattern.matches(&event.kind))
        {
            return Selection::PassedOver(Mismatch::Type);
        }
        if self.criteria.is_empty() && self.when.is_none() {
            return Selection::Taken;
        }
        self.select_by_content(&Subject::new(event))
    }

    /// Where the delivery of `event` stands; `group` is the one that [`Subscription::target`] names.
    #[must_use]
    pub fn place(&self, group: Option<&Group>, event: &Event) -> Place {
        let partition = group.map_or(0, |group| {
            group::partition_of_event(group, &self.types, event)
        });
        let place = Place::of(event, partition);
        match self.order {
            Order::None | Order::Key => place,
            Order::Strict => Place {
                key: Some(STRICT_KEY),
                ..place
            },
        }
    }

    /// What decides where deliveries stand, as a text that is equal where they stand equally: the partitions of `group`,
    /// and whether the order is strict.
    #[must_use]
    pub fn layout(&self, group: Option<&Group>) -> String {
        let strict = match self.order {
            Order::Strict => "strict ",
            Order::None | Order::Key => "",
        };
        match group {
            Some(group) if group.affinity == Affinity::EventType => {
                let types: Vec<String> = self.types.iter().map(ToString::to_string).collect();
                format!("{strict}types {}", types.join(" "))
            }
            Some(group) => format!("{strict}keys {}", group.partitions_for(self.types.len())),
            None => format!("{strict}keys 1"),
        }
    }

    fn select_by_content(&self, subject: &Subject<'_>) -> Selection {
        let body = subject.json();
        let holds = |criterion: &Criterion| body.is_some_and(|body| criterion.matches(body));
        if let Some(at) = self.criteria.iter().position(|criterion| !holds(criterion)) {
            return Selection::PassedOver(Mismatch::Criterion(at));
        }
        match self.when.as_ref().map(|when| when.is_true(subject)) {
            None | Some(Ok(Truth::True)) => Selection::Taken,
            Some(Ok(Truth::False)) => Selection::PassedOver(Mismatch::When),
            Some(Ok(Truth::Missing(what))) => Selection::PassedOver(Mismatch::Missing(what)),
            Some(Err(error)) => Selection::Failed(error.to_string().into()),
        }
    }
}
