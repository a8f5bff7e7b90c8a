//! `switchhook changes`: changes of a management API that failed for good or were cut off.
//!
//! They stand in the state directory of `switchhook genesys`. A change that may be in force although its answer was lost
//! is tried again with the same idempotency key; one that was refused gets a new key.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use switchhook_core::time::rfc3339;
use switchhook_genesys::change::journal::Open;
use switchhook_genesys::change::{Changes, Operation, Wish};
use switchhook_genesys::dialect::Dialect;
use switchhook_wire::change::{DeadChange, Figures, Planned};

use super::genesys::{Access, failure, figures_text, made_json, made_text, now};
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, counted, cut, table};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

/// What to do with changes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what failed for good and what has no end
    List,
    /// Show counts, success rate and average latency of all changes
    Stats,
    /// Try what failed for good again, at the API that it was for
    Retry {
        #[command(flatten)]
        which: Which,
        /// Accepted for scripts; a retry does not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Forget changes
    Discard {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which changes.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Ids, `chg_…`
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// All that failed for good
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

impl Which {
    /// Their ids. Every one that was named must be there.
    fn ids(&self, changes: &Changes, with_open: bool) -> Result<Vec<String>, Failure> {
        if self.all {
            return Ok(changes.dead().iter().map(|dead| dead.id.clone()).collect());
        }
        let is_there = |id: &str| {
            changes.dead().iter().any(|dead| dead.id == id)
                || (with_open && changes.open_changes().any(|open| open.id == id))
        };
        match self.ids.iter().find(|id| !is_there(id)) {
            Some(id) => Err(Failure::new(
                Code::NotFound,
                format!("there is no dead change `{id}`"),
            )
            .hint("`switchhook changes list` shows all")),
            None => Ok(self.ids.clone()),
        }
    }
}

/// Does it.
pub(super) async fn run(args: ChangesArgs, output: Output) -> Outcome {
    let ChangesArgs {
        mut access,
        command,
    } = args;
    let dir = access.state_dir();
    if !dir.exists() {
        return nothing(command, dir, output);
    }
    let mut changes = access.changes()?;
    match command {
        Command::List => show(&changes, output),
        Command::Stats => output.show(&changes.figures(), figures_text),
        Command::Retry { which, yes: _ } => {
            let ids = which.ids(&changes, false)?;
            retry(&mut changes, ids, which.all, &mut access, output).await
        }
        Command::Discard { which, yes } => {
            let ids = which.ids(&changes, true)?;
            if !yes {
                output.confirm(
                    &format!("forgetting {}", counted(ids.len() as u64, "change")),
                    Some(ids.len() as u64),
                )?;
            }
            for id in &ids {
                changes
                    .discard(id, now())
                    .map_err(|error| failure(&error))?;
            }
            output.show(&json!({"discarded": ids}), |_| {
                format!("{} discarded", counted(ids.len() as u64, "change"))
            })
        }
    }
}

/// What there is to say where no state directory is. None is made.
fn nothing(command: Command, dir: &Path, output: Output) -> Outcome {
    let text = format!("there is no state directory {}", dir.display());
    let figures = Figures::default();
    match command {
        Command::List if output.is_json() => {
            output.say(&text);
            output.json(&json!({"dead": [], "open": [], "stats": figures}))
        }
        Command::Stats if output.is_json() => {
            output.say(&text);
            output.json(&figures)
        }
        Command::List | Command::Stats => {
            output.say(&format!("no changes: {text}"));
            Ok(())
        }
        Command::Retry { .. } | Command::Discard { .. } => {
            Err(Failure::new(Code::NotFound, text).hint("name it with --state-dir"))
        }
    }
}

fn show(changes: &Changes, output: Output) -> Outcome {
    let open: Vec<&Open> = changes.open_changes().collect();
    if output.is_json() {
        let open: Vec<Value> = open
            .iter()
            .map(|open| {
                json!({"id": open.id, "plannedAt": rfc3339(open.planned_at), "change": open.planned, "last": open.last})
            })
            .collect();
        return output
            .json(&json!({"dead": changes.dead(), "open": open, "stats": changes.figures()}));
    }
    if changes.dead().is_empty() && open.is_empty() {
        output.say("no changes");
        return Ok(());
    }
    let dead = changes.dead().iter().map(dead_row);
    let open = open.iter().map(|open| {
        let state = if open.last.is_some() {
            "cut off"
        } else {
            "planned"
        };
        row(
            &open.id,
            &rfc3339(open.planned_at),
            state,
            &open.planned,
            "apply it again to finish it",
        )
    });
    output.line(&table(
        ["CHANGE", "TIME", "STATE", "OPERATION", "TARGET", "REASON"],
        dead.chain(open),
    ))
}

fn dead_row(dead: &DeadChange) -> [String; 6] {
    let state = if dead.failed.is_certain {
        "failed"
    } else {
        "uncertain"
    };
    row(&dead.id, &dead.at, state, &dead.change, &dead.failed.error)
}

fn row(id: &str, at: &str, state: &str, planned: &Planned, reason: &str) -> [String; 6] {
    [
        id.to_owned(),
        at.to_owned(),
        state.to_owned(),
        planned.operation.clone(),
        cut(&planned.target, 48),
        cut(reason.lines().next().unwrap_or_default(), 96),
    ]
}

async fn retry(
    changes: &mut Changes,
    ids: Vec<String>,
    is_all: bool,
    access: &mut Access,
    output: Output,
) -> Outcome {
    let dead = changes.dead().iter().find(|dead| ids.contains(&dead.id));
    let Some(base) = dead.map(|dead| dead.change.base.clone()) else {
        output.say("no changes");
        return Ok(());
    };
    if !access.is_named() {
        access.name(&base);
    }
    let client = access.client()?;
    let ids = of_base(changes, ids, is_all, client.bases().api.as_str(), output)?;
    let (mut results, mut first) = (Vec::new(), None);
    for id in &ids {
        let wish = changes
            .dead()
            .iter()
            .find(|dead| dead.id == *id)
            .map(wish_of);
        match changes.again(&client, id).await {
            Ok(made) => {
                if let Some(wish) = wish {
                    if !output.is_json() {
                        output.line(&made_text(&wish, &made))?;
                    }
                    results.push(made_json(&wish, &made));
                }
            }
            Err(error) => {
                if ids.len() > 1 {
                    output.say(&format!("failed  {id}  {error}"));
                }
                results.push(json!({"change": id, "result": "failed", "status": error.status(), "error": error.to_string()}));
                first.get_or_insert(error);
            }
        }
    }
    let failed = results
        .iter()
        .filter(|result| result.get("error").is_some())
        .count();
    if output.is_json() {
        output.json(&json!({"results": results, "stats": changes.figures()}))?;
    }
    match first {
        None => Ok(()),
        Some(error) if failed == ids.len() => Err(failure(&error)),
        Some(_) => Err(Failure::new(
            Code::Partial,
            format!("{failed} of {} changes failed again", ids.len()),
        )),
    }
}

/// Those of `ids` that are for the API at `base`. With `--all` the others are left for another run; what is named by its id
/// must be for it.
fn of_base(
    changes: &Changes,
    ids: Vec<String>,
    is_all: bool,
    base: &str,
    output: Output,
) -> Result<Vec<String>, Failure> {
    let other_base = |id: &String| {
        let dead = changes.dead().iter().find(|dead| dead.id == *id)?;
        (dead.change.base != base).then(|| dead.change.base.clone())
    };
    let (mut here, mut others) = (Vec::new(), Vec::new());
    for id in ids {
        match other_base(&id) {
            None => here.push(id),
            Some(other) => others.push(format!("{id} is for {other}")),
        }
    }
    let Some(first) = others.first() else {
        return Ok(here);
    };
    if is_all && !here.is_empty() {
        let left = counted(others.len() as u64, "change");
        output.must_say(&format!(
            "left out: {left} for other APIs than {base}; {first}, for example"
        ));
        return Ok(here);
    }
    Err(
        Failure::usage(format!("{first}, not for {base}; nothing was sent"))
            .hint("name the API of the change with --base, or none: it is known"),
    )
}

/// The change of a dead letter, as it is shown.
fn wish_of(dead: &DeadChange) -> Wish {
    Wish {
        operation: Operation::from_name(&dead.change.operation).unwrap_or(Operation::Apply),
        dialect: Dialect::from_name(&dead.change.dialect).unwrap_or_default(),
        target: dead.change.target.clone(),
        body: Value::Null,
    }
}
