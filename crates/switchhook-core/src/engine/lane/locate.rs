//! Where a delivery of a lane is, for people who ask.

use crate::group::KeyHash;
use crate::id::Offset;
use crate::subscription::{Order, STRICT_KEY};

use super::{Lane, Whereabouts};

/// Where a delivery is, as far as the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// The cursor has not come to its event.
    NotReached,
    /// It waits for a slot.
    Queued,
    /// If it is not settled, it waits for this earlier one of its key.
    Behind(Offset),
    /// Its request is under way.
    UnderWay,
    /// Nothing in memory: what the store has of it is all there is.
    Elsewhere,
}

impl Lane {
    /// Where the delivery of the event at `offset` is, as far as the lane knows.
    pub(in crate::engine) fn locate(&self, offset: Offset, key: Option<KeyHash>) -> Located {
        if offset >= self.position {
            return Located::NotReached;
        }
        let key = match self.definition.subscription.order {
            Order::None => None,
            Order::Key => key,
            Order::Strict => Some(STRICT_KEY),
        };
        if let Some(Whereabouts::UnderWay(_)) = self.open.get(&offset) {
            return Located::UnderWay;
        }
        match self.keys.behind(key, offset) {
            Some(before) => Located::Behind(before),
            None if self.open.contains_key(&offset) => Located::Queued,
            None => Located::Elsewhere,
        }
    }
}
