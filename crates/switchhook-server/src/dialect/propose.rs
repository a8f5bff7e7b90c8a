//! What a request makes of the resources: at most three changes, and the secrets that they name.
//!
//! The bodies are built from what is in force, under the lock of all changes. A webhook that is made here has one name for
//! its subscription, endpoint and policy. What others use too, or what is not the API's, is not changed: the webhook gets a
//! policy or endpoint of its own that begins as a copy. An endpoint of the configuration file is not copied, since only the
//! file may say what leaves it. Secrets that a request writes out go into the store as such, and the bodies name them. A
//! secret that is there already and is not the webhook's own is never overwritten.

use serde_json::{Map, Value};
use switchhook_core::subscription;
use switchhook_wire::api::{Owner, ResourceView};
use switchhook_wire::config::{Kind, STANDARD, secrets_in, standard};
use switchhook_wire::dialect::error::{self, Code, Fault};
use switchhook_wire::dialect::{
    Applied, Bodies, Dialect, Own, SecretChange, own_secrets, resource_name,
};
use switchhook_wire::problem::{self, Kind as Refused};
use uuid::Uuid;

use super::change::{Task, allowed, fault};
use super::found::{self, Found, whole_body};
use crate::control::answer::{Answer, Refusal};
use crate::control::commit::{Proposal, owned_by_file};
use crate::control::resources::{Change, Resources};
use crate::secrets::kept::{self, NotChanged};

