//! Where one delivery stands, and why: for timelines and explanations.
//!
//! [`standing`] is a function of what the store holds of the delivery, of where dispatch has it, and of what may keep it:
//! the pause of its subscription, the breaker of its endpoint, an earlier event of its key. What is final in the store
//! wins over what dispatch said a moment before. A delivery without any trace is still before its cursor, is on its way
//! for the first time, or was passed over.

use switchhook_core::breaker;
use switchhook_core::delivery::{Attempt, Dead, Gap, OutcomeKind, Verdict, WaitReason, Waiting};
use switchhook_core::engine::{EndpointNow, Located};
use switchhook_core::event::{Event, OWN_SOURCE};
use switchhook_core::id::Offset;
use switchhook_core::subscription::{Mismatch, Selection, Subscription};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Pause;
use switchhook_wire::api::DeliveryState;
use switchhook_wire::api::time::rfc3339;

/// Names that a sentence lists; a subscription may have a thousand types.
const LISTED_MAX: usize = 10;

/// What the store holds of one delivery.
#[derive(Debug, Default)]
pub(super) struct Trace<'h> {
    /// By chain and number.
    pub(super) attempts: Vec<&'h Attempt>,
    pub(super) waiting: Option<&'h Waiting>,
    pub(super) dead: Option<&'h Dead>,
}

/// Everything that [`standing`] looks at.
#[derive(Debug)]
pub(super) struct Facts<'f> {
    pub(super) event: &'f Event,
    /// `None` when it is not in the plan any more.
    pub(super) subscription: Option<&'f Subscription>,
    /// How far its partition has got; `None` when the store does not know it.
    pub(super) cursor: Option<Offset>,
    /// Where dispatch has it; `None` when dispatch does not know the subscription.
    pub(super) located: Option<Located>,
    /// The endpoint that its partition works with; `None` while that is given to nobody.
    pub(super) endpoint: Option<&'f EndpointNow>,
    pub(super) pause: Option<&'f Pause>,
    pub(super) now: UnixMs,
    pub(super) trace: &'f Trace<'f>,
}

/// Where a delivery stands.
#[derive(Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) state: DeliveryState,
    /// Why it waits or was given up, in one word.
    pub(super) reason: Option<&'static str>,
    pub(super) next_at: Option<UnixMs>,
    /// The earlier event of its key that it waits for.
    pub(super) behind: Option<Offset>,
    /// Whether the breaker of its endpoint keeps it.
    pub(super) by_breaker: bool,
    pub(super) why: String,
}

impl Standing {
    fn new(state: DeliveryState, why: String) -> Self {
        Self {
            state,
            reason: None,
            next_at: None,
            behind: None,
            by_breaker: false,
            why,
        }
    }
}

pub(super) fn standing(facts: &Facts<'_>) -> Standing {
    let Trace {
        attempts,
        waiting,
        dead,
    } = facts.trace;
    match (dead, waiting, attempts.last()) {
        (Some(dead), _, last) => given_up(dead, last.copied()),
        (None, Some(row), last) => waits(row, last.copied(), facts),
        (None, None, Some(last)) => settled(last),
        (None, None, None) => untouched(facts),
    }
}

fn given_up(dead: &Dead, last: Option<&Attempt>) -> Standing {
    let because = last.map(|last| {
        let result = result(last.outcome);
        format!("; last result {result}, judged by `{}`", last.rule)
    });
    let gap = match dead.gap {
        Gap::None => "",
        Gap::Skipped => "; the later events of its key went on without it",
        Gap::Halted => "; the later events of its key wait until it is replayed or discarded",
    };
    let why = format!(
        "given up at {} after {}: {}{}{gap}",
        rfc3339(dead.at),
        times(dead.attempts),
        dead.reason.name(),
        because.unwrap_or_default()
    );
    Standing {
        reason: Some(dead.reason.name()),
        ..Standing::new(DeliveryState::Dead, why)
    }
}

fn waits(row: &Waiting, last: Option<&Attempt>, facts: &Facts<'_>) -> Standing {
    let n = row.attempts.saturating_add(1);
    let because = last
        .map(|last| {
            let result = result(last.outcome);
            format!(", because `{}` judged result {result}", last.rule)
        })
        .unwrap_or_default();
    let found = if facts.located == Some(Located::UnderWay) {
        Standing::new(
            DeliveryState::InFlight,
            format!("attempt {n} is under way{because}"),
        )
    } else {
        match row.reason {
            WaitReason::Retry => due(row, format!("for attempt {n}{because}"), facts),
            WaitReason::Replay => due(
                row,
                format!("for attempt {n} of replay {}", row.chain),
                facts,
            ),
            WaitReason::Hold => {
                let at = rfc3339(row.due_at);
                let why = format!("held for someone to act{because}; tried again at {at}");
                Standing::new(DeliveryState::Held, why)
            }
            WaitReason::InFlight => Standing::new(
                DeliveryState::InFlight,
                "a request has been under way for long, others have gone past it".to_owned(),
            ),
            WaitReason::Order => in_order(facts),
        }
    };
    let next_at = Some(row.due_at).filter(|at| *at != UnixMs::NEVER);
    let found = Standing {
        reason: Some(row.reason.name()),
        next_at,
        ..found
    };
    stopped(found, facts)
}

