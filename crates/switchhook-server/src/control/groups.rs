//! `/v1/groups`: groups as they work now, and moving partitions between their members.
//!
//! A description says for each subscription which endpoint works on which partition, how far it has got, and how fast: the
//! estimate of seed 001 beside what was measured. One group also shows its declaration, as every resource does; `PUT` and
//! `DELETE` are those of resources. Moving cursors is [`seek`].

pub(super) mod seek;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json as object};
use switchhook_core::breaker;
use switchhook_core::engine::{EndpointNow, LaneNow, Move};
use switchhook_core::group::{Affinity, Group, estimated_throughput};
use switchhook_core::plan::Plan;
use switchhook_core::subscription::{Subscription, Target};
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{
    GroupDescription, GroupMember, GroupProgress, PartitionMove, PartitionView, Rebalance,
    RebalanceAnswer, Stopped,
};
use switchhook_wire::config::Kind;
use switchhook_wire::problem::Body as Problem;

use super::Control;
use super::answer::{Answer, Refusal, json};
use super::audit::Actor;
use super::paging::listed;
use super::precondition::tagged;
use super::request::{Params, optional_json};
use crate::observe::Reading;

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let scene = Scene::of(&control).await?;
    let all = scene.plan.groups.values().map(|group| scene.group(group));
    json(listed(all, after.as_deref(), page_size, &uri, |group| {
        &group.name
    }))
}

/// A group as it works, with its declaration: one object that reads as either.
pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let scene = Scene::of(&control).await?;
    let group = found(&scene.plan, &name)?;
    let mut shown = serde_json::to_value(scene.group(group)).map_err(Refusal::internal)?;
    let resources = control.gateway.resources.lock().await;
    let declared = resources
        .listed(Kind::Group, &name)
        .map(|listed| serde_json::to_value(resources.view(listed)))
        .transpose()
        .map_err(Refusal::internal)?;
    if let (Value::Object(members), Some(Value::Object(declared))) = (&mut shown, declared) {
        members.extend(declared);
    }
    let etag = shown.get("etag").and_then(Value::as_str).map(str::to_owned);
    let mut response = json(shown)?;
    if let Some(etag) = etag {
        tagged(&etag, response.headers_mut());
    }
    Ok(response)
}

fn found<'p>(plan: &'p Plan, name: &str) -> Answer<&'p Arc<Group>> {
    let group = plan.groups.get(name);
    Ok(group.ok_or_else(|| Problem::not_found("group", name))?)
}

/// The subscriptions that use a group, by name.
fn users<'p>(plan: &'p Plan, group: &'p Group) -> impl Iterator<Item = &'p Arc<Subscription>> {
    let subscriptions = plan.subscriptions.values();
    subscriptions.filter(|user| matches!(&user.target, Target::Group(name) if *name == group.name))
}

/// Everything that a description looks at.
struct Scene<'c> {
    control: &'c Control,
    plan: Arc<Plan>,
    reading: Reading,
    now: UnixMs,
}

impl<'c> Scene<'c> {
    async fn of(control: &'c Control) -> Answer<Self> {
        Ok(Self {
            control,
            plan: control.gateway.plan.load_full(),
            reading: control.reading().await?,
            now: control.gateway.clock.now(),
        })
    }

    fn group(&self, group: &Group) -> GroupDescription {
        let subscriptions: Vec<GroupProgress> = users(&self.plan, group)
            .map(|user| self.progress(user))
            .collect();
        let mut loads: BTreeMap<&str, u64> = BTreeMap::new();
        for partition in subscriptions.iter().flat_map(|user| &user.partitions) {
            if let Some(endpoint) = &partition.endpoint {
                *loads.entry(endpoint).or_default() += 1;
            }
        }
        let members = group
            .members
            .iter()
            .map(|name| self.member(group, name, loads.get(&**name).copied().unwrap_or(0)))
            .collect();
        let affinity = match group.affinity {
            Affinity::Key => "key",
            Affinity::EventType => "event-type",
        };
        GroupDescription {
            name: group.name.to_string(),
            affinity: affinity.to_owned(),
            partitions: group.partitions,
            members,
            subscriptions,
        }
    }

