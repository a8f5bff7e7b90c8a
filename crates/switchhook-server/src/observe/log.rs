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
//! | `from`, `to`, `cause`, `until_in_ms` | a breaker that changed |
//! | `job`, `state`, `done`, `total` | a job that has ended |
//! | `figure`, `subject` | an alert that was raised or cleared |
//! | `secret` | name of a secret that has another value |
//! | `version`, `changes`, `actor` | a version of the configuration that came in force |
//! | `entries`, `head`, `key` | a checkpoint of the audit log: the number of its last entry and its hash; who signs |
//! | `problem`, `settings` | what is wrong with a configuration that was refused, and what only a restart takes over |

use data_encoding::HEXLOWER;
use switchhook_core::audit;
use switchhook_core::breaker::{Change, State};
use switchhook_core::delivery::{DeadReason, OutcomeKind, Verdict};
use switchhook_core::engine::Judged;
use switchhook_core::id::DeliveryId;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{ConfigPin, ConfigReloaded};

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

/// The breaker of an endpoint changed. What an endpoint said may hold anything, so the reason is not among the fields.
pub(super) fn breaker_changed(change: &Change) {
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                endpoint = &*change.endpoint,
                from = change.from.name(),
                to = change.to.name(),
                cause = change.cause.name(),
                until_in_ms = change.until.map(|until| until.since_ms(change.at)),
                $message
            )
        };
    }
    match change.to {
        State::Open => line!(warn, "breaker opened"),
        State::HalfOpen => line!(info, "breaker half open"),
        State::Closed => line!(info, "breaker closed"),
    }
}

/// A job has ended, whatever the way.
pub(crate) fn job_ended(job: &str, state: &'static str, done: u64, total: u64) {
    tracing::info!(job, state, done, total, "job ended");
}

/// A watched figure went out of bounds, or is back.
pub(crate) fn alert(figure: &'static str, subject: &str, raised: bool) {
    if raised {
        tracing::warn!(figure, subject, "alert raised");
    } else {
        tracing::info!(figure, subject, "alert cleared");
    }
}

/// A version of the configuration came in force.
pub(crate) fn config_in_force(done: &ConfigReloaded, actor: &str) {
    let changes: Vec<String> = done
        .changes
        .iter()
        .map(|change| format!("{} {}", change.change.name(), change.object))
        .collect();
    tracing::info!(
        version = done.version,
        actor,
        changes = changes.join(", "),
        pinned = done.pinned.is_some(),
        "configuration in force"
    );
    if !done.restart_needed.is_empty() {
        let settings = done.restart_needed.join(", ");
        tracing::warn!(
            settings,
            "restart needed: until then these are as they were at the start"
        );
    }
}

/// The configuration file was refused: what was in force stays so. Nothing if there are no problems.
pub(crate) fn config_refused(problems: &[String]) {
    for problem in problems {
        tracing::error!(problem, "configuration refused");
    }
    if !problems.is_empty() {
        tracing::error!(
            problems = problems.len(),
            "the configuration that was in force stays in force"
        );
    }
}

/// A version of the configuration counts in place of the file.
pub(crate) fn config_is_pinned(pin: &ConfigPin) {
    tracing::warn!(
        version = pin.version,
        "the configuration file does not count: it was rolled back from, and has not changed since"
    );
}

/// Resources of an older version held secrets in clear.
pub(crate) fn resources_sealed(resources: usize) {
    tracing::info!(
        resources,
        "secrets that were written out in resources are sealed now"
    );
}

/// A secret has another value.
pub(crate) fn secret_changed(secret: &str) {
    tracing::info!(secret, "secret changed");
}

/// A round of retention has forgotten something.
pub(crate) fn forgotten(events: u64, dead: u64, bytes: u64) {
    tracing::info!(events, dead, bytes, "retention has made room");
}

/// Checkpoints of the audit log are checked with this key.
pub(crate) fn checkpoint_key(key: &str) {
    tracing::info!(key, "checkpoints of the audit log are signed");
}

/// A checkpoint of the audit log is on disk. Where log lines are kept elsewhere, so is what it knows.
pub(crate) fn checkpoint(entries: u64, head: &audit::Hash) {
    let head = HEXLOWER.encode(head);
    tracing::info!(entries, head, "checkpoint of the audit log");
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
