//! The states of a breaker and what leads from one to another.
//!
//! * Closed, until so many requests failed in a row over at least two events (one poison event must not stop
//!   the others), or too large a share of those within the window.
//! * Open until a time. With each probe that fails for the same cause that wait doubles, up to a bound; up
//!   to 20 % are added, so that many breakers do not probe together.
//! * Half-open from the first request after that time: one at a time. So many successes in a row close it,
//!   one failure opens it again.
//!
//! Refused credentials, a 410 and an operator open it too, whether it counts failures or not. A graver cause
//! takes the place of a lesser one, never the other way round: operator, gone, auth, failures.
//!
//! Invariants: a success never opens it; nothing but a probe is judged while it is not closed, except for a
//! graver cause; `since` is when it was last closed or ceased to be, whatever happened in between.

use std::sync::Arc;

use crate::delivery::{Failure, OutcomeKind};
use crate::id::Offset;
use crate::limit::window::Window;
use crate::retry::HOLD_MS;
use crate::time::UnixMs;

use super::{Cause, Change, Record, Settings, State};

/// Probes in a row that close a breaker, unless its settings say otherwise (`facts` 5.9).
const SUCCESSES_DEFAULT: u16 = 2;
/// At most so many thousandths are added to the time it stays open.
const JITTER_PER_MILLE: u64 = 200;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    endpoint: Arc<str>,
    settings: Option<Settings>,
    phase: Phase,
    since: UnixMs,
    reason: Option<Arc<str>>,
    failed_probes: u16,
    run: Run,
    /// Calls, and those of them that failed.
    window: Window,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        cause: Cause,
        /// `None`: until a person closes it.
        until: Option<UnixMs>,
    },
    HalfOpen {
        cause: Cause,
        /// Probes in a row.
        succeeded: u16,
    },
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Run {
    length: u16,
    /// Event of the first one.
    first: Offset,
    /// Whether they are of more than one event.
    several: bool,
}

/// Whether a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Yes.
    Free,
    /// As a probe, if none is under way.
    Probe,
    /// Not before this.
    NotBefore(UnixMs),
    /// Not until a person closes the breaker.
    Shut,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// It went out as a probe.
    pub probe: bool,
    /// Which event it carried.
    pub offset: Offset,
    /// What came back.
    pub kind: OutcomeKind,
    /// The same in words.
    pub detail: Option<&'a str>,
    /// The endpoint is to be closed for this cause.
    pub hold: Option<Cause>,
    /// Its secrets were replaced after it was started: refused credentials say nothing about the new ones.
    pub outdated: bool,
    /// It was refused for an excess that was counted already; see [`Ramp::ended`](crate::limit::ramp::Ramp::ended).
    pub known_excess: bool,
    /// Any number, for jitter.
    pub entropy: u64,
}

/// What a result says about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Healthy,
    Failing,
    /// No request was made.
    Nothing,
}

const fn sign(kind: OutcomeKind) -> Sign {
    match kind {
        OutcomeKind::Status(429 | 500..=599) => Sign::Failing,
        OutcomeKind::Status(_) => Sign::Healthy,
        OutcomeKind::Failed(Failure::Blocked | Failure::Template | Failure::Secret) => {
            Sign::Nothing
        }
        OutcomeKind::Failed(
            Failure::Timeout
            | Failure::Dns
            | Failure::Connect
            | Failure::Tls
            | Failure::Reset
            | Failure::Protocol,
        ) => Sign::Failing,
    }
}

