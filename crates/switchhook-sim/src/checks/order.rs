//! Order per key (I5): of one key and subscription, nothing overtakes what is not settled, and one request is under way.
//!
//! The books know, for every partition and key, which deliveries stand in the way of later ones: those of the first
//! chain that are neither delivered nor given up for good, and letters that halt. With a strict order the whole
//! partition is one key. Deliveries that a person put back to work have no place of their own in that order.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_core::delivery::Place as Stands;
use switchhook_core::group::KeyHash;
use switchhook_core::id::Offset;
use switchhook_core::retry::Action;
use switchhook_core::subscription::{OnExhausted, Order};

use super::attempt::Starting;
use super::ledger::{Account, Ended};
use super::{Checked, Invariant, check};

/// One key of a partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Key {
    /// Not settled, in the way of later ones.
    pub(super) open: BTreeSet<Offset>,
    /// These, and what a person put back to work.
    pub(super) unsettled: BTreeSet<Offset>,
    pub(super) under_way: u32,
    /// When something last happened to it, in the world's milliseconds.
    pub(super) active_ms: u64,
}

/// All keys of a subscription, by partition and key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: BTreeMap<(u16, KeyHash), Key>,
    /// Events before this came under another order.
    pub(super) judged_from: Offset,
}

impl Keys {
    /// A delivery is not settled; `in_order`: it has a place in the order of its key.
    pub(super) fn enter(&mut self, stands: Stands, offset: Offset, in_order: bool) {
        if let Some(key) = stands.key {
            let key = self.keys.entry((stands.partition, key)).or_default();
            key.unsettled.insert(offset);
            if in_order {
                key.open.insert(offset);
            } else {
                key.open.remove(&offset);
            }
        }
    }

    pub(super) fn forget(&mut self, stands: Stands, offset: Offset) {
        if let Some(key) = self.of(stands) {
            key.open.remove(&offset);
            key.unsettled.remove(&offset);
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }

    pub(super) fn process_ended(&mut self) {
        self.keys.values_mut().for_each(|key| key.under_way = 0);
    }

    pub(super) fn touch(&mut self, stands: Stands, now_ms: u64) {
        if let Some(key) = self.of(stands) {
            key.active_ms = now_ms;
        }
    }

    pub(super) fn touch_all(&mut self, now_ms: u64) {
        self.keys
            .values_mut()
            .for_each(|key| key.active_ms = now_ms);
    }

    pub(super) fn ended(&mut self, stands: Stands, now_ms: u64) {
        if let Some(key) = self.of(stands) {
            key.under_way = key.under_way.saturating_sub(1);
            key.active_ms = now_ms;
        }
    }

    /// The keys of a partition at which something is not settled.
    pub(super) fn unsettled(&self, partition: u16) -> impl Iterator<Item = &Key> {
        let keys = (partition, KeyHash(0))..=(partition, KeyHash(u64::MAX));
        let keys = self.keys.range(keys).map(|(_, key)| key);
        keys.filter(|key| !key.unsettled.is_empty())
    }

    fn of(&mut self, stands: Stands) -> Option<&mut Key> {
        self.keys.get_mut(&(stands.partition, stands.key?))
    }
}

impl Account {
    /// I5: the key of a request that leaves lets it. Books that it is under way.
    pub(super) fn in_order(&mut self, starting: &Starting<'_>, stands: Stands) -> Checked {
        let Some(hash) = stands.key else {
            return Ok(());
        };
        let ordered = self.subscription.order != Order::None;
        let first_chain = self
            .cell(starting.offset)
            .is_some_and(|cell| !cell.replayed && cell.chain == 0);
        let sought = self
            .sought
            .get(&stands.partition)
            .copied()
            .unwrap_or_default();
        let key = self.keys.keys.entry((stands.partition, hash)).or_default();
        key.under_way += 1;
        key.active_ms = starting.now_ms;
        if !ordered {
            return Ok(());
        }
        check(key.under_way == 1, Invariant::InOrder, || {
            format!("{starting:?} while another one of {stands:?} is under way")
        })?;
        let from = self.keys.judged_from.max(self.begins.unwrap_or_default());
        if !first_chain || starting.offset < from {
            return Ok(());
        }
        let key = self.keys.keys.get(&(stands.partition, hash));
        let earlier = key
            .into_iter()
            .flat_map(|key| key.open.range(from.min(starting.offset)..starting.offset));
        let apart_until = self.cell(starting.offset).map(|cell| cell.apart_until);
        let overtaken = earlier.copied().find(|offset| {
            *offset >= sought
                && apart_until.is_none_or(|until| *offset >= until)
                && !self
                    .ended
                    .get(offset)
                    .is_some_and(|ended| self.settles(ended))
        });
        check(overtaken.is_none(), Invariant::InOrder, || {
            let cell = overtaken.and_then(|offset| self.cell(offset));
            format!("{starting:?} overtakes {overtaken:?} of {stands:?}: {cell:?}")
        })
    }

    /// Whether a result that is not recorded yet lets later ones go.
    fn settles(&self, ended: &Ended) -> bool {
        let skips = self.subscription.on_exhausted == OnExhausted::Skip;
        let gives_up = ended.last || ended.expired.1;
        match ended.action {
            Action::Done => true,
            Action::DeadLetter => skips,
            Action::Retry | Action::Hold => skips && gives_up && !ended.kept,
        }
    }
}
