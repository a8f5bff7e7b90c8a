//! Who works on each partition: gives lanes to the members of their group.
//!
//! The rule is [`group::assign`]; here is when it is asked: when the plan changes, when a breaker opens or closes, and
//! when one has been open for so long that its partitions should go elsewhere. A lane that changes hands keeps its
//! keys: what is under way to the old member ends first, so order per key holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::breaker::State;
use crate::group::{self, Group, Member};
use crate::subscription::Target;
use crate::time::UnixMs;

use super::gate::EndpointNow;
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

impl Engine {
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
        for (id, to) in self.wanted(now) {
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
        let wanted = self.wanted(now);
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
    fn wanted(&mut self, now: UnixMs) -> Vec<(LaneId, Option<Arc<str>>)> {
        let groups = self.grouped_lanes();
        if groups.is_empty() {
            return Vec::new();
        }
        let standing: BTreeMap<_, _> = self
            .gates
            .standing(now)
            .map(|endpoint| (endpoint.endpoint.clone(), endpoint))
            .collect();
        let mut wanted = Vec::new();
        let mut again = None::<UnixMs>;
        for (group, lanes) in groups {
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
            let assigned = group::assign(partitions, &members, &current, group.affinity);
            let differs = |(id, member): &(LaneId, Option<Arc<str>>)| {
                self.lanes.get(id).is_some_and(|lane| {
                    lane.member != *member
                        || lane.gate != member.as_ref().and_then(|name| self.gates.id(name))
                })
            };
            wanted.extend(lanes.into_iter().zip(assigned).filter(differs));
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
    fn grouped_lanes(&self) -> Vec<(Arc<Group>, Vec<LaneId>)> {
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
        groups.into_values().collect()
    }
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