/// Whether a result says that the endpoint is not well.
#[must_use]
pub const fn is_failure(kind: OutcomeKind) -> bool {
    matches!(sign(kind), Sign::Failing)
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(endpoint: Arc<str>, settings: Option<Settings>, now: UnixMs) -> Self {
        let window_ms = settings.as_ref().map_or(0, |settings| settings.window_ms);
        Self {
            endpoint,
            settings,
            phase: Phase::Closed,
            since: now,
            reason: None,
            failed_probes: 0,
            run: Run::default(),
            window: Window::new(window_ms),
        }
    }

    /// One that goes on where `record` says. A wait is never longer than it can be made now, should the
    /// clock have gone back since.
    #[must_use]
    pub fn restore(record: &Record, settings: Option<Settings>, now: UnixMs) -> Self {
        let mut breaker = Self::new(record.endpoint.clone(), settings, now);
        breaker.since = record.since.min(now);
        if record.state == State::Closed {
            return breaker;
        }
        let cause = record.cause.unwrap_or(Cause::Failures);
        let was_open = record.state == State::Open;
        let until = match cause {
            Cause::Gone | Cause::Operator => None,
            Cause::Auth | Cause::Failures => {
                let until = record.until.filter(|_| was_open).unwrap_or(now);
                Some(until.min(now.plus_ms(breaker.longest_ms(cause))))
            }
        };
        breaker.phase = Phase::Open { cause, until };
        breaker.reason = record.reason.clone();
        breaker.failed_probes = record.failed_probes;
        breaker
    }

    /// Goes on under changed settings. One that counts failures no longer probes at once.
    pub fn configure(&mut self, settings: Option<Settings>, now: UnixMs) {
        if self.settings == settings {
            return;
        }
        self.window = Window::new(settings.as_ref().map_or(0, |settings| settings.window_ms));
        self.settings = settings;
        if let Phase::Open {
            cause: cause @ (Cause::Failures | Cause::Auth),
            until: Some(until),
        } = &mut self.phase
        {
            let longest_ms = longest_ms(self.settings.as_ref(), *cause);
            *until = (*until).min(now.plus_ms(longest_ms));
        }
    }

    /// Whether a request may go now.
    #[must_use]
    pub fn look(&self, now: UnixMs) -> Look {
        match self.phase {
            Phase::Closed => Look::Free,
            Phase::Open { until: None, .. } => Look::Shut,
            Phase::Open {
                until: Some(until), ..
            } if until > now => Look::NotBefore(until),
            Phase::Open { .. } | Phase::HalfOpen { .. } => Look::Probe,
        }
    }

    /// A probe goes out, as [`Breaker::look`] allowed.
    pub fn begin_probe(&mut self) {
        if let Phase::Open { cause, .. } = self.phase {
            self.phase = Phase::HalfOpen {
                cause,
                succeeded: 0,
            };
        }
    }

    /// Judges a request that has ended.
    pub fn ended(&mut self, call: &Call<'_>, now: UnixMs) -> Option<Change> {
        if let Some(cause) = call.hold {
            return self.refused(cause, call, now);
        }
        match (self.phase, sign(call.kind)) {
            (_, Sign::Nothing) => None,
            (Phase::Closed, _) if call.known_excess => None,
            (Phase::Closed, sign) => self.count(call, sign == Sign::Failing, now),
            (Phase::Open { .. }, _) => None,
            (Phase::HalfOpen { .. }, _) if !call.probe => None,
            (Phase::HalfOpen { .. }, Sign::Failing) if self.settings.is_some() => {
                Some(self.probe_failed(Cause::Failures, call, now))
            }
            // Where failures are not counted, any answer but a refusal ends a hold.
            (Phase::HalfOpen { cause, succeeded }, Sign::Healthy | Sign::Failing) => {
                let succeeded = succeeded.saturating_add(1);
                if succeeded >= self.successes() {
                    return Some(self.close(now));
                }
                self.phase = Phase::HalfOpen { cause, succeeded };
                None
            }
        }
    }

    /// An operator opens it. Says so even where it is open for another cause.
    pub fn open_by_hand(&mut self, reason: Option<Arc<str>>, now: UnixMs) -> Option<Change> {
        if self.cause() == Some(Cause::Operator) {
            self.reason = reason;
            return None;
        }
        Some(self.open(Cause::Operator, reason, None, now))
    }

    /// An operator closes it, whatever it is open for.
    pub fn close_by_hand(&mut self, now: UnixMs) -> Option<Change> {
        (self.phase != Phase::Closed).then(|| self.close(now))
    }

    /// A secret of the endpoint was replaced: whether a probe is due now that was not.
    pub fn secret_changed(&mut self, now: UnixMs) -> bool {
        match &mut self.phase {
            Phase::Open {
                cause: Cause::Auth,
                until: Some(until),
            } if *until > now => {
                *until = now;
                true
            }
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => false,
        }
    }

    /// The clock went back: what is left of a wait stays as long as it is.
    pub fn clock_went_back(&mut self, by_ms: u64) {
        self.since = self.since.minus_ms(by_ms);
        self.window.clear();
        if let Phase::Open {
            until: Some(until), ..
        } = &mut self.phase
        {
            *until = until.minus_ms(by_ms);
        }
    }

    /// What it is.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Why it is not closed.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        match self.phase {
            Phase::Closed => None,
            Phase::Open { cause, .. } | Phase::HalfOpen { cause, .. } => Some(cause),
        }
    }

    /// What is to outlive a restart, with the pause that the gate keeps.
    #[must_use]
    pub fn record(&self, pause_until: UnixMs) -> Record {
        let until = match self.phase {
            Phase::Open { until, .. } => until,
            Phase::Closed | Phase::HalfOpen { .. } => None,
        };
        Record {
            endpoint: self.endpoint.clone(),
            state: self.state(),
            cause: self.cause(),
            since: self.since,
            until,
            failed_probes: self.failed_probes,
            reason: self.reason.clone(),
            pause_until,
        }
    }

    /// The endpoint refused us in a way that only a person or a new secret mends.
    fn refused(&mut self, cause: Cause, call: &Call<'_>, now: UnixMs) -> Option<Change> {
        match self.phase {
            Phase::HalfOpen { .. } if call.probe => Some(self.probe_failed(cause, call, now)),
            Phase::Open { cause: now_for, .. } | Phase::HalfOpen { cause: now_for, .. }
                if cause <= now_for =>
            {
                None
            }
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => {
                let until = self.until(cause, call, now);
                Some(self.open(cause, Some(in_words(call)), until, now))
            }
        }
    }

    /// Counts a request while closed; opens when there were too many failures.
    fn count(&mut self, call: &Call<'_>, failed: bool, now: UnixMs) -> Option<Change> {
        let settings = self.settings.as_ref()?;
        self.window.add(1, u32::from(failed), now);
        if !failed {
            self.run = Run::default();
            return None;
        }
        if self.run.length == 0 {
            self.run.first = call.offset;
        }
        self.run.length = self.run.length.saturating_add(1);
        self.run.several |= call.offset != self.run.first;
        let in_a_row = self.run.several && self.run.length >= settings.failures;
        if !in_a_row && !too_large_a_share(settings, self.window.totals(now, 0)) {
            return None;
        }
        let until = self.until(Cause::Failures, call, now);
        Some(self.open(Cause::Failures, Some(in_words(call)), until, now))
    }

    fn probe_failed(&mut self, cause: Cause, call: &Call<'_>, now: UnixMs) -> Change {
        let same = self.cause() == Some(cause);
        if same {
            self.failed_probes = self.failed_probes.saturating_add(1);
        } else {
            self.failed_probes = 0;
        }
        let until = self.until(cause, call, now);
        self.open(cause, Some(in_words(call)), until, now)
    }

    /// Until when it stays open for `cause`.
    fn until(&self, cause: Cause, call: &Call<'_>, now: UnixMs) -> Option<UnixMs> {
        match cause {
            Cause::Gone | Cause::Operator => None,
            Cause::Auth if call.outdated => Some(now),
            Cause::Auth => Some(now.plus_ms(HOLD_MS)),
            Cause::Failures => {
                let (first_ms, max_ms) = self
                    .settings
                    .as_ref()
                    .map_or((0, 0), |settings| (settings.open_ms, settings.open_max_ms));
                let doubled = 1_u64.checked_shl(u32::from(self.failed_probes));
                let open_ms = first_ms
                    .saturating_mul(doubled.unwrap_or(u64::MAX))
                    .min(max_ms.max(first_ms));
                let per_mille = call.entropy % (JITTER_PER_MILLE + 1);
                Some(now.plus_ms(open_ms.saturating_add(open_ms.saturating_mul(per_mille) / 1_000)))
            }
        }
    }

    /// Opens it, or changes why it is open. A changed cause is a change from open to open.
    fn open(
        &mut self,
        cause: Cause,
        reason: Option<Arc<str>>,
        until: Option<UnixMs>,
        now: UnixMs,
    ) -> Change {
        let from = match self.cause() {
            Some(before) if before != cause => State::Open,
            Some(_) | None => self.state(),
        };
        if self.phase == Phase::Closed {
            self.since = now;
            self.failed_probes = 0;
        }
        self.phase = Phase::Open { cause, until };
        self.reason = reason;
        self.change(from, cause, now)
    }

    fn close(&mut self, now: UnixMs) -> Change {
        let from = self.state();
        let cause = self.cause().unwrap_or(Cause::Failures);
        self.phase = Phase::Closed;
        self.since = now;
        self.failed_probes = 0;
        self.run = Run::default();
        self.window.clear();
        let change = self.change(from, cause, now);
        self.reason = None;
        change
    }

    fn change(&self, from: State, cause: Cause, now: UnixMs) -> Change {
        let until = match self.phase {
            Phase::Open { until, .. } => until,
            Phase::Closed | Phase::HalfOpen { .. } => None,
        };
        Change {
            endpoint: self.endpoint.clone(),
            from,
            to: self.state(),
            cause,
            reason: self.reason.clone(),
            at: now,
            until,
        }
    }

    fn successes(&self) -> u16 {
        let settings = self.settings.as_ref();
        settings.map_or(SUCCESSES_DEFAULT, |settings| settings.successes.max(1))
    }

    fn longest_ms(&self, cause: Cause) -> u64 {
        longest_ms(self.settings.as_ref(), cause)
    }
}

