//! What the core makes of the event of a test, and how that differs from what the test expects. Pure.
//!
//! The same functions decide as in the gateway: [`Subscription::select`], the transform, [`dress`](switchhook_core::envelope::dress), the header
//! templates, [`engine::next`]. What a test cannot know is fixed: the event is accepted at [`ACCEPTED_AT`] under one id,
//! the attempt is made at once, and no attempt before it took time, so `max_age` is never reached. An encrypted body is
//! compared before it is encrypted. With a group the first member gets the delivery.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use switchhook_core::delivery::{Verdict, WaitReason};
use switchhook_core::endpoint::Endpoint;
use switchhook_core::engine::{self, Next, Outcome, Standing};
use switchhook_core::event::Event;
use switchhook_core::id::{DeliveryId, EventId, Offset};
use switchhook_core::plan::Plan;
use switchhook_core::retry::{Jitter, Policy, Schedule, bands, parse_retry_after};
use switchhook_core::subscription::{Mismatch, Selection, Subscription, Target};
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{TestDelivery, TestDifference, TestResult};
use switchhook_wire::config::Test;
use switchhook_wire::config::test::{Answer, Delay, Event as Written};
use switchhook_wire::duration;

use super::request::{self, Request};

/// When the event of every test is accepted, and its attempts are made: 2026-01-01T00:00:00Z.
const ACCEPTED_AT: UnixMs = UnixMs(1_767_225_600_000);
/// The id of the event of every test.
const EVENT_ID: EventId = EventId(uuid::Uuid::from_u128(
    0x019b_7609_d400_7000_8000_0000_0000_0001,
));

/// Runs `test` with its event.
pub(super) fn judge(plan: &Plan, test: &Test, written: &Written) -> TestResult {
    let event = event(written);
    let asked = plan.subscriptions.values().filter(|subscription| {
        let only = test.subscription.as_ref();
        only.is_none_or(|only| *only == subscription.name)
    });
    let made: Vec<Made> = asked
        .map(|subscription| make(plan, subscription, test, &event))
        .collect();
    let (differences, error) = compare(test, &made);
    TestResult {
        name: test.name.clone(),
        defined_at: test.defined_at.clone(),
        passed: differences.is_empty() && error.is_none(),
        differences,
        deliveries: made.into_iter().map(|made| made.delivery).collect(),
        error,
    }
}

/// What a subscription made of the event.
struct Made {
    delivery: TestDelivery,
    /// What would be sent; `None` when it does not take the event.
    request: Option<Result<Request, String>>,
    verdict: Option<Verdict>,
    /// Shortest and longest delay to the next attempt.
    delay_ms: Option<(u64, u64)>,
}

fn event(written: &Written) -> Event {
    let headers = written.headers.iter();
    Event {
        offset: Offset(1),
        id: EVENT_ID,
        source: Arc::clone(&written.source),
        kind: Arc::clone(&written.kind),
        key: written.key.clone(),
        received_at: ACCEPTED_AT,
        headers: headers
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        body: Bytes::from(written.body.clone()),
    }
}

fn make(plan: &Plan, subscription: &Subscription, test: &Test, event: &Event) -> Made {
    let selection = subscription.select(event);
    let mut made = Made {
        delivery: TestDelivery {
            subscription: subscription.name.to_string(),
            taken: selection == Selection::Taken,
            text: selection_text(subscription, &selection),
            ..TestDelivery::default()
        },
        request: None,
        verdict: None,
        delay_ms: None,
    };
    let policy = plan.policies.get(&subscription.policy);
    let (Selection::Taken, Some(policy), Some(endpoint)) =
        (selection, policy, endpoint(plan, subscription))
    else {
        return made;
    };
    let attempt = request::Attempt {
        subscription,
        policy,
        endpoint,
        event,
        n: test.attempt,
        at: ACCEPTED_AT,
    };
    let request = request::make(&attempt);
    match &request {
        Ok(request) => made.delivery.body = Some(request.body.clone()),
        Err(error) => made.delivery.text = format!("taken, but {error}"),
    }
    made.request = Some(request);
    if let Some(answer) = &test.answer {
        let delivery = DeliveryId::derive(event.id, &subscription.name);
        let (verdict, delay_ms) = follow(policy, delivery, test.attempt, answer);
        made.delivery.verdict = Some(word(verdict).to_owned());
        made.delivery.earliest_ms = delay_ms.map(|(earliest, _)| earliest);
        made.delivery.latest_ms = delay_ms.map(|(_, latest)| latest);
        (made.verdict, made.delay_ms) = (Some(verdict), delay_ms);
    }
    made
}

