//! The kinds of resources, and how one is handed in and shown.

use std::sync::Arc;

use serde_json::Value as Json;
use switchhook_core::plan::Plan;

use super::problem::Problem;
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
    /// Endpoints that share subscriptions.
    Group,
    /// What goes where.
    Subscription,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Source,
        Self::Policy,
        Self::Endpoint,
        Self::Group,
        Self::Subscription,
    ];

    /// Its word, which is also its section of the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Policy => "policy",
            Self::Endpoint => "endpoint",
            Self::Group => "group",
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
            Self::Group => "groups",
            Self::Subscription => "subscriptions",
        }
    }

    /// The kind whose section of the file has this name.
    pub(super) fn from_section(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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
