//! Who works on each partition: gives lanes to the members of their group.
//!
//! The rule is [`group::assign`]; here is when it is asked: when the plan changes, when a breaker opens or closes, and
//! when one has been open for so long that its partitions should go elsewhere. A lane that changes hands keeps its
//! keys: what is under way to the old member ends first, so order per key holds.
//!
//! The rule of the group knows no work. A member on trial needs some, or nothing would ever show that it is back: so
//! where its partitions rest, it gets one that does not ([`try_with_work`]), now or as soon as there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::breaker::State;
use crate::group::{self, Affinity, Group, Member};
use crate::subscription::Target;
use crate::time::UnixMs;

use super::gate::EndpointNow;
use super::lane::Lane;
use super::{Engine, LaneId, Timer};

/// A partition that changes hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The subscription.
    pub subscription: Arc<str>,
    /// Its partition.
    pub partition: u16,
    /// Who had it.
    pub from: Option<Arc<str>>,
    /// Who gets it.
    pub to: Option<Arc<str>>,
}

/// What the rule wants to be otherwise.
#[derive(Debug, Default)]
struct Wanted {
    /// The member that a lane should have.
    changes: Vec<(LaneId, Option<Arc<str>>)>,
    /// Subscriptions of which a member is on trial and has nothing to send.
    idle_trials: BTreeSet<Arc<str>>,
}

impl Engine {
    /// A lane has something to send: it goes to a member that is on trial and has nothing.
    pub(super) fn offer_to_trial(&mut self, id: LaneId, now: UnixMs) {
        let Some(lane) = self.lanes.get(&id) else {
            return;
        };
        if lane.has_work() && self.idle_trials.contains(lane.name()) {
            self.assign(now);
        }
    }

    /// Assigns every partition anew where that changes something.
    pub(super) fn assign(&mut self, now: UnixMs) {
        for (id, lane) in &mut self.lanes {
            if let Target::Endpoint(name) = &lane.definition().subscription.target {
                let name = name.clone();
                let gate = self.gates.id(&name);
                if lane.gate != gate {
                    lane.at_gate
                        .take()
                        .into_iter()
                        .for_each(|old| self.gates.forget(old, *id));
                }
                lane.gate = gate;
                lane.member = Some(name);
            }
        }
        let wanted = self.wanted(now);
        self.idle_trials = wanted.idle_trials;
        for (id, to) in wanted.changes {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            if let Some(old) = lane.at_gate.take() {
                self.gates.forget(old, id);
            }
            lane.gate = to.as_ref().and_then(|name| self.gates.id(name));
            if lane.member != to {
                lane.member = to;
                self.changed_hands.insert(id);
            }
            self.wake(id);
        }
    }

    /// Partitions that would change hands now.
    #[must_use]
    pub fn moves(&mut self, now: UnixMs) -> Vec<Move> {
        let wanted = self.wanted(now).changes;
        let moves = wanted.into_iter().filter_map(|(id, to)| {
            let lane = self.lanes.get(&id)?;
            (lane.member != to).then(|| Move {
                subscription: lane.name().clone(),
                partition: lane.partition(),
                from: lane.member.clone(),
                to,
            })
        });
        moves.collect()
    }

    /// The member that each lane of a group should have, where its gate or member is another one.
    fn wanted(&mut self, now: UnixMs) -> Wanted {
        let groups = self.grouped_lanes();
        let mut wanted = Wanted::default();
        if groups.is_empty() {
            return wanted;
        }
        let standing: BTreeMap<_, _> = self
            .gates
            .standing(now)
            .map(|endpoint| (endpoint.endpoint.clone(), endpoint))
            .collect();
        let mut again = None::<UnixMs>;
        for (name, group, lanes) in groups {
            let members: Vec<Member> = group
                .members
                .iter()
                .map(|name| member(name, &group, standing.get(name), now, &mut again))
                .collect();
            let current: Vec<_> = lanes
                .iter()
                .map(|id| self.lanes.get(id).and_then(|lane| lane.member.clone()))
                .collect();
            let partitions = u16::try_from(lanes.len()).unwrap_or(u16::MAX);
            let mut assigned = group::assign(partitions, &members, &current, group.affinity);
            let works = |id: &LaneId| self.lanes.get(id).is_some_and(Lane::has_work);
            let busy: Vec<bool> = lanes.iter().map(works).collect();
            if group.affinity == Affinity::Key && !try_with_work(&members, &busy, &mut assigned) {
                wanted.idle_trials.insert(name);
            }
            let differs = |(id, member): &(LaneId, Option<Arc<str>>)| {
                self.lanes.get(id).is_some_and(|lane| {
                    lane.member != *member
                        || lane.gate != member.as_ref().and_then(|name| self.gates.id(name))
                })
            };
            let changes = lanes.into_iter().zip(assigned).filter(differs);
            wanted.changes.extend(changes);
        }
        if let Some(at) = again
            && self.assign_at.is_none_or(|armed| at < armed)
        {
            self.assign_at = Some(at);
            self.timers.insert((at, Timer::Assign));
        }
        wanted
    }

