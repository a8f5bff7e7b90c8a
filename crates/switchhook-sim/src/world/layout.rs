//! What a start reads from the store, and the rows that it moves before.
//!
//! Where the partitions of a subscription are others than its rows were written for, or a strict order comes or goes,
//! its rows and the letters that halt are written anew with their new place, page by page, and its cursors last, as
//! the gateway's own start does it. The process may die between two pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::breaker::State;
use switchhook_core::delivery::{Cursor, Dead, Gap, Records, Waiting};
use switchhook_core::engine::{Known, Recovered};
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::Subscription;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Layout;
use switchhook_store::query::{DeadFilter, Limit};
use switchhook_store::{Batch, Store};

use super::World;
use super::disk::ALL;
use crate::checks::Violation;
use crate::faults::{Sabotage, chance};

/// Small, so that there is something between two pages.
const PAGE: Limit = Limit {
    items: 8,
    bytes: usize::MAX,
};
/// The layout of a subscription whose rows are being moved.
const MOVING: &str = "moving";
/// The layout of a subscription of which none is noted: one endpoint.
const SINGLE: &str = "keys 1";

impl World {
    /// What the store knows of the subscriptions of `plan`.
    pub(super) fn known(&self, plan: &Plan) -> Result<Known, Violation> {
        let store = &self.disk.store;
        let mut known = Known {
            paused: store.pauses()?.into_keys().collect(),
            ..Known::default()
        };
        for mut record in store.breakers()? {
            if self.is_sabotaged(Sabotage::BreakerForgotten) {
                record.state = State::Closed;
            }
            known.breakers.insert(record.endpoint.clone(), record);
        }
        let cursors = store.cursors()?.into_iter();
        for cursor in cursors.filter(|c| plan.subscriptions.contains_key(&c.subscription)) {
            let recovered = self.recovered(&cursor)?;
            known
                .lanes
                .insert((cursor.subscription, cursor.partition), recovered);
        }
        Ok(known)
    }

    fn recovered(&self, cursor: &Cursor) -> Result<Recovered, Violation> {
        let (store, name) = (&self.disk.store, &cursor.subscription);
        let mut recovered = Recovered {
            cursor: cursor.offset,
            member: cursor.member.clone(),
            settled: store
                .settled_from(name, cursor.partition, cursor.offset)?
                .into(),
            keys: store.keys(name, cursor.partition)?,
        };
        if self.is_sabotaged(Sabotage::SettledForgotten) {
            recovered.settled = Arc::default();
        }
        if self.is_sabotaged(Sabotage::KeysForgotten) {
            recovered.keys.clear();
        }
        Ok(recovered)
    }

    /// Moves the rows and cursors of every subscription whose layout has changed; `false` if the process died of it.
    pub(super) fn lay_out(&mut self, plan: &Plan) -> Result<bool, Violation> {
        let noted = self.disk.store.layouts()?;
        let mut partitions: BTreeMap<Arc<str>, u16> = BTreeMap::new();
        for cursor in self.disk.store.cursors()? {
            *partitions.entry(cursor.subscription).or_default() += 1;
        }
        for (name, subscription) in &plan.subscriptions {
            let text = plan.layout(subscription);
            let before = noted.get(name).map_or(SINGLE, |text| &**text);
            let wanted = plan.partitions(subscription);
            let there = partitions.get(name).copied().unwrap_or(wanted);
            if before == text && there == wanted {
                continue;
            }
            self.note(
                "layout (partitions before, now)",
                [there.into(), wanted.into(), 0],
            );
            if partitions.contains_key(name) {
                // Should the process die now, the next one moves again, whatever it is to move to.
                self.ledger.moves(name);
                self.note_layout(name, there, MOVING)?;
                if !self.move_rows(plan, subscription)? {
                    return Ok(false);
                }
            }
            self.note_layout(name, wanted, &text)?;
        }
        let cursors = self.disk.store.cursors()?;
        self.ledger.laid_out(plan, &cursors, self.clock.now_ms)?;
        Ok(true)
    }

    fn note_layout(
        &mut self,
        name: &Arc<str>,
        partitions: u16,
        text: &str,
    ) -> Result<(), Violation> {
        let layout = Layout {
            subscription: name.clone(),
            partitions,
            text: text.into(),
        };
        self.write(&Batch {
            layouts: vec![layout],
            ..Batch::default()
        })?;
        Ok(())
    }

    fn move_rows(&mut self, plan: &Plan, subscription: &Subscription) -> Result<bool, Violation> {
        if self.is_sabotaged(Sabotage::RowsNotMoved) {
            return Ok(true);
        }
        let dies = !self.healed && chance(&mut self.entropy, 200);
        let mut from = Offset(0);
        loop {
            let rows = self.disk.store.waiting(&subscription.name, from, PAGE)?;
            let Some((last, _)) = rows.last() else { break };
            from = last.key.offset.next();
            let now = self.clock.wall();
            let moved = rows.into_iter().map(|(row, event)| {
                let place = plan.place(subscription, &event);
                // Without a key there is nobody any more that it could wait for.
                let freed = place.key.is_none() && row.due_at == UnixMs::NEVER;
                let due_at = if freed { now } else { row.due_at };
                Waiting {
                    place,
                    due_at,
                    ..row
                }
            });
            let records = Records {
                waiting: moved.collect(),
                ..Records::default()
            };
            self.ledger.freed(records.waiting.iter(), self.clock.now_ms);
            self.write(&Batch {
                records,
                ..Batch::default()
            })?;
            if dies && chance(&mut self.entropy, 300) {
                return Ok(false);
            }
        }
        let filter = DeadFilter {
            subscription: Some(subscription.name.to_string()),
            ..DeadFilter::default()
        };
        let letters = self.disk.store.dead(&filter, None, ALL)?.into_iter();
        let halting = letters.filter(|letter| letter.dead.gap == Gap::Halted);
        let moved = halting.map(|letter| Dead {
            place: plan.place(subscription, &letter.event),
            ..letter.dead
        });
        let records = Records {
            dead: moved.collect(),
            ..Records::default()
        };
        self.write(&Batch {
            records,
            ..Batch::default()
        })?;
        Ok(!dies)
    }
}
