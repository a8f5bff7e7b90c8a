//! What is read at the moment somebody looks: counts of the store, and where dispatch stands.
//!
//! Counting costs the store time that grows with what it holds, so counts are kept for as long as [`kept_us`] says and
//! read by one asker at a time. The end of the log is in memory and always that of this moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::{Subscription, Target};
use switchhook_core::time::UnixMs;
use switchhook_store::query::Counts;
use switchhook_store::{Error, Store};
use tokio::sync::Mutex;

use crate::dispatch::Snapshot;
use crate::retention::Done;

/// A reading is kept for so many times as long as it took: whoever asks how often, counting takes at most a twentieth of the time.
const KEPT_TIMES: u64 = 20;
/// Kept at least this long: the eye follows four figures a second, not more.
const KEPT_US_MIN: u64 = 250_000;
/// Kept at most this long: scrapers come every 10 to 60 s.
const KEPT_US_MAX: u64 = 5_000_000;

/// How long a reading that took `took_us` counts.
const fn kept_us(took_us: u64) -> u64 {
    let kept = took_us.saturating_mul(KEPT_TIMES);
    if kept < KEPT_US_MIN {
        KEPT_US_MIN
    } else if kept > KEPT_US_MAX {
        KEPT_US_MAX
    } else {
        kept
    }
}

/// The counts of the store, as they were a moment ago.
#[derive(Default)]
pub(crate) struct Counted {
    /// Until when they count, on the monotonic clock in microseconds.
    last: Mutex<Option<(u64, Arc<Counts>)>>,
}

impl Counted {
    /// Counts that are as fresh as [`kept_us`] allows, at most [`KEPT_US_MAX`] old.
    pub(crate) async fn get(
        &self,
        store: &Arc<dyn Store>,
        now_us: u64,
    ) -> Result<Arc<Counts>, Error> {
        let mut last = self.last.lock().await;
        if let Some((until_us, counts)) = &*last
            && now_us < *until_us
        {
            return Ok(counts.clone());
        }
        let (store, began) = (store.clone(), Instant::now());
        let read = tokio::task::spawn_blocking(move || store.counts());
        let counts = Arc::new(
            read.await
                .map_err(|error| Error::Read(error.to_string()))??,
        );
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        *last = Some((now_us.saturating_add(kept_us(took_us)), counts.clone()));
        Ok(counts)
    }
}

/// One look at everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// When the gateway started.
    pub(crate) started_at: UnixMs,
    /// Name of the store engine.
    pub(crate) engine: &'static str,
    /// Whether an acknowledged event may be lost with the power.
    pub(crate) relaxed: bool,
    /// At most [`KEPT_US_MAX`] old.
    pub(crate) counts: Arc<Counts>,
    /// The offset that the next event will get.
    pub(crate) end: Offset,
    /// Where dispatch stands.
    pub(crate) snapshot: Snapshot,
    /// What is in force.
    pub(crate) plan: Arc<Plan>,
    /// Jobs that are not over, by state.
    pub(crate) jobs: BTreeMap<&'static str, u64>,
    /// Deliveries that jobs have put to work since the start.
    pub(crate) replayed: u64,
    /// What retention has forgotten since the start.
    pub(crate) retention: Done,
    /// Whether the configuration file could be read when it last was, and when it last could; `None` without a file.
    pub(crate) config: Option<(bool, UnixMs)>,
    /// Alerts that are raised, by figure.
    pub(crate) alerts: BTreeMap<&'static str, u64>,
}

impl Reading {
    /// Events in the log that each subscription has not settled, by its partition that is most behind.
    pub(super) fn lags(&self) -> BTreeMap<Arc<str>, u64> {
        let cursors = self.snapshot.cursors().into_iter();
        let lag = |(name, cursor): (Arc<str>, Offset)| (name, self.end.0.saturating_sub(cursor.0));
        cursors.map(lag).collect()
    }

    /// The subscriptions that may send to `endpoint`, by itself or as a member of a group.
    pub(super) fn senders(&self, endpoint: &str) -> impl Iterator<Item = &Arc<str>> {
        let may_send = move |subscription: &Subscription| match &subscription.target {
            Target::Endpoint(name) => **name == *endpoint,
            Target::Group(name) => {
                let group = self.plan.groups.get(name);
                group.is_some_and(|group| group.members.iter().any(|m| **m == *endpoint))
            }
        };
        let subscriptions = self.plan.subscriptions.iter();
        subscriptions
            .filter(move |(_, subscription)| may_send(subscription))
            .map(|(name, _)| name)
    }

    /// Deliveries of `subscription` that wait.
    pub(super) fn waiting(&self, subscription: &str) -> u64 {
        self.counts.waiting.get(subscription).copied().unwrap_or(0)
    }

    /// Of these, the ones that are held.
    pub(super) fn held(&self, subscription: &str) -> u64 {
        self.counts.held.get(subscription).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use switchhook_core::id::EventId;
    use switchhook_core::time::UnixMs;
    use switchhook_store::batch::{Batch, NewEvent};
    use switchhook_store::memory::Memory;

    use super::*;

    #[test]
    fn a_reading_is_kept_for_twenty_times_as_long_as_it_took_within_bounds() {
        for (took_us, expected_us) in [
            (0, 250_000),
            (12_500, 250_000),
            (12_501, 250_020),
            (100_000, 2_000_000),
            (250_000, 5_000_000),
            (250_001, 5_000_000),
            (u64::MAX, 5_000_000),
        ] {
            assert_eq!(kept_us(took_us), expected_us, "{took_us}");
        }
    }

    #[tokio::test]
    async fn the_store_is_counted_again_only_when_the_reading_is_old() {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let counted = Counted::default();
        assert_eq!(counted.get(&store, 0).await.unwrap().events, 0);
        let event = NewEvent {
            id: EventId(uuid::Uuid::from_u128(1)),
            source: "web".into(),
            kind: "Text".into(),
            key: None,
            received_at: UnixMs(1),
            headers: Arc::from([]),
            body: bytes::Bytes::new(),
            dedup: None,
        };
        store.submit(
            Batch {
                events: vec![event],
                ..Batch::default()
            },
            Box::new(|_| {}),
        );
        let events = async |now_us| counted.get(&store, now_us).await.unwrap().events;
        assert_eq!(events(KEPT_US_MIN - 1).await, 0);
        assert_eq!(events(KEPT_US_MAX).await, 1);
    }
}
