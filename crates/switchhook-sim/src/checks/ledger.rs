//! The books: every event in the log, and for every subscription where each of its deliveries is.
//!
//! They change only when something became durable, a request started or ended, or the process died. A
//! crash takes away what was in memory: requests under way and results that were not durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchhook_core::breaker;
use switchhook_core::delivery::{self, Cursor, OutcomeKind, Waiting};
use switchhook_core::event::Event;
use switchhook_core::group::Group;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::plan::Plan;
use switchhook_core::retry::{Action, Policy};
use switchhook_core::subscription::{Order, Start, Subscription};
use switchhook_core::time::UnixMs;

use super::order::Keys;
use super::{Checked, Invariant, Violation};
use crate::world::index;

/// What a sender meant by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) source: usize,
    /// `None` where the source knows no repeats.
    pub(crate) number: Option<u64>,
    pub(crate) window_ms: u64,
    pub(crate) body: u64,
}

/// An event in the log.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) event: Arc<Event>,
    /// When it became durable, in the world's milliseconds.
    pub(super) at_ms: u64,
}

/// Where a delivery is, as far as the disk knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Not for this subscription, or before it began.
    Elsewhere,
    /// In the log, with neither row nor result.
    Pending,
    /// It has a waiting row.
    Waiting,
    Delivered,
    Dead,
    /// An operator discarded its dead letter, or retention forgot it.
    Discarded,
    /// An operator sought past it.
    Skipped,
}

/// The index of what stands at `offset`.
pub(super) fn position(offset: Offset) -> usize {
    index(offset.0.saturating_sub(1))
}

/// One event for one subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) place: Place,
    /// The partition and the key, as the plan in force says.
    pub(super) stands: delivery::Place,
    /// The subscription's filter fails on it.
    pub(super) fails: bool,
    /// A person put it here: it has no place in the order of its key.
    pub(super) replayed: bool,
    /// It was given up and its key waits until it is settled, also while it is replayed.
    pub(super) halts: bool,
    pub(super) chain: u16,
    /// Attempts recorded in this chain.
    pub(super) n: u16,
    /// Those that count against the policy.
    pub(super) counted: u16,
    /// Whether any attempt of any chain was ever recorded.
    pub(super) recorded: bool,
    pub(super) in_flight: bool,
    /// Everything before this stood in no order with it, where it comes first now: see [`Account::stand_anew`].
    pub(super) apart_until: Offset,
    /// The process that has it in memory, waiting for a slot; 0 for none.
    pub(super) held_by: u32,
}

impl Cell {
    /// Its dead letter is no more. Nothing is left of one that was never tried: should the cursor be before it, it
    /// dies again.
    pub(super) const fn end_letter(&mut self) {
        self.place = Place::Discarded;
        self.halts = false;
        self.recorded &= self.chain > 0 || self.n > 0;
    }
}

/// How long a delivery has to wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wait {
    /// When the wait began, in the world's milliseconds.
    pub(super) from_ms: u64,
    pub(super) earliest_ms: u64,
    pub(super) latest_ms: u64,
    /// All forward jumps up to then.
    pub(super) forward_ms: u64,
    /// Behind an earlier delivery of its key, until that is released.
    pub(super) held: bool,
}

/// An attempt that has ended and is not recorded yet.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) chain: u16,
    pub(super) n: u16,
    pub(super) kind: OutcomeKind,
    pub(super) action: Action,
    /// It was a probe, and the endpoint is not back.
    pub(super) free: bool,
    /// The endpoint is closed with it until someone or something opens it: it never expires.
    pub(super) kept: bool,
    /// It was the last one that the policy allows.
    pub(super) last: bool,
    /// Whether its deadline has passed: surely, perhaps.
    pub(super) expired: (bool, bool),
    /// Whether the endpoint really gave the status that the gateway saw.
    pub(super) honest: bool,
    pub(super) wait: Wait,
}

/// The books of one subscription.
#[derive(Debug)]
pub(super) struct Account {
    /// As it is in force, or will be.
    pub(super) subscription: Arc<Subscription>,
    pub(super) group: Option<Arc<Group>>,
    pub(super) partitions: u16,
    pub(super) layout: String,
    /// Its rows and cursors are being moved: some stand where they did, some where they will.
    pub(super) moving: bool,
    /// Where it began; only what is on disk counts.
    pub(super) start: Option<Offset>,
    /// Where the present process lets it begin, until that is on disk.
    pub(super) begins: Option<Offset>,
    /// Of each partition, once it has begun.
    pub(super) cursors: BTreeMap<u16, Offset>,
    /// Order per key: what is open, what is under way.
    pub(super) keys: Keys,
    /// Where an operator last sought to, by partition.
    pub(super) sought: BTreeMap<u16, Offset>,
    /// Whether it is paused, as the process was told, and as the disk says.
    pub(super) paused: bool,
    pub(super) paused_on_disk: bool,
    /// Whether the plan in force wants anything sent.
    pub(super) enabled: bool,
    /// When it last went on, in the world's milliseconds.
    pub(super) resumed_ms: u64,
    /// The delivery of the event at offset `n` stands at `n - 1`.
    pub(super) cells: Vec<Cell>,
    /// For each waiting row.
    pub(super) waits: BTreeMap<Offset, Wait>,
    pub(super) ended: BTreeMap<Offset, Ended>,
    /// Deadlines of replayed deliveries.
    pub(super) deadlines: BTreeMap<Offset, UnixMs>,
    /// Shortest and longest age that a policy ever gave it.
    pub(super) age_ms: (u64, u64),
    pub(super) attempts_max: u16,
    /// Deliveries in memory that wait for a slot, by partition.
    pub(super) held: BTreeMap<u16, usize>,
    /// One past the last position that was handed to the engine, by partition.
    pub(super) handed: BTreeMap<u16, Offset>,
}

