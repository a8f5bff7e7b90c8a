//! A virtual world around the real engine: seeded, in virtual time, without a socket, a thread or a clock.
//!
//! One seed gives one set of [`Options`] and one course of events, always the same. The world drives
//! [`switchhook_core::engine::Engine`] as the gateway's own shell does, over the in-memory store behind a
//! disk that takes its time and loses what is not durable in a crash. Senders send and repeat themselves,
//! endpoints misbehave, clocks jump, plans change, operators replay and discard, the process dies at any step.
//!
//! A world has a wild part and a quiet one ([`CHAOS_MS`], [`WORLD_MS`]). In the quiet one no fault happens and
//! all endpoints answer, so all work must end. [`crate::checks`] watches all of it.
//!
//! * `clock`, `queue`, `trace`: virtual time, what comes next, what has happened
//! * `options`: what a seed stands for
//! * `intake`, `receiver`, `operator`, `config`: senders, endpoints, people, and what these want
//! * `disk`: commits and crashes; `layout`: what a start reads, and the rows that it moves
//! * `process`, `message`, `attempt`: the shell around the engine

mod attempt;
mod clock;
mod config;
mod disk;
mod intake;
mod layout;
mod message;
mod operator;
mod options;
mod process;
mod queue;
mod receiver;
mod trace;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use switchhook_core::engine::Ticket;
use switchhook_core::plan::Plan;

use crate::checks::{Checked, Gates, Idle, Ledger, PATIENCE_MS, Violation};
use crate::entropy::Entropy;
use crate::faults::{CHAOS_MS, HOUR_MS, Sabotage, WORLD_MS, between, chance};

use clock::Clock;
use config::Config;
use disk::Disk;
use intake::Intake;
use message::{Lane, Message, Read};
use operator::Act;
use process::{Process, SLEEP_MAX_MS};
use queue::Queue;
use trace::Trace;

pub use options::Options;
pub(crate) use options::index;

/// So many times somebody switches a subscription off or on in [`run_with_switches`]: as often as plans change at most.
const SWITCHES: u64 = 30;

/// Something that happens. What carries a process number is for that process only and dies with it.
enum Happening {
    Burst(usize),
    Send(u64),
    Reply(u32, u64, Vec<switchhook_store::Appended>),
    DiskDone(u64),
    Tell(u32, Box<Message>),
    Step(u32),
    Wake(u32, u64),
    Answered(u32, Ticket),
    Reading(u32, Box<Read>),
    Crash,
    Stop,
    /// A stop in good order took too long.
    StopOver(u32),
    Boot,
    Jump,
    JumpNoticed(u32),
    Change,
    Replan(u32),
    Act(Act),
    Look,
    Heal,
    End,
}

/// What a world came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Equal for two runs of the same seed.
    pub trace_hash: u64,
    /// Steps of the trace.
    pub steps: u64,
    /// Events in the log.
    pub events: u64,
    /// Attempts recorded.
    pub attempts: u64,
    /// Processes that were started.
    pub processes: u32,
}

/// A world in which an invariant did not hold.
#[derive(Debug)]
pub struct Broken {
    /// Its options.
    pub options: Options,
    /// What did not hold.
    pub violation: Violation,
    /// The last steps.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} breaks {}", self.options.seed, self.violation)?;
        writeln!(f, "options:\n{}", self.options)?;
        writeln!(f, "the last steps:")?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        let seed = self.options.seed;
        write!(
            f,
            "again: SWITCHHOOK_SEED={seed} cargo test -p switchhook-sim --test simulation one_seed -- --nocapture"
        )
    }
}

/// Lives through the world of `seed`, with a defect if one is given.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Result<Summary, Box<Broken>> {
    live(World::new(Options::of(seed), sabotage)).0
}

/// The same in a world in which people also switch subscriptions off and on in the configuration.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run_with_switches(seed: u64, sabotage: Option<Sabotage>) -> Result<Summary, Box<Broken>> {
    let mut options = Options::of(seed);
    options.faults.disables = SWITCHES;
    live(World::new(options, sabotage)).0
}

/// Lives through the world of `seed` and says what happened, whether it held or not.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run_and_tell(seed: u64) -> (Result<Summary, Box<Broken>>, Options, Vec<String>) {
    let mut world = World::new(Options::of(seed), None);
    world.trace.keeps_all = true;
    let (result, world) = live(world);
    let lines = world.trace.lines();
    (result, world.options, lines)
}

