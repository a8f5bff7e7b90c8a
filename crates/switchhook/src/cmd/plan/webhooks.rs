//! Webhooks that files declare at a management API: compared with what is there, and made.
//!
//! What a webhook has beyond what the file says is left as it is, and no webhook is deleted because no file declares it:
//! that API keeps no note of who manages what. Everything is checked before anything is asked. Changes go through the
//! journal of the client, so that one that was cut off is finished under the same key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use switchhook_core::secret::Secret;
use switchhook_genesys::change::{Changes, Made, Operation, Wish};
use switchhook_genesys::client::{Ask, Client};
use switchhook_genesys::dialect::{Dialect, Draft};
use switchhook_genesys::refusal::Error;
use switchhook_genesys::region::Bases;
use switchhook_genesys::surroundings::Machine;
use switchhook_genesys::token::{Credentials, Style};
use switchhook_genesys::transport::{Times, Trust};
use switchhook_genesys::webhook::Effect;
use switchhook_genesys::{check, webhook};
use switchhook_wire::apply::{Action, FieldChange, differences};
use switchhook_wire::config::{
    Declaration, DeclaredWebhook, Remote, RemotePlace, RemoteSecret, WebhookRetry,
};

use super::text::fields_text;
use crate::cmd::genesys::{failure, invalid, made_text};
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;

/// Where the retry policy of a webhook is.
const POLICIES: [&str; 4] = ["api", "v2", "notifications", "webhooks"];

/// The webhooks of one file.
pub(in crate::cmd) struct Elsewhere {
    client: Client,
    pub(in crate::cmd) steps: Vec<WebhookStep>,
}

/// One webhook and what is to be done with it.
pub(in crate::cmd) struct WebhookStep {
    pub(in crate::cmd) action: Action,
    key: String,
    defined_at: Option<String>,
    pub(in crate::cmd) fields: Vec<FieldChange>,
    wish: Wish,
    /// The retry policy that it is to have.
    policy: Option<Value>,
}

/// What became of the webhooks of one file.
#[derive(Debug, Default)]
pub(in crate::cmd) struct Ended {
    pub(in crate::cmd) done: u64,
    /// Those that somebody else had made so in between.
    pub(in crate::cmd) unchanged: u64,
    pub(in crate::cmd) failed: u64,
    /// Of the first that failed.
    pub(in crate::cmd) code: Option<Code>,
}

impl WebhookStep {
    /// What the change is about, as it is shown.
    pub(in crate::cmd) fn object(&self) -> String {
        format!("webhook/{}", self.key)
    }

    /// As it is shown with `--json`.
    pub(in crate::cmd) fn json(&self) -> Value {
        json!({
            "action": self.action,
            "kind": "webhook",
            "name": self.key,
            "title": self.wish.target,
            "dialect": self.wish.dialect.name(),
            "definedAt": self.defined_at,
            "fields": self.fields,
        })
    }

    /// As it is shown to people.
    pub(in crate::cmd) fn text(&self) -> String {
        let sign = match self.action {
            Action::Create => '+',
            Action::Update => '~',
            Action::Delete | Action::Unchanged | Action::Conflict => return String::new(),
        };
        let place = self.defined_at.as_deref().unwrap_or_default();
        let head = format!(
            "{sign} {:<8} {}  {place}",
            self.action.name(),
            self.object()
        );
        format!("{}\n{}", head.trim_end(), fields_text(&self.fields))
    }
}

