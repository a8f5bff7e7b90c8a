//! The store's own content against the books: at every restart, now and then, and at the end.

use std::collections::BTreeMap;

use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use switchhook_store::query::{DeadFilter, Limit};
use switchhook_store::{Error, Store};

use super::ledger::{Account, Place};
use super::{Checked, Invariant, Ledger, Violation, check};

/// Everything at once: the worlds are small.
const ALL: Limit = Limit {
    items: usize::MAX,
    bytes: usize::MAX,
};

impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        Self {
            invariant: Invariant::OnePlace,
            facts: format!("the store failed: {error}"),
        }
    }
}

impl Ledger {
    /// An event was acknowledged to its sender.
    pub(crate) fn acknowledged(&mut self, id: EventId) {
        self.acknowledged.push(id);
    }

    /// Compares the store with the books.
    pub(crate) fn audit(&mut self, store: &dyn Store) -> Checked {
        self.acknowledged_is_in_the_log(store)?;
        let counts = store.counts()?;
        check(counts.end == self.end(), Invariant::Kept, || {
            format!(
                "the log ends at {:?}, expected {:?}",
                counts.end,
                self.end()
            )
        })?;
        let cursors = store.cursors()?;
        let dead: u64 = counts.dead.values().sum();
        let mut dead_booked = 0;
        for account in &self.accounts {
            if account.moving {
                dead_booked += dead_of(account);
                continue;
            }
            let own = cursors
                .iter()
                .filter(|cursor| *cursor.subscription == *account.name());
            let own: BTreeMap<u16, Offset> = own.map(|c| (c.partition, c.offset)).collect();
            check(own == account.cursors, Invariant::OnePlace, || {
                format!(
                    "cursors of {} are {own:?}, expected {:?}",
                    account.name(),
                    account.cursors
                )
            })?;
            rows_are_as_booked(account, store)?;
            restart_would_know(account, store)?;
            let waiting = counts.waiting.get(account.name()).copied().unwrap_or(0);
            dead_booked += it_adds_up(account, waiting)?;
        }
        check(dead == dead_booked, Invariant::OnePlace, || {
            format!("the store counts {dead} dead letters, expected {dead_booked}")
        })?;
        self.dead_are_as_booked(store)
    }

    /// I1: what was acknowledged is in the log.
    fn acknowledged_is_in_the_log(&mut self, store: &dyn Store) -> Checked {
        for id in std::mem::take(&mut self.acknowledged) {
            let taken = self
                .offsets
                .get(&id)
                .is_some_and(|at| self.gone.contains(at));
            check(taken || store.event(id)?.is_some(), Invariant::Kept, || {
                format!("{id:?} was acknowledged and is not in the log")
            })?;
        }
        Ok(())
    }

    /// I12: dead letters in the store are those in the books.
    fn dead_are_as_booked(&self, store: &dyn Store) -> Checked {
        for letter in store.dead(&DeadFilter::default(), None, ALL)? {
            let key = &letter.dead.key;
            let account = self
                .number(&key.subscription)
                .and_then(|number| self.accounts.get(number));
            let cell = account.and_then(|account| account.cell(key.offset));
            let booked = cell.is_some_and(|cell| {
                (cell.place, cell.chain, cell.n)
                    == (Place::Dead, letter.dead.chain, letter.dead.attempts)
            });
            check(booked, Invariant::OnePlace, || {
                format!("{:?} is booked as {cell:?}", letter.dead)
            })?;
        }
        Ok(())
    }

    /// I1: the log holds, at every position, the event that was stored there. For the end of a world.
    pub(crate) fn the_log_is_unchanged(&self, store: &dyn Store) -> Checked {
        let log = store.read_log(Offset(1), ALL)?;
        let there = self
            .log
            .iter()
            .filter(|logged| self.is_there(logged.event.offset));
        let same = log
            .iter()
            .map(|stored| &**stored)
            .eq(there.map(|logged| &*logged.event));
        check(same, Invariant::Kept, || {
            "the log is not what was written".into()
        })
    }
}

/// I12: the waiting rows in the store are those in the books.
fn rows_are_as_booked(account: &Account, store: &dyn Store) -> Checked {
    let rows = store.waiting(account.name(), Offset(1), ALL)?;
    let stored: BTreeMap<Offset, Row> = rows
        .iter()
        .map(|(row, _)| {
            let held = row.due_at == UnixMs::NEVER;
            (row.key.offset, (row.chain, row.attempts, held, row.place))
        })
        .collect();
    let booked: BTreeMap<Offset, Row> = account
        .waits
        .iter()
        .filter_map(|(offset, wait)| {
            let cell = account.cell(*offset)?;
            Some((*offset, (cell.chain, cell.n, wait.held, cell.stands)))
        })
        .collect();
    check(stored == booked, Invariant::OnePlace, || {
        let differ = |(a, b): &(_, _)| a != b;
        let first = stored.iter().zip(&booked).find(differ);
        format!(
            "{} has {} rows (chain, attempts, held, place), expected {}; the first that differs: {first:?}",
            account.name(),
            stored.len(),
            booked.len()
        )
    })
}

/// Chain, attempts, whether it is held behind another one, where it stands.
type Row = (u16, u16, bool, switchhook_core::delivery::Place);

/// I3: what a restart would learn as settled is what was recorded, at least of its own partition.
fn restart_would_know(account: &Account, store: &dyn Store) -> Checked {
    for (&partition, &cursor) in &account.cursors {
        let stored = store.settled_from(account.name(), partition, cursor)?;
        let cells = account.cells.iter().zip(1..);
        let known = cells.skip(super::ledger::position(cursor));
        for (cell, n) in known {
            let booked = cell.recorded || cell.place == Place::Waiting;
            let own = cell.stands.partition == partition;
            let is_stored = stored.contains(&Offset(n));
            let right = if booked && own {
                is_stored
            } else {
                booked || !is_stored
            };
            check(right, Invariant::NoRepeat, || {
                format!(
                    "{n} as settled for {} in {partition} from {cursor:?}: {is_stored}, but: {cell:?}",
                    account.name()
                )
            })?;
        }
    }
    Ok(())
}

/// I12: accepted and taken = delivered + dead + waiting + pending + discarded. Returns the dead.
fn it_adds_up(account: &Account, waiting: u64) -> Result<u64, Violation> {
    let count = |place| {
        account
            .cells
            .iter()
            .filter(|cell| cell.place == place)
            .count() as u64
    };
    let taken = account
        .cells
        .iter()
        .filter(|cell| cell.place != Place::Elsewhere)
        .count() as u64;
    let places = [
        Place::Delivered,
        Place::Dead,
        Place::Pending,
        Place::Discarded,
        Place::Skipped,
    ]
    .map(count);
    let sum = places.iter().sum::<u64>() + waiting;
    check(sum == taken, Invariant::OnePlace, || {
        format!(
            "{} took {taken}: [delivered, dead, pending, discarded, skipped] {places:?} + {waiting} waiting",
            account.name()
        )
    })?;
    Ok(dead_of(account))
}

fn dead_of(account: &Account) -> u64 {
    let dead = account
        .cells
        .iter()
        .filter(|cell| cell.place == Place::Dead);
    dead.count() as u64
}
