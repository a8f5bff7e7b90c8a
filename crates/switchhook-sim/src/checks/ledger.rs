//! The books: every event in the log, and for every subscription where each of its deliveries is.
//!
//! They change only when something became durable, a request started or ended, or the process died. A
//! crash takes away what was in memory: requests under way and results that were not durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::delivery::OutcomeKind;
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::retry::{Action, Policy};
use switchhook_core::subscription::Subscription;
use switchhook_core::time::UnixMs;

use super::{Invariant, Violation};
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
    /// An operator discarded its dead letter.
    Discarded,
}

/// The index of what stands at `offset`.
pub(super) fn position(offset: Offset) -> usize {
    index(offset.0.saturating_sub(1))
}

/// One event for one subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) place: Place,
    pub(super) chain: u16,
    /// Attempts recorded in this chain.
    pub(super) n: u16,
    /// Those that count against the policy.
    pub(super) counted: u16,
    /// Whether any attempt of any chain was ever recorded.
    pub(super) recorded: bool,
    pub(super) in_flight: bool,
    /// The process that has it in memory, waiting for a slot; 0 for none.
    pub(super) held_by: u32,
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
}

/// An attempt that has ended and is not recorded yet.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) chain: u16,
    pub(super) n: u16,
    pub(super) kind: OutcomeKind,
    pub(super) action: Action,
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
    pub(super) subscription: Arc<Subscription>,
    /// Its first recorded cursor.
    pub(super) start: Option<Offset>,
    pub(super) cursor: Offset,
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
    /// Deliveries in memory that wait for a slot.
    pub(super) held: usize,
    /// One past the last position that was handed to the engine.
    pub(super) handed: Offset,
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
    /// Acknowledged since the last audit.
    pub(super) acknowledged: Vec<EventId>,
    /// Attempts that became durable.
    pub(super) attempts: u64,
}

impl Ledger {
    pub(crate) fn new(subscriptions: &[Arc<Subscription>]) -> Self {
        let account = |subscription: &Arc<Subscription>| Account {
            subscription: subscription.clone(),
            start: None,
            cursor: Offset(1),
            cells: vec![],
            waits: BTreeMap::new(),
            ended: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            age_ms: (u64::MAX, 0),
            attempts_max: 0,
            held: 0,
            handed: Offset(0),
        };
        Self {
            accounts: subscriptions.iter().map(account).collect(),
            numbers: subscriptions
                .iter()
                .enumerate()
                .map(|(n, s)| (s.name.clone(), n))
                .collect(),
            ..Self::default()
        }
    }

    /// A sender sends an event under this id.
    pub(crate) fn sent(&mut self, id: EventId, identity: Identity) {
        self.identities.insert(id, identity);
    }

    /// A policy is in force for a subscription from now on.
    pub(crate) fn governed(&mut self, subscription: &str, policy: &Policy) {
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
            account.held = 0;
            account.handed = account.cursor;
            account.ended.clear();
            for cell in &mut account.cells {
                cell.in_flight = false;
            }
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

impl Account {
    pub(super) fn name(&self) -> &str {
        &self.subscription.name
    }

    pub(super) fn cell(&self, offset: Offset) -> Option<&Cell> {
        self.cells.get(index(offset.0.checked_sub(1)?))
    }

    /// The delivery at an offset that a record or command names.
    pub(super) fn known(&mut self, offset: Offset) -> Result<&mut Cell, Violation> {
        let facts = format!("{} takes no event at {offset:?}", self.subscription.name);
        let at = offset.0.checked_sub(1).map(index);
        at.and_then(|at| self.cells.get_mut(at))
            .filter(|cell| cell.place != Place::Elsewhere)
            .ok_or(Violation {
                invariant: Invariant::OnePlace,
                facts,
            })
    }

    /// When the policy gives up: earliest and latest, as far as can be known from outside.
    pub(super) fn deadline(&self, event: &Event, chain: u16) -> (UnixMs, UnixMs) {
        match self.deadlines.get(&event.offset) {
            Some(deadline) if chain > 0 => (*deadline, *deadline),
            _ => (
                event.received_at.plus_ms(self.age_ms.0),
                event.received_at.plus_ms(self.age_ms.1),
            ),
        }
    }

    /// A new event in the log.
    pub(super) fn append(&mut self, event: &Event) {
        let begun = self.start.is_none_or(|start| event.offset >= start);
        let place = if begun && self.subscription.takes(event) {
            Place::Pending
        } else {
            Place::Elsewhere
        };
        self.cells.push(Cell {
            place,
            chain: 0,
            n: 0,
            counted: 0,
            recorded: false,
            in_flight: false,
            held_by: 0,
        });
    }

    /// The subscription begins here: what came before is not for it.
    pub(super) fn begin(&mut self, start: Offset) {
        self.start = Some(start);
        self.cursor = start;
        self.handed = start;
        for cell in self.cells.iter_mut().take(index(start.0.saturating_sub(1))) {
            cell.place = Place::Elsewhere;
        }
    }
}
