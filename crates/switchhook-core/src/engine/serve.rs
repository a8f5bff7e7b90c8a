//! What each lane may do now: ask for more work, start attempts while there are slots, or wait in line.

use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::time::UnixMs;

use super::flight::Flight;
use super::gate::{Admission, GateId};
use super::lane::Pending;
use super::{
    Command, Engine, LANE_BYTES_MAX, LaneId, ReadDue, ReadLog, Start, Timer, UNCOMMITTED_MAX,
};

impl Engine {
    pub(super) fn fire_timers(&mut self, now: UnixMs) {
        while let Some(&(at, timer)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Lane(id) => {
                    if let Some(lane) = self.lanes.get_mut(&id) {
                        lane.timer = None;
                    }
                    self.wake(id);
                }
                Timer::Gate(gate) => {
                    for id in self.gates.take_waiters(gate) {
                        self.wake_waiter(id);
                    }
                }
            }
        }
    }

    /// Lets a lane do what it can: ask for more work, and start attempts while there are slots.
    ///
    /// With other lanes waiting for the same endpoint it starts one and goes to the end of the line.
    pub(super) fn serve(&mut self, id: LaneId, now: UnixMs) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.runnable = false;
        }
        loop {
            self.refill(id, now);
            let Some(lane) = self.lanes.get_mut(&id) else {
                return;
            };
            let gate = lane.gate;
            if !lane.has_work() {
                // It may have been let in for a slot that it does not need any more.
                if let Some(waiter) = self.gates.pass_on(gate, now) {
                    self.wake_waiter(waiter);
                }
                return;
            }
            if self.draining || self.uncommitted >= UNCOMMITTED_MAX {
                return;
            }
            match self.gates.admit(gate, now) {
                Admission::Yes(endpoint) => {
                    let Some(pending) = lane.next_pending() else {
                        return;
                    };
                    self.start(id, endpoint, pending);
                    if self.gates.has_waiters(gate) {
                        self.wake(id);
                        return;
                    }
                }
                Admission::Full => return self.wait_at(gate, id, None),
                Admission::ClosedUntil(at) => return self.wait_at(gate, id, Some(at)),
                Admission::Gone => return,
            }
        }
    }

    fn start(&mut self, id: LaneId, endpoint: Arc<Endpoint>, pending: Pending) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        let (event, chain, n) = (
            pending.event.clone(),
            pending.standing.chain,
            pending.standing.attempts,
        );
        let (offset, has_row) = (pending.event.offset, pending.has_row);
        let subscription = lane.name().clone();
        let ticket = self.flights.insert(Flight {
            lane: id,
            gate: lane.gate,
            subscription: subscription.clone(),
            endpoint: endpoint.name.clone(),
            policy: lane.policy.clone(),
            pending,
        });
        if !has_row {
            lane.under_way(offset, ticket);
        }
        let n = n.saturating_add(1);
        self.commands.push_back(Command::Start(Start {
            ticket,
            subscription,
            endpoint,
            event,
            chain,
            n,
        }));
    }

    /// Asks for events and due rows while there is room for them.
    fn refill(&mut self, id: LaneId, now: UnixMs) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        if let Some((from, items)) = lane.ask_log(self.end) {
            self.commands.push_back(Command::ReadLog(ReadLog {
                lane: id,
                from,
                items,
                bytes: LANE_BYTES_MAX,
            }));
        }
        if let Some((skip, items)) = lane.ask_due(now) {
            let subscription = lane.name().clone();
            let bytes = LANE_BYTES_MAX;
            self.commands.push_back(Command::ReadDue(ReadDue {
                lane: id,
                subscription,
                until: now,
                skip,
                items,
                bytes,
            }));
        } else if let Some(at) = lane.due_timer(now) {
            self.arm(id, at);
        }
    }

    fn arm(&mut self, id: LaneId, at: UnixMs) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        if lane.timer.is_some_and(|armed| armed <= at) {
            return;
        }
        if let Some(armed) = lane.timer.replace(at) {
            self.timers.remove(&(armed, Timer::Lane(id)));
        }
        self.timers.insert((at, Timer::Lane(id)));
    }

    fn wait_at(&mut self, gate: GateId, id: LaneId, until: Option<UnixMs>) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && !lane.at_gate
        {
            lane.at_gate = true;
            self.gates.wait(gate, id);
        }
        if let Some(at) = until {
            self.timers.insert((at, Timer::Gate(gate)));
        }
    }

    pub(super) fn wake_waiter(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.at_gate = false;
        }
        self.wake(id);
    }

    pub(super) fn wake(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && !lane.runnable
        {
            lane.runnable = true;
            self.runnable.push_back(id);
        }
    }
}
