//! `switchhook alert`: what the gateway watches, and what is out of bounds now.

use clap::Subcommand;
use switchhook_wire::api::{AlertStatus, AlertSubject, ListQuery};
use switchhook_wire::duration;

use crate::client::Client;
use crate::exit::Outcome;
use crate::output::{Output, counted, list, table};

/// Most alerts that are listed; there is a handful.
const LIST_MAX: usize = 1_000;

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what is watched, from when on it is raised, and about what it is raised now
    List,
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    let Command::List = command;
    let query = ListQuery::default();
    let all: Vec<AlertStatus> = client.list(&["v1", "alerts"], &query, LIST_MAX).await?;
    list(output, &all, "alerts", alerts_table)
}

/// A line for each thing that an alert is raised about, or one for an alert that is not raised.
fn alerts_table(all: &[AlertStatus]) -> String {
    let rows = all.iter().flat_map(|alert| {
        let threshold = alert.threshold.map(|value| figure(value, &alert.unit));
        let threshold = threshold.unwrap_or_else(|| "off".to_owned());
        let line = move |subject: Option<&AlertSubject>| {
            [
                alert.name.clone(),
                threshold.clone(),
                subject.map_or("-", |_| "raised").to_owned(),
                subject.map_or_else(String::new, |subject| subject.object.clone()),
                subject.map_or_else(String::new, |subject| figure(subject.value, &alert.unit)),
                subject
                    .and_then(|subject| subject.since.clone())
                    .unwrap_or_default(),
            ]
        };
        let none = alert.about.is_empty().then(|| line(None));
        let each: Vec<_> = alert
            .about
            .iter()
            .map(|subject| line(Some(subject)))
            .collect();
        none.into_iter().chain(each).collect::<Vec<_>>()
    });
    table(["ALERT", "FROM", "STATE", "ABOUT", "NOW", "SINCE"], rows)
}

/// A figure in its unit.
fn figure(value: u64, unit: &str) -> String {
    match unit {
        "ms" => duration::format(value),
        "per-mille" => format!("{}.{} %", value / 10, value % 10),
        // The units of the gateway are plural.
        _ => counted(value, unit.strip_suffix('s').unwrap_or(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_an_alert_is_about_has_its_line() {
        let lag = AlertStatus {
            name: "lag".into(),
            threshold: Some(100_000),
            unit: "events".into(),
            raised: true,
            about: ["subscription/a", "subscription/b"]
                .map(|object| AlertSubject {
                    object: object.into(),
                    value: 120_000,
                    since: Some("2026-11-20T10:00:00.000Z".into()),
                })
                .into(),
        };
        let disk = AlertStatus {
            name: "disk".into(),
            threshold: Some(850),
            unit: "per-mille".into(),
            ..AlertStatus::default()
        };
        let off = AlertStatus {
            name: "backlog-age".into(),
            unit: "ms".into(),
            ..AlertStatus::default()
        };
        assert_eq!(figure(1, "breakers"), "1 breaker");
        insta::assert_snapshot!(alerts_table(&[lag, disk, off]), @r"
        ALERT        FROM           STATE   ABOUT           NOW            SINCE
        lag          100000 events  raised  subscription/a  120000 events  2026-11-20T10:00:00.000Z
        lag          100000 events  raised  subscription/b  120000 events  2026-11-20T10:00:00.000Z
        disk         85.0 %         -
        backlog-age  off            -
        ");
    }
}
