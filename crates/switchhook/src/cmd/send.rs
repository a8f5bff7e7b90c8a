//! `switchhook send`: a test event through the whole of ingest, signed by the gateway as the source needs it.
//!
//! Without a body of its own it is realistic for sources with a Genesys preset, else the smallest that the source reads.
//! With `--wait` each attempt is shown as it is judged, until every delivery has come to its end or the
//! time is over. Bounds: [`COUNT_MAX`] events; one look at the timeline every [`LOOK_EVERY`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use switchhook_sim::sender::{Shape, fixture};
use switchhook_wire::api::{
    DeliveryState, DeliveryView, ResourceList, ResourceView, TestEventAnswer, TestEventRequest,
    TimelineView,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::event::attempt_line;
use crate::client::Client;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;

/// Most events of one command: a test, not a load.
const COUNT_MAX: u32 = 10_000;

/// How often the timeline is looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to send.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Source to send through; may be left out when there is only one
    source: Option<String>,
    /// Event type
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
    /// Write a value into the body, for example channel.from.id=c-1; several may be given
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, Value)>,
    /// JSON body to start from; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show each attempt until every delivery has come to its end
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true, default_missing_value = "60s", value_parser = config::span)]
    wait: Option<Duration>,
    /// How many events to send
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: u32,
}

/// `path=value`; the value is JSON where it reads as such, else text.
fn assignment(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((path.to_owned(), value))
        }
        _ => Err("write PATH=VALUE, for example channel.from.id=c-1".to_owned()),
    }
}

/// Sends, and waits if asked to.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let source = match args.source {
        Some(source) => source,
        None => only_source(client).await?,
    };
    let written = args.file.as_deref().map(body).transpose()?;
    let preset = if written.is_some() {
        None
    } else {
        preset(&source, client).await?
    };
    let mut request = TestEventRequest {
        kind: args.kind,
        body: written,
        set: args.set.into_iter().collect::<BTreeMap<_, _>>(),
    };
    let path = ["v1", "sources", &source, "test-event"];
    let mut undelivered = 0_u32;
    for _ in 0..args.count {
        if let Some(preset) = &preset {
            // A new identity for each, or the second would be a repeat of the first.
            let id = Uuid::now_v7().to_string();
            request.body = Some(fixture(preset, request.kind.as_deref(), &id, config::now()));
        }
        let answer: TestEventAnswer = client.send(Method::POST, &path, &request).await?;
        let repeat = if answer.duplicate {
            "  a repeat of an event accepted before"
        } else {
            ""
        };
        output.show(&answer, |answer| {
            format!("accepted   {}{repeat}", answer.event_id)
        })?;
        if let Some(patience) = args.wait {
            let ended_well = follow(&answer.event_id, patience, client, output).await?;
            undelivered += u32::from(!ended_well);
        }
    }
    match undelivered {
        0 => Ok(()),
        n => Err(Failure::new(
            Code::Partial,
            format!("{n} of {} events were not delivered everywhere", args.count),
        )
        .hint("`switchhook event timeline ID` shows where an event is, and why")),
    }
}

fn body(path: &std::path::Path) -> Result<Value, Failure> {
    serde_json::from_str(&config::text(path)?).map_err(|error| {
        Failure::new(
            Code::Invalid,
            format!("{} is not JSON: {error}", path.display()),
        )
    })
}

/// The preset of a source for which a realistic event can be made up here; for others the gateway does it.
async fn preset(source: &str, client: &Client) -> Result<Option<String>, Failure> {
    let view: ResourceView = client.get(&["v1", "sources", source]).await?;
    let preset = view.body.get("preset").and_then(Value::as_str);
    Ok(preset
        .filter(|preset| Shape::of(preset) != Shape::Plain)
        .map(str::to_owned))
}

async fn only_source(client: &Client) -> Result<String, Failure> {
    let list: ResourceList = client
        .query(&["v1", "sources"], &json!({"pageSize": 20}))
        .await?;
    let mut names = list.entities.into_iter().map(|source| source.name);
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(
            Failure::new(Code::NotFound, "there is no source to send through")
                .hint("add one: switchhook source set web --preset open-messaging --secret web"),
        ),
        (Some(first), Some(second)) => {
            let others: Vec<_> = names.collect();
            let all = [vec![first, second], others].concat().join(", ");
            Err(Failure::usage("there are several sources").hint(format!("name one of {all}")))
        }
    }
}

/// Shows attempts until all deliveries of `id` have come to an end. Whether all were delivered.
///
/// That a subscription does not take the event is believed when two looks in a row say so: between an
/// attempt and its record on disk there are a few milliseconds in which the event seems passed over.
async fn follow(
    id: &str,
    patience: Duration,
    client: &Client,
    output: Output,
) -> Result<bool, Failure> {
    let deadline = Instant::now() + patience;
    let (mut shown, mut ended_before) = (BTreeSet::new(), false);
    loop {
        let timeline: TimelineView = client.get(&["v1", "events", id, "timeline"]).await?;
        for delivery in &timeline.deliveries {
            show_new(delivery, &mut shown, output)?;
        }
        let all = timeline.deliveries;
        let ended = all.iter().all(|delivery| delivery.state.is_final());
        let (_, taken): (Vec<_>, Vec<_>) = all
            .iter()
            .partition(|delivery| delivery.state == DeliveryState::NotMatched);
        if ended && (ended_before || taken.len() == all.len()) {
            if taken.is_empty() {
                output.say("no subscription takes this event");
            }
            return Ok(taken
                .iter()
                .all(|delivery| delivery.state == DeliveryState::Delivered));
        }
        if Instant::now() >= deadline {
            for delivery in taken.iter().filter(|delivery| !delivery.state.is_final()) {
                output.say(&format!("{}: {}", delivery.subscription, delivery.why));
            }
            return Ok(false);
        }
        ended_before = ended;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn show_new(
    delivery: &DeliveryView,
    shown: &mut BTreeSet<(String, u16, u16)>,
    output: Output,
) -> Outcome {
    for attempt in &delivery.attempts {
        if shown.insert((delivery.id.clone(), attempt.chain, attempt.n)) {
            output.show(&json!({"deliveryId": delivery.id, "subscription": delivery.subscription, "attempt": attempt}), |_| {
                format!("{} -> {}  {}", delivery.subscription, attempt.endpoint, attempt_line(attempt))
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_where_it_reads_as_such() {
        for (text, path, value) in [
            ("a.b=1", "a.b", json!(1)),
            ("a=true", "a", json!(true)),
            ("a=x=y", "a", json!("x=y")),
            ("a=", "a", json!("")),
            ("/a/b=\"1\"", "/a/b", json!("1")),
        ] {
            assert_eq!(assignment(text), Ok((path.to_owned(), value)));
        }
        assert!(assignment("=1").is_err() && assignment("a").is_err());
    }
}
