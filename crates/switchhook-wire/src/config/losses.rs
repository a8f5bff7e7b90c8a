//! What a new configuration takes from deliveries that the old one holds, so that a caller can ask first.
//!
//! Nothing here is lost for ever: events stay in the log, and rows stay in the store. But deliveries that
//! wait would stop, move, or overtake each other, and whoever changes the configuration should know.

use std::sync::Arc;

use switchhook_core::plan::Plan;
use switchhook_core::subscription::{OnExhausted, Order, Subscription, Target};

/// Something that happens to the waiting deliveries of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Its name.
    pub subscription: Arc<str>,
    /// What happens.
    pub kind: LossKind,
    /// The same in one sentence, without a full stop.
    pub text: String,
}

/// What happens to waiting deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossKind {
    /// They stop: their subscription is gone.
    Vanishes,
    /// They go to another endpoint or group than they were made for.
    Target,
    /// They are divided into other partitions.
    Partitions,
    /// They no longer wait for each other as they did.
    Order,
}

impl LossKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vanishes => "vanishes",
            Self::Target => "target",
            Self::Partitions => "partitions",
            Self::Order => "order",
        }
    }
}

/// Everything that going from `old` to `new` does to waiting deliveries, by subscription. Whether any wait is
/// not known here.
#[must_use]
pub fn losses(old: &Plan, new: &Plan) -> Vec<Loss> {
    let mut losses = Vec::new();
    for (name, was) in &old.subscriptions {
        let mut add = |kind, text| {
            losses.push(Loss {
                subscription: Arc::clone(name),
                kind,
                text,
            });
        };
        let Some(is) = new.subscriptions.get(name) else {
            let text = format!(
                "subscription `{name}` is gone: its waiting deliveries stop, and go on only when it is made again"
            );
            add(LossKind::Vanishes, text);
            continue;
        };
        if was.target != is.target {
            let (from, to) = (described(&was.target), described(&is.target));
            let text = format!("subscription `{name}`: what waits for {from} goes to {to}");
            add(LossKind::Target, text);
        }
        let (from, to) = (old.partitions(was), new.partitions(is));
        if from != to {
            let text = format!(
                "subscription `{name}`: the number of partitions goes from {from} to {to}; requests under way end \
                 first, then every partition begins at the earliest position that one had"
            );
            add(LossKind::Partitions, text);
        }
        if let Some(text) = order_text(was, is) {
            add(LossKind::Order, format!("subscription `{name}`: {text}"));
        }
    }
    losses
}

/// What a change of order or of its end does, if it lets anything overtake.
fn order_text(was: &Subscription, is: &Subscription) -> Option<&'static str> {
    match (was.order, is.order) {
        (Order::Key | Order::Strict, Order::None) => Some(
            "order is no longer kept: held deliveries start at once and may overtake each other",
        ),
        (Order::Strict, Order::Key) => {
            Some("order is kept by key only: held deliveries of other keys start at once")
        }
        (Order::None, Order::Key | Order::Strict) => Some(
            "deliveries wait for each other from now on; those that wait for a retry may have been overtaken already",
        ),
        (Order::Key, Order::Strict) => {
            Some("all deliveries wait for each other: one that fails holds every key")
        }
        (Order::None, Order::None) | (Order::Key, Order::Key) | (Order::Strict, Order::Strict) => {
            let goes_on =
                (was.on_exhausted, is.on_exhausted) == (OnExhausted::Halt, OnExhausted::Skip);
            let text = "keys that halted stay so until their dead letter is replayed or discarded; new ones go on";
            (goes_on && was.order != Order::None).then_some(text)
        }
    }
}

fn described(target: &Target) -> String {
    match target {
        Target::Endpoint(name) => format!("endpoint `{name}`"),
        Target::Group(name) => format!("group `{name}`"),
    }
}
