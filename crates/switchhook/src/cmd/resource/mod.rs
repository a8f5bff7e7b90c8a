//! `switchhook source|endpoint|subscription|policy list|get|set|delete`: resources by name.
//!
//! A body has the shape of the configuration file. `set` replaces the whole resource; its body comes from
//! a file, from standard input, or from the few flags that the commonest resources need. What is in force
//! because the configuration file says so cannot be changed here; the gateway says so.

mod flags;

use std::path::PathBuf;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};
use switchhook_wire::api::{PAGE_SIZE_MAX, ProbeView, ResourceView};

use crate::client::Client;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut, list, table};
use flags::Flags;

pub(super) use flags::{EndpointFlags, PolicyFlags, SourceFlags, SubscriptionFlags};

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
    },
    /// Delete one
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
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
            Self::Set { name, file, flags } => {
                let body = body(file, flags.members())?;
                let one: ResourceView = client
                    .send(Method::PUT, &["v1", F::PATH, &name], &body)
                    .await?;
                output.show(&one, |one| {
                    format!("{} {}  version {}", one.kind, one.name, one.version)
                })
            }
            Self::Delete { name, yes } => {
                if !yes {
                    output.confirm(&format!("deleting {} {name}", F::WORD), None)?;
                }
                client.delete(&["v1", F::PATH, &name]).await?;
                let deleted = json!({"kind": F::WORD, "name": name, "deleted": true});
                output.show(&deleted, |_| format!("{} {name}  deleted", F::WORD))
            }
        }
    }
}

/// The body to send: from the file, from the flags, or from standard input.
fn body(file: Option<PathBuf>, flags: Map<String, Value>) -> Result<Value, Failure> {
    let text = match (file, flags.is_empty()) {
        (Some(_), false) => {
            return Err(
                Failure::usage("-f and flags that set members contradict each other")
                    .hint("put everything into the file, or leave -f out"),
            );
        }
        (Some(path), true) => config::text(&path)?,
        (None, false) => return Ok(Value::Object(flags)),
        (None, true) => config::stdin()?,
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Invalid, format!("the body is not JSON: {error}")))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Failure::new(Code::Invalid, "the body is not a JSON object"))
}

/// Where deliveries go.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    #[command(flatten)]
    Any(Action<EndpointFlags>),
    /// Ask an endpoint whether it is there: DNS, connection, TLS, answer. Advice only
    Probe {
        /// Its name
        name: String,
    },
}

impl EndpointCommand {
    /// Does it.
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let name = match self {
            Self::Any(action) => return action.run(client, output).await,
            Self::Probe { name } => name,
        };
        let path = ["v1", "endpoints", &name, "probe"];
        let found: ProbeView = client.send(Method::POST, &path, &json!({})).await?;
        output.show(&found, probe_text)?;
        match found.error {
            None => Ok(()),
            Some(_) => Err(Failure::silent(Code::Unavailable)),
        }
    }
}

/// Resources, one on each line.
pub(super) fn resources_table(all: &[ResourceView]) -> String {
    let rows = all.iter().map(|one| {
        let owner = match &one.defined_at {
            Some(place) => place.clone(),
            None => owner_word(one).to_owned(),
        };
        [
            one.name.clone(),
            one.version.to_string(),
            owner,
            cut(&one.body.to_string(), 100),
        ]
    });
    table(["NAME", "VERSION", "OWNER", "BODY"], rows)
}

fn owner_word(one: &ResourceView) -> &'static str {
    use switchhook_wire::api::Owner;
    match one.owner {
        Owner::File => "file",
        Owner::Api => "api",
        Owner::BuiltIn => "built in",
        Owner::Directory => "directory",
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

fn probe_text(found: &ProbeView) -> String {
    let answer = match (found.status, &found.error) {
        (Some(status), _) => format!("{} answered {status}", found.method),
        (None, Some(error)) => format!("no answer: {}", cut(error, 200)),
        (None, None) => "no answer".to_owned(),
    };
    let mut text = format!(
        "{}  {answer} after {:.1} ms\n",
        found.endpoint, found.total_ms
    );
    for (what, ms) in [
        ("dns", found.dns_ms),
        ("connect", found.connect_ms),
        ("tls", found.tls_ms),
        ("first byte", found.first_byte_ms),
    ] {
        if let Some(ms) = ms {
            text.push_str(&format!("  {what:<11}{ms:>8.1} ms\n"));
        }
    }
    let one_of = |address: &String| match found.addresses {
        Some(count) if count > 1 => format!("{address}, one of {count}"),
        _ => address.clone(),
    };
    let address = found.address.as_ref().map(one_of);
    for (what, value) in [("address", &address), ("version", &found.tls_version)] {
        if let Some(value) = value {
            text.push_str(&format!("  {what:<11}{value}\n"));
        }
    }
    for advice in &found.advice {
        text.push_str(&format!("  {advice}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_shows_every_step_that_was_taken() {
        let found = ProbeView {
            endpoint: "crm".into(),
            method: "HEAD".into(),
            status: Some(204),
            address: Some("192.0.2.7:443".into()),
            addresses: Some(2),
            dns_ms: Some(1.25),
            connect_ms: Some(12.0),
            tls_ms: Some(20.5),
            first_byte_ms: Some(30.0),
            total_ms: 64.0,
            tls_version: Some("TLSv1.3".into()),
            ..ProbeView::default()
        };
        insta::assert_snapshot!(probe_text(&found), @r"
        crm  HEAD answered 204 after 64.0 ms
          dns             1.2 ms
          connect        12.0 ms
          tls            20.5 ms
          first byte     30.0 ms
          address    192.0.2.7:443, one of 2
          version    TLSv1.3
        ");
    }

    #[test]
    fn a_file_and_flags_together_are_refused() {
        let flags = Map::from_iter([("url".to_owned(), json!("x"))]);
        let failure = body(Some("x.json".into()), flags).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
    }
}
