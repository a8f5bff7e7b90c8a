//! Attempts under way, found by their ticket.

use std::sync::Arc;

use crate::retry::Policy;
use crate::subscription::Subscription;

use super::LaneId;
use super::gate::GateId;
use super::lane::Pending;

/// Names an attempt under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// One attempt under way, with all that is needed to judge it even if its subscription is gone by then.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) lane: LaneId,
    pub(super) gate: GateId,
    pub(super) subscription: Arc<Subscription>,
    pub(super) endpoint: Arc<str>,
    pub(super) policy: Arc<Policy>,
    /// It shows whether the endpoint is back.
    pub(super) probe: bool,
    pub(super) pending: Pending,
}

/// All attempts under way. A slot is used again; the upper half of a ticket tells its uses apart.
#[derive(Debug, Default)]
pub(super) struct Flights {
    slots: Vec<(u32, Option<Flight>)>,
    free: Vec<u32>,
}

impl Flights {
    pub(super) fn insert(&mut self, flight: Flight) -> Ticket {
        if let Some(index) = self.free.pop()
            && let Some((uses, slot)) = usize::try_from(index)
                .ok()
                .and_then(|i| self.slots.get_mut(i))
        {
            *slot = Some(flight);
            return Ticket(u64::from(*uses) << 32 | u64::from(index));
        }
        let index = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        self.slots.push((0, Some(flight)));
        Ticket(index)
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Flight> {
        let (index, uses) = parts(ticket)?;
        let (slot_uses, slot) = self.slots.get_mut(usize::try_from(index).ok()?)?;
        if *slot_uses != uses {
            return None;
        }
        let flight = slot.take()?;
        *slot_uses = slot_uses.wrapping_add(1);
        self.free.push(index);
        Some(flight)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Flight> {
        let (index, uses) = parts(ticket)?;
        let (slot_uses, slot) = self.slots.get_mut(usize::try_from(index).ok()?)?;
        if *slot_uses == uses {
            slot.as_mut()
        } else {
            None
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }
}

fn parts(ticket: Ticket) -> Option<(u32, u32)> {
    let index = u32::try_from(ticket.0 & u64::from(u32::MAX)).ok()?;
    let uses = u32::try_from(ticket.0 >> 32).ok()?;
    Some((index, uses))
}