fn live(mut world: World) -> (Result<Summary, Box<Broken>>, World) {
    let result = world.live().map_err(|violation| {
        let (options, trace) = (world.options.clone(), world.trace.lines());
        Box::new(Broken {
            options,
            violation,
            trace,
        })
    });
    let summary = result.map(|()| Summary {
        trace_hash: world.trace.hash(),
        steps: world.trace.steps(),
        events: world.ledger.end().0 - 1,
        attempts: world.ledger.attempts(),
        processes: world.processes,
    });
    (summary, world)
}

/// See the module.
struct World {
    options: Options,
    sabotage: Option<Sabotage>,
    entropy: Entropy,
    clock: Clock,
    queue: Queue,
    trace: Trace,
    disk: Disk,
    intake: Intake,
    config: Config,
    /// The plan in force.
    plan: Arc<Plan>,
    /// When it came into force, in the world's milliseconds.
    planned_at_ms: u64,
    process: Option<Box<Process>>,
    /// Who had each partition at the last look.
    members: BTreeMap<Lane, Arc<str>>,
    /// Processes started so far; the last one is the present one.
    processes: u32,
    ledger: Ledger,
    gates: Gates,
    /// Happenings until the process crashes, if it is to.
    fuse: Option<u64>,
    healed: bool,
}

impl World {
    fn new(options: Options, sabotage: Option<Sabotage>) -> Self {
        let config = Config::new(&options);
        let ledger = Ledger::new(&config.whole_plan());
        let mut world = Self {
            sabotage,
            entropy: Entropy::new(!options.seed),
            clock: Clock::default(),
            queue: Queue::default(),
            trace: Trace::default(),
            disk: Disk::default(),
            intake: Intake::default(),
            config,
            plan: Arc::default(),
            planned_at_ms: 0,
            process: None,
            members: BTreeMap::new(),
            processes: 0,
            ledger,
            gates: Gates::default(),
            fuse: None,
            healed: false,
            options,
        };
        world.schedule();
        world
    }

    /// Everything that is to happen whatever else does.
    fn schedule(&mut self) {
        self.queue.push(0, Happening::Boot);
        for (number, burst) in self.options.bursts.iter().enumerate() {
            self.queue.push(burst.at_ms, Happening::Burst(number));
        }
        let faults = self.options.faults.clone();
        let kinds: [(u64, fn() -> Happening); 4] = [
            (faults.crashes, || Happening::Crash),
            (faults.stops, || Happening::Stop),
            (faults.jumps, || Happening::Jump),
            (faults.plan_changes, || Happening::Change),
        ];
        for (count, happening) in kinds {
            for _ in 0..count {
                let at_ms = self.eventful_time();
                self.queue.push(at_ms, happening());
            }
        }
        self.schedule_people();
        let looks = WORLD_MS / (2 * PATIENCE_MS);
        (1..looks).for_each(|n| self.queue.push(n * 2 * PATIENCE_MS, Happening::Look));
        self.queue.push(CHAOS_MS, Happening::Heal);
        self.queue.push(WORLD_MS, Happening::End);
    }

    /// A time in the wild part, most often one at which much is going on.
    fn eventful_time(&mut self) -> u64 {
        let burst = self
            .entropy
            .pick(&self.options.bursts)
            .map(|burst| burst.at_ms);
        match burst.filter(|_| chance(&mut self.entropy, 700)) {
            Some(at_ms) => (at_ms + self.entropy.below(5_000)).min(CHAOS_MS - 1),
            None => self.entropy.below(CHAOS_MS),
        }
    }

