//! The disk: batches become durable in their order, group by group, and some time after they are handed in.
//!
//! The store itself is the in-memory one; it holds what is durable and nothing else. Reads therefore see
//! only that. A crash loses what waits, and of the group that was being written an end of any length.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc;

use switchhook_core::delivery::{Dead, DeliveryKey, Verdict, WaitReason};
use switchhook_core::id::Offset;
use switchhook_store::memory::Memory;
use switchhook_store::query::{DeadFilter, Limit};
use switchhook_store::{Batch, Receipt, Store};

use super::operator::Deed;
use super::{Happening, Message, World};
use crate::checks::{Checked, Commit, Invariant, Taken, Violation, check};
use crate::faults::Sabotage;

/// Whose batch it is, and so who is told.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A request of a sender.
    Request(u64),
    /// Dispatch: the number of its records, and whether a rebase rode along.
    Dispatch { number: Option<u64>, rebased: bool },
    /// An operator; what the process is to hear of.
    Operator(Deed),
}

/// Everything at once: the worlds are small.
pub(super) const ALL: Limit = Limit {
    items: usize::MAX,
    bytes: usize::MAX,
};

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
    /// When dispatch hears of the last pause, or end of one.
    paused_at_ms: u64,
}

impl Disk {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether something that a person did is on its way.
    pub(super) fn has_deeds(&self) -> bool {
        let by_hand = |job: &Job| matches!(job.origin, Origin::Operator(_));
        self.waiting.iter().any(by_hand)
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
            mut origin,
            process,
        }) = self.disk.waiting.pop_front()
        else {
            return Ok(());
        };
        self.spoil(&mut batch);
        if let Origin::Operator(deed) = &mut origin {
            self.only_what_takes_effect(deed, &batch)?;
        }
        let before = self.disk.store.tail().end();
        let kept = batch.retain.map(|_| self.kept()).transpose()?;
        let receipt = self.write(&batch)?;
        let taken = kept.map(|kept| self.taken(kept)).transpose()?;
        let after = self.disk.store.tail().end();
        let added = if before == after {
            vec![]
        } else {
            self.disk.store.read_log(before, ALL)?
        };
        self.note_commit(&origin, before, after);
        self.ledger.committed(&Commit {
            batch: &batch,
            receipt: &receipt,
            added: &added,
            chains: &self.chains(&batch)?,
            taken: &taken.unwrap_or_default(),
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
            Origin::Operator(deed) => {
                let at_ms = self.after_other_pauses(&deed, at_ms);
                self.post(at_ms, process, Message::Done(deed));
            }
        }
        if !added.is_empty() {
            self.step_soon();
        }
        Ok(())
    }

    /// Who pauses has his turn until dispatch has heard of it, as in the gateway: so what it hears last is on disk last.
    fn after_other_pauses(&mut self, deed: &Deed, at_ms: u64) -> u64 {
        if deed.pauses.is_empty() {
            return at_ms;
        }
        self.disk.paused_at_ms = self.disk.paused_at_ms.max(at_ms);
        self.disk.paused_at_ms
    }

    /// A letter that somebody else has ended meanwhile is not discarded with this batch.
    fn only_what_takes_effect(&self, deed: &mut Deed, batch: &Batch) -> Checked {
        if deed.discarded.is_empty() {
            return Ok(());
        }
        let dead = self.disk.store.dead(&DeadFilter::default(), None, ALL)?;
        let there: BTreeMap<&DeliveryKey, u16> = dead
            .iter()
            .map(|letter| (&letter.dead.key, letter.dead.chain))
            .collect();
        let meant: BTreeMap<&DeliveryKey, u16> = batch
            .discards
            .iter()
            .map(|(key, chain)| (key, *chain))
            .collect();
        deed.discarded
            .retain(|(key, _)| there.get(key) == meant.get(key));
        Ok(())
    }

    /// What retention could take.
    fn kept(&self) -> Result<Taken, Violation> {
        let dead = self.disk.store.dead(&DeadFilter::default(), None, ALL)?;
        Ok(Taken {
            events: self.disk.store.read_log(Offset(1), ALL)?,
            dead: dead.into_iter().map(|letter| letter.dead).collect(),
        })
    }

    /// What of it is no more.
    fn taken(&self, before: Taken) -> Result<Taken, Violation> {
        let after = self.kept()?;
        let there: std::collections::BTreeSet<Offset> =
            after.events.iter().map(|event| event.offset).collect();
        let dead: std::collections::BTreeSet<&DeliveryKey> =
            after.dead.iter().map(|dead| &dead.key).collect();
        let is_gone = |letter: &Dead| !dead.contains(&letter.key);
        Ok(Taken {
            events: before
                .events
                .into_iter()
                .filter(|e| !there.contains(&e.offset))
                .collect(),
            dead: before.dead.into_iter().filter(is_gone).collect(),
        })
    }

    /// The chains that the store gave to the rows of replays.
    fn chains(&self, batch: &Batch) -> Result<BTreeMap<DeliveryKey, u16>, Violation> {
        let mut chains = BTreeMap::new();
        for replay in batch
            .replays
            .iter()
            .filter(|replay| replay.dead_chain.is_none())
        {
            let key = &replay.waiting.key;
            let history = self.disk.store.history(key.offset)?;
            let row = history.waiting.iter().find(|row| row.key == *key);
            chains.extend(row.map(|row| (key.clone(), row.chain)));
        }
        Ok(chains)
    }

    pub(super) fn write(&mut self, batch: &Batch) -> Result<Receipt, Violation> {
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

    /// The defects of the disk. And what a subscription has begun with since retention was asked for stays.
    fn spoil(&self, batch: &mut Batch) {
        if let (Some(retain), Some(lowest)) = (&mut batch.retain, self.ledger.lowest())
            && !self.is_sabotaged(Sabotage::RetentionTooKeen)
        {
            retain.keep_from = retain.keep_from.min(lowest);
        }
        let records = &mut batch.records;
        if self.is_sabotaged(Sabotage::CursorTooFar) {
            records
                .cursors
                .iter_mut()
                .for_each(|cursor| cursor.offset = cursor.offset.next().min(self.ledger.end()));
        }
        if self.is_sabotaged(Sabotage::ProbeCounted) {
            let rows = records.waiting.iter_mut();
            rows.filter(|row| row.reason == WaitReason::Retry && row.counted < row.attempts)
                .for_each(|row| row.counted += 1);
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
