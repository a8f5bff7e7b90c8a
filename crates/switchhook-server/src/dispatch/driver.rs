//! The loop around the engine: feeds it what happened, does what it says. It holds no policy.
//!
//! One task owns the engine, so there is no lock. Attempts run in tasks of their own and report back
//! through one channel; its length is bounded by the slots of all endpoints. Reads that need the disk
//! run on blocking threads; reads of the newest events come from memory at once. At most
//! [`BATCHES_MAX`] batches are on their way to the disk; what comes meanwhile waits in the engine.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use switchhook_core::breaker::Change;
use switchhook_core::delivery::{DeliveryKey, Failure, OutcomeKind, Place};
use switchhook_core::engine::{
    Command, Engine, Judged, Known, LaneId, Located, Move, Operator, Outcome, ReadDue, ReadLog,
    Start, Ticket,
};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::query::Limit;
use switchhook_store::{Batch, Error, Receipt, Store, tail};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::{Parts, Snapshot, recover};

/// Batches on their way to the disk at once: one is being written, one waits to ride in the next group.
const BATCHES_MAX: usize = 2;
/// Messages taken in before the engine is asked what to do.
const MESSAGES_MAX: usize = 512;
/// Longest sleep: a step of the wall clock is noticed after at most this.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Something that the driver must know.
pub(super) enum Message {
    Outcome(Ticket, Outcome),
    Log(LaneId, Offset, Result<Vec<Arc<Event>>, Error>),
    Due(LaneId, Result<switchhook_store::query::DueWork, Error>),
    /// A batch is on disk: its number, if it had records, and whether rows were rebased with it.
    Committed {
        number: Option<u64>,
        rebased: bool,
        receipt: Result<Receipt, Error>,
    },
    /// A plan is to come into force.
    Plan {
        plan: Arc<Plan>,
        done: oneshot::Sender<()>,
    },
    /// What the store knows for the plan that comes next.
    Known(Result<Known, Error>),
    RowsChanged(Arc<str>),
    Operation(Operation),
    Locate(Arc<Event>, oneshot::Sender<BTreeMap<Arc<str>, Located>>),
    ClockWentBack,
    Snapshot(oneshot::Sender<Snapshot>),
    Drain(oneshot::Sender<()>),
}

/// What people do.
pub(super) enum Operation {
    Pause(Arc<str>, bool),
    Discarded(Vec<(DeliveryKey, Place)>),
    Skip(Arc<str>, u16, Offset),
    SecretChanged(Arc<str>),
    Breaker {
        endpoint: Arc<str>,
        wish: Operator,
        reason: Option<Arc<str>>,
        done: oneshot::Sender<Option<Change>>,
    },
    Moves {
        carry_out: bool,
        done: oneshot::Sender<Vec<Move>>,
    },
}

impl Operation {
    /// The same once more, where that does no harm and what the store said may be older.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Pause(subscription, paused) => Some(Self::Pause(subscription.clone(), *paused)),
            Self::Discarded(letters) => Some(Self::Discarded(letters.clone())),
            Self::Skip(subscription, partition, to) => {
                Some(Self::Skip(subscription.clone(), *partition, *to))
            }
            Self::SecretChanged(_) | Self::Breaker { .. } | Self::Moves { .. } => None,
        }
    }
}

pub(super) struct Driver {
    parts: Parts,
    engine: Engine,
    messages: mpsc::UnboundedSender<Message>,
    live: broadcast::Sender<Arc<Judged>>,
    appended: Arc<Notify>,
    on_the_way: usize,
    /// The clock went back, perhaps while the process was not running: no row may wait longer than it was
    /// meant to. Goes with the next batch, so that no record from before is written after it.
    rebase: bool,
    /// The plan in force.
    plan: Arc<Plan>,
    /// Plans that are to come into force, and whether the store is being asked for the first of them.
    next: VecDeque<(Arc<Plan>, oneshot::Sender<()>)>,
    recovering: bool,
    /// What people did since then: the store may have been read before, so it is done once more after it.
    meanwhile: Vec<Operation>,
    /// Plans that are in force but whose cursors are not on disk yet: answered when this batch is.
    planned: Vec<(Option<u64>, oneshot::Sender<()>)>,
    drained: Option<oneshot::Sender<()>>,
}

impl Driver {
    pub(super) fn new(
        parts: Parts,
        messages: mpsc::UnboundedSender<Message>,
        live: broadcast::Sender<Arc<Judged>>,
    ) -> Self {
        let appended = Arc::new(Notify::new());
        let wake = appended.clone();
        parts
            .store
            .tail()
            .on_append(Box::new(move || wake.notify_one()));
        let end = parts.store.tail().end();
        let now = parts.clock.now();
        let engine = Engine::new(&Plan::default(), &Known::default(), end, now);
        Self {
            parts,
            engine,
            messages,
            live,
            appended,
            on_the_way: 0,
            rebase: true,
            plan: Arc::default(),
            next: VecDeque::new(),
            recovering: false,
            meanwhile: Vec::new(),
            planned: vec![],
            drained: None,
        }
    }

