//! `switchhook apply`: has the gateway have what files declare, one resource after the other.
//!
//! It does what `plan` shows, in an order in which what is mentioned is there first. Each resource is one change of its own,
//! meant for the version that the plan saw: somebody who changes it meanwhile is not overwritten, but named. A change that
//! is cut off is sent again under the same idempotency key. Cut off as a whole, it is run again: what is done is found done.
//!
//! Bounds: [`TRIES`] for one change.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};
use switchhook_wire::api::ResourceView;
use switchhook_wire::apply::{Action, Step};
use switchhook_wire::problem::Kind as Problem;
use uuid::Uuid;

use super::plan::{self, Files, Plan, gateway};
use super::resource::Force;
use crate::client::{Client, Error, Version};
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, counted};

/// How often one change is sent.
const TRIES: u32 = 4;
/// Wait before the second time; each further one waits twice as long.
const WAIT: Duration = Duration::from_millis(500);

/// What to apply.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    force: Force,
    /// Directory where changes at other APIs are kept [default: ./.switchhook]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// What became of the steps.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    failed: u64,
    /// Webhooks that were to be made and were so already.
    unchanged: u64,
    /// Of the first that failed.
    code: Option<Code>,
    left: u64,
}

/// Plans, asks, and does it.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let plan = plan::make(&args.files, client, output).await?;
    plan.refuse_conflicts()?;
    let to_do: Vec<&Step> = plan.steps.iter().filter(|step| step.is_to_do()).collect();
    let webhooks = plan.webhooks_to_make();
    let count = to_do.len().saturating_add(webhooks) as u64;
    if count > 0 && !args.yes {
        output.must_say(&plan.text());
        output.confirm(
            &format!("applying {}", counted(count, "change")),
            Some(count),
        )?;
    }
    let mut tally = carry_out(&to_do, args.force, client, output).await?;
    if tally.left == 0 {
        let state_dir = plan::state_dir(args.state_dir);
        for elsewhere in &plan.elsewhere {
            let ended = elsewhere.apply(&state_dir, output).await?;
            tally.done += ended.done;
            tally.unchanged += ended.unchanged;
            tally.failed += ended.failed;
            tally.code = tally.code.or(ended.code);
        }
    } else {
        tally.left = tally.left.saturating_add(webhooks as u64);
    }
    tell(&plan, &tally, output)?;
    match (tally.code, tally.done) {
        (None, _) => Ok(()),
        (Some(code), 0) => Err(Failure::silent(code)),
        (Some(_), _) => Err(Failure::silent(Code::Partial)),
    }
}

/// Does one step after the other. What fails is said, and the others go on, unless the gateway is gone or refuses us.
async fn carry_out(
    steps: &[&Step],
    force: Force,
    client: &Client,
    output: Output,
) -> Result<Tally, Failure> {
    let (run, mut tally) = (Uuid::now_v7().simple(), Tally::default());
    for (number, step) in steps.iter().enumerate() {
        let key = HeaderValue::try_from(format!("apply-{run}-{number}"));
        let key = key.map_err(|error| Failure::unexpected("an idempotency key", error))?;
        match send(step, force, &client.with_key(key)).await {
            Ok(view) => {
                tally.done += 1;
                report(step, view.as_ref(), output)?;
            }
            Err(error) => {
                let is_over = matches!(error, Error::Unreachable { .. } | Error::Foreign { .. })
                    || matches!(error.status(), Some(401 | 403));
                let failure = explained(step, error, client).await;
                tally.failed += 1;
                complain(step, &failure, output)?;
                tally.code = tally.code.or(Some(failure.code));
                if is_over {
                    tally.left = steps.len().saturating_sub(number + 1) as u64;
                    break;
                }
            }
        }
    }
    Ok(tally)
}

/// Sends one change until it is answered.
async fn send(step: &Step, force: Force, client: &Client) -> Result<Option<ResourceView>, Error> {
    let query = json!({
        "force": force.is_set().then_some(true),
        "managedBy": step.managed_by,
        "takeOver": step.takes_over.then_some(true),
    });
    let path = ["v1", step.kind.plural(), step.name.as_str()];
    let version = match step.etag.as_deref().map(HeaderValue::try_from) {
        Some(Ok(tag)) => Version::Tagged(tag),
        Some(Err(_)) | None => Version::Absent,
    };
    let mut wait = WAIT;
    for _ in 1..TRIES {
        let sent = once(step, &path, &query, version.clone(), client).await;
        match sent {
            Err(error) if is_worth_another(&error) => {}
            answered => return answered,
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2);
    }
    once(step, &path, &query, version, client).await
}