/// Compares the webhooks of a file with what is there; `None` where it declares none.
pub(super) async fn compare(
    declaration: &Declaration,
    file: &Path,
) -> Result<Option<Elsewhere>, Failure> {
    let Some(remote) = declaration
        .remote
        .as_ref()
        .filter(|_| !declaration.webhooks.is_empty())
    else {
        return Ok(None);
    };
    let wanted: Vec<(&DeclaredWebhook, Wish, Option<Value>)> = declaration
        .webhooks
        .iter()
        .map(wanted)
        .collect::<Result<_, Failure>>()?;
    let client = client(remote, file)?;
    let mut steps = Vec::new();
    for (declared, wish, policy) in wanted {
        let found = there(&client, &wish, policy.as_ref()).await;
        let found = found.map_err(|error| failure(&error))?;
        let (action, fields) = match found {
            None => (Action::Create, Vec::new()),
            Some(fields) if fields.is_empty() => (Action::Unchanged, fields),
            Some(fields) => (Action::Update, fields),
        };
        steps.push(WebhookStep {
            action,
            key: declared.key.clone(),
            defined_at: declared.defined_at.clone(),
            fields,
            wish,
            policy,
        });
    }
    Ok(Some(Elsewhere { client, steps }))
}

/// A client of the API that the file names.
fn client(remote: &Remote, file: &Path) -> Result<Client, Failure> {
    let bases = match &remote.place {
        RemotePlace::Base(base) => Bases::of_url(base, false),
        RemotePlace::Region(region) => Bases::of_region(region),
    };
    let invalid = |error: &dyn std::fmt::Display| Failure::new(Code::Invalid, error.to_string());
    let secret = match &remote.client_secret {
        RemoteSecret::Value(secret) => secret.clone(),
        RemoteSecret::File(path) => {
            let path = file.parent().unwrap_or(Path::new("")).join(path);
            Secret::new(config::text(&path)?.trim().as_bytes().to_vec())
        }
    };
    let credentials = Credentials {
        client_id: remote.client_id.as_str().into(),
        client_secret: secret,
        style: Style::Basic,
    };
    let trust = Trust::new(None).map_err(|error| invalid(&error))?;
    let bases = bases.map_err(|error| invalid(&error))?;
    let around = Arc::new(Machine);
    Ok(Client::new(
        bases,
        credentials,
        &trust,
        Times::default(),
        around,
    ))
}

/// What a declared webhook means in its dialect.
fn wanted(declared: &DeclaredWebhook) -> Result<(&DeclaredWebhook, Wish, Option<Value>), Failure> {
    let what = format!("webhook `{}`", declared.key);
    let dialect = Dialect::from_name(declared.dialect).unwrap_or_default();
    let body = dialect.draft(&Draft {
        name: declared.name.clone(),
        url: declared.url.clone(),
        event_types: declared.event_types.clone(),
    });
    check::webhook(dialect, &body).map_err(|faults| invalid(&what, &faults))?;
    let policy = match &declared.retry {
        None => None,
        Some(WebhookRetry::Delays(delays)) => Some(check::delays(delays)),
        Some(WebhookRetry::Spread(attempts, seconds)) => Some(check::policy(*attempts, *seconds)),
    };
    let policy = policy.transpose();
    let policy = policy.map_err(|faults| invalid(&format!("the policy of {what}"), &faults))?;
    let policy = policy.map(|policy| {
        json!({"retryPolicy": {"maxAttempts": policy.max_attempts, "retryDuration": policy.retry_duration}})
    });
    let wish = Wish {
        operation: Operation::Apply,
        dialect,
        target: declared.name.clone(),
        body,
    };
    Ok((declared, wish, policy))
}

