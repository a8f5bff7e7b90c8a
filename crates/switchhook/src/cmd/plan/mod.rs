//! `switchhook plan`: what files that declare resources would change at the gateway. Nothing is changed.
//!
//! The comparison is [`switchhook_wire::apply`]; here the files and the gateway are read, and the result is shown. `apply`
//! and `drift` begin in the same way.

pub(super) mod gateway;
mod text;
mod webhooks;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;
use switchhook_wire::apply::{Action, Step, relevant, steps};
use switchhook_wire::config::{
    ApiResource, Declaration, DeclaredResource, Kind, Problem, check_declarations, render_all,
};

use crate::client::Client;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;
use gateway::Gateway;
use text::{shown, summary};
use webhooks::{Elsewhere, compare};

pub(super) use text::value_text;
pub(super) use webhooks::{WebhookStep, state_dir};

/// Which files, and whose resources they may take.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// File that declares resources; may be given several times
    #[arg(long = "file", short, value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Take over what another file declares
    #[arg(long)]
    take_over: bool,
}

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// End with 10 when something would change
    #[arg(long)]
    detailed_exitcode: bool,
}

/// What there is to do, in the order in which it can be done.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Webhooks at other APIs.
    pub(super) elsewhere: Vec<Elsewhere>,
}

/// Compares and shows.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let plan = make(&args.files, client, output).await?;
    if output.is_json() {
        let webhooks: Vec<_> = plan.webhooks().map(WebhookStep::json).collect();
        output.json(
            &json!({"changes": plan.steps, "webhooks": webhooks, "summary": plan.counts()}),
        )?;
    } else {
        output.line(&plan.text())?;
    }
    plan.refuse_conflicts()?;
    if args.detailed_exitcode && plan.changes() {
        return Err(Failure::silent(Code::Differs));
    }
    Ok(())
}

/// Reads the files and the gateway and compares them.
pub(super) async fn make(files: &Files, client: &Client, output: Output) -> Result<Plan, Failure> {
    let declarations = read(&files.files, output)?;
    let gateway = Gateway::read(client).await?;
    let declared: Vec<DeclaredResource> = declarations
        .iter()
        .flat_map(Declaration::resources)
        .collect();
    let names: BTreeSet<String> = declarations.iter().map(|it| it.name.clone()).collect();
    let steps = steps(&declared, &names, &gateway.resources, files.take_over);
    let others = others(&gateway, &steps);
    let secrets = gateway.secrets.iter().map(|name| name.as_str().into());
    let problems = relevant(check_declarations(&declarations, &others, secrets), &steps);
    told(&problems, output)?;
    let mut elsewhere = Vec::new();
    for (declaration, file) in declarations.iter().zip(&files.files) {
        elsewhere.extend(compare(declaration, file).await?);
    }
    Ok(Plan { steps, elsewhere })
}

/// The files, read; all problems of all of them at once.
fn read(files: &[PathBuf], output: Output) -> Result<Vec<Declaration>, Failure> {
    let (mut declarations, mut problems) = (Vec::new(), Vec::new());
    for path in files {
        let text = config::text(path)?;
        match Declaration::read(&text, &path.display().to_string(), &config::variable) {
            Ok(declaration) => declarations.push(declaration),
            Err(found) => problems.extend(found),
        }
    }
    told(&problems, output)?;
    Ok(declarations)
}

/// Says what is wrong; a failure if any of it is an error.
fn told(problems: &[Problem], output: Output) -> Outcome {
    if !problems.is_empty() {
        output.must_say(&render_all(problems));
    }
    if problems.iter().any(Problem::is_error) {
        return Err(Failure::new(Code::Invalid, "the files cannot be applied"));
    }
    Ok(())
}

/// What the gateway has that no file declares or deletes.
fn others(gateway: &Gateway, steps: &[Step]) -> Vec<ApiResource> {
    let touched: BTreeSet<(&str, &str)> = steps
        .iter()
        .map(|step| (step.kind.name(), step.name.as_str()))
        .collect();
    let left = gateway
        .resources
        .iter()
        .filter(|view| !touched.contains(&(view.kind.as_str(), view.name.as_str())));
    left.filter_map(|view| {
        Some(ApiResource {
            kind: Kind::from_name(&view.kind)?,
            name: view.name.clone(),
            body: view.body.clone(),
        })
    })
    .collect()
}

impl Plan {
    /// Whether anything differs.
    pub(super) fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.action.is_change())
            || self.elsewhere.iter().any(Elsewhere::changes)
    }

    /// The webhooks of all files.
    pub(super) fn webhooks(&self) -> impl Iterator<Item = &WebhookStep> {
        self.elsewhere.iter().flat_map(|it| &it.steps)
    }

    /// How many webhooks are to be made or changed.
    pub(super) fn webhooks_to_make(&self) -> usize {
        self.webhooks()
            .filter(|step| step.action.is_change())
            .count()
    }

    /// How many webhooks are as they are declared.
    pub(super) fn webhooks_unchanged(&self) -> u64 {
        let all = self.webhooks();
        all.filter(|step| !step.action.is_change()).count() as u64
    }

    /// Everything that differs, and how much it is.
    pub(super) fn text(&self) -> String {
        let webhooks: String = self.webhooks().map(WebhookStep::text).collect();
        let actions: Vec<Action> = self.webhooks().map(|step| step.action).collect();
        format!(
            "{}{webhooks}{}",
            shown(&self.steps),
            summary(&self.steps, &actions)
        )
    }

    /// How many of each, webhooks included.
    fn counts(&self) -> serde_json::Value {
        let of = |action| {
            let steps = self.steps.iter().map(|step| step.action);
            let all = steps.chain(self.webhooks().map(|step| step.action));
            all.filter(|it| *it == action).count()
        };
        let adopted = self.steps.iter().filter(|step| step.adopts).count();
        json!({
            "create": of(Action::Create),
            "update": of(Action::Update),
            "delete": of(Action::Delete),
            "unchanged": of(Action::Unchanged),
            "conflict": of(Action::Conflict),
            "adopt": adopted,
        })
    }

    /// A failure if something belongs to somebody else.
    pub(super) fn refuse_conflicts(&self) -> Outcome {
        let conflicts = self.steps.iter().filter_map(|step| {
            let owner = step.conflict.as_ref()?;
            Some(format!("\n  {}: {owner}", step.object()))
        });
        let conflicts: String = conflicts.collect();
        if conflicts.is_empty() {
            return Ok(());
        }
        let message = format!("what others own cannot be applied:{conflicts}");
        Err(Failure::new(Code::Conflict, message).hint(
            "take it out of one of them; --take-over takes it from another declaring file, never from the gateway's own",
        ))
    }
}
