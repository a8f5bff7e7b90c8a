//! What will happen, in the order of virtual time; what is to happen at the same moment, in the order given.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Happening;

/// All that is to come.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

struct Entry {
    at_ms: u64,
    sequence: u64,
    happening: Happening,
}

impl Queue {
    pub(crate) fn push(&mut self, at_ms: u64, happening: Happening) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry {
            at_ms,
            sequence: self.sequence,
            happening,
        }));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at_ms, entry.happening))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.sequence).cmp(&(other.at_ms, other.sequence))
    }
}
