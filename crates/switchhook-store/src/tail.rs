//! The newest events, in memory, in log order.
//!
//! Dispatch that keeps up reads from here and never from disk. Bounds: [`Tail::BYTES_MAX`] of weight;
//! the oldest leave first. Who falls behind the tail reads the log in the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchhook_core::event::Event;
use switchhook_core::id::Offset;

/// The newest events.
pub struct Tail {
    inner: Mutex<Inner>,
    wake: Mutex<Option<Box<dyn Fn() + Send>>>,
}

struct Inner {
    events: VecDeque<Arc<Event>>,
    /// Offset of the next event to come.
    end: Offset,
    bytes: usize,
}

/// What a read of the tail found.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// These, in order; never empty.
    Events(Vec<Arc<Event>>),
    /// Nothing there yet.
    AtEnd,
    /// The position has left the tail: read the log.
    Behind,
}

impl Tail {
    /// Largest total [`Event::weight`], in bytes: some 20,000 events of 1 KiB.
    pub const BYTES_MAX: usize = 24 * 1024 * 1024;

    /// An empty tail of a log whose next offset is `end`.
    #[must_use]
    pub fn new(end: Offset) -> Self {
        Self {
            inner: Mutex::new(Inner {
                events: VecDeque::new(),
                end,
                bytes: 0,
            }),
            wake: Mutex::new(None),
        }
    }

    /// Sets what is called after events were added. It must not block and may be called often.
    pub fn on_append(&self, wake: Box<dyn Fn() + Send>) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    /// Adds committed events. Their offsets go on where the tail ends.
    pub fn push(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        let mut inner = self.lock();
        for event in events {
            debug_assert_eq!(event.offset, inner.end, "the log has no gaps");
            inner.end = event.offset.next();
            inner.bytes += event.weight();
            inner.events.push_back(event);
        }
        while inner.bytes > Self::BYTES_MAX {
            let Some(oldest) = inner.events.pop_front() else {
                break;
            };
            inner.bytes -= oldest.weight();
        }
        drop(inner);
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }

    /// Lets go of the events before `offset`: retention takes some of them from the log.
    pub fn forget_before(&self, offset: Offset) {
        let mut inner = self.lock();
        while let Some(oldest) = inner.events.pop_front_if(|event| event.offset < offset) {
            inner.bytes -= oldest.weight();
        }
    }

    /// The offset that the next event will get.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.lock().end
    }

    /// Events from `from` on: at least one if there is any, else at most `items` and `bytes` of weight.
    #[must_use]
    pub fn read(&self, from: Offset, items: usize, bytes: usize) -> Read {
        let inner = self.lock();
        if from >= inner.end {
            return Read::AtEnd;
        }
        let Some(first) = inner.events.front().map(|event| event.offset) else {
            return Read::Behind;
        };
        let Some(skip) = from.0.checked_sub(first.0) else {
            return Read::Behind;
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut weight = 0_usize;
        let mut events = Vec::new();
        for event in inner.events.iter().skip(skip).take(items.max(1)) {
            weight = weight.saturating_add(event.weight());
            if weight > bytes && !events.is_empty() {
                break;
            }
            events.push(event.clone());
        }
        Read::Events(events)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
