//! The line before a gate: lanes that wait to be let in.

use std::collections::VecDeque;

use crate::time::UnixMs;

use super::LaneId;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Line {
    lanes: VecDeque<LaneId>,
    /// Somebody was told to come back then, and has armed a timer that empties the line.
    told: Option<UnixMs>,
    /// Lanes that were taken out all at once and have not asked yet. Each must have its turn before one that
    /// was let in may go on, or the first of them would always be the first.
    called: usize,
}

impl Line {
    pub(super) fn wait(&mut self, lane: LaneId) {
        self.lanes.push_back(lane);
    }

    pub(super) fn forget(&mut self, lane: LaneId) {
        self.lanes.retain(|waiter| *waiter != lane);
    }

    pub(super) fn take_first(&mut self) -> Option<LaneId> {
        self.lanes.pop_front()
    }

    pub(super) fn take_all(&mut self) -> VecDeque<LaneId> {
        self.told = None;
        self.called = self.lanes.len();
        std::mem::take(&mut self.lanes)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A lane asks to be let in, or does not need to.
    pub(super) const fn asks(&mut self) {
        self.called = self.called.saturating_sub(1);
    }

    /// A lane was told to come back at `at`.
    pub(super) fn tell(&mut self, at: UnixMs, now: UnixMs) {
        let pending = self.told.filter(|told| *told > now);
        self.told = Some(pending.map_or(at, |told| told.min(at)));
    }

    /// Whether a timer that lies ahead will empty it.
    pub(super) fn is_told(&self, now: UnixMs) -> bool {
        self.told.is_some_and(|told| told > now)
    }

    /// What was told does not hold any more.
    pub(super) const fn untell(&mut self) {
        self.told = None;
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.called > 0 || !self.lanes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }
}
