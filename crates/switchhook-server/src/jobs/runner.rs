//! The work of one job: counting, then writing rows, a step at a time.
//!
//! A step is one batch: the rows of the next deliveries and the position after them. So a crash repeats nothing and loses
//! nothing, and a start goes on from the position in the store. Steps follow each other at the rate of the job, never
//! more than [`AHEAD_MAX`] rows ahead of dispatch. Whether the job is still wanted is looked at under the lock that a
//! command takes, so that a step never follows a pause.

use std::sync::Arc;
use std::time::Duration;

use switchhook_core::delivery::{DeliveryKey, Records, Waiting};
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Replay;
use switchhook_store::{Batch, Error};
use switchhook_wire::api::{JobState, time::rfc3339};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::Jobs;
use super::ahead::{AHEAD_MAX, Ahead};
use super::finished::finished;
use super::record::Kept;
use super::road::{Page, Road};
use super::selection::{Cursors, Known, Pick, Selection};
use crate::dispatch::Stopped;
use crate::gateway::{in_background, write};
use crate::observe::log;

/// Events of one read while they are counted.
pub(super) const COUNT_ITEMS: usize = 1_000;
/// Steps a second of a job that is paced by its rate: often enough that a progress bar moves.
const STEPS_PER_SECOND: u32 = 4;
/// How long to wait when the store has no room now.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// A job that has not ended.
pub(super) struct Work {
    pub(super) kept: Mutex<Kept>,
    /// Told when a command has changed it.
    pub(super) changed: Notify,
}

/// Why the work cannot go on.
enum Halt {
    /// The gateway is stopping, or the store has failed; the next start goes on.
    Stopping,
    /// The job itself cannot.
    Failed(String),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        match error {
            Error::Closed | Error::Fatal(_) => Self::Stopping,
            Error::Full { .. }
            | Error::Overloaded { .. }
            | Error::Refused(_)
            | Error::Locked(_)
            | Error::Damaged { .. }
            | Error::TooNew { .. }
            | Error::Read(_)
            | Error::File { .. }
            | _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<Stopped> for Halt {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Store(error) => error.into(),
            Stopped::Closed => Self::Stopping,
        }
    }
}

/// Works on a job until it is over. One that is paused holds no place.
pub(super) async fn run(jobs: Arc<Jobs>, work: Arc<Work>) {
    loop {
        let state = work.kept.lock().await.job.state;
        match state {
            JobState::Done | JobState::Cancelled | JobState::Failed => break,
            JobState::Counting | JobState::Running => {}
            JobState::Paused => {
                work.changed.notified().await;
                continue;
            }
        }
        let Ok(_place) = jobs.places.acquire().await else {
            return;
        };
        match jobs.work_on(&work).await {
            Ok(()) => {}
            Err(Halt::Stopping) => return,
            Err(Halt::Failed(why)) => {
                if jobs.fail(&work, why).await.is_err() {
                    return;
                }
            }
        }
    }
    let over = work.kept.lock().await.job.clone();
    log::job_ended(&over.id, over.state.name(), over.done, over.total);
    jobs.forget(&over.id).await;
}

