//! Senders: they send in bursts, repeat what was not acknowledged, and now and then what was.
//!
//! A request is acknowledged when its events are durable, never before. A sender that hears nothing,
//! because the process died, sends the same again until it is acknowledged.

use std::collections::BTreeMap;

use bytes::Bytes;
use switchhook_core::event::Headers;
use switchhook_core::id::EventId;
use switchhook_store::batch::{DedupEntry, NewEvent};
use switchhook_store::{Appended, Batch};
use uuid::Uuid;

use super::disk::Origin;
use super::options::{KINDS, NOISE, name};
use super::{Happening, World};
use crate::checks::{Checked, Identity, Invariant, check};
use crate::faults::{CHAOS_MS, Sabotage, between, chance};

/// What a sender wants to get across.
#[derive(Debug, Clone, Copy)]
struct Item {
    identity: Identity,
    kind: &'static str,
    /// The number of its key, if it has one.
    key: Option<u64>,
    /// What its body says, and whether that is a number.
    n: u64,
    is_number: bool,
}

/// All senders together.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Not acknowledged yet.
    requests: BTreeMap<u64, Vec<Item>>,
    /// Numbers given to requests, identities and event ids.
    requests_made: u64,
    identities_made: u64,
    ids_made: u64,
}

impl Intake {
    fn request(&mut self, items: Vec<Item>) -> u64 {
        self.requests_made += 1;
        self.requests.insert(self.requests_made, items);
        self.requests_made
    }

    /// I1: in the end every sender has its acknowledgement.
    pub(super) fn everything_is_acknowledged(&self) -> Checked {
        check(self.requests.is_empty(), Invariant::SettledInTime, || {
            format!("{} requests were never acknowledged", self.requests.len())
        })
    }
}

impl World {
    /// A burst begins.
    pub(super) fn burst(&mut self, number: usize) {
        let Some(burst) = self.options.bursts.get(number).copied() else {
            return;
        };
        let window_ms = self.options.sources.get(burst.source).copied().flatten();
        for _ in 0..burst.requests {
            let items = (0..burst.events).map(|_| {
                self.intake.identities_made += 1;
                let kind = if burst.noise && !chance(&mut self.entropy, 10) {
                    NOISE
                } else {
                    self.entropy.pick(KINDS).copied().unwrap_or(NOISE)
                };
                let keyed = burst.keys > 0 && !chance(&mut self.entropy, 150);
                let key = keyed.then(|| self.entropy.below(burst.keys));
                let (n, is_number) = (self.entropy.below(100), !chance(&mut self.entropy, 30));
                let number = window_ms.map(|_| self.intake.identities_made);
                let window_ms = window_ms.unwrap_or(0);
                Item {
                    identity: Identity {
                        source: burst.source,
                        number,
                        window_ms,
                        body: 0,
                    },
                    kind,
                    key,
                    n,
                    is_number,
                }
            });
            let items = items.collect();
            let request = self.intake.request(items);
            let at_ms = self.after(0, burst.spread_ms);
            self.queue.push(at_ms, Happening::Send(request));
        }
        if chance(&mut self.entropy, self.options.faults.crash_pm) {
            self.fuse = Some(self.entropy.below(300));
        }
    }

    /// A sender sends a request, if it still has to.
    pub(super) fn send(&mut self, request: u64) -> Checked {
        let Some(items) = self.intake.requests.get(&request).cloned() else {
            return Ok(());
        };
        if !self
            .process
            .as_ref()
            .is_some_and(|process| process.is_accepting())
        {
            let later = self.after(500, 30_000);
            self.queue.push(later, Happening::Send(request));
            return Ok(());
        }
        self.note("sent (request, events)", [request, items.len() as u64, 0]);
        let events: Vec<NewEvent> = items.iter().map(|item| self.new_event(*item)).collect();
        if self.is_sabotaged(Sabotage::AckBeforeCommit) {
            self.intake.requests.remove(&request);
            let fresh = events.iter().filter(|event| event.dedup.is_none());
            fresh.for_each(|event| self.ledger.acknowledged(event.id));
        }
        self.submit(
            Batch {
                events,
                ..Batch::default()
            },
            Origin::Request(request),
        );
        Ok(())
    }

    fn new_event(&mut self, item: Item) -> NewEvent {
        self.intake.ids_made += 1;
        let unique = u128::from(self.entropy.draw()) << 64 | u128::from(self.intake.ids_made);
        let id = EventId(Uuid::from_u128(unique));
        self.ledger.sent(id, item.identity);
        let Identity {
            source,
            number,
            window_ms,
            body,
        } = item.identity;
        let dedup = number.map(|number| {
            let key = (u128::from(number) << 64 | source as u128).to_be_bytes();
            DedupEntry {
                key,
                body_hash: body,
                window_ms,
            }
        });
        NewEvent {
            id,
            source: name('i', source),
            kind: item.kind.into(),
            key: item.key.map(|key| format!("k{key}").into()),
            received_at: self.clock.wall(),
            headers: Headers::from([]),
            body: Bytes::from(if item.is_number {
                format!(r#"{{"n":{},"body":{body}}}"#, item.n)
            } else {
                format!(r#"{{"n":"{}","body":{body}}}"#, item.n)
            }),
            dedup,
        }
    }

    /// An answer reaches its sender, unless the process that gave it has died meanwhile.
    pub(super) fn reply(&mut self, process: u32, request: u64, appended: &[Appended]) -> Checked {
        if process != self.processes || self.process.is_none() {
            return Ok(());
        }
        let Some(items) = self.intake.requests.remove(&request) else {
            return Ok(());
        };
        check(items.len() == appended.len(), Invariant::Kept, || {
            format!(
                "{} events were sent, the answer names {}",
                items.len(),
                appended.len()
            )
        })?;
        for appended in appended {
            let (Appended::New { id, .. } | Appended::Duplicate { id, .. }) = *appended;
            self.ledger.acknowledged(id);
        }
        for item in items {
            self.maybe_repeat(item);
        }
        Ok(())
    }

    /// Senders repeat themselves, within the window and after it, and now and then with another body.
    fn maybe_repeat(&mut self, mut item: Item) {
        if self.healed
            || item.kind == NOISE
            || !chance(&mut self.entropy, self.options.faults.repeat_pm)
        {
            return;
        }
        if chance(&mut self.entropy, 200) {
            item.identity.body += 1;
        }
        let longest_ms = if chance(&mut self.entropy, 500) {
            5_000
        } else {
            2 * item.identity.window_ms
        };
        let at_ms = self.after(0, longest_ms.max(1_000)).min(CHAOS_MS);
        let request = self.intake.request(vec![item]);
        self.queue.push(at_ms, Happening::Send(request));
    }

    /// Senders that heard nothing from a process that died send again.
    pub(super) fn send_again(&mut self) {
        let unanswered: Vec<u64> = self.intake.requests.keys().copied().collect();
        for request in unanswered {
            let at_ms = self.clock.now_ms + between(&mut self.entropy, 500, 30_000);
            self.queue.push(at_ms, Happening::Send(request));
        }
    }
}
