//! Documents by room and id, and the order in which they expire.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use switchhook_core::time::UnixMs;

use crate::batch::{Document, DocumentChange, Room};

/// All documents.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    all: BTreeMap<(Room, Arc<str>), Document>,
    /// Those that expire, the first one first.
    expiring: BTreeSet<(UnixMs, Room, Arc<str>)>,
}

impl Documents {
    pub(super) fn change(&mut self, change: DocumentChange) {
        let DocumentChange {
            room,
            id,
            body,
            at,
            expires_at,
        } = change;
        self.remove(room, &id);
        let Some(body) = body else { return };
        if let Some(expires_at) = expires_at {
            self.expiring.insert((expires_at, room, id.clone()));
        }
        let document = Document {
            room,
            id: id.clone(),
            body,
            updated_at: at,
            expires_at,
        };
        self.all.insert((room, id), document);
    }

    fn remove(&mut self, room: Room, id: &Arc<str>) {
        let removed = self.all.remove(&(room, id.clone()));
        if let Some(expires_at) = removed.and_then(|document| document.expires_at) {
            self.expiring.remove(&(expires_at, room, id.clone()));
        }
    }

    /// Takes away at most `items` that have expired by `now`, and says how many it were.
    pub(super) fn sweep(&mut self, now: UnixMs, items: u64) -> u64 {
        let expired = self.expiring.iter().take_while(|(at, ..)| *at <= now);
        let expired: Vec<_> = expired
            .take(usize::try_from(items).unwrap_or(usize::MAX))
            .map(|(_, room, id)| (*room, id.clone()))
            .collect();
        for (room, id) in &expired {
            self.remove(*room, id);
        }
        expired.len() as u64
    }

    pub(super) fn list(
        &self,
        room: Room,
        after: Option<&str>,
        items: usize,
        now: UnixMs,
    ) -> Vec<Document> {
        let first = match after {
            Some(after) => Bound::Excluded((room, after.into())),
            None => Bound::Included((room, "".into())),
        };
        self.all
            .range((first, Bound::Unbounded))
            .map(|(_, document)| document)
            .take_while(|document| document.room == room)
            .filter(|document| document.is_there(now))
            .take(items)
            .cloned()
            .collect()
    }

    pub(super) fn get(&self, room: Room, id: &str, now: UnixMs) -> Option<Document> {
        let found = self.all.get(&(room, id.into()));
        found.filter(|document| document.is_there(now)).cloned()
    }
}
