//! What the shell learns, reads and hands over, as the gateway's own does it.
//!
//! At most [`BATCHES_MAX`] batches are on their way to the disk. The newest events are read at once, all
//! else takes time, and what a read saw may be old when it arrives. A rebase rides with the records of
//! dispatch, so that no row that was planned before the jump is written after it.

use std::sync::Arc;

use switchhook_core::engine::{LaneId, ReadDue, ReadLog};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::Start;
use switchhook_store::query::{DueWork, Limit};
use switchhook_store::{Batch, Store, tail};

use super::disk::Origin;
use super::process::{All, Process};
use super::{Happening, World};
use crate::checks::{Checked, Invariant, check};
use crate::faults::{HOUR_MS, Sabotage, chance};

/// Batches on their way to the disk at once, as in the gateway.
const BATCHES_MAX: usize = 2;

/// What the shell learns.
pub(super) enum Message {
    Log(LaneId, Arc<str>, Offset, Vec<Arc<Event>>),
    Due(LaneId, Arc<str>, DueWork),
    /// A batch of dispatch is durable: its number, and whether a rebase rode along.
    Committed(Option<u64>, bool),
    RowsChanged(Vec<Arc<str>>),
    Plan(Arc<Plan>, All),
}

/// What the shell reads from the disk.
pub(super) enum Read {
    Log(ReadLog),
    Due(ReadDue),
}

impl World {
    /// Reads events: the newest at once, others from the disk.
    pub(super) fn read_log(&mut self, process: &mut Process, mut read: ReadLog) -> Checked {
        let Some(name) = process.lanes.get(&read.lane).cloned() else {
            process.unnamed.push(read);
            return Ok(());
        };
        if self.is_sabotaged(Sabotage::ReadTooMuch) {
            read.items *= 4;
        }
        match self
            .disk
            .store
            .tail()
            .read(read.from, read.items, read.bytes)
        {
            tail::Read::Events(events) => {
                self.take_log(process, read.lane, &name, read.from, &events)
            }
            tail::Read::AtEnd => self.take_log(process, read.lane, &name, read.from, &[]),
            tail::Read::Behind => {
                let at_ms = self.after_disk();
                self.queue.push(
                    at_ms,
                    Happening::Reading(self.processes, Box::new(Read::Log(read))),
                );
                Ok(())
            }
        }
    }

    /// A read looks at the disk; what it saw arrives later.
    pub(super) fn reading(&mut self, process: u32, read: Read) -> Checked {
        let Some(present) = self.process.as_ref().filter(|_| process == self.processes) else {
            return Ok(());
        };
        let message = match read {
            Read::Log(read) => {
                let limit = Limit {
                    items: read.items,
                    bytes: read.bytes,
                };
                let events = self.disk.store.read_log(read.from, limit)?;
                let Some(name) = present.lanes.get(&read.lane) else {
                    return Ok(());
                };
                Message::Log(read.lane, name.clone(), read.from, events)
            }
            Read::Due(read) => {
                if self.is_sabotaged(Sabotage::ReadLost) && chance(&mut self.entropy, 100) {
                    return Ok(());
                }
                let early = self.is_sabotaged(Sabotage::RowsEarly);
                let limit = Limit {
                    items: read.items,
                    bytes: read.bytes,
                };
                let until = read.until.plus_ms(if early { HOUR_MS / 6 } else { 0 });
                let store = &self.disk.store;
                let mut work = store.due(&read.subscription, until, &read.skip, limit)?;
                if early {
                    let rows = work.rows.iter_mut();
                    rows.for_each(|(row, _)| row.due_at = row.due_at.min(read.until));
                }
                Message::Due(read.lane, read.subscription, work)
            }
        };
        let at_ms = self.after_disk();
        self.post(at_ms, process, message);
        Ok(())
    }

    /// The shell is to learn something.
    pub(super) fn post(&mut self, at_ms: u64, process: u32, message: Message) {
        self.queue
            .push(at_ms, Happening::Tell(process, Box::new(message)));
    }

    /// The shell learns something.
    pub(super) fn tell(&mut self, process: u32, message: Message) -> Checked {
        if process != self.processes {
            return Ok(());
        }
        let Some(mut present) = self.process.take() else {
            return Ok(());
        };
        let result = self.take(&mut present, message);
        self.process = Some(present);
        self.step_soon();
        result
    }

