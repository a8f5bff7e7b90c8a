//! The figures that people watch: for `GET /v1/stats` and the table of the demo.

use switchhook_core::time::UnixMs;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{FlowStats, StatsView, TotalStats};

use super::meters::Meters;
use super::reading::Reading;

/// Figures of one source, for the table of the demo.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFlow {
    /// Its name.
    pub name: String,
    /// Events accepted a second, over the last ten.
    pub rate_per_second: f64,
    /// 99th percentile of the time to the answer over the last minute, in milliseconds.
    pub ack_p99_ms: Option<f64>,
    /// Events accepted since start.
    pub accepted: u64,
}

/// Everything at one moment: `now`, which is `now_us` on the monotonic clock.
pub(super) fn stats(meters: &Meters, reading: &Reading, now: UnixMs, now_us: u64) -> StatsView {
    StatsView {
        at: rfc3339(now),
        started_at: rfc3339(reading.started_at),
        totals: totals(meters, reading),
        endpoints: endpoints(meters, reading, now_us),
        subscriptions: subscriptions(meters, reading, now_us),
    }
}

/// Each configured source.
pub(super) fn sources(meters: &Meters, now_us: u64) -> Vec<SourceFlow> {
    let flow = |(name, meter): (&str, &super::meters::Source)| SourceFlow {
        name: name.to_owned(),
        rate_per_second: meter.rate.per_second(now_us),
        ack_p99_ms: meter.recent.p99_ms(now_us),
        accepted: meter.accepted.get(),
    };
    meters.sources.configured().map(flow).collect()
}

fn totals(meters: &Meters, reading: &Reading) -> TotalStats {
    let (counts, snapshot) = (&reading.counts, &reading.snapshot);
    let sources = || meters.sources.all().map(|(_, source)| source);
    TotalStats {
        accepted: sources().map(|source| source.accepted.get()).sum(),
        duplicates: sources().map(|source| source.duplicates.get()).sum(),
        rejected: sources()
            .flat_map(|source| source.rejected().map(|(_, count)| count))
            .sum(),
        delivered: meters
            .endpoints
            .all()
            .map(|(_, endpoint)| endpoint.delivered())
            .sum(),
        dead: counts.dead.values().sum(),
        waiting: counts.waiting.values().sum(),
        in_flight: snapshot.in_flight.values().map(|count| *count as u64).sum(),
        lag: snapshot
            .cursors
            .keys()
            .map(|name| reading.lag(name))
            .max()
            .unwrap_or(0),
    }
}

fn endpoints(meters: &Meters, reading: &Reading, now_us: u64) -> Vec<FlowStats> {
    let dead = |name: &str| {
        let of_it = reading
            .counts
            .dead
            .iter()
            .filter(|((endpoint, _), _)| **endpoint == *name);
        of_it.map(|(_, count)| count).sum()
    };
    let in_plan = |endpoint: &str| {
        let to_it = reading
            .routes
            .iter()
            .filter(move |(_, to)| &***to == endpoint);
        to_it
            .map(|(subscription, _)| &**subscription)
            .collect::<Vec<_>>()
    };
    let flow = |(name, meter): (&str, &super::meters::Endpoint)| {
        let subscriptions = in_plan(name);
        FlowStats {
            name: name.to_owned(),
            rate_per_second: meter.rate.per_second(now_us),
            p99_ms: meter.recent.p99_ms(now_us),
            in_flight: reading.snapshot.in_flight.get(name).copied().unwrap_or(0) as u64,
            waiting: subscriptions
                .iter()
                .map(|name| waiting(reading, name))
                .sum(),
            held: 0,
            dead: dead(name),
            lag: subscriptions
                .iter()
                .map(|name| reading.lag(name))
                .max()
                .unwrap_or(0),
            delivered: meter.delivered(),
            failed: meter.failed(),
        }
    };
    meters.endpoints.configured().map(flow).collect()
}

fn subscriptions(meters: &Meters, reading: &Reading, now_us: u64) -> Vec<FlowStats> {
    let flow = |(name, meter): (&str, &super::meters::Subscription)| FlowStats {
        name: name.to_owned(),
        rate_per_second: meter.rate.per_second(now_us),
        p99_ms: meter.recent.p99_ms(now_us),
        waiting: waiting(reading, name),
        lag: reading.lag(name),
        delivered: meter.delivered.get(),
        failed: meter.failed.get(),
        ..FlowStats::default()
    };
    meters.subscriptions.configured().map(flow).collect()
}

fn waiting(reading: &Reading, subscription: &str) -> u64 {
    reading
        .counts
        .waiting
        .get(subscription)
        .copied()
        .unwrap_or(0)
}
