//! Resources by name, from the file and from the API, and the whole plan that they make together.
//!
//! Reading a resource gives a checked value and what it needs: names that must exist. Linking compares the
//! needs with what is there. A plan comes out only when every name resolves, so a plan is always whole.
//!
//! A resource has one owner: the same kind and name in the file and through the API is a problem. The file
//! stands by itself: what it mentions, it declares. What is made through the API may mention both, and the
//! secrets that lie in the gateway's directory of secrets ([`Declared::with_secrets`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use switchhook_core::endpoint::Endpoint;
use switchhook_core::event::OWN_SOURCE;
use switchhook_core::plan::{Plan, RESOURCES_MAX};
use switchhook_core::retry::Policy;
use switchhook_core::source::Source;
use switchhook_core::subscription::Subscription;

use super::codes::{self, Code};
use super::name::{check_name, is_name};
use super::node::{self, Span};
use super::problem::{Place, Problem, Spot};
use super::read::{Document, Item, Path, Report, nearest, shown};
use super::{endpoint, interpolate, masking, policy, source, subscription};
use crate::api::Owner;

/// The kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A way in.
    Source,
    /// How hard to try.
    Policy,
    /// Where deliveries go.
    Endpoint,
    /// What goes where.
    Subscription,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Source,
        Self::Policy,
        Self::Endpoint,
        Self::Subscription,
    ];

    /// Its word, which is also its section of the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Policy => "policy",
            Self::Endpoint => "endpoint",
            Self::Subscription => "subscription",
        }
    }

    /// Its word in paths of the API.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Source => "sources",
            Self::Policy => "policies",
            Self::Endpoint => "endpoints",
            Self::Subscription => "subscriptions",
        }
    }

    /// The kind with this word, singular or plural.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name || kind.plural() == name)
    }
}

/// Where a resource was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who may change it.
    pub owner: Owner,
    /// File and line, for example `switchhook.toml:42`.
    pub defined_at: Option<String>,
}

/// A resource to be shown: as its owner wrote it, literal secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// Where it was declared.
    pub origin: Origin,
    /// In the shape of the configuration file.
    pub body: Json,
}

/// A resource as it came through the API.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiResource {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// In the shape of the configuration file.
    pub body: Json,
}

/// What all resources make together.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// The plan, unless a problem is an error.
    pub plan: Option<Plan>,
    /// Everything that is wrong; warnings too. Paths start with kind and name, pointers in the body.
    pub problems: Vec<Problem>,
    /// Every resource, by kind and name.
    pub resources: Vec<Listed>,
}

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
    Policy(Arc<str>),
    /// Ingest must listen on loopback, since the source verifies nothing.
    LoopbackIngest,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    value: Arc<T>,
    origin: Origin,
    body: Json,
}

type Entries<T> = BTreeMap<Arc<str>, Entry<T>>;

/// The resources of the file, and what linking needs to know besides: the base that API resources join.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    sources: Entries<Source>,
    policies: Entries<Policy>,
    endpoints: Entries<Endpoint>,
    subscriptions: Entries<Subscription>,
    /// What all of them mention, those with errors included.
    needs: Vec<Need>,
    /// Declared with errors: the names exist all the same.
    broken: BTreeSet<(Kind, String)>,
    pub(super) secrets: BTreeSet<Arc<str>>,
    /// Where a secret that is not declared can be put.
    secrets_dir: Option<PathBuf>,
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

    /// The same, where resources of the API may also use the secrets called `names`: those of files in `directory`,
    /// which problems then name as the place for one that is missing.
    #[must_use]
    pub fn with_secrets(
        &self,
        names: impl IntoIterator<Item = Arc<str>>,
        directory: &FilePath,
    ) -> Self {
        let mut more = self.clone();
        more.secrets.extend(names);
        more.secrets_dir = Some(directory.to_owned());
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
        let resources = self.listed();
        let problems = report.finish();
        let plan = (!problems.iter().any(Problem::is_error)).then(|| self.plan());
        Merged {
            plan,
            problems,
            resources,
        }
    }

    fn add_api(&mut self, resource: &ApiResource, report: &mut Report) {
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
            Kind::Subscription => {
                let value = subscription::read(&name, &raw.item, report, needs);
                enter(&mut self.subscriptions, &name, value, raw)
            }
        };
        if !(entered && named) {
            self.broken.insert((kind, name.to_string()));
        }
    }

    fn origin(&self, kind: Kind, name: &str) -> Option<&Origin> {
        match kind {
            Kind::Source => self.sources.get(name).map(|entry| &entry.origin),
            Kind::Policy => self.policies.get(name).map(|entry| &entry.origin),
            Kind::Endpoint => self.endpoints.get(name).map(|entry| &entry.origin),
            Kind::Subscription => self.subscriptions.get(name).map(|entry| &entry.origin),
        }
    }

    fn link(&self, report: &mut Report) {
        let sizes = [
            (Kind::Source, self.sources.len()),
            (Kind::Policy, self.policies.len()),
            (Kind::Endpoint, self.endpoints.len()),
            (Kind::Subscription, self.subscriptions.len()),
        ];
        for (kind, size) in sizes.into_iter().filter(|(_, size)| *size > RESOURCES_MAX) {
            let message = format!(
                "{size} {} are too many, at most {RESOURCES_MAX} are allowed",
                kind.plural()
            );
            let place = Place {
                path: kind.name().to_owned(),
                ..Place::default()
            };
            report.push(Problem::new(
                codes::TOO_MANY,
                Spot {
                    place,
                    snippet: None,
                },
                message,
                None,
            ));
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
            Target::Policy(name) => self.missing(Kind::Policy, name, &self.policies),
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
        match (near, &self.secrets_dir) {
            (near, Some(directory)) if is_name(name) => {
                let path = directory.join(name);
                let place = format!("put its value into the file `{}`", path.display());
                near.map_or(place.clone(), |near| format!("{near} If not, {place}"))
            }
            (Some(near), _) => near,
            (None, _) => format!(
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

    fn plan(&self) -> Plan {
        Plan {
            sources: values(&self.sources),
            endpoints: values(&self.endpoints),
            subscriptions: values(&self.subscriptions),
            policies: values(&self.policies),
        }
    }

    fn listed(&self) -> Vec<Listed> {
        let mut all = list(Kind::Source, &self.sources);
        all.extend(list(Kind::Policy, &self.policies));
        all.extend(list(Kind::Endpoint, &self.endpoints));
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

fn values<T>(entries: &Entries<T>) -> BTreeMap<Arc<str>, Arc<T>> {
    entries
        .iter()
        .map(|(name, entry)| (Arc::clone(name), Arc::clone(&entry.value)))
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
