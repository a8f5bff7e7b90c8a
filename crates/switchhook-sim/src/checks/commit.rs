//! At every commit: what became durable must be whole, so that a crash right after it loses nothing.
//!
//! The parts of a batch are booked in the order in which the store lets them take effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::delivery::{Attempt, DeliveryKey, Records, Verdict, WaitReason, Waiting};
use switchhook_core::event::{Event, OWN_SOURCE};
use switchhook_core::id::{DeliveryId, Offset};
use switchhook_core::retry::Action;
use switchhook_store::{Appended, Batch, Receipt};

use super::ledger::{Logged, Place, Wait};
use super::{Checked, Invariant, Ledger, Violation, check};
use crate::world::index;

/// A batch that is durable now.
pub(crate) struct Commit<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) receipt: &'a Receipt,
    /// What the log has grown by, the gateway's own events included.
    pub(crate) added: &'a [Arc<Event>],
    /// The world's time, in milliseconds.
    pub(crate) now_ms: u64,
    pub(crate) forward_ms: u64,
}

impl Ledger {
    /// Books a batch that became durable.
    pub(crate) fn committed(&mut self, commit: &Commit<'_>) -> Checked {
        for event in commit.added {
            self.one_event_per_identity(event)?;
            self.append(event, commit.now_ms);
        }
        self.repeats_are_repeats(commit)?;
        let records = &commit.batch.records;
        self.one_event_per_dead_letter(records, commit.added)?;
        for attempt in &records.attempts {
            self.attempt_is_what_happened(attempt)?;
        }
        for row in &records.waiting {
            self.row_is_for_open_delivery(row, commit)?;
        }
        for key in &records.settled {
            self.settle(key)?;
        }
        for dead in &records.dead {
            let account = self.known(&dead.key.subscription)?;
            account.waits.remove(&dead.key.offset);
            account.known(dead.key.offset)?.place = Place::Dead;
        }
        for attempt in &records.attempts {
            self.attempt_leads_somewhere(attempt)?;
        }
        for key in &records.settled {
            self.settled_has_a_result(key)?;
        }
        for (subscription, cursor) in &records.cursors {
            self.nothing_is_left_behind(subscription, *cursor)?;
        }
        self.operated(commit)
    }

    fn append(&mut self, event: &Arc<Event>, now_ms: u64) {
        self.offsets.insert(event.id, event.offset);
        for account in &mut self.accounts {
            account.append(event);
        }
        self.log.push(Logged {
            event: event.clone(),
            at_ms: now_ms,
        });
    }

    /// I10: while an identity is remembered, no second event takes it.
    fn one_event_per_identity(&mut self, event: &Event) -> Checked {
        if &*event.source == OWN_SOURCE {
            return Ok(());
        }
        let unknown = || Violation {
            invariant: Invariant::OneEvent,
            facts: format!(
                "nobody sent {:?}, which is in the log at {:?}",
                event.id, event.offset
            ),
        };
        let identity = *self.identities.get(&event.id).ok_or_else(unknown)?;
        let Some(number) = identity.number else {
            return Ok(());
        };
        let until = event.received_at.plus_ms(identity.window_ms);
        let before = self
            .holders
            .insert((identity.source, number), (event.id, until));
        let free = before.is_none_or(|(_, until)| event.received_at > until);
        check(free, Invariant::OneEvent, || {
            let now = event.received_at;
            format!(
                "{:?} at {now:?} has the identity {identity:?} of {before:?}",
                event.id
            )
        })
    }

    /// I10: what is called a repeat has the identity of an event that is in the log.
    fn repeats_are_repeats(&self, commit: &Commit<'_>) -> Checked {
        for (event, appended) in commit.batch.events.iter().zip(&commit.receipt.appended) {
            let Appended::Duplicate { id, same_body } = *appended else {
                continue;
            };
            let (this, first) = (self.identities.get(&event.id), self.identities.get(&id));
            let (Some(this), Some(first)) = (this, first) else {
                continue;
            };
            let right = self.offsets.contains_key(&id)
                && this.number.is_some()
                && (this.source, this.number) == (first.source, first.number)
                && (this.body == first.body) == same_body;
            check(right, Invariant::OneEvent, || {
                format!("{this:?} was called a repeat of {first:?}, same body: {same_body}")
            })?;
        }
        Ok(())
    }