/// The longest that a breaker can stay open for a cause that time ends, in milliseconds.
fn longest_ms(settings: Option<&Settings>, cause: Cause) -> u64 {
    match (cause, settings) {
        (Cause::Failures, Some(settings)) => {
            let max_ms = settings.open_max_ms.max(settings.open_ms);
            max_ms.saturating_add(max_ms / 1_000 * JITTER_PER_MILLE)
        }
        (Cause::Failures, None) => 0,
        (Cause::Auth | Cause::Gone | Cause::Operator, _) => HOLD_MS,
    }
}

fn too_large_a_share(settings: &Settings, (calls, failed): (u64, u64)) -> bool {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a window are far below 2^52"
    )]
    let reached = failed as f64 >= settings.share * calls as f64;
    calls >= u64::from(settings.calls_min) && failed > 0 && reached
}

/// What came back, for people. Never the body of an answer: it goes into alerts.
fn in_words(call: &Call<'_>) -> Arc<str> {
    match (call.kind, call.detail) {
        (OutcomeKind::Status(status), _) => format!("it answered {status}").into(),
        (OutcomeKind::Failed(failure), Some(detail)) => {
            format!("{}: {detail}", failure.name()).into()
        }
        (OutcomeKind::Failed(failure), None) => failure.name().into(),
    }
}
