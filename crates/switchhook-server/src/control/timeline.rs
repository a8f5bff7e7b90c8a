//! `/v1/events/{id}/timeline`: where an event is for each subscription, and why.
//!
//! [`standing`] is a function of what the store holds of one delivery and of what the plan says. The store does not know
//! what is under way, so a delivery without any row is either still before its subscription's cursor or was passed over.
//! Bounds: one entry per subscription of the plan and per one that has left a trace; attempts are bounded by the policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use http::Uri;
use switchhook_core::delivery::{Attempt, Dead, OutcomeKind, Verdict, WaitReason, Waiting};
use switchhook_core::event::Event;
use switchhook_core::id::{DeliveryId, Offset};
use switchhook_core::subscription::Subscription;
use switchhook_core::time::UnixMs;
use switchhook_store::Store;
use switchhook_store::query::History;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{
    AttemptView, BodyForm, DeliveryState, DeliveryView, EventView, TimelineView,
};

use super::answer::{Answer, json};
use super::request::Params;
use super::{Control, events};

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let event = events::find(&control, &id).await?;
    let offset = event.offset;
    // Cursors before rows, and both from the disk: dispatch's own cursor runs ahead of its rows, and a delivery
    // that settles in between must show its row, not a cursor that has passed it.
    let read = move |store: &dyn Store| Ok((store.cursors()?, store.history(offset)?));
    let (cursors, history) = control.read(read).await?;
    let plan = control.gateway.plan.load();
    let traces = traces(&history, plan.subscriptions.keys());
    let now = control.gateway.clock.now();
    let deliveries = traces.into_iter().map(|(name, trace)| {
        let facts = Facts {
            event: &event,
            subscription: plan
                .subscriptions
                .get(name)
                .map(|subscription| &**subscription),
            cursor: cursors.get(name).copied(),
            now,
            trace: &trace,
        };
        view(name, &facts)
    });
    json(TimelineView {
        event: EventView::new(&event, BodyForm::Readable),
        deliveries: deliveries.collect(),
    })
}

/// What the store holds of one delivery.
#[derive(Debug, Default)]
struct Trace<'h> {
    /// By chain and number.
    attempts: Vec<&'h Attempt>,
    waiting: Option<&'h Waiting>,
    dead: Option<&'h Dead>,
}

/// By subscription: those of the plan, and those that have left something.
fn traces<'h>(
    history: &'h History,
    planned: impl Iterator<Item = &'h Arc<str>>,
) -> BTreeMap<&'h str, Trace<'h>> {
    let mut traces: BTreeMap<&str, Trace<'_>> =
        planned.map(|name| (&**name, Trace::default())).collect();
    for attempt in &history.attempts {
        traces
            .entry(&attempt.key.subscription)
            .or_default()
            .attempts
            .push(attempt);
    }
    for waiting in &history.waiting {
        traces.entry(&waiting.key.subscription).or_default().waiting = Some(waiting);
    }
    for dead in &history.dead {
        traces.entry(&dead.key.subscription).or_default().dead = Some(dead);
    }
    traces.values_mut().for_each(|trace| {
        trace
            .attempts
            .sort_by_key(|attempt| (attempt.chain, attempt.n))
    });
    traces
}

/// Everything that [`standing`] looks at.
struct Facts<'f> {
    event: &'f Event,
    /// `None` when it is not in the plan any more.
    subscription: Option<&'f Subscription>,
    /// How far the subscription has got; `None` when dispatch does not know it.
    cursor: Option<Offset>,
    now: UnixMs,
    trace: &'f Trace<'f>,
}

/// Where a delivery stands.
#[derive(Debug, PartialEq)]
struct Standing {
    state: DeliveryState,
    /// Why it waits or was given up, in one word.
    reason: Option<&'static str>,
    next_at: Option<UnixMs>,
    why: String,
}

fn standing(facts: &Facts<'_>) -> Standing {
    let Trace {
        attempts,
        waiting,
        dead,
    } = facts.trace;
    match (dead, waiting, attempts.last()) {
        (Some(dead), _, _) => given_up(dead, attempts.last().copied()),
        (None, Some(waiting), last) => waits(waiting, last.copied(), facts.now),
        (None, None, Some(last)) => settled(last),
        (None, None, None) => untouched(facts),
    }
}

fn given_up(dead: &Dead, last: Option<&Attempt>) -> Standing {
    let because = last.map(|last| {
        format!(
            "; last result {}, judged by `{}`",
            result(last.outcome),
            last.rule
        )
    });
    let why = format!(
        "given up at {} after {}: {}{}",
        rfc3339(dead.at),
        times(dead.attempts),
        dead.reason.name(),
        because.unwrap_or_default()
    );
    Standing {
        state: DeliveryState::Dead,
        reason: Some(dead.reason.name()),
        next_at: None,
        why,
    }
}