    fn member(&self, group: &Group, name: &str, partitions: u64) -> GroupMember {
        let endpoints = &self.reading.snapshot.endpoints;
        let now = endpoints
            .iter()
            .find(|endpoint| *endpoint.endpoint == *name);
        GroupMember {
            endpoint: name.to_owned(),
            available: now.is_some_and(|now| is_available(now, group, self.now)),
            state: now.map_or("closed", |now| now.state.name()).to_owned(),
            partitions,
            throughput_per_second: self.control.gateway.observe.endpoint_rate(name),
        }
    }

    fn progress(&self, subscription: &Subscription) -> GroupProgress {
        let lanes = &self.reading.snapshot.lanes;
        let own = || {
            lanes
                .iter()
                .filter(|lane| lane.subscription == subscription.name)
        };
        let mut partitions: Vec<PartitionView> = own().map(|lane| self.partition(lane)).collect();
        partitions.sort_by_key(|partition| partition.partition);
        let lag = partitions
            .iter()
            .map(|partition| partition.lag)
            .max()
            .unwrap_or(0);
        let waiting: u64 = partitions.iter().map(|partition| partition.waiting).sum();
        let name = &subscription.name;
        let paused = own().any(|lane| lane.paused);
        let measured = self.control.gateway.observe.done_rate(name);
        GroupProgress {
            subscription: name.to_string(),
            paused,
            stopped: Stopped::of(subscription.enabled, paused),
            lag,
            partitions,
            estimated_per_second: estimated_throughput(subscription.types.len(), None),
            measured_per_second: measured,
            drain_seconds: drain_seconds(lag.saturating_add(waiting), measured),
        }
    }

    fn partition(&self, lane: &LaneNow) -> PartitionView {
        let (end, place) = (
            self.reading.end.0,
            (lane.subscription.clone(), lane.partition),
        );
        let waiting = self.reading.counts.partitions.get(&place);
        PartitionView {
            partition: lane.partition,
            endpoint: lane.endpoint.as_deref().map(str::to_owned),
            committed: lane.cursor.0,
            end,
            lag: end.saturating_sub(lane.cursor.0),
            waiting: waiting.copied().unwrap_or(0),
            position: Some(lane.position.0),
        }
    }
}

/// Whether partitions may be given to a member: it is well, or has not been down for long enough to lose them.
fn is_available(member: &EndpointNow, group: &Group, now: UnixMs) -> bool {
    let gives_up_at = group
        .failover_after_ms
        .map(|after_ms| member.since.plus_ms(after_ms));
    member.state == breaker::State::Closed || gives_up_at.is_none_or(|at| now < at)
}

/// How long `backlog` takes at this rate, in seconds; `None` when it never ends.
fn drain_seconds(backlog: u64, per_second: f64) -> Option<f64> {
    if backlog == 0 {
        return Some(0.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let backlog = backlog as f64;
    (per_second > 0.0).then(|| backlog / per_second)
}

pub(super) async fn rebalance(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    body: Body,
) -> Answer {
    Params::of(&uri).finish()?;
    let asked: Rebalance = optional_json(body).await?.unwrap_or_default();
    let gateway = &control.gateway;
    let plan = gateway.plan.load_full();
    let group = found(&plan, &name)?;
    let mut moves = gateway.dispatch.moves().await?;
    if !asked.dry_run {
        let detail = object!({ "moves": of_group(&plan, group, &moves).len() });
        let now = gateway.clock.now();
        let entry = actor.entry(now, "group.rebalance", ("group", &name), &detail);
        control.note(entry).await?;
        moves = gateway.dispatch.assign().await?;
    }
    json(RebalanceAnswer {
        dry_run: asked.dry_run,
        moves: of_group(&plan, group, &moves),
    })
}

/// Those of `moves` that are of this group, as they are shown.
fn of_group(plan: &Plan, group: &Group, moves: &[Move]) -> Vec<PartitionMove> {
    let is_its = |name: &str| users(plan, group).any(|user| *user.name == *name);
    let its = moves.iter().filter(|change| is_its(&change.subscription));
    its.map(|change| PartitionMove {
        subscription: change.subscription.to_string(),
        partition: change.partition,
        from: change.from.as_deref().map(str::to_owned),
        to: change.to.as_deref().map(str::to_owned),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_drains_at_the_measured_rate_or_never() {
        for (backlog, rate, seconds) in [
            (0, 0.0, Some(0.0)),
            (100, 0.0, None),
            (100, 8.0, Some(12.5)),
        ] {
            assert_eq!(drain_seconds(backlog, rate), seconds, "{backlog} {rate}");
        }
    }
}
