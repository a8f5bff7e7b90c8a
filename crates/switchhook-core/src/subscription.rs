//! A subscription: which events go where, in which order and shape, and how hard to try.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::criteria::Criterion;
use crate::delivery::Place;
use crate::envelope::Format;
use crate::event::{Event, OWN_SOURCE};
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
    /// Its [`id`]: every dialect knows it by this, and receivers are told it.
    pub id: Uuid,
    /// Whether anything is sent. If not, everything is kept, as with a pause. The two are apart: a pause is a person's
    /// doing, this is what the configuration says.
    pub enabled: bool,
    /// Names of the sources it takes from; [`OWN_SOURCE`] is one, and [`ALL_SOURCES`] stands for all others.
    pub sources: Vec<Arc<str>>,
    /// Event types it takes: any of these.
    pub types: Vec<TypePattern>,
    /// What must hold of an event of the type at this place of [`Subscription::types`]; a type without an entry takes all.
    pub filters: BTreeMap<usize, Expression>,
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

/// In place of the name of a source: all of them but [`OWN_SOURCE`], whose events must be asked for.
pub const ALL_SOURCES: &str = "*";

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
    /// Its type fits, and the filter of no pattern that it fits holds.
    Filter {
        /// The place of the first such pattern in [`Subscription::types`].
        at: usize,
        /// What its filter asks for, where the event does not have it; else it is false.
        missing: Option<String>,
    },
    /// The criterion at this place of the list does not hold.
    Criterion(usize),
    /// `when` is false.
    When,
    /// `when` asks for something that the event does not have.
    Missing(String),
}

/// The id of the subscription called `name`: a UUID of version 8 made of the SHA-256 of the name, so that every dialect
/// and every restart knows it by the same one. `X-Integration-Id` carries it.
#[must_use]
pub fn id(name: &str) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"switchhook subscription\n");
    hash.update(name);
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
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
        let name = name.into();
        Self {
            id: id(&name),
            name,
            enabled: true,
            sources,
            types,
            filters: BTreeMap::new(),
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

    /// Whether `event` is for this subscription. Asked in this order: source, type, the filter of the type, criteria, `when`.
    #[must_use]
    pub fn select(&self, event: &Event) -> Selection {
        if !self.takes_from(&event.source) {
            return Selection::PassedOver(Mismatch::Source);
        }
        let subject = Subject::new(event);
        match self.select_by_type(&event.kind, &subject) {
            Selection::Taken => self.select_by_content(&subject),
            other @ (Selection::PassedOver(_) | Selection::Failed(_)) => other,
        }
    }

    /// Whether it takes events of the source of this name.
    #[must_use]
    pub fn takes_from(&self, source: &str) -> bool {
        let mut own = self.sources.iter();
        own.any(|own| **own == *source || (**own == *ALL_SOURCES && source != OWN_SOURCE))
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

    /// Any type that fits and whose filter holds takes the event. Where none does, a filter that failed comes first: nobody
    /// can say whether the event is wanted.
    fn select_by_type(&self, kind: &str, subject: &Subject<'_>) -> Selection {
        let mut found = Selection::PassedOver(Mismatch::Type);
        let types = self.types.iter().enumerate();
        for (at, _) in types.filter(|(_, pattern)| pattern.matches(kind)) {
            let Some(filter) = self.filters.get(&at) else {
                return Selection::Taken;
            };
            let missing = match filter.is_true(subject) {
                Ok(Truth::True) => return Selection::Taken,
                Ok(Truth::False) => None,
                Ok(Truth::Missing(what)) => Some(what),
                Err(error) => {
                    if !matches!(found, Selection::Failed(_)) {
                        found = Selection::Failed(error.to_string().into());
                    }
                    continue;
                }
            };
            if found == Selection::PassedOver(Mismatch::Type) {
                found = Selection::PassedOver(Mismatch::Filter { at, missing });
            }
        }
        found
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

#[cfg(test)]
mod tests;
