//! Watched figures: when one is out of bounds, and when it is in bounds again.
//!
//! A figure is raised when it reaches its threshold, and cleared when it has fallen clearly below (to 0.8 of
//! it; 0.95 for the disk, where a tenth is a lot), but not within [`RAISED_MIN_MS`]: a figure at its
//! threshold must not ring with every reading. One that is not read any more, since its subscription was
//! removed or its threshold switched off, is cleared.
//!
//! Nothing of this is stored: what is still out of bounds after a restart is raised again. At most
//! [`RAISED_MAX`] are raised at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::plan::RESOURCES_MAX;
use crate::time::{UnixMs, rfc3339};

use super::text::span;
use super::{Notice, OwnEvent};

/// Type: a watched figure is out of bounds.
pub const ALERT_RAISED: &str = "switchhook.alert.raised";
/// Type: it is in bounds again.
pub const ALERT_CLEARED: &str = "switchhook.alert.cleared";
/// What is raised stays so at least this long, in milliseconds.
pub const RAISED_MIN_MS: u64 = 60_000;
/// Most figures that are raised at once: two for each subscription there can be, and a few of the store.
pub const RAISED_MAX: usize = 2 * RESOURCES_MAX + 16;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// Events that a subscription is behind the end of the log.
    Lag,
    /// Age of the oldest event that a subscription has not delivered, in milliseconds.
    BacklogAge,
    /// How full the disk of the store is, in thousandths.
    Disk,
    /// 1 when the configuration could not be read again, else 0.
    Config,
}

/// From where on a figure is out of bounds; `None`: it is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thresholds {
    /// In events.
    pub lag: Option<u64>,
    /// In milliseconds.
    pub backlog_age_ms: Option<u64>,
    /// In thousandths of the disk.
    pub disk_per_mille: Option<u64>,
}

/// A figure as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Which.
    pub figure: Figure,
    /// Of what: the name of the subscription, the data directory, the configuration file.
    pub subject: Arc<str>,
    /// In the unit of the figure.
    pub value: u64,
}

/// A figure went out of bounds, or is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Which.
    pub figure: Figure,
    /// Of what.
    pub subject: Arc<str>,
    /// Out of bounds, or back.
    pub raised: bool,
    /// What it is; `None` when it is watched no longer.
    pub value: Option<u64>,
    /// The threshold it reached.
    pub threshold: u64,
    /// Out of bounds since.
    pub since: UnixMs,
    /// When it was seen.
    pub at: UnixMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Raised {
    threshold: u64,
    since: UnixMs,
    /// Among the readings of the last look.
    read: bool,
}

/// The figures that are out of bounds.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    raised: BTreeMap<(Figure, Arc<str>), Raised>,
}

impl Thresholds {
    const fn of(&self, figure: Figure) -> Option<u64> {
        match figure {
            Figure::Lag => self.lag,
            Figure::BacklogAge => self.backlog_age_ms,
            Figure::Disk => self.disk_per_mille,
            Figure::Config => Some(1),
        }
    }
}

impl Watch {
    /// Takes in the readings of one moment, all of them, and says what changed.
    pub fn look(
        &mut self,
        thresholds: &Thresholds,
        readings: impl IntoIterator<Item = Reading>,
        now: UnixMs,
    ) -> Vec<Transition> {
        let mut changes = Vec::new();
        for raised in self.raised.values_mut() {
            raised.read = false;
            raised.since = raised.since.min(now); // The clock may have gone back.
        }
        for reading in readings {
            if let Some(threshold) = thresholds.of(reading.figure) {
                changes.extend(self.take(reading, threshold, now));
            }
        }
        self.raised.retain(|(figure, subject), raised| {
            if !raised.read {
                changes.push(cleared(*figure, subject, None, *raised, now));
            }
            raised.read
        });
        changes
    }

    /// How many figures are out of bounds.
    #[must_use]
    pub fn raised(&self) -> usize {
        self.raised.len()
    }

