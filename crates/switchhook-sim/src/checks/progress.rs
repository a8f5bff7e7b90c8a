//! Nothing that could go on stands still, nothing grows without bound, and in the end all work ends.
//!
//! "Could go on": its endpoint has had a free slot and an open gate, its process has run, its plan has
//! stood and its wait has been over, all for [`PATIENCE_MS`]. That is longer than any read or commit takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::engine::{DUE_MAX, FRESH_MAX, WINDOW};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::Order;

use super::ledger::{Account, Place, Wait, position};
use super::{Checked, Gates, Invariant, Ledger, check};
use crate::faults::HOUR_MS;

/// How long work that could be done may lie, in milliseconds.
pub(crate) const PATIENCE_MS: u64 = HOUR_MS / 6;

/// When something last happened that explains why work lies.
#[derive(Debug)]
pub(crate) struct Idle<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) gates: &'a Gates,
    /// Who has had each partition ever since `since_ms`.
    pub(crate) members: &'a BTreeMap<(Arc<str>, u16), Arc<str>>,
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
        for ((name, partition), member) in idle.members {
            let account = self.number(name).and_then(|at| self.accounts.get(at));
            let Some(account) = account.filter(|_| idle.plan.subscriptions.contains_key(name))
            else {
                continue;
            };
            let stopped = account.paused || !account.enabled || account.resumed_ms > before_ms;
            if stopped || !idle.gates.idle_since(member, idle.plan, before_ms) {
                continue;
            }
            let lying = match account.subscription.order {
                Order::None => overdue(account, *partition, idle, before_ms)
                    .or_else(|| self.untouched(account, *partition, before_ms)),
                Order::Key | Order::Strict => {
                    self.key_at_rest(account, *partition, idle, before_ms)
                }
            };
            check(lying.is_none(), Invariant::Progress, || {
                let cell = lying.and_then(|offset| account.cell(offset));
                let wait = lying.and_then(|offset| account.waits.get(&offset));
                format!(
                    "{name} at {lying:?} could be sent to {member} and is not: {cell:?}, {wait:?}; cursors {:?}",
                    account.cursors
                )
            })?;
        }
        Ok(())
    }

    /// A key that is not free, not halted, waits for no time, and at which nothing happens.
    fn key_at_rest(
        &self,
        account: &Account,
        partition: u16,
        idle: &Idle<'_>,
        before_ms: u64,
    ) -> Option<Offset> {
        let ended = |offset: &Offset| account.ended.contains_key(offset);
        let rests = |key: &&super::order::Key| {
            let waits = key.unsettled.iter().any(|offset| {
                let wait = account.waits.get(offset).filter(|wait| !wait.held);
                wait.is_some_and(|wait| due_ms(wait, idle) >= before_ms)
            });
            let halted = key.unsettled.iter().any(|offset| {
                account
                    .cell(*offset)
                    .is_some_and(|cell| cell.place == Place::Dead)
            });
            let first = key.unsettled.first();
            let logged = first.and_then(|offset| self.log.get(position(*offset)));
            let old = logged.is_some_and(|logged| logged.at_ms < before_ms);
            let active = key.active_ms >= before_ms || key.under_way > 0;
            old && !active && !waits && !halted && !key.unsettled.iter().any(ended)
        };
        let key = account.keys.unsettled(partition).find(rests)?;
        key.unsettled.first().copied()
    }

    /// An event that was in the log before `before_ms` and was never tried.
    fn untouched(&self, account: &Account, partition: u16, before_ms: u64) -> Option<Offset> {
        let from = position(account.cursor(partition));
        let cells = account.cells.iter().zip(&self.log).skip(from);
        let old = cells.take_while(|(_, logged)| logged.at_ms < before_ms);
        let lies = |cell: &super::ledger::Cell, offset: Offset| {
            cell.place == Place::Pending
                && cell.stands.partition == partition
                && !cell.in_flight
                && !account.ended.contains_key(&offset)
                && account
                    .sought
                    .get(&partition)
                    .is_none_or(|to| offset >= *to)
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
            let lags = account.cursors.values().any(|cursor| *cursor != self.end());
            let whole = account.cursors.len() == usize::from(account.partitions);
            check(
                left == 0 && !lags && whole,
                Invariant::SettledInTime,
                || {
                    format!(
                        "{left} deliveries of {} have not ended; cursors {:?}, log {:?}; first: {:?}",
                        account.name(),
                        account.cursors,
                        self.end(),
                        account.cells.iter().zip(1..).find(|(cell, _)| open(cell))
                    )
                },
            )?;
        }
        Ok(())
    }

    /// Events were handed to the engine for a partition: from the log, or as due rows.
    pub(crate) fn handed<'e>(
        &mut self,
        (subscription, partition): (&str, u16),
        process: u32,
        events: impl Iterator<Item = &'e Arc<Event>>,
        from_log: bool,
    ) -> Checked {
        let account = self.known(subscription)?;
        let mut held = account.held.get(&partition).copied().unwrap_or(0);
        for event in events {
            if from_log {
                account.handed.insert(partition, event.offset.next());
            }
            let unrecorded = account.ended.contains_key(&event.offset);
            let Ok(cell) = account.known(event.offset) else {
                continue;
            };
            let wanted = if from_log {
                cell.place == Place::Pending && !cell.fails
            } else {
                cell.place == Place::Waiting
            };
            let own = cell.stands.partition == partition;
            if wanted && own && !cell.in_flight && !unrecorded && cell.held_by != process {
                cell.held_by = process;
                held += 1;
            }
        }
        account.held.insert(partition, held);
        // What waits behind others of its key gets rows sooner than the books can tell.
        let judged = account.subscription.order == Order::None;
        check(
            !judged || held <= FRESH_MAX + DUE_MAX,
            Invariant::Bounds,
            || format!("{held} deliveries of {subscription} are in memory, waiting for a slot"),
        )
    }

    /// Bounds: how far the engine has read ahead of the cursor that it would commit now.
    pub(crate) fn within_window(&mut self, lane: (&str, u16), cursor: Offset) -> Checked {
        let handed = self.known(lane.0)?.handed.get(&lane.1).copied();
        let handed = handed.unwrap_or(cursor);
        check(
            handed.0.saturating_sub(cursor.0) <= WINDOW,
            Invariant::Bounds,
            || format!("{lane:?} has read up to {handed:?}, its oldest open event is {cursor:?}"),
        )
    }
}

/// A row whose wait was over before `before_ms`.
fn overdue(account: &Account, partition: u16, idle: &Idle<'_>, before_ms: u64) -> Option<Offset> {
    let over = |(offset, wait): (&Offset, &Wait)| {
        let free = account
            .cell(*offset)
            .is_some_and(|cell| !cell.in_flight && cell.stands.partition == partition)
            && !account.ended.contains_key(offset);
        (free && due_ms(wait, idle) < before_ms).then_some(*offset)
    };
    account.waits.iter().find_map(over)
}

/// When a wait is over for certain, in the world's milliseconds.
fn due_ms(wait: &Wait, idle: &Idle<'_>) -> u64 {
    wait.from_ms
        .max(idle.back_at_ms)
        .saturating_add(wait.latest_ms)
}
