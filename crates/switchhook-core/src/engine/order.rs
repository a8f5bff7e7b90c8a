//! Order inside a lane: of each key one delivery at a time, in the order of the log.
//!
//! The first of a key is its *head*: ready, under way, or waiting for its next attempt. Those behind it wait in
//! memory while the head is about to be sent, and get rows when it is not: a key that fails must not keep the
//! cursor back, nor fill the memory of the lane that other keys need. Held rows come back a few at a time when
//! the head is settled; the store makes them due in the same commit.
//!
//! With [`Order::Strict`] the whole lane is one key ([`crate::subscription::STRICT_KEY`]) and nothing that comes from the log gets a row behind
//! the head: the lane simply stands still.
//!
//! Invariants: of a key at most one delivery is ready or under way; what comes later in the log is never ready before
//! an earlier one that this lane took is settled. Replays take their place among those of their key that still wait.
//! Bounds: [`QUEUE_MAX`] deliveries of a key in memory from the log, [`RELEASE_MAX`] rows of a key come back at a time,
//! [`super::KEYS_MAX`] keys that are not free.

use std::collections::{BTreeMap, VecDeque};

use crate::delivery::WaitReason;
use crate::group::KeyHash;
use crate::id::Offset;
use crate::subscription::Order;

use super::KeyRows;
use super::lane::Pending;

/// Most deliveries of one key that wait in memory behind its head; further ones get rows. A key rarely has more
/// events close together, and one that has must not take the room of the others.
pub(super) const QUEUE_MAX: usize = 32;
/// Most held rows of one key that come back at a time: with [`super::DUE_MAX`] rows in memory, eight keys go on at once.
pub(super) const RELEASE_MAX: u32 = 16;
/// Most held rows that come back at a time where there is no order any more: a commit of a few milliseconds, and many
/// reads' worth of work. A million at once would keep the disk from everybody else for seconds.
pub(super) const FREED_MAX: u32 = 1_024;

/// What becomes of a delivery that has come to its key.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is the head: send it.
    Ready(Pending),
    /// It waits in memory.
    Queued,
    /// It waits with a row that has reason `order`, which is to be written.
    Held(Pending),
}

/// What follows when the head of a key is settled.
#[derive(Debug)]
pub(super) enum Then {
    /// This one is the head now.
    Ready(Pending),
    /// So many held rows of the key are to become due.
    Release(u32),
    /// Nothing.
    Nothing,
}

/// The state of one key.
#[derive(Debug, Default)]
struct Key {
    /// The one that is ready or under way.
    head: Option<Offset>,
    /// Behind it, in memory, by offset.
    queue: VecDeque<Pending>,
    /// On disk and not in memory.
    rows: KeyRows,
}

impl Key {
    /// Whether something on disk has to be settled before what comes from the log.
    fn is_held_up(&self) -> bool {
        self.rows != KeyRows::default()
    }

    fn is_free(&self) -> bool {
        self.head.is_none() && self.queue.is_empty() && !self.is_held_up()
    }

    fn enqueue(&mut self, pending: Pending) {
        let at = self
            .queue
            .partition_point(|queued| queued.event.offset < pending.event.offset);
        self.queue.insert(at, pending);
    }
}

/// The keys of a lane that are not free.
#[derive(Debug)]
pub(super) struct Keys {
    order: Order,
    keys: BTreeMap<KeyHash, Key>,
    /// Deliveries in queues that have no row, and that have one.
    queued_fresh: usize,
    queued_rows: usize,
    /// Rows that were held when the order was another one, and are to come back now that it is none.
    unordered_rows: u64,
    /// After a restart: the log is not read again yet up to where the process died. An event that waited in memory
    /// without a row must get one before a later one of its key is released.
    recovering: bool,
}

