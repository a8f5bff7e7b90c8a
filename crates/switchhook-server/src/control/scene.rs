//! Everything that is known of the deliveries of one event: read once, then judged by [`standing`](super::standing).
//!
//! Dispatch is asked before the store is read, and cursors are read before rows: what settles in between shows its
//! record, never a cursor that has passed it. Bounds: one trace per subscription of the plan and per one that has left
//! something; attempts are bounded by the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchhook_core::delivery::{WaitReason, Waiting};
use switchhook_core::engine::{EndpointNow, LaneNow, Located};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::sight::Sight;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Pause;
use switchhook_store::query::{History, Limit};
use switchhook_store::{Error, Store};
use switchhook_wire::api::Behind;

use super::Control;
use super::answer::Answer;
use super::standing::{Facts, Trace};

/// See the module.
pub(super) struct Scene {
    pub(super) event: Arc<Event>,
    pub(super) plan: Arc<Plan>,
    pub(super) now: UnixMs,
    located: BTreeMap<Arc<str>, Located>,
    endpoints: BTreeMap<Arc<str>, EndpointNow>,
    /// Of the partition that the event is in, by subscription.
    lanes: BTreeMap<Arc<str>, LaneNow>,
    read: Read,
    /// Events that others wait for, by offset.
    waited_for: BTreeMap<Offset, Behind>,
}

/// What the store holds.
struct Read {
    cursors: BTreeMap<(Arc<str>, u16), Offset>,
    pauses: BTreeMap<Arc<str>, Pause>,
    history: History,
    /// By subscription, the earlier event that a row waits for which dispatch does not have in memory.
    behind: BTreeMap<Arc<str>, Offset>,
}

/// Busy keys of a partition among which is looked for what a row waits for: with more, a look would cost the gateway
/// more than the answer is worth to the one who asks.
const KEYS_MAX: usize = 10_000;

impl Scene {
    /// With results as `sight` sees them.
    pub(super) async fn of(control: &Control, event: Arc<Event>, sight: Sight) -> Answer<Self> {
        let gateway = &control.gateway;
        let plan = gateway.plan.load_full();
        let located = gateway.dispatch.locate(event.clone()).await?;
        let snapshot = gateway.dispatch.snapshot().await?;
        let now = gateway.clock.now();
        let is_its = |lane: &LaneNow| {
            let subscription = plan.subscriptions.get(&lane.subscription);
            subscription.is_some_and(|subscription| {
                plan.place(subscription, &event).partition == lane.partition
            })
        };
        let own = snapshot.lanes.into_iter().filter(is_its);
        let lanes: BTreeMap<_, _> = own.map(|lane| (lane.subscription.clone(), lane)).collect();
        let of_lanes = lanes.clone();
        let offset = event.offset;
        let mut scene = Self {
            event,
            plan,
            now,
            located,
            endpoints: snapshot
                .endpoints
                .into_iter()
                .map(|endpoint| (endpoint.endpoint.clone(), endpoint))
                .collect(),
            lanes,
            waited_for: BTreeMap::new(),
            read: control
                .read(move |store| Read::of(store, offset, &of_lanes, sight))
                .await?,
        };
        let behind = scene.read.behind.iter();
        for (name, earlier) in behind {
            // What dispatch has in memory is fresher.
            let located = scene.located.entry(name.clone());
            let located = located.or_insert(Located::Elsewhere);
            if *located == Located::Elsewhere {
                *located = Located::Behind(*earlier);
            }
        }
        scene.read_waited_for(control).await?;
        Ok(scene)
    }

    /// Looks up the events that others wait for.
    async fn read_waited_for(&mut self, control: &Control) -> Answer<()> {
        let wanted: BTreeSet<Offset> = self
            .located
            .values()
            .filter_map(|located| match located {
                Located::Behind(offset) => Some(*offset),
                Located::NotReached | Located::Queued | Located::UnderWay | Located::Elsewhere => {
                    None
                }
            })
            .collect();
        if !wanted.is_empty() {
            let read = control.read(move |store| waited_for(store, &wanted));
            self.waited_for = read.await?;
        }
        Ok(())
    }