    /// Letters: a dead letter and the one event that tells of it, in the same commit; none for our own.
    fn one_event_per_dead_letter(&self, records: &Records, added: &[Arc<Event>]) -> Checked {
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for event in added.iter().filter(|event| &*event.source == OWN_SOURCE) {
            let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap_or_default();
            let delivery = body
                .get("deliveryId")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("none");
            *told.entry(delivery.into()).or_default() += 1;
        }
        let mut dead: BTreeMap<String, u64> = BTreeMap::new();
        for letter in &records.dead {
            let at = index(letter.key.offset.0.saturating_sub(1));
            let event = self.log.get(at).map(|logged| &logged.event);
            if let Some(event) = event.filter(|event| &*event.source != OWN_SOURCE) {
                let delivery = DeliveryId::derive(event.id, &letter.key.subscription);
                *dead.entry(delivery.to_string()).or_default() += 1;
            }
        }
        check(told == dead, Invariant::Letters, || {
            format!("dead: {dead:?}, told of: {told:?}")
        })
    }

    /// I12: a record is of an attempt that ended that way; I4 and I2: it says what the policy says.
    fn attempt_is_what_happened(&mut self, attempt: &Attempt) -> Checked {
        self.attempts += 1;
        let account = self.known(&attempt.key.subscription)?;
        let ended = account.ended.remove(&attempt.key.offset);
        let cell = account.known(attempt.key.offset)?;
        let same = |e: &super::ledger::Ended| {
            (e.chain, e.n, e.kind) == (attempt.chain, attempt.n, attempt.outcome)
        };
        let Some(ended) = ended.filter(|ended| ended.honest && same(ended)) else {
            let facts = format!("a record of an attempt that was not made so: {attempt:?}");
            return Err(Violation {
                invariant: Invariant::OnePlace,
                facts,
            });
        };
        check(
            matches!(cell.place, Place::Pending | Place::Waiting),
            Invariant::NoRepeat,
            || format!("an attempt after the end ({:?}): {attempt:?}", cell.place),
        )?;
        cell.recorded = true;
        cell.n = attempt.n;
        cell.counted += u16::from(ended.action != Action::Hold);
        let gave_up = attempt.verdict == Verdict::Dead;
        let (surely, perhaps) = ended.expired;
        check(gave_up || !ended.last, Invariant::AttemptLimit, || {
            format!("the policy's last attempt leads to another one: {attempt:?}")
        })?;
        let must_end = surely || ended.last;
        let right = match ended.action {
            Action::Done => attempt.verdict == Verdict::Delivered,
            Action::DeadLetter => gave_up,
            Action::Retry | Action::Hold => gave_up == must_end || (gave_up && perhaps),
        };
        check(right, Invariant::SettledInTime, || {
            format!(
                "{:?} by the policy, expired: {:?}, but: {attempt:?}",
                ended.action, ended.expired
            )
        })?;
        if matches!(attempt.verdict, Verdict::Retry | Verdict::Hold) {
            account.waits.insert(attempt.key.offset, ended.wait);
        }
        Ok(())
    }

    /// I12: a row is written for a delivery that is neither done nor given up.
    fn row_is_for_open_delivery(&mut self, row: &Waiting, commit: &Commit<'_>) -> Checked {
        let account = self.known(&row.key.subscription)?;
        let cell = account.known(row.key.offset)?;
        let open = matches!(cell.place, Place::Pending | Place::Waiting);
        let standing =
            row.chain == cell.chain && row.attempts <= cell.n && row.counted <= cell.counted;
        check(open && standing, Invariant::OnePlace, || {
            format!("{cell:?} gets {row:?}")
        })?;
        cell.place = Place::Waiting;
        if row.reason == WaitReason::InFlight {
            let wait = Wait {
                from_ms: commit.now_ms,
                forward_ms: commit.forward_ms,
                ..Wait::default()
            };
            account.waits.entry(row.key.offset).or_insert(wait);
        }
        Ok(())
    }