impl Keys {
    pub(super) fn new(order: Order, known: &BTreeMap<KeyHash, KeyRows>, recovering: bool) -> Self {
        let keys = known.iter().filter(|_| order != Order::None);
        let key = |rows: &KeyRows| Key {
            rows: rows.clone(),
            ..Key::default()
        };
        Self {
            order,
            keys: keys.map(|(hash, rows)| (*hash, key(rows))).collect(),
            queued_fresh: 0,
            queued_rows: 0,
            unordered_rows: known
                .values()
                .filter(|_| order == Order::None)
                .map(|rows| u64::from(rows.held))
                .sum(),
            recovering: recovering && order == Order::Key,
        }
    }

    pub(super) const fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// The log is about to be read again from an earlier position. A strict lane could not wait for that: it reads no
    /// further than its memory reaches.
    pub(super) fn recover(&mut self) {
        self.recovering = self.order == Order::Key;
    }

    /// The log is read up to where the process died: what follows for the keys with held rows and without a head.
    pub(super) fn resume(&mut self) -> Vec<(KeyHash, Then)> {
        self.recovering = false;
        let held = |(hash, key): (&KeyHash, &Key)| (key.rows.held > 0).then_some(*hash);
        let held: Vec<KeyHash> = self.keys.iter().filter_map(held).collect();
        held.into_iter()
            .map(|hash| (hash, self.advance(hash)))
            .collect()
    }