    /// The lanes of every subscription that has a group, in the order of their partitions.
    fn grouped_lanes(&self) -> Vec<(Arc<str>, Arc<Group>, Vec<LaneId>)> {
        let mut groups: BTreeMap<&Arc<str>, (Arc<Group>, Vec<LaneId>)> = BTreeMap::new();
        // By name, then by partition.
        for ((name, _), id) in &self.by_name {
            let Some(lane) = self.lanes.get(id).filter(|lane| !lane.is_retired()) else {
                continue;
            };
            if let Some(group) = &lane.definition().group {
                let entry = groups.entry(name);
                entry
                    .or_insert_with(|| (group.clone(), Vec::new()))
                    .1
                    .push(*id);
            }
        }
        let groups = groups.into_iter();
        groups
            .map(|(name, (group, lanes))| (name.clone(), group, lanes))
            .collect()
    }
}

/// Gives each member on trial whose partitions rest one that does not, for one of its own. While nobody is well, one
/// that has none gets another one's: whoever has it now cannot send. Partitions of members on trial stay where they are.
/// Whether every member on trial has something to send now.
fn try_with_work(members: &[Member], busy: &[bool], assigned: &mut [Option<Arc<str>>]) -> bool {
    let nobody_is_well = members
        .iter()
        .all(|member| member.on_trial || !member.available);
    let on_trial = |name: &Arc<str>| members.iter().any(|m| m.on_trial && m.name == *name);
    let mut all_have_work = true;
    for member in members.iter().filter(|member| member.on_trial) {
        let is_own = |owner: &Option<Arc<str>>| owner.as_ref() == Some(&member.name);
        let own = assigned.iter().position(is_own);
        let mut both = assigned.iter().zip(busy);
        if both.any(|(owner, busy)| *busy && is_own(owner)) || (own.is_none() && !nobody_is_well) {
            continue;
        }
        let mut both = assigned.iter().zip(busy);
        let other = both.position(|(owner, busy)| *busy && !owner.as_ref().is_some_and(on_trial));
        match (own, other) {
            (Some(own), Some(other)) => assigned.swap(own, other),
            (None, Some(other)) => {
                if let Some(owner) = assigned.get_mut(other) {
                    *owner = Some(member.name.clone());
                }
            }
            (_, None) => all_have_work = false,
        }
    }
    all_have_work
}

/// A member as the rule sees it. `again` becomes the next time at which that may change by itself.
fn member(
    name: &Arc<str>,
    group: &Group,
    endpoint: Option<&EndpointNow>,
    now: UnixMs,
    again: &mut Option<UnixMs>,
) -> Member {
    let down = endpoint.filter(|endpoint| endpoint.state != State::Closed);
    let gives_up_at = down
        .zip(group.failover_after_ms)
        .map(|(endpoint, after_ms)| endpoint.since.plus_ms(after_ms));
    let is_down = gives_up_at.is_some_and(|at| at <= now);
    let probe_at = endpoint.and_then(|endpoint| endpoint.until);
    let wants_probe = endpoint.is_some_and(|endpoint| {
        endpoint.state == State::HalfOpen || probe_at.is_some_and(|at| at <= now)
    });
    for at in [gives_up_at, probe_at].into_iter().flatten() {
        if at > now {
            *again = Some(again.map_or(at, |other| other.min(at)));
        }
    }
    Member {
        name: name.clone(),
        available: endpoint.is_some() && !is_down,
        on_trial: is_down && wants_probe,
    }
}
