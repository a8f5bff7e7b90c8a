//! What each lane may do now: ask for more work, start attempts while there are slots, or wait in line.

use crate::time::UnixMs;

use super::flight::Flight;
use super::gate::{Admission, GateId, Permit};
use super::lane::Queue;
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
                Timer::Assign => {
                    self.assign_at = None;
                    self.assign(now);
                }
            }
        }
    }

    /// Lets a lane do what it can: ask for more work, and start attempts while there are slots.
    ///
    /// With other lanes waiting for the same endpoint, or for any slot at all, it starts one and goes to the end
    /// of the line.
    pub(super) fn serve(&mut self, id: LaneId, now: UnixMs) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.runnable = false;
        }
        self.offer_to_trial(id, now);
        loop {
            if self.draining {
                return;
            }
            self.refill(id, now);
            let Some(lane) = self.lanes.get_mut(&id) else {
                return;
            };
            let Some(gate) = lane.gate else { return };
            if !lane.has_work() {
                // It may have been let in for a slot that it does not need any more.
                if let Some(waiter) = self.gates.pass_on(gate, now) {
                    self.wake_waiter(waiter);
                }
                return;
            }
            if self.uncommitted >= UNCOMMITTED_MAX {
                return;
            }
            if self.flights.len() >= self.slots {
                if !std::mem::replace(&mut lane.in_line, true) {
                    self.line.push_back(id);
                }
                return;
            }
            match self.admit(id, gate, now) {
                (Admission::Yes(permit), queue) => {
                    self.start(id, gate, permit, queue);
                    if self.gates.has_waiters(gate) || !self.line.is_empty() {
                        self.wake(id);
                        return;
                    }
                }
                (Admission::Full | Admission::Shut, _) => return self.wait_at(gate, id, None),
                (Admission::NotBefore(at) | Admission::RetryNotBefore(at), _) => {
                    return self.wait_at(gate, id, Some(at));
                }
                (Admission::Gone, _) => return,
            }
        }
    }

    /// Asks the gate for the queue whose turn it is; where that holds a retry that must wait, for the other one.
    fn admit(&mut self, id: LaneId, gate: GateId, now: UnixMs) -> (Admission, Queue) {
        let mut last = (Admission::Gone, Queue::Fresh);
        let Some(lane) = self.lanes.get(&id) else {
            return last;
        };
        for queue in lane.turns() {
            let Some(pending) = lane.first(queue) else {
                continue;
            };
            let admission = self.gates.admit(gate, pending.standing.attempts > 0, now);
            last = (admission, queue);
            if !matches!(last.0, Admission::RetryNotBefore(_)) {
                break;
            }
        }
        last
    }

    fn start(&mut self, id: LaneId, gate: GateId, permit: Permit, queue: Queue) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        let Some(pending) = lane.next(queue) else {
            return;
        };
        let definition = lane.definition().clone();
        let (event, standing) = (pending.event.clone(), pending.standing);
        let (offset, has_row) = (pending.event.offset, pending.row.is_some());
        let (subscription, policy) = (definition.subscription, definition.policy);
        let ticket = self.flights.insert(Flight {
            lane: id,
            gate,
            subscription: subscription.clone(),
            endpoint: permit.endpoint.name.clone(),
            policy: policy.clone(),
            probe: permit.probe,
            pending,
        });
        if !has_row {
            lane.under_way(offset, ticket);
        }
        self.commands.push_back(Command::Start(Start {
            ticket,
            subscription,
            policy,
            endpoint: permit.endpoint,
            event,
            chain: standing.chain,
            n: standing.attempts.saturating_add(1),
            probe: permit.probe,
        }));
    }

    /// Asks for events and due rows while there is room for them.
    fn refill(&mut self, id: LaneId, now: UnixMs) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        // Events behind a key that waits become rows as they are read: no more of them than the disk keeps up with.
        if self.uncommitted < UNCOMMITTED_MAX
            && let Some((from, items)) = lane.ask_log(self.end)
        {
            self.commands.push_back(Command::ReadLog(ReadLog {
                lane: id,
                from,
                items,
                bytes: LANE_BYTES_MAX,
            }));
        }
        if let Some((skip, items)) = lane.ask_due(now) {
            self.commands.push_back(Command::ReadDue(ReadDue {
                lane: id,
                subscription: lane.name().clone(),
                partition: lane.partition(),
                until: now,
                skip,
                items,
                bytes: LANE_BYTES_MAX,
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
            && lane.at_gate.is_none()
        {
            lane.at_gate = Some(gate);
            self.gates.wait(gate, id);
        }
        if let Some(at) = until {
            self.timers.insert((at, Timer::Gate(gate)));
        }
    }

    pub(super) fn wake_waiter(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.at_gate = None;
        }
        self.wake(id);
    }

    /// A slot is free, whatever the endpoint: lets in the lane that waited longest for one.
    pub(super) fn wake_line(&mut self) {
        if let Some(id) = self.line.pop_front() {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.in_line = false;
            }
            self.wake(id);
        }
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