/// Where the webhook that is there differs from the wish; `None` if there is none.
async fn there(
    client: &Client,
    wish: &Wish,
    policy: Option<&Value>,
) -> Result<Option<Vec<FieldChange>>, Error> {
    let found = match webhook::get(client, wish.dialect, &wish.target).await {
        Ok(found) => found,
        Err(Error::Absent { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut body, events) = wish.dialect.split(&wish.body);
    let mut current = found.body;
    if let (Some(events), Some(body), Some(current)) =
        (events, body.as_object_mut(), current.as_object_mut())
    {
        let bound = webhook::bound(client, &found.id).await?;
        // What is bound beyond these stays bound.
        let kept: Vec<&String> = events.iter().filter(|it| bound.contains(it)).collect();
        current.insert("events".to_owned(), json!(kept));
        body.insert("events".to_owned(), json!(events));
    }
    if let (Some(Value::Object(policy)), Some(body)) = (policy, body.as_object_mut()) {
        let path = [&POLICIES[..], &[found.id.as_str()]].concat();
        let answer = client.call(&Ask::get(&path), &mut ()).await?;
        let now = answer.body.get("retryPolicy").cloned();
        if let Some(current) = current.as_object_mut() {
            current.insert("policy".to_owned(), now.unwrap_or_default());
        }
        let wanted = policy.get("retryPolicy").cloned();
        body.insert("policy".to_owned(), wanted.unwrap_or_default());
    }
    Ok(Some(differences(&same_members(&current, &body), &body)))
}

/// Those members of `current` that `wish` has too, however deep: the others are not spoken of.
fn same_members(current: &Value, wish: &Value) -> Value {
    let (Value::Object(current), Value::Object(wish)) = (current, wish) else {
        return current.clone();
    };
    let members = wish.iter().filter_map(|(key, wish)| {
        let value = current.get(key)?;
        Some((key.clone(), same_members(value, wish)))
    });
    Value::Object(members.collect::<Map<_, _>>())
}

impl Elsewhere {
    /// Whether anything differs.
    pub(super) fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.action.is_change())
    }

    /// Makes what differs, one webhook after the other.
    pub(in crate::cmd) async fn apply(
        &self,
        state_dir: &Path,
        output: Output,
    ) -> Result<Ended, Failure> {
        let mut ended = Ended::default();
        if !self.changes() {
            return Ok(ended);
        }
        let mut changes =
            Changes::open(state_dir, config::now()).map_err(|error| failure(&error))?;
        for step in self.steps.iter().filter(|step| step.action.is_change()) {
            match self.make(&mut changes, step).await {
                Ok(made) => {
                    match made.effect {
                        Effect::Unchanged => ended.unchanged += 1,
                        Effect::Created | Effect::Updated | Effect::Deleted | Effect::Set => {
                            ended.done += 1;
                        }
                    }
                    tell(step, Ok(&made_text(&step.wish, &made)), output)?;
                }
                Err(error) => {
                    let failure = failure(&error);
                    ended.failed += 1;
                    tell(step, Err(&failure), output)?;
                    ended.code = ended.code.or(Some(failure.code));
                }
            }
        }
        Ok(ended)
    }

    /// Makes a webhook and then its policy: one effect, of which the policy may be all.
    async fn make(&self, changes: &mut Changes, step: &WebhookStep) -> Result<Made, Error> {
        let mut made = changes.make(&self.client, &step.wish).await?;
        if let (Some(policy), Some(id)) = (&step.policy, &made.object) {
            let wish = Wish {
                operation: Operation::SetPolicy,
                dialect: step.wish.dialect,
                target: id.clone(),
                body: policy.clone(),
            };
            let set = changes.make(&self.client, &wish).await?;
            if made.effect == Effect::Unchanged && set.effect != Effect::Unchanged {
                made.effect = Effect::Updated;
            }
            made.tries = made.tries.saturating_add(set.tries);
            made.latency_ms = made.latency_ms.saturating_add(set.latency_ms);
        }
        Ok(made)
    }
}

fn tell(step: &WebhookStep, ended: Result<&str, &Failure>, output: Output) -> Outcome {
    let object = step.object();
    if output.is_json() {
        let error = ended.err().map(|failure| &failure.message);
        let done = ended.is_ok();
        return output
            .json(&json!({"object": object, "action": step.action, "done": done, "error": error}));
    }
    match ended {
        Ok(text) => output.line(text),
        Err(failure) => {
            output.must_say(&format!("failed   {object}: {}", failure.message));
            Ok(())
        }
    }
}

/// Where changes at other APIs are kept, unless something else is said.
pub(in crate::cmd) fn state_dir(named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(|| PathBuf::from(".switchhook"))
}
