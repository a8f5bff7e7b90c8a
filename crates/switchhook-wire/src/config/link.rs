//! Linking: whether every name that is mentioned exists, and whether what is named fits together.
//!
//! * A need that nothing meets is a problem with the nearest name.
//! * An `order` that is not written is `key` where every source of the subscription is named and is one of Genesys
//!   Cloud that gives a key, else `none`: `*` takes from sources that are added later, and an order must not change then.
//! * `strict` needs one partition, `halt` needs an order, `key` needs sources that give one.
//! * A group takes a subscription within its limits (seed 001), and by event type only one that lists types.

use std::sync::Arc;

use switchhook_core::event::OWN_SOURCE;
use switchhook_core::group::{Affinity, LimitError, check_limits};
use switchhook_core::plan::RESOURCES_MAX;
use switchhook_core::subscription::{OnExhausted, Order, Subscription, Target as To};

use super::codes::{self, Code};
use super::declared::{Declared, Entries};
use super::kind::Kind;
use super::name::is_name;
use super::problem::{Place, Problem, Spot};
use super::read::{Report, nearest, shown};
use super::{group, subscription};

/// A name that must exist, and where it is mentioned.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) spot: Spot,
    pub(super) target: Target,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Secret(Arc<str>),
    Source(Arc<str>),
    Endpoint(Arc<str>),
    Group(Arc<str>),
    Policy(Arc<str>),
    Subscription(Arc<str>),
    /// Ingest must listen on loopback, since the source verifies nothing.
    LoopbackIngest,
}

impl Declared {
    /// Reports every need that nothing meets, and every kind of which there are too many.
    pub(super) fn link(&self, report: &mut Report) {
        let sizes = [
            (Kind::Source, self.sources.len()),
            (Kind::Policy, self.policies.len()),
            (Kind::Endpoint, self.endpoints.len()),
            (Kind::Group, self.groups.len()),
            (Kind::Subscription, self.subscriptions.len()),
        ];
        for (kind, size) in sizes.into_iter().filter(|(_, size)| *size > RESOURCES_MAX) {
            let message = format!(
                "{size} {} are too many, at most {RESOURCES_MAX} are allowed",
                kind.plural()
            );
            let spot = Spot {
                place: Place {
                    path: kind.name().to_owned(),
                    ..Place::default()
                },
                snippet: None,
            };
            report.push(Problem::new(codes::TOO_MANY, spot, message, None));
        }
        for need in &self.needs {
            if let Some((code, message, hint)) = self.unmet(&need.target) {
                report.push(Problem::new(code, need.spot.clone(), message, Some(hint)));
            }
        }
    }

    /// What is wrong with a need, if anything is: code, message and hint.
    fn unmet(&self, target: &Target) -> Option<(&'static Code, String, String)> {
        match target {
            Target::Secret(name) if !self.secrets.contains(name) => Some((
                codes::UNKNOWN_SECRET,
                format!("secret `{}` is not configured", shown(name)),
                self.place_for_secret(name),
            )),
            Target::Source(name) if **name != *OWN_SOURCE => {
                self.missing(Kind::Source, name, &self.sources)
            }
            Target::Endpoint(name) => self.missing(Kind::Endpoint, name, &self.endpoints),
            Target::Group(name) => self.missing(Kind::Group, name, &self.groups),
            Target::Policy(name) => self.missing(Kind::Policy, name, &self.policies),
            Target::Subscription(name) => {
                self.missing(Kind::Subscription, name, &self.subscriptions)
            }
            Target::LoopbackIngest if self.ingest_is_public => Some((
                codes::UNVERIFIED,
                "nothing is verified, and `server.ingest` is not a loopback address".to_owned(),
                "choose a scheme, or write `allow_unverified = true` on the source".to_owned(),
            )),
            Target::Secret(_) | Target::Source(_) | Target::LoopbackIngest => None,
        }
    }

    /// What to do about a secret that is nowhere.
    fn place_for_secret(&self, name: &str) -> String {
        let known: Vec<&str> = self.secrets.iter().map(|name| &**name).collect();
        let near = Some(nearest(name, &known)).filter(|near| near.starts_with("did"));
        match near {
            near if self.keeps_secrets && is_name(name) => {
                let place = format!("set it with `switchhook secret set {name}`");
                near.map_or(place.clone(), |near| format!("{near} If not, {place}"))
            }
            Some(near) => near,
            None => format!(
                "add `[secret.{}]` with `file = \"…\"` or `env = \"…\"`",
                shown(name)
            ),
        }
    }

    fn missing<T>(
        &self,
        kind: Kind,
        name: &str,
        entries: &Entries<T>,
    ) -> Option<(&'static Code, String, String)> {
        if entries.contains_key(name) || self.broken.contains(&(kind, name.to_owned())) {
            return None;
        }
        let broken = self.broken.iter().filter(|(broken, _)| *broken == kind);
        let mut known: Vec<&str> = entries.keys().map(|name| &**name).collect();
        known.extend(broken.map(|(_, name)| name.as_str()));
        // All names of a large configuration would not help anyone.
        let hint = match nearest(name, &known) {
            near if near.starts_with("did") || (1..=10).contains(&known.len()) => near,
            _ => format!("declare `[{}.{}]`", kind.name(), shown(name)),
        };
        Some((
            codes::UNKNOWN_REFERENCE,
            format!("there is no {} `{}`", kind.name(), shown(name)),
            hint,
        ))
    }