impl Jobs {
    /// Until the job is over or paused.
    async fn work_on(&self, work: &Work) -> Result<(), Halt> {
        let kept = work.kept.lock().await.clone();
        let selection = Arc::new(Selection::of(&kept).map_err(Halt::Failed)?);
        if !kept.counted && !self.count_all(work, &selection).await? {
            return Ok(());
        }
        let mut plan = self.plan.load_full();
        let mut road = Road::new(&selection);
        let mut ahead = Ahead::new(selection.to.clone(), self.dispatch.live());
        loop {
            let (state, from, rate) = {
                let kept = work.kept.lock().await;
                let job = &kept.job;
                (job.state, Offset(job.position), job.rate_per_second)
            };
            if state != JobState::Running {
                return Ok(());
            }
            let room = ahead.room();
            if room == 0 {
                tokio::select! {
                    waited = ahead.wait(&self.store) => waited?,
                    () = work.changed.notified() => {}
                }
                continue;
            }
            let began = Instant::now();
            let items = room.min(step_items(rate));
            let now_in_force = self.plan.load_full();
            if !Arc::ptr_eq(&plan, &now_in_force) {
                // Where deliveries stand may be another place than when the road was read.
                (plan, road) = (now_in_force, Road::new(&selection));
            }
            let (page, back) = self.page(road, &selection, (from, items), &plan).await?;
            road = back;
            let step = self.step(work, &page, &plan, ahead.take_failed());
            let Some(made) = step.await? else {
                // Nothing of it was written: it is read again.
                road = Road::new(&selection);
                continue;
            };
            ahead.add(page.picks.iter().map(|pick| pick.offset));
            let until = began + spacing(made, rate);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = work.changed.notified() => {}
            }
        }
    }

    /// Finds out how much there is to do; whether the job is to go on at once.
    async fn count_all(&self, work: &Work, selection: &Arc<Selection>) -> Result<bool, Halt> {
        let (plan, mut road) = (self.plan.load_full(), Road::new(selection));
        let (mut from, until, mut total) = {
            let mut kept = work.kept.lock().await;
            kept.job.total = 0;
            (Offset(kept.job.from), Offset(kept.job.until), 0_u64)
        };
        while from < until {
            let place = (from, COUNT_ITEMS);
            let (page, back) = self.page(road, selection, place, &plan).await?;
            (road, from) = (back, page.next);
            total = total.saturating_add(page.picks.len() as u64);
            let mut kept = work.kept.lock().await;
            if kept.job.state != JobState::Counting {
                return Ok(false);
            }
            kept.job.total = total;
        }
        let mut kept = work.kept.lock().await;
        if kept.job.state != JobState::Counting {
            return Ok(false);
        }
        kept.counted = true;
        kept.job.state = JobState::Running;
        self.put(&kept).await?;
        Ok(true)
    }

    /// Reads the next part of the way, as it is under `plan`.
    pub(super) async fn page(
        &self,
        mut road: Road,
        selection: &Arc<Selection>,
        place: (Offset, usize),
        plan: &Arc<Plan>,
    ) -> Result<(Page, Road), Stopped> {
        let (plan, selection) = (plan.clone(), selection.clone());
        let lanes = self.dispatch.snapshot().await?.lanes.into_iter();
        let own = lanes.filter(|lane| lane.subscription == selection.to);
        let cursors: Cursors = own.map(|lane| (lane.partition, lane.cursor)).collect();
        let read = in_background(&self.store, move |store| {
            let known = Known {
                store,
                plan: &plan,
                cursors: &cursors,
            };
            let page = road.page(&known, &selection, place)?;
            Ok((page, road))
        });
        Ok(read.await?)
    }

    /// Writes the rows of a page together with the position after it. How many deliveries were made; `None` when nothing
    /// was written, since the job is not wanted now, the store has no room, or another plan than `plan`, under which the
    /// page was read, is in force.
    async fn step(
        &self,
        work: &Work,
        page: &Page,
        plan: &Arc<Plan>,
        failed: u64,
    ) -> Result<Option<u64>, Halt> {
        let now = self.clock.now();
        let standing = self.dispatch.places_stand().await;
        let mut kept = work.kept.lock().await;
        if let Some(known) = &mut kept.job.failed {
            *known = known.saturating_add(failed);
        }
        if kept.job.state != JobState::Running || !Arc::ptr_eq(plan, &self.plan.load()) {
            return Ok(None);
        }
        let mut next = kept.clone();
        let replays = replays(plan, &kept.job.to, &page.picks, now).map_err(Halt::Failed)?;
        let handed = replays.len() as u64;
        advance(&mut next, page, handed, now);
        let over = next.job.state.is_over();
        let batch = Batch {
            replays,
            jobs: vec![next.row(now)],
            records: Records {
                own_events: over.then(|| finished(&next.job, now)).into_iter().collect(),
                ..Records::default()
            },
            ..Batch::default()
        };
        let receipt = match write(&*self.store, batch).await {
            Err(Error::Full { .. } | Error::Overloaded { .. }) => {
                drop((kept, standing));
                tokio::time::sleep(FULL_WAIT).await;
                return Ok(None);
            }
            receipt => receipt?,
        };
        drop(standing);
        self.replayed(receipt.replayed);
        // What took no effect waited already. It was counted as done in the batch; the next one, or this, mends that.
        let idle = handed.saturating_sub(receipt.replayed);
        next.job.done = next.job.done.saturating_sub(idle);
        next.job.skipped = next.job.skipped.saturating_add(idle);
        if over && idle > 0 {
            self.put(&next).await?;
        }
        if handed > 0 {
            self.dispatch.rows_changed(&next.job.to.as_str().into());
        }
        *kept = next;
        Ok(Some(receipt.replayed))
    }

    /// Writes the job as it stands.
    pub(super) async fn put(&self, kept: &Kept) -> Result<(), Error> {
        let jobs = vec![kept.row(self.clock.now())];
        let batch = Batch {
            jobs,
            ..Batch::default()
        };
        write(&*self.store, batch).await.map(|_| ())
    }

    /// Ends a job that cannot go on.
    async fn fail(&self, work: &Work, why: String) -> Result<(), Error> {
        let now = self.clock.now();
        let mut kept = work.kept.lock().await;
        kept.job.state = JobState::Failed;
        kept.job.error = Some(why);
        kept.job.ended_at = Some(rfc3339(now));
        let batch = Batch {
            jobs: vec![kept.row(now)],
            records: Records {
                own_events: vec![finished(&kept.job, now)],
                ..Records::default()
            },
            ..Batch::default()
        };
        write(&*self.store, batch).await.map(|_| ())
    }
}

