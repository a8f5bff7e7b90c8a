//! The process: the shell around the engine, as the gateway's own is, and how it starts and dies.
//!
//! Its rounds ([`World::step_of`]) are the gateway's: hear the log, do what the engine says, hand over records.
//! What the shell learns and reads is in `message`, the requests that it makes are in `attempt`.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::engine::{Command, Engine, Known, LaneId, ReadLog, Ticket};
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_store::Store;

use super::attempt::Flight;
use super::message::{Lane, Message, Read};
use super::{Happening, World};
use crate::checks::{Checked, Invariant, check};
use crate::faults::HOUR_MS;

/// Most commands of one step; more would mean that the engine never rests.
const COMMANDS_MAX: usize = 100_000;
/// Longest sleep of the shell, in milliseconds; coarser than the gateway's, to save steps.
pub(super) const SLEEP_MAX_MS: u64 = HOUR_MS / 6;
/// A stop in good order that takes longer ends like a crash, in milliseconds.
const STOP_MAX_MS: u64 = 20_000;

/// See the module.
pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) booted_at_ms: u64,
    pub(super) flights: BTreeMap<Ticket, Flight>,
    /// Whose lane it is, as reads of due rows say.
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    /// Reads for lanes of which that is not known yet.
    pub(super) unnamed: Vec<ReadLog>,
    pub(super) on_the_way: usize,
    /// A plan whose cursors are not durable yet: its batch, once it has one, and the end of the log then.
    pub(super) planned: Option<(Option<u64>, Offset)>,
    /// The plan that the engine has.
    pub(super) plan: Option<Arc<Plan>>,
    /// The next one is on its way.
    pub(super) replanning: bool,
    /// Everything under way is to end, since dispatch cannot go on with the next plan.
    pub(super) restarting: bool,
    pub(super) accepting: bool,
    pub(super) draining: bool,
    pub(super) rebase: bool,
    step_at_ms: Option<u64>,
    wake_at_ms: Option<u64>,
}

impl Process {
    pub(super) const fn is_accepting(&self) -> bool {
        self.accepting && !self.draining
    }

    /// Whether people can get something done.
    pub(super) const fn is_settled(&self) -> bool {
        self.is_accepting() && !self.replanning && !self.restarting
    }
}

impl World {
    pub(super) fn boot(&mut self) -> Checked {
        if self.process.is_some() {
            return Ok(());
        }
        self.processes += 1;
        self.note("boot (process)", [u64::from(self.processes), 0, 0]);
        let end = self.disk.store.tail().end();
        self.process = Some(Box::new(Process {
            engine: Engine::new(&Plan::default(), &Known::default(), end, self.clock.wall()),
            booted_at_ms: self.clock.now_ms,
            flights: BTreeMap::new(),
            lanes: BTreeMap::new(),
            unnamed: vec![],
            on_the_way: 0,
            planned: None,
            plan: None,
            replanning: false,
            restarting: false,
            accepting: false,
            draining: false,
            rebase: true,
            step_at_ms: None,
            wake_at_ms: None,
        }));
        self.replan(self.processes)
    }

    /// Brings a new plan into force, as soon as what is under way lets it.
    pub(super) fn replan(&mut self, process: u32) -> Checked {
        let Some(present) = self.process.as_mut().filter(|_| process == self.processes) else {
            return Ok(());
        };
        if present.planned.is_some() || present.replanning || present.restarting {
            // One at a time.
            let later = self.after(10, 1_000);
            self.queue.push(later, Happening::Replan(process));
            return Ok(());
        }
        let plan = self.config.plan();
        if !present.engine.can_go_on_with(&plan) {
            present.restarting = true;
            present.engine.drain();
            self.note("restart of dispatch", [0; 3]);
            self.step_soon();
            return Ok(());
        }
        self.recover(plan)
    }

    /// Reads what the store knows of the subscriptions of a plan, once it stands there as the plan says.
    fn recover(&mut self, plan: Plan) -> Checked {
        if !self.lay_out(&plan)? {
            return self.die_of_it();
        }
        let known = self.known(&plan)?;
        if let Some(present) = &mut self.process {
            present.replanning = true;
        }
        let at_ms = self.after_disk();
        let message = Message::Plan(Arc::new(plan), Box::new(known));
        self.post(at_ms, self.processes, message);
        Ok(())
    }

    /// The process is gone, all of a sudden.
    pub(super) fn crash(&mut self) -> Checked {
        if self.healed || self.process.is_none() {
            return Ok(());
        }
        self.lose_what_is_not_durable()?;
        self.gone(20_000)
    }

    /// The process dies while it moves rows: some have moved, some have not.
    fn die_of_it(&mut self) -> Checked {
        self.lose_what_is_not_durable()?;
        self.be_gone(20_000);
        Ok(())
    }