impl Task<'_> {
    /// A new webhook called `name`.
    pub(super) fn made(&self, resources: &Resources, name: &str) -> Answer<Proposal> {
        let mut bodies = Bodies::new();
        let own = Own {
            name,
            id: subscription::id(name),
            allow_private: allowed(self.control),
            is_own_endpoint: true,
            policy: &standard(),
        };
        let applied = self.edit.apply(&mut bodies, own);
        self.is_possible(&applied)?;
        self.is_the_only_one(resources, None, &bodies)?;
        let mut changes = Vec::new();
        bodies.subscription.insert("endpoint".into(), name.into());
        changes.push(put(Kind::Endpoint, name, bodies.endpoint));
        if !bodies.policy.is_empty() {
            bodies.subscription.insert("policy".into(), name.into());
            changes.push(put(Kind::Policy, name, bodies.policy));
        }
        changes.push(put(Kind::Subscription, name, bodies.subscription));
        self.proposal(resources, changes, &applied.secrets, &[])
    }

    /// The webhook `found` as the request wants it.
    pub(super) fn changed(&self, resources: &Resources, found: &Found) -> Answer<Proposal> {
        not_of_the_file(&found.subscription)?;
        let name = &found.subscription.name;
        let before = Bodies {
            subscription: object(whole_body(
                resources,
                Kind::Subscription,
                &found.subscription,
            )),
            endpoint: object(whole_body(resources, Kind::Endpoint, &found.endpoint)),
            policy: object(whole_body(resources, Kind::Policy, &found.policy)),
        };
        let own = Own {
            name,
            id: found.id,
            allow_private: allowed(self.control),
            is_own_endpoint: found.endpoint.name == *name,
            policy: &found.retry,
        };
        let mut bodies = before.clone();
        let applied = self.edit.apply(&mut bodies, own);
        self.is_possible(&applied)?;
        self.is_the_only_one(resources, Some(found.id), &bodies)?;
        let mut changes = Vec::new();
        if bodies.endpoint != before.endpoint {
            changes.push(endpoint_of(resources, found, &mut bodies)?);
        }
        if applied.is_retry_reset && found.policy.name != STANDARD {
            changes.extend(standard_of(resources, found, &mut bodies));
        } else if bodies.policy != before.policy {
            changes.push(policy_of(resources, found, &mut bodies));
        }
        if bodies.subscription != before.subscription {
            changes.push(put(Kind::Subscription, name, bodies.subscription));
        }
        let own = own_secrets(name, found.id, &Value::Object(before.endpoint));
        self.proposal(resources, changes, &applied.secrets, &own)
    }

    pub(super) fn gone(&self, resources: &Resources, found: &Found) -> Answer<Proposal> {
        let name = &found.subscription.name;
        let mut changes = vec![(Kind::Subscription, name)];
        let mut secrets = Vec::new();
        let is_own = |part: &ResourceView| part.name == *name;
        if found.group.is_none()
            && is_own(&found.endpoint)
            && is_ours_alone(resources, Kind::Endpoint, &found.endpoint)
        {
            changes.push((Kind::Endpoint, name));
            let endpoint = whole_body(resources, Kind::Endpoint, &found.endpoint);
            let names = own_secrets(name, found.id, &endpoint).into_iter();
            secrets.extend(names.map(|name| SecretChange { name, value: None }));
        }
        if is_own(&found.policy) && is_ours_alone(resources, Kind::Policy, &found.policy) {
            changes.push((Kind::Policy, name));
        }
        let delete = |(kind, name): (Kind, &String)| Change {
            kind,
            name: name.clone(),
            body: None,
        };
        let changes = changes.into_iter().map(delete).collect();
        self.proposal(resources, changes, &secrets, &[])
    }

    /// `own` are the secrets that are the webhook's already.
    fn proposal(
        &self,
        resources: &Resources,
        changes: Vec<Change>,
        secrets: &[SecretChange],
        own: &[String],
    ) -> Answer<Proposal> {
        let gateway = &self.control.gateway;
        let now = gateway.clock.now();
        let mut documents = Vec::new();
        for SecretChange { name, value } in secrets {
            let Some(value) = value else {
                documents.push(kept::deletion(name, now));
                continue;
            };
            let before = gateway.secrets.kept(name);
            // Also where the value is the same: the answer must not tell it.
            may_set(resources, name, before.is_some(), own)?;
            if before.is_some_and(|kept| kept.current().expose() == value.expose()) {
                continue;
            }
            let versions = gateway.secrets.set(name, value.clone(), now);
            let versions = versions.map_err(|error| self.not_a_secret(&error))?;
            let document = kept::document(&gateway.vault, name, &versions, now);
            documents.push(document.map_err(Refusal::internal)?);
        }
        Ok(Proposal {
            changes,
            documents,
            ..Proposal::default()
        })
    }

    fn not_a_secret(&self, error: &NotChanged) -> Refusal {
        let key = match self.dialect {
            Dialect::Lifecycle => "/sign",
            Dialect::Flat => "/auth",
            Dialect::Webhooks | Dialect::Notifications | Dialect::Integrations => "/headers",
        };
        let field = self.dialect.field(Kind::Endpoint.name(), key);
        fault(&field, Code::Value, error.to_string())
    }

    fn is_possible(&self, applied: &Applied) -> Answer<()> {
        let mut faults = applied.faults.clone();
        faults.extend(applied.is_blocked.as_ref().map(|blocked| Fault {
            field: self.dialect.field(Kind::Endpoint.name(), "/url"),
            ..blocked.clone()
        }));
        faults.extend(applied.too_long.as_ref().map(|detail| Fault {
            field: self.dialect.field(Kind::Policy.name(), ""),
            code: Code::Range,
            detail: detail.clone(),
            hint: Some("retry less often, or after a shorter time".to_owned()),
        }));
        if faults.is_empty() {
            Ok(())
        } else {
            Err(error::problem_of(&faults).into())
        }
    }

    /// Dialect A has no two webhooks with one name and endpoint.
    fn is_the_only_one(
        &self,
        resources: &Resources,
        this: Option<Uuid>,
        bodies: &Bodies,
    ) -> Answer<()> {
        let (title, url) = (bodies.subscription.get("title"), bodies.endpoint.get("url"));
        if self.dialect != Dialect::Webhooks || title.is_none() {
            return Ok(());
        }
        let is_same = |other: &Found| {
            Some(other.id) != this
                && other.subscription.body.get("title") == title
                && other.endpoint.body.get("url") == url
        };
        match found::all(resources).iter().find(|other| is_same(other)) {
            Some(other) => {
                let detail = "a webhook with this name and endpoint exists already";
                let body = problem::Body::new(Refused::Conflict, detail);
                Err(body
                    .with_hint(format!(
                        "it has the id {}; use another name, or change that one",
                        other.id
                    ))
                    .into())
            }
            None => Ok(()),
        }
    }
}

pub(super) fn not_of_the_file(part: &ResourceView) -> Answer<()> {
    match part.owner {
        Owner::File => {
            let what = format!("{} `{}`", part.kind, part.name);
            Err(owned_by_file(&what, part.defined_at.as_deref()))
        }
        Owner::Api | Owner::BuiltIn => Ok(()),
    }
}

