//! Counts what keeps each key of a partition from going on: the answer of [`Store::keys`](crate::Store::keys), for
//! every engine. Bound: [`KEYS_MAX`] keys; those that come later are left out.

use std::collections::BTreeMap;

use switchhook_core::delivery::WaitReason;
use switchhook_core::engine::{KEYS_MAX, KeyRows};
use switchhook_core::group::KeyHash;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

/// The keys that are not free.
#[derive(Default)]
pub(crate) struct Keys(BTreeMap<KeyHash, KeyRows>);

impl Keys {
    /// A row waits.
    pub(crate) fn waits(
        &mut self,
        key: KeyHash,
        offset: Offset,
        reason: WaitReason,
        due_at: UnixMs,
    ) {
        let Some(rows) = self.of(key) else { return };
        match reason {
            WaitReason::Order if due_at == UnixMs::NEVER => {
                rows.held = rows.held.saturating_add(1);
            }
            WaitReason::Order => rows.released = rows.released.saturating_add(1),
            WaitReason::Retry | WaitReason::Hold | WaitReason::InFlight | WaitReason::Replay => {
                rows.waiting.push(offset);
            }
        }
    }

    /// A dead letter halts its key.
    pub(crate) fn halts(&mut self, key: KeyHash, offset: Offset) {
        if let Some(rows) = self.of(key) {
            rows.halted.push(offset);
        }
    }

    /// The keys, their rows in the order of the log.
    pub(crate) fn sorted(mut self) -> BTreeMap<KeyHash, KeyRows> {
        for rows in self.0.values_mut() {
            rows.waiting.sort_unstable();
            rows.halted.sort_unstable();
        }
        self.0
    }

    fn of(&mut self, key: KeyHash) -> Option<&mut KeyRows> {
        let is_full = self.0.len() >= KEYS_MAX;
        if is_full && !self.0.contains_key(&key) {
            return None;
        }
        Some(self.0.entry(key).or_default())
    }
}
