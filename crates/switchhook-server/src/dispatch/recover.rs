//! What the store knows of each subscription when it comes into force.
//!
//! Where the layout of a subscription is another one than its rows were written for (its partitions, or whether its order
//! is strict), the rows are written anew with their new place, and its cursors with them. A crash in the middle leaves
//! the old layout noted, so the next start does it again; rows that have moved already move to where they are.

use std::collections::BTreeMap;
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
    lay_out(store, plan)?;
    let mut known = Known {
        breakers: by_endpoint(store.breakers()?),
        paused: store.pauses()?.into_keys().collect(),
        ..Known::default()
    };
    for cursor in store.cursors()? {
        if plan.subscriptions.contains_key(&cursor.subscription) {
            let recovered = partition(store, &cursor)?;
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

fn partition(store: &dyn Store, cursor: &Cursor) -> Result<Recovered, Error> {
    let Cursor {
        subscription,
        partition,
        offset,
        member,
    } = cursor;
    Ok(Recovered {
        cursor: *offset,
        member: member.clone(),
        settled: store.settled_from(subscription, *partition, *offset)?,
        keys: store.keys(subscription, *partition)?,
    })
}

/// Moves the rows and cursors of every subscription whose layout has changed.
fn lay_out(store: &dyn Store, plan: &Plan) -> Result<(), Error> {
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
    }
    Ok(())
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