    fn gone(&mut self, longest_ms: u64) -> Checked {
        self.be_gone(longest_ms);
        self.ledger.audit(&self.disk.store)
    }

    fn be_gone(&mut self, longest_ms: u64) {
        self.process = None;
        self.ledger.process_ended();
        self.gates.process_ended();
        self.fuse = None;
        self.send_again();
        let at_ms = self.after(10, longest_ms);
        self.queue.push(at_ms, Happening::Boot);
    }

    pub(super) fn stop(&mut self) -> Checked {
        let Some(process) = self.process.as_mut().filter(|process| process.accepting) else {
            return Ok(());
        };
        process.draining = true;
        process.engine.drain();
        self.note("stop", [0; 3]);
        let over = self.clock.now_ms + STOP_MAX_MS;
        self.queue.push(over, Happening::StopOver(self.processes));
        self.step_soon();
        Ok(())
    }

    pub(super) fn jump_noticed(&mut self, process: u32) -> Checked {
        if let Some(present) = self.process.as_mut().filter(|_| process == self.processes) {
            present.rebase = true;
            self.step_soon();
        }
        Ok(())
    }

    /// Something has happened that the shell has to look at, together with what else happens meanwhile.
    pub(super) fn step_soon(&mut self) {
        let at_ms = self.after(0, 2);
        let Some(process) = &mut self.process else {
            return;
        };
        if process
            .step_at_ms
            .is_none_or(|step_at_ms| at_ms < step_at_ms)
        {
            process.step_at_ms = Some(at_ms);
            self.queue.push(at_ms, Happening::Step(self.processes));
        }
    }

    pub(super) fn wake(&mut self, process: u32, at_ms: u64) -> Checked {
        let present = self.process.as_ref().filter(|_| process == self.processes);
        if present.is_some_and(|present| present.wake_at_ms == Some(at_ms)) {
            return self.step_of(process);
        }
        Ok(())
    }

    /// One round of the shell: hear the log, do what the engine says, hand over its records.
    pub(super) fn step_of(&mut self, process: u32) -> Checked {
        if process != self.processes {
            return Ok(());
        }
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.step_at_ms = None;
        process.engine.handle_end(self.disk.store.tail().end());
        self.obey(&mut process)?;
        self.hand_over(&mut process)?;
        self.arm(&mut process);
        let rests = process.engine.is_quiet() && process.on_the_way == 0;
        if process.restarting && !process.draining && !process.replanning && rests {
            self.process = Some(process);
            if self.disk.has_deeds() {
                self.queue
                    .push(self.clock.now_ms + 5, Happening::Step(self.processes));
                return Ok(());
            }
            return self.recover(self.config.plan());
        }
        let drained =
            process.draining && process.engine.in_flight() == 0 && process.on_the_way == 0;
        if drained && self.disk.is_idle() {
            let unrecorded = self.ledger.unrecorded();
            check(unrecorded == 0, Invariant::NoRepeat, || {
                format!("a stop in good order leaves {unrecorded} attempts unrecorded")
            })?;
            self.note("stopped", [0; 3]);
            return self.gone(60_000);
        }
        if process.draining && drained {
            let later = self.after(1, 100);
            self.queue.push(later, Happening::Step(self.processes));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Carries out commands until there are none.
    fn obey(&mut self, process: &mut Process) -> Checked {
        for _ in 0..COMMANDS_MAX {
            match process.engine.poll(self.clock.wall()) {
                Some(Command::Start(start)) => self.start(process, start)?,
                Some(Command::ReadLog(read)) => self.read_log(process, read)?,
                Some(Command::ReadDue(read)) => {
                    let lane = (read.subscription.clone(), read.partition);
                    process.lanes.insert(read.lane, lane);
                    let at_ms = self.after_disk();
                    self.queue.push(
                        at_ms,
                        Happening::Reading(self.processes, Box::new(Read::Due(read))),
                    );
                }
                None if process.unnamed.is_empty() => return Ok(()),
                None => {
                    for read in std::mem::take(&mut process.unnamed) {
                        self.read_log(process, read)?;
                    }
                }
            }
        }
        check(false, Invariant::Bounds, || "the engine never rests".into())
    }

    fn arm(&mut self, process: &mut Process) {
        let wake = process
            .engine
            .next_wake()
            .map(|at| at.since_ms(self.clock.wall()).min(SLEEP_MAX_MS));
        let at_ms = wake.map(|sleep_ms| self.clock.now_ms + sleep_ms.max(1));
        if let Some(at_ms) =
            at_ms.filter(|at_ms| process.wake_at_ms.is_none_or(|armed| armed != *at_ms))
        {
            self.queue
                .push(at_ms, Happening::Wake(self.processes, at_ms));
        }
        process.wake_at_ms = at_ms;
    }
}
