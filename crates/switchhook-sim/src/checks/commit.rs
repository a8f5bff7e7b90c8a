//! At every commit: what became durable must be whole, so that a crash right after it loses nothing.
//!
//! The parts of a batch are booked in the order in which the store lets them take effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::alert::MESSAGE_FAILED;
use switchhook_core::delivery::{
    Attempt, Cursor, Dead, DeadReason, DeliveryKey, Gap, Records, Release, Verdict, WaitReason,
    Waiting,
};
use switchhook_core::event::{Event, OWN_SOURCE};
use switchhook_core::id::{DeliveryId, Offset};
use switchhook_core::retry::Action;
use switchhook_core::subscription::{OnExhausted, Order};
use switchhook_core::time::UnixMs;
use switchhook_store::{Appended, Batch, Receipt};

use super::ledger::{Logged, Place, Wait};
use super::retention::Taken;
use super::{Checked, Invariant, Ledger, Violation, check};
use crate::world::index;

/// A batch that is durable now.
pub(crate) struct Commit<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) receipt: &'a Receipt,
    /// What the log has grown by, the gateway's own events included.
    pub(crate) added: &'a [Arc<Event>],
    /// The chains that the rows of its replays have on disk.
    pub(crate) chains: &'a BTreeMap<DeliveryKey, u16>,
    /// What retention took with it.
    pub(crate) taken: &'a Taken,
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
            self.buried(dead, commit.now_ms)?;
        }
        for attempt in &records.attempts {
            self.attempt_leads_somewhere(attempt, commit.now_ms)?;
        }
        for key in &records.settled {
            self.settled_has_a_result(key)?;
        }
        for release in &records.released {
            self.released(release, commit)?;
        }
        for cursor in &records.cursors {
            self.nothing_is_left_behind(cursor)?;
        }
        for record in &records.breakers {
            self.breakers
                .insert(record.endpoint.clone(), record.clone());
        }
        self.operated(commit)?;
        for change in &commit.batch.pauses {
            self.known(&change.subscription)?.paused_on_disk = change.pause.is_some();
        }
        self.needed_is_kept(commit)
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
        let letters = added
            .iter()
            .filter(|event| &*event.source == OWN_SOURCE && &*event.kind == MESSAGE_FAILED);
        for event in letters {
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
        check(
            attempt.partition == cell.stands.partition,
            Invariant::OneMember,
            || format!("{attempt:?} stands at {:?}", cell.stands),
        )?;
        cell.recorded = true;
        cell.n = attempt.n;
        cell.counted += u16::from(ended.action != Action::Hold && !ended.free);
        let gave_up = attempt.verdict == Verdict::Dead;
        let (surely, perhaps) = ended.expired;
        check(gave_up || !ended.last, Invariant::AttemptLimit, || {
            format!("the policy's last attempt leads to another one: {attempt:?}")
        })?;
        let must_end = surely || ended.last;
        let right = match ended.action {
            Action::Done => attempt.verdict == Verdict::Delivered,
            Action::DeadLetter => gave_up,
            Action::Retry | Action::Hold if ended.free || ended.kept => !gave_up,
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

    /// I3 and I12: a row is written for a delivery that is neither done nor given up. I7: a probe that failed costs nothing.
    fn row_is_for_open_delivery(&mut self, row: &Waiting, commit: &Commit<'_>) -> Checked {
        let account = self.known(&row.key.subscription)?;
        account.keys.touch(row.place, commit.now_ms);
        let cell = account.known(row.key.offset)?;
        let judged = matches!(row.reason, WaitReason::Retry | WaitReason::Hold);
        check(
            !judged || row.counted == cell.counted,
            Invariant::FreeProbes,
            || format!("{} attempts of {cell:?} count, but: {row:?}", cell.counted),
        )?;
        let open = matches!(cell.place, Place::Pending | Place::Waiting);
        let standing =
            row.chain == cell.chain && row.attempts <= cell.n && row.counted <= cell.counted;
        check(open, Invariant::NoRepeat, || {
            format!("{cell:?} gets {row:?}")
        })?;
        check(
            standing && row.place == cell.stands,
            Invariant::OnePlace,
            || format!("{cell:?} gets {row:?}"),
        )?;
        cell.place = Place::Waiting;
        let wait = Wait {
            from_ms: commit.now_ms,
            forward_ms: commit.forward_ms,
            held: row.due_at == UnixMs::NEVER,
            ..Wait::default()
        };
        match row.reason {
            WaitReason::InFlight => {
                account.waits.entry(row.key.offset).or_insert(wait);
            }
            WaitReason::Order => {
                account.waits.insert(row.key.offset, wait);
            }
            WaitReason::Retry | WaitReason::Hold | WaitReason::Replay => {}
        }
        account.file(row.key.offset);
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

    /// I5: a dead letter halts its key if its subscription says so, and only then.
    fn buried(&mut self, dead: &Dead, now_ms: u64) -> Checked {
        let account = self.known(&dead.key.subscription)?;
        account.waits.remove(&dead.key.offset);
        account.keys.touch(dead.place, now_ms);
        let (order, on_exhausted) = (
            account.subscription.order,
            account.subscription.on_exhausted,
        );
        let cell = account.known(dead.key.offset)?;
        let gap = match (order, on_exhausted) {
            (Order::None, _) => Gap::None,
            _ if cell.stands.key.is_none() || dead.reason == DeadReason::Filter => Gap::None,
            (Order::Key | Order::Strict, OnExhausted::Skip) => Gap::Skipped,
            (Order::Key | Order::Strict, OnExhausted::Halt) => Gap::Halted,
        };
        let failed = dead.reason == DeadReason::Filter && cell.fails && dead.attempts == 0;
        check(
            dead.gap == gap
                && dead.place == cell.stands
                && (failed || dead.reason != DeadReason::Filter),
            Invariant::InOrder,
            || format!("{cell:?} is given up with {dead:?}, expected {gap:?}"),
        )?;
        cell.place = Place::Dead;
        cell.halts = dead.gap == Gap::Halted;
        cell.recorded = true;
        account.file(dead.key.offset);
        Ok(())
    }

    /// I5: held rows come back, those with the lowest offsets first, as the store does it.
    fn released(&mut self, release: &Release, commit: &Commit<'_>) -> Checked {
        let account = self.known(&release.subscription)?;
        let is_meant = |offset: &Offset| {
            account.cell(*offset).is_some_and(|cell| {
                cell.stands.partition == release.partition
                    && release.key.is_none_or(|key| cell.stands.key == Some(key))
            })
        };
        let held = account.waits.iter().filter(|(_, wait)| wait.held);
        let due: Vec<Offset> = held
            .map(|(offset, _)| *offset)
            .filter(is_meant)
            .take(index(release.items.into()))
            .collect();
        for offset in due {
            let wait = Wait {
                from_ms: commit.now_ms,
                forward_ms: commit.forward_ms,
                ..Wait::default()
            };
            account.waits.insert(offset, wait);
            let stands = account.known(offset)?.stands;
            account.keys.touch(stands, commit.now_ms);
        }
        Ok(())
    }

    /// I1 and I12: after its record a delivery is delivered, waiting or dead, as the record says.
    fn attempt_leads_somewhere(&mut self, attempt: &Attempt, now_ms: u64) -> Checked {
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
            cell.halts = false;
        }
        let stands = cell.stands;
        account.keys.touch(stands, now_ms);
        account.file(attempt.key.offset);
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

    /// I1: what a cursor has passed is done or has a row, or an operator sought past it.
    fn nothing_is_left_behind(&mut self, cursor: &Cursor) -> Checked {
        let end = self.end();
        let account = self.known(&cursor.subscription)?;
        let to = cursor.offset;
        if account.start.is_none() {
            account.begin(account.begins.unwrap_or(to));
        }
        let from = account.cursor(cursor.partition);
        check(from <= to && to <= end, Invariant::OnePlace, || {
            format!("from {from:?} goes {cursor:?}, the log ends at {end:?}")
        })?;
        account.cursors.insert(cursor.partition, to);
        let sought = account
            .sought
            .get(&cursor.partition)
            .copied()
            .unwrap_or_default();
        for passed in (from.0..to.0).map(Offset) {
            let Some(cell) = account.cell(passed).copied() else {
                continue;
            };
            if cell.place != Place::Pending || cell.stands.partition != cursor.partition {
                continue;
            }
            check(passed < sought, Invariant::Kept, || {
                format!("{cursor:?} went over {passed:?}, which has no row and no result: {cell:?}")
            })?;
            account.known(passed)?.place = Place::Skipped;
            account.file(passed);
        }
        Ok(())
    }
}
