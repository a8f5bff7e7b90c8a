//! `POST /v1/groups/{name}/seek`: moves the cursors of a subscription, all of them or those of some partitions.
//!
//! Forwards, dispatch passes over what lies between; what is under way or has a row goes on. Backwards, cursors stay
//! where they are, since everything before them may have rows and attempts: a replay job delivers what lies between
//! again, in the order of the log, and can be watched, paused and cancelled like any other. Without `"dryRun": false`
//! nothing is done but counting, in pages, which ends when the asker leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::json as object;
use switchhook_core::event::Event;
use switchhook_core::group::Group;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::sight::Sight;
use switchhook_core::subscription::{Selection, Subscription};
use switchhook_store::query::Limit;
use switchhook_wire::api::{JOB_RATE_MAX, Job, JobSelection, Seek, SeekAnswer, SeekMove, SeekTo};
use switchhook_wire::problem::{Body as Problem, Kind};

use super::{found, users};
use crate::control::answer::{Answer, Refusal, json};
use crate::control::audit::Actor;
use crate::control::request::{Faults, Params, needed_json};
use crate::control::{Control, jobs};
use crate::jobs::{Draft, Ranges};

/// Events of one read while they are counted: a read must not keep others from theirs for long.
const COUNT_LIMIT: Limit = Limit {
    items: 5_000,
    bytes: 4 * 1024 * 1024,
};

pub(in crate::control) async fn seek(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let asked: Seek = needed_json(body).await?;
    let plan = control.gateway.plan.load_full();
    let group = found(&plan, &name)?;
    let subscription = meant(&plan, group, asked.subscription.as_deref())?;
    let mut moves = moves(&control, &plan, subscription, &asked).await?;
    count(&control, &plan, subscription, &mut moves).await?;
    let sum = |forwards: bool| {
        let those = moves
            .iter()
            .filter(|step| (step.to > step.from) == forwards);
        those.map(|step| step.events).sum()
    };
    let mut answer = SeekAnswer {
        subscription: subscription.name.to_string(),
        dry_run: asked.dry_run,
        skipped: sum(true),
        replayed: sum(false),
        job: None,
        partitions: moves,
    };
    if !asked.dry_run {
        answer.job = carry_out(&control, &actor, &answer).await?;
    }
    json(answer)
}

/// The subscription that is meant: the one that is named, or the only one.
fn meant<'p>(
    plan: &'p Plan,
    group: &'p Group,
    named: Option<&str>,
) -> Answer<&'p Arc<Subscription>> {
    let mut all = users(plan, group);
    if let Some(name) = named {
        let found = all.find(|user| *user.name == *name);
        return Ok(found.ok_or_else(|| Problem::not_found("subscription of this group", name))?);
    }
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => {
            let detail = format!("no subscription uses group `{}`", group.name);
            Err(Refusal::new(Kind::Conflict, detail))
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = users(plan, group).map(|user| &*user.name).collect();
            let detail = format!("several subscriptions use group `{}`", group.name);
            let hint = format!("name one in `subscription`: {}", names.join(", "));
            Err(Problem::new(Kind::InvalidRequest, detail)
                .with_hint(hint)
                .into())
        }
    }
}

/// Each partition that would move, by number; nothing is counted yet.
async fn moves(
    control: &Control,
    plan: &Plan,
    subscription: &Subscription,
    asked: &Seek,
) -> Answer<Vec<SeekMove>> {
    let mut faults = Faults::default();
    let partitions = plan.partitions(subscription);
    let unknown = asked.partitions.iter().flatten();
    for partition in unknown.filter(|partition| **partition >= partitions) {
        let last = partitions.saturating_sub(1);
        let detail = format!("partition {partition} does not exist, there are 0 to {last}");
        faults.malformed("partitions", detail);
    }
    let time = match &asked.to {
        SeekTo::Time(text) => faults.time("to", Some(text.clone())),
        SeekTo::Offset(_) | SeekTo::Delta(_) => None,
    };
    faults.none()?;
    let read = control.read(move |store| {
        let at = time.map(|time| store.offset_at(time)).transpose()?;
        Ok((store.counts()?.first, at))
    });
    let (first, at) = read.await?;
    let bounds = first..=control.gateway.store.tail().end();
    let snapshot = control.gateway.dispatch.snapshot().await?;
    let is_meant = |partition: u16| {
        let chosen = asked.partitions.as_ref();
        chosen.is_none_or(|chosen| chosen.contains(&partition))
    };
    let mut moves: Vec<SeekMove> = snapshot
        .lanes
        .iter()
        .filter(|lane| lane.subscription == subscription.name && is_meant(lane.partition))
        .map(|lane| SeekMove {
            partition: lane.partition,
            from: lane.cursor.0,
            to: destination(&asked.to, at, lane.cursor, &bounds).0,
            events: 0,
        })
        .filter(|step| step.from != step.to)
        .collect();
    moves.sort_by_key(|step| step.partition);
    Ok(moves)
}

