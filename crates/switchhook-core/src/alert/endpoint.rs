//! What is told of an endpoint's breaker: that it opened, changed its cause, and closed. A probe that failed
//! is no news.

use serde_json::json;

use crate::breaker::{Cause, Change, State};
use crate::time::rfc3339;

use super::{Notice, OwnEvent};

/// Type: too many requests to an endpoint failed, and none goes out for a while.
pub const BREAKER_OPENED: &str = "switchhook.breaker.opened";
/// Type: requests go out again.
pub const BREAKER_CLOSED: &str = "switchhook.breaker.closed";
/// Type: an endpoint refuses our credentials.
pub const ENDPOINT_AUTH_HOLD: &str = "switchhook.endpoint.auth-hold";
/// Type: an endpoint says that it is gone.
pub const ENDPOINT_GONE: &str = "switchhook.endpoint.gone";
/// Type: a person paused an endpoint.
pub const ENDPOINT_PAUSED: &str = "switchhook.endpoint.paused";
/// Type: a person resumed an endpoint that a person had paused.
pub const ENDPOINT_RESUMED: &str = "switchhook.endpoint.resumed";

/// The event that tells of a change, if it is news. `number` tells it from another change of the same
/// endpoint in the same millisecond.
#[must_use]
pub fn breaker_changed(change: &Change, number: u64) -> Option<OwnEvent> {
    let raised = match (change.from, change.to) {
        (State::Closed | State::Open, State::Open) => true,
        (_, State::Closed) => false,
        (State::HalfOpen, State::Open) | (_, State::HalfOpen) => return None,
    };
    let (kind, severity, what) = if raised {
        raised_as(change.cause)
    } else if change.cause == Cause::Operator {
        (ENDPOINT_RESUMED, "info", "was resumed")
    } else {
        (BREAKER_CLOSED, "info", "gets deliveries again")
    };
    let name = &*change.endpoint;
    let title = format!("Endpoint {name} {what}");
    let summary = match (raised, &change.reason, change.until) {
        (false, _, _) => format!("{title}; what was held for it is being delivered."),
        (true, reason, until) => {
            let why = reason
                .as_ref()
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            let next = until.map_or_else(
                || "until someone closes its breaker".into(),
                |until| format!("and tried again at {}", rfc3339(until)),
            );
            format!("{title}{why}; its deliveries are held {next}.")
        }
    };
    let notice = Notice {
        title,
        severity,
        raised,
        subject: ("endpoint", name),
        summary,
        at: change.at,
    };
    let details = json!({
        "endpoint": name,
        "cause": change.cause.name(),
        "from": change.from.name(),
        "to": change.to.name(),
        "reason": change.reason.as_deref(),
        "until": change.until.map(rfc3339),
    });
    Some(notice.event(kind, number, details))
}

const fn raised_as(cause: Cause) -> (&'static str, &'static str, &'static str) {
    match cause {
        Cause::Failures => (BREAKER_OPENED, "error", "is failing"),
        Cause::Auth => (ENDPOINT_AUTH_HOLD, "critical", "refuses our credentials"),
        Cause::Gone => (ENDPOINT_GONE, "critical", "says that it is gone (410)"),
        Cause::Operator => (ENDPOINT_PAUSED, "warning", "was paused"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::time::UnixMs;

    fn change(from: State, to: State, cause: Cause) -> Change {
        Change {
            endpoint: "crm".into(),
            from,
            to,
            cause,
            reason: Some("it answered 503".into()),
            at: UnixMs(1_700_000_000_123),
            until: (to == State::Open && cause < Cause::Gone).then_some(UnixMs(1_700_000_030_123)),
        }
    }

    #[test]
    fn what_opens_changes_its_cause_or_closes_is_told_and_a_probe_is_not() {
        use Cause::{Auth, Failures, Gone, Operator};
        use State::{Closed, HalfOpen, Open};
        for (from, to, cause, kind) in [
            (Closed, Open, Failures, Some(BREAKER_OPENED)),
            (Closed, Open, Auth, Some(ENDPOINT_AUTH_HOLD)),
            (Open, Open, Auth, Some(ENDPOINT_AUTH_HOLD)),
            (Closed, Open, Gone, Some(ENDPOINT_GONE)),
            (Open, Open, Operator, Some(ENDPOINT_PAUSED)),
            (Open, HalfOpen, Failures, None),
            (HalfOpen, Open, Failures, None),
            (HalfOpen, Closed, Failures, Some(BREAKER_CLOSED)),
            (Open, Closed, Gone, Some(BREAKER_CLOSED)),
            (Open, Closed, Operator, Some(ENDPOINT_RESUMED)),
        ] {
            let event = breaker_changed(&change(from, to, cause), 1);
            assert_eq!(
                event.as_ref().map(|event| &*event.kind),
                kind,
                "{from:?} {to:?} {cause:?}"
            );
        }
    }

    #[test]
    fn the_body_says_what_who_why_and_until_when() {
        let event =
            breaker_changed(&change(State::Closed, State::Open, Cause::Failures), 1).unwrap();
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        let expected = json!({
            "title": "Endpoint crm is failing",
            "severity": "error",
            "state": "raised",
            "subject": { "kind": "endpoint", "name": "crm" },
            "summary": "Endpoint crm is failing: it answered 503; its deliveries are held and tried again at \
                        2023-11-14T22:13:50.123Z.",
            "at": "2023-11-14T22:13:20.123Z",
            "endpoint": "crm",
            "cause": "failures",
            "from": "closed",
            "to": "open",
            "reason": "it answered 503",
            "until": "2023-11-14T22:13:50.123Z",
        });
        assert_eq!(body, expected);
        assert_eq!(
            event.key.as_deref(),
            Some("crm"),
            "in order for each endpoint"
        );
    }

    #[test]
    fn an_id_repeats_for_the_same_change_and_for_no_other() {
        let opened = change(State::Closed, State::Open, Cause::Failures);
        let id = |change: &Change, number| breaker_changed(change, number).unwrap().id;
        assert_eq!(id(&opened, 1), id(&opened, 1));
        assert_ne!(id(&opened, 1), id(&opened, 2));
        let mut other = opened.clone();
        other.endpoint = "erp".into();
        assert_ne!(id(&opened, 1), id(&other, 1));
    }
}
