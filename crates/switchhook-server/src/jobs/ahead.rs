//! How far a job is ahead of dispatch: its rows that have not ended.
//!
//! A job that wrote all its rows at once would stand before everything else that waits, and could not be cancelled. So
//! it writes at most [`AHEAD_MAX`] that are not done. It hears of ends as they are judged; what it misses, because too
//! much happens or since nobody judged it, it looks up in the store. After a pause or a restart the rows of before do not
//! count.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use switchhook_core::delivery::Verdict;
use switchhook_core::engine::Judged;
use switchhook_core::id::Offset;
use switchhook_store::{Error, Store};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::gateway::in_background;

/// Most rows of a job that have not ended: more than an endpoint has slots, so that it never runs dry.
pub(super) const AHEAD_MAX: usize = 256;
/// Rows of which nothing was heard for so long are looked up.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Ahead {
    to: Arc<str>,
    rows: BTreeSet<Offset>,
    judged: Receiver<Arc<Judged>>,
    /// Of these, given up; not told yet.
    failed: u64,
    missed: bool,
}

impl Ahead {
    /// Of a job that delivers to `to`, listening to what is judged.
    pub(super) const fn new(to: Arc<str>, judged: Receiver<Arc<Judged>>) -> Self {
        Self {
            to,
            rows: BTreeSet::new(),
            judged,
            failed: 0,
            missed: false,
        }
    }

    /// Rows that may be written now.
    pub(super) fn room(&mut self) -> usize {
        loop {
            match self.judged.try_recv() {
                Ok(judged) => self.hear(&judged),
                Err(TryRecvError::Lagged(_)) => self.missed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        AHEAD_MAX.saturating_sub(self.rows.len())
    }

    /// These were written.
    pub(super) fn add(&mut self, offsets: impl Iterator<Item = Offset>) {
        self.rows.extend(offsets);
    }

    /// How many were given up since this was last asked.
    pub(super) const fn take_failed(&mut self) -> u64 {
        std::mem::replace(&mut self.failed, 0)
    }

    fn hear(&mut self, judged: &Judged) {
        let attempt = &judged.attempt;
        if *attempt.key.subscription != *self.to {
            return;
        }
        match attempt.verdict {
            Verdict::Delivered => {
                self.rows.remove(&attempt.key.offset);
            }
            Verdict::Dead => {
                if self.rows.remove(&attempt.key.offset) {
                    self.failed = self.failed.saturating_add(1);
                }
            }
            Verdict::Retry | Verdict::Hold => {}
        }
    }

    /// Waits until there is room, or [`SILENCE_MAX`] has passed and the store was asked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn wait(&mut self, store: &Arc<dyn Store>) -> Result<(), Error> {
        if !self.missed {
            match tokio::time::timeout(SILENCE_MAX, self.judged.recv()).await {
                Ok(Ok(judged)) => {
                    self.hear(&judged);
                    return Ok(());
                }
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) | Err(_) => {}
            }
        }
        self.missed = false;
        let (to, rows) = (self.to.clone(), std::mem::take(&mut self.rows));
        self.rows = in_background(store, move |store| still_waiting(store, &to, rows)).await?;
        Ok(())
    }
}

/// Those of `rows` that the store still has.
fn still_waiting(
    store: &dyn Store,
    to: &str,
    rows: BTreeSet<Offset>,
) -> Result<BTreeSet<Offset>, Error> {
    let mut waiting = BTreeSet::new();
    for offset in rows {
        let found = store.history(offset)?.waiting;
        if found.iter().any(|row| *row.key.subscription == *to) {
            waiting.insert(offset);
        }
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use switchhook_core::delivery::{Attempt, DeliveryKey, OutcomeKind, Place, Records, Waiting};
    use switchhook_core::event::Event;
    use switchhook_core::id::EventId;
    use switchhook_core::time::UnixMs;
    use switchhook_store::Batch;
    use switchhook_store::memory::Memory;
    use tokio::sync::broadcast;

    use super::*;

    fn key(subscription: &str, n: u64) -> DeliveryKey {
        DeliveryKey {
            subscription: subscription.into(),
            offset: Offset(n),
        }
    }

    fn judged(subscription: &str, n: u64, verdict: Verdict) -> Arc<Judged> {
        let event = Event {
            offset: Offset(n),
            id: EventId(uuid::Uuid::from_u128(1)),
            source: "web".into(),
            kind: "Text".into(),
            key: None,
            received_at: UnixMs(0),
            headers: Arc::from([]),
            body: bytes::Bytes::new(),
        };
        let attempt = Attempt {
            key: key(subscription, n),
            partition: 0,
            chain: 1,
            n: 1,
            endpoint: "crm".into(),
            at: UnixMs(0),
            duration_ms: 1,
            outcome: OutcomeKind::Status(204),
            rule: "default".into(),
            verdict,
            detail: None,
            next_at: None,
        };
        Arc::new(Judged {
            attempt,
            event: Arc::new(event),
            dead: None,
            breaker: None,
        })
    }

    #[test]
    fn room_comes_back_with_what_has_ended_and_with_nothing_else() {
        let (told, heard) = broadcast::channel(16);
        let mut ahead = Ahead::new("orders".into(), heard);
        ahead.add((1..=10).map(Offset));
        assert_eq!(ahead.room(), AHEAD_MAX - 10);
        for (subscription, n, verdict) in [
            ("orders", 1, Verdict::Delivered),
            ("orders", 2, Verdict::Dead),
            ("orders", 3, Verdict::Retry),
            ("orders", 4, Verdict::Hold),
            ("other", 5, Verdict::Delivered),
            ("orders", 99, Verdict::Dead),
        ] {
            told.send(judged(subscription, n, verdict)).unwrap();
        }
        assert_eq!(ahead.room(), AHEAD_MAX - 8);
        assert_eq!((ahead.take_failed(), ahead.take_failed()), (1, 0));
    }

    #[tokio::test]
    async fn what_was_not_heard_is_looked_up() {
        let (told, heard) = broadcast::channel(1);
        let mut ahead = Ahead::new("orders".into(), heard);
        ahead.add((1..=3).map(Offset));
        let memory = Memory::new();
        let row = |n| Waiting::replay(key("orders", n), Place::default(), 1, 1_000, UnixMs(0));
        let waiting = vec![row(2)];
        let events = (1..=3).map(|n| switchhook_store::batch::NewEvent {
            id: EventId(uuid::Uuid::from_u128(n)),
            source: "web".into(),
            kind: "Text".into(),
            key: None,
            received_at: UnixMs(0),
            headers: Arc::from([]),
            body: bytes::Bytes::new(),
            dedup: None,
        });
        let batch = Batch {
            events: events.collect(),
            records: Records {
                waiting,
                ..Records::default()
            },
            ..Batch::default()
        };
        memory.submit(batch, Box::new(|_| {}));
        for n in 1..=3 {
            told.send(judged("orders", n, Verdict::Delivered)).unwrap();
        }
        // Only the last one is still there to be heard.
        assert_eq!(ahead.room(), AHEAD_MAX - 2);
        let store: Arc<dyn Store> = Arc::new(memory);
        ahead.wait(&store).await.unwrap();
        assert_eq!(ahead.room(), AHEAD_MAX - 1, "the second one waits");
    }
}
