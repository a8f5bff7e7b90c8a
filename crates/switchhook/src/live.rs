//! The live table of the demo: drawn over itself on a terminal, plain lines elsewhere.

use switchhook_wire::api::{BreakerState, StatsView};

use crate::cmd::breaker::state_text;
use crate::output::{Output, table};

/// A table that is shown again and again.
#[derive(Debug)]
pub(crate) struct Live {
    output: Output,
    drawn_lines: usize,
}

impl Live {
    /// A table that has not been shown yet.
    pub(crate) const fn new(output: Output) -> Self {
        Self {
            output,
            drawn_lines: 0,
        }
    }

    /// Shows the figures of this moment.
    pub(crate) fn show(&mut self, stats: &StatsView, breakers: &[BreakerState]) {
        if !self.output.is_drawable() || self.output.is_quiet() {
            self.output.say(&line(stats, breakers));
            return;
        }
        let text = table_text(stats, breakers);
        self.output.redraw(self.drawn_lines, &text);
        self.drawn_lines = text.lines().count();
    }
}

/// How an endpoint stands, in shape and word.
fn state(endpoint: &str, breakers: &[BreakerState]) -> String {
    let breaker = breakers.iter().find(|one| one.endpoint == endpoint);
    breaker.map_or_else(|| "-".to_owned(), state_text)
}

fn table_text(stats: &StatsView, breakers: &[BreakerState]) -> String {
    let header = [
        "ENDPOINT",
        "BREAKER",
        "RATE",
        "P99",
        "WAITING",
        "DEAD",
        "DELIVERED",
    ];
    let rows = stats.endpoints.iter().map(|endpoint| {
        [
            endpoint.name.clone(),
            state(&endpoint.name, breakers),
            format!("{:.0}/s", endpoint.rate_per_second),
            ms(endpoint.p99_ms),
            endpoint.waiting.to_string(),
            endpoint.dead.to_string(),
            endpoint.delivered.to_string(),
        ]
    });
    format!(
        "{}\ningest  {} of the 10 s that Open Messaging waits",
        table(header, rows),
        intake(stats),
    )
}

fn line(stats: &StatsView, breakers: &[BreakerState]) -> String {
    let mut text = format!("ingest: {}", intake(stats));
    for endpoint in &stats.endpoints {
        text.push_str(&format!(
            "  {} {}: {:.0}/s p99 {} waiting {} dead {}",
            endpoint.name,
            state(&endpoint.name, breakers),
            endpoint.rate_per_second,
            ms(endpoint.p99_ms),
            endpoint.waiting,
            endpoint.dead,
        ));
    }
    text
}

fn ms(value: Option<f64>) -> String {
    match value {
        // Durations of attempts are whole milliseconds.
        Some(value) if value < 1.0 => "< 1 ms".to_owned(),
        Some(value) => format!("{value:.0} ms"),
        None => "-".to_owned(),
    }
}

/// Events a second over all sources, and the slowest source's time to the acknowledgement.
fn intake(stats: &StatsView) -> String {
    let rate: f64 = stats
        .sources
        .iter()
        .map(|source| source.rate_per_second)
        .sum();
    let slowest = stats
        .sources
        .iter()
        .filter_map(|source| source.ack_p99_ms)
        .max_by(f64::total_cmp);
    let ack = slowest.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    format!(
        "{rate:.0}/s  {} accepted  ack p99 {ack}",
        stats.totals.accepted
    )
}

#[cfg(test)]
mod tests {
    use switchhook_wire::api::{FlowStats, SourceStats};

    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_endpoint_and_a_line_for_ingest() {
        let flow = |name: &str, p99_ms, waiting| FlowStats {
            name: name.into(),
            rate_per_second: 19.6,
            p99_ms,
            waiting,
            delivered: 120,
            ..FlowStats::default()
        };
        let mut stats = StatsView {
            endpoints: vec![flow("crm", Some(14.26), 0), flow("wfm", None, 61)],
            ..StatsView::default()
        };
        stats.totals.accepted = 200;
        stats.sources = [2.1, 1.9]
            .map(|ms| SourceStats {
                rate_per_second: 10.0,
                ack_p99_ms: Some(ms),
                ..SourceStats::default()
            })
            .into();
        let breakers =
            [("crm", "closed"), ("wfm", "half-open")].map(|(name, state)| BreakerState {
                endpoint: name.into(),
                state: state.into(),
                ..BreakerState::default()
            });
        insta::assert_snapshot!(table_text(&stats, &breakers), @r"
        ENDPOINT  BREAKER      RATE  P99    WAITING  DEAD  DELIVERED
        crm       ● closed     20/s  14 ms  0        0     120
        wfm       ◐ half-open  20/s  -      61       0     120
        ingest  20/s  200 accepted  ack p99 2.1 ms of the 10 s that Open Messaging waits
        ");
        insta::assert_snapshot!(line(&stats, &breakers), @"ingest: 20/s  200 accepted  ack p99 2.1 ms  crm ● closed: 20/s p99 14 ms waiting 0 dead 0  wfm ◐ half-open: 20/s p99 - waiting 61 dead 0");
    }
}
