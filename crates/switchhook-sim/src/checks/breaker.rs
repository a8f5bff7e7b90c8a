//! I7: what may go to an endpoint whose breaker is open.
//!
//! The books follow what the gateway said of its breakers, in changes and on disk, and hold it to that.

use std::sync::Arc;

use switchhook_core::breaker::{Cause, Change, Record, Settings, State};
use switchhook_core::endpoint::Endpoint;
use switchhook_core::retry::HOLD_MS;
use switchhook_core::time::UnixMs;

use super::gate::{Gate, Gates, Leaving};
use super::{Checked, Invariant, check};

/// What is known of a breaker.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Watch {
    #[default]
    Closed,
    /// Closed at this time of the world.
    ClosedAt(u64),
    Open {
        cause: Cause,
        /// When the next probe may go, in the world's milliseconds; `None`: never by itself.
        until_ms: Option<u64>,
        /// All forward jumps up to then.
        forward_ms: u64,
        settings: Option<Settings>,
    },
}

impl Watch {
    /// Whether something could have gone ever since `since_ms`.
    pub(super) fn lets_go_since(&self, since_ms: u64) -> bool {
        match self {
            Self::Closed => true,
            Self::ClosedAt(at_ms) => *at_ms < since_ms,
            Self::Open { until_ms, .. } => until_ms.is_some_and(|until_ms| until_ms < since_ms),
        }
    }

    /// Under other settings no wait is longer than these allow.
    pub(super) fn configured(&mut self, now: Option<&Settings>, now_ms: u64) {
        if let Self::Open {
            cause,
            until_ms: Some(until_ms),
            settings,
            ..
        } = self
            && settings.as_ref() != now
        {
            *settings = now.cloned();
            *until_ms = (*until_ms).min(now_ms + shortest_ms(*cause, now));
        }
    }
}

impl Gate {
    /// I7: an open breaker lets one probe go at a time, none before its time; a closed one needs none.
    pub(super) fn only_probes(&self, leaving: &Leaving<'_>) -> Checked {
        let right = match &self.watch {
            Watch::Closed | Watch::ClosedAt(_) => !leaving.probe,
            Watch::Open {
                until_ms,
                forward_ms,
                ..
            } => {
                let jumped_ms = leaving.forward_ms.saturating_sub(*forward_ms);
                let due = until_ms.is_some_and(|until_ms| leaving.now_ms + jumped_ms >= until_ms);
                leaving.probe && due && self.in_flight == 0
            }
        };
        check(right, Invariant::ProbeOnly, || {
            format!(
                "{leaving:?} beside {} others: {:?}",
                self.in_flight, self.watch
            )
        })
    }

    /// As a record says that a process before has left it.
    pub(super) fn restore(
        &mut self,
        record: &Record,
        endpoint: &Endpoint,
        wall: UnixMs,
        now_ms: u64,
        forward_ms: u64,
    ) {
        let settings = endpoint.breaker.clone();
        self.was_open = true;
        if record.state == State::Closed {
            return;
        }
        let cause = record.cause.unwrap_or(Cause::Failures);
        let left_ms = record.until.map_or(0, |until| until.since_ms(wall));
        let left_ms = left_ms.min(shortest_ms(cause, settings.as_ref()));
        let by_hand = matches!(cause, Cause::Gone | Cause::Operator);
        self.watch = Watch::Open {
            cause,
            until_ms: (!by_hand).then_some(now_ms + left_ms),
            forward_ms,
            settings,
        };
    }
}

impl Gates {
    /// A breaker has changed.
    pub(crate) fn changed(
        &mut self,
        change: &Change,
        endpoint: Option<&Arc<Endpoint>>,
        wall: UnixMs,
        now_ms: u64,
        forward_ms: u64,
    ) {
        let gate = self.gates.entry(change.endpoint.clone()).or_default();
        gate.was_open = true;
        gate.busy_at_ms = now_ms;
        gate.watch = match change.to {
            State::Closed => Watch::ClosedAt(now_ms),
            State::Open | State::HalfOpen => Watch::Open {
                cause: change.cause,
                until_ms: change.until.map(|until| now_ms + until.since_ms(wall)),
                forward_ms,
                settings: endpoint.and_then(|endpoint| endpoint.breaker.clone()),
            },
        };
    }

    /// A secret of an endpoint has changed: where it refused the old one, a probe may go.
    pub(crate) fn secret_changed(&mut self, endpoint: &str, now_ms: u64) {
        if let Some(gate) = self.gates.get_mut(endpoint)
            && let Watch::Open {
                cause: Cause::Auth,
                until_ms: Some(until_ms),
                ..
            } = &mut gate.watch
        {
            *until_ms = (*until_ms).min(now_ms);
        }
    }

    /// The endpoints that only a person can open, and those that pause for longer than `ms`.
    pub(crate) fn wants_a_person(&self, now_ms: u64, ms: u64) -> Vec<Arc<str>> {
        let stuck = self.gates.iter().filter(|(_, gate)| {
            matches!(gate.watch, Watch::Open { until_ms: None, .. })
                || gate.pauses_beyond(now_ms + ms)
        });
        stuck.map(|(name, _)| name.clone()).collect()
    }
}

/// A wait for this cause may be cut to this, in milliseconds, when it is recovered or settings change.
fn shortest_ms(cause: Cause, settings: Option<&Settings>) -> u64 {
    match (cause, settings) {
        (Cause::Failures, Some(settings)) => settings.open_max_ms.max(settings.open_ms),
        (Cause::Failures, None) => 0,
        (Cause::Auth | Cause::Gone | Cause::Operator, _) => HOLD_MS,
    }
}
