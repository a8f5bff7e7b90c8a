//! The resources in force: those of the configuration file, those made through the API, and the plan of both.
//!
//! A resource has one owner. What the file declares can only be changed there; what was made here is kept in the store.
//! A change is first tried on a copy, so that one that breaks a rule leaves everything as it was. The copy is whole: it is
//! put in force as one. Literal secrets are masked in what is shown; see `switchhook_wire::config`.
//!
//! A secret is one of the file, or a file in the directory of secrets; the file's wins where both have the name. A
//! resource that was accepted keeps its secrets: if a file goes away, requests fail at its use, as with every file that
//! cannot be read, and neither a start nor another resource is refused for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::{Subscription, Target};
use switchhook_store::batch::Resource;
use switchhook_wire::api::{Owner, ResourceView, time::rfc3339};
use switchhook_wire::config::{
    ApiResource, Config, Declared, Kind, Listed, Merged, Problem, SecretOrigin, secrets_in,
};

use crate::secrets::Origin;
use crate::secrets::directory::Directory;

/// Names of the files in the directory of secrets.
pub(super) type Names = BTreeSet<Arc<str>>;

/// See the module.
#[derive(Debug, Clone)]
pub struct Resources {
    declared: Declared,
    /// Those of the file.
    secrets: BTreeMap<Arc<str>, SecretOrigin>,
    directory: Directory,
    /// What was in the directory when a resource was last written, and what resources mention besides.
    in_directory: Names,
    api: BTreeMap<(Kind, String), Made>,
    plan: Arc<Plan>,
    listed: Vec<Listed>,
}

/// A resource that was made through the API.
#[derive(Debug, Clone)]
struct Made {
    body: Value,
    /// 0 until the store has given one.
    version: u64,
    updated_at: Option<String>,
}

impl Resources {
    /// The resources of `config`, the secrets in the directory, and `rows` of the store.
    ///
    /// # Errors
    /// When they do not fit together: every problem.
    pub fn open(
        config: &Config,
        (directory, names): (Directory, Names),
        rows: Vec<Resource>,
    ) -> Result<Self, Vec<Problem>> {
        let mut resources = Self {
            declared: config.declared.clone(),
            secrets: config.secrets.clone(),
            directory,
            in_directory: names,
            api: BTreeMap::new(),
            plan: Arc::default(),
            listed: Vec::new(),
        };
        resources.adopt(rows);
        resources.keep_mentioned(None);
        resources.merge()
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
        self.in_directory
            .iter()
            .map(|name| (name.clone(), Origin::File(self.directory.file(name))))
            .chain(of_file)
            .collect()
    }

    /// The secrets of the file and where each is read from; no value.
    pub(super) fn secrets_of_file(&self) -> &BTreeMap<Arc<str>, SecretOrigin> {
        &self.secrets
    }

    /// Where the other secrets are.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// These with `body` as `name`, or without `name`, while `names` are in the directory of secrets. Nothing is
    /// changed here.
    ///
    /// # Errors
    /// Every problem that this would make.
    pub(super) fn with(
        &self,
        kind: Kind,
        name: &str,
        body: Option<Value>,
        names: Names,
    ) -> Result<Self, Vec<Problem>> {
        let mut changed = self.clone();
        let key = (kind, name.to_owned());
        changed.in_directory = names;
        changed.keep_mentioned(Some(&key));
        match body {
            Some(body) => {
                let version = changed.api.get(&key).map_or(0, |made| made.version);
                changed.api.insert(
                    key,
                    Made {
                        body,
                        version,
                        updated_at: None,
                    },
                );
            }
            None => {
                changed.api.remove(&key);
            }
        }
        changed.merge()
    }

    /// Takes over what the store holds: its versions and times.
    pub(super) fn adopt(&mut self, rows: Vec<Resource>) {
        self.api.clear();
        for row in rows {
            let Some(kind) = Kind::from_name(&row.kind) else {
                tracing::warn!(
                    kind = &*row.kind,
                    name = &*row.name,
                    "a resource of an unknown kind is left alone"
                );
                continue;
            };
            let made = Made {
                body: serde_json::from_str(&row.body).unwrap_or_default(),
                version: row.version,
                updated_at: Some(rfc3339(row.updated_at)),
            };
            self.api.insert((kind, row.name.to_string()), made);
        }
    }

    /// Keeps the secrets of all resources but `changed`: they were there when these were accepted.
    fn keep_mentioned(&mut self, changed: Option<&(Kind, String)>) {
        let kept = self.api.iter().filter(|(key, _)| Some(*key) != changed);
        let mentioned: BTreeSet<&str> = kept.flat_map(|(_, made)| secrets_in(&made.body)).collect();
        for name in mentioned {
            if !self.secrets.contains_key(name) && self.in_directory.insert(name.into()) {
                let path = self.directory.file(name);
                tracing::warn!(secret = name, path = %path.display(), "the file of a secret is not there");
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
            .with_secrets(self.in_directory.iter().cloned(), self.directory.path())
            .with_api(&api);
        self.plan = Arc::new(plan.ok_or(problems)?);
        self.listed = resources;
        Ok(self)
    }

    /// Where `name` was declared.
    pub(super) fn listed(&self, kind: Kind, name: &str) -> Option<&Listed> {
        self.listed
            .iter()
            .find(|listed| listed.kind == kind && *listed.name == *name)
    }

    /// All of this kind, by name.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Listed> {
        self.listed.iter().filter(move |listed| listed.kind == kind)
    }

    /// `listed` as it is shown.
    pub(super) fn view(&self, listed: &Listed) -> ResourceView {
        let made = self
            .api
            .get(&(listed.kind, listed.name.to_string()))
            .filter(|_| listed.origin.owner == Owner::Api);
        ResourceView {
            kind: listed.kind.name().to_owned(),
            name: listed.name.to_string(),
            version: made.map_or(0, |made| made.version),
            owner: listed.origin.owner,
            defined_at: listed.origin.defined_at.clone(),
            updated_at: made.and_then(|made| made.updated_at.clone()),
            body: listed.body.clone(),
        }
    }

    /// The subscriptions and groups that mention `name`, with their kind.
    pub(super) fn users(&self, kind: Kind, name: &str) -> Vec<String> {
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
