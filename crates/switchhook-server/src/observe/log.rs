//! Every log line about events and deliveries, and the fields they carry.
//!
//! One line per change of state: an accepted event and a success are `debug`, a failed attempt is `info`, a delivery
//! that was given up is `warn`. Never a payload, a secret or text that an endpoint sent.
//!
//! | field | what it is |
//! |---|---|
//! | `event` | event id |
//! | `delivery` | delivery id, the same over all attempts |
//! | `source`, `subscription`, `endpoint` | names from the configuration |
//! | `attempt`, `chain` | number of the attempt, and of the replay it belongs to |
//! | `status` or `error` | status of the answer, or why there was none |
//! | `detail` | the failure in words, where it is ours |
//! | `rule` | the rule that judged the attempt |
//! | `reason` | why a delivery was given up, or a request refused |
//! | `duration_ms`, `next_in_ms`, `ack_us` | spans, in the unit of their name |
//! | `kind`, `name`, `version` | a resource that was changed |
//! | `action`, `matched`, `done` | a bulk action on dead letters |

use switchhook_core::delivery::{DeadReason, OutcomeKind, Verdict};
use switchhook_core::engine::Judged;
use switchhook_core::id::DeliveryId;
use switchhook_core::time::UnixMs;

/// An event is on disk.
pub(super) fn accepted(source: &str, ack_us: u64, bytes: usize) {
    tracing::debug!(source, ack_us, bytes, "event accepted");
}

/// A request was refused.
pub(super) fn rejected(source: &str, reason: &str) {
    tracing::debug!(source, reason, "request refused");
}

/// An attempt was judged at `now`.
pub(super) fn judged(judged: &Judged, now: UnixMs) {
    let attempt = &judged.attempt;
    let (status, error) = match attempt.outcome {
        OutcomeKind::Status(status) => (Some(status), None),
        OutcomeKind::Failed(failure) => (None, Some(failure.name())),
    };
    macro_rules! line {
        ($level:ident, $message:literal, $($field:tt)*) => {
            tracing::$level!(
                event = %judged.event.id,
                delivery = %DeliveryId::derive(judged.event.id, &attempt.key.subscription),
                subscription = &*attempt.key.subscription,
                endpoint = &*attempt.endpoint,
                attempt = attempt.n,
                chain = attempt.chain,
                status,
                error,
                // What an endpoint answered may hold anything; what we say about a failure does not.
                detail = attempt.detail.as_deref().filter(|_| error.is_some()),
                rule = &*attempt.rule,
                duration_ms = attempt.duration_ms,
                $($field)*
                $message
            )
        };
    }
    let next_in_ms = attempt.next_at.map(|at| at.since_ms(now));
    match attempt.verdict {
        Verdict::Delivered => line!(debug, "delivered",),
        Verdict::Retry => line!(info, "attempt failed", next_in_ms,),
        Verdict::Hold => line!(info, "delivery held", next_in_ms,),
        Verdict::Dead => line!(
            warn,
            "delivery given up",
            reason = judged.dead.map(DeadReason::name),
        ),
    }
}

/// A resource was made or changed through the API, or, without a version, deleted.
pub(crate) fn resource_changed(kind: &str, name: &str, version: Option<u64>) {
    match version {
        Some(version) => tracing::info!(kind, name, version, "resource changed"),
        None => tracing::info!(kind, name, "resource deleted"),
    }
}

/// A bulk action on dead letters has ended.
pub(crate) fn bulk(action: &'static str, matched: u64, done: u64) {
    tracing::info!(action, matched, done, "dead letters worked on");
}

/// The gateway takes and sends events.
pub fn started(
    ingest: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    data_dir: &std::path::Path,
) {
    tracing::info!(%ingest, %admin, data_dir = %data_dir.display(), "gateway started");
}

/// The gateway takes no more events and lets what is under way end.
pub fn stopping(in_flight: usize) {
    tracing::info!(in_flight, "gateway stopping");
}

/// Nothing is under way any more, and all of it is on disk.
pub fn stopped() {
    tracing::info!("gateway stopped");
}