/// The endpoint of a subscription; of a group, the first member.
fn endpoint<'p>(plan: &'p Plan, subscription: &Subscription) -> Option<&'p Endpoint> {
    let name = match &subscription.target {
        Target::Endpoint(name) => name,
        Target::Group(name) => plan.groups.get(name)?.members.first()?,
    };
    plan.endpoints.get(name).map(|endpoint| &**endpoint)
}

fn selection_text(subscription: &Subscription, selection: &Selection) -> String {
    match selection {
        Selection::Taken => "takes it".to_owned(),
        Selection::Failed(error) => {
            format!("its filter fails, which makes a dead letter: {error}")
        }
        Selection::PassedOver(Mismatch::Source) => {
            format!(
                "takes nothing of this source, only of {}",
                subscription.sources.join(", ")
            )
        }
        Selection::PassedOver(Mismatch::Type) => {
            let types = subscription.types.iter().map(ToString::to_string);
            format!(
                "takes other types: {}",
                types.collect::<Vec<_>>().join(", ")
            )
        }
        Selection::PassedOver(Mismatch::Filter { at, missing }) => {
            let kind = subscription.types.get(*at).map(ToString::to_string);
            let kind = kind.unwrap_or_default();
            match missing {
                Some(what) => {
                    format!(
                        "its filter of `{kind}` asks for `{what}`, which the event does not have"
                    )
                }
                None => format!("its filter of `{kind}` is false"),
            }
        }
        Selection::PassedOver(Mismatch::Criterion(at)) => {
            format!(
                "criterion {} of `match_criteria` does not hold",
                at.saturating_add(1)
            )
        }
        Selection::PassedOver(Mismatch::When) => "its `when` is false".to_owned(),
        Selection::PassedOver(Mismatch::Missing(what)) => {
            format!("its `when` asks for `{what}`, which the event does not have")
        }
    }
}

/// What follows from `answer` to attempt `n`: the verdict, and the shortest and longest delay to the next attempt.
fn follow(
    policy: &Policy,
    delivery: DeliveryId,
    n: u16,
    answer: &Answer,
) -> (Verdict, Option<(u64, u64)>) {
    let failed = n.saturating_sub(1);
    let standing = Standing {
        attempts: failed,
        counted: failed,
        ..Standing::first(ACCEPTED_AT.plus_ms(policy.max_age_ms))
    };
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let outcome = Outcome {
        at: ACCEPTED_AT,
        duration_ms: 0,
        kind: answer.outcome,
        detail: None,
        retry_after_ms: parse_retry_after(header("retry-after"), header("date"), ACCEPTED_AT),
    };
    let band = bands(policy)
        .into_iter()
        .find(|band| band.attempt == n.saturating_add(1));
    let (earliest, latest) = band.map_or((0, 0), |band| (band.earliest_ms, band.latest_ms));
    let next = |own_ms: u64| {
        // The ends of the schedule's own delay; whatever else moves an attempt is decided by the engine.
        let fixed = Policy {
            schedule: Schedule::Fixed { delay_ms: own_ms },
            jitter: Jitter::None,
            ..policy.clone()
        };
        engine::next(&fixed, standing, delivery, &outcome, false, ACCEPTED_AT)
    };
    let first = next(earliest);
    let verdict = match &first.next {
        Next::Done => Verdict::Delivered,
        Next::Dead(_) => Verdict::Dead,
        Next::Wait { reason, .. } if *reason == WaitReason::Hold => Verdict::Hold,
        Next::Wait { .. } => Verdict::Retry,
    };
    let delay = |next: Next| match next {
        Next::Wait { delay_ms, .. } => Some(delay_ms),
        Next::Done | Next::Dead(_) => None,
    };
    // A hold of the whole endpoint ends when a person or a changed secret ends it.
    let times = first.hold.is_none();
    let band = delay(first.next).zip(delay(next(latest).next));
    (verdict, band.filter(|_| times))
}