/// A row that waits for its time, and then for its turn.
fn due(row: &Waiting, what: String, facts: &Facts<'_>) -> Standing {
    let at = rfc3339(row.due_at);
    if row.due_at > facts.now {
        let then = breaker_text(facts)
            .map(|text| format!("; if nothing changes it is held then, because {text}"))
            .unwrap_or_default();
        let why = format!("waits until {at} {what}{then}");
        return Standing::new(DeliveryState::Waiting, why);
    }
    if let Some(Located::Behind(_)) = facts.located {
        return in_order(facts);
    }
    let whose = format!("due since {at} {what}");
    match breaker_text(facts) {
        Some(text) => Standing {
            by_breaker: true,
            ..Standing::new(
                DeliveryState::Held,
                format!("{whose}; held, because {text}"),
            )
        },
        None => Standing::new(
            DeliveryState::Queued,
            format!("{whose}; it starts when its endpoint has room"),
        ),
    }
}

/// A delivery whose turn has not come.
fn in_order(facts: &Facts<'_>) -> Standing {
    let behind = match facts.located {
        Some(Located::Behind(offset)) => Some(offset),
        Some(Located::NotReached | Located::Queued | Located::UnderWay | Located::Elsewhere)
        | None => None,
    };
    let whom = behind.map_or_else(
        || "an earlier event of its key".to_owned(),
        |offset| format!("the earlier event of its key at offset {offset}"),
    );
    Standing {
        reason: Some(WaitReason::Order.name()),
        behind,
        ..Standing::new(
            DeliveryState::Held,
            format!("waits for {whom} to be settled"),
        )
    }
}

/// What keeps the endpoint from getting anything, as what follows `because`.
fn breaker_text(facts: &Facts<'_>) -> Option<String> {
    let endpoint = facts.endpoint?;
    let name = &endpoint.endpoint;
    if endpoint.state == breaker::State::Closed {
        let until = endpoint.pause_until.filter(|until| *until > facts.now)?;
        let until = rfc3339(until);
        return Some(format!(
            "endpoint `{name}` asked to be left alone until {until}"
        ));
    }
    let (state, since) = (endpoint.state.name(), rfc3339(endpoint.since));
    let cause = endpoint
        .cause
        .map_or_else(String::new, |cause| format!(" ({})", cause_text(cause)));
    let reason = endpoint
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {reason}"));
    let next = endpoint.until.map_or_else(String::new, |until| {
        format!("; next probe at {}", rfc3339(until))
    });
    Some(format!(
        "the breaker of endpoint `{name}` is {state} from {since} on{cause}{reason}{next}"
    ))
}

const fn cause_text(cause: breaker::Cause) -> &'static str {
    match cause {
        breaker::Cause::Failures => "too many requests failed",
        breaker::Cause::Auth => "it refuses our credentials",
        breaker::Cause::Gone => "it said that it is gone",
        breaker::Cause::Operator => "a person opened it",
    }
}

/// A delivery that has not ended and is not under way stands still while its subscription is paused or switched off.
fn stopped(found: Standing, facts: &Facts<'_>) -> Standing {
    let by_person = facts.pause.map(|pause| {
        let reason = pause
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        format!("paused since {}{reason}", rfc3339(pause.at))
    });
    let is_off = facts.subscription.is_some_and(|own| !own.enabled);
    let by_file = is_off.then(|| "switched off by `enabled = false`".to_owned());
    let reasons: Vec<String> = by_file.into_iter().chain(by_person).collect();
    let goes = reasons.is_empty() || found.state == DeliveryState::InFlight;
    if goes || found.state.is_final() {
        return found;
    }
    Standing {
        state: DeliveryState::Paused,
        why: format!(
            "its subscription is {}; {}",
            reasons.join(" and "),
            found.why
        ),
        ..found
    }
}

/// No row, but attempts: the last one ended it, or what follows from it is being written.
fn settled(last: &Attempt) -> Standing {
    let (at, outcome) = (rfc3339(last.at), result(last.outcome));
    match last.verdict {
        Verdict::Delivered => {
            let why = format!("delivered by attempt {} at {at} with {outcome}", last.n);
            Standing::new(DeliveryState::Delivered, why)
        }
        Verdict::Dead => {
            let why = format!(
                "given up after attempt {} at {at} with {outcome}, and then discarded",
                last.n
            );
            Standing {
                reason: Some("discarded"),
                ..Standing::new(DeliveryState::Dead, why)
            }
        }
        Verdict::Retry | Verdict::Hold => {
            let why = format!(
                "after attempt {} with {outcome} the next one is under way",
                last.n
            );
            Standing::new(DeliveryState::InFlight, why)
        }
    }
}