async fn once(
    step: &Step,
    path: &[&str],
    query: &Value,
    version: Version,
    client: &Client,
) -> Result<Option<ResourceView>, Error> {
    match &step.body {
        Some(body) => client
            .put_version(path, query, body, version)
            .await
            .map(Some),
        None => client
            .delete_version(path, query, version)
            .await
            .map(|()| None),
    }
}

/// Whether the same request may have another answer in a moment: under its key it is done once.
fn is_worth_another(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused(body) => {
            matches!(body.status, 429 | 503) || body.code == Problem::IdempotencyBusy.slug()
        }
        Error::Address { .. } | Error::Foreign { .. } => false,
    }
}

/// Why a step failed; if somebody else was there before, who.
async fn explained(step: &Step, error: Error, client: &Client) -> Failure {
    let is_stale = error.status() == Some(412);
    let mut failure = Force::failure(error);
    if is_stale {
        let object = BTreeSet::from([step.object()]);
        let last = gateway::last_changes(client, &object).await;
        if let Some(entry) = last.ok().and_then(|mut found| found.remove(&step.object())) {
            let (actor, at, action) = (&entry.actor, &entry.at, &entry.action);
            failure.message = format!("{actor} changed it meanwhile ({action}, {at})");
        }
        failure.hint = Some("run it again: it compares with what is there now".to_owned());
    }
    failure
}

fn report(step: &Step, view: Option<&ResourceView>, output: Output) -> Outcome {
    let version = view.map(|view| view.version);
    if output.is_json() {
        return output.json(&json!({
            "object": step.object(),
            "action": step.action,
            "done": true,
            "version": version,
        }));
    }
    let did = match step.action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Delete => "deleted",
        Action::Unchanged | Action::Conflict => "adopted",
    };
    let version = version.map_or(String::new(), |version| format!("  version {version}"));
    output.line(&format!("{did:<8} {}{version}", step.object()))
}

fn complain(step: &Step, failure: &Failure, output: Output) -> Outcome {
    if output.is_json() {
        output.json(&json!({
            "object": step.object(),
            "action": step.action,
            "done": false,
            "error": failure.message,
        }))?;
    }
    let hint = failure.hint.as_ref();
    let hint = hint.map_or(String::new(), |hint| format!("\n         {hint}"));
    output.must_say(&format!(
        "failed   {}: {}{hint}",
        step.object(),
        failure.message
    ));
    Ok(())
}

fn tell(plan: &Plan, tally: &Tally, output: Output) -> Outcome {
    let unchanged = plan.steps.iter().filter(|step| !step.is_to_do()).count() as u64;
    let unchanged = unchanged + plan.webhooks_unchanged() + tally.unchanged;
    if output.is_json() {
        return output.json(&json!({
            "done": tally.done,
            "failed": tally.failed,
            "notTried": tally.left,
            "unchanged": unchanged,
        }));
    }
    let left = match tally.left {
        0 => String::new(),
        n => format!(", {n} not tried"),
    };
    let Tally { done, failed, .. } = tally;
    output.line(&format!(
        "{done} done, {failed} failed{left}, {unchanged} unchanged"
    ))
}

#[cfg(test)]
mod tests {
    use switchhook_wire::problem::Body;

    use super::*;

    #[test]
    fn only_what_may_be_answered_otherwise_in_a_moment_is_sent_again() {
        let refused = |kind| Error::Refused(Box::new(Body::new(kind, "x")));
        for (kind, again) in [
            (Problem::Overloaded, true),
            (Problem::IdempotencyBusy, true),
            (Problem::TooManyRequests, true),
            (Problem::PreconditionFailed, false),
            (Problem::Conflict, false),
            (Problem::InvalidResource, false),
            (Problem::Internal, false),
        ] {
            assert_eq!(is_worth_another(&refused(kind)), again, "{kind:?}");
        }
    }
}
