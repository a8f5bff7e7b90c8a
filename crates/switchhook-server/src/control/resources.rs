//! The resources in force: those of the configuration file, those made through the API, and the plan of both.
//!
//! A resource has one owner. What the file declares can only be changed there; what was made here is kept in the store.
//! A change is first tried on a copy, so that one that breaks a rule leaves everything as it was. The copy is whole: it is
//! put in force as one. Literal secrets are masked in what is shown; see `switchhook_wire::config`.
//!
//! A secret is one of the file, or one that the store keeps; the file's wins where both have the name. A resource that was
//! accepted keeps its secrets: if one is deleted by force, requests fail at its use, as with every file that cannot be
//! read, and neither a start nor another resource is refused for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::{self, Subscription, Target};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Resource;
use switchhook_wire::api::{Owner, ResourceView, time::rfc3339};
use switchhook_wire::config::{
    ApiResource, Config, Declared, Kind, Listed, Merged, Problem, SecretOrigin, secrets_in,
};

use super::precondition::etag;
use crate::secrets::Origin;

/// Names of the secrets in the store.
pub(super) type Names = BTreeSet<Arc<str>>;

/// See the module.
#[derive(Debug, Clone)]
pub struct Resources {
    declared: Declared,
    /// Those of the file.
    secrets: BTreeMap<Arc<str>, SecretOrigin>,
    /// Those of the store, and what resources mention besides.
    kept: Names,
    api: BTreeMap<(Kind, String), Made>,
    /// Versions of those that were deleted: one that is made again goes on from there.
    gone: BTreeMap<(Kind, String), u64>,
    plan: Arc<Plan>,
    listed: Vec<Listed>,
}

/// A resource that was made through the API.
#[derive(Debug, Clone)]
struct Made {
    body: Value,
    version: u64,
    managed_by: Option<Arc<str>>,
    updated_at: UnixMs,
}

/// A change of one resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
    /// What it becomes, in the shape of the configuration file; `None` deletes it.
    pub(crate) body: Option<Value>,
}

impl Change {
    fn key(&self) -> (Kind, String) {
        (self.kind, self.name.clone())
    }
}

impl Resources {
    /// The resources of `config`, and the `names` of secrets and `rows` of the store.
    ///
    /// # Errors
    /// When they do not fit together: every problem.
    pub fn open(config: &Config, names: Names, rows: Vec<Resource>) -> Result<Self, Vec<Problem>> {
        let mut resources = Self {
            declared: config.declared.clone(),
            secrets: config.secrets.clone(),
            kept: names,
            api: BTreeMap::new(),
            gone: BTreeMap::new(),
            plan: Arc::default(),
            listed: Vec::new(),
        };
        resources.adopt(rows);
        resources.keep_mentioned(&BTreeSet::new());
        resources.merge()
    }

    /// The resources of the API beside those of another file.
    ///
    /// # Errors
    /// When they do not fit together: every problem.
    pub fn with_file(&self, config: &Config) -> Result<Self, Vec<Problem>> {
        let mut changed = self.clone();
        changed.declared = config.declared.clone();
        changed.secrets = config.secrets.clone();
        changed.keep_mentioned(&BTreeSet::new());
        changed.merge()
    }