    /// The subscription of a draft, with its order decided and judged.
    pub(super) fn settled(
        &self,
        draft: &subscription::Draft,
        report: &mut Report,
    ) -> Arc<Subscription> {
        let subscription = &draft.subscription;
        let order = draft
            .order
            .unwrap_or_else(|| self.usual_order(subscription));
        // Strict order holds without keys.
        if draft.order == Some(Order::Key) && self.gives_no_key(subscription) {
            let message = "none of the sources gives a key, so no delivery waits for another";
            let hint = "write `key = [\"/pointer\"]` at a source, or `order = \"none\"`".to_owned();
            tell(codes::NO_KEY, &draft.spots.order, message, hint, report);
        }
        if order == Order::None && subscription.on_exhausted == OnExhausted::Halt {
            let message = "`on_exhausted = \"halt\"` says what later events of a key wait for, and \
                           without an order none waits";
            let hint = "write `order = \"key\"`, or remove `on_exhausted`".to_owned();
            tell(
                codes::CONFLICT,
                &draft.spots.on_exhausted,
                message,
                hint,
                report,
            );
        }
        if let To::Group(name) = &subscription.target
            && let Some(entry) = self.groups.get(name)
        {
            check_group(draft, &entry.value, order, report);
        }
        if order == subscription.order {
            return Arc::clone(subscription);
        }
        let mut settled = Subscription::clone(subscription);
        settled.order = order;
        Arc::new(settled)
    }

    /// The order of a subscription that says nothing about it.
    fn usual_order(&self, subscription: &Subscription) -> Order {
        let is_keyed = |name: &Arc<str>| {
            let entry = self.sources.get(name);
            entry.is_some_and(|entry| entry.value.is_genesys && !entry.value.source.key.is_empty())
        };
        if subscription.sources.iter().all(is_keyed) {
            Order::Key
        } else {
            Order::None
        }
    }

    /// Whether all sources are known, and none gives a key. Our own events have that of what they tell about.
    fn gives_no_key(&self, subscription: &Subscription) -> bool {
        subscription.sources.iter().all(|name| {
            let entry = self.sources.get(name);
            entry.is_some_and(|entry| entry.value.source.key.is_empty())
        })
    }
}

fn check_group(
    draft: &subscription::Draft,
    into: &group::Draft,
    order: Order,
    report: &mut Report,
) {
    let group = &into.group;
    let types = draft.subscription.types.len();
    for error in check_limits(group, types, into.limits) {
        // What is wrong with the group alone has been said there.
        let hint = match error {
            LimitError::NoMember | LimitError::Members { .. } => continue,
            LimitError::NoType => "list the types, or send to an `endpoint`",
            LimitError::Types { .. } => "`types_per_member_max` of the group can be raised to 1000",
        };
        tell(
            codes::GROUP_LIMIT,
            &draft.spots.types,
            &error.to_string(),
            hint.to_owned(),
            report,
        );
    }
    let partitions = group.partitions_for(types);
    if order == Order::Strict && partitions > 1 {
        let message = format!(
            "strict order needs one partition, group `{}` has {partitions}",
            group.name
        );
        let hint = match group.affinity {
            Affinity::Key => "write `partitions = 1` in the group, or `order = \"key\"`",
            Affinity::EventType => "list one event type, or use a group with `affinity = \"key\"`",
        };
        tell(
            codes::CONFLICT,
            &draft.spots.order,
            &message,
            hint.to_owned(),
            report,
        );
    }
    if group.affinity == Affinity::EventType {
        check_types(draft, into, order, report);
    }
}

/// A group by event type: one partition for each type, given to the members in turn.
fn check_types(
    draft: &subscription::Draft,
    into: &group::Draft,
    order: Order,
    report: &mut Report,
) {
    let (types, members) = (draft.subscription.types.len(), into.group.members.len());
    let spots = &draft.spots;
    if draft.takes_all {
        let message = "a group with `affinity = \"event-type\"` divides by the types that are listed, and `*` takes all";
        let hint = "list the types, or write `affinity = \"key\"` in the group".to_owned();
        tell(codes::TYPES_NEEDED, &spots.types, message, hint, report);
    } else if (1..members).contains(&types) {
        let message =
            format!("{types} event types are divided among {members} endpoints: some get none");
        let hint =
            "list every type by itself, or write `affinity = \"key\"` in the group".to_owned();
        tell(codes::IDLE_MEMBERS, &spots.types, &message, hint, report);
    }
    if draft.order == Some(order) && order == Order::Key && types > 1 {
        let message =
            "the group divides by event type, so order is kept only among events of one type";
        let hint = "for order over all types write `affinity = \"key\"` in the group".to_owned();
        tell(codes::ORDER_BY_TYPE, &spots.order, message, hint, report);
    }
}

fn tell(code: &Code, spot: &Spot, message: &str, hint: String, report: &mut Report) {
    report.push(Problem::new(
        code,
        spot.clone(),
        message.to_owned(),
        Some(hint),
    ));
}