    fn take(&mut self, reading: Reading, threshold: u64, now: UnixMs) -> Option<Transition> {
        let Reading {
            figure,
            subject,
            value,
        } = reading;
        let key = (figure, subject);
        if let Some(raised) = self.raised.get_mut(&key) {
            raised.read = true;
            let calm = value < threshold && value <= clear_level(figure, threshold);
            if !calm || now.since_ms(raised.since) < RAISED_MIN_MS {
                return None;
            }
            let raised = self.raised.remove(&key)?;
            return Some(cleared(figure, &key.1, Some(value), raised, now));
        }
        if value < threshold || self.raised.len() >= RAISED_MAX {
            return None;
        }
        let subject = key.1.clone();
        let raised = Raised {
            threshold,
            since: now,
            read: true,
        };
        self.raised.insert(key, raised);
        Some(Transition {
            figure,
            subject,
            raised: true,
            value: Some(value),
            threshold,
            since: now,
            at: now,
        })
    }
}

/// At or below this it counts as back in bounds.
const fn clear_level(figure: Figure, threshold: u64) -> u64 {
    match figure {
        Figure::Lag | Figure::BacklogAge => threshold / 5 * 4,
        Figure::Disk => threshold / 20 * 19,
        Figure::Config => 0,
    }
}

fn cleared(
    figure: Figure,
    subject: &Arc<str>,
    value: Option<u64>,
    raised: Raised,
    now: UnixMs,
) -> Transition {
    Transition {
        figure,
        subject: subject.clone(),
        raised: false,
        value,
        threshold: raised.threshold,
        since: raised.since,
        at: now,
    }
}

/// The event that tells of a transition. `number` tells it from another one of the same subject in the same
/// millisecond.
#[must_use]
pub fn watched(transition: &Transition, number: u64) -> OwnEvent {
    let Transition {
        figure,
        raised,
        value,
        threshold,
        ..
    } = *transition;
    let name = &*transition.subject;
    let (label, subject_kind, severity) = match figure {
        Figure::Lag => ("lag", "subscription", "warning"),
        Figure::BacklogAge => ("backlog-age", "subscription", "warning"),
        Figure::Disk => ("disk", "store", "critical"),
        Figure::Config => ("config", "config", "error"),
    };
    let (title, amount) = titled(figure, name, raised);
    let summary = match (raised, value) {
        (true, Some(value)) if figure != Figure::Config => {
            format!(
                "{title}: {}, the threshold is {}.",
                amount(value),
                amount(threshold)
            )
        }
        (false, None) => format!("{title}: it is watched no longer."),
        (_, _) => format!("{title}."),
    };
    let notice = Notice {
        title,
        severity: if raised { severity } else { "info" },
        raised,
        subject: (subject_kind, name),
        summary,
        at: transition.at,
    };
    let details = json!({
        "figure": label,
        "value": value,
        "threshold": threshold,
        "since": rfc3339(transition.since),
    });
    let kind = if raised { ALERT_RAISED } else { ALERT_CLEARED };
    notice.event(kind, number, details)
}

