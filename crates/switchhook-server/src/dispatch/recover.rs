//! What the store knows of each subscription when it comes into force.
//!
//! Where the layout of a subscription is another one than its rows were written for (its partitions, or whether its order
//! is strict), the rows are written anew with their new place, and its cursors with them. A crash in the middle leaves
//! the old layout noted, so the next start does it again; rows that have moved already move to where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};

use switchhook_core::breaker;
use switchhook_core::delivery::{Cursor, Dead, Gap, Records, Waiting};
use switchhook_core::engine::{Known, Recovered};
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::subscription::{Start, Subscription};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Layout;
use switchhook_store::query::{DeadFilter, DeadPosition, Limit};
use switchhook_store::{Batch, Error, Store};

/// Rows that are written anew in one batch, and bytes of the events read for it.
const PAGE: Limit = Limit {
    items: 512,
    bytes: 8 * 1024 * 1024,
};

/// Reads it for all subscriptions of `plan`. Blocks on the disk.
pub(super) fn all(store: &dyn Store, plan: &Plan) -> Result<Known, Error> {
    let laid_out = lay_out(store, plan)?;
    let mut known = Known {
        breakers: by_endpoint(store.breakers()?),
        paused: store.pauses()?.into_keys().collect(),
        ..Known::default()
    };
    let mut shared = Shared::default();
    for cursor in store.cursors()? {
        if plan.subscriptions.contains_key(&cursor.subscription) {
            let is_laid_out = laid_out.contains(&cursor.subscription);
            let recovered = Recovered {
                cursor: cursor.offset,
                member: cursor.member.clone(),
                settled: shared.settled(store, &cursor, is_laid_out)?,
                keys: store.keys(&cursor.subscription, cursor.partition)?,
            };
            let lane = (cursor.subscription, cursor.partition);
            known.lanes.insert(lane, recovered);
        }
    }
    for (name, subscription) in &plan.subscriptions {
        if let Start::Since(time) = subscription.start
            && !known.lanes.contains_key(&(name.clone(), 0))
        {
            known.starts.insert(name.clone(), store.offset_at(time)?);
        }
    }
    Ok(known)
}

fn by_endpoint(records: Vec<breaker::Record>) -> BTreeMap<Arc<str>, breaker::Record> {
    let named = records.into_iter();
    named
        .map(|record| (record.endpoint.clone(), record))
        .collect()
}

/// What is settled after the cursor of the last partition. What partitions with the same cursor know, they share: where
/// another layout let them all begin at the lowest cursor of before, it may be as much as the log is long.
#[derive(Default)]
struct Shared {
    of: Option<(Arc<str>, Offset)>,
    settled: Arc<BTreeSet<Offset>>,
}

impl Shared {
    /// For the partition with this cursor. `is_laid_out`: all partitions of the subscription know the same.
    fn settled(
        &mut self,
        store: &dyn Store,
        cursor: &Cursor,
        is_laid_out: bool,
    ) -> Result<Arc<BTreeSet<Offset>>, Error> {
        let of = (cursor.subscription.clone(), cursor.offset);
        let is_same = self.of.as_ref() == Some(&of);
        if !(is_same && is_laid_out) {
            let settled = store.settled_from(&of.0, cursor.partition, of.1)?;
            // Of one cursor they differ in how far they reach, and what is beyond that is no less settled.
            if !is_same || settled.len() > self.settled.len() {
                self.settled = settled.into();
            }
        }
        self.of = Some(of);
        Ok(self.settled.clone())
    }
}

/// Moves the rows and cursors of every subscription whose layout has changed; these.
fn lay_out(store: &dyn Store, plan: &Plan) -> Result<BTreeSet<Arc<str>>, Error> {
    let mut laid_out = BTreeSet::new();
    let noted = store.layouts()?;
    let mut partitions: BTreeMap<Arc<str>, u16> = BTreeMap::new();
    for cursor in store.cursors()? {
        let count = partitions.entry(cursor.subscription).or_default();
        *count = count.saturating_add(1);
    }
    for (name, subscription) in &plan.subscriptions {
        let text = plan.layout(subscription);
        let before = noted.get(name).map_or(SINGLE, |text| &**text);
        let wanted = plan.partitions(subscription);
        let there = partitions.get(name).copied().unwrap_or(wanted);
        if before == text && there == wanted {
            continue;
        }
        if partitions.contains_key(name) {
            // Whatever the plan is at the next start: until all have moved, they have to.
            note(store, name, there, MOVING)?;
            move_rows(store, plan, subscription)?;
            move_halting_letters(store, plan, subscription)?;
        }
        note(store, name, wanted, &text)?;
        laid_out.insert(name.clone());
    }
    Ok(laid_out)
}

/// The layout of a subscription of which none is noted: one endpoint.
const SINGLE: &str = "keys 1";

/// The layout of one whose rows are being moved. No plan has it.
const MOVING: &str = "moving";

