//! Jobs: replays that are too many to wait for, and that go on after a restart.
//!
//! * `record`: what is kept of a job. `selection`: which events it takes. `road`: its way through the log.
//! * `runner`: counting and writing. `ahead`: never far ahead of dispatch. `finished`: the event that tells of the end.
//!
//! What a job takes is frozen when it is made: its filter, and the end of the log. Its deliveries are rows like those of
//! a replay by hand, so breakers, limits and the order per key hold for them as for all. Bounds: [`RUNNING_MAX`] work at
//! once, [`UNFINISHED_MAX`] are not over, `ahead::AHEAD_MAX` rows of each wait for dispatch.

mod ahead;
mod finished;
mod record;
mod road;
mod runner;
mod selection;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use switchhook_core::delivery::Records;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_store::batch::AuditEntry;
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::api::{Job, JobCount, JobState, JobWish, time::rfc3339};
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::dispatch::{self, Stopped};
use crate::gateway::{in_background, write};
use finished::finished;
use record::Kept;
pub(crate) use record::{Draft, Ranges};
use road::Road;
use runner::{COUNT_ITEMS, Work};
use selection::Selection;

/// Jobs that work at once: each reads the log and competes with what is new.
const RUNNING_MAX: usize = 4;
/// Jobs that are not over: each is in memory.
const UNFINISHED_MAX: usize = 100;
/// Dry runs that count at once; each goes through the log.
const COUNTING_MAX: usize = 2;
/// Events of a count that are shown.
const SAMPLE_MAX: usize = 5;

/// See the module.
pub(crate) struct Jobs {
    store: Arc<dyn Store>,
    plan: Arc<ArcSwap<Plan>>,
    dispatch: dispatch::Handle,
    clock: Clock,
    /// Those that are not over, by id.
    live: Mutex<BTreeMap<String, Arc<Work>>>,
    tasks: Mutex<JoinSet<()>>,
    places: Semaphore,
    counts: Semaphore,
    /// Deliveries put to work since the start.
    replayed: AtomicU64,
}

/// Why a job is not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0} jobs are not over, at most {UNFINISHED_MAX} may be: wait for one, or cancel one")]
    TooMany(usize),
    #[error("there is no job `{0}`")]
    Unknown(String),
    #[error("job `{id}` is over: it is {state}", state = .state.name())]
    Over { id: String, state: JobState },
    #[error("{0}")]
    Selection(String),
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Dispatch(#[from] Stopped),
}