    /// How many of the rows that were held when the order was another one come back now: a step of at most [`FREED_MAX`],
    /// or none any more.
    pub(super) fn free_unordered_rows(&mut self) -> Option<u32> {
        let step = self.unordered_rows.min(u64::from(FREED_MAX));
        self.unordered_rows = self.unordered_rows.saturating_sub(step);
        u32::try_from(step).ok().filter(|step| *step > 0)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Deliveries from the log that wait in memory behind their head.
    pub(super) const fn queued_fresh(&self) -> usize {
        self.queued_fresh
    }

    /// Deliveries with a row that wait in memory behind their head.
    pub(super) const fn queued_rows(&self) -> usize {
        self.queued_rows
    }

    /// A delivery comes from the log.
    pub(super) fn arrive(&mut self, pending: Pending) -> Turn {
        let Some(hash) = pending.place.key.filter(|_| self.order != Order::None) else {
            return Turn::Ready(pending);
        };
        let key = self.keys.entry(hash).or_default();
        if key.is_free() {
            key.head = Some(pending.event.offset);
            return Turn::Ready(pending);
        }
        if self.order == Order::Key && (key.is_held_up() || key.queue.len() >= QUEUE_MAX) {
            key.rows.held = key.rows.held.saturating_add(1);
            return Turn::Held(pending);
        }
        self.queued_fresh = self.queued_fresh.saturating_add(1);
        key.enqueue(pending);
        Turn::Queued
    }

    /// A delivery comes back from its row, which has `reason`.
    pub(super) fn come_back(&mut self, pending: Pending, reason: WaitReason) -> Turn {
        let Some(hash) = pending.place.key.filter(|_| self.order != Order::None) else {
            return Turn::Ready(pending);
        };
        let offset = pending.event.offset;
        let key = self.keys.entry(hash).or_default();
        let waited = remove(&mut key.rows.waiting, offset);
        if reason == WaitReason::Order {
            key.rows.released = key.rows.released.saturating_sub(1);
        }
        if key.head.is_some() {
            self.queued_rows = self.queued_rows.saturating_add(1);
            key.enqueue(pending);
            return Turn::Queued;
        }
        // A replay does not overtake the one that waits for its next attempt.
        let must_wait = if waited {
            let is_before = |other: &Offset| *other < offset;
            reason == WaitReason::Replay && key.rows.waiting.iter().any(is_before)
        } else {
            let is_halted = !key.rows.halted.is_empty() && !key.rows.halted.contains(&offset);
            is_halted || !key.rows.waiting.is_empty()
        };
        if must_wait {
            // If it halted the key, it holds it as a row now.
            remove(&mut key.rows.halted, offset);
            key.rows.held = key.rows.held.saturating_add(1);
            return Turn::Held(pending);
        }
        key.head = Some(offset);
        Turn::Ready(pending)
    }

    /// The delivery at `offset` is done, given up, or discarded.
    pub(super) fn settle(&mut self, key: Option<KeyHash>, offset: Offset) -> Then {
        let Some((hash, key)) = self.find(key) else {
            return Then::Nothing;
        };
        if key.head == Some(offset) {
            key.head = None;
        }
        remove(&mut key.rows.waiting, offset);
        remove(&mut key.rows.halted, offset);
        self.advance(hash)
    }

    /// What follows for a key whose head has gone to wait or has halted it.
    pub(super) fn go_on(&mut self, key: Option<KeyHash>) -> Then {
        key.map_or(Then::Nothing, |hash| self.advance(hash))
    }

    /// The dead letter at `offset` is no more. A replay of it that is under way goes on.
    pub(super) fn discard(&mut self, key: Option<KeyHash>, offset: Offset) -> Then {
        let Some((hash, key)) = self.find(key) else {
            return Then::Nothing;
        };
        remove(&mut key.rows.halted, offset);
        self.advance(hash)
    }

    /// The head waits with a row; returns those behind it that get rows too.
    pub(super) fn wait(&mut self, key: Option<KeyHash>, offset: Offset) -> Vec<Pending> {
        let Some((hash, key)) = self.find(key) else {
            return Vec::new();
        };
        if key.head == Some(offset) {
            key.head = None;
        }
        key.rows.waiting.push(offset);
        self.hold_queue(hash)
    }

    /// The head was given up and halts its key; returns those behind it that get rows.
    pub(super) fn halt(&mut self, key: Option<KeyHash>, offset: Offset) -> Vec<Pending> {
        let Some((hash, key)) = self.find(key) else {
            return Vec::new();
        };
        if key.head == Some(offset) {
            key.head = None;
        }
        if !key.rows.halted.contains(&offset) {
            key.rows.halted.push(offset);
        }
        self.hold_queue(hash)
    }

    /// Those that wait behind a head get rows: in the queue that has the delivery at `offset`, or in the longest one.
    pub(super) fn relieve(&mut self, offset: Option<Offset>) -> Vec<Pending> {
        let has = |key: &Key| match offset {
            Some(offset) => key.queue.iter().any(|p| p.event.offset == offset),
            None => !key.queue.is_empty(),
        };
        let keys = self.keys.iter().filter(|(_, key)| has(key));
        let longest = keys.max_by_key(|(_, key)| key.queue.len());
        match longest.map(|(hash, _)| *hash) {
            Some(hash) => self.hold_queue(hash),
            None => Vec::new(),
        }
    }

    /// Lets go of those without a row that wait in memory and lie before `to`.
    pub(super) fn skip_to(&mut self, to: Offset) -> Vec<Pending> {
        let mut skipped = Vec::new();
        for key in self.keys.values_mut() {
            let (gone, stay): (Vec<Pending>, Vec<Pending>) = std::mem::take(&mut key.queue)
                .into_iter()
                .partition(|p| p.row.is_none() && p.event.offset < to);
            key.queue = stay.into();
            skipped.extend(gone);
        }
        self.forget_queued(skipped.iter());
        skipped
    }

    /// Lets go of every delivery that is in memory and not under way: `ready` are those that were heads. What had a row
    /// is counted as being there again. Returns those that waited behind a head.
    pub(super) fn retire<'p>(&mut self, ready: impl Iterator<Item = &'p Pending>) -> Vec<Pending> {
        for pending in ready {
            if let Some((_, key)) = self.find(pending.place.key) {
                key.head = None;
                put_back(&mut key.rows, pending);
            }
        }
        let mut behind = Vec::new();
        for key in self.keys.values_mut() {
            let queue = std::mem::take(&mut key.queue);
            queue.iter().for_each(|p| put_back(&mut key.rows, p));
            behind.extend(queue);
        }
        (self.queued_fresh, self.queued_rows) = (0, 0);
        self.keys.retain(|_, key| !key.is_free());
        behind
    }