    fn live(&mut self) -> Checked {
        while let Some((at_ms, happening)) = self.queue.pop() {
            self.clock.now_ms = at_ms;
            if matches!(happening, Happening::End) {
                return self.end();
            }
            self.happen(happening)?;
            self.burn()?;
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Burst(number) => self.burst(number),
            Happening::Send(request) => self.send(request)?,
            Happening::Reply(process, request, appended) => {
                self.reply(process, request, &appended)?
            }
            Happening::DiskDone(group) => self.disk_done(group)?,
            Happening::Tell(process, message) => self.tell(process, *message)?,
            Happening::Step(process) => self.step_of(process)?,
            Happening::Wake(process, at_ms) => self.wake(process, at_ms)?,
            Happening::Answered(process, ticket) => self.answered(process, ticket)?,
            Happening::Reading(process, read) => self.reading(process, *read)?,
            Happening::Crash => self.crash()?,
            Happening::Stop => self.stop()?,
            Happening::StopOver(process) => {
                if process == self.processes && self.process.is_some() {
                    self.crash()?;
                }
            }
            Happening::Boot => self.boot()?,
            Happening::Jump => self.jump(),
            Happening::JumpNoticed(process) => self.jump_noticed(process)?,
            Happening::Change => self.change_plan(),
            Happening::Replan(process) => self.replan(process)?,
            Happening::Act(act) => self.act(act)?,
            Happening::Look => self.look()?,
            Happening::Heal => self.heal(),
            Happening::End => {}
        }
        Ok(())
    }

    /// Counts down to a crash in the middle of things.
    fn burn(&mut self) -> Checked {
        match self.fuse {
            Some(0) => {
                self.fuse = None;
                self.crash()
            }
            Some(left) => {
                self.fuse = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn jump(&mut self) {
        if self.healed {
            return;
        }
        let hour_ms = i64::try_from(HOUR_MS).unwrap_or(0);
        let steps = [
            hour_ms,
            -hour_ms,
            24 * hour_ms,
            -24 * hour_ms,
            40_000,
            -40_000,
        ];
        let by_ms = *self.entropy.pick(&steps).unwrap_or(&0);
        self.clock.jump(by_ms);
        if by_ms < 0 {
            self.gates.jumped_back(self.clock.now_ms, SLEEP_MAX_MS);
        }
        self.note(
            if by_ms < 0 {
                "clock back (ms)"
            } else {
                "clock forward (ms)"
            },
            [by_ms.unsigned_abs(), 0, 0],
        );
        // The process sleeps at most a second at a time, and looks for steps every five.
        let process = self.processes;
        let (soon, later) = (self.after(0, 1_000), self.after(0, 5_000));
        self.queue.push(soon, Happening::Step(process));
        self.queue.push(later, Happening::JumpNoticed(process));
    }

    /// Looks whether anything stands still, and whether the store is as it should be.
    fn look(&mut self) -> Checked {
        let settled = self.process.as_ref().filter(|process| process.is_settled());
        if let Some(since_ms) = settled.map(|process| process.booted_at_ms) {
            let members = self.partitions_have_members()?;
            self.ledger.no_lane_is_stuck(&Idle {
                plan: &self.plan,
                gates: &self.gates,
                members: &members,
                since_ms: since_ms.max(self.planned_at_ms),
                back_at_ms: self.clock.back_at_ms.map_or(0, |at| at + 5_000),
                now_ms: self.clock.now_ms,
            })?;
            self.slots_are_counted()?;
        }
        self.ledger.audit(&self.disk.store)
    }

    /// From now on nothing fails; what is missing comes back.
    fn heal(&mut self) {
        self.note("healed", [0; 3]);
        self.healed = true;
        self.fuse = None;
        if self.config.restore() {
            self.queue
                .push(self.clock.now_ms, Happening::Replan(self.processes));
        }
    }

    fn end(&mut self) -> Checked {
        self.ledger.audit(&self.disk.store)?;
        self.ledger.the_log_is_unchanged(&self.disk.store)?;
        self.intake.everything_is_acknowledged()?;
        self.ledger.everything_has_ended()
    }

    /// A moment between `from_ms` and `to_ms` from now.
    fn after(&mut self, from_ms: u64, to_ms: u64) -> u64 {
        self.clock.now_ms + between(&mut self.entropy, from_ms, to_ms)
    }

    /// When something that the disk does is over: soon, or after seconds when it stalls.
    fn after_disk(&mut self) -> u64 {
        if !self.healed && chance(&mut self.entropy, self.options.faults.stall_pm) {
            self.after(100, 20_000)
        } else {
            self.after(0, 5)
        }
    }

    fn note(&mut self, what: &'static str, numbers: [u64; 3]) {
        self.trace.note(self.clock.now_ms, what, numbers);
    }

    fn is_sabotaged(&self, by: Sabotage) -> bool {
        self.sabotage == Some(by)
    }
}
