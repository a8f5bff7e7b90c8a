//! The figures that are watched, as they are now.
//!
//! * Lag: from the lowest committed offset of a subscription's partitions to the end of the log.
//! * Backlog age: since when the oldest delivery waits. For one with a row that is where its time began, which for a
//!   replay is the replay and not the event; for one that the cursor has not come to it is its event's acceptance. Only
//!   the first [`ROWS_MAX`] rows of a subscription are looked at, those of the oldest events.
//! * Disk: the share of the file system in use, by everyone.

use std::path::Path;
use std::sync::Arc;

use switchhook_core::alert::watch::{Figure, Reading};
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::query::{Counts, Limit};
use switchhook_store::{Error, Store};

use crate::gateway::{Gateway, in_background};

/// Rows of a subscription that are looked at: the oldest delivery is among the first, unless a replay is ahead of it.
const ROWS_MAX: usize = 32;

/// Reads all figures.
pub(super) async fn read(gateway: &Gateway, config_failed: bool) -> Result<Vec<Reading>, String> {
    let plan = gateway.plan.load_full();
    let snapshot = gateway
        .dispatch
        .snapshot()
        .await
        .map_err(|stopped| stopped.to_string())?;
    let (end, now) = (gateway.store.tail().end(), gateway.clock.now());
    let cursors = snapshot.cursors();
    let mut readings: Vec<Reading> = cursors
        .iter()
        .map(|(name, cursor)| Reading {
            figure: Figure::Lag,
            subject: name.clone(),
            value: end.0.saturating_sub(cursor.0),
        })
        .collect();
    let behind: Vec<(Arc<str>, Option<Offset>)> = cursors
        .into_iter()
        .map(|(name, cursor)| (name, Some(cursor).filter(|cursor| *cursor < end)))
        .collect();
    let (store, now_us) = (&gateway.store, gateway.clock.monotonic_us());
    let counts = gateway.observe.counted.get(store, now_us).await;
    let counts = counts.map_err(|error| error.to_string())?;
    let ages = in_background(store, move |store| ages(store, &plan, &counts, behind, now));
    readings.extend(ages.await.map_err(|error| error.to_string())?);
    let dir = &gateway.config.server.data_dir;
    if let Some(value) = in_use_per_mille(dir) {
        readings.push(Reading {
            figure: Figure::Disk,
            subject: dir.display().to_string().into(),
            value,
        });
    }
    readings.push(Reading {
        figure: Figure::Config,
        subject: "file".into(),
        value: config_failed.into(),
    });
    Ok(readings)
}

/// The age of the oldest waiting delivery of each subscription.
fn ages(
    store: &dyn Store,
    plan: &Plan,
    counts: &Counts,
    behind: Vec<(Arc<str>, Option<Offset>)>,
    now: UnixMs,
) -> Result<Vec<Reading>, Error> {
    let mut readings = Vec::new();
    for (name, cursor) in behind {
        let mut since = None;
        if counts.waiting.contains_key(&name) {
            since = oldest_row(store, plan, &name)?;
        }
        if let Some(cursor) = cursor {
            let one = Limit { items: 1, bytes: 1 };
            let next = store.read_log(cursor, one)?.into_iter().next();
            let received_at = next.map(|event| event.received_at);
            since = [since, received_at].into_iter().flatten().min();
        }
        readings.push(Reading {
            figure: Figure::BacklogAge,
            subject: name,
            value: since.map_or(0, |since| now.since_ms(since)),
        });
    }
    Ok(readings)
}

/// Since when the oldest of the first rows waits.
fn oldest_row(store: &dyn Store, plan: &Plan, name: &str) -> Result<Option<UnixMs>, Error> {
    let policy = plan.subscriptions.get(name);
    let policy = policy.and_then(|subscription| plan.policies.get(&subscription.policy));
    let Some(policy) = policy else {
        return Ok(None);
    };
    let limit = Limit {
        items: ROWS_MAX,
        bytes: 1024 * 1024,
    };
    let rows = store.waiting(name, Offset(0), limit)?;
    let began = rows
        .iter()
        .map(|(row, _)| row.deadline.minus_ms(policy.max_age_ms));
    Ok(began.min())
}

/// How much of the file system that `dir` is on is in use, in thousandths; `None` where that cannot be found out.
fn in_use_per_mille(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    // What only root may still use counts as used: nobody else can have it.
    let all = used.saturating_add(found.f_bavail);
    used.saturating_mul(1_000).checked_div(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_the_disk_lies_between_nothing_and_all() {
        let share = in_use_per_mille(&std::env::temp_dir()).unwrap();
        assert!(share <= 1_000, "{share}");
        assert_eq!(in_use_per_mille(Path::new("/nowhere/at/all")), None);
    }
}
