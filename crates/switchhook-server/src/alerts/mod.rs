//! Alerts on figures: how far subscriptions are behind, how old what waits is, how full the disk is, and whether the
//! configuration could be read again. Dead letters and breakers tell of themselves.
//!
//! A look every [`LOOK_INTERVAL`] hands all figures to `switchhook_core::alert::watch`, which decides what is raised and
//! cleared. Each change is an event of our own, committed even when the disk is too full for others. What is raised
//! now is shown by the API and the metrics. Nothing is stored: after a restart what is still so is raised again.

mod figures;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use switchhook_core::alert::watch::{Figure, Reading, Thresholds, Transition, Watch};
use switchhook_core::alert::{OwnEvent, watched};
use switchhook_core::delivery::Records;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{AlertStatus, AlertSubject};

use crate::gateway::{Gateway, write};
use crate::observe::log;

/// How often the figures are looked at. People are told within seconds, and the counting costs little.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The figures that are watched, in the order of their names.
const FIGURES: [Figure; 4] = [
    Figure::BacklogAge,
    Figure::Config,
    Figure::Disk,
    Figure::Lag,
];

/// The word for a figure.
pub(crate) const fn name(figure: Figure) -> &'static str {
    match figure {
        Figure::Lag => "lag",
        Figure::BacklogAge => "backlog-age",
        Figure::Disk => "disk",
        Figure::Config => "config",
    }
}

/// What is watched, and what is raised.
pub(crate) struct Alerts {
    thresholds: ArcSwap<Thresholds>,
    seen: Mutex<Seen>,
    /// Tells two events about one subject in one millisecond apart.
    told: AtomicU64,
    config_failed: AtomicBool,
}

#[derive(Default)]
struct Seen {
    watch: Watch,
    /// What is raised, and since when.
    raised: BTreeMap<(Figure, Arc<str>), UnixMs>,
    readings: Vec<Reading>,
}

impl Alerts {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds: ArcSwap::from_pointee(thresholds),
            seen: Mutex::default(),
            told: AtomicU64::new(0),
            config_failed: AtomicBool::new(false),
        }
    }

    /// Other thresholds count from the next look on.
    pub(crate) fn set(&self, thresholds: Thresholds) {
        self.thresholds.store(Arc::new(thresholds));
    }

    /// The configuration could be read again, or could not.
    pub(crate) fn config_read(&self, succeeded: bool) {
        self.config_failed.store(!succeeded, Ordering::Relaxed);
    }

    /// Takes in all figures of one moment; the events that tell what changed.
    fn look(&self, readings: Vec<Reading>, now: UnixMs) -> Vec<OwnEvent> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = seen
            .watch
            .look(&self.thresholds.load(), readings.iter().cloned(), now);
        seen.readings = readings;
        for change in &changes {
            let key = (change.figure, change.subject.clone());
            if change.raised {
                seen.raised.insert(key, change.since);
            } else {
                seen.raised.remove(&key);
            }
        }
        drop(seen);
        changes.iter().map(|change| self.tell(change)).collect()
    }

    fn tell(&self, change: &Transition) -> OwnEvent {
        log::alert(name(change.figure), &change.subject, change.raised);
        watched(change, self.told.fetch_add(1, Ordering::Relaxed))
    }

    /// How many are raised, by figure; those without are there with 0.
    pub(crate) fn raised(&self) -> BTreeMap<&'static str, u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: BTreeMap<_, _> = FIGURES.map(|figure| (name(figure), 0)).into();
        for (figure, _) in seen.raised.keys() {
            *counts.entry(name(*figure)).or_default() += 1;
        }
        counts
    }

    /// Every figure, its threshold, and about what it is raised now.
    pub(crate) fn status(&self) -> Vec<AlertStatus> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        FIGURES
            .into_iter()
            .map(|figure| self.status_of(figure, &seen))
            .collect()
    }

    fn status_of(&self, figure: Figure, seen: &Seen) -> AlertStatus {
        let value = |subject: &str| {
            let mut readings = seen.readings.iter();
            let found =
                readings.find(|reading| reading.figure == figure && *reading.subject == *subject);
            found.map_or(0, |reading| reading.value)
        };
        let raised = seen.raised.iter().filter(|((of, _), _)| *of == figure);
        let about: Vec<AlertSubject> = raised
            .map(|((_, subject), since)| AlertSubject {
                object: object(figure, subject),
                value: value(subject),
                since: Some(rfc3339(*since)),
            })
            .collect();
        let (threshold, unit) = threshold(&self.thresholds.load(), figure);
        AlertStatus {
            name: name(figure).to_owned(),
            threshold,
            unit: unit.to_owned(),
            raised: !about.is_empty(),
            about,
        }
    }
}

