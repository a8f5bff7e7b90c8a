//! What people do to a running engine, and what they see of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::breaker::Change;
use crate::delivery::{DeliveryKey, Place};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::id::Offset;
use crate::time::UnixMs;

use super::gate::{EndpointNow, Operator};
use super::{Engine, LaneId, Located};

/// How things stand with a partition of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneNow {
    /// The subscription.
    pub subscription: Arc<str>,
    /// Its partition.
    pub partition: u16,
    /// The endpoint it sends to.
    pub endpoint: Option<Arc<str>>,
    /// The offset before which everything is settled or has a row.
    pub cursor: Offset,
    /// The next offset to be looked at.
    pub position: Offset,
    /// Deliveries settled since the process started.
    pub done: u64,
    /// Keys that are not free.
    pub keys: usize,
    /// A person stopped it.
    pub paused: bool,
    /// What the configuration says. Anything is sent only where this is so and nobody has stopped it.
    pub enabled: bool,
}

impl Engine {
    /// Rows of this subscription were written by someone else (a replay, a changed clock).
    pub fn handle_rows_changed(&mut self, subscription: &str) {
        for id in self.lanes_of(subscription) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.rows_changed();
            }
            self.wake(id);
        }
    }

    /// Stops a subscription, or lets it go on. What is under way ends.
    pub fn handle_pause(&mut self, subscription: &str, paused: bool) {
        for id in self.lanes_of(subscription) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.pause(paused);
            }
            self.wake(id);
        }
    }

    /// A dead letter that may have halted its key is no more.
    pub fn handle_discarded(&mut self, delivery: &DeliveryKey, place: Place, now: UnixMs) {
        self.see(now);
        let name = (delivery.subscription.clone(), place.partition);
        let Some(&id) = self.by_name.get(&name) else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&id) {
            let released = lane.discard(place.key, delivery.offset, self.batch, now);
            self.records.released.extend(released);
        }
        self.wake(id);
    }

    /// Passes over what lies before `to` in a partition, but for what is under way or has a row.
    pub fn handle_skip(
        &mut self,
        subscription: &Arc<str>,
        partition: u16,
        to: Offset,
        now: UnixMs,
    ) {
        self.see(now);
        let Some(&id) = self.by_name.get(&(subscription.clone(), partition)) else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&id) {
            let released = lane.skip_to(to.min(self.end), self.batch, now);
            self.records.released.extend(released);
            // On disk with the next batch, not some time later: it was asked for.
            self.changed_hands.insert(id);
        }
        self.wake(id);
    }

    /// Opens or closes the breaker of an endpoint by hand.
    pub fn handle_operator(
        &mut self,
        endpoint: &str,
        wish: Operator,
        reason: Option<Arc<str>>,
        now: UnixMs,
    ) -> Option<Change> {
        self.see(now);
        let change = self.gates.operate(endpoint, wish, reason, now);
        self.breakers_changed(change.as_ref(), now);
        self.wake_all();
        change
    }

    /// A secret has a new value: endpoints that refused our credentials and use it are tried at once.
    pub fn handle_secret_changed(&mut self, secret: &str, now: UnixMs) {
        self.see(now);
        let uses = |endpoint: &Endpoint| endpoint.secrets().any(|name| &**name == secret);
        for gate in self.gates.secret_changed(uses, now) {
            for id in self.gates.take_waiters(gate) {
                self.wake_waiter(id);
            }
        }
        self.assign(now);
    }

    /// Assigns partitions to members now.
    pub fn handle_assign(&mut self, now: UnixMs) {
        self.see(now);
        self.assign(now);
    }

    /// How things stand with every endpoint of the plan.
    pub fn endpoints(&self, now: UnixMs) -> impl Iterator<Item = EndpointNow> {
        self.gates.standing(now)
    }

    /// How things stand with every partition of every subscription of the plan.
    pub fn lanes(&self) -> impl Iterator<Item = LaneNow> {
        let in_force = self.lanes.values().filter(|lane| !lane.is_retired());
        in_force.map(|lane| LaneNow {
            subscription: lane.name().clone(),
            partition: lane.partition(),
            endpoint: lane.member.clone(),
            cursor: lane.cursor(),
            position: lane.position(),
            done: lane.done,
            keys: lane.keys(),
            paused: lane.is_paused(),
            enabled: lane.is_enabled(),
        })
    }

    /// Where the delivery of `event` is in each subscription of the plan.
    #[must_use]
    pub fn locate(&self, event: &Event) -> BTreeMap<Arc<str>, Located> {
        let key = event.key.as_deref().map(crate::group::key_hash);
        let mut found = BTreeMap::new();
        for lane in self.lanes.values().filter(|lane| !lane.is_retired()) {
            if lane.is_ours(event) {
                found.insert(lane.name().clone(), lane.locate(event.offset, key));
            }
        }
        found
    }

    fn lanes_of(&self, subscription: &str) -> Vec<LaneId> {
        let from = (Arc::from(subscription), 0_u16);
        let own = self.by_name.range(from..);
        own.take_while(|((name, _), _)| &**name == subscription)
            .map(|(_, id)| *id)
            .collect()
    }
}