    /// Runs until the store fails or a drain has ended.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let mut messages = Vec::with_capacity(MESSAGES_MAX);
        loop {
            let appended = self.appended.clone();
            tokio::select! {
                // What people said comes before what came in after it.
                biased;
                _ = inbox.recv_many(&mut messages, MESSAGES_MAX) => {}
                () = appended.notified() => {}
                () = tokio::time::sleep(self.sleep()) => {}
            }
            for message in messages.drain(..) {
                if let Err(error) = self.take(message) {
                    // Whoever listens stops the process; without the store there is nothing left to do here.
                    let _nobody = self.parts.fatal.send(error);
                    return;
                }
            }
            self.engine.handle_end(self.parts.store.tail().end());
            while let Some(command) = self.engine.poll(self.parts.clock.now()) {
                self.carry_out(command);
            }
            self.commit();
            self.prepare_the_next_plan();
            if self.is_drained() {
                if let Some(done) = self.drained.take() {
                    let _gone = done.send(());
                }
                return;
            }
        }
    }

    fn sleep(&self) -> Duration {
        let Some(at) = self.engine.next_wake() else {
            return SLEEP_MAX;
        };
        Duration::from_millis(at.since_ms(self.parts.clock.now())).min(SLEEP_MAX)
    }

    fn take(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Outcome(ticket, outcome) => {
                let now = self.parts.clock.now();
                if let Some(judged) = self.engine.handle_outcome(ticket, &outcome, now) {
                    self.tell(judged, now);
                }
            }
            Message::Log(lane, from, events) => self.engine.handle_log(lane, from, &events?),
            Message::Due(lane, work) => {
                let work = work?;
                self.engine.handle_due(lane, work.rows, work.next_due);
            }
            Message::Committed {
                number,
                rebased,
                receipt,
            } => {
                receipt?;
                self.committed(number, rebased);
            }
            Message::Plan { plan, done } => self.next.push_back((plan, done)),
            Message::Known(known) => self.adopt(&known?),
            Message::RowsChanged(subscription) => self.engine.handle_rows_changed(&subscription),
            Message::ClockWentBack => self.rebase = true,
            Message::Snapshot(done) => {
                let now = self.parts.clock.now();
                let _gone = done.send(Snapshot {
                    endpoints: self.engine.endpoints(now).collect(),
                    lanes: self.engine.lanes().collect(),
                });
            }
            Message::Locate(event, done) => {
                let _gone = done.send(self.engine.locate(&event));
            }
            Message::Drain(done) => {
                self.engine.drain();
                self.drained = Some(done);
            }
            Message::Operation(operation) => self.operate(operation),
        }
        Ok(())
    }

    fn operate(&mut self, operation: Operation) {
        if self.recovering {
            self.meanwhile.extend(operation.again());
        }
        let now = self.parts.clock.now();
        match operation {
            Operation::Pause(subscription, paused) => {
                self.engine.handle_pause(&subscription, paused);
            }
            Operation::Discarded(letters) => {
                for (delivery, place) in letters {
                    self.engine.handle_discarded(&delivery, place, now);
                }
            }
            Operation::Skip(subscription, partition, to) => {
                self.engine.handle_skip(&subscription, partition, to, now);
            }
            Operation::SecretChanged(name) => self.engine.handle_secret_changed(&name, now),
            Operation::Breaker {
                endpoint,
                wish,
                reason,
                done,
            } => {
                let change = self.engine.handle_operator(&endpoint, wish, reason, now);
                let _gone = done.send(change);
            }
            Operation::Moves { carry_out, done } => {
                let moves = self.engine.moves(now);
                if carry_out {
                    self.engine.handle_assign(now);
                }
                let _gone = done.send(moves);
            }
        }
    }

    /// Asks the store for what the next plan needs. Where the engine cannot go on with it, everything under way ends
    /// first.
    fn prepare_the_next_plan(&mut self) {
        let Some((plan, _)) = self.next.front() else {
            return;
        };
        if self.recovering {
            return;
        }
        if !self.engine.can_go_on_with(plan) {
            self.engine.drain();
            if !self.engine.is_quiet() || self.on_the_way > 0 {
                return;
            }
        }
        self.recovering = true;
        let plan = plan.clone();
        self.in_background(move |store| Message::Known(recover::all(store, &plan)));
    }

    /// Puts the next plan in force.
    fn adopt(&mut self, known: &Known) {
        self.recovering = false;
        let Some((plan, done)) = self.next.pop_front() else {
            return;
        };
        let goes_on = self.engine.can_go_on_with(&plan);
        if !goes_on && !self.engine.is_quiet() {
            // Somebody did something meanwhile: it goes to the disk first, and what is known is read again.
            self.next.push_front((plan, done));
            return;
        }
        let now = self.parts.clock.now();
        self.engine.handle_end(self.parts.store.tail().end());
        if goes_on {
            self.engine.handle_plan(&plan, known, now);
        } else {
            self.engine.handle_restart(&plan, known, now);
            if self.drained.is_some() {
                self.engine.drain();
            }
        }
        for operation in std::mem::take(&mut self.meanwhile) {
            self.operate(operation);
        }
        self.plan = plan;
        self.planned.push((None, done));
    }

    fn tell(&self, judged: Judged, now: UnixMs) {
        self.parts.observer.judged(&judged, now);
        if self.live.receiver_count() > 0 {
            let _nobody = self.live.send(Arc::new(judged));
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Start(start) => self.start(start),
            Command::ReadLog(read) => self.read_log(&read),
            Command::ReadDue(read) => self.read_due(read),
        }
    }

    fn start(&self, start: Start) {
        let sender = self.parts.sender.clone();
        let clock = self.parts.clock;
        let mut report = Report {
            messages: self.messages.clone(),
            ticket: Some(start.ticket),
            at: clock.now(),
        };
        tokio::spawn(async move {
            let outcome = sender.attempt(&start).await;
            report.send(outcome);
        });
    }

    fn read_log(&mut self, read: &ReadLog) {
        match self
            .parts
            .store
            .tail()
            .read(read.from, read.items, read.bytes)
        {
            tail::Read::Events(events) => self.engine.handle_log(read.lane, read.from, &events),
            tail::Read::AtEnd => self.engine.handle_log(read.lane, read.from, &[]),
            tail::Read::Behind => {
                let (lane, from) = (read.lane, read.from);
                let limit = Limit {
                    items: read.items,
                    bytes: read.bytes,
                };
                self.in_background(move |store| {
                    Message::Log(lane, from, store.read_log(from, limit))
                });
            }
        }
    }

    fn read_due(&self, read: ReadDue) {
        self.in_background(move |store| {
            let limit = Limit {
                items: read.items,
                bytes: read.bytes,
            };
            Message::Due(
                read.lane,
                store.due(
                    &read.subscription,
                    read.partition,
                    read.until,
                    &read.skip,
                    limit,
                ),
            )
        });
    }

    fn in_background(&self, read: impl FnOnce(&dyn Store) -> Message + Send + 'static) {
        let (store, messages) = (self.parts.store.clone(), self.messages.clone());
        tokio::task::spawn_blocking(move || {
            let _stopped = messages.send(read(&*store));
        });
    }

    fn committed(&mut self, number: Option<u64>, rebased: bool) {
        self.on_the_way = self.on_the_way.saturating_sub(1);
        if let Some(number) = number {
            self.engine.handle_committed(number);
            let (ready, waiting) = std::mem::take(&mut self.planned)
                .into_iter()
                .partition(|(batch, _)| batch.is_some_and(|batch| batch <= number));
            self.planned = waiting;
            answer(ready);
        }
        if rebased {
            for name in self.plan.subscriptions.keys() {
                self.engine.handle_rows_changed(name);
            }
        }
    }

    /// Hands over what must be committed.
    fn commit(&mut self) {
        if self.on_the_way >= BATCHES_MAX {
            return;
        }
        let now = self.parts.clock.now();
        let taken = self.engine.take_records(now);
        let rebase = std::mem::take(&mut self.rebase).then_some(now);
        if taken.is_none() && rebase.is_none() {
            if self.on_the_way == 0 {
                // Nothing new had to be written for these plans.
                answer(std::mem::take(&mut self.planned));
            }
            return;
        }
        self.on_the_way += 1;
        let (number, records) = taken.unzip();
        for (batch, _) in &mut self.planned {
            *batch = batch.or(number);
        }
        let messages = self.messages.clone();
        self.parts.store.submit(
            Batch {
                records: records.unwrap_or_default(),
                rebase,
                ..Batch::default()
            },
            Box::new(move |receipt| {
                let _stopped = messages.send(Message::Committed {
                    number,
                    rebased: rebase.is_some(),
                    receipt,
                });
            }),
        );
    }

    fn is_drained(&self) -> bool {
        self.drained.is_some() && self.engine.in_flight() == 0 && self.on_the_way == 0
    }
}

fn answer(plans: Vec<(Option<u64>, oneshot::Sender<()>)>) {
    for (_, done) in plans {
        let _gone = done.send(());
    }
}

/// Reports the end of an attempt, even if its task panics: a slot must never be lost.
struct Report {
    messages: mpsc::UnboundedSender<Message>,
    ticket: Option<Ticket>,
    at: UnixMs,
}

impl Report {
    fn send(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            let _stopped = self.messages.send(Message::Outcome(ticket, outcome));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = Outcome {
            at: self.at,
            duration_ms: 0,
            kind: OutcomeKind::Failed(Failure::Protocol),
            detail: Some("the attempt ended in an internal error".into()),
            retry_after_ms: None,
        };
        self.send(outcome);
    }
}
