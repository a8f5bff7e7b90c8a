//! `GET /api/v2/integrations/{id}/logs`: the attempts of a webhook, the newest first.
//!
//! What is shown is what the store keeps; where an attempt went is shown as the endpoint's URL of now. The total counts
//! what the search found. It goes back through the log until it has [`FOUND_MAX`] attempts, or has looked at
//! [`READS_MAX`] pages of the store: more of them are for `/v1/attempts`, whose pages have no number.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::Uri;
use switchhook_core::delivery::{Attempt, Failure, OutcomeKind, Verdict};
use switchhook_core::id::{DeliveryId, EventId};
use switchhook_core::plan::Plan;
use switchhook_store::Store;
use switchhook_store::query::{AttemptFilter, Limit};
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::dialect::Dialect;
use switchhook_wire::dialect::log::Attempt as Entry;
use switchhook_wire::dialect::page;
use url::form_urlencoded;

use super::change::find;
use super::list::wanted;
use super::show::url_of;
use crate::control::Control;
use crate::control::answer::{Answer, json};
use crate::control::paging::READ_BYTES_MAX;
use crate::control::request::Params;
use crate::control::sight::Seen;

/// Most attempts that a list counts: 200 pages of 25, and a few MiB while it is made.
const FOUND_MAX: usize = 5_000;
/// Most reads of the store for one list; each looks at a bounded number of events.
const READS_MAX: usize = 20;
/// Attempts that one read may return.
const READ_ITEMS: usize = 1_000;

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    let found = find(
        &*control.gateway.resources.lock().await,
        Dialect::Integrations,
        &id,
    )?;
    let mut params = Params::of(&uri);
    let wanted = wanted(&mut params);
    let status = params.parsed("statusCode", statuses);
    let filter = AttemptFilter {
        subscription: Some(found.subscription.name.clone()),
        endpoint: None,
        status,
        since: params.time("from"),
        until: params.time("to"),
    };
    params.finish()?;
    let attempts = control.read(move |store| search(store, &filter)).await?;
    let plan = control.gateway.plan.load_full();
    let page = page::page_of(attempts, wanted, uri.path(), &others(&uri));
    let entries = page
        .entities
        .iter()
        .map(|(attempt, event)| entry(&plan, &sight.attempt(attempt), *event, url_of(&found)));
    let entries = entries.collect();
    json(page.with(entries))
}

/// `503`, or a class of statuses as `5xx`.
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let class = text.strip_suffix("xx").or(text.strip_suffix("XX"));
    let found = match class {
        Some(class) => class
            .parse::<u16>()
            .ok()
            .filter(|class| (1..=9).contains(class))
            .map(|class| (class * 100, class * 100 + 99)),
        None => text
            .parse::<u16>()
            .ok()
            .filter(|status| (100..=999).contains(status))
            .map(|status| (status, status)),
    };
    found.ok_or_else(|| "must be a status from 100 to 999, or a class like `5xx`".to_owned())
}

/// The newest attempts that match.
fn search(
    store: &dyn Store,
    filter: &AttemptFilter,
) -> Result<Vec<(Attempt, EventId)>, switchhook_store::Error> {
    let limit = Limit {
        items: READ_ITEMS,
        bytes: READ_BYTES_MAX,
    };
    let (mut found, mut before) = (Vec::new(), None);
    for _ in 0..READS_MAX {
        let page = store.attempts(filter, before, limit)?;
        found.extend(page.attempts);
        before = page.next;
        if before.is_none() || found.len() >= FOUND_MAX {
            break;
        }
    }
    // The store goes by events; the newest attempt may be one of an old event.
    found.sort_by_key(|(attempt, _)| std::cmp::Reverse((attempt.at, attempt.chain, attempt.n)));
    found.truncate(FOUND_MAX);
    Ok(found)
}

/// The parameters that say what is listed, for links to other pages.
fn others(uri: &Uri) -> String {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = pairs.filter(|(key, _)| ["statusCode", "from", "to"].contains(&&**key));
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .finish()
}

fn entry(plan: &Plan, attempt: &Attempt, event: EventId, url: &str) -> Entry {
    let called = plan.endpoints.get(&attempt.endpoint);
    let (status_code, error_code) = match attempt.outcome {
        OutcomeKind::Status(status) => (Some(status), None),
        OutcomeKind::Failed(failure) => (None, Some(code(failure).to_owned())),
    };
    Entry {
        delivery_id: DeliveryId::derive(event, &attempt.key.subscription).to_string(),
        event_id: event.to_string(),
        attempt: attempt.n,
        url: called.map_or_else(|| url.to_owned(), |endpoint| endpoint.url.to_string()),
        status_code,
        latency_ms: attempt.duration_ms,
        error_code,
        result: result(attempt.verdict).to_owned(),
        timestamp: rfc3339(attempt.at),
    }
}

/// The code of a failure. What the guard refused has one of its own for operators alone; others never see it (see
/// [`switchhook_core::sight`]).
const fn code(failure: Failure) -> &'static str {
    match failure {
        Failure::Timeout => "timeout",
        Failure::Dns | Failure::Connect => "connect",
        Failure::Blocked => "blocked",
        Failure::Tls => "tls",
        Failure::Reset => "reset",
        Failure::Protocol => "protocol",
        Failure::Template => "template",
        Failure::Secret => "secret",
    }
}

const fn result(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retry => "retry",
        Verdict::Hold => "hold",
        Verdict::Dead => "dead",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchhook_core::sight::Sight;

    #[test]
    fn a_status_or_a_class_of_them_is_read() {
        assert_eq!(statuses("503"), Ok((503, 503)));
        assert_eq!(statuses("5xx"), Ok((500, 599)));
        for text in ["", "5x", "99", "1000", "0xx", "abc", "-1"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn from_outside_what_the_guard_refused_is_not_told_from_a_connection_that_failed() {
        let seen = code(Sight::Outside.failure(Failure::Blocked));
        assert_eq!(seen, code(Failure::Connect));
        assert_eq!(seen, code(Failure::Dns));
    }
}
