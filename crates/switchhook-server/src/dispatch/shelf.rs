//! Things that are costly to make, kept by what they were made of.
//!
//! Nobody says when a key or a token is needed no more: endpoints change, passphrases rotate. So what was not asked for
//! during [`KEPT_FOR`] goes when something new comes. Bound: [`THINGS_MAX`]; beyond it goes what was asked for longest ago.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchhook_core::plan::RESOURCES_MAX;
use tokio::time::Instant;

/// Longer than the 15 minutes that a held delivery waits, so that what it needs is still there.
const KEPT_FOR: Duration = Duration::from_secs(3_600);
/// One for each endpoint that there can be.
const THINGS_MAX: usize = RESOURCES_MAX;

/// See the module.
pub(super) struct Shelf<K, T>(Mutex<HashMap<K, (T, Instant)>>);

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Shelf<K, T> {
    /// The thing for `key`, made if it is not there. `make` runs under the lock and must be quick.
    pub(super) fn get_or(&self, key: K, now: Instant, make: impl FnOnce() -> T) -> T {
        let mut things = self.things();
        if let Some((thing, asked_at)) = things.get_mut(&key) {
            *asked_at = now;
            return thing.clone();
        }
        things.retain(|_, (_, asked_at)| now.duration_since(*asked_at) < KEPT_FOR);
        if things.len() >= THINGS_MAX {
            let oldest = things.iter().min_by_key(|(_, (_, asked_at))| *asked_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                things.remove(&oldest);
            }
        }
        let thing = make();
        things.insert(key, (thing.clone(), now));
        thing
    }

    /// Takes the thing for `key` away if it is the one meant.
    pub(super) fn remove_if(&self, key: &K, is_meant: impl FnOnce(&T) -> bool) {
        let mut things = self.things();
        if things.get(key).is_some_and(|(thing, _)| is_meant(thing)) {
            things.remove(key);
        }
    }

    fn things(&self) -> MutexGuard<'_, HashMap<K, (T, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_made_once_and_stays_while_it_is_asked_for() {
        let (shelf, start) = (Shelf::default(), Instant::now());
        let almost = KEPT_FOR - Duration::from_secs(1);
        assert_eq!(shelf.get_or("a", start, || 1), 1);
        assert_eq!(shelf.get_or("a", start + almost, || 2), 1);
        assert_eq!(shelf.get_or("b", start + KEPT_FOR, || 3), 3);
        assert_eq!(shelf.get_or("a", start + KEPT_FOR, || 4), 1);
        // `b` was not asked for during that time; something new sweeps it away.
        shelf.get_or("c", start + almost + KEPT_FOR, || 5);
        assert_eq!(shelf.get_or("a", start + almost + KEPT_FOR, || 6), 1);
        shelf.get_or("d", start + KEPT_FOR * 2, || 7);
        assert_eq!(shelf.get_or("b", start + KEPT_FOR * 2, || 8), 8);
    }

    #[test]
    fn a_full_shelf_gives_up_what_was_asked_for_longest_ago() {
        let (shelf, start) = (Shelf::default(), Instant::now());
        let things = (0..THINGS_MAX).map(|n| (n, (n, start + Duration::from_micros(n as u64))));
        shelf.things().extend(things);
        let later = start + Duration::from_secs(1);
        shelf.get_or(0, later, || 0);
        shelf.get_or(THINGS_MAX, later, || 0);
        assert_eq!(shelf.things().len(), THINGS_MAX);
        assert!(shelf.things().contains_key(&0) && !shelf.things().contains_key(&1));
    }

    #[test]
    fn only_the_thing_that_was_meant_is_taken_away() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        shelf.get_or("a", now, || 1);
        shelf.remove_if(&"a", |thing| *thing == 2);
        assert_eq!(shelf.get_or("a", now, || 3), 1);
        shelf.remove_if(&"a", |thing| *thing == 1);
        assert_eq!(shelf.get_or("a", now, || 3), 3);
    }
}
