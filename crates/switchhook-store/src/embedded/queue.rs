//! What waits to be written, and which of it goes into the next group.
//!
//! * Order: first in, first out. A group takes from the front, so batches take effect as handed in.
//! * Urgent batches (anything that somebody waits for) go as soon as the disk is free. Records alone wait
//!   up to [`Options::records_hold_ms`] for one to ride with.
//! * Bounds: past [`WEIGHT_MAX`] events are refused as overload; what is not an event is never refused,
//!   its number is bounded by what is in flight. A group ends at its own limits (`facts/reliability.md` 5.1).
//! * Once poisoned or closed it takes nothing more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Options;
use crate::{Batch, Done, Error};

/// Bytes that may wait before events are refused: about a second of work on a slow disk, and well inside
/// the memory of a small machine.
pub(super) const WEIGHT_MAX: usize = 32 * 1024 * 1024;

/// Events in a group, at most: bounds how long the first of them waits for the last.
const GROUP_EVENTS_MAX: usize = 512;

/// Weight of a group, at most, in bytes.
const GROUP_WEIGHT_MAX: usize = 4 * 1024 * 1024;

/// What a row costs in memory, roughly, in bytes.
const ROW_WEIGHT: usize = 160;

/// A batch that waits.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) done: Done,
    weight: usize,
    urgent: bool,
    since: Instant,
}

impl Job {
    pub(super) fn new(batch: Batch, done: Done, now: Instant) -> Self {
        let records = &batch.records;
        let alone = batch.events.is_empty()
            && batch.replays.is_empty()
            && batch.discards.is_empty()
            && batch.resources.is_empty()
            && batch.documents.is_empty()
            && batch.pauses.is_empty()
            && batch.jobs.is_empty()
            && batch.layouts.is_empty()
            && batch.audit.is_empty()
            && batch.retain.is_none()
            && batch.rebase.is_none();
        let events: usize = batch
            .events
            .iter()
            .map(|e| e.body.len() + e.headers.len() * 64 + 256)
            .sum();
        let rows = records.attempts.len()
            + records.waiting.len()
            + records.settled.len()
            + records.dead.len()
            + 8 * records.own_events.len()
            + batch.replays.len()
            + batch.discards.len()
            + batch.resources.len()
            + batch.documents.len()
            + batch.audit.len();
        let jobs: usize = batch.jobs.iter().map(|job| job.body.len()).sum();
        let resources = batch.resources.iter().filter_map(|it| it.body.as_ref());
        let resources: usize = resources.map(|body| body.len()).sum();
        let documents = batch.documents.iter().filter_map(|it| it.body.as_ref());
        let documents: usize = documents.map(Bytes::len).sum();
        Self {
            weight: events + jobs + resources + documents + rows * ROW_WEIGHT,
            urgent: !alone,
            since: now,
            batch,
            done,
        }
    }

    /// Whether it needs room for new events.
    pub(super) fn has_events(&self) -> bool {
        !self.batch.events.is_empty()
    }
}

/// Batches on their way to the writer.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    work: Condvar,
    hold: Duration,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    weight: usize,
    urgent: usize,
    /// Whether the writer sleeps until something comes.
    asleep: bool,
    closed: bool,
    poison: Option<Error>,
}

