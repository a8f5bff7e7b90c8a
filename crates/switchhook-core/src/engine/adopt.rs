//! Taking over a plan: which lanes and gates there are from now on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::Offset;
use crate::plan::Plan;
use crate::retry::Policy;
use crate::subscription::{Start, Subscription};

use super::gate::GateId;
use super::lane::Lane;
use super::{Engine, LaneId, Recovered};

impl Engine {
    /// Swaps the plan. Deliveries under way end as they were started; those that wait go on under the
    /// new plan. A subscription that is gone keeps its cursor and rows in the store, and where it stands
    /// in the engine: it may come back before all that it did is on disk.
    ///
    /// `recovered` is needed for each subscription that is new to the engine and known to the store.
    pub fn handle_plan(&mut self, plan: &Plan, recovered: &BTreeMap<Arc<str>, Recovered>) {
        self.gates.set(&plan.endpoints);
        self.retire_lanes_but(&plan.subscriptions);
        for (name, subscription) in &plan.subscriptions {
            let (Some(policy), Some(gate)) = (
                plan.policies.get(&subscription.policy),
                self.gates.id(&subscription.endpoint),
            ) else {
                continue; // A plan is whole; see there.
            };
            match self.by_name.get(name).and_then(|id| self.lanes.get_mut(id)) {
                Some(lane) => lane.adopt(subscription.clone(), policy.clone(), gate),
                None => self.add_lane(subscription, policy, gate, recovered.get(name)),
            }
        }
        let all: Vec<LaneId> = self.lanes.keys().copied().collect();
        for id in all {
            self.wake(id);
        }
    }

    fn retire_lanes_but(&mut self, stay: &BTreeMap<Arc<str>, Arc<Subscription>>) {
        let is_gone = |lane: &&mut Lane| !lane.is_retired() && !stay.contains_key(lane.name());
        self.lanes
            .values_mut()
            .filter(is_gone)
            .for_each(Lane::retire);
    }

    fn add_lane(
        &mut self,
        subscription: &Arc<Subscription>,
        policy: &Arc<Policy>,
        gate: GateId,
        known: Option<&Recovered>,
    ) {
        let id = LaneId(self.next_lane);
        self.next_lane = self.next_lane.saturating_add(1);
        let name = &subscription.name;
        let (cursor, settled) = match (known, subscription.start) {
            (Some(known), _) => (known.cursor, known.settled.clone()),
            (None, Start::Now) => (self.end, [].into()),
            (None, Start::Earliest) => (Offset(1), [].into()),
        };
        if known.is_none() {
            // On disk before anything is accepted for it, or a crash would let it begin later.
            self.records.cursors.push((name.clone(), cursor));
        }
        let lane = Lane::new(subscription.clone(), policy.clone(), gate, cursor, settled);
        self.lanes.insert(id, lane);
        self.by_name.insert(name.clone(), id);
    }
}