/// Where a cursor goes, within what the log holds. `at` is the offset of the time, where one is asked for.
fn destination(
    to: &SeekTo,
    at: Option<Offset>,
    cursor: Offset,
    bounds: &std::ops::RangeInclusive<Offset>,
) -> Offset {
    let wanted = match to {
        SeekTo::Offset(offset) => Offset(*offset),
        SeekTo::Time(_) => at.unwrap_or(cursor),
        SeekTo::Delta(by) => Offset(cursor.0.saturating_add_signed(*by)),
    };
    wanted.max(*bounds.start()).min(*bounds.end())
}

/// Counts for each move the events between that are of its partition and match the subscription.
async fn count(
    control: &Control,
    plan: &Arc<Plan>,
    subscription: &Arc<Subscription>,
    moves: &mut [SeekMove],
) -> Answer<()> {
    let between = |step: &SeekMove| (step.from.min(step.to), step.from.max(step.to));
    let Some(mut from) = moves.iter().map(|step| between(step).0).min() else {
        return Ok(());
    };
    let until = moves
        .iter()
        .map(|step| between(step).1)
        .max()
        .unwrap_or(from);
    while from < until {
        let events = control
            .read(move |store| store.read_log(Offset(from), COUNT_LIMIT))
            .await?;
        let Some(last) = events.last() else { break };
        from = last.offset.next().0;
        for event in &events {
            let counts = |step: &&mut SeekMove| {
                let (low, high) = between(step);
                (low..high).contains(&event.offset.0)
                    && is_of(plan, subscription, event, step.partition)
            };
            if let Some(step) = moves.iter_mut().find(counts) {
                step.events = step.events.saturating_add(1);
            }
        }
    }
    Ok(())
}

fn is_of(plan: &Plan, subscription: &Subscription, event: &Event, partition: u16) -> bool {
    plan.place(subscription, event).partition == partition
        && subscription.select(event) == Selection::Taken
}

/// Passes over what is left out, and makes a job of what is delivered again; its id.
async fn carry_out(
    control: &Control,
    actor: &Actor,
    answer: &SeekAnswer,
) -> Answer<Option<String>> {
    let gateway = &control.gateway;
    let (name, now) = (Arc::from(&*answer.subscription), gateway.clock.now());
    let entry = actor.entry(now, "group.seek", ("subscription", &name), &detail(answer));
    control.note(entry).await?;
    let mut ranges = Ranges::new();
    for step in &answer.partitions {
        if step.to > step.from {
            gateway
                .dispatch
                .skip(&name, step.partition, Offset(step.to));
        } else {
            ranges.insert(step.partition, (Offset(step.to), Offset(step.from)));
        }
    }
    // Messages are taken in order: once this one is answered, the cursors are where they were told to be.
    gateway.dispatch.snapshot().await?;
    if ranges.is_empty() {
        return Ok(None);
    }
    let audit = |job: &Job| jobs::made(control, actor, job);
    let job = gateway
        .jobs
        .make(draft(&name, ranges), actor.0.clone(), audit)
        .await?;
    Ok(Some(job.id))
}

/// The job that goes back: everything of these ranges, as fast as a job may.
fn draft(subscription: &Arc<str>, ranges: Ranges) -> Draft {
    let from = ranges.values().map(|(from, _)| *from).min();
    let until = ranges.values().map(|(_, until)| *until).max();
    let (from, until) = (from.unwrap_or_default(), until.unwrap_or_default());
    Draft {
        select: JobSelection {
            subscription: Some(subscription.to_string()),
            from_offset: Some(from.0),
            to_offset: Some(until.0),
            ..JobSelection::default()
        },
        to: subscription.clone(),
        rate_per_second: JOB_RATE_MAX,
        from,
        until,
        ranges: Some(ranges),
        // It names no reason.
        sight: Sight::Whole,
    }
}

fn detail(answer: &SeekAnswer) -> serde_json::Value {
    let moves: BTreeMap<String, [u64; 2]> = answer
        .partitions
        .iter()
        .map(|step| (step.partition.to_string(), [step.from, step.to]))
        .collect();
    object!({ "skipped": answer.skipped, "replayed": answer.replayed, "partitions": moves })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_where_it_is_told_but_never_out_of_the_log() {
        let (first, end) = (Offset(10), Offset(100));
        for (to, at, expected) in [
            (SeekTo::Offset(50), None, 50),
            (SeekTo::Offset(3), None, 10),
            (SeekTo::Offset(300), None, 100),
            (SeekTo::Time("now".into()), Some(Offset(70)), 70),
            (SeekTo::Delta(5), None, 45),
            (SeekTo::Delta(-15), None, 25),
            (SeekTo::Delta(i64::MIN), None, 10),
            (SeekTo::Delta(i64::MAX), None, 100),
        ] {
            let found = destination(&to, at, Offset(40), &(first..=end));
            assert_eq!(found, Offset(expected), "{to:?}");
        }
    }
}
