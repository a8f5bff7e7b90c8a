//! What retention took was settled, old enough, and wanted by nobody.

use std::sync::Arc;
use switchhook_core::delivery::{Dead, Gap};
use switchhook_core::event::Event;

use super::commit::Commit;
use super::ledger::{Place, position};
use super::{Checked, Invariant, Ledger, check};

/// What is in the store no more after a step of retention.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) dead: Vec<Dead>,
}

impl Ledger {
    /// Retention: only what is settled, old and read by every cursor goes, and the store counts it rightly.
    pub(super) fn needed_is_kept(&mut self, commit: &Commit<'_>) -> Checked {
        let Some(retain) = &commit.batch.retain else {
            return Ok(());
        };
        self.has_forgotten |= commit.receipt.retained.attempts > 0;
        let keep_from = self.lowest();
        for dead in &commit.taken.dead {
            let account = self.known(&dead.key.subscription)?;
            let cell = account.known(dead.key.offset)?;
            let old = cell.place == Place::Dead && dead.at < retain.dead_before;
            check(
                old && dead.gap != Gap::Halted,
                Invariant::NeededKept,
                || format!("retention took {dead:?} with {retain:?}: {cell:?}"),
            )?;
            cell.end_letter();
        }
        for event in &commit.taken.events {
            self.gone.insert(event.offset);
            // Where a subscription begins is in its books before it is on disk, and until then all that came before
            // stands there as pending. It is not for it: should a crash forget where it began, it begins later.
            let needed = self.accounts.iter().find_map(|account| {
                let begins = account.begins?;
                let open = match account.cell(event.offset)?.place {
                    Place::Pending => event.offset >= begins,
                    Place::Waiting | Place::Dead => true,
                    Place::Elsewhere | Place::Delivered | Place::Discarded | Place::Skipped => {
                        false
                    }
                };
                open.then(|| account.name())
            });
            let old = event.received_at < retain.events_before
                && keep_from.is_none_or(|from| event.offset < from);
            check(needed.is_none() && old, Invariant::NeededKept, || {
                format!(
                    "retention took {event:?}, needed by {needed:?}, cursors from {keep_from:?}: {retain:?}"
                )
            })?;
        }
        for event in &commit.taken.events {
            // Who begins later never sees it.
            let begins_later = |account: &&mut super::ledger::Account| {
                account.begins.is_none_or(|begins| event.offset < begins)
            };
            let later = self.accounts.iter_mut().filter(begins_later);
            later.for_each(|account| account.pass_over(event.offset));
        }
        let retained = commit.receipt.retained;
        let counted = (
            commit.taken.events.len() as u64,
            commit.taken.dead.len() as u64,
        );
        check(
            (retained.events, retained.dead) == counted,
            Invariant::OnePlace,
            || format!("retention says {retained:?}, but took {counted:?} (events, dead)"),
        )
    }

    /// The lowest cursor of all.
    pub(crate) fn lowest(&self) -> Option<switchhook_core::id::Offset> {
        self.accounts
            .iter()
            .filter_map(super::ledger::Account::lowest)
            .min()
    }

    /// Whether an event is in the store.
    pub(crate) fn is_there(&self, offset: switchhook_core::id::Offset) -> bool {
        position(offset) < self.log.len() && !self.gone.contains(&offset)
    }
}