    fn take(&mut self, process: &mut Process, message: Message) -> Checked {
        match message {
            Message::Log(lane, name, from, events) => {
                self.take_log(process, lane, &name, from, &events)?
            }
            Message::Due(lane, name, work) => {
                let events = work.rows.iter().map(|(_, event)| event);
                self.ledger.handed(&name, self.processes, events, false)?;
                process.engine.handle_due(lane, work.rows, work.next_due);
            }
            Message::Committed(number, rebased) => {
                process.on_the_way = process.on_the_way.saturating_sub(1);
                if let Some(number) = number {
                    process.engine.handle_committed(number);
                    self.plan_is_durable(process, number)?;
                }
                if rebased {
                    self.plan
                        .subscriptions
                        .keys()
                        .for_each(|name| process.engine.handle_rows_changed(name));
                }
            }
            Message::RowsChanged(names) => {
                names
                    .iter()
                    .for_each(|name| process.engine.handle_rows_changed(name));
            }
            Message::Plan(plan, recovered) => self.adopt(process, plan, &recovered),
        }
        Ok(())
    }

    fn take_log(
        &mut self,
        process: &mut Process,
        lane: LaneId,
        name: &Arc<str>,
        from: Offset,
        events: &[Arc<Event>],
    ) -> Checked {
        self.ledger
            .handed(name, self.processes, events.iter(), true)?;
        process.engine.handle_log(lane, from, events);
        match process
            .engine
            .cursors()
            .find(|(lane, _)| *lane == name)
            .map(|(_, cursor)| cursor)
        {
            Some(cursor) => self.ledger.within_window(name, cursor),
            None => Ok(()),
        }
    }

    fn adopt(&mut self, process: &mut Process, plan: Arc<Plan>, recovered: &All) {
        self.note(
            "plan (subscriptions)",
            [plan.subscriptions.len() as u64, 0, 0],
        );
        for subscription in plan.subscriptions.values() {
            if let Some(policy) = plan.policies.get(&subscription.policy) {
                self.ledger.governed(&subscription.name, policy);
            }
        }
        self.gates.planned(&plan, self.clock.now_ms);
        let end = self.disk.store.tail().end();
        process.engine.handle_end(end);
        process
            .engine
            .handle_plan(&self.plan_for_engine(&plan), recovered);
        process.planned = Some((None, end));
        self.plan = plan;
        self.planned_at_ms = self.clock.now_ms;
    }

    /// Hands over what must be committed.
    pub(super) fn hand_over(&mut self, process: &mut Process) -> Checked {
        if process.on_the_way >= BATCHES_MAX {
            return Ok(());
        }
        let now = self.clock.wall();
        let rebase = std::mem::take(&mut process.rebase).then_some(now);
        let taken = process.engine.take_records(now);
        let number = taken.as_ref().map(|(number, _)| *number);
        if let (Some((batch, _)), Some(number)) = (&mut process.planned, number) {
            batch.get_or_insert(number);
        }
        let Some(records) = taken
            .map(|(_, records)| records)
            .or_else(|| rebase.map(|_| Default::default()))
        else {
            // Nothing new had to be written for this plan.
            return if process.on_the_way == 0 {
                self.plan_is_durable(process, u64::MAX)
            } else {
                Ok(())
            };
        };
        process.on_the_way += 1;
        let origin = Origin::Dispatch {
            number,
            rebased: rebase.is_some(),
        };
        self.submit(
            Batch {
                records,
                rebase,
                ..Batch::default()
            },
            origin,
        );
        Ok(())
    }

    /// Everything up to this batch is durable: a plan whose cursors were in it stands.
    ///
    /// Checks that its subscriptions have begun where they should: nothing accepted since can be missed.
    fn plan_is_durable(&mut self, process: &mut Process, batch: u64) -> Checked {
        let Some((number, end)) = process.planned else {
            return Ok(());
        };
        if number.is_none_or(|number| number > batch) && batch != u64::MAX {
            return Ok(());
        }
        process.planned = None;
        process.accepting = true;
        for subscription in self.plan.subscriptions.values() {
            let start = self.ledger.start(&subscription.name);
            let latest = if subscription.start == Start::Earliest {
                Offset(1)
            } else {
                end
            };
            check(
                start.is_some_and(|start| start <= latest),
                Invariant::Kept,
                || {
                    format!(
                        "{} begins at {start:?}, after {latest:?}",
                        subscription.name
                    )
                },
            )?;
        }
        Ok(())
    }

    /// I6: the engine counts the requests under way as the world does.
    pub(super) fn slots_are_counted(&self) -> Checked {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let counted = process
            .engine
            .in_flight_by_endpoint()
            .filter(|(_, count)| *count > 0);
        let counted: std::collections::BTreeMap<Arc<str>, usize> =
            counted.map(|(name, count)| (name.clone(), count)).collect();
        let real = self.gates.in_flight();
        check(counted == real, Invariant::SlotLimit, || {
            format!("the engine counts {counted:?} under way, there are {real:?}")
        })
    }
}
