//! The store's own content against the books: at every restart, now and then, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use switchhook_store::query::{DeadFilter, Limit};
use switchhook_store::{Error, Store};

use super::ledger::{Account, Cell, Place};
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
            check(
                cursors.get(account.name()).copied() == account.start.map(|_| account.cursor),
                Invariant::OnePlace,
                || {
                    format!(
                        "cursors are {cursors:?}, {} should be at {:?}",
                        account.name(),
                        account.cursor
                    )
                },
            )?;
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
            check(store.event(id)?.is_some(), Invariant::Kept, || {
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
        let same = log.len() == self.log.len()
            && log
                .iter()
                .zip(&self.log)
                .all(|(stored, logged)| **stored == *logged.event);
        check(same, Invariant::Kept, || {
            "the log is not what was written".into()
        })
    }
}

/// I12: the waiting rows in the store are those in the books.
fn rows_are_as_booked(account: &Account, store: &dyn Store) -> Checked {
    let work = store.due(account.name(), UnixMs(u64::MAX), &BTreeSet::new(), ALL)?;
    let stored: BTreeMap<Offset, (u16, u16)> = work
        .rows
        .iter()
        .map(|(row, _)| (row.key.offset, (row.chain, row.attempts)))
        .collect();
    let cells = account
        .waits
        .keys()
        .map(|offset| (*offset, account.cell(*offset)));
    let booked: BTreeMap<Offset, (u16, u16)> = cells
        .filter_map(|(offset, cell)| cell.map(|cell| (offset, (cell.chain, cell.n))))
        .collect();
    check(stored == booked, Invariant::OnePlace, || {
        format!(
            "{} waits (chain, attempts): {stored:?}, expected {booked:?}",
            account.name()
        )
    })
}

/// I3: what a restart would learn as settled is what was recorded.
fn restart_would_know(account: &Account, store: &dyn Store) -> Checked {
    let stored = store.settled_from(account.name(), account.cursor)?;
    let known = |(cell, n): (&Cell, u64)| {
        (cell.recorded || cell.place == Place::Waiting).then_some(Offset(n))
    };
    let from = super::ledger::position(account.cursor);
    let booked: BTreeSet<Offset> = account
        .cells
        .iter()
        .zip(1..)
        .skip(from)
        .filter_map(known)
        .collect();
    check(stored == booked, Invariant::NoRepeat, || {
        format!(
            "settled for {} from {:?}: {stored:?}, expected {booked:?}",
            account.name(),
            account.cursor
        )
    })
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
    let begin = account.start.map_or(0, super::ledger::position);
    let taken = account
        .cells
        .iter()
        .skip(begin)
        .filter(|cell| cell.place != Place::Elsewhere)
        .count() as u64;
    let places = [
        Place::Delivered,
        Place::Dead,
        Place::Pending,
        Place::Discarded,
    ]
    .map(count);
    let sum = places.iter().sum::<u64>() + waiting;
    check(sum == taken, Invariant::OnePlace, || {
        format!(
            "{} took {taken}: [delivered, dead, pending, discarded] {places:?} + {waiting} waiting",
            account.name()
        )
    })?;
    Ok(count(Place::Dead))
}
