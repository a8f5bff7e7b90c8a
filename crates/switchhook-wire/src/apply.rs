//! From files that declare resources to what has to be done at a gateway: pure comparison.
//!
//! A resource of a file is made, changed, or left as it is; one that a file managed and no longer declares is deleted. What
//! somebody else owns is a conflict: the gateway's own file always, another declaring file unless it is taken over. What
//! people made by hand becomes the file's with the first change, or with an apply that changes nothing else.
//!
//! Bodies are compared as the gateway shows them, literal secrets masked. So a literal secret that changed is not seen (a
//! `{{secret:NAME}}` needs none), and `***` in a file stands for what is there, as long as nothing else of the resource
//! changes.

mod export;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use crate::api::{Owner, ResourceView};
use crate::config::{DeclaredResource, Kind, MASK, Problem, codes, masked};

pub use export::export;

/// In this order resources are made and changed, and in the other one deleted: what is mentioned comes first.
const ORDER: [Kind; 5] = [
    Kind::Policy,
    Kind::Source,
    Kind::Endpoint,
    Kind::Group,
    Kind::Subscription,
];

/// What is to be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is not there.
    Create,
    /// It is there and differs.
    Update,
    /// No file declares it any more.
    Delete,
    /// Nothing, but that a file may take it over.
    Unchanged,
    /// It belongs to somebody else.
    Conflict,
}

impl Action {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Unchanged => "unchanged",
            Self::Conflict => "conflict",
        }
    }

    /// Whether something about the resource differs.
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::Create | Self::Update | Self::Delete => true,
            Self::Unchanged | Self::Conflict => false,
        }
    }
}

/// One resource and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What.
    pub action: Action,
    /// `source`, `endpoint`, …
    #[serde(serialize_with = "kind_name")]
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The file that declares it, or declared it.
    pub managed_by: String,
    /// File and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defined_at: Option<String>,
    /// Where the gateway and the file differ; secrets are masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Whether the file is to manage it from now on, and does not yet.
    pub adopts: bool,
    /// Whose it is, of a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// The tag of what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether it is taken from another file.
    #[serde(skip)]
    pub takes_over: bool,
    /// What is sent.
    #[serde(skip)]
    pub body: Option<Json>,
}

impl Step {
    /// Whether there is something to be sent.
    #[must_use]
    pub const fn is_to_do(&self) -> bool {
        self.action.is_change() || self.adopts
    }

    /// As the audit log calls the resource: `endpoint/crm`.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}/{}", self.kind.name(), self.name)
    }
}

fn kind_name<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

/// A place in a body where the gateway and the file differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What the gateway has; absent where it has nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Json>,
    /// What the file says; absent where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Json>,
}

/// Everything that has to be done so that the gateway has what the files `names` declare, in the order in which it can be
/// done. `current` is all that it has.
#[must_use]
pub fn steps(
    declared: &[DeclaredResource],
    names: &BTreeSet<String>,
    current: &[ResourceView],
    take_over: bool,
) -> Vec<Step> {
    let there: BTreeMap<(&str, &str), &ResourceView> = current
        .iter()
        .map(|view| ((view.kind.as_str(), view.name.as_str()), view))
        .collect();
    let wanted: BTreeSet<(&str, &str)> = declared
        .iter()
        .map(|resource| (resource.kind.name(), resource.name.as_str()))
        .collect();
    let mut steps = Vec::new();
    for kind in ORDER {
        let of_kind = declared.iter().filter(|resource| resource.kind == kind);
        steps.extend(of_kind.map(|resource| {
            let view = there.get(&(kind.name(), resource.name.as_str()));
            step(resource, view.copied(), names, take_over)
        }));
    }
    for kind in ORDER.into_iter().rev() {
        let gone = current.iter().filter_map(|view| {
            let managed_by = view.managed_by.as_ref().filter(|by| names.contains(*by))?;
            let is_gone = view.kind == kind.name()
                && view.owner == Owner::Api
                && !wanted.contains(&(view.kind.as_str(), view.name.as_str()));
            is_gone.then(|| deletion(kind, view, managed_by))
        });
        steps.extend(gone);
    }
    steps
}