    /// By subscription: those of the plan, and those that have left something.
    pub(super) fn traces(&self) -> BTreeMap<&str, Trace<'_>> {
        traces(&self.read.history, self.plan.subscriptions.keys())
    }

    /// What is known of the delivery for `name`, of which the store has `trace`.
    pub(super) fn facts<'f>(&'f self, name: &str, trace: &'f Trace<'f>) -> Facts<'f> {
        let subscription = self.plan.subscriptions.get(name);
        let partition = subscription
            .map(|subscription| self.plan.place(subscription, &self.event).partition)
            .unwrap_or_default();
        Facts {
            event: &self.event,
            subscription: subscription.map(|subscription| &**subscription),
            cursor: self.read.cursors.get(&(name.into(), partition)).copied(),
            located: self.located.get(name).copied(),
            endpoint: self.endpoint(name),
            pause: self.read.pauses.get(name),
            now: self.now,
            trace,
        }
    }

    /// The endpoint that works on the event's partition of `subscription`.
    pub(super) fn endpoint(&self, subscription: &str) -> Option<&EndpointNow> {
        let lane = self.lanes.get(subscription)?;
        self.endpoints.get(lane.endpoint.as_ref()?)
    }

    /// The event at `offset`, which a delivery waits for.
    pub(super) fn behind(&self, offset: Offset) -> Behind {
        let known = self.waited_for.get(&offset).cloned();
        known.unwrap_or(Behind {
            event_id: None,
            offset: offset.0,
        })
    }
}

impl Read {
    fn of(
        store: &dyn Store,
        offset: Offset,
        lanes: &BTreeMap<Arc<str>, LaneNow>,
        sight: Sight,
    ) -> Result<Self, Error> {
        let cursors = store.cursors()?.into_iter();
        let cursors = cursors
            .map(|cursor| ((cursor.subscription, cursor.partition), cursor.offset))
            .collect();
        let (pauses, mut history) = (store.pauses()?, store.history(offset)?);
        for attempt in &mut history.attempts {
            *attempt = sight.attempt(attempt);
        }
        for dead in &mut history.dead {
            *dead = sight.dead(dead);
        }
        let mut behind = BTreeMap::new();
        for row in &history.waiting {
            let name = &row.key.subscription;
            let few = lanes.get(name).is_some_and(|lane| lane.keys <= KEYS_MAX);
            if row.reason == WaitReason::Order
                && few
                && let Some(earlier) = stands_before(store, row)?
            {
                behind.insert(name.clone(), earlier);
            }
        }
        Ok(Self {
            cursors,
            pauses,
            history,
            behind,
        })
    }
}

/// The first delivery that keeps the key of `row` from going on.
fn stands_before(store: &dyn Store, row: &Waiting) -> Result<Option<Offset>, Error> {
    let keys = store.keys(&row.key.subscription, row.place.partition)?;
    let own = row.place.key.and_then(|key| keys.get(&key));
    let offsets = own.map(|own| own.waiting.iter().chain(&own.halted));
    let earlier = offsets.into_iter().flatten().copied();
    Ok(earlier.filter(|offset| *offset < row.key.offset).min())
}

fn waited_for(
    store: &dyn Store,
    offsets: &BTreeSet<Offset>,
) -> Result<BTreeMap<Offset, Behind>, Error> {
    let one = Limit { items: 1, bytes: 1 };
    let mut found = BTreeMap::new();
    for &offset in offsets {
        let next = store.read_log(offset, one)?.into_iter().next();
        let event = next.filter(|event| event.offset == offset);
        let behind = Behind {
            event_id: event.map(|event| event.id.to_string()),
            offset: offset.0,
        };
        found.insert(offset, behind);
    }
    Ok(found)
}

fn traces<'h>(
    history: &'h History,
    planned: impl Iterator<Item = &'h Arc<str>>,
) -> BTreeMap<&'h str, Trace<'h>> {
    let mut traces: BTreeMap<&str, Trace<'_>> =
        planned.map(|name| (&**name, Trace::default())).collect();
    for attempt in &history.attempts {
        let trace = traces.entry(&attempt.key.subscription).or_default();
        trace.attempts.push(attempt);
    }
    for waiting in &history.waiting {
        traces.entry(&waiting.key.subscription).or_default().waiting = Some(waiting);
    }
    for dead in &history.dead {
        traces.entry(&dead.key.subscription).or_default().dead = Some(dead);
    }
    for trace in traces.values_mut() {
        trace
            .attempts
            .sort_by_key(|attempt| (attempt.chain, attempt.n));
    }
    traces
}