/// The threshold of a figure and its unit.
const fn threshold(thresholds: &Thresholds, figure: Figure) -> (Option<u64>, &'static str) {
    match figure {
        Figure::Lag => (thresholds.lag, "events"),
        Figure::BacklogAge => (thresholds.backlog_age_ms, "ms"),
        Figure::Disk => (thresholds.disk_per_mille, "per-mille"),
        Figure::Config => (Some(1), "failures"),
    }
}

fn object(figure: Figure, subject: &str) -> String {
    let kind = match figure {
        Figure::Lag | Figure::BacklogAge => "subscription",
        Figure::Disk => "store",
        Figure::Config => "config",
    };
    format!("{kind}/{subject}")
}

/// Looks until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if let Err(why) = look(&gateway).await {
            tracing::warn!(why, "the figures for alerts could not be read");
        }
    }
}

/// One look at all figures: what changed is told.
pub(crate) async fn look(gateway: &Gateway) -> Result<(), String> {
    let failed = gateway.alerts.config_failed.load(Ordering::Relaxed);
    let readings = figures::read(gateway, failed).await?;
    let own_events = gateway.alerts.look(readings, gateway.clock.now());
    if own_events.is_empty() {
        return Ok(());
    }
    let records = Records {
        own_events,
        ..Records::default()
    };
    let batch = Batch {
        records,
        ..Batch::default()
    };
    let written = write(&*gateway.store, batch).await;
    written.map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        lag: Some(100_000),
        backlog_age_ms: Some(900_000),
        disk_per_mille: Some(900),
    };

    fn reading(figure: Figure, subject: &str, value: u64) -> Reading {
        Reading {
            figure,
            subject: subject.into(),
            value,
        }
    }

    #[test]
    fn what_is_raised_is_told_once_and_shown_with_its_value_until_it_is_cleared() {
        let alerts = Alerts::new(THRESHOLDS);
        let behind = |value| vec![reading(Figure::Lag, "orders", value)];
        assert_eq!(alerts.look(behind(250_000), UnixMs(1_000)).len(), 1);
        assert_eq!(alerts.look(behind(260_000), UnixMs(6_000)), []);
        let status = alerts.status();
        let names: Vec<&str> = status.iter().map(|status| &*status.name).collect();
        assert_eq!(names, ["backlog-age", "config", "disk", "lag"]);
        let lag = &status[3];
        assert!(lag.raised && lag.threshold == Some(100_000));
        let about = (&*lag.about[0].object, lag.about[0].value);
        assert_eq!(about, ("subscription/orders", 260_000));
        assert_eq!(alerts.raised()["lag"], 1);
        assert_eq!(alerts.look(behind(0), UnixMs(90_000)).len(), 1);
        assert_eq!(alerts.raised()["lag"], 0);
        assert!(!alerts.status()[3].raised);
    }

    #[test]
    fn a_figure_that_is_switched_off_is_never_raised_and_shows_no_threshold() {
        let alerts = Alerts::new(Thresholds {
            lag: None,
            ..THRESHOLDS
        });
        let disk = |value| reading(Figure::Disk, "data", value);
        let lag = reading(Figure::Lag, "orders", u64::MAX);
        assert_eq!(alerts.look(vec![lag, disk(899)], UnixMs(0)), []);
        assert_eq!(alerts.status()[3].threshold, None);
        assert_eq!(alerts.look(vec![disk(900)], UnixMs(1)).len(), 1);
        assert_eq!(alerts.status()[2].about[0].object, "store/data");
    }
}
