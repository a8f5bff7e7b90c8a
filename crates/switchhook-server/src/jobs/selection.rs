//! Which events a job takes, and which of them it leaves out.
//!
//! An event is taken when it fits the filter, was for the subscription (its filter takes it, or its records say what
//! became of it), and lies in the ranges of a seek. One that waits for the subscription that is to get it anyway is left
//! out: it has a row, or the cursor has not come to it. What is given up after the job was made does not join.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::delivery::{DeadReason, Place, Verdict};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::plan::Plan;
use switchhook_core::sight::Sight;
use switchhook_core::subscription;
use switchhook_core::time::UnixMs;
use switchhook_store::query::{DeadFilter, EventFilter, History};
use switchhook_store::{Error, Store};
use switchhook_wire::api::{JobStatus, time};

use super::record::{Kept, Ranges};

/// A checked selection.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) filter: EventFilter,
    /// These events only.
    pub(super) ids: Option<Vec<EventId>>,
    pub(super) status: JobStatus,
    pub(super) reason: Option<DeadReason>,
    /// The subscription that the events were for.
    pub(super) of: Arc<str>,
    /// The subscription that gets them.
    pub(super) to: Arc<str>,
    ranges: Option<Ranges>,
    /// What the reason means.
    sight: Sight,
    /// When it was frozen.
    frozen_at: UnixMs,
}

/// A delivery to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) id: EventId,
    pub(super) offset: Offset,
    pub(super) place: Place,
    /// The chain that died, where it is a dead letter of the subscription that gets it.
    pub(super) dead_chain: Option<u16>,
}

/// What is made of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Taken(Pick),
    /// It waits anyway.
    Waits,
    /// It is not meant.
    Other,
}

/// What a choice looks at besides the event.
pub(super) struct Known<'k> {
    pub(super) store: &'k dyn Store,
    pub(super) plan: &'k Plan,
    pub(super) cursors: &'k Cursors,
}

/// Cursors of the subscription that gets the deliveries, by partition, as dispatch has them: what is before them was
/// delivered, has a row, or was passed over. The row may be on its way to the disk; it then stands in place of that of
/// the job, and the delivery is made all the same.
pub(super) type Cursors = BTreeMap<u16, Offset>;

impl Selection {
    /// The selection of a job; the error says what cannot be read.
    pub(super) fn of(kept: &Kept) -> Result<Self, String> {
        let (job, select) = (&kept.job, &kept.job.select);
        let at = |text: &Option<String>| match text {
            Some(text) => time::parse(text)
                .map(Some)
                .map_err(|error| error.to_string()),
            None => Ok(None),
        };
        let ids = match &select.event_ids {
            Some(ids) => {
                let ids: Result<Vec<EventId>, _> = ids.iter().map(|id| id.parse()).collect();
                Some(ids.map_err(|error| error.to_string())?)
            }
            None => None,
        };
        let reason = match &select.reason {
            Some(name) => {
                Some(DeadReason::from_name(name).ok_or_else(|| format!("`{name}` is no reason"))?)
            }
            None => None,
        };
        let of = job.subscription.as_deref().unwrap_or(&job.to);
        Ok(Self {
            filter: EventFilter {
                source: select.source.clone(),
                kind: select.kind.clone(),
                key: select.key.clone(),
                since: at(&select.since)?,
                until: at(&select.until)?,
                from: Some(Offset(job.from)),
                to: Some(Offset(job.until)),
            },
            ids,
            // A reason is one of dead letters.
            status: if reason.is_some() {
                JobStatus::Dead
            } else {
                select.status
            },
            reason,
            of: of.into(),
            to: job.to.as_str().into(),
            ranges: kept.ranges.clone(),
            sight: kept.sight,
            frozen_at: time::parse(&job.created_at).map_err(|error| error.to_string())?,
        })
    }

    /// The dead letters among which it chooses.
    pub(super) fn dead_filter(&self) -> DeadFilter {
        DeadFilter {
            subscription: Some(self.of.to_string()),
            kind: self.filter.kind.clone(),
            reason: self.reason,
            sight: self.sight,
            until: Some(self.frozen_at.plus_ms(1)),
            ..DeadFilter::default()
        }
    }

    /// Whether to make a delivery of `event`, which fits the filter. Blocks on the disk.
    pub(super) fn choose(&self, event: &Event, known: &Known<'_>) -> Result<Choice, Error> {
        let Some(to) = known.plan.subscriptions.get(&self.to) else {
            return Ok(Choice::Other);
        };
        let place = known.plan.place(to, event);
        if !self.is_in_range(place.partition, event.offset) {
            return Ok(Choice::Other);
        }
        let mut dead_chain = None;
        match self.status {
            JobStatus::Any => {
                let of = known.plan.subscriptions.get(&self.of);
                let takes = |of: &Arc<_>| takes(of, event);
                if !of.is_some_and(takes) {
                    return Ok(Choice::Other);
                }
            }
            JobStatus::Delivered => {
                let history = known.store.history(event.offset)?;
                if became(&history, &self.of) != Some(Verdict::Delivered) {
                    return Ok(Choice::Other);
                }
            }
            JobStatus::Dead => {
                let history = known.store.history(event.offset)?;
                let filter = self.dead_filter();
                let mut letters = history.dead.iter();
                let Some(dead) = letters.find(|dead| filter.matches(dead, &event.kind)) else {
                    return Ok(Choice::Other);
                };
                dead_chain = (self.of == self.to).then_some(dead.chain);
            }
        }
        let is_past = known
            .cursors
            .get(&place.partition)
            .is_some_and(|cursor| event.offset < *cursor);
        // What is at the cursor or after it may be on its way; only a record says that it is not.
        if !is_past && became(&known.store.history(event.offset)?, &self.to).is_none() {
            return Ok(Choice::Waits);
        }
        Ok(Choice::Taken(Pick {
            id: event.id,
            offset: event.offset,
            place,
            dead_chain,
        }))
    }

    fn is_in_range(&self, partition: u16, offset: Offset) -> bool {
        let Some(ranges) = &self.ranges else {
            return true;
        };
        let range = ranges.get(&partition);
        range.is_some_and(|(from, until)| (*from..*until).contains(&offset))
    }
}

fn takes(subscription: &subscription::Subscription, event: &Event) -> bool {
    subscription.select(event) == subscription::Selection::Taken
}

/// How the delivery of an event for `subscription` ended; `None` when it has not.
fn became(history: &History, subscription: &str) -> Option<Verdict> {
    let waits = history.waiting.iter();
    if waits
        .into_iter()
        .any(|row| *row.key.subscription == *subscription)
    {
        return None;
    }
    if history
        .dead
        .iter()
        .any(|dead| *dead.key.subscription == *subscription)
    {
        return Some(Verdict::Dead);
    }
    let own = history.attempts.iter();
    let own = own.filter(|attempt| *attempt.key.subscription == *subscription);
    let last = own.max_by_key(|attempt| (attempt.chain, attempt.n))?;
    matches!(last.verdict, Verdict::Delivered | Verdict::Dead).then_some(last.verdict)
}
