//! The books of one subscription: where each of its deliveries stands and is.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_core::delivery::{self, Cursor};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::subscription::Selection;
use switchhook_core::time::UnixMs;

use super::ledger::{Account, Cell, Logged, Place, position};
use super::{Checked, Invariant, Violation, check};
use crate::world::index;

impl Account {
    pub(super) fn name(&self) -> &str {
        &self.subscription.name
    }

    pub(super) fn cell(&self, offset: Offset) -> Option<&Cell> {
        self.cells.get(index(offset.0.checked_sub(1)?))
    }

    /// The delivery at an offset that a record or command names.
    pub(super) fn known(&mut self, offset: Offset) -> Result<&mut Cell, Violation> {
        let facts = format!("{} takes no event at {offset:?}", self.subscription.name);
        let at = offset.0.checked_sub(1).map(index);
        at.and_then(|at| self.cells.get_mut(at))
            .filter(|cell| cell.place != Place::Elsewhere)
            .ok_or(Violation {
                invariant: Invariant::OnePlace,
                facts,
            })
    }

    /// When the policy gives up: earliest and latest, as far as can be known from outside.
    pub(super) fn deadline(&self, event: &Event) -> (UnixMs, UnixMs) {
        match self.deadlines.get(&event.offset) {
            Some(deadline) => (*deadline, *deadline),
            None => (
                event.received_at.plus_ms(self.age_ms.0),
                event.received_at.plus_ms(self.age_ms.1),
            ),
        }
    }

    /// Where the delivery of `event` stands.
    fn stands(&self, event: &Event) -> delivery::Place {
        self.subscription.place(self.group.as_deref(), event)
    }

    /// A new event in the log.
    pub(super) fn append(&mut self, event: &Event) {
        let begun = self.start.is_none_or(|start| event.offset >= start);
        let selection = self.subscription.select(event);
        let taken = begun && !matches!(selection, Selection::PassedOver(_));
        self.cells.push(Cell {
            place: if taken {
                Place::Pending
            } else {
                Place::Elsewhere
            },
            stands: self.stands(event),
            fails: matches!(selection, Selection::Failed(_)),
            replayed: false,
            halts: false,
            chain: 0,
            n: 0,
            counted: 0,
            recorded: false,
            in_flight: false,
            apart_until: Offset(0),
            held_by: 0,
        });
        self.file(event.offset);
    }

    /// The subscription begins here: what came before is not for it.
    pub(super) fn begin(&mut self, start: Offset) {
        self.start = Some(start);
        (1..start.0).for_each(|n| self.pass_over(Offset(n)));
    }

    /// The event at `offset` is not for it.
    pub(super) fn pass_over(&mut self, offset: Offset) {
        let cell = self.cells.get_mut(position(offset));
        if let Some(cell) = cell.filter(|cell| cell.place == Place::Pending) {
            cell.place = Place::Elsewhere;
            self.file(offset);
        }
    }

    /// Its partitions or its order are others: every delivery stands anew. The log ends at `end`.
    ///
    /// With an affinity to event types a key stands in several partitions, and order is kept in each of them: one of its
    /// deliveries may wait for its next attempt in one while an earlier one has not had its turn in another. Where the
    /// affinity is to keys from now on they meet. What had its turn before goes on as it would have: a wait that has
    /// been promised does not grow for events that it never stood behind. Both are in the log by now; whatever comes
    /// later, and what had no turn yet, is judged as ever.
    pub(super) fn stand_anew(&mut self, log: &[Logged], end: Offset, now_ms: u64) {
        self.keys.clear();
        self.sought.clear();
        let stands: Vec<_> = log
            .iter()
            .map(|logged| self.stands(&logged.event))
            .collect();
        let mut stood: BTreeMap<delivery::Place, BTreeSet<u16>> = BTreeMap::new();
        for (cell, stands) in self.cells.iter().zip(&stands) {
            if matches!(cell.place, Place::Pending | Place::Waiting | Place::Dead) {
                stood
                    .entry(*stands)
                    .or_default()
                    .insert(cell.stands.partition);
            }
        }
        for (cell, stands) in self.cells.iter_mut().zip(stands) {
            let met = stood.get(&stands).is_some_and(|before| before.len() > 1);
            if met && cell.place == Place::Waiting && cell.n > 0 {
                cell.apart_until = end;
            }
            cell.stands = stands;
        }
        for n in 1..=log.len() as u64 {
            self.file(Offset(n));
        }
        self.keys.touch_all(now_ms);
    }

    /// Group: every partition has a cursor, and one that is new begins where nothing is missed.
    pub(super) fn cursors_are_whole(
        &mut self,
        cursors: &[Cursor],
        is_other_layout: bool,
    ) -> Checked {
        let Some(lowest) = self.lowest() else {
            return Ok(());
        };
        let own = cursors
            .iter()
            .filter(|cursor| cursor.subscription == self.subscription.name);
        let stored: BTreeMap<u16, Offset> = own.map(|c| (c.partition, c.offset)).collect();
        let whole = stored.keys().copied().eq(0..self.partitions);
        let kept = |(partition, offset): (&u16, &Offset)| {
            *offset <= lowest || (!is_other_layout && self.cursors.get(partition) == Some(offset))
        };
        check(
            whole && stored.iter().all(kept),
            Invariant::OneMember,
            || {
                format!(
                    "{} has {} partitions with cursors {stored:?}, before: {:?}",
                    self.name(),
                    self.partitions,
                    self.cursors
                )
            },
        )?;
        self.cursors = stored;
        self.handed = self.cursors.clone();
        for n in 1..=self.cells.len() as u64 {
            let offset = Offset(n);
            let Some(cell) = self.cell(offset).copied() else {
                continue;
            };
            if cell.place == Place::Skipped && offset >= self.cursor(cell.stands.partition) {
                self.known(offset)?.place = Place::Pending;
                self.file(offset);
            }
        }
        Ok(())
    }

    /// Puts a delivery whose place has changed where it belongs among those of its key.
    pub(super) fn file(&mut self, offset: Offset) {
        let Some(cell) = self.cell(offset).copied() else {
            return;
        };
        let is_open = match cell.place {
            Place::Pending => !cell.fails,
            Place::Waiting => true,
            Place::Dead => cell.halts,
            Place::Elsewhere | Place::Delivered | Place::Discarded | Place::Skipped => false,
        };
        if is_open {
            let in_order = cell.halts || !cell.replayed;
            self.keys.enter(cell.stands, offset, in_order);
        } else {
            self.keys.forget(cell.stands, offset);
        }
    }

    /// A delivery that was in memory waits for a slot no more.
    pub(super) fn let_go(&mut self, offset: Offset) -> Checked {
        let cell = self.known(offset)?;
        let partition = cell.stands.partition;
        if std::mem::take(&mut cell.held_by) > 0
            && let Some(held) = self.held.get_mut(&partition)
        {
            *held = held.saturating_sub(1);
        }
        Ok(())
    }

    /// The cursor of a partition; the start where that has none yet.
    pub(super) fn cursor(&self, partition: u16) -> Offset {
        let begun = self.cursors.get(&partition).copied();
        begun.or(self.start).unwrap_or(Offset(1))
    }

    /// The lowest of its cursors, or where it begins.
    pub(super) fn lowest(&self) -> Option<Offset> {
        self.cursors.values().min().copied().or(self.begins)
    }
}
