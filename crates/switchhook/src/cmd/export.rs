//! `switchhook export`: the resources of the API as a file that declares them, for `plan` and `apply`.
//!
//! What the gateway's own file declares is in that file already and is left out. No secret is in it: the API shows none.

use std::path::PathBuf;

use serde_json::json;
use switchhook_wire::api::{Owner, ResourceView};
use switchhook_wire::apply::export;
use switchhook_wire::config::Kind;

use super::plan::gateway::Gateway;
use crate::client::Client;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, counted};

/// What to export.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this kind: source, policy, endpoint, group or subscription
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only what this file declares, by its name
    #[arg(long, value_name = "NAME")]
    managed_by: Option<String>,
    /// Write it to this file, which must not exist [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exports.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let kind = args.kind.as_deref().map(known_kind).transpose()?;
    let gateway = Gateway::read(client).await?;
    let is_meant = |view: &ResourceView| {
        view.owner == Owner::Api
            && kind.is_none_or(|kind| view.kind == kind.name())
            && (args.managed_by.is_none() || view.managed_by == args.managed_by)
    };
    let views: Vec<ResourceView> = gateway.resources.into_iter().filter(is_meant).collect();
    let text = export(&views, args.managed_by.as_deref());
    let count = counted(views.len() as u64, "resource");
    match args.output {
        Some(path) => {
            config::write_new(&path, &text)?;
            let written = json!({"file": path, "resources": views.len()});
            output.show(&written, |_| {
                format!("{count} written to {}", path.display())
            })
        }
        None if output.is_json() => output.json(&json!({"text": text, "resources": views.len()})),
        None => {
            output.say(&count);
            output.line(&text)
        }
    }
}

fn known_kind(name: &str) -> Result<Kind, Failure> {
    Kind::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        Failure::usage(format!("there is no kind `{name}`"))
            .hint(format!("kinds are {}", known.join(", ")))
    })
}