/// Whether a webhook may set the secret `name`: one that is there must be its own, and verify nothing that comes in. To
/// write resources is not to set the secrets of others, for which there is a scope.
fn may_set(resources: &Resources, name: &str, is_there: bool, own: &[String]) -> Answer<()> {
    let what = format!("secret `{name}`");
    if resources.secrets_of_file().contains_key(name) {
        return Err(owned_by_file(&what, None));
    }
    let mut sources = resources.of_kind(Kind::Source);
    let verifies = sources.any(|source| secrets_in(&source.body).contains(name));
    if !verifies && (!is_there || own.iter().any(|own| own == name)) {
        return Ok(());
    }
    let detail = format!("{what} exists already and is not this webhook's own");
    let hint = "set or delete it with `/v1/secrets`, for which the scope `secrets` is needed";
    Err(problem::Body::new(Refused::Conflict, detail)
        .with_hint(hint)
        .into())
}

/// Whether the API owns it and one subscription alone uses it.
fn is_ours_alone(resources: &Resources, kind: Kind, part: &ResourceView) -> bool {
    part.owner == Owner::Api && resources.users(kind, &part.name).len() <= 1
}

/// The endpoint as it is to be: the same, or one of the webhook's own.
fn endpoint_of(resources: &Resources, found: &Found, bodies: &mut Bodies) -> Answer<Change> {
    if let Some(group) = &found.group {
        let detail = format!(
            "deliveries go to the members of group `{}`, shown is the first of them, endpoint `{}`",
            group.name, found.endpoint.name
        );
        let hint = "change the members with `/v1/endpoints` and `/v1/groups`";
        return Err(problem::Body::new(Refused::Conflict, detail)
            .with_hint(hint)
            .into());
    }
    not_of_the_file(&found.endpoint)?;
    let name = if is_ours_alone(resources, Kind::Endpoint, &found.endpoint) {
        found.endpoint.name.clone()
    } else {
        let name = own_name(resources, Kind::Endpoint, found);
        bodies
            .subscription
            .insert("endpoint".into(), name.as_str().into());
        name
    };
    let body = std::mem::take(&mut bodies.endpoint);
    Ok(put(Kind::Endpoint, &name, body))
}

/// The same for the policy.
fn policy_of(resources: &Resources, found: &Found, bodies: &mut Bodies) -> Change {
    let name = if is_ours_alone(resources, Kind::Policy, &found.policy) {
        found.policy.name.clone()
    } else {
        let name = own_name(resources, Kind::Policy, found);
        bodies
            .subscription
            .insert("policy".into(), name.as_str().into());
        name
    };
    let body = std::mem::take(&mut bodies.policy);
    put(Kind::Policy, &name, body)
}

/// Goes back to the standard policy. A policy of the webhook's own becomes like it, so that the webhook's version grows.
fn standard_of(resources: &Resources, found: &Found, bodies: &mut Bodies) -> Option<Change> {
    if !is_ours_alone(resources, Kind::Policy, &found.policy) {
        bodies.subscription.remove("policy");
        return None;
    }
    let standard = resources.listed(Kind::Policy, STANDARD)?.body.clone();
    let changes = Value::Object(std::mem::take(&mut bodies.policy)) != standard;
    changes.then(|| put(Kind::Policy, &found.policy.name, object(standard)))
}

/// The webhook's own name for a resource of this kind, or another one where somebody has that.
fn own_name(resources: &Resources, kind: Kind, found: &Found) -> String {
    let name = &found.subscription.name;
    if resources.listed(kind, name).is_none() {
        return name.clone();
    }
    free_name(resources, &found.webhook().title)
}

/// A name that no subscription, endpoint and policy has.
pub(super) fn free_name(resources: &Resources, title: &str) -> String {
    let kinds = [Kind::Subscription, Kind::Endpoint, Kind::Policy];
    loop {
        // The end of such an id is random.
        let chance = u32::try_from(Uuid::now_v7().as_u128() & 0xffff_ffff).unwrap_or_default();
        let name = resource_name(title, chance);
        if kinds
            .iter()
            .all(|kind| resources.listed(*kind, &name).is_none())
        {
            return name;
        }
    }
}

fn put(kind: Kind, name: &str, body: Map<String, Value>) -> Change {
    Change {
        kind,
        name: name.to_owned(),
        body: Some(Value::Object(body)),
    }
}

fn object(body: Value) -> Map<String, Value> {
    match body {
        Value::Object(body) => body,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
