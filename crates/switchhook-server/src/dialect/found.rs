//! Webhooks among the resources: a subscription, its endpoint (or the first member of its group) and its policy.
//!
//! The tag of a webhook is made of those of its parts. Its version counts their changes: it is that of the subscription,
//! and one more for each change of the other two. It does not grow where a part is replaced by another that has changed
//! less; the tag tells every two states apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use switchhook_core::retry::Policy;
use switchhook_core::subscription::{Subscription, Target};
use switchhook_wire::api::ResourceView;
use switchhook_wire::config::{Kind, Listed};
use switchhook_wire::dialect::{Parts, Webhook, view};
use uuid::Uuid;

use crate::control::resources::Resources;

/// The parts of one webhook, as they are in force.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) id: Uuid,
    pub(super) subscription: ResourceView,
    pub(super) endpoint: ResourceView,
    /// The built-in policy too.
    pub(super) policy: ResourceView,
    /// The group whose first member [`Found::endpoint`] is.
    pub(super) group: Option<ResourceView>,
    pub(super) retry: Arc<Policy>,
}

/// The webhook with this id.
pub(super) fn by_id(resources: &Resources, id: Uuid) -> Option<Found> {
    let plan = resources.plan();
    let subscription = plan.subscriptions.values().find(|it| it.id == id)?;
    of(resources, subscription, |kind, name| {
        resources.listed(kind, name)
    })
}

/// The webhook that is the subscription of this name.
pub(super) fn by_name(resources: &Resources, name: &str) -> Option<Found> {
    let plan = resources.plan();
    let subscription = plan.subscriptions.get(name)?;
    of(resources, subscription, |kind, name| {
        resources.listed(kind, name)
    })
}

/// Every webhook, by the name of its subscription.
pub(super) fn all(resources: &Resources) -> Vec<Found> {
    let listed = Kind::ALL
        .into_iter()
        .flat_map(|kind| resources.of_kind(kind));
    let by_name: BTreeMap<(Kind, &str), &Listed> = listed
        .map(|listed| ((listed.kind, &*listed.name), listed))
        .collect();
    let plan = resources.plan();
    let find = |kind: Kind, name: &str| by_name.get(&(kind, name)).copied();
    let subscriptions = plan.subscriptions.values();
    subscriptions
        .filter_map(|subscription| of(resources, subscription, find))
        .collect()
}

fn of<'r>(
    resources: &'r Resources,
    subscription: &Subscription,
    find: impl Fn(Kind, &str) -> Option<&'r Listed>,
) -> Option<Found> {
    let plan = resources.plan();
    let of = |kind, name: &str| find(kind, name).map(|listed| resources.view(listed));
    let (endpoint, group) = match &subscription.target {
        Target::Endpoint(endpoint) => (of(Kind::Endpoint, endpoint)?, None),
        Target::Group(group) => {
            let members = &plan.groups.get(group)?.members;
            let first = of(Kind::Endpoint, members.first()?)?;
            (first, Some(of(Kind::Group, group)?))
        }
    };
    Some(Found {
        id: subscription.id,
        subscription: of(Kind::Subscription, &subscription.name)?,
        endpoint,
        policy: of(Kind::Policy, &subscription.policy)?,
        group,
        retry: plan.policies.get(&subscription.policy)?.clone(),
    })
}

impl Found {
    fn parts(&self) -> impl Iterator<Item = &ResourceView> {
        [&self.subscription, &self.endpoint, &self.policy]
            .into_iter()
            .chain(&self.group)
    }

    /// See the module.
    pub(super) fn version(&self) -> u64 {
        let changes = self.parts().map(|part| part.version.saturating_sub(1));
        1 + changes.sum::<u64>()
    }

    /// See the module.
    pub(super) fn etag(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.parts() {
            hash.update(&part.etag);
        }
        let hex = data_encoding::HEXLOWER.encode(hash.finalize().get(..8).unwrap_or_default());
        format!("\"{hex}\"")
    }

    /// How every dialect sees it.
    pub(super) fn webhook(&self) -> Webhook {
        view(Parts {
            id: self.id,
            name: &self.subscription.name,
            subscription: &self.subscription.body,
            endpoint: &self.endpoint.body,
            policy: &self.retry,
            version: self.version(),
            etag: &self.etag(),
        })
    }
}

/// The body of a resource with its literal secrets, where it is one of the API, else as it is shown.
pub(super) fn whole_body(resources: &Resources, kind: Kind, shown: &ResourceView) -> Value {
    let whole = resources.body(kind, &shown.name);
    whole.unwrap_or(&shown.body).clone()
}
