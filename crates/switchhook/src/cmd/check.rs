//! `switchhook check`: everything that is wrong with a configuration file, at once.

use std::path::PathBuf;

use serde_json::json;
use switchhook_wire::config::{codes, load_toml, render_all};

use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file; `-` is standard input [default: switchhook.toml]
    file: Option<PathBuf>,
    /// Explain a problem code, for example SH0104
    #[arg(long, value_name = "CODE", conflicts_with = "file")]
    explain: Option<String>,
}

/// Checks, or explains.
pub(super) fn run(args: &Args, output: Output) -> Outcome {
    match &args.explain {
        Some(code) => explain(code, output),
        None => check(
            args.file
                .clone()
                .unwrap_or_else(|| config::FILE_DEFAULT.into()),
            output,
        ),
    }
}

fn check(path: PathBuf, output: Output) -> Outcome {
    let text = config::text(&path)?;
    let loaded = load_toml(&text, &path.display().to_string(), &config::variable);
    let errors = loaded
        .problems
        .iter()
        .filter(|problem| problem.is_error())
        .count();
    let valid = loaded.config.is_some();
    if output.is_json() {
        output.json(&json!({"valid": valid, "problems": loaded.problems}))?;
    } else {
        output.line(&render_all(&loaded.problems))?;
    }
    let Some(config) = loaded.config else {
        let failure = Failure::new(
            Code::Invalid,
            format!("{} cannot be used, errors: {errors}", path.display()),
        );
        // The list on stdout says it all.
        return Err(if output.is_json() {
            Failure::silent(Code::Invalid)
        } else {
            failure
        });
    };
    if !output.is_json() {
        let plan = &config.plan;
        output.line(&format!(
            "{}  ok   sources: {}, endpoints: {}, groups: {}, subscriptions: {}, policies: {}, secrets: {}, tests: {}",
            path.display(),
            plan.sources.len(),
            plan.endpoints.len(),
            plan.groups.len(),
            plan.subscriptions.len(),
            plan.policies.len(),
            config.secrets.len(),
            config.tests.len(),
        ))?;
    }
    Ok(())
}

fn explain(id: &str, output: Output) -> Outcome {
    let Some(code) = codes::find(id) else {
        let known: Vec<_> = codes::ALL.iter().map(|code| code.id).collect();
        return Err(
            Failure::new(Code::NotFound, format!("there is no problem code `{id}`"))
                .hint(format!("codes are {}", known.join(", "))),
        );
    };
    output.show(code, |code| {
        format!(
            "{} {}: {}\n\n{}",
            code.severity.name(),
            code.id,
            code.title,
            code.explanation
        )
    })
}
