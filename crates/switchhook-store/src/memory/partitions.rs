//! What a layout does to the cursors of a subscription.

use std::sync::Arc;

use switchhook_core::delivery::Cursor;
use switchhook_core::id::Offset;

use super::State;
use crate::batch::Layout;

impl State {
    pub(super) fn lay_out(&mut self, layout: Layout) {
        let Layout {
            subscription,
            partitions,
            text,
        } = layout;
        let before = self
            .control
            .layouts
            .insert(subscription.clone(), text.clone());
        let moves = before.is_some_and(|before| before != text);
        let old: Vec<Cursor> = self.cursors_of(&subscription);
        let Some(lowest) = old.iter().map(|cursor| cursor.offset).min() else {
            return;
        };
        let last = old.iter().map(|cursor| cursor.partition).max();
        let is_other = moves || last.map(|last| last.saturating_add(1)) != Some(partitions);
        let tops = self
            .tops
            .iter()
            .filter(|((name, _), _)| *name == subscription);
        let top = tops.map(|(_, top)| *top).max().unwrap_or_default();
        for partition in 0..partitions {
            let lane = (subscription.clone(), partition);
            let member = self.cursors.get(&lane).map(|cursor| cursor.member.clone());
            if is_other || member.is_none() {
                self.tops.insert(lane.clone(), top);
                self.cursors.insert(
                    lane,
                    Cursor {
                        subscription: subscription.clone(),
                        partition,
                        offset: lowest,
                        member: member.flatten(),
                    },
                );
            }
        }
        if is_other {
            self.drop_partitions(&subscription, partitions, top);
        }
    }

    /// Those from `partitions` on are no more; one that still has rows keeps their upper bound.
    fn drop_partitions(&mut self, subscription: &Arc<str>, partitions: u16, top: Offset) {
        let is_gone = |name: &Arc<str>, at: u16| name == subscription && at >= partitions;
        self.cursors.retain(|(name, at), _| !is_gone(name, *at));
        self.tops.retain(|(name, at), _| !is_gone(name, *at));
        for row in self.waiting.values() {
            if is_gone(&row.key.subscription, row.place.partition) {
                self.tops
                    .insert((subscription.clone(), row.place.partition), top);
            }
        }
    }

    fn cursors_of(&self, subscription: &Arc<str>) -> Vec<Cursor> {
        let lanes = (subscription.clone(), 0)..=(subscription.clone(), u16::MAX);
        self.cursors
            .range(lanes)
            .map(|(_, cursor)| cursor.clone())
            .collect()
    }
}
