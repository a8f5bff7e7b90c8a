//! The disk: batches become durable in their order, group by group, and some time after they are handed in.
//!
//! The store itself is the in-memory one; it holds what is durable and nothing else. Reads therefore see
//! only that. A crash loses what waits, and of the group that was being written an end of any length.

use std::collections::VecDeque;
use std::sync::mpsc;

use switchhook_core::delivery::Verdict;
use switchhook_core::id::Offset;
use switchhook_store::memory::Memory;
use switchhook_store::query::Limit;
use switchhook_store::{Batch, Receipt, Store};

use super::{Happening, Message, World};
use crate::checks::{Checked, Commit, Invariant, check};
use crate::faults::Sabotage;

/// Whose batch it is, and so who is told.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A request of a sender.
    Request(u64),
    /// Dispatch: the number of its records, and whether a rebase rode along.
    Dispatch { number: Option<u64>, rebased: bool },
    /// An operator; the subscriptions whose rows have changed.
    Operator(Vec<std::sync::Arc<str>>),
}

struct Job {
    batch: Batch,
    origin: Origin,
    process: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) store: Memory,
    waiting: VecDeque<Job>,
    /// So many of those that wait are being written.
    writing: usize,
    group: u64,
}

impl Disk {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl World {
    /// Hands in a batch.
    pub(super) fn submit(&mut self, batch: Batch, origin: Origin) {
        let process = self.processes;
        self.disk.waiting.push_back(Job {
            batch,
            origin,
            process,
        });
        if self.disk.writing == 0 {
            self.write_group();
        }
    }

    fn write_group(&mut self) {
        self.disk.writing = self.disk.waiting.len();
        self.disk.group += 1;
        let at_ms = self.after_disk();
        self.queue.push(at_ms, Happening::DiskDone(self.disk.group));
    }

    /// The group that was being written is durable.
    pub(super) fn disk_done(&mut self, group: u64) -> Checked {
        if group != self.disk.group {
            return Ok(());
        }
        for _ in 0..std::mem::take(&mut self.disk.writing) {
            self.commit_next()?;
        }
        if !self.disk.waiting.is_empty() {
            self.write_group();
        }
        Ok(())
    }

    /// The power is gone.
    pub(super) fn lose_what_is_not_durable(&mut self) -> Checked {
        let durable = self.entropy.below(self.disk.writing as u64 + 1);
        for _ in 0..durable {
            self.commit_next()?;
        }
        let lost = self.disk.waiting.len() as u64;
        self.note(
            "crash (batches of the group that were durable, batches lost)",
            [durable, lost, 0],
        );
        self.disk.waiting.clear();
        self.disk.writing = 0;
        self.disk.group += 1;
        let store = std::mem::take(&mut self.disk.store);
        self.disk.store = Memory::with(store.into_state());
        Ok(())
    }

    /// Makes the oldest batch durable, books it, and tells its owner.
    fn commit_next(&mut self) -> Checked {
        let Some(Job {
            mut batch,
            origin,
            process,
        }) = self.disk.waiting.pop_front()
        else {
            return Ok(());
        };
        self.spoil(&mut batch);
        let before = self.disk.store.tail().end();
        let receipt = self.write(&batch)?;
        let limit = Limit {
            items: usize::MAX,
            bytes: usize::MAX,
        };
        let after = self.disk.store.tail().end();
        let added = if before == after {
            vec![]
        } else {
            self.disk.store.read_log(before, limit)?
        };
        self.note_commit(&origin, before, after);
        self.ledger.committed(&Commit {
            batch: &batch,
            receipt: &receipt,
            added: &added,
            now_ms: self.clock.now_ms,
            forward_ms: self.clock.forward_ms,
        })?;
        let at_ms = self.after(0, 3);
        match origin {
            Origin::Request(request) => {
                self.queue
                    .push(at_ms, Happening::Reply(process, request, receipt.appended));
            }
            Origin::Dispatch { number, rebased } => {
                self.post(at_ms, process, Message::Committed(number, rebased));
            }
            Origin::Operator(subscriptions) => {
                self.post(at_ms, process, Message::RowsChanged(subscriptions));
            }
        }
        if !added.is_empty() {
            self.step_soon();
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<Receipt, crate::checks::Violation> {
        let (told, receipt) = mpsc::channel();
        let done = move |result| {
            let _nobody_waits = told.send(result);
        };
        self.disk.store.submit(batch.clone(), Box::new(done));
        let receipt = receipt.try_recv().ok();
        check(receipt.is_some(), Invariant::OnePlace, || {
            "the store did not answer".into()
        })?;
        Ok(receipt.transpose()?.unwrap_or_default())
    }

    fn note_commit(&mut self, origin: &Origin, before: Offset, after: Offset) {
        match origin {
            Origin::Request(request) => {
                self.note(
                    "durable: events of (request, log end before, after)",
                    [*request, before.0, after.0],
                );
            }
            Origin::Dispatch { number, rebased } => {
                let numbers = [number.unwrap_or(u64::MAX), u64::from(*rebased), after.0];
                self.note("durable: records (batch, rebase, log end after)", numbers);
            }
            Origin::Operator(_) => self.note("durable: operation", [0; 3]),
        }
    }

    /// The defects of the disk.
    fn spoil(&self, batch: &mut Batch) {
        let records = &mut batch.records;
        if self.is_sabotaged(Sabotage::CursorTooFar) {
            records
                .cursors
                .iter_mut()
                .for_each(|(_, cursor)| *cursor = cursor.next().min(self.ledger.end()));
        }
        if self.is_sabotaged(Sabotage::WaitingRowLost) {
            records.waiting.pop();
        }
        if self.is_sabotaged(Sabotage::SuccessLost) {
            records
                .attempts
                .retain(|attempt| attempt.verdict != Verdict::Delivered);
        }
        if self.is_sabotaged(Sabotage::SettledRowKept) {
            records.settled.clear();
        }
        if self.is_sabotaged(Sabotage::LetterLost) {
            records.own_events.clear();
        }
        if self.is_sabotaged(Sabotage::DedupForgotten) {
            batch.events.iter_mut().for_each(|event| event.dedup = None);
        }
    }
}
