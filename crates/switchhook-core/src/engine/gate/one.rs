//! One gate: its breaker, its limits, its line.

use std::sync::Arc;

use crate::breaker::{Breaker, Call, Change, Look, Record, State};
use crate::endpoint::Endpoint;
use crate::limit::adaptive::Adaptive;
use crate::limit::budget::Budget;
use crate::limit::ramp::Ramp;
use crate::limit::rate::Bucket;
use crate::retry::RETRY_AFTER_MAX_RANGE_MS;
use crate::time::UnixMs;

use super::line::Line;
use super::{Admission, Ended, EndpointNow, LaneId, Left, Operator, Permit};

/// A shorter pause is not worth a record, in milliseconds: after a restart it is as good as over.
const PAUSE_RECORDED_MS: u64 = 5_000;
/// A breaker that was closed so short a time before a restart goes up the ramp again, in milliseconds.
const RAMP_AFTER_RESTART_MS: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Gate {
    name: Arc<str>,
    /// `None` once the plan has it no more; kept while requests are under way.
    endpoint: Option<Arc<Endpoint>>,
    in_flight: usize,
    breaker: Breaker,
    /// The endpoint asked to be left alone until then.
    pause_until: UnixMs,
    ramp: Option<Ramp>,
    rate: Option<Bucket>,
    adaptive: Option<Adaptive>,
    budget: Option<Budget>,
    /// When a secret of it was last replaced.
    secrets_since: UnixMs,
    line: Line,
}

/// Whether something may go, whatever it is.
enum Way {
    Free,
    Probe,
    /// `by_ramp`: only the ramp says so.
    Full {
        by_ramp: bool,
    },
    NotBefore {
        at: UnixMs,
        by_ramp: bool,
    },
    Shut,
}

impl Gate {
    pub(super) fn new(endpoint: &Arc<Endpoint>, record: Option<&Record>, now: UnixMs) -> Self {
        let settings = endpoint.breaker.clone();
        let breaker = match record {
            Some(record) => Breaker::restore(record, settings, now),
            None => Breaker::new(endpoint.name.clone(), settings, now),
        };
        let was_closed_since = |record: &&Record| {
            record.state == State::Closed && now.since_ms(record.since) < RAMP_AFTER_RESTART_MS
        };
        let ramp = record.filter(was_closed_since).map(|_| Ramp::new(now));
        let longest_pause = now.plus_ms(RETRY_AFTER_MAX_RANGE_MS.1);
        let mut gate = Self {
            name: endpoint.name.clone(),
            endpoint: None,
            in_flight: 0,
            breaker,
            pause_until: record.map_or(UnixMs(0), |record| record.pause_until.min(longest_pause)),
            ramp,
            rate: None,
            adaptive: None,
            budget: None,
            secrets_since: UnixMs(0),
            line: Line::default(),
        };
        gate.configure(Some(endpoint), now);
        gate
    }