impl Jobs {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        plan: Arc<ArcSwap<Plan>>,
        dispatch: dispatch::Handle,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            plan,
            dispatch,
            clock,
            live: Mutex::default(),
            tasks: Mutex::default(),
            places: Semaphore::new(RUNNING_MAX),
            counts: Semaphore::new(COUNTING_MAX),
            replayed: AtomicU64::new(0),
        })
    }

    /// Goes on with what was not over when the gateway stopped.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), Error> {
        let rows = in_background(&self.store, |store| store.jobs()).await?;
        // Oldest first: they have waited longest for a place.
        for row in rows.iter().rev().filter(|row| !row.is_over) {
            match Kept::read(row) {
                Some(kept) => self.start(kept).await,
                None => tracing::warn!(job = &*row.id, "a job cannot be read and is left alone"),
            }
        }
        Ok(())
    }

    async fn start(self: &Arc<Self>, kept: Kept) {
        let id = kept.job.id.clone();
        let work = Arc::new(Work {
            kept: Mutex::new(kept),
            changed: Notify::new(),
        });
        self.live.lock().await.insert(id, work.clone());
        let mut tasks = self.tasks.lock().await;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(runner::run(self.clone(), work));
    }

    /// Makes a job. `audit` tells of it, in the same batch.
    pub(crate) async fn make(
        self: &Arc<Self>,
        draft: Draft,
        actor: Arc<str>,
        audit: impl FnOnce(&Job) -> AuditEntry,
    ) -> Result<Job, Refused> {
        let unfinished = self.live.lock().await.len();
        if unfinished >= UNFINISHED_MAX {
            return Err(Refused::TooMany(unfinished));
        }
        let now = self.clock.now();
        let kept = draft.into_kept(&actor, now);
        Selection::of(&kept).map_err(Refused::Selection)?;
        let batch = Batch {
            jobs: vec![kept.row(now)],
            audit: vec![audit(&kept.job)],
            ..Batch::default()
        };
        write(&*self.store, batch).await?;
        let job = kept.job.clone();
        self.start(kept).await;
        Ok(job)
    }

    /// What a job would do. Ends when nobody waits for it any more.
    pub(crate) async fn count(&self, draft: Draft) -> Result<JobCount, Refused> {
        let kept = draft.into_kept("", self.clock.now());
        let selection = Arc::new(Selection::of(&kept).map_err(Refused::Selection)?);
        let _place = self.counts.acquire().await.map_err(|_| Error::Closed)?;
        let (plan, mut road) = (self.plan.load_full(), Road::new(&selection));
        let (mut from, job) = (Offset(kept.job.from), kept.job);
        let mut count = JobCount {
            from: job.from,
            until: job.until,
            to: job.to,
            ..JobCount::default()
        };
        while from.0 < count.until {
            let place = (from, COUNT_ITEMS);
            let (page, back) = self.page(road, &selection, place, &plan).await?;
            (road, from) = (back, page.next);
            count.total = count.total.saturating_add(page.picks.len() as u64);
            let room = SAMPLE_MAX.saturating_sub(count.sample.len());
            let shown = page.picks.iter().take(room);
            count.sample.extend(shown.map(|pick| pick.id.to_string()));
        }
        count.seconds = count.total.div_ceil(u64::from(job.rate_per_second.max(1)));
        Ok(count)
    }

    /// All jobs, the newest first, as they are at this moment.
    pub(crate) async fn all(&self) -> Result<Vec<Job>, Error> {
        let rows = in_background(&self.store, |store| store.jobs()).await?;
        let live: Vec<Arc<Work>> = self.live.lock().await.values().cloned().collect();
        let mut now = BTreeMap::new();
        for work in live {
            let job = work.kept.lock().await.job.clone();
            now.insert(job.id.clone(), job);
        }
        let known = rows.iter().filter_map(|row| {
            let live = now.get(&*row.id).cloned();
            live.or_else(|| Kept::read(row).map(|kept| kept.job))
        });
        Ok(known.collect())
    }

    /// One job as it is at this moment.
    pub(crate) async fn one(&self, id: &str) -> Result<Job, Refused> {
        if let Some(work) = self.live.lock().await.get(id).cloned() {
            return Ok(work.kept.lock().await.job.clone());
        }
        let rows = in_background(&self.store, |store| store.jobs()).await?;
        let row = rows.iter().find(|row| *row.id == *id);
        let kept = row.and_then(Kept::read);
        kept.map(|kept| kept.job)
            .ok_or_else(|| Refused::Unknown(id.to_owned()))
    }

    /// Pauses a job, lets it go on, or ends it. `audit` tells of it, in the same batch.
    pub(crate) async fn command(
        &self,
        id: &str,
        wish: JobWish,
        audit: AuditEntry,
    ) -> Result<Job, Refused> {
        let Some(work) = self.live.lock().await.get(id).cloned() else {
            let Job { id, state, .. } = self.one(id).await?;
            return Err(Refused::Over { id, state });
        };
        let now = self.clock.now();
        let mut kept = work.kept.lock().await;
        if kept.job.state.is_over() {
            let state = kept.job.state;
            return Err(Refused::Over {
                id: id.to_owned(),
                state,
            });
        }
        let mut next = kept.clone();
        next.job.state = wanted(wish, kept.counted);
        let mut records = Records::default();
        if next.job.state.is_over() {
            next.job.ended_at = Some(rfc3339(now));
            records.own_events.push(finished(&next.job, now));
        }
        let batch = Batch {
            jobs: vec![next.row(now)],
            audit: vec![audit],
            records,
            ..Batch::default()
        };
        write(&*self.store, batch).await?;
        *kept = next;
        work.changed.notify_one();
        Ok(kept.job.clone())
    }

    /// A job is over.
    async fn forget(&self, id: &str) {
        self.live.lock().await.remove(id);
    }

    fn replayed(&self, count: u64) {
        self.replayed.fetch_add(count, Ordering::Relaxed);
    }

    /// Deliveries that jobs have put to work since the start.
    pub(crate) fn replayed_total(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Jobs that are not over, by state. Never waits for the disk: one that is being written now is one that runs.
    pub(crate) async fn unfinished(&self) -> BTreeMap<&'static str, u64> {
        let mut states = BTreeMap::new();
        for work in self.live.lock().await.values() {
            let kept = work.kept.try_lock();
            let state = kept.map_or(JobState::Running, |kept| kept.job.state);
            *states.entry(state.name()).or_default() += 1;
        }
        states
    }

    /// The lowest offset that a job still wants; `None` when there is none.
    pub(crate) async fn wants_from(&self) -> Option<Offset> {
        let live: Vec<Arc<Work>> = self.live.lock().await.values().cloned().collect();
        let mut lowest = None;
        for work in live {
            let position = Offset(work.kept.lock().await.job.position);
            lowest = Some(lowest.map_or(position, |lowest: Offset| lowest.min(position)));
        }
        lowest
    }

    /// Ends the work where it is. What is on disk says where the next start goes on.
    pub(crate) async fn stop(&self) {
        self.tasks.lock().await.shutdown().await;
    }
}

/// What a job that is not over becomes.
const fn wanted(wish: JobWish, counted: bool) -> JobState {
    match wish {
        JobWish::Paused => JobState::Paused,
        JobWish::Running if counted => JobState::Running,
        JobWish::Running => JobState::Counting,
        JobWish::Cancelled => JobState::Cancelled,
    }
}

#[cfg(test)]
mod tests;