    /// The delivery that one of the key at `offset` would wait for: the first unsettled one before it.
    pub(super) fn behind(&self, key: Option<KeyHash>, offset: Offset) -> Option<Offset> {
        let key = key.and_then(|hash| self.keys.get(&hash))?;
        let stands = [&key.rows.waiting, &key.rows.halted].into_iter().flatten();
        let before = key.head.iter().chain(stands).copied();
        before.filter(|before| *before < offset).min()
    }

    fn find(&mut self, key: Option<KeyHash>) -> Option<(KeyHash, &mut Key)> {
        let hash = key?;
        self.keys.get_mut(&hash).map(|key| (hash, key))
    }

    fn advance(&mut self, hash: KeyHash) -> Then {
        let Some(key) = self.keys.get_mut(&hash) else {
            return Then::Nothing;
        };
        if key.head.is_some() || !key.rows.waiting.is_empty() {
            return Then::Nothing;
        }
        let halted = &key.rows.halted;
        let may_go = |p: &Pending| halted.is_empty() || halted.contains(&p.event.offset);
        // Of a strict lane only replays are held, and rows of a time with another order: they come before the log.
        let rows_first = self.order == Order::Strict
            && halted.is_empty()
            && (key.rows.released > 0 || key.rows.held > 0);
        let is_next = |p: &Pending| may_go(p) && (!rows_first || p.row.is_some());
        let ready = key.queue.iter().position(is_next);
        if let Some(next) = ready.and_then(|at| key.queue.remove(at)) {
            key.head = Some(next.event.offset);
            self.forget_queued(std::iter::once(&next));
            return Then::Ready(next);
        }
        if !halted.is_empty() {
            return Then::Nothing;
        }
        if key.rows.released > 0 || (self.recovering && key.rows.held > 0) {
            return Then::Nothing;
        }
        let items = key.rows.held.min(RELEASE_MAX);
        if items == 0 {
            self.keys.remove(&hash);
            return Then::Nothing;
        }
        key.rows.held = key.rows.held.saturating_sub(items);
        key.rows.released = items;
        Then::Release(items)
    }

    /// What waits behind the head of a key waits with a row from now on: everything, or with a strict order what has
    /// one already, since the memory for rows is needed for the head.
    fn hold_queue(&mut self, hash: KeyHash) -> Vec<Pending> {
        let is_strict = self.order == Order::Strict;
        let Some(key) = self.keys.get_mut(&hash) else {
            return Vec::new();
        };
        let (stay, queue): (Vec<Pending>, Vec<Pending>) = std::mem::take(&mut key.queue)
            .into_iter()
            .partition(|p| is_strict && p.row.is_none());
        key.queue = stay.into();
        let items = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        key.rows.held = key.rows.held.saturating_add(items);
        // The replay of one that halted the key holds it as a row now.
        for pending in &queue {
            remove(&mut key.rows.halted, pending.event.offset);
        }
        self.forget_queued(queue.iter());
        queue
    }

    fn forget_queued<'p>(&mut self, left: impl Iterator<Item = &'p Pending>) {
        for pending in left {
            let count = if pending.row.is_some() {
                &mut self.queued_rows
            } else {
                &mut self.queued_fresh
            };
            *count = count.saturating_sub(1);
        }
    }
}

fn put_back(rows: &mut KeyRows, pending: &Pending) {
    match pending.row {
        None | Some(WaitReason::Replay) => {}
        Some(WaitReason::Order) => rows.released = rows.released.saturating_add(1),
        Some(WaitReason::Retry | WaitReason::Hold | WaitReason::InFlight) => {
            rows.waiting.push(pending.event.offset);
        }
    }
}

fn remove(offsets: &mut Vec<Offset>, offset: Offset) -> bool {
    let before = offsets.len();
    offsets.retain(|there| *there != offset);
    offsets.len() < before
}