    /// Goes on as the plan says. What did not change keeps its state. Empties the line.
    pub(super) fn configure(&mut self, endpoint: Option<&Arc<Endpoint>>, now: UnixMs) {
        self.line.clear();
        self.endpoint = endpoint.cloned();
        let Some(endpoint) = endpoint else { return };
        self.breaker.configure(endpoint.breaker.clone(), now);
        self.rate = endpoint.rate.map(|rate| {
            let same = self.rate.filter(|bucket| bucket.rate() == rate);
            same.unwrap_or_else(|| Bucket::new(rate))
        });
        self.adaptive = endpoint.adaptive.map(|bounds| {
            let mut adaptive = self.adaptive.unwrap_or_else(|| Adaptive::new(bounds));
            adaptive.configure(bounds);
            adaptive
        });
        self.budget = endpoint.retry_budget.map(|settings| {
            let before = self.budget.take();
            let same = before.filter(|budget| budget.settings() == settings);
            same.unwrap_or_else(|| Budget::new(settings))
        });
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) const fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.line.has_waiters()
    }

    pub(super) fn admit(&mut self, retry: bool, now: UnixMs) -> Admission {
        self.line.asks();
        self.ramp = self.ramp.filter(|ramp| !ramp.is_over(now));
        let Some(endpoint) = &self.endpoint else {
            return Admission::Gone;
        };
        let probe = match self.way(now) {
            Way::Shut => return Admission::Shut,
            Way::Full { by_ramp } => {
                if let Some(ramp) = self.ramp.as_mut().filter(|_| by_ramp) {
                    ramp.was_full(now);
                }
                return Admission::Full;
            }
            Way::NotBefore { at, by_ramp } => {
                if let Some(ramp) = self.ramp.as_mut().filter(|_| by_ramp) {
                    ramp.was_early(now);
                }
                self.line.tell(at, now);
                return Admission::NotBefore(at);
            }
            Way::Probe => true,
            Way::Free => false,
        };
        // A probe decides for everything that waits: no budget holds it up.
        if let Some(budget) = self.budget.as_ref().filter(|_| retry && !probe)
            && let Err(at) = budget.look(now)
        {
            return Admission::RetryNotBefore(at);
        }
        let endpoint = endpoint.clone();
        self.start(probe, retry, now);
        Admission::Yes(Permit { endpoint, probe })
    }

    /// Takes the slot back; whether the record has changed as well.
    pub(super) fn leave(&mut self, ended: &Ended<'_>, now: UnixMs) -> (Left, bool) {
        let outcome = ended.outcome;
        let slots = self.slots_configured();
        if let Some(adaptive) = &mut self.adaptive {
            let load = (self.in_flight, slots);
            adaptive.ended(outcome.kind, outcome.at, outcome.duration_ms, load, now);
        }
        let known_excess = self
            .ramp
            .as_mut()
            .is_some_and(|ramp| ramp.ended(outcome.kind, outcome.at, slots, now));
        self.in_flight = self.in_flight.saturating_sub(1);
        let call = Call {
            probe: ended.probe,
            offset: ended.offset,
            kind: outcome.kind,
            detail: outcome.detail.as_deref(),
            hold: ended.hold,
            outdated: outcome.at <= self.secrets_since,
            known_excess,
            entropy: ended.entropy,
        };
        let change = self.breaker.ended(&call, now);
        self.follow(change.as_ref(), now);
        let is_new = self.pause(ended.pause_until, now) || change.is_some();
        let waiter = self.next_waiter(now);
        (Left { waiter, change }, is_new)
    }

    /// Somebody else to be woken, since a lane that was let in has nothing to send.
    pub(super) fn pass_on(&mut self, now: UnixMs) -> Option<LaneId> {
        self.line.asks();
        self.next_waiter(now)
    }

    pub(super) fn operate(
        &mut self,
        what: Operator,
        reason: Option<Arc<str>>,
        now: UnixMs,
    ) -> Option<Change> {
        self.line.untell();
        let change = match what {
            Operator::Open => self.breaker.open_by_hand(reason, now),
            Operator::Close => {
                if self.pause_until > now {
                    self.pause_until = now;
                    self.ramp = Some(Ramp::new(now));
                }
                self.breaker.close_by_hand(now)
            }
        };
        self.follow(change.as_ref(), now);
        change
    }

    /// Whether a probe is due now that was not.
    pub(super) fn secret_changed(&mut self, uses: impl Fn(&Endpoint) -> bool, now: UnixMs) -> bool {
        if !self
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| uses(endpoint))
        {
            return false;
        }
        self.secrets_since = now;
        self.breaker.secret_changed(now)
    }

    pub(super) fn clock_went_back(&mut self, by_ms: u64) {
        self.breaker.clock_went_back(by_ms);
        self.pause_until = self.pause_until.minus_ms(by_ms);
        self.secrets_since = self.secrets_since.minus_ms(by_ms);
        self.line.untell();
        if let Some(ramp) = &mut self.ramp {
            ramp.clock_went_back(by_ms);
        }
        if let Some(rate) = &mut self.rate {
            rate.clock_went_back(by_ms);
        }
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.clock_went_back(by_ms);
        }
        if let Some(budget) = &mut self.budget {
            budget.clock_went_back();
        }
    }

    pub(super) fn record(&self) -> Record {
        self.breaker.record(self.pause_until)
    }

    pub(super) fn standing(&self, now: UnixMs) -> EndpointNow {
        let record = self.record();
        let ramp = self.ramp.filter(|ramp| !ramp.is_over(now));
        EndpointNow {
            endpoint: record.endpoint,
            state: record.state,
            cause: record.cause,
            since: record.since,
            until: record.until,
            reason: record.reason,
            pause_until: Some(record.pause_until).filter(|at| *at > now),
            in_flight: self.in_flight,
            slots_now: self.slots_now(ramp.as_ref()),
            pace_per_second: ramp.map(|ramp| ramp.pace_per_second()),
            waiting_lanes: self.line.len(),
        }
    }

    /// Whether something may go now, whatever it is, and if not, why.
    fn way(&self, now: UnixMs) -> Way {
        let not_before = |at| Way::NotBefore { at, by_ramp: false };
        let probe = match self.breaker.look(now) {
            Look::Shut => return Way::Shut,
            Look::NotBefore(at) => return not_before(at.max(self.pause_until)),
            Look::Probe => true,
            Look::Free => false,
        };
        if self.pause_until > now {
            return not_before(self.pause_until);
        }
        if probe && self.in_flight > 0 {
            return Way::Full { by_ramp: false };
        }
        if self.in_flight >= usize::from(self.slots_now(None)) {
            return Way::Full { by_ramp: false };
        }
        let ramp = self.ramp.as_ref().filter(|_| !probe);
        if ramp.is_some_and(|ramp| self.in_flight >= usize::from(ramp.slots())) {
            return Way::Full { by_ramp: true };
        }
        if let Some(Err(at)) = self.rate.map(|rate| rate.look(now)) {
            return not_before(at);
        }
        match ramp.map(|ramp| ramp.look(now)) {
            Some(Err(at)) => Way::NotBefore { at, by_ramp: true },
            Some(Ok(())) | None if probe => Way::Probe,
            Some(Ok(())) | None => Way::Free,
        }
    }

    fn is_open(&self, now: UnixMs) -> bool {
        self.endpoint.is_some() && matches!(self.way(now), Way::Free | Way::Probe)
    }

    /// Somebody to be woken after one has left: whoever can go, or must be told when.
    fn next_waiter(&mut self, now: UnixMs) -> Option<LaneId> {
        if self.line.is_told(now) && !self.is_open(now) {
            return None;
        }
        self.line.take_first()
    }

    fn start(&mut self, probe: bool, retry: bool, now: UnixMs) {
        self.in_flight = self.in_flight.saturating_add(1);
        if probe {
            self.breaker.begin_probe();
        } else if let Some(ramp) = &mut self.ramp {
            ramp.sent(now);
        }
        if let Some(rate) = &mut self.rate {
            rate.sent(now);
        }
        if let Some(budget) = &mut self.budget {
            budget.sent(retry, now);
        }
    }

    /// A breaker that was closed is followed by a ramp; one that opens ends it.
    fn follow(&mut self, change: Option<&Change>, now: UnixMs) {
        if let Some(change) = change {
            self.ramp = (change.to == State::Closed).then(|| Ramp::new(now));
        }
    }

    /// Lets nothing go before `until`; an earlier time does not shorten a later one. Whether that is to be
    /// recorded.
    fn pause(&mut self, until: Option<UnixMs>, now: UnixMs) -> bool {
        let Some(until) = until.filter(|until| *until > self.pause_until) else {
            return false;
        };
        self.pause_until = until;
        until.since_ms(now) > PAUSE_RECORDED_MS
    }

    /// Requests at once that the configuration allows; at least 1, or nothing would ever go.
    fn slots_configured(&self) -> u16 {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or(1, |endpoint| endpoint.concurrency.max(1))
    }

    /// Requests at once that all limits allow.
    fn slots_now(&self, ramp: Option<&Ramp>) -> u16 {
        let adaptive = self.adaptive.map_or(u16::MAX, |adaptive| adaptive.limit());
        let ramp = ramp.map_or(u16::MAX, Ramp::slots);
        self.slots_configured().min(adaptive).min(ramp)
    }
}
