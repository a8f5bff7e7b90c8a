//! The loop around the engine: feeds it what happened, does what it says. It holds no policy.
//!
//! One task owns the engine, so there is no lock. Attempts run in tasks of their own and report back
//! through one channel; its length is bounded by the slots of all endpoints. Reads that need the disk
//! run on blocking threads; reads of the newest events come from memory at once. At most
//! [`BATCHES_MAX`] batches are on their way to the disk; what comes meanwhile waits in the engine.

use std::sync::Arc;
use std::time::Duration;

use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::engine::{
    Command, Engine, Judged, LaneId, Outcome, ReadDue, ReadLog, Start, Ticket,
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
    Plan {
        plan: Arc<Plan>,
        recovered: recover::All,
        done: oneshot::Sender<()>,
    },
    RowsChanged(Arc<str>),
    ClockWentBack,
    Snapshot(oneshot::Sender<Snapshot>),
    Drain(oneshot::Sender<()>),
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
        let engine = Engine::new(&Plan::default(), &recover::All::new(), end);
        Self {
            parts,
            engine,
            messages,
            live,
            appended,
            on_the_way: 0,
            rebase: true,
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
            Message::Plan {
                plan,
                recovered,
                done,
            } => {
                self.engine.handle_end(self.parts.store.tail().end());
                self.engine.handle_plan(&plan, &recovered);
                self.planned.push((None, done));
            }
            Message::RowsChanged(subscription) => self.engine.handle_rows_changed(&subscription),
            Message::ClockWentBack => self.rebase = true,
            Message::Snapshot(done) => {
                let in_flight = self
                    .engine
                    .in_flight_by_endpoint()
                    .map(|(n, c)| (n.clone(), c))
                    .collect();
                let cursors = self
                    .engine
                    .cursors()
                    .map(|(n, at)| (n.clone(), at))
                    .collect();
                let _gone = done.send(Snapshot { in_flight, cursors });
            }
            Message::Drain(done) => {
                self.engine.drain();
                self.drained = Some(done);
            }
        }
        Ok(())
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
                store.due(&read.subscription, read.until, &read.skip, limit),
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
            let names: Vec<Arc<str>> = self
                .engine
                .cursors()
                .map(|(name, _)| name.clone())
                .collect();
            for name in names {
                self.engine.handle_rows_changed(&name);
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
