//! How results and failures of a management API are shown, and how they end the process.

use serde_json::{Value, json};
use switchhook_genesys::change::{Made, Wish};
use switchhook_genesys::limits::Class;
use switchhook_genesys::refusal::{Error, Fault};
use switchhook_wire::change::Figures;

use crate::exit::{Code, Failure};
use crate::output::{counted, cut, span};

/// What `error` means for the process.
pub(crate) fn failure(error: &Error) -> Failure {
    let code = match error.class() {
        Some(Class::Invalid) => Code::Invalid,
        Some(Class::Denied) => Code::Denied,
        Some(Class::NotFound) => Code::NotFound,
        Some(Class::Conflict) => Code::Conflict,
        Some(Class::Unavailable) => Code::Unavailable,
        Some(Class::Foreign) | None => Code::Unexpected,
    };
    let failure = Failure::new(code, error.to_string());
    match (error, error.status()) {
        (_, Some(401)) => {
            failure.hint("check the OAuth client's id and secret, and that they are of this API")
        }
        (_, Some(403)) => {
            failure.hint("give the OAuth client the permission or scope that is named")
        }
        (Error::Ambiguous { .. }, _) => failure.hint("name the one you mean by its id"),
        (Error::Foreign { .. }, _) | (_, Some(300..=399)) => {
            failure.hint("check that --base or --region names a webhook-management API")
        }
        (
            Error::Refused(_)
            | Error::Broken { .. }
            | Error::Stopped { .. }
            | Error::Absent { .. }
            | Error::Journal(_),
            _,
        ) => failure,
    }
}

/// What is wrong with `what`, before anything was sent.
pub(crate) fn invalid(what: &str, faults: &[Fault]) -> Failure {
    let mut text = format!("{what} is not valid, nothing was sent");
    for fault in faults {
        let at = if fault.field.is_empty() {
            "body"
        } else {
            &fault.field
        };
        text.push_str(&format!("\n  {at}: {}", fault.message));
        if let Some(hint) = &fault.hint {
            text.push_str(&format!("; {hint}"));
        }
    }
    Failure::new(Code::Invalid, text)
}

/// A change that is in force, as JSON.
pub(crate) fn made_json(wish: &Wish, made: &Made) -> Value {
    json!({
        "target": wish.target,
        "operation": wish.operation.name(),
        "dialect": wish.dialect.name(),
        "result": made.effect.name(),
        "id": made.object,
        "etag": made.etag,
        "change": made.id,
        "replayed": made.is_replayed,
        "resumed": made.is_resumed,
        "tries": made.tries,
        "latencyMs": made.latency_ms,
    })
}

/// The same for people.
pub(crate) fn made_text(wish: &Wish, made: &Made) -> String {
    let id = made.object.as_deref().unwrap_or("-");
    let resumed = if made.is_resumed {
        ", begun before"
    } else {
        ""
    };
    format!(
        "{}  {}  {id}  {}, {}{resumed}",
        made.effect.name(),
        cut(&wish.target, 64),
        counted(made.tries.into(), "request"),
        span(made.latency_ms)
    )
}

/// Counts, success rate and average latency.
pub(crate) fn figures_text(figures: &Figures) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an average of milliseconds, not negative"
    )]
    let average_ms = figures.average_latency_ms.round() as u64;
    format!(
        "{}, {} in force, {} failed ({:.1} % in force), {}, {} on average",
        counted(figures.totals.total, "change"),
        figures.totals.succeeded,
        figures.totals.failed,
        figures.success_rate,
        counted(figures.totals.tries, "request"),
        span(average_ms)
    )
}
