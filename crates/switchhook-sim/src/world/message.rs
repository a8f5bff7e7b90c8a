//! What the shell learns, reads and hands over, as the gateway's own does it.
//!
//! At most [`BATCHES_MAX`] batches are on their way to the disk. The newest events are read at once, all
//! else takes time, and what a read saw may be old when it arrives. A rebase rides with the records of
//! dispatch, so that no row that was planned before the jump is written after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::engine::{Known, LaneId, ReadDue, ReadLog};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::{Start, Target};
use switchhook_core::time::UnixMs;
use switchhook_store::query::{DueWork, Limit};
use switchhook_store::{Batch, Store, tail};

use super::disk::{ALL, Origin};
use super::operator::Deed;
use super::process::Process;
use super::{Happening, World};
use crate::checks::{Checked, Invariant, check};
use crate::faults::{HOUR_MS, Sabotage, chance};

/// Batches on their way to the disk at once, as in the gateway.
const BATCHES_MAX: usize = 2;

/// What the shell learns.
pub(super) enum Message {
    Log(LaneId, Lane, Offset, Vec<Arc<Event>>),
    Due(LaneId, Lane, DueWork),
    /// A batch of dispatch is durable: its number, and whether a rebase rode along.
    Committed(Option<u64>, bool),
    Done(Deed),
    Plan(Arc<Plan>, Box<Known>),
}

