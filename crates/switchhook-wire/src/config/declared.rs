//! Resources by name, from the file and from the API, and the whole plan that they make together.
//!
//! Reading a resource gives a checked value and what it needs: names that must exist. Linking compares the
//! needs with what is there. A plan comes out only when every name resolves, so a plan is always whole.
//!
//! A resource has one owner: the same kind and name in the file and through the API is a problem. The file
//! stands by itself: what it mentions, it declares. What is made through the API may mention both, and the
//! secrets that the gateway keeps itself ([`Declared::with_secrets`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;
use switchhook_core::endpoint::Endpoint;
use switchhook_core::event::OWN_SOURCE;
use switchhook_core::plan::Plan;
use switchhook_core::retry::Policy;
use switchhook_core::subscription::Subscription;

use super::document::{Document, Path};
use super::kind::{ApiResource, Kind, Listed, Merged, Origin};
use super::link::Need;
use super::name::check_name;
use super::node::{self, Span};
use super::problem::Problem;
use super::read::{Item, Report, shown};
use super::{codes, endpoint, group, interpolate, masking, policy, source, subscription};
use crate::api::Owner;

/// A resource that was read.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    pub(super) value: Arc<T>,
    origin: Origin,
    body: Json,
}

/// Those of one kind.
pub(super) type Entries<T> = BTreeMap<Arc<str>, Entry<T>>;

/// The resources of the file, and what linking needs to know besides: the base that API resources join.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    pub(super) sources: Entries<source::Draft>,
    pub(super) policies: Entries<Policy>,
    pub(super) endpoints: Entries<Endpoint>,
    pub(super) groups: Entries<group::Draft>,
    pub(super) subscriptions: Entries<subscription::Draft>,
    /// What all of them mention, those with errors included.
    pub(super) needs: Vec<Need>,
    /// Declared with errors: the names exist all the same.
    pub(super) broken: BTreeSet<(Kind, String)>,
    pub(super) secrets: BTreeSet<Arc<str>>,
    /// Whether a secret that is not declared can be set through the API.
    pub(super) keeps_secrets: bool,
    /// Requests under way at once, over all endpoints.
    pub(super) slots: usize,
    pub(super) ingest_is_public: bool,
}

/// A resource to be read: its tree with references filled, and how it is shown.
pub(super) struct Raw<'n> {
    pub(super) kind: Kind,
    pub(super) name: &'n str,
    pub(super) item: Item<'n>,
    pub(super) key_span: Span,
    pub(super) origin: Origin,
    pub(super) body: Json,
}

impl Declared {
    /// What the file's resources and `api` make together.
    #[must_use]
    pub fn with_api(&self, api: &[ApiResource]) -> Merged {
        let mut all = self.clone();
        let mut report = Report::new(Document::default());
        for resource in api {
            all.add_api(resource, &mut report);
        }
        all.merged(report)
    }

    /// The same, where resources of the API may also use the secrets called `names`, which the gateway keeps itself.
    #[must_use]
    pub fn with_secrets(&self, names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut more = self.clone();
        more.secrets.extend(names);
        more.keeps_secrets = true;
        more
    }

    /// Adds the built-in policy where no other has its name, and links everything.
    pub(super) fn merged(mut self, mut report: Report) -> Merged {
        let standard = (Kind::Policy, policy::STANDARD.to_owned());
        if !self.broken.contains(&standard) {
            self.policies
                .entry(policy::STANDARD.into())
                .or_insert_with(built_in);
        }
        self.link(&mut report);
        let subscriptions = self
            .subscriptions
            .iter()
            .map(|(name, entry)| (Arc::clone(name), self.settled(&entry.value, &mut report)))
            .collect();
        let resources = self.listed();
        let problems = report.finish();
        let plan = (!problems.iter().any(Problem::is_error)).then(|| self.plan(subscriptions));
        Merged {
            plan,
            problems,
            resources,
        }
    }

    pub(super) fn add_api(&mut self, resource: &ApiResource, report: &mut Report) {
        let ApiResource { kind, name, body } = resource;
        let raw = node::from_json(body);
        let path = Path::resource(kind.name(), &shown(name));
        let item = Item {
            node: &raw,
            path: path.clone(),
        };
        if let Some(owner) = self.origin(*kind, name) {
            let by = owner
                .defined_at
                .clone()
                .unwrap_or_else(|| "the API".to_owned());
            let message = format!(
                "{} `{}` is already declared by {by}",
                kind.name(),
                shown(name)
            );
            report.add(codes::TWO_OWNERS, &item, message, None);
            return;
        }
        let filled = interpolate::fill(&item, None, report);
        self.add(
            Raw {
                kind: *kind,
                name,
                item: Item {
                    node: &filled,
                    path,
                },
                key_span: None,
                origin: Origin {
                    owner: Owner::Api,
                    defined_at: None,
                },
                body: masking::masked(body),
            },
            report,
        );
    }