/// The job after a page of which `made` deliveries were handed in.
fn advance(kept: &mut Kept, page: &Page, made: u64, now: UnixMs) {
    let job = &mut kept.job;
    job.position = page.next.0;
    job.done = job.done.saturating_add(made);
    job.skipped = job.skipped.saturating_add(page.skipped);
    if made > 0 && job.started_at.is_none() {
        job.started_at = Some(rfc3339(now));
    }
    if job.position >= job.until {
        job.state = JobState::Done;
        job.ended_at = Some(rfc3339(now));
    }
}

/// The rows of these deliveries: due at once, with the whole time of their policy.
fn replays(plan: &Plan, to: &str, picks: &[Pick], now: UnixMs) -> Result<Vec<Replay>, String> {
    let subscription = plan.subscriptions.get_key_value(to);
    let found = subscription.and_then(|(name, subscription)| {
        let policy = plan.policies.get(&subscription.policy)?;
        Some((name, policy.max_age_ms))
    });
    let Some((name, max_age_ms)) = found else {
        return Err(format!("subscription `{to}` does not exist any more"));
    };
    let row = |pick: &Pick| {
        let key = DeliveryKey {
            subscription: name.clone(),
            offset: pick.offset,
        };
        // Without a dead letter the store knows the chain.
        let chain = pick.dead_chain.map_or(0, |chain| chain.saturating_add(1));
        Replay {
            dead_chain: pick.dead_chain,
            waiting: Waiting::replay(key, pick.place, chain, max_age_ms, now),
        }
    };
    Ok(picks.iter().map(row).collect())
}

/// Deliveries of one step at this rate.
fn step_items(rate: u32) -> usize {
    let items = usize::try_from(rate / STEPS_PER_SECOND).unwrap_or(AHEAD_MAX);
    items.clamp(1, AHEAD_MAX)
}

/// How long a step takes at least that made so many deliveries.
fn spacing(made: u64, rate: u32) -> Duration {
    Duration::from_micros(made.saturating_mul(1_000_000) / u64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_together_keep_the_rate_whatever_it_is() {
        for (rate, items) in [(1, 1), (3, 1), (10, 2), (400, 100), (10_000, AHEAD_MAX)] {
            assert_eq!(step_items(rate), items, "{rate}");
            let a_second = spacing(u64::from(rate), rate);
            assert_eq!(a_second, Duration::from_secs(1), "{rate}");
        }
        assert_eq!(spacing(0, 10), Duration::ZERO);
    }
}
