//! `switchhook source|endpoint|subscription|group|policy list|get|set|delete`: resources by name.
//!
//! A body has the shape of the configuration file. `set` replaces the whole resource; its body comes from
//! a file, from standard input, or from the few flags that the commonest resources need. What is in force
//! because the configuration file says so cannot be changed here; the gateway says so.

mod endpoint;
mod flags;
mod subscription;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value, json};
use switchhook_wire::api::{PAGE_SIZE_MAX, ResourceView};

use crate::client::{self, Client};
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut, list, table};
use flags::Flags;

pub(super) use endpoint::EndpointCommand;
pub(super) use flags::{GroupFlags, PolicyFlags, SourceFlags};
pub(super) use subscription::{SubscriptionCommand, pause_text};

/// Most resources that are listed; the gateway holds at most 10,000 of a kind.
pub(super) const LIST_MAX: usize = 10_000;

/// What to do with resources of one kind.
#[derive(Debug, Subcommand)]
pub(crate) enum Action<F: Flags> {
    /// List all
    List,
    /// Show one
    Get {
        /// Its name
        name: String,
    },
    /// Make one, or replace it as a whole
    Set {
        /// Its name
        name: String,
        /// JSON body in the shape of the configuration file; `-` is standard input
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        flags: F,
        #[command(flatten)]
        force: Force,
    },
    /// Delete one
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        force: Force,
    },
}

/// Whether waiting deliveries may be concerned.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Force {
    /// Do it although deliveries that wait would stop, move, or overtake each other
    #[arg(long)]
    force: bool,
}

impl Force {
    /// Whether they may.
    pub(in crate::cmd) const fn is_set(self) -> bool {
        self.force
    }

    fn query(self) -> Value {
        json!({"force": self.force.then_some(true)})
    }

    /// A refusal in the words of the command line.
    pub(in crate::cmd) fn failure(error: client::Error) -> Failure {
        let mut failure = Failure::from(error);
        failure.hint = failure
            .hint
            .map(|hint| hint.replace("repeat the request with `?force=true`", "add --force"));
        failure
    }
}

impl<F: Flags> Action<F> {
    /// Does it.
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        match self {
            Self::List => {
                let query = json!({"pageSize": PAGE_SIZE_MAX});
                let all: Vec<ResourceView> =
                    client.list(&["v1", F::PATH], &query, LIST_MAX).await?;
                list(output, &all, F::PATH, resources_table)
            }
            Self::Get { name } => {
                let one: ResourceView = client.get(&["v1", F::PATH, &name]).await?;
                output.show(&one, resource_text)
            }
            Self::Set {
                name,
                file,
                flags,
                force,
            } => {
                let body = body::<F>(&name, file, flags.members())?;
                let path = ["v1", F::PATH, &name];
                let one: ResourceView = client
                    .put(&path, &force.query(), &body)
                    .await
                    .map_err(Force::failure)?;
                output.show(&one, |one| {
                    format!("{} {}  version {}", one.kind, one.name, one.version)
                })
            }
            Self::Delete { name, yes, force } => {
                if !yes {
                    output.confirm(&format!("deleting {} {name}", F::WORD), None)?;
                }
                let path = ["v1", F::PATH, &name];
                let deleted = client.delete(&path, &force.query()).await;
                deleted.map_err(Force::failure)?;
                let deleted = json!({"kind": F::WORD, "name": name, "deleted": true});
                output.show(&deleted, |_| format!("{} {name}  deleted", F::WORD))
            }
        }
    }
}

/// The body to send: from the file, from the flags, or from standard input.
fn body<F: Flags>(
    name: &str,
    file: Option<PathBuf>,
    flags: Map<String, Value>,
) -> Result<Value, Failure> {
    let text = match (file, flags.is_empty()) {
        (Some(_), false) => {
            return Err(
                Failure::usage("-f and flags that set members contradict each other")
                    .hint("put everything into the file, or leave -f out"),
            );
        }
        (Some(path), true) => config::text(&path)?,
        (None, false) => return Ok(Value::Object(flags)),
        (None, true) => config::piped()?.ok_or_else(|| says_nothing::<F>(name))?,
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Invalid, format!("the body is not JSON: {error}")))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Failure::new(Code::Invalid, "the body is not a JSON object"))
}

/// `set` without flags, without a file and with nothing on standard input.
fn says_nothing<F: Flags>(name: &str) -> Failure {
    let (word, example) = (F::WORD, F::EXAMPLE);
    Failure::usage(format!("nothing says what {word} `{name}` is to be")).hint(format!(
        "give flags: switchhook {word} set {name} {example}\n      or a JSON body: switchhook {word} set {name} -f FILE   (- is standard input)\n      all flags: switchhook {word} set --help"
    ))
}

/// Resources, one on each line.
pub(super) fn resources_table(all: &[ResourceView]) -> String {
    let rows = all.iter().map(|one| {
        [
            one.name.clone(),
            one.version.to_string(),
            owner_text(one),
            body_text(&one.body),
        ]
    });
    table(["NAME", "VERSION", "OWNER", "BODY"], rows)
}

/// The body, behind what a glance must not miss: that a subscription is switched off.
fn body_text(body: &Value) -> String {
    let off = if body.get("enabled") == Some(&json!(false)) {
        "‖ off  "
    } else {
        ""
    };
    format!("{off}{}", cut(&body.to_string(), 100))
}

/// Where it is declared, or who owns it.
fn owner_text(one: &ResourceView) -> String {
    let place = one.defined_at.clone();
    place.unwrap_or_else(|| owner_word(one).to_owned())
}

fn owner_word(one: &ResourceView) -> &'static str {
    use switchhook_wire::api::Owner;
    match one.owner {
        Owner::File => "file",
        Owner::Api => "api",
        Owner::BuiltIn => "built in",
    }
}

fn resource_text(one: &ResourceView) -> String {
    let place = one
        .defined_at
        .as_deref()
        .map(|place| format!(" ({place})"))
        .unwrap_or_default();
    let owner = owner_word(one);
    format!(
        "{} {}  version {}  owner {owner}{place}\n{:#}",
        one.kind, one.name, one.version, one.body
    )
}

#[cfg(test)]
mod tests {
    use switchhook_wire::problem;

    use super::*;

    #[test]
    fn a_file_and_flags_together_are_refused() {
        let flags = Map::from_iter([("url".to_owned(), json!("x"))]);
        let failure = body::<PolicyFlags>("x", Some("x.json".into()), flags).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
    }

    #[test]
    fn a_list_shows_what_is_switched_off() {
        let body = json!({"enabled": false, "endpoint": "crm"});
        assert!(body_text(&body).starts_with("‖ off  {"));
        assert!(body_text(&json!({"endpoint": "crm"})).starts_with('{'));
    }

    #[test]
    fn a_refusal_for_the_sake_of_waiting_deliveries_names_the_flag() {
        let body = problem::Body::new(problem::Kind::Conflict, "2 deliveries wait")
            .with_hint("wait until they are done, or repeat the request with `?force=true`");
        let failure = Force::failure(client::Error::Refused(Box::new(body)));
        assert_eq!(failure.code, Code::Conflict);
        let hint = failure.hint.unwrap();
        assert_eq!(hint, "wait until they are done, or add --force");
    }
}
