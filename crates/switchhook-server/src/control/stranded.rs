//! What a change of resources would take from deliveries that wait: asked before it is done.
//!
//! Nothing of it is lost for ever, but deliveries would stop, move, or overtake each other, and whoever changes a resource
//! may not think of them. What a change does is decided in `switchhook_wire::config`; here is whether any wait.

use switchhook_core::plan::Plan;
use switchhook_store::query::Counts;
use switchhook_wire::config::losses;
use switchhook_wire::problem::{Body as Problem, FieldError, Kind};

use super::answer::{Answer, Refusal};

/// What going from `old` to `new` would strand, move or let overtake of what waits: one for each subscription and way.
pub(crate) fn concerned(old: &Plan, new: &Plan, counts: &Counts) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for loss in losses(old, new) {
        let waiting = counts.waiting.get(&loss.subscription).copied().unwrap_or(0);
        if waiting > 0 {
            let noun = if waiting == 1 {
                "delivery waits"
            } else {
                "deliveries wait"
            };
            errors.push(FieldError {
                pointer: format!("/subscriptions/{}", loss.subscription),
                code: loss.kind.name().to_owned(),
                detail: format!("{waiting} {noun}: {}", loss.text),
                hint: None,
            });
        }
    }
    errors
}

/// A refusal if deliveries wait that going from `old` to `new` would strand, move or let overtake.
pub(super) fn check(old: &Plan, new: &Plan, counts: &Counts) -> Answer<()> {
    refused(concerned(old, new, counts))
}

/// A refusal if there are any.
pub(super) fn refused(errors: Vec<FieldError>) -> Answer<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let detail = match errors.as_slice() {
        [only] => only.detail.clone(),
        several => format!(
            "the waiting deliveries of {} subscriptions are concerned",
            several.len()
        ),
    };
    let body = Problem::new(Kind::Conflict, detail)
        .with_hint("wait until they are done, or repeat the request with `?force=true`")
        .with_errors(errors);
    Err(Refusal::from(body))
}
