//! Finds the first conflict of a batch before anything of it is appended: one identity, two bodies.
//!
//! It follows appending step by step: a later event meets the earlier ones of its batch as if they were in the
//! log already, and an identity that has expired by then is met no more. What the log holds, the engine says
//! ([`Log`]). Memory: two small entries per event of the batch.

use std::collections::BTreeMap;

use bytes::Bytes;
use switchhook_core::id::EventId;
use switchhook_core::time::UnixMs;

use crate::batch::{Conflict, DedupEntry, First, NewEvent};

/// What an engine's log knows of an event that is to be appended.
pub(crate) trait Log {
    /// Why it cannot be read.
    type Error;

    /// The event that has this identity at `now`, and whether the bodies are the same.
    fn known_identity(
        &mut self,
        entry: &DedupEntry,
        now: UnixMs,
    ) -> Result<Option<(EventId, bool)>, Self::Error>;

    /// If there is an event with the id of `new`: whether the bodies are the same.
    fn known_id(&mut self, new: &NewEvent) -> Result<Option<bool>, Self::Error>;
}

/// The first of `events` that would be a duplicate with another body.
pub(crate) fn first<L: Log>(
    log: &mut L,
    events: &[NewEvent],
) -> Result<Option<Conflict>, L::Error> {
    let mut identities = BTreeMap::new();
    let mut ids: BTreeMap<EventId, (usize, &Bytes)> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let by_identity = match &event.dedup {
            None => None,
            Some(entry) => match identities.get(&entry.key) {
                Some(&(earlier, hash, expires_at)) => (event.received_at <= expires_at)
                    .then_some((First::InBatch(earlier), hash == entry.body_hash)),
                None => log
                    .known_identity(entry, event.received_at)?
                    .map(|(id, same_body)| (First::InLog(id), same_body)),
            },
        };
        let met = match (by_identity, ids.get(&event.id)) {
            (Some(met), _) => Some(met),
            (None, Some(&(earlier, body))) => Some((First::InBatch(earlier), *body == event.body)),
            (None, None) => log
                .known_id(event)?
                .map(|same_body| (First::InLog(event.id), same_body)),
        };
        match met {
            Some((first, false)) => return Ok(Some(Conflict { index, first })),
            Some((_, true)) => {}
            None => {
                if let Some(entry) = &event.dedup {
                    let expires_at = event.received_at.plus_ms(entry.window_ms);
                    identities.insert(entry.key, (index, entry.body_hash, expires_at));
                }
                ids.insert(event.id, (index, &event.body));
            }
        }
    }
    Ok(None)
}