fn waits(waiting: &Waiting, last: Option<&Attempt>, now: UnixMs) -> Standing {
    let due = rfc3339(waiting.due_at);
    let when = if waiting.due_at > now {
        format!(
            "waits until {due} for attempt {}",
            waiting.attempts.saturating_add(1)
        )
    } else {
        format!(
            "due since {due}; attempt {} starts when its endpoint has room",
            waiting.attempts.saturating_add(1)
        )
    };
    let because = last
        .map(|last| {
            format!(
                ", because `{}` judged result {}",
                last.rule,
                result(last.outcome)
            )
        })
        .unwrap_or_default();
    let (state, why) = match waiting.reason {
        WaitReason::Retry => (DeliveryState::Waiting, format!("{when}{because}")),
        WaitReason::Replay => (
            DeliveryState::Waiting,
            format!("replayed; {when} of replay {}", waiting.chain),
        ),
        WaitReason::Hold => {
            let why = format!("held for someone to act{because}; tried again at {due}");
            (DeliveryState::Held, why)
        }
        WaitReason::InFlight => {
            let why = "a request has been under way for long, others have gone past it".to_owned();
            (DeliveryState::InFlight, why)
        }
    };
    Standing {
        state,
        reason: Some(waiting.reason.name()),
        next_at: Some(waiting.due_at),
        why,
    }
}

/// No row, but attempts: the last one ended it, or what follows from it is being written.
fn settled(last: &Attempt) -> Standing {
    let (at, outcome) = (rfc3339(last.at), result(last.outcome));
    let (state, reason, why) = match last.verdict {
        Verdict::Delivered => (
            DeliveryState::Delivered,
            None,
            format!("delivered by attempt {} at {at} with {outcome}", last.n),
        ),
        Verdict::Dead => {
            let why = format!(
                "given up after attempt {} at {at} with {outcome}, and then discarded",
                last.n
            );
            (DeliveryState::Dead, Some("discarded"), why)
        }
        Verdict::Retry | Verdict::Hold => (
            DeliveryState::InFlight,
            None,
            format!(
                "after attempt {} with {outcome} the next one is under way",
                last.n
            ),
        ),
    };
    Standing {
        state,
        reason,
        next_at: None,
        why,
    }
}

fn untouched(facts: &Facts<'_>) -> Standing {
    let not_matched = |why: String| Standing {
        state: DeliveryState::NotMatched,
        reason: None,
        next_at: None,
        why,
    };
    let Some(subscription) = facts.subscription else {
        return not_matched("the subscription does not exist any more".to_owned());
    };
    if !subscription.sources.contains(&facts.event.source) {
        return not_matched(format!(
            "source `{}` is none of its sources",
            facts.event.source
        ));
    }
    if !subscription.takes(facts.event) {
        return not_matched(format!("type `{}` is none of its types", facts.event.kind));
    }
    let why = match facts.cursor {
        Some(cursor) if cursor > facts.event.offset => {
            return not_matched(
                "the subscription began later, or took no such events when it passed this one"
                    .to_owned(),
            );
        }
        Some(cursor) => match facts.event.offset.0.saturating_sub(cursor.0) {
            0 => "it is next, or its first request is under way".to_owned(),
            1 => "the cursor of the subscription is 1 event behind it".to_owned(),
            n => format!("the cursor of the subscription is {n} events behind it"),
        },
        None => "the subscription has not started yet".to_owned(),
    };
    Standing {
        state: DeliveryState::Pending,
        reason: None,
        next_at: None,
        why,
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

fn view(name: &str, facts: &Facts<'_>) -> DeliveryView {
    let Standing {
        state,
        reason,
        next_at,
        why,
    } = standing(facts);
    let trace = facts.trace;
    let last = trace.attempts.last();
    let endpoint = facts
        .subscription
        .map(|subscription| &*subscription.endpoint);
    let endpoint = endpoint
        .or(trace.dead.map(|dead| &*dead.endpoint))
        .or(last.map(|last| &*last.endpoint));
    let chains = trace.attempts.iter().map(|attempt| attempt.chain);
    let chains = chains
        .chain(trace.waiting.map(|row| row.chain))
        .chain(trace.dead.map(|dead| dead.chain));
    DeliveryView {
        id: DeliveryId::derive(facts.event.id, name).to_string(),
        subscription: name.to_owned(),
        endpoint: endpoint.unwrap_or_default().to_owned(),
        state,
        chain: chains.max().unwrap_or(0),
        attempts: trace
            .attempts
            .iter()
            .map(|attempt| AttemptView::from(*attempt))
            .collect(),
        next_at: next_at.map(rfc3339),
        reason: reason.map(str::to_owned),
        why,
    }
}

#[cfg(test)]
mod tests;