fn step(
    resource: &DeclaredResource,
    view: Option<&ResourceView>,
    names: &BTreeSet<String>,
    take_over: bool,
) -> Step {
    let mut step = Step {
        action: Action::Create,
        kind: resource.kind,
        name: resource.name.clone(),
        managed_by: resource.managed_by.clone(),
        defined_at: resource.defined_at.clone(),
        fields: Vec::new(),
        adopts: false,
        conflict: None,
        etag: None,
        takes_over: false,
        body: Some(resource.body.clone()),
    };
    // The built-in policy is there without being made.
    let Some(view) = view.filter(|view| view.owner != Owner::BuiltIn) else {
        return step;
    };
    let other = view
        .managed_by
        .as_ref()
        .filter(|by| **by != resource.managed_by);
    step.conflict = match (view.owner, other) {
        (Owner::Api, Some(other)) if !names.contains(other) && !take_over => {
            Some(format!("managed by the file `{other}`"))
        }
        (Owner::Api | Owner::BuiltIn, _) => None,
        (Owner::File, _) => {
            let place = view
                .defined_at
                .as_deref()
                .unwrap_or("its configuration file");
            Some(format!("declared by the gateway's own file at {place}"))
        }
    };
    let shown = masked(&resource.body);
    step.fields = differences(&view.body, &shown);
    step.etag = Some(view.etag.clone());
    step.takes_over = other.is_some();
    // What is masked cannot be sent back.
    let is_whole = !has_mask(&resource.body);
    step.adopts = step.conflict.is_none()
        && is_whole
        && view.managed_by.as_ref() != Some(&resource.managed_by);
    step.action = match (&step.conflict, step.fields.is_empty()) {
        (Some(_), _) => Action::Conflict,
        (None, true) => Action::Unchanged,
        (None, false) => Action::Update,
    };
    step
}

fn deletion(kind: Kind, view: &ResourceView, managed_by: &str) -> Step {
    Step {
        action: Action::Delete,
        kind,
        name: view.name.clone(),
        managed_by: managed_by.to_owned(),
        defined_at: None,
        fields: Vec::new(),
        adopts: false,
        conflict: None,
        etag: Some(view.etag.clone()),
        takes_over: false,
        body: None,
    }
}

/// Whether the mask stands anywhere in a body, in place of a value.
#[must_use]
pub fn has_mask(body: &Json) -> bool {
    match body {
        Json::String(text) => text == MASK,
        Json::Array(items) => items.iter().any(has_mask),
        Json::Object(fields) => fields.values().any(has_mask),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// Those of `problems` that speak against `steps`: a mask is none where it stands for what is there and stays.
#[must_use]
pub fn relevant(problems: Vec<Problem>, steps: &[Step]) -> Vec<Problem> {
    let stays: Vec<String> = steps
        .iter()
        .filter(|step| step.action == Action::Unchanged)
        .map(|step| format!("/{}/{}/", step.kind.name(), step.name))
        .collect();
    let speaks = |problem: &Problem| {
        problem.code != codes::MASKED.id
            || !stays
                .iter()
                .any(|place| problem.place.pointer.starts_with(place))
    };
    problems.into_iter().filter(speaks).collect()
}

/// Every place where two bodies differ. Tables are gone into; a list is one value.
#[must_use]
pub fn differences(gateway: &Json, file: &Json) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(String::new(), Some(gateway), Some(file), &mut found);
    found
}

fn compare(
    pointer: String,
    gateway: Option<&Json>,
    file: Option<&Json>,
    found: &mut Vec<FieldChange>,
) {
    if gateway == file {
        return;
    }
    if let (Some(Json::Object(gateway)), Some(Json::Object(file))) = (gateway, file) {
        let keys: BTreeSet<&String> = gateway.keys().chain(file.keys()).collect();
        for key in keys {
            let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            compare(below, gateway.get(key), file.get(key), found);
        }
        return;
    }
    found.push(FieldChange {
        pointer,
        gateway: gateway.cloned(),
        file: file.cloned(),
    });
}

#[cfg(test)]
mod tests;