fn untouched(facts: &Facts<'_>) -> Standing {
    let not_matched = |why| Standing::new(DeliveryState::NotMatched, why);
    let Some(subscription) = facts.subscription else {
        return not_matched("the subscription does not exist any more".to_owned());
    };
    if let Selection::PassedOver(mismatch) = subscription.select(facts.event) {
        return not_matched(mismatch_text(subscription, facts.event, &mismatch));
    }
    let found = match facts.located {
        Some(Located::UnderWay) => {
            let why = "its first request is under way".to_owned();
            Standing::new(DeliveryState::InFlight, why)
        }
        Some(Located::Behind(_)) => in_order(facts),
        Some(Located::Queued) => queued(facts),
        Some(Located::NotReached | Located::Elsewhere) | None => match facts.cursor {
            Some(cursor) if cursor > facts.event.offset => {
                let why = "the subscription began later, a seek left the event out, or it took no such events when \
                           it passed this one";
                return not_matched(why.to_owned());
            }
            cursor => not_reached(facts.event.offset, cursor),
        },
    };
    stopped(found, facts)
}

/// Waits for a slot for the first time.
fn queued(facts: &Facts<'_>) -> Standing {
    match breaker_text(facts) {
        Some(text) => Standing {
            by_breaker: true,
            ..Standing::new(DeliveryState::Held, format!("held, because {text}"))
        },
        None if facts.endpoint.is_none() => {
            let why = "its partition is given to no endpoint now".to_owned();
            Standing::new(DeliveryState::Held, why)
        }
        None => {
            let why = "its first attempt starts when its endpoint has room".to_owned();
            Standing::new(DeliveryState::Queued, why)
        }
    }
}

fn not_reached(offset: Offset, cursor: Option<Offset>) -> Standing {
    let why = match cursor.map(|cursor| offset.0.saturating_sub(cursor.0)) {
        Some(0) => "it is next, or its first request is under way".to_owned(),
        Some(1) => "the cursor of the subscription is 1 event behind it".to_owned(),
        Some(n) => format!("the cursor of the subscription is {n} events behind it"),
        None => "the subscription has not started yet".to_owned(),
    };
    Standing::new(DeliveryState::Pending, why)
}

/// Why `subscription` does not take `event`, in one sentence.
pub(super) fn mismatch_text(
    subscription: &Subscription,
    event: &Event,
    mismatch: &Mismatch,
) -> String {
    match mismatch {
        Mismatch::Source if event.source.as_ref() == OWN_SOURCE => {
            let known = listed(subscription.sources.iter());
            format!(
                "an event of the gateway's own goes only to those that name `{OWN_SOURCE}`: its sources are {known}"
            )
        }
        Mismatch::Source => {
            let known = listed(subscription.sources.iter());
            format!("source `{}` is none of its sources: {known}", event.source)
        }
        Mismatch::Type => {
            let known = listed(subscription.types.iter());
            format!("type `{}` is none of its types: {known}", event.kind)
        }
        Mismatch::Filter { at, missing } => filter_text(subscription, *at, missing.as_deref()),
        Mismatch::Criterion(at) => {
            let (n, all) = (at.saturating_add(1), subscription.criteria.len());
            format!("criterion {n} of {all} does not hold of the body")
        }
        Mismatch::When => format!("`when` is false: {}", when(subscription)),
        Mismatch::Missing(what) => format!(
            "`when` asks for {what}, which the event does not have: {}",
            when(subscription)
        ),
    }
}

fn filter_text(subscription: &Subscription, at: usize, missing: Option<&str>) -> String {
    let kind = subscription.types.get(at).map(ToString::to_string);
    let kind = kind.unwrap_or_default();
    let filter = subscription.filters.get(&at);
    let filter = filter.map(|filter| filter.text()).unwrap_or_default();
    match missing {
        Some(what) => format!(
            "the filter of `{kind}` asks for {what}, which the event does not have: `{filter}`"
        ),
        None => format!("the filter of `{kind}` is false: `{filter}`"),
    }
}

fn when(subscription: &Subscription) -> String {
    let text = subscription.when.as_ref().map(|when| when.text());
    format!("`{}`", text.unwrap_or_default())
}

/// The first few of `names`, and how many there are besides.
fn listed(names: impl ExactSizeIterator<Item = impl std::fmt::Display>) -> String {
    let more = names.len().saturating_sub(LISTED_MAX);
    let shown: Vec<String> = names
        .take(LISTED_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    let shown = shown.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

fn result(outcome: OutcomeKind) -> String {
    match outcome {
        OutcomeKind::Status(status) => format!("status {status}"),
        OutcomeKind::Failed(failure) => failure.name().to_owned(),
    }
}

fn times(attempts: u16) -> String {
    format!("{attempts} attempt{}", if attempts == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
