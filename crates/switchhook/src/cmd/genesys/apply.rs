//! `switchhook genesys webhooks apply`: what is wanted, checked as a whole, then made one after the other.
//!
//! Everything is checked before anything is sent. Each webhook is a change of its own: one that fails is kept and does not
//! keep the others from being made, and the exit code says that only a part is in force.

use serde_json::{Value, json};
use switchhook_genesys::change::{Changes, Operation, Wish};
use switchhook_genesys::client::Client;
use switchhook_genesys::dialect::{Dialect, Draft, masked};
use switchhook_genesys::probe::{Probed, Verdict, probe};
use switchhook_genesys::rebalance::{part_number, spread};
use switchhook_genesys::refusal::{Error, Fault};
use switchhook_genesys::{check, webhook};
use url::Url;

use super::webhooks::ApplyArgs;
use super::{Access, failure, figures_text, invalid, kept, made_json, made_text};
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;

/// Most bodies in one file.
const BODIES_MAX: usize = 100;

/// Does it.
pub(super) async fn run(args: ApplyArgs, access: &Access, output: Output) -> Outcome {
    let dialect = args.dialect.get();
    let wishes = wishes(dialect, &args)?;
    check_all(dialect, &wishes)?;
    if args.dry_run {
        return dry_run(dialect, &wishes, output);
    }
    let client = access.client()?;
    let mut changes = access.changes()?;
    let probes = match args.no_probe {
        true => Vec::new(),
        false => probe_all(dialect, &wishes, &args, access, output).await?,
    };
    let (mut results, mut first) = (Vec::new(), None);
    for wish in &wishes {
        match changes.make(&client, wish).await {
            Ok(made) => {
                if !output.is_json() {
                    output.line(&made_text(wish, &made))?;
                }
                results.push(made_json(wish, &made));
            }
            Err(error @ Error::Journal(_)) => return Err(failure(&error)),
            Err(error) => {
                if wishes.len() > 1 {
                    output.say(&format!("failed  {}  {error}", wish.target));
                }
                results.push(failed_json(wish, &error, &changes));
                first.get_or_insert(error);
            }
        }
    }
    let left_over = left_over(&client, dialect, &args, &wishes).await;
    for name in &left_over {
        output.say(&format!(
            "{name} is no part any more; `switchhook genesys webhooks delete {name}` removes it"
        ));
    }
    let failed = results
        .iter()
        .filter(|result| result.get("error").is_some())
        .count();
    let value = json!({"results": results, "probes": probes, "leftOver": left_over, "stats": changes.figures()});
    if output.is_json() {
        output.json(&value)?;
    } else {
        output.say(&figures_text(&changes.figures()));
    }
    match first {
        None => Ok(()),
        Some(error) if failed == wishes.len() => Err(kept(&changes, failure(&error))),
        Some(_) => Err(Failure::new(
            Code::Partial,
            format!("{failed} of {} webhooks are not in force", wishes.len()),
        )
        .hint("`switchhook changes list` shows why, `switchhook changes retry --all` tries again")),
    }
}

fn failed_json(wish: &Wish, error: &Error, changes: &Changes) -> Value {
    let change = changes
        .dead()
        .iter()
        .rev()
        .find(|dead| dead.change.target == wish.target);
    json!({
        "target": wish.target,
        "operation": wish.operation.name(),
        "dialect": wish.dialect.name(),
        "result": "failed",
        "change": change.map(|dead| &dead.id),
        "status": error.status(),
        "error": error.to_string(),
    })
}

