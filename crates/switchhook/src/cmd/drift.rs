//! `switchhook drift`: where the gateway and the files that declare its resources differ, and who changed it when.
//!
//! The other side of a plan: it assumes that the gateway once had what the files say. Who changed a resource is the last
//! entry of the audit log about it. Webhooks at other APIs are compared too, but nobody there says who changed them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use switchhook_wire::api::AuditView;
use switchhook_wire::apply::{Action, FieldChange, Step};

use super::plan::{self, Files, WebhookStep, gateway, value_text};
use crate::client::Client;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, counted, cut};

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// End with 10 when something differs
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Compares and shows.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let plan = plan::make(&args.files, client, output).await?;
    let differing: Vec<&Step> = plan
        .steps
        .iter()
        .filter(|step| step.action != Action::Unchanged)
        .collect();
    let webhooks: Vec<&WebhookStep> = plan
        .webhooks()
        .filter(|step| step.action.is_change())
        .collect();
    let objects: BTreeSet<String> = differing.iter().map(|step| step.object()).collect();
    let last = gateway::last_changes(client, &objects).await?;
    if output.is_json() {
        let shown = differing.iter().map(|step| {
            json!({
                "object": step.object(),
                "state": state(step.action),
                "fields": step.fields,
                "changedBy": last.get(&step.object()),
            })
        });
        let elsewhere = webhooks.iter().map(|step| {
            json!({"object": step.object(), "state": state(step.action), "fields": step.fields})
        });
        output.json(&json!({"drift": shown.chain(elsewhere).collect::<Vec<_>>()}))?;
    } else {
        output.line(&text(&differing, &last, &webhooks))?;
    }
    if args.detailed_exitcode && !(differing.is_empty() && webhooks.is_empty()) {
        return Err(Failure::silent(Code::Differs));
    }
    Ok(())
}

/// How a resource stands to the file.
const fn state(action: Action) -> &'static str {
    match action {
        Action::Create => "missing",
        Action::Update => "differs",
        Action::Delete => "not-declared",
        Action::Conflict => "owned-by-others",
        Action::Unchanged => "same",
    }
}

fn text(
    differing: &[&Step],
    last: &BTreeMap<String, AuditView>,
    webhooks: &[&WebhookStep],
) -> String {
    if differing.is_empty() && webhooks.is_empty() {
        return "nothing differs".to_owned();
    }
    let mut text = String::new();
    for step in differing {
        let object = step.object();
        let who = match last.get(&object) {
            Some(entry) => format!(
                "{} by {} at {}, no. {} of the audit log",
                cut(&entry.action, 32),
                cut(&entry.actor, 32),
                entry.at,
                entry.number
            ),
            None => {
                "nobody changed it through the API, as far as the audit log was read".to_owned()
            }
        };
        let owner = step.conflict.as_ref();
        let owner = owner.map_or(String::new(), |owner| format!("  {owner}"));
        text.push_str(&format!(
            "{:<15} {object}{owner}\n      {who}\n",
            state(step.action)
        ));
        if step.action != Action::Update && step.action != Action::Conflict {
            continue;
        }
        text.push_str(&fields_text(&step.fields, "gateway"));
    }
    for step in webhooks {
        text.push_str(&format!(
            "{:<15} {}\n      at another API, which does not say who changed it\n",
            state(step.action),
            step.object()
        ));
        text.push_str(&fields_text(&step.fields, "there"));
    }
    let count = counted(differing.len() as u64, "resource");
    let elsewhere = match webhooks.len() as u64 {
        0 => String::new(),
        n => format!(" and {}", counted(n, "webhook")),
    };
    text.push_str(&format!("{count}{elsewhere} not as declared"));
    text
}

/// One line for each field that differs; `place` is where the value that is not the file's stands.
fn fields_text(fields: &[FieldChange], place: &str) -> String {
    let line = |field: &FieldChange| {
        let (there, file) = (value_text(&field.gateway), value_text(&field.file));
        let pointer = cut(&field.pointer, 120);
        format!("      {pointer}  file {file}, {place} {there}\n")
    };
    fields.iter().map(line).collect()
}