/// The word of a test for a verdict.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "done",
        Verdict::Retry => "retry",
        Verdict::Hold => "hold",
        Verdict::Dead => "dead",
    }
}

/// Everything that is not as expected, and why the test could not be judged.
fn compare(test: &Test, made: &[Made]) -> (Vec<TestDifference>, Option<String>) {
    let mut differences = Vec::new();
    let expect = &test.expect;
    if let Some(expected) = &expect.matches {
        let expected: BTreeSet<&str> = expected.iter().map(|name| &**name).collect();
        let taken = made.iter().filter(|made| made.delivery.taken);
        let found: BTreeSet<&str> = taken.map(|made| &*made.delivery.subscription).collect();
        if expected != found {
            differences.push(difference("matches", None, json!(expected), json!(found)));
        }
    }
    let asks_more = expect.body.is_some()
        || !expect.headers.is_empty()
        || expect.verdict.is_some()
        || expect.delay.is_some();
    let taking = || made.iter().filter(|made| made.delivery.taken);
    if asks_more && taking().next().is_none() {
        let error = "no subscription takes the event, so nothing would be sent".to_owned();
        return (differences, Some(error));
    }
    let mut error = None;
    for made in taking() {
        match &made.request {
            Some(Ok(request)) => differences.extend(of_request(test, made, request)),
            Some(Err(words)) if expect.body.is_some() || !expect.headers.is_empty() => {
                error = Some(format!("{}: {words}", made.delivery.subscription));
            }
            Some(Err(_)) | None => {}
        }
        differences.extend(of_answer(test, made));
    }
    (differences, error)
}

fn of_request(test: &Test, made: &Made, request: &Request) -> Vec<TestDifference> {
    let of = Some(&*made.delivery.subscription);
    let mut differences = Vec::new();
    if let Some(expected) = test
        .expect
        .body
        .as_ref()
        .filter(|body| **body != request.body)
    {
        differences.push(difference(
            "body",
            of,
            expected.clone(),
            request.body.clone(),
        ));
    }
    for (name, expected) in &test.expect.headers {
        let found = request.headers.get(name);
        // Which signature it is depends on a secret that is not read.
        let holds = found.is_some_and(|found| found == expected || found == request::SIGNATURE);
        if !holds {
            let what = format!("headers.{name}");
            differences.push(difference(&what, of, json!(expected), json!(found)));
        }
    }
    differences
}

fn of_answer(test: &Test, made: &Made) -> Vec<TestDifference> {
    let of = Some(&*made.delivery.subscription);
    let mut differences = Vec::new();
    if let Some(expected) = test.expect.verdict
        && made.verdict != Some(expected)
    {
        let found = made.verdict.map(word);
        differences.push(difference(
            "verdict",
            of,
            json!(word(expected)),
            json!(found),
        ));
    }
    if let Some(expected) = test.expect.delay {
        let holds = made
            .delay_ms
            .is_some_and(|(earliest, latest)| expected.holds(&(earliest..=latest)));
        if !holds {
            let found = made.delay_ms.map(|(earliest_ms, latest_ms)| {
                delay_text(Delay {
                    earliest_ms,
                    latest_ms,
                })
            });
            differences.push(difference(
                "delay",
                of,
                json!(delay_text(expected)),
                json!(found),
            ));
        }
    }
    differences
}

fn difference(what: &str, of: Option<&str>, expected: Value, found: Value) -> TestDifference {
    TestDifference {
        what: what.to_owned(),
        subscription: of.map(str::to_owned),
        expected,
        found,
    }
}

/// A delay as a test writes it.
fn delay_text(delay: Delay) -> String {
    let (earliest, latest) = (
        duration::format(delay.earliest_ms),
        duration::format(delay.latest_ms),
    );
    match (delay.earliest_ms, delay.latest_ms) {
        (_, u64::MAX) => format!(">= {earliest}"),
        (0, later) if later > 0 => format!("<= {latest}"),
        (first, last) if first == last => earliest,
        _ => format!("{earliest}..{latest}"),
    }
}

#[cfg(test)]
mod tests;