/// All books. See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(super) log: Vec<Logged>,
    pub(super) offsets: BTreeMap<EventId, Offset>,
    /// By source and number: the event that holds the identity, and until when.
    pub(super) holders: BTreeMap<(usize, u64), (EventId, UnixMs)>,
    pub(super) identities: BTreeMap<EventId, Identity>,
    pub(super) accounts: Vec<Account>,
    pub(super) numbers: BTreeMap<Arc<str>, usize>,
    /// Positions whose event retention has taken.
    pub(super) gone: BTreeSet<Offset>,
    /// Whether retention has ever taken attempts.
    pub(super) has_forgotten: bool,
    /// The gates that have something to keep.
    pub(super) breakers: BTreeMap<Arc<str>, breaker::Record>,
    /// Acknowledged since the last audit.
    pub(super) acknowledged: Vec<EventId>,
    /// Attempts that became durable.
    pub(super) attempts: u64,
}

impl Ledger {
    pub(crate) fn new(plan: &Plan) -> Self {
        let account = |subscription: &Arc<Subscription>| Account {
            subscription: subscription.clone(),
            group: plan.group_of(subscription).cloned(),
            partitions: plan.partitions(subscription),
            layout: plan.layout(subscription),
            moving: false,
            start: None,
            begins: None,
            cursors: BTreeMap::new(),
            keys: Keys::default(),
            sought: BTreeMap::new(),
            paused: false,
            paused_on_disk: false,
            enabled: true,
            resumed_ms: 0,
            cells: vec![],
            waits: BTreeMap::new(),
            ended: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            age_ms: (u64::MAX, 0),
            attempts_max: 0,
            held: BTreeMap::new(),
            handed: BTreeMap::new(),
        };
        let subscriptions = plan.subscriptions.values();
        Self {
            accounts: subscriptions.clone().map(account).collect(),
            numbers: subscriptions
                .enumerate()
                .map(|(n, s)| (s.name.clone(), n))
                .collect(),
            ..Self::default()
        }
    }

    /// A plan is in force from now on. What is new in it begins at `end` of the log, or at the earliest event.
    pub(crate) fn planned(&mut self, plan: &Plan, end: Offset, now_ms: u64) {
        for subscription in plan.subscriptions.values() {
            if let Some(account) = self.account_mut(&subscription.name) {
                if std::mem::replace(&mut account.enabled, subscription.enabled)
                    != subscription.enabled
                {
                    account.resumed_ms = now_ms;
                }
                account.begins.get_or_insert(match subscription.start {
                    Start::Earliest => Offset(1),
                    Start::Now | Start::At(_) | Start::Since(_) => end,
                });
            }
            if let Some(policy) = plan.policies.get(&subscription.policy) {
                self.governed(&subscription.name, policy);
            }
        }
    }