/// The title, and how an amount of the figure is written.
fn titled(figure: Figure, name: &str, raised: bool) -> (String, fn(u64) -> String) {
    let (bad, good, amount): (_, _, fn(u64) -> String) = match figure {
        Figure::Lag => ("is far behind", "has caught up", |n| format!("{n} events")),
        Figure::BacklogAge => ("has old events waiting", "has no old events waiting", span),
        Figure::Disk => ("is nearly full", "has room again", |n| {
            format!("{}.{} %", n / 10, n % 10)
        }),
        Figure::Config => ("could not be read again", "is read again", |n| {
            n.to_string()
        }),
    };
    let what = match figure {
        Figure::Lag | Figure::BacklogAge => "Subscription",
        Figure::Disk => "The disk of",
        Figure::Config => "Configuration",
    };
    let state = if raised { bad } else { good };
    (format!("{what} {name} {state}"), amount)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        lag: Some(1_000),
        backlog_age_ms: Some(60_000),
        disk_per_mille: Some(850),
    };

    fn reading(figure: Figure, value: u64) -> Reading {
        Reading {
            figure,
            subject: "s".into(),
            value,
        }
    }

    /// What changed, for one figure read at these times.
    fn run(figure: Figure, values: &[(u64, u64)]) -> Vec<(u64, bool)> {
        let mut watch = Watch::default();
        let looks = values.iter().flat_map(|&(seconds, value)| {
            let now = UnixMs(seconds * 1_000);
            watch.look(&THRESHOLDS, [reading(figure, value)], now)
        });
        looks.map(|t| (t.at.0 / 1_000, t.raised)).collect()
    }

    #[test]
    fn a_figure_at_its_threshold_rings_once() {
        let values: Vec<(u64, u64)> = (0..100).map(|n| (n * 60, 990 + n % 2 * 20)).collect();
        assert_eq!(run(Figure::Lag, &values), [(60, true)]);
    }

    #[test]
    fn it_is_cleared_clearly_below_and_not_within_a_minute() {
        let values = [(0, 1_000), (59, 0), (60, 801), (61, 800), (62, 1_000)];
        assert_eq!(
            run(Figure::Lag, &values),
            [(0, true), (61, false), (62, true)]
        );
        let values = [(0, 850), (60, 810), (61, 798)];
        assert_eq!(run(Figure::Disk, &values), [(0, true), (61, false)]);
        let values = [(0, 1), (60, 1), (61, 0)];
        assert_eq!(run(Figure::Config, &values), [(0, true), (61, false)]);
    }

    #[test]
    fn what_is_read_or_watched_no_longer_is_cleared() {
        let mut watch = Watch::default();
        let lag = || [reading(Figure::Lag, 5_000)];
        assert_eq!(watch.look(&THRESHOLDS, lag(), UnixMs(0)).len(), 1);
        let gone = watch.look(&THRESHOLDS, [], UnixMs(1));
        assert_eq!((gone[0].raised, gone[0].value), (false, None));
        assert_eq!(watch.look(&THRESHOLDS, lag(), UnixMs(2)).len(), 1);
        let off = watch.look(&Thresholds::default(), lag(), UnixMs(3));
        assert_eq!((off.len(), watch.raised()), (1, 0));
    }

    #[test]
    fn a_clock_that_went_back_does_not_keep_it_raised() {
        assert_eq!(
            run(Figure::Lag, &[(9_000, 1_000), (100, 0), (160, 0)]),
            [(9_000, true), (160, false)]
        );
    }

    #[test]
    fn no_more_than_the_bound_are_raised() {
        let mut watch = Watch::default();
        let many = (0..RAISED_MAX + 5).map(|n| Reading {
            subject: n.to_string().into(),
            ..reading(Figure::Lag, 5_000)
        });
        assert_eq!(watch.look(&THRESHOLDS, many, UnixMs(0)).len(), RAISED_MAX);
    }

    #[test]
    fn the_event_says_what_is_out_of_bounds_and_by_how_much() {
        for (figure, value, summary) in [
            (
                Figure::Lag,
                1_500,
                "Subscription s is far behind: 1500 events, the threshold is 1000 events.",
            ),
            (
                Figure::BacklogAge,
                900_000,
                "Subscription s has old events waiting: 15 min, the threshold is 60 s.",
            ),
            (
                Figure::Disk,
                912,
                "The disk of s is nearly full: 91.2 %, the threshold is 85.0 %.",
            ),
            (
                Figure::Config,
                1,
                "Configuration s could not be read again.",
            ),
        ] {
            let mut watch = Watch::default();
            let raised = watch.look(&THRESHOLDS, [reading(figure, value)], UnixMs(5_000));
            let event = watched(&raised[0], 1);
            let body: Value = serde_json::from_slice(&event.body).unwrap();
            assert_eq!(body["summary"], summary);
            assert_eq!(
                (&*event.kind, &body["state"]),
                (ALERT_RAISED, &json!("raised"))
            );
            let cleared = watch.look(&THRESHOLDS, [reading(figure, 0)], UnixMs(90_000));
            let event = watched(&cleared[0], 1);
            let body: Value = serde_json::from_slice(&event.body).unwrap();
            assert_eq!(
                (&*event.kind, &body["severity"]),
                (ALERT_CLEARED, &json!("info"))
            );
            assert_eq!(body["since"], "1970-01-01T00:00:05.000Z");
        }
    }
}