/// The webhooks that are wanted: those of the file or of the flags, spread over the pool where there is one.
fn wishes(dialect: Dialect, args: &ApplyArgs) -> Result<Vec<Wish>, Failure> {
    let bodies = match &args.file {
        Some(path) => bodies(&config::text(path)?)?,
        None => vec![
            dialect.draft(&Draft {
                name: args.name.clone().unwrap_or_default(),
                url: args
                    .url
                    .clone()
                    .or_else(|| args.pool.first().cloned())
                    .unwrap_or_default(),
                event_types: args.event_types.clone(),
            }),
        ],
    };
    let pool = args.pool.iter().enumerate().map(|(at, text)| {
        text.parse::<Url>().map_err(|error| Fault {
            field: format!("pool[{at}]"),
            message: format!("is not a URL: {error}"),
            hint: None,
        })
    });
    let (mut endpoints, mut faults) = (Vec::new(), Vec::new());
    for result in pool {
        match result {
            Ok(url) => endpoints.push(url),
            Err(fault) => faults.push(fault),
        }
    }
    let wish = |body: Value| Wish {
        operation: Operation::Apply,
        dialect,
        target: dialect.title(&body).unwrap_or_default().to_owned(),
        body,
    };
    if args.pool.is_empty() {
        return Ok(bodies.into_iter().map(wish).collect());
    }
    let mut wishes = Vec::new();
    for body in bodies {
        let name = dialect.title(&body).unwrap_or_default();
        let parts = match spread(name, &dialect.event_types(&body), &endpoints) {
            Ok(parts) => parts,
            Err(error) => {
                // The parts would have been checked: all mistakes are to be told at once.
                let field = format!("pool of {name}");
                faults.push(Fault {
                    field,
                    message: error.to_string(),
                    hint: None,
                });
                faults.extend(check::event_types(dialect, &body));
                continue;
            }
        };
        for part in parts {
            let mut body = body.clone();
            let draft = Draft {
                name: part.name,
                url: part.endpoint.into(),
                event_types: part.event_types,
            };
            dialect.set(&mut body, &draft);
            wishes.push(wish(body));
        }
    }
    if faults.is_empty() {
        Ok(wishes)
    } else {
        Err(invalid("the webhook", &faults))
    }
}

fn bodies(text: &str) -> Result<Vec<Value>, Failure> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| Failure::new(Code::Invalid, format!("the file is not JSON: {error}")))?;
    let bodies = match json.as_array() {
        Some(bodies) => bodies.clone(),
        None => vec![json],
    };
    if !(1..=BODIES_MAX).contains(&bodies.len()) {
        let message = format!(
            "the file has {} webhooks, 1 to {BODIES_MAX} are allowed",
            bodies.len()
        );
        return Err(Failure::new(Code::Invalid, message));
    }
    Ok(bodies)
}

/// Everything that is wrong with all of them.
fn check_all(dialect: Dialect, wishes: &[Wish]) -> Outcome {
    let mut faults = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let place = if wishes.len() == 1 {
            String::new()
        } else {
            format!("[{at}].")
        };
        let found = check::webhook(dialect, &wish.body)
            .err()
            .into_iter()
            .flatten();
        faults.extend(found.map(|fault| Fault {
            field: format!("{place}{}", fault.field),
            ..fault
        }));
        let twice = wishes
            .iter()
            .take(at)
            .any(|other| other.target == wish.target);
        if twice {
            faults.push(Fault {
                field: format!("{place}name"),
                message: format!("`{}` is the name of two webhooks", wish.target),
                hint: None,
            });
        }
    }
    let too_many = dialect.event_types_max().is_some_and(|most| {
        wishes
            .iter()
            .any(|wish| dialect.event_types(&wish.body).len() > most)
    });
    match faults.is_empty() {
        true => Ok(()),
        false if too_many => Err(invalid("the webhook", &faults)
            .hint("give a --pool of endpoints that the event types are spread over")),
        false => Err(invalid("the webhook", &faults)),
    }
}