    /// The plan that they make.
    #[must_use]
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.clone()
    }

    /// Where the secrets stand that they may name.
    #[must_use]
    pub fn secrets(&self) -> BTreeMap<Arc<str>, Origin> {
        let origin = |origin: &SecretOrigin| match origin {
            SecretOrigin::File(path) => Origin::File(path.clone()),
            SecretOrigin::Env(variable) => Origin::Env(variable.clone()),
        };
        let of_file = self
            .secrets
            .iter()
            .map(|(name, place)| (name.clone(), origin(place)));
        self.kept
            .iter()
            .map(|name| (name.clone(), Origin::Kept))
            .chain(of_file)
            .collect()
    }

    /// The secrets of the file and where each is read from; no value.
    pub(crate) fn secrets_of_file(&self) -> &BTreeMap<Arc<str>, SecretOrigin> {
        &self.secrets
    }

    /// These after `changes`, when the store has the secrets `names`. Nothing is changed here. A resource that is
    /// changed by hand stays with the file that declares it.
    ///
    /// # Errors
    /// Every problem that this would make.
    pub(super) fn with(
        &self,
        changes: &[Change],
        managed_by: Option<&Arc<str>>,
        names: Names,
        now: UnixMs,
    ) -> Result<Self, Vec<Problem>> {
        let mut changed = self.clone();
        changed.kept = names;
        for change in changes {
            let key = change.key();
            let before = changed.api.remove(&key);
            let version = before.as_ref().map(|made| made.version);
            let version = version.or_else(|| changed.gone.remove(&key)).unwrap_or(0) + 1;
            match &change.body {
                Some(body) => {
                    let made = Made {
                        body: body.clone(),
                        version,
                        managed_by: managed_by
                            .cloned()
                            .or_else(|| before.and_then(|made| made.managed_by)),
                        updated_at: now,
                    };
                    changed.api.insert(key, made);
                }
                None => {
                    changed.gone.insert(key, version);
                }
            }
        }
        changed.keep_mentioned(&changes.iter().map(Change::key).collect());
        changed.merge()
    }

    /// The secrets that resources mention after `changes`.
    pub(super) fn mentioned_after<'b>(&'b self, changes: &'b [Change]) -> BTreeSet<&'b str> {
        let changed: BTreeSet<_> = changes.iter().map(Change::key).collect();
        // A listed body is masked, and a text with more than a reference may be; so those of the API are taken whole.
        let of_file = self.listed.iter();
        let of_file = of_file.filter(|listed| listed.origin.owner == Owner::File);
        let stay = self.api.iter().filter(|(key, _)| !changed.contains(*key));
        let new = changes.iter().filter_map(|change| change.body.as_ref());
        of_file
            .map(|listed| &listed.body)
            .chain(stay.map(|(_, made)| &made.body))
            .chain(new)
            .flat_map(secrets_in)
            .collect()
    }

    /// Takes over what the store holds: its versions and times.
    fn adopt(&mut self, rows: Vec<Resource>) {
        for row in rows {
            let Some(kind) = Kind::from_name(&row.kind) else {
                tracing::warn!(
                    kind = &*row.kind,
                    name = &*row.name,
                    "a resource of an unknown kind is left alone"
                );
                continue;
            };
            let key = (kind, row.name.to_string());
            match row.body {
                Some(body) => {
                    let made = Made {
                        body: serde_json::from_str(&body).unwrap_or_default(),
                        version: row.version,
                        managed_by: row.managed_by,
                        updated_at: row.updated_at,
                    };
                    self.api.insert(key, made);
                }
                None => {
                    self.gone.insert(key, row.version);
                }
            }
        }
    }

    /// Keeps the secrets of all resources but `changed`: they were there when these were accepted.
    fn keep_mentioned(&mut self, changed: &BTreeSet<(Kind, String)>) {
        let kept = self.api.iter().filter(|(key, _)| !changed.contains(*key));
        let mentioned: BTreeSet<&str> = kept.flat_map(|(_, made)| secrets_in(&made.body)).collect();
        for name in mentioned {
            if !self.secrets.contains_key(name) && self.kept.insert(name.into()) {
                tracing::warn!(secret = name, "a secret that is mentioned has no value");
            }
        }
    }

    fn merge(mut self) -> Result<Self, Vec<Problem>> {
        let resource = |((kind, name), made): (&(Kind, String), &Made)| ApiResource {
            kind: *kind,
            name: name.clone(),
            body: made.body.clone(),
        };
        let api: Vec<ApiResource> = self.api.iter().map(resource).collect();
        let Merged {
            plan,
            problems,
            resources,
        } = self
            .declared
            .with_secrets(self.kept.iter().cloned())
            .with_api(&api);
        self.plan = Arc::new(plan.ok_or(problems)?);
        self.listed = resources;
        Ok(self)
    }

    /// Where `name` was declared.
    pub(crate) fn listed(&self, kind: Kind, name: &str) -> Option<&Listed> {
        self.listed
            .iter()
            .find(|listed| listed.kind == kind && *listed.name == *name)
    }

    /// All of this kind, by name.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Listed> {
        self.listed.iter().filter(move |listed| listed.kind == kind)
    }

    /// The body of a resource of the API as it was handed in, with the secrets written out in it: never to be shown.
    pub(crate) fn body(&self, kind: Kind, name: &str) -> Option<&Value> {
        let made = self.api.get(&(kind, name.to_owned()))?;
        Some(&made.body)
    }

    /// `listed` as it is shown.
    pub(crate) fn view(&self, listed: &Listed) -> ResourceView {
        let made = self
            .api
            .get(&(listed.kind, listed.name.to_string()))
            .filter(|_| listed.origin.owner == Owner::Api);
        let kind = listed.kind.name();
        let version = made.map_or(0, |made| made.version);
        ResourceView {
            kind: kind.to_owned(),
            name: listed.name.to_string(),
            id: (listed.kind == Kind::Subscription)
                .then(|| subscription::id(&listed.name).to_string()),
            version,
            etag: etag(kind, &listed.name, version, &listed.body),
            owner: listed.origin.owner,
            defined_at: listed.origin.defined_at.clone(),
            managed_by: made.and_then(|made| made.managed_by.as_deref().map(str::to_owned)),
            updated_at: made.map(|made| rfc3339(made.updated_at)),
            body: listed.body.clone(),
        }
    }

    /// The subscriptions and groups that mention `name`, with their kind.
    pub(crate) fn users(&self, kind: Kind, name: &str) -> Vec<String> {
        let mentions = |subscription: &Subscription| match kind {
            Kind::Source => subscription.sources.iter().any(|source| **source == *name),
            Kind::Endpoint => matches!(&subscription.target, Target::Endpoint(to) if **to == *name),
            Kind::Group => matches!(&subscription.target, Target::Group(to) if **to == *name),
            Kind::Policy => *subscription.policy == *name,
            Kind::Subscription => false,
        };
        let subscriptions = self.plan.subscriptions.values();
        let subscriptions = subscriptions
            .filter(|subscription| mentions(subscription))
            .map(|subscription| format!("subscription {}", subscription.name));
        let groups = self.plan.groups.values();
        let groups = groups
            .filter(|group| kind == Kind::Endpoint && group.members.iter().any(|m| **m == *name))
            .map(|group| format!("group {}", group.name));
        subscriptions.chain(groups).collect()
    }
}