    /// A move has made these rows due: they have no key any more.
    pub(crate) fn freed<'r>(&mut self, rows: impl Iterator<Item = &'r Waiting>, now_ms: u64) {
        for row in rows.filter(|row| row.due_at < UnixMs::NEVER) {
            let account = self.account_mut(&row.key.subscription);
            let wait = account.and_then(|account| account.waits.get_mut(&row.key.offset));
            if let Some(wait) = wait.filter(|wait| wait.held) {
                (wait.held, wait.from_ms) = (false, now_ms);
            }
        }
    }

    /// The rows of a subscription are being moved.
    pub(crate) fn moves(&mut self, subscription: &str) {
        if let Some(account) = self.account_mut(subscription) {
            account.moving = true;
        }
    }

    /// The subscriptions of a plan stand on disk as it says; `cursors` are theirs by now.
    pub(crate) fn laid_out(&mut self, plan: &Plan, cursors: &[Cursor], now_ms: u64) -> Checked {
        let end = self.end();
        for subscription in plan.subscriptions.values() {
            let Some(number) = self.number(&subscription.name) else {
                continue;
            };
            let (log, accounts) = (&self.log, &mut self.accounts);
            let Some(account) = accounts.get_mut(number) else {
                continue;
            };
            let is_other_order = account.subscription.order != subscription.order;
            let layout = plan.layout(subscription);
            let is_other_layout = account.layout != layout;
            account.subscription = subscription.clone();
            account.group = plan.group_of(subscription).cloned();
            account.partitions = plan.partitions(subscription);
            account.layout = layout;
            let was_moving = std::mem::take(&mut account.moving);
            let is_other_layout = is_other_layout || was_moving;
            let is_strict = subscription.order == Order::Strict;
            if is_other_order || (is_strict && is_other_layout) {
                account.keys.judged_from = end;
            }
            if is_other_order || is_other_layout {
                account.stand_anew(log, end, now_ms);
            }
            account.cursors_are_whole(cursors, is_other_layout)?;
        }
        Ok(())
    }

    /// A sender sends an event under this id.
    pub(crate) fn sent(&mut self, id: EventId, identity: Identity) {
        self.identities.insert(id, identity);
    }

    /// A policy is in force for a subscription from now on.
    fn governed(&mut self, subscription: &str, policy: &Policy) {
        if let Some(account) = self.account_mut(subscription) {
            let (shortest, longest) = account.age_ms;
            account.age_ms = (
                shortest.min(policy.max_age_ms),
                longest.max(policy.max_age_ms),
            );
            account.attempts_max = account.attempts_max.max(policy.max_attempts);
        }
    }

    /// The process is gone, with all that was in its memory.
    pub(crate) fn process_ended(&mut self) {
        for account in &mut self.accounts {
            account.held.clear();
            account.handed = account.cursors.clone();
            account.ended.clear();
            account.keys.process_ended();
            account.begins = account.start;
            account.paused = account.paused_on_disk;
            for cell in &mut account.cells {
                cell.in_flight = false;
            }
        }
    }

    /// Dispatch has let go of everything in its memory, and begins from the store.
    pub(crate) fn dispatch_began_anew(&mut self) {
        for account in &mut self.accounts {
            account.held.clear();
            account.handed = account.cursors.clone();
            account.cells.iter_mut().for_each(|cell| cell.held_by = 0);
        }
    }

    /// Results that are not recorded, and requests under way.
    pub(crate) fn unrecorded(&self) -> usize {
        let of = |account: &Account| {
            account.ended.len() + account.cells.iter().filter(|c| c.in_flight).count()
        };
        self.accounts.iter().map(of).sum()
    }

    /// One past the last position of the log.
    pub(crate) fn end(&self) -> Offset {
        Offset(self.log.len() as u64 + 1)
    }

    /// Where a subscription began.
    pub(crate) fn start(&self, subscription: &str) -> Option<Offset> {
        self.number(subscription)
            .and_then(|number| self.accounts.get(number))
            .and_then(|account| account.start)
    }

    /// What every partition of a subscription has passed.
    pub(crate) fn passed(&self, subscription: &str) -> Offset {
        let account = self
            .number(subscription)
            .and_then(|at| self.accounts.get(at));
        account.and_then(Account::lowest).unwrap_or(Offset(1))
    }

    /// Whether a subscription is paused, as the disk says.
    pub(crate) fn is_paused(&self, subscription: &str) -> bool {
        let account = self
            .number(subscription)
            .and_then(|at| self.accounts.get(at));
        account.is_some_and(|account| account.paused_on_disk)
    }

    /// The process has heard that a subscription is paused, or goes on.
    pub(crate) fn paused(&mut self, subscription: &str, paused: bool, now_ms: u64) {
        if let Some(account) = self.account_mut(subscription) {
            account.paused = paused;
            account.resumed_ms = now_ms;
        }
    }

    /// Somebody sought forward in a partition.
    pub(crate) fn sought(&mut self, subscription: &str, partition: u16, to: Offset) {
        if let Some(account) = self.account_mut(subscription) {
            let sought = account.sought.entry(partition).or_default();
            *sought = to.max(*sought);
        }
    }

    /// What the disk has of gates.
    pub(crate) fn breakers(&self) -> impl Iterator<Item = &breaker::Record> {
        self.breakers.values()
    }

    /// Attempts recorded.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(super) fn number(&self, subscription: &str) -> Option<usize> {
        self.numbers.get(subscription).copied()
    }

    pub(super) fn account_mut(&mut self, subscription: &str) -> Option<&mut Account> {
        let number = self.number(subscription)?;
        self.accounts.get_mut(number)
    }

    /// The account of a subscription that a record or command names.
    pub(super) fn known(&mut self, subscription: &str) -> Result<&mut Account, Violation> {
        let unknown = || Violation {
            invariant: Invariant::AsPlanned,
            facts: format!("there is no subscription `{subscription}`"),
        };
        self.account_mut(subscription).ok_or_else(unknown)
    }
}
