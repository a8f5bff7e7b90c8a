//! What may be forgotten is looked for in the whole content, the oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchhook_core::delivery::{Attempt, DeliveryKey, Gap};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;

use super::State;
use crate::batch::{Retain, Retained};

impl State {
    pub(super) fn retain(&mut self, retain: &Retain) -> Retained {
        let items = u64::from(retain.items.max(1));
        let mut done = Retained::default();
        self.forget_dead(retain, items, &mut done);
        let needed = self.needed();
        self.forget_events(retain, items, &needed, &mut done);
        self.forget_attempts(retain, items, &needed, &mut done);
        done.documents = self.documents.sweep(retain.now, items);
        done.more |= done.documents == items;
        done
    }

    fn forget_dead(&mut self, retain: &Retain, items: u64, done: &mut Retained) {
        let old = self.dead_order.iter().filter(|position| {
            position.at < retain.dead_before
                && position.key.offset < retain.keep_from
                && self
                    .dead
                    .get(&position.key)
                    .is_some_and(|dead| dead.gap != Gap::Halted)
        });
        let old: Vec<DeliveryKey> = old.map(|position| position.key.clone()).collect();
        for key in old {
            if done.dead == items {
                break;
            }
            self.remove_dead(&key, None);
            done.dead += 1;
        }
        done.more |= done.dead == items;
    }

    fn forget_events(
        &mut self,
        retain: &Retain,
        items: u64,
        needed: &BTreeSet<Offset>,
        done: &mut Retained,
    ) {
        let may_go = |event: &&Arc<Event>| {
            event.received_at < retain.events_before && !needed.contains(&event.offset)
        };
        let old = self.log.range(..retain.keep_from).map(|(_, event)| event);
        let old: Vec<_> = old.filter(may_go).cloned().collect();
        let attempted = self.attempted();
        for event in old {
            if done.events == items || done.attempts >= items {
                done.more = true;
                break;
            }
            self.log.remove(&event.offset);
            self.ids.remove(&event.id);
            done.events += 1;
            for key in attempted.get(&event.offset).into_iter().flatten() {
                let made = self.attempts.remove(key).unwrap_or_default();
                done.attempts += made.len() as u64;
            }
        }
    }

    fn forget_attempts(
        &mut self,
        retain: &Retain,
        items: u64,
        needed: &BTreeSet<Offset>,
        done: &mut Retained,
    ) {
        let attempted = self.attempted();
        for (_, keys) in attempted
            .range(..retain.keep_from)
            .filter(|(offset, _)| !needed.contains(offset))
        {
            let is_old = |attempt: &Attempt| attempt.at < retain.attempts_before;
            let made = keys.iter().filter_map(|key| self.attempts.get(key));
            if !made.flat_map(BTreeMap::values).any(is_old) {
                continue;
            }
            if done.attempts >= items {
                done.more = true;
                break;
            }
            for key in keys {
                let made = self.attempts.entry(key.clone()).or_default();
                let count = made.len();
                made.retain(|_, attempt| !is_old(attempt));
                done.attempts += (count - made.len()) as u64;
            }
        }
        self.attempts.retain(|_, made| !made.is_empty());
    }

    /// The events that a waiting row or a dead letter needs.
    fn needed(&self) -> BTreeSet<Offset> {
        let keys = self.waiting.keys().chain(self.dead.keys());
        keys.map(|key| key.offset).collect()
    }

    /// The deliveries that have attempts, by event.
    pub(super) fn attempted(&self) -> BTreeMap<Offset, Vec<DeliveryKey>> {
        let mut attempted: BTreeMap<Offset, Vec<DeliveryKey>> = BTreeMap::new();
        for key in self.attempts.keys() {
            attempted.entry(key.offset).or_default().push(key.clone());
        }
        attempted
    }
}
