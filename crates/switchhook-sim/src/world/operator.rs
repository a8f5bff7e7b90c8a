//! People: they replay and discard, pause and resume, open and close, seek, change secrets, and let old things go.
//!
//! What they do to the store goes through the disk, and the process hears of it when it is durable. What they do to
//! the process alone it does at once. In the quiet part of the world somebody tidies up until nothing is held.

use std::sync::Arc;

use switchhook_core::delivery::{DeliveryKey, Gap, Place, Waiting};
use switchhook_core::engine::Operator;
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_store::batch::{Pause, PauseChange, Replay, Retain};
use switchhook_store::query::{DeadFilter, DeadLetter, Limit};
use switchhook_store::{Batch, Store};

use super::disk::Origin;
use super::options::{index, name};
use super::{Happening, World};
use crate::checks::Checked;
use crate::faults::{HOUR_MS, Sabotage, chance};

/// A pause of an endpoint that is longer than this is ended by hand in the quiet part, in milliseconds: a clock that
/// went back between two processes can make one last a day.
const PAUSE_MAX_MS: u64 = 2 * HOUR_MS;
/// Letters that are replayed or discarded at once, and those that are tidied up.
const LETTERS_MAX: u64 = 200;

/// Something that somebody does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Letters,
    Pause,
    /// A subscription is switched off or on in the configuration.
    Enable,
    Switch,
    Retain,
    Rerun,
    Seek,
    /// An endpoint wants another secret from now on.
    Secret(usize),
    /// What only a person can open is opened.
    Tidy,
}

/// What the process is to hear of when it is durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Deed {
    /// Subscriptions whose rows have changed.
    pub(super) rows: Vec<Arc<str>>,
    /// Dead letters that are no more, where they stood.
    pub(super) discarded: Vec<(DeliveryKey, Place)>,
    /// Subscriptions that are paused or go on.
    pub(super) pauses: Vec<(Arc<str>, bool)>,
}

impl World {
    pub(super) fn act(&mut self, act: Act) -> Checked {
        if !self
            .process
            .as_ref()
            .is_some_and(|process| process.is_settled())
        {
            return Ok(());
        }
        match act {
            Act::Letters => self.handle_letters()?,
            Act::Pause => self.pause(),
            Act::Enable => self.switch_subscription(),
            Act::Switch => self.switch(),
            Act::Retain => self.retain(),
            Act::Rerun => self.rerun()?,
            Act::Seek => self.seek(),
            Act::Secret(number) => self.change_secret(number),
            Act::Tidy => self.tidy()?,
        }
        self.step_soon();
        Ok(())
    }

    /// Somebody replays or discards dead letters.
    fn handle_letters(&mut self) -> Checked {
        let endpoints = self.options.endpoints.len() as u64;
        let filter = DeadFilter {
            endpoint: chance(&mut self.entropy, 300)
                .then(|| name('e', index(self.entropy.below(endpoints))).to_string()),
            ..DeadFilter::default()
        };
        let limit = Limit {
            items: index(1 + self.entropy.below(LETTERS_MAX)),
            bytes: usize::MAX,
        };
        let letters = self.disk.store.dead(&filter, None, limit)?;
        let discard = chance(&mut self.entropy, 250);
        self.end_letters(&letters, discard);
        Ok(())
    }

    fn end_letters(&mut self, letters: &[DeadLetter], discard: bool) {
        let planned = |l: &&DeadLetter| {
            self.plan
                .subscriptions
                .contains_key(&l.dead.key.subscription)
        };
        let planned: Vec<DeadLetter> = letters.iter().filter(planned).cloned().collect();
        let mut batch = Batch::default();
        let mut deed = Deed::default();
        if discard {
            let letters = planned.iter().map(|letter| &letter.dead);
            batch.discards = letters
                .clone()
                .map(|dead| (dead.key.clone(), dead.chain))
                .collect();
            deed.discarded = letters.map(|dead| (dead.key.clone(), dead.place)).collect();
        } else {
            let replay = |letter: &DeadLetter| {
                let dead = &letter.dead;
                let chain = dead.chain.saturating_add(1);
                self.replay(dead.key.clone(), &letter.event, Some(dead.chain), chain)
            };
            batch.replays = planned.iter().filter_map(replay).collect();
        }
        self.note(
            "letters (replays, discards)",
            [batch.replays.len() as u64, batch.discards.len() as u64, 0],
        );
        deed.rows = planned
            .into_iter()
            .map(|l| l.dead.key.subscription)
            .collect();
        deed.rows.sort();
        deed.rows.dedup();
        self.submit(batch, Origin::Operator(deed));
    }

