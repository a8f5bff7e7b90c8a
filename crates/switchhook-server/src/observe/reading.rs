//! What is read at the moment somebody looks: counts of the store, and where dispatch stands.
//!
//! Counting rows costs the store a pass over them, so counts are kept for [`KEPT_US`] and read by one asker at a time.
//! The end of the log is in memory and always that of this moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;
use switchhook_store::query::Counts;
use switchhook_store::{Error, Store};
use tokio::sync::Mutex;

use crate::dispatch::Snapshot;

/// Counts are read from the store at most this often. Scrapers come every 10 to 60 s.
const KEPT_US: u64 = 5_000_000;

/// The counts of the store, as they were a moment ago.
#[derive(Default)]
pub(crate) struct Counted {
    /// When they were read, on the monotonic clock in microseconds.
    last: Mutex<Option<(u64, Arc<Counts>)>>,
}

impl Counted {
    /// Counts that are at most [`KEPT_US`] old.
    pub(crate) async fn get(
        &self,
        store: &Arc<dyn Store>,
        now_us: u64,
    ) -> Result<Arc<Counts>, Error> {
        let mut last = self.last.lock().await;
        if let Some((at, counts)) = &*last
            && now_us.saturating_sub(*at) < KEPT_US
        {
            return Ok(counts.clone());
        }
        let store = store.clone();
        let read = tokio::task::spawn_blocking(move || store.counts());
        let counts = Arc::new(
            read.await
                .map_err(|error| Error::Read(error.to_string()))??,
        );
        *last = Some((now_us, counts.clone()));
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
    /// At most [`KEPT_US`] old.
    pub(crate) counts: Arc<Counts>,
    /// The offset that the next event will get.
    pub(crate) end: Offset,
    /// Where dispatch stands.
    pub(crate) snapshot: Snapshot,
    /// The endpoint of each subscription.
    pub(crate) routes: BTreeMap<Arc<str>, Arc<str>>,
}

impl Reading {
    /// Events in the log that `subscription` has not settled.
    pub(super) fn lag(&self, subscription: &str) -> u64 {
        let cursor = self.snapshot.cursors.get(subscription);
        cursor.map_or(0, |cursor| self.end.0.saturating_sub(cursor.0))
    }
}

#[cfg(test)]
mod tests {
    use switchhook_core::id::EventId;
    use switchhook_core::time::UnixMs;
    use switchhook_store::batch::{Batch, NewEvent};
    use switchhook_store::memory::Memory;

    use super::*;

    #[tokio::test]
    async fn the_store_is_counted_at_most_every_five_seconds() {
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
        assert_eq!(counted.get(&store, KEPT_US - 1).await.unwrap().events, 0);
        assert_eq!(counted.get(&store, KEPT_US).await.unwrap().events, 1);
    }
}
