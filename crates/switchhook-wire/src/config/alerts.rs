//! `[alerts]`: from when on the gateway tells about itself. Each figure can be switched off by itself.

use switchhook_core::alert::watch::Thresholds;

use super::node::Value;
use super::read::{Item, Report};

/// What is watched when nothing is written: a subscription that is 100,000 events behind, a delivery that
/// has waited for 15 minutes, a disk that is 85 % full.
pub(super) const USUAL: Thresholds = Thresholds {
    lag: Some(100_000),
    backlog_age_ms: Some(900_000),
    disk_per_mille: Some(850),
};
/// Longest backlog age that can be set, in milliseconds: longer than any policy goes on.
const BACKLOG_AGE_MAX_MS: u64 = 30 * 86_400_000;
/// Shares of the disk that can be set.
const DISK: (f64, f64) = (0.01, 1.0);

pub(super) fn read(item: &Item<'_>, report: &mut Report) -> Option<Thresholds> {
    let table = report.table(item, &["lag", "backlog_age", "disk"])?;
    let lag = table.or("lag", USUAL.lag, |item| {
        unless_off(item, report, |item, report| {
            let lag: i64 = report.integer(item, 1..=i64::MAX)?;
            u64::try_from(lag).ok()
        })
    });
    let backlog_age = table.or("backlog_age", USUAL.backlog_age_ms, |item| {
        unless_off(item, report, |item, report| {
            report.duration(item, 1_000..=BACKLOG_AGE_MAX_MS)
        })
    });
    let disk = table.or("disk", USUAL.disk_per_mille, |item| {
        unless_off(item, report, per_mille)
    });
    Some(Thresholds {
        lag: lag?,
        backlog_age_ms: backlog_age?,
        disk_per_mille: disk?,
    })
}

fn per_mille(item: &Item<'_>, report: &mut Report) -> Option<u64> {
    let share = report.number(item, DISK.0..=DISK.1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "10 to 1000"
    )]
    Some((share * 1_000.0).round() as u64)
}

/// A figure, or `"off"` or `false` for none.
fn unless_off<T>(
    item: &Item<'_>,
    report: &mut Report,
    read: impl FnOnce(&Item<'_>, &mut Report) -> Option<T>,
) -> Option<Option<T>> {
    let is_off = match &item.node.value {
        Value::Bool(is_on) => !is_on,
        Value::Text(text) => text.text == "off",
        Value::Table(_)
        | Value::Array(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Other(_)
        | Value::Unfilled => false,
    };
    if is_off {
        return Some(None);
    }
    read(item, report).map(Some)
}