impl Queue {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            inner: Mutex::default(),
            work: Condvar::new(),
            hold: Duration::from_millis(options.records_hold_ms),
        }
    }

    /// Hands in a batch, or answers it at once with why not.
    pub(super) fn push(&self, batch: Batch, done: Done) {
        let job = Job::new(batch, done, Instant::now());
        let mut inner = self.lock();
        if let Some(refusal) = inner.refusal(&job) {
            drop(inner);
            return (job.done)(Err(refusal));
        }
        inner.weight += job.weight;
        inner.urgent += usize::from(job.urgent);
        // A sleeping writer that holds records need not be woken for more of them.
        let wake = inner.asleep && (job.urgent || inner.jobs.is_empty());
        inner.jobs.push_back(job);
        inner.asleep &= !wake;
        drop(inner);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits for work and takes the next group; `None` when closed and empty.
    pub(super) fn next_group(&self) -> Option<Vec<Job>> {
        let mut inner = self.lock();
        loop {
            let oldest = inner.jobs.front().map(|job| job.since);
            let held = oldest.map(|since| self.hold.saturating_sub(since.elapsed()));
            let timeout = match held {
                _ if inner.urgent > 0 => return Some(inner.take_group()),
                Some(held) if held.is_zero() || inner.closed => return Some(inner.take_group()),
                None if inner.closed => return None,
                held => held,
            };
            inner.asleep = true;
            inner = match timeout {
                None => self
                    .work
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(held) => {
                    self.work
                        .wait_timeout(inner, held)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            inner.asleep = false;
        }
    }

    /// Takes nothing more; what is there is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Takes nothing more and hands back what was never written.
    pub(super) fn poison(&self, error: Error) -> Vec<Job> {
        let mut inner = self.lock();
        inner.poison.get_or_insert(error);
        inner.urgent = 0;
        inner.weight = 0;
        inner.jobs.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn refusal(&self, job: &Job) -> Option<Error> {
        if let Some(error) = &self.poison {
            return Some(error.clone());
        }
        if self.closed {
            return Some(Error::Closed);
        }
        if let Some(refusal) = job.batch.refusal() {
            return Some(refusal);
        }
        // A single batch may be larger than the limit: then it comes alone.
        let over = self.weight > 0 && self.weight + job.weight > WEIGHT_MAX;
        (over && job.has_events()).then_some(Error::Overloaded {
            queued_bytes: self.weight,
            limit_bytes: WEIGHT_MAX,
        })
    }

    fn take_group(&mut self) -> Vec<Job> {
        let (mut events, mut weight) = (0, 0);
        let fits = |job: &&Job| {
            let first = events == 0 && weight == 0;
            events += job.batch.events.len();
            weight += job.weight;
            first || (events <= GROUP_EVENTS_MAX && weight <= GROUP_WEIGHT_MAX)
        };
        let len = self.jobs.iter().take_while(fits).count();
        let group: Vec<Job> = self.jobs.drain(..len).collect();
        self.weight -= group.iter().map(|job| job.weight).sum::<usize>();
        self.urgent -= group.iter().filter(|job| job.urgent).count();
        group
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use switchhook_core::delivery::DeliveryKey;
    use switchhook_core::id::{EventId, Offset};
    use switchhook_core::time::UnixMs;
    use uuid::Uuid;

    use super::*;
    use crate::Receipt;
    use crate::batch::{DocumentChange, NewEvent, ResourceChange, Room};

    fn event(bytes: usize) -> Batch {
        let event = NewEvent {
            id: EventId(Uuid::nil()),
            source: "s".into(),
            kind: "k".into(),
            key: None,
            received_at: UnixMs(0),
            headers: [].into(),
            body: vec![0; bytes].into(),
            dedup: None,
        };
        Batch {
            events: vec![event],
            ..Batch::default()
        }
    }

    fn record() -> Batch {
        let mut batch = Batch::default();
        batch.records.settled = vec![DeliveryKey {
            subscription: "s".into(),
            offset: Offset(1),
        }];
        batch
    }

    /// A queue whose records wait for an hour: what a test sees does not depend on time.
    fn queue() -> Queue {
        Queue::new(&Options {
            records_hold_ms: 3_600_000,
            ..Options::default()
        })
    }

    fn push(queue: &Queue, batch: Batch) -> Receiver<Result<Receipt, Error>> {
        let (answer, answered) = channel();
        queue.push(batch, Box::new(move |result| answer.send(result).unwrap()));
        answered
    }

    #[test]
    fn past_the_limit_events_are_refused_and_records_are_not() {
        let queue = queue();
        // A single event may be larger than the limit.
        let first = push(&queue, event(WEIGHT_MAX + 1));
        let second = push(&queue, event(1));
        let third = push(&queue, record());
        assert!(first.try_recv().is_err(), "it waits");
        assert!(matches!(
            second.try_recv(),
            Ok(Err(Error::Overloaded { .. }))
        ));
        assert!(third.try_recv().is_err(), "it waits");
        assert_eq!(
            queue.next_group().unwrap().len(),
            1,
            "the large one goes alone"
        );
        let fourth = push(&queue, event(1));
        assert!(fourth.try_recv().is_err(), "there is room again");
    }

    #[test]
    fn records_ride_with_the_next_event_in_their_order() {
        let queue = queue();
        let _waiting = [record(), record(), event(1), record()].map(|batch| push(&queue, batch));
        let group = queue.next_group().unwrap();
        let with_events: Vec<bool> = group.iter().map(Job::has_events).collect();
        assert_eq!(with_events, [false, false, true, false]);
    }

    #[test]
    fn a_group_ends_at_its_limits() {
        let queue = queue();
        let _small: Vec<_> = (0..GROUP_EVENTS_MAX + 1)
            .map(|_| push(&queue, event(1)))
            .collect();
        assert_eq!(queue.next_group().unwrap().len(), GROUP_EVENTS_MAX);
        assert_eq!(queue.next_group().unwrap().len(), 1);
        let _large = [0, 0].map(|_| push(&queue, event(GROUP_WEIGHT_MAX / 2)));
        assert_eq!(queue.next_group().unwrap().len(), 1);
    }

    #[test]
    fn documents_and_resources_count_towards_a_group_as_events_do() {
        let queue = queue();
        let half: Bytes = vec![b'7'; GROUP_WEIGHT_MAX / 2].into();
        let document = DocumentChange {
            room: Room::Config,
            id: "1".into(),
            body: Some(half.clone()),
            at: UnixMs(0),
            expires_at: None,
        };
        let resource = ResourceChange {
            kind: "source".into(),
            name: "web".into(),
            body: Some(String::from_utf8_lossy(&half).into()),
            managed_by: None,
            at: UnixMs(0),
        };
        let documents = Batch {
            documents: vec![document],
            ..Batch::default()
        };
        let resources = Batch {
            resources: vec![resource],
            ..Batch::default()
        };
        let _both = [documents, resources].map(|batch| push(&queue, batch));
        assert_eq!(queue.next_group().unwrap().len(), 1);
        assert_eq!(queue.next_group().unwrap().len(), 1);
    }

    #[test]
    fn a_closed_queue_hands_out_what_it_has_and_a_poisoned_one_nothing() {
        let queue = queue();
        let _record = push(&queue, record());
        queue.close();
        assert!(matches!(
            push(&queue, record()).try_recv(),
            Ok(Err(Error::Closed))
        ));
        assert_eq!(queue.next_group().unwrap().len(), 1);
        assert!(queue.next_group().is_none());
        assert!(queue.poison(Error::Fatal("disk".into())).is_empty());
        assert!(matches!(
            push(&queue, record()).try_recv(),
            Ok(Err(Error::Fatal(_)))
        ));
    }
}
