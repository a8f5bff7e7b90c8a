//! Retention: forgets what has been kept long enough, and gives the disk space back, while the gateway runs.
//!
//! Soon after the start and every [`ROUND_INTERVAL`] a round of small steps. A step is one commit of bounded work, and
//! after each the loop rests for as long as the step took, so that ingest keeps at least half of the disk. Which events
//! may go, [`due`] decides; the store keeps whatever a waiting delivery or a dead letter needs. A round ends when nothing
//! is left to do, or after [`STEPS_MAX`] steps; the next one goes on.

mod due;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{Retain, Retained};
use switchhook_store::{Batch, Error};
use switchhook_wire::api::RetentionStatus;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::config;
use tokio::time::Instant;

use crate::dispatch::Stopped;
use crate::gateway::{Gateway, in_background, write};
use crate::observe::log;

/// When the first round begins: soon, since a gateway that is restarted often must forget too, but not before dispatch
/// has taken up its work.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// How often a round begins after that.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);
/// Rows of each kind in one step: a commit of a few milliseconds.
const STEP_ITEMS: u32 = 2_000;
/// Bytes of events that are looked at before as many go by size: they are in memory meanwhile.
const STEP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Free pages that are given back in one step: 1 MiB.
const STEP_PAGES: u32 = 256;
/// Steps of one round: some ten million rows, hours of a full disk's worth. It only bounds the loop.
const STEPS_MAX: u32 = 5_000;

/// What was done since the start.
pub(crate) struct Retention {
    settings: ArcSwap<config::Retention>,
    done: Mutex<Done>,
}

/// What was forgotten since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) events: u64,
    pub(crate) attempts: u64,
    pub(crate) dead: u64,
    pub(crate) bytes: u64,
    last_at: Option<UnixMs>,
}

impl Done {
    const fn add(&mut self, step: &Retained, now: UnixMs) {
        self.events = self.events.saturating_add(step.events);
        self.attempts = self.attempts.saturating_add(step.attempts);
        self.dead = self.dead.saturating_add(step.dead);
        self.bytes = self.bytes.saturating_add(step.bytes);
        if step.events > 0 || step.attempts > 0 || step.dead > 0 || step.bytes > 0 {
            self.last_at = Some(now);
        }
    }
}

impl Retention {
    pub(crate) fn new(settings: config::Retention) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            done: Mutex::default(),
        }
    }

    /// How long things stay.
    pub(crate) fn settings(&self) -> config::Retention {
        **self.settings.load()
    }

    /// Things stay for so long from the next round on.
    pub(crate) fn set(&self, settings: config::Retention) {
        self.settings.store(Arc::new(settings));
    }

    /// What was forgotten since the start.
    pub(crate) fn done(&self) -> Done {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, step: &Retained, now: UnixMs) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.add(step, now);
    }

    /// What may be forgotten, and what was.
    pub(crate) fn status(&self) -> RetentionStatus {
        let (settings, done) = (self.settings(), self.done());
        RetentionStatus {
            events_ms: settings.events_ms,
            attempts_ms: settings.attempts_ms,
            dead_ms: settings.dead_ms,
            bytes_max: settings.bytes_max,
            last_at: done.last_at.map(rfc3339),
            events: done.events,
            attempts: done.attempts,
            dead: done.dead,
            bytes: done.bytes,
        }
    }
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Dispatch(#[from] Stopped),
}

/// Rounds until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let mut rest = FIRST_AFTER;
    loop {
        tokio::time::sleep(rest).await;
        rest = ROUND_INTERVAL;
        let before = gateway.retention.done();
        match round(&gateway).await {
            Ok(()) => {}
            Err(Halt::Store(Error::Closed) | Halt::Dispatch(Stopped::Closed)) => return,
            Err(halt) => tracing::warn!(error = %halt, "a round of retention ended early"),
        }
        let after = gateway.retention.done();
        if after != before {
            log::forgotten(
                after.events.saturating_sub(before.events),
                after.dead.saturating_sub(before.dead),
                after.bytes.saturating_sub(before.bytes),
            );
        }
    }
}

/// Forgets what is too old, then, while the store is too large, what is oldest.
pub(crate) async fn round(gateway: &Gateway) -> Result<(), Halt> {
    let settings = gateway.retention.settings();
    let keep_from = keep_from(gateway).await?;
    let mut retain = due::by_age(&settings, keep_from, gateway.clock.now());
    let mut steps = forget(gateway, retain, 0).await?;
    let mut from = Offset(0);
    while steps < STEPS_MAX
        && let Some((before, next)) = due_by_size(gateway, from, keep_from).await?
    {
        from = next;
        retain.events_before = before.max(retain.events_before);
        // All that is free goes back before the size is looked at again, or too much would be forgotten.
        steps = forget(gateway, retain, steps).await?;
    }
    Ok(())
}

/// The lowest offset that a subscription of the plan or a job still wants. What a subscription has committed on disk
/// counts: after a crash it goes on from there.
async fn keep_from(gateway: &Gateway) -> Result<Offset, Halt> {
    let plan = gateway.plan.load_full();
    let end = gateway.store.tail().end();
    let job = gateway.jobs.wants_from().await;
    let known = gateway.dispatch.snapshot().await?.cursors();
    let on_disk = in_background(&gateway.store, |store| store.cursors()).await?;
    let committed = on_disk
        .into_iter()
        .filter(|cursor| plan.subscriptions.contains_key(&cursor.subscription))
        .map(|cursor| cursor.offset);
    let wanted = known.into_values().chain(committed).chain(job);
    Ok(wanted.fold(end, Offset::min))
}

/// Steps until there is no more to do; how many there were in the round then.
async fn forget(gateway: &Gateway, mut retain: Retain, mut steps: u32) -> Result<u32, Halt> {
    loop {
        let began = Instant::now();
        // Each time anew: a subscription that begins with the oldest event may have come meanwhile.
        retain.keep_from = keep_from(gateway).await?.min(retain.keep_from);
        let batch = Batch {
            retain: Some(retain),
            ..Batch::default()
        };
        let done = write(&*gateway.store, batch).await?.retained;
        gateway.retention.add(&done, gateway.clock.now());
        steps = steps.saturating_add(1);
        if !done.more || steps >= STEPS_MAX {
            return Ok(steps);
        }
        tokio::time::sleep(began.elapsed()).await;
    }
}

/// Where the store is too large: the time before which events have to go next, and where to look on after them. What has
/// to stay among the oldest is left behind.
async fn due_by_size(
    gateway: &Gateway,
    from: Offset,
    keep_from: Offset,
) -> Result<Option<(UnixMs, Offset)>, Halt> {
    let Some(bytes_max) = gateway.retention.settings().bytes_max else {
        return Ok(None);
    };
    let read = in_background(&gateway.store, move |store| {
        let counts = store.counts()?;
        let Some(limit) = due::by_size(counts.bytes, bytes_max) else {
            return Ok(None);
        };
        let events = store.read_log(from.max(counts.first), limit)?;
        let free = events.iter().take_while(|event| event.offset < keep_from);
        let last = free.last();
        Ok(last.map(|event| (event.received_at.plus_ms(1), event.offset.next())))
    });
    Ok(read.await?)
}