    fn settle(&mut self, key: &DeliveryKey) -> Checked {
        let account = self.known(&key.subscription)?;
        account.waits.remove(&key.offset);
        let cell = account.known(key.offset)?;
        if cell.place == Place::Waiting {
            cell.place = Place::Pending;
        }
        Ok(())
    }

    /// I1 and I12: after its record a delivery is delivered, waiting or dead, as the record says.
    fn attempt_leads_somewhere(&mut self, attempt: &Attempt) -> Checked {
        let account = self.known(&attempt.key.subscription)?;
        let cell = account.known(attempt.key.offset)?;
        let (expected, lost) = match attempt.verdict {
            Verdict::Delivered => (Place::Pending, Invariant::OnePlace),
            Verdict::Retry | Verdict::Hold => (Place::Waiting, Invariant::Kept),
            Verdict::Dead => (Place::Dead, Invariant::Kept),
        };
        check(cell.place == expected, lost, || {
            format!(
                "after {attempt:?} its place is {:?}, expected {expected:?}",
                cell.place
            )
        })?;
        if attempt.verdict == Verdict::Delivered {
            cell.place = Place::Delivered;
        }
        Ok(())
    }

    /// I1: a row goes only together with the result that ends its delivery.
    fn settled_has_a_result(&mut self, key: &DeliveryKey) -> Checked {
        let cell = self.known(&key.subscription)?.known(key.offset)?;
        check(
            matches!(cell.place, Place::Delivered | Place::Dead),
            Invariant::Kept,
            || format!("{key:?} lost its row and is {:?}", cell.place),
        )
    }

    /// I1: what a cursor has passed is done or has a row.
    fn nothing_is_left_behind(&mut self, subscription: &str, cursor: Offset) -> Checked {
        let end = self.end();
        let account = self.known(subscription)?;
        if account.start.is_none() {
            account.begin(cursor);
        }
        let from = account.cursor;
        check(from <= cursor && cursor <= end, Invariant::OnePlace, || {
            format!(
                "the cursor of {subscription} goes from {from:?} to {cursor:?}, the log ends at {end:?}"
            )
        })?;
        account.cursor = cursor;
        let passed = (from.0..cursor.0).map(Offset);
        let lost = passed
            .into_iter()
            .find(|at| account.cell(*at).is_some_and(|c| c.place == Place::Pending));
        check(lost.is_none(), Invariant::Kept, || {
            format!(
                "the cursor of {subscription} went to {cursor:?} over {lost:?}, which has no row and no result"
            )
        })
    }

    /// Replays and discards, as the store is to carry them out; I12: it counts them rightly.
    fn operated(&mut self, commit: &Commit<'_>) -> Checked {
        let (mut replayed, mut discarded) = (0, 0);
        for replay in &commit.batch.replays {
            let row = &replay.waiting;
            let account = self.known(&row.key.subscription)?;
            let cell = account.known(row.key.offset)?;
            if cell.place != Place::Dead || cell.chain != replay.dead_chain {
                continue;
            }
            (cell.place, cell.chain, cell.n, cell.counted) = (Place::Waiting, row.chain, 0, 0);
            account.deadlines.insert(row.key.offset, row.deadline);
            let wait = Wait {
                from_ms: commit.now_ms,
                forward_ms: commit.forward_ms,
                ..Wait::default()
            };
            account.waits.insert(row.key.offset, wait);
            replayed += 1;
        }
        for (key, chain) in &commit.batch.discards {
            let cell = self.known(&key.subscription)?.known(key.offset)?;
            if cell.place == Place::Dead && cell.chain == *chain {
                cell.place = Place::Discarded;
                discarded += 1;
            }
        }
        let receipt = commit.receipt;
        check(
            (replayed, discarded) == (receipt.replayed, receipt.discarded),
            Invariant::OnePlace,
            || {
                format!(
                    "replayed {replayed}, discarded {discarded}, but the store says {receipt:?}"
                )
            },
        )
    }
}