    /// Reads a resource and keeps it, or remembers that it is broken.
    pub(super) fn add(&mut self, raw: Raw<'_>, report: &mut Report) {
        let name: Arc<str> = raw.name.into();
        let named = check_name(raw.name, &raw.item, &raw.key_span, report);
        if raw.kind == Kind::Source && raw.name == OWN_SOURCE {
            let message = format!("the name `{OWN_SOURCE}` belongs to the gateway's own events");
            report.add(codes::RESERVED_NAME, &raw.item, message, None);
        }
        let (kind, needs) = (raw.kind, &mut self.needs);
        let entered = match kind {
            Kind::Source => {
                let value = source::read(&name, &raw.item, report, needs);
                enter(&mut self.sources, &name, value, raw)
            }
            Kind::Policy => {
                let value = policy::read(&name, &raw.item, report);
                enter(&mut self.policies, &name, value, raw)
            }
            Kind::Endpoint => {
                let value = endpoint::read(&name, &raw.item, report, needs);
                enter(&mut self.endpoints, &name, value, raw)
            }
            Kind::Group => {
                let value = group::read(&name, &raw.item, report, needs);
                enter(&mut self.groups, &name, value, raw)
            }
            Kind::Subscription => {
                let value = subscription::read(&name, &raw.item, report, needs);
                enter(&mut self.subscriptions, &name, value, raw)
            }
        };
        if !(entered && named) {
            self.broken.insert((kind, name.to_string()));
        }
    }

    /// Where a resource was declared, if it was; one with errors too.
    pub(super) fn declared_at(&self, kind: Kind, name: &str) -> Option<String> {
        let place = self
            .origin(kind, name)
            .and_then(|origin| origin.defined_at.clone());
        let is_broken = self.broken.contains(&(kind, name.to_owned()));
        place.or_else(|| is_broken.then(|| "another place".to_owned()))
    }

    fn origin(&self, kind: Kind, name: &str) -> Option<&Origin> {
        match kind {
            Kind::Source => self.sources.get(name).map(|entry| &entry.origin),
            Kind::Policy => self.policies.get(name).map(|entry| &entry.origin),
            Kind::Endpoint => self.endpoints.get(name).map(|entry| &entry.origin),
            Kind::Group => self.groups.get(name).map(|entry| &entry.origin),
            Kind::Subscription => self.subscriptions.get(name).map(|entry| &entry.origin),
        }
    }

    fn plan(&self, subscriptions: BTreeMap<Arc<str>, Arc<Subscription>>) -> Plan {
        Plan {
            sources: values(&self.sources, |draft| &draft.source),
            endpoints: values(&self.endpoints, |endpoint| endpoint),
            subscriptions,
            groups: values(&self.groups, |draft| &draft.group),
            policies: values(&self.policies, |policy| policy),
            slots: self.slots,
        }
    }

    fn listed(&self) -> Vec<Listed> {
        let mut all = list(Kind::Source, &self.sources);
        all.extend(list(Kind::Policy, &self.policies));
        all.extend(list(Kind::Endpoint, &self.endpoints));
        all.extend(list(Kind::Group, &self.groups));
        all.extend(list(Kind::Subscription, &self.subscriptions));
        all
    }
}

fn enter<T>(entries: &mut Entries<T>, name: &Arc<str>, value: Option<T>, raw: Raw<'_>) -> bool {
    let Some(value) = value else { return false };
    let entry = Entry {
        value: Arc::new(value),
        origin: raw.origin,
        body: raw.body,
    };
    entries.insert(Arc::clone(name), entry);
    true
}

/// What stands in the plan for each entry.
fn values<T, V>(
    entries: &Entries<T>,
    value: impl Fn(&Arc<T>) -> &Arc<V>,
) -> BTreeMap<Arc<str>, Arc<V>> {
    entries
        .iter()
        .map(|(name, entry)| (Arc::clone(name), Arc::clone(value(&entry.value))))
        .collect()
}

fn list<T>(kind: Kind, entries: &Entries<T>) -> Vec<Listed> {
    let listed = |(name, entry): (&Arc<str>, &Entry<T>)| Listed {
        kind,
        name: Arc::clone(name),
        origin: entry.origin.clone(),
        body: entry.body.clone(),
    };
    entries.iter().map(listed).collect()
}

fn built_in() -> Entry<Policy> {
    let body = serde_json::json!({
        "matrix": { "delays": ["5s", "5m", "30m", "2h", "5h", "10h"] },
        "jitter": { "additive": 0.25 },
        "max_attempts": 7,
        "max_age": "24h",
    });
    let origin = Origin {
        owner: Owner::BuiltIn,
        defined_at: None,
    };
    Entry {
        value: Arc::new(policy::standard()),
        origin,
        body,
    }
}