    /// A replayed delivery starts again, with a deadline of its own.
    fn replay(
        &self,
        key: DeliveryKey,
        event: &Event,
        dead_chain: Option<u16>,
        chain: u16,
    ) -> Option<Replay> {
        let subscription = self.plan.subscriptions.get(&key.subscription)?;
        let policy = self.plan.policies.get(&subscription.policy)?;
        let place = self.plan.place(subscription, event);
        let now = self.clock.wall();
        Some(Replay {
            dead_chain,
            waiting: Waiting::replay(key, place, chain, policy.max_age_ms, now),
        })
    }

    /// Somebody delivers old events again, to whoever had them or to somebody else.
    fn rerun(&mut self) -> Checked {
        let Some(subscription) = self.any_subscription() else {
            return Ok(());
        };
        // What the cursors have passed has ended, or waits.
        let passed = self.ledger.passed(&subscription);
        let from = Offset(1 + self.entropy.below(passed.0));
        let limit = Limit {
            items: index(1 + self.entropy.below(40)),
            bytes: usize::MAX,
        };
        let events = self.disk.store.read_log(from, limit)?;
        let old = events.iter().filter(|event| event.offset < passed);
        let replays = old.filter_map(|event| {
            let key = DeliveryKey {
                subscription: subscription.clone(),
                offset: event.offset,
            };
            self.replay(key, event, None, 0)
        });
        let batch = Batch {
            replays: replays.collect(),
            ..Batch::default()
        };
        self.note(
            "rerun (from, events)",
            [from.0, batch.replays.len() as u64, 0],
        );
        let deed = Deed {
            rows: vec![subscription],
            ..Deed::default()
        };
        self.submit(batch, Origin::Operator(deed));
        Ok(())
    }

    fn any_subscription(&mut self) -> Option<Arc<str>> {
        let names: Vec<Arc<str>> = self.plan.subscriptions.keys().cloned().collect();
        self.entropy.pick(&names).cloned()
    }

    /// Somebody pauses a subscription, or lets it go on.
    fn pause(&mut self) {
        let Some(subscription) = self.any_subscription() else {
            return;
        };
        let paused = !self.ledger.is_paused(&subscription) && chance(&mut self.entropy, 700);
        self.set_pause(subscription, paused);
    }

    fn set_pause(&mut self, subscription: Arc<str>, paused: bool) {
        let number = super::attempt::digit(&subscription);
        self.note(
            "pause (paused, subscription)",
            [u64::from(paused), number, 0],
        );
        let at = self.clock.wall();
        let batch = Batch {
            pauses: vec![PauseChange {
                subscription: subscription.clone(),
                pause: paused.then_some(Pause { at, reason: None }),
            }],
            ..Batch::default()
        };
        let deed = Deed {
            pauses: vec![(subscription, paused)],
            ..Deed::default()
        };
        self.submit(batch, Origin::Operator(deed));
    }

    /// Somebody opens or closes a breaker, or has partitions assigned anew.
    fn switch(&mut self) {
        let endpoints = self.options.endpoints.len() as u64;
        let endpoint = name('e', index(self.entropy.below(endpoints)));
        let wish = match self.entropy.below(5) {
            0 | 1 => Operator::Open,
            2 | 3 => Operator::Close,
            _ => {
                let now = self.clock.wall();
                if let Some(process) = &mut self.process {
                    process.engine.handle_assign(now);
                }
                return;
            }
        };
        self.operate(&endpoint, wish);
    }

    fn operate(&mut self, endpoint: &Arc<str>, wish: Operator) {
        let (wall, now_ms, forward_ms) =
            (self.clock.wall(), self.clock.now_ms, self.clock.forward_ms);
        let Some(process) = &mut self.process else {
            return;
        };
        let change = process.engine.handle_operator(endpoint, wish, None, wall);
        let planned = self.plan.endpoints.get(endpoint);
        if wish == Operator::Close && planned.is_some() {
            self.gates.pause_ended(endpoint, now_ms);
        }
        if let Some(change) = change {
            self.gates
                .changed(&change, planned, wall, now_ms, forward_ms);
        }
        let closes = u64::from(wish == Operator::Close);
        self.note(
            "switch (endpoint, closes)",
            [super::attempt::digit(endpoint), closes, 0],
        );
    }

