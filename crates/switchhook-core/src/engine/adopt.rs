//! Taking over a plan: which lanes and gates there are from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::breaker;
use crate::id::Offset;
use crate::plan::Plan;
use crate::subscription::{Start, Subscription, Target};
use crate::time::UnixMs;

use super::lane::{Definition, Lane};
use super::{Engine, LaneId, Recovered};

/// What the store knows when a plan comes into force.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// By subscription and partition. All partitions of a subscription are known, or none.
    pub lanes: BTreeMap<(Arc<str>, u16), Recovered>,
    /// Where subscriptions begin that start at a time and are not known yet.
    pub starts: BTreeMap<Arc<str>, Offset>,
    /// The gates that have something to keep.
    pub breakers: BTreeMap<Arc<str>, breaker::Record>,
    /// Subscriptions that a person stopped.
    pub paused: BTreeSet<Arc<str>>,
}

impl Engine {
    /// Whether `plan` can take the place of the one in force: no lane, not even one whose subscription left the plan before,
    /// would get another order or another layout. If not, end what is under way and call [`Engine::handle_restart`].
    #[must_use]
    pub fn can_go_on_with(&self, plan: &Plan) -> bool {
        self.lanes.values().all(|lane| {
            let Definition {
                subscription: old,
                group,
                ..
            } = lane.definition();
            plan.subscriptions.get(lane.name()).is_none_or(|new| {
                old.order == new.order && old.layout(group.as_deref()) == plan.layout(new)
            })
        })
    }

    /// Swaps the plan for one that the engine [can go on with](Engine::can_go_on_with). Deliveries under way end as they were
    /// started; those that wait go on under the new plan. A subscription that is gone keeps its cursors and rows in
    /// the store, and where it stands in the engine: it may come back before all that it did is on disk.
    ///
    /// `known` is needed for each subscription that is new to the engine and known to the store.
    pub fn handle_plan(&mut self, plan: &Plan, known: &Known, now: UnixMs) {
        self.see(now);
        self.slots = plan.slots_or_default();
        // The gate of an endpoint that leaves is gone after this.
        self.records.breakers.extend(self.gates.take_records());
        self.gates.set(&plan.endpoints, &known.breakers, now);
        self.retire_lanes_but(plan);
        for subscription in plan.subscriptions.values() {
            let Some(definition) = definition(plan, subscription) else {
                continue; // A plan is whole; see there.
            };
            for partition in 0..plan.partitions(subscription) {
                let lane = (subscription.name.clone(), partition);
                match self
                    .by_name
                    .get(&lane)
                    .and_then(|id| self.lanes.get_mut(id))
                {
                    Some(lane) => {
                        if lane.adopt(definition.clone()) {
                            let released = lane.resume(self.batch, self.now);
                            self.records.released.extend(released);
                        }
                    }
                    None => self.add_lane(&definition, partition, known),
                }
            }
        }
        self.line.clear();
        for lane in self.lanes.values_mut() {
            lane.in_line = false;
        }
        self.assign(now);
        self.wake_all();
    }

    /// Begins anew from the store under a plan that the one before does not flow into. Nothing may be under way
    /// and everything must be on disk ([`Engine::is_quiet`]). Breakers, limits and ramps go on.
    pub fn handle_restart(&mut self, plan: &Plan, known: &Known, now: UnixMs) {
        debug_assert!(self.is_quiet(), "a restart loses what is not on disk");
        self.lanes.clear();
        self.by_name.clear();
        self.runnable.clear();
        self.timers.clear();
        self.commands.clear();
        self.moved.clear();
        self.changed_hands.clear();
        self.assign_at = None;
        self.draining = false;
        self.handle_plan(plan, known, now);
    }

    fn retire_lanes_but(&mut self, plan: &Plan) {
        let stays = |lane: &Lane| {
            let there = plan.subscriptions.get(lane.name());
            there.is_some_and(|subscription| lane.partition() < plan.partitions(subscription))
        };
        self.lanes
            .values_mut()
            .filter(|lane| !lane.is_retired() && !stays(lane))
            .for_each(Lane::retire);
    }

    fn add_lane(&mut self, definition: &Definition, partition: u16, known: &Known) {
        let id = LaneId(self.next_lane);
        self.next_lane = self.next_lane.saturating_add(1);
        let subscription = &definition.subscription;
        let name = (subscription.name.clone(), partition);
        let begins = Recovered {
            cursor: self.first_offset(subscription, known),
            ..Recovered::default()
        };
        let recovered = known.lanes.get(&name);
        let mut lane = Lane::new(definition.clone(), partition, recovered.unwrap_or(&begins));
        lane.pause(known.paused.contains(&subscription.name));
        if recovered.is_none() {
            // On disk before anything is accepted for it, or a crash would let it begin later.
            self.changed_hands.insert(id);
        }
        let released = lane.resume(self.batch, self.now);
        self.records.released.extend(released);
        self.lanes.insert(id, lane);
        self.by_name.insert(name, id);
    }

    fn first_offset(&self, subscription: &Subscription, known: &Known) -> Offset {
        match subscription.start {
            Start::Now => self.end,
            Start::Earliest => Offset(1),
            Start::At(offset) => offset.min(self.end),
            Start::Since(_) => *known.starts.get(&subscription.name).unwrap_or(&self.end),
        }
    }

    /// Wakes every lane.
    pub(super) fn wake_all(&mut self) {
        let all: Vec<LaneId> = self.lanes.keys().copied().collect();
        for id in all {
            self.wake(id);
        }
    }
}

fn definition(plan: &Plan, subscription: &Arc<Subscription>) -> Option<Definition> {
    let group = match &subscription.target {
        Target::Endpoint(_) => None,
        Target::Group(name) => Some(plan.groups.get(name)?.clone()),
    };
    Some(Definition {
        subscription: subscription.clone(),
        policy: plan.policies.get(&subscription.policy)?.clone(),
        group,
    })
}