fn dry_run(dialect: Dialect, wishes: &[Wish], output: Output) -> Outcome {
    let path = format!("/{}", dialect.list().join("/"));
    let requests: Vec<Value> = wishes
        .iter()
        .flat_map(|wish| {
            let (body, events) = dialect.split(&wish.body);
            let shown = masked(&body).0;
            let make = json!({"method": "POST", "path": path, "orElse": format!("PUT {path}/{{id}}"), "body": shown});
            let bind = events.map(|events| {
                json!({"method": "POST", "path": format!("{path}/{{id}}/eventbindings"), "body": {"events": events}})
            });
            [Some(make), bind].into_iter().flatten()
        })
        .collect();
    output.show(&requests, |requests| {
        let text = |request: &Value, name: &str| {
            request
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let shown = requests.iter().map(|request| {
            let or_else = match text(request, "orElse") {
                other if other.is_empty() => String::new(),
                other => format!(", or {other} where it is there"),
            };
            let body = request
                .get("body")
                .map(|body| serde_json::to_string_pretty(body).unwrap_or_default());
            format!(
                "{} {}{or_else}\n{}",
                text(request, "method"),
                text(request, "path"),
                body.unwrap_or_default()
            )
        });
        shown.collect::<Vec<_>>().join("\n")
    })
}

/// Asks every target once whether it answers. What is found is only told.
async fn probe_all(
    dialect: Dialect,
    wishes: &[Wish],
    args: &ApplyArgs,
    access: &Access,
    output: Output,
) -> Result<Vec<Value>, Failure> {
    let trust = access.trust()?;
    let mut targets: Vec<Url> = Vec::new();
    for url in wishes
        .iter()
        .filter_map(|wish| dialect.url(&wish.body)?.parse().ok())
    {
        if !targets.contains(&url) {
            targets.push(url);
        }
    }
    let mut found = Vec::new();
    for target in targets {
        let probed = probe(&target, &args.allow_private, &trust).await;
        if probed.verdict != Verdict::Well {
            output.say(&format!("warning: {target} {}", probed_text(&probed)));
        }
        let steps = probed.steps.iter().map(|step| {
            let (status, error) = (step.result.as_ref().ok(), step.result.as_ref().err());
            json!({"method": step.method, "status": status, "error": error, "latencyMs": step.latency_ms})
        });
        found.push(json!({"url": target.as_str(), "verdict": probed.verdict.name(), "steps": steps.collect::<Vec<_>>()}));
    }
    Ok(found)
}

fn probed_text(probed: &Probed) -> String {
    let steps = probed.steps.iter().map(|step| match &step.result {
        Ok(status) => format!("{} {status}", step.method),
        Err(why) => format!("{} {why}", step.method),
    });
    let steps = steps.collect::<Vec<_>>().join(", ");
    match probed.verdict {
        Verdict::Well => format!("answers ({steps})"),
        Verdict::Answers => {
            format!("answers, but not to HEAD or GET ({steps}); that may be as it should")
        }
        Verdict::Failing => format!("answers that it is not well ({steps})"),
        Verdict::Unreachable => format!("was not reached from here ({steps})"),
    }
}

/// Webhooks that are called like parts of what was spread, and are none now.
async fn left_over(
    client: &Client,
    dialect: Dialect,
    args: &ApplyArgs,
    wishes: &[Wish],
) -> Vec<String> {
    let (Some(name), false) = (&args.name, args.pool.is_empty()) else {
        return Vec::new();
    };
    // It is only told: a list that is not to be had fails nothing.
    let all = webhook::list(client, dialect, &mut ())
        .await
        .unwrap_or_default();
    let names = all.iter().filter_map(|body| dialect.title(body));
    names
        .filter(|there| *there == name || part_number(name, there).is_some())
        .filter(|there| wishes.iter().all(|wish| wish.target != *there))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ApplyArgs,
    }

    fn args(words: &[&str]) -> ApplyArgs {
        Line::try_parse_from([&["x"], words].concat()).unwrap().args
    }

    #[test]
    fn event_types_are_spread_over_the_pool_and_each_part_is_checked() {
        let args = args(&[
            "--name",
            "a",
            "--event-type",
            "call:created,call:answered,message.create",
            "--pool",
            "https://one.example/",
            "--pool",
            "https://two.example/",
        ]);
        let wishes = wishes(Dialect::Webhooks, &args).unwrap();
        let shown: Vec<_> = wishes
            .iter()
            .map(|wish| (wish.target.as_str(), wish.body["eventTypes"].clone()))
            .collect();
        assert_eq!(
            shown,
            [
                ("a-1", json!(["call:created", "message.create"])),
                ("a-2", json!(["call:answered"]))
            ]
        );
        assert!(check_all(Dialect::Webhooks, &wishes).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_for_all_at_once_and_a_pool_is_named_where_it_helps() {
        let types: Vec<String> = (0..16).map(|at| format!("no.such.type.{at}")).collect();
        let args = args(&[
            "--name",
            "a",
            "--url",
            "https://one.example/",
            "--event-type",
            &types.join(","),
        ]);
        let wishes = wishes(Dialect::Webhooks, &args).unwrap();
        let failure = check_all(Dialect::Webhooks, &wishes).unwrap_err();
        assert_eq!(failure.code, Code::Invalid);
        assert!(
            failure.message.contains("at most 15") && failure.message.contains("eventTypes[15]"),
            "{}",
            failure.message
        );
        assert!(failure.hint.unwrap().contains("--pool"));
    }

    #[test]
    fn a_pool_that_is_too_small_is_refused_with_what_would_do() {
        let types: Vec<String> = (0..31).map(|at| format!("t{at}")).collect();
        let args = args(&[
            "--name",
            "a",
            "--event-type",
            &types.join(","),
            "--pool",
            "https://one.example/",
        ]);
        let failure = wishes(Dialect::Webhooks, &args).unwrap_err();
        assert!(
            failure.code == Code::Invalid && failure.message.contains("at least 3 endpoints"),
            "{}",
            failure.message
        );
    }
}