    /// Old things go, in one step.
    fn retain(&mut self) {
        let wall = self.clock.wall();
        let mut age = || wall.minus_ms(self.entropy.below(20 * HOUR_MS));
        let (events_before, attempts_before, dead_before) = (age(), age(), age());
        let keen = self.is_sabotaged(Sabotage::RetentionTooKeen);
        let lowest = self.ledger.lowest().filter(|_| !keen);
        let batch = Batch {
            retain: Some(Retain {
                events_before: if keen { wall } else { events_before },
                keep_from: lowest.unwrap_or(self.ledger.end()),
                attempts_before,
                dead_before,
                now: wall,
                items: u32::try_from(1 + self.entropy.below(2_000)).unwrap_or(1),
                pages: 0,
            }),
            ..Batch::default()
        };
        self.note("retention", [0; 3]);
        self.submit(batch, Origin::Operator(Deed::default()));
    }

    /// Somebody seeks forward in a partition.
    fn seek(&mut self) {
        let Some(subscription) = self.any_subscription() else {
            return;
        };
        let end = self.disk.store.tail().end();
        let planned = self.plan.subscriptions.get(&subscription);
        let partitions = planned.map_or(1, |planned| self.plan.partitions(planned));
        let partition = u16::try_from(self.entropy.below(partitions.into())).unwrap_or(0);
        let to = Offset(end.0.saturating_sub(self.entropy.below(30)));
        let wall = self.clock.wall();
        if let Some(process) = &mut self.process {
            process
                .engine
                .handle_skip(&subscription, partition, to, wall);
        }
        self.ledger.sought(&subscription, partition, to);
        self.note("seek (partition, to)", [partition.into(), to.0, 0]);
    }

    /// The secret of an endpoint changes, there and here.
    fn change_secret(&mut self, number: usize) {
        let wall = self.clock.wall();
        if let Some(process) = &mut self.process {
            process
                .engine
                .handle_secret_changed(&name('k', number), wall);
        }
        self.gates
            .secret_changed(&name('e', number), self.clock.now_ms);
        self.note("secret changed (endpoint)", [number as u64, 0, 0]);
    }

    /// Somebody opens what only a person can open, and ends the letters that halt their keys.
    fn tidy(&mut self) -> Checked {
        if !self.healed && !chance(&mut self.entropy, 300) {
            return Ok(());
        }
        for endpoint in self.gates.wants_a_person(self.clock.now_ms, PAUSE_MAX_MS) {
            self.operate(&endpoint, Operator::Close);
        }
        if !self.healed {
            return Ok(());
        }
        let names = self.plan.subscriptions.keys();
        let paused: Vec<_> = names
            .filter(|name| self.ledger.is_paused(name))
            .cloned()
            .collect();
        for subscription in paused {
            self.set_pause(subscription, false);
        }
        let limit = Limit {
            items: usize::MAX,
            bytes: usize::MAX,
        };
        let mut letters = self.disk.store.dead(&DeadFilter::default(), None, limit)?;
        letters.retain(|letter| letter.dead.gap == Gap::Halted);
        letters.truncate(index(LETTERS_MAX));
        if !letters.is_empty() {
            let discard = chance(&mut self.entropy, 500);
            self.end_letters(&letters, discard);
        }
        Ok(())
    }

    /// The next time that somebody tidies up.
    pub(super) fn schedule_people(&mut self) {
        let faults = self.options.faults.clone();
        let acts = [
            (faults.operations, Act::Letters),
            (faults.pauses, Act::Pause),
            (faults.disables, Act::Enable),
            (faults.switches, Act::Switch),
            (faults.retentions, Act::Retain),
            (faults.reruns, Act::Rerun),
            (faults.seeks, Act::Seek),
        ];
        for (count, act) in acts {
            for _ in 0..count {
                let at_ms = self.eventful_time();
                self.queue.push(at_ms, Happening::Act(act));
            }
        }
        for at_ms in (0..crate::faults::WORLD_MS).step_by(index(HOUR_MS / 4)) {
            self.queue.push(at_ms, Happening::Act(Act::Tidy));
        }
        let outages: Vec<(usize, u64)> =
            self.options
                .endpoints
                .iter()
                .enumerate()
                .flat_map(|(n, endpoint)| {
                    let refused =
                        endpoint.behaviour.outages.iter().filter(|outage| {
                            outage.kind == crate::faults::OutageKind::Unauthorized
                        });
                    refused.map(move |outage| (n, outage.until_ms))
                })
                .collect();
        for (number, at_ms) in outages {
            self.queue.push(at_ms, Happening::Act(Act::Secret(number)));
        }
    }
}
