//! Nothing that could go on stands still, nothing grows without bound, and in the end all work ends.
//!
//! "Could go on": its endpoint has had a free slot and an open gate, its process has run, its plan has
//! stood and its wait has been over, all for [`PATIENCE_MS`]. That is longer than any read or commit takes.

use std::sync::Arc;

use switchhook_core::engine::{DUE_MAX, FRESH_MAX, WINDOW};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;

use super::ledger::{Account, Place, position};
use super::{Checked, Gates, Invariant, Ledger, check};
use crate::faults::HOUR_MS;

/// How long work that could be done may lie, in milliseconds.
pub(crate) const PATIENCE_MS: u64 = HOUR_MS / 6;

/// When something last happened that explains why work lies.
#[derive(Debug)]
pub(crate) struct Idle<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) gates: &'a Gates,
    /// The process has run and its plan has stood since then.
    pub(crate) since_ms: u64,
    /// When the wall clock last jumped back: waits may have begun anew.
    pub(crate) back_at_ms: u64,
    pub(crate) now_ms: u64,
}

impl Ledger {
    /// Progress: no delivery lies that could be sent.
    pub(crate) fn no_lane_is_stuck(&self, idle: &Idle<'_>) -> Checked {
        let before_ms = idle.now_ms.saturating_sub(PATIENCE_MS);
        if idle.since_ms > before_ms {
            return Ok(());
        }
        for account in &self.accounts {
            let Some(subscription) = idle.plan.subscriptions.get(account.name()) else {
                continue;
            };
            if !idle
                .gates
                .idle_since(&subscription.endpoint, idle.plan, before_ms)
            {
                continue;
            }
            let lying = self
                .overdue(account, idle, before_ms)
                .or_else(|| self.untouched(account, before_ms));
            check(lying.is_none(), Invariant::Progress, || {
                let cell = lying.and_then(|offset| account.cell(offset));
                let wait = lying.and_then(|offset| account.waits.get(&offset));
                format!(
                    "{} at {lying:?} could be sent and is not: {cell:?}, {wait:?}",
                    account.name()
                )
            })?;
        }
        Ok(())
    }

    /// A row whose wait was over before `before_ms`.
    fn overdue(&self, account: &Account, idle: &Idle<'_>, before_ms: u64) -> Option<Offset> {
        let over = |(offset, wait): (&Offset, &super::ledger::Wait)| {
            let free = account.cell(*offset).is_some_and(|cell| !cell.in_flight)
                && !account.ended.contains_key(offset);
            let due_ms = wait.from_ms.max(idle.back_at_ms) + wait.latest_ms;
            (free && due_ms < before_ms).then_some(*offset)
        };
        account.waits.iter().find_map(over)
    }

    /// An event that was in the log before `before_ms` and was never tried.
    fn untouched(&self, account: &Account, before_ms: u64) -> Option<Offset> {
        let from = position(account.cursor);
        let cells = account.cells.iter().zip(&self.log).skip(from);
        let old = cells.take_while(|(_, logged)| logged.at_ms < before_ms);
        let lies = |cell: &super::ledger::Cell, offset: Offset| {
            cell.place == Place::Pending && !cell.in_flight && !account.ended.contains_key(&offset)
        };
        old.map(|(cell, logged)| (cell, logged.event.offset))
            .find(|(cell, at)| lies(cell, *at))
            .map(|(_, at)| at)
    }

    /// I2: nothing waits and nothing is pending any more, and every cursor stands at the end of the log.
    pub(crate) fn everything_has_ended(&self) -> Checked {
        for account in &self.accounts {
            let open =
                |cell: &&super::ledger::Cell| matches!(cell.place, Place::Pending | Place::Waiting);
            let left = account.cells.iter().filter(open).count();
            check(
                left == 0 && account.cursor == self.end(),
                Invariant::SettledInTime,
                || {
                    format!(
                        "{left} deliveries of {} have not ended; cursor {:?}, log {:?}; first: {:?}",
                        account.name(),
                        account.cursor,
                        self.end(),
                        account.cells.iter().find(open)
                    )
                },
            )?;
        }
        Ok(())
    }

    /// Events were handed to the engine for a subscription: from the log, or as due rows.
    pub(crate) fn handed<'e>(
        &mut self,
        subscription: &str,
        process: u32,
        events: impl Iterator<Item = &'e Arc<Event>>,
        from_log: bool,
    ) -> Checked {
        let account = self.known(subscription)?;
        let (mut held, mut handed) = (account.held, account.handed);
        for event in events {
            if from_log {
                handed = event.offset.next();
            }
            let unrecorded = account.ended.contains_key(&event.offset);
            let Ok(cell) = account.known(event.offset) else {
                continue;
            };
            let wanted = if from_log {
                cell.place == Place::Pending
            } else {
                cell.place == Place::Waiting
            };
            if wanted && !cell.in_flight && !unrecorded && cell.held_by != process {
                cell.held_by = process;
                held += 1;
            }
        }
        (account.held, account.handed) = (held, handed);
        check(held <= FRESH_MAX + DUE_MAX, Invariant::Bounds, || {
            format!("{held} deliveries of {subscription} are in memory, waiting for a slot")
        })
    }

    /// Bounds: how far the engine has read ahead of the cursor that it would commit now.
    pub(crate) fn within_window(&mut self, subscription: &str, cursor: Offset) -> Checked {
        let handed = self.known(subscription)?.handed;
        check(
            handed.0.saturating_sub(cursor.0) <= WINDOW,
            Invariant::Bounds,
            || {
                format!(
                    "{subscription} has read up to {handed:?}, its oldest open event is {cursor:?}"
                )
            },
        )
    }
}