fn note(
    store: &dyn Store,
    subscription: &Arc<str>,
    partitions: u16,
    text: &str,
) -> Result<(), Error> {
    let layout = Layout {
        subscription: subscription.clone(),
        partitions,
        text: text.into(),
    };
    write(
        store,
        Batch {
            layouts: vec![layout],
            ..Batch::default()
        },
    )
}

fn move_rows(store: &dyn Store, plan: &Plan, subscription: &Subscription) -> Result<(), Error> {
    let mut from = Offset(0);
    loop {
        let rows = store.waiting(&subscription.name, from, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        from = last.key.offset.next();
        let moved = rows.into_iter().filter_map(|(row, event)| {
            let place = plan.place(subscription, &event);
            // Without a key there is nothing any more that it could wait behind.
            let due_at = match place.key {
                None if row.due_at == UnixMs::NEVER => event.received_at,
                None | Some(_) => row.due_at,
            };
            (row.place != place).then_some(Waiting {
                place,
                due_at,
                ..row
            })
        });
        let records = Records {
            waiting: moved.collect(),
            ..Records::default()
        };
        write(
            store,
            Batch {
                records,
                ..Batch::default()
            },
        )?;
    }
}

fn move_halting_letters(
    store: &dyn Store,
    plan: &Plan,
    subscription: &Subscription,
) -> Result<(), Error> {
    let filter = DeadFilter {
        subscription: Some(subscription.name.to_string()),
        ..DeadFilter::default()
    };
    let mut after = None;
    loop {
        let letters = store.dead(&filter, after.as_ref(), PAGE)?;
        let Some(last) = letters.last() else {
            return Ok(());
        };
        after = Some(DeadPosition {
            at: last.dead.at,
            key: last.dead.key.clone(),
        });
        let halting = letters
            .into_iter()
            .filter(|letter| letter.dead.gap == Gap::Halted);
        let moved = halting.map(|letter| Dead {
            place: plan.place(subscription, &letter.event),
            ..letter.dead
        });
        let records = Records {
            dead: moved.collect(),
            ..Records::default()
        };
        write(
            store,
            Batch {
                records,
                ..Batch::default()
            },
        )?;
    }
}

/// Writes a batch and waits for it.
fn write(store: &dyn Store, batch: Batch) -> Result<(), Error> {
    let (done, answer) = mpsc::sync_channel(1);
    store.submit(
        batch,
        Box::new(move |receipt| {
            let _nobody = done.send(receipt);
        }),
    );
    answer.recv().unwrap_or(Err(Error::Closed)).map(drop)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use switchhook_core::delivery::{Attempt, DeliveryKey, OutcomeKind, Verdict};
    use switchhook_core::id::EventId;
    use switchhook_store::batch::NewEvent;
    use switchhook_store::memory::Memory;
    use switchhook_wire::config::load_toml;

    use super::*;

    fn plan(partitions: u16) -> Plan {
        let text = format!(
            "[source.web]\nverify = {{ scheme = \"none\" }}\n[endpoint.crm]\nurl = \"https://example.com/\"\n\
             [group.pool]\nmembers = [\"crm\"]\npartitions = {partitions}\n\
             [subscription.shared]\nsources = [\"web\"]\ngroup = \"pool\"\n"
        );
        let loaded = load_toml(&text, "c.toml", &|_| None);
        loaded.config.expect("it is valid").plan
    }

    fn delivered(n: u64) -> Attempt {
        Attempt {
            key: DeliveryKey {
                subscription: "shared".into(),
                offset: Offset(n),
            },
            partition: 1,
            chain: 0,
            n: 1,
            endpoint: "crm".into(),
            at: UnixMs(0),
            duration_ms: 1,
            outcome: OutcomeKind::Status(200),
            rule: "default: 2xx".into(),
            verdict: Verdict::Delivered,
            detail: None,
            next_at: None,
        }
    }

    #[test]
    fn partitions_of_a_new_layout_share_what_they_know_to_be_settled() {
        let store = Memory::new();
        let cursor = |partition, offset| Cursor {
            subscription: "shared".into(),
            partition,
            offset: Offset(offset),
            member: None,
        };
        let event = |n: u64| NewEvent {
            id: EventId(uuid::Uuid::from_u128(u128::from(n))),
            source: "web".into(),
            kind: "Text".into(),
            key: None,
            received_at: UnixMs(n),
            headers: Arc::from([]),
            body: Bytes::from_static(b"{}"),
            dedup: None,
        };
        let before = Batch {
            events: (1..=900).map(event).collect(),
            records: Records {
                attempts: (2..=900).map(delivered).collect(),
                cursors: vec![cursor(0, 1), cursor(1, 901)],
                ..Records::default()
            },
            ..Batch::default()
        };
        write(&store, before).unwrap();
        // The second time the layout is as it should be: partitions with one cursor share all the same.
        for _ in 0..2 {
            let known = all(&store, &plan(8)).unwrap();
            let mut lanes = known.lanes.values();
            let first = lanes.next().unwrap();
            assert_eq!((known.lanes.len(), first.settled.len()), (8, 899));
            assert!(lanes.all(|lane| Arc::ptr_eq(&lane.settled, &first.settled)));
        }
    }
}