/// A subscription and one of its partitions.
pub(super) type Lane = (Arc<str>, u16);

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
                let lane = (read.subscription, read.partition);
                let mut work = store.due(&lane.0, lane.1, until, &read.skip, limit)?;
                if self.is_sabotaged(Sabotage::HeldHandedOut) {
                    let rows = store.waiting(&lane.0, Offset(1), ALL)?.into_iter();
                    let held = rows.filter(|(row, _)| {
                        row.due_at == UnixMs::NEVER && row.place.partition == lane.1
                    });
                    work.rows
                        .extend(held.take(read.items).map(|(mut row, event)| {
                            (row.due_at, row.place.key) = (read.until, None);
                            (row, event)
                        }));
                }
                if early {
                    let rows = work.rows.iter_mut();
                    rows.for_each(|(row, _)| row.due_at = row.due_at.min(read.until));
                }
                Message::Due(read.lane, lane, work)
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
                let of = (&*name.0, name.1);
                self.ledger.handed(of, self.processes, events, false)?;
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
            Message::Done(deed) => self.hear(process, &deed),
            // What people did meanwhile has to be on disk first: read again then.
            Message::Plan(..) if process.restarting && !process.engine.is_quiet() => {
                process.replanning = false;
            }
            Message::Plan(plan, known) => self.adopt(process, plan, *known)?,
        }
        Ok(())
    }

    /// What people did is on disk.
    fn hear(&mut self, process: &mut Process, deed: &Deed) {
        let wall = self.clock.wall();
        for (key, place) in &deed.discarded {
            process.engine.handle_discarded(key, *place, wall);
        }
        for (name, paused) in &deed.pauses {
            process.engine.handle_pause(name, *paused);
            self.ledger.paused(name, *paused, self.clock.now_ms);
        }
        for name in &deed.rows {
            process.engine.handle_rows_changed(name);
        }
    }

    fn take_log(
        &mut self,
        process: &mut Process,
        id: LaneId,
        lane: &Lane,
        from: Offset,
        events: &[Arc<Event>],
    ) -> Checked {
        let of = (&*lane.0, lane.1);
        self.ledger
            .handed(of, self.processes, events.iter(), true)?;
        process.engine.handle_log(id, from, events);
        let mut lanes = process.engine.lanes();
        let now = lanes.find(|now| (&now.subscription, now.partition) == (&lane.0, lane.1));
        match now.map(|now| now.cursor) {
            Some(cursor) => self.ledger.within_window(of, cursor),
            None => Ok(()),
        }
    }

    /// Puts a plan in force.
    fn adopt(&mut self, process: &mut Process, plan: Arc<Plan>, mut known: Known) -> Checked {
        self.note(
            "plan (subscriptions)",
            [plan.subscriptions.len() as u64, 0, 0],
        );
        let (wall, now_ms) = (self.clock.wall(), self.clock.now_ms);
        self.gates.planned(&plan, now_ms);
        let records = self.ledger.breakers();
        let before = process.plan.take();
        let is_new = |name: &Arc<str>| {
            before
                .as_ref()
                .is_none_or(|before| !before.endpoints.contains_key(name))
        };
        let records = records.filter(|record| is_new(&record.endpoint));
        self.gates
            .recovered(records, &plan, wall, (now_ms, self.clock.forward_ms));
        // What people have paused since it was read counts.
        known.paused = self.disk.store.pauses()?.into_keys().collect();
        if self.is_sabotaged(Sabotage::PauseForgotten) {
            known.paused.clear();
        }
        let end = self.disk.store.tail().end();
        let stays = before.filter(|_| !process.restarting);
        let is_new = |name: &Arc<str>| {
            stays
                .as_ref()
                .is_none_or(|before| !before.subscriptions.contains_key(name))
        };
        for name in plan.subscriptions.keys().filter(|name| is_new(name)) {
            let paused = self.ledger.is_paused(name);
            self.ledger.paused(name, paused, now_ms);
        }
        self.ledger.planned(&plan, end, now_ms);
        process.engine.handle_end(end);
        let told = self.plan_for_engine(&plan);
        if std::mem::take(&mut process.restarting) {
            self.ledger.dispatch_began_anew();
            process.engine.handle_restart(&told, &known, wall);
        } else {
            process.engine.handle_plan(&told, &known, wall);
        }
        if process.draining {
            process.engine.drain();
        }
        process.replanning = false;
        process.planned = Some((None, end));
        process.plan = Some(plan.clone());
        self.plan = plan;
        self.planned_at_ms = now_ms;
        Ok(())
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
        let endpoints = process.engine.endpoints(self.clock.wall());
        let counted: BTreeMap<Arc<str>, usize> = endpoints
            .filter(|endpoint| endpoint.in_flight > 0)
            .map(|endpoint| (endpoint.endpoint, endpoint.in_flight))
            .collect();
        let mut real = self.gates.in_flight();
        real.retain(|name, _| self.plan.endpoints.contains_key(name));
        check(counted == real, Invariant::SlotLimit, || {
            format!("the engine counts {counted:?} under way, there are {real:?}")
        })
    }

    /// Group: every partition has one member of its group or, while none is well, nobody. Returns who has had each
    /// one since the last look.
    pub(super) fn partitions_have_members(
        &mut self,
    ) -> Result<BTreeMap<Lane, Arc<str>>, crate::checks::Violation> {
        let Some(process) = &self.process else {
            return Ok(BTreeMap::new());
        };
        let mut members = BTreeMap::new();
        let mut lanes = BTreeMap::<Arc<str>, Vec<u16>>::new();
        for lane in process.engine.lanes() {
            lanes
                .entry(lane.subscription.clone())
                .or_default()
                .push(lane.partition);
            let planned = self.plan.subscriptions.get(&lane.subscription);
            let group = planned.and_then(|planned| self.plan.group_of(planned));
            let may = |name: &Arc<str>| match planned.map(|planned| &planned.target) {
                Some(Target::Endpoint(only)) => name == only,
                Some(Target::Group(_)) => group.is_some_and(|group| group.members.contains(name)),
                None => false,
            };
            check(
                lane.endpoint.as_ref().is_none_or(may),
                Invariant::OneMember,
                || format!("{lane:?} belongs to no such group: {group:?}"),
            )?;
            if let Some(member) = lane.endpoint {
                members.insert((lane.subscription, lane.partition), member);
            }
        }
        for subscription in self.plan.subscriptions.values() {
            let there = lanes.get_mut(&subscription.name);
            let partitions = self.plan.partitions(subscription);
            let whole = there.is_some_and(|there| {
                there.sort_unstable();
                there.iter().copied().eq(0..partitions)
            });
            check(whole, Invariant::OneMember, || {
                format!("{} should have {partitions} partitions", subscription.name)
            })?;
        }
        let before = std::mem::replace(&mut self.members, members.clone());
        members.retain(|lane, member| before.get(lane) == Some(member));
        Ok(members)
    }
}
