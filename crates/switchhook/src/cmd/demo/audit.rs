//! The audit of the demo: is every delivery of every accepted event accounted for?
//!
//! Three witnesses. What was accepted comes from the source's own record of the answers it got. What was
//! delivered comes from the receivers' own records, delivery by delivery. What waits or is dead comes from
//! the store, through the API, and only for deliveries that no receiver has taken: one that was delivered
//! but not recorded yet counts once, as delivered. A delivery that none of them has is lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchhook_core::id::{DeliveryId, EventId};
use switchhook_sim::endpoint::RunningLab;
use switchhook_wire::api::{DeliveryState, TimelineView};

use super::scene::PARTS;
use crate::client::Client;
use crate::exit::Failure;

/// What became of everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Events, by the source's record.
    pub(super) accepted: u64,
    /// Deliveries that follow from them.
    pub(super) deliveries: u64,
    /// Of these, taken by a receiver, by its record.
    pub(super) delivered: u64,
    /// Of the others, those that the store has as not done yet.
    pub(super) waiting: u64,
    /// Of the others, those that the store has as dead letters.
    pub(super) dead: u64,
    /// The rest, which must be none.
    pub(super) lost: u64,
}

/// Where one delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Delivered,
    Waiting,
    Dead,
    Lost,
}

impl Summary {
    /// The one line of `--json`.
    pub(super) fn json(self) -> Value {
        json!({
            "accepted": self.accepted,
            "deliveries": self.deliveries,
            "delivered": self.delivered,
            "waiting": self.waiting,
            "dead": self.dead,
            "lost": self.lost,
        })
    }

    fn add(&mut self, account: Account) {
        self.deliveries += 1;
        let count = match account {
            Account::Delivered => &mut self.delivered,
            Account::Waiting => &mut self.waiting,
            Account::Dead => &mut self.dead,
            Account::Lost => &mut self.lost,
        };
        *count += 1;
    }
}

/// Accounts for every delivery of the accepted events `ids`.
pub(super) async fn audit(
    ids: &[EventId],
    lab: &RunningLab,
    client: &Client,
) -> Result<Summary, Failure> {
    let mut ids = ids.to_vec();
    // A repeat is answered with the id of the first.
    ids.sort_unstable();
    ids.dedup();
    let mut summary = Summary {
        accepted: ids.len() as u64,
        ..Summary::default()
    };
    for id in ids {
        let mut states = None;
        for part in &PARTS {
            let delivery = DeliveryId::derive(id, part.subscription);
            let taken = || {
                lab.record(part.endpoint)
                    .is_some_and(|record| record.taken(delivery) > 0)
            };
            if taken() {
                summary.add(Account::Delivered);
                continue;
            }
            if states.is_none() {
                states = Some(states_of(id, client).await?);
            }
            let state = states
                .as_ref()
                .and_then(|states| states.get(part.subscription).copied());
            // It may have been delivered while the store was asked, so the receiver is asked again.
            summary.add(if taken() {
                Account::Delivered
            } else {
                account(state)
            });
        }
    }
    Ok(summary)
}

/// How a delivery that no receiver has taken is accounted for, by what the store says of it.
const fn account(state: Option<DeliveryState>) -> Account {
    match state {
        Some(
            DeliveryState::Waiting
            | DeliveryState::Held
            | DeliveryState::Paused
            | DeliveryState::Queued
            | DeliveryState::InFlight
            | DeliveryState::Pending,
        ) => Account::Waiting,
        Some(DeliveryState::Dead) => Account::Dead,
        Some(DeliveryState::Delivered | DeliveryState::NotMatched) | None => Account::Lost,
    }
}

/// The state of each delivery of an event by subscription; none when the gateway does not know the event.
async fn states_of(
    id: EventId,
    client: &Client,
) -> Result<BTreeMap<String, DeliveryState>, Failure> {
    let id = id.to_string();
    match client
        .get::<TimelineView>(&["v1", "events", &id, "timeline"])
        .await
    {
        Ok(timeline) => {
            let states = timeline.deliveries.into_iter();
            Ok(states
                .map(|delivery| (delivery.subscription, delivery.state))
                .collect())
        }
        Err(error) if error.status() == Some(404) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_calls_delivered_and_no_receiver_has_is_lost() {
        for (state, expected) in [
            (None, Account::Lost),
            (Some(DeliveryState::Delivered), Account::Lost),
            (Some(DeliveryState::NotMatched), Account::Lost),
            (Some(DeliveryState::Pending), Account::Waiting),
            (Some(DeliveryState::InFlight), Account::Waiting),
            (Some(DeliveryState::Held), Account::Waiting),
            (Some(DeliveryState::Waiting), Account::Waiting),
            (Some(DeliveryState::Dead), Account::Dead),
        ] {
            assert_eq!(account(state), expected, "{state:?}");
        }
    }

    #[test]
    fn every_delivery_is_counted_once() {
        let mut summary = Summary::default();
        for account in [
            Account::Delivered,
            Account::Waiting,
            Account::Dead,
            Account::Lost,
        ] {
            summary.add(account);
        }
        let expected = Summary {
            accepted: 0,
            deliveries: 4,
            delivered: 1,
            waiting: 1,
            dead: 1,
            lost: 1,
        };
        assert_eq!(summary, expected);
    }
}
