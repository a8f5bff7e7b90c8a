//! The figures that people watch: for `GET /v1/stats` and the table of the demo.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::event::OWN_SOURCE;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{FlowStats, SourceStats, StatsView, Stopped, TotalStats};

use super::meters::{Meters, Source};
use super::reading::Reading;

/// Everything at one moment: `now`, which is `now_us` on the monotonic clock.
pub(super) fn stats(meters: &Meters, reading: &Reading, now: UnixMs, now_us: u64) -> StatsView {
    StatsView {
        at: rfc3339(now),
        started_at: rfc3339(reading.started_at),
        totals: totals(meters, reading),
        sources: sources(meters, now_us),
        endpoints: endpoints(meters, reading, now_us),
        subscriptions: subscriptions(meters, reading, now_us),
    }
}

/// Each source that takes requests; the gateway's own events come by no request.
pub(super) fn sources(meters: &Meters, now_us: u64) -> Vec<SourceStats> {
    let flow = |(name, meter): (&str, &Source)| SourceStats {
        name: name.to_owned(),
        rate_per_second: meter.rate.per_second(now_us),
        ack_p99_ms: meter.recent.p99_ms(now_us),
        accepted: meter.accepted.get(),
        duplicates: meter.duplicates.get(),
        rejected: rejected(meter),
    };
    let asked = meters.sources.configured();
    asked
        .filter(|(name, _)| *name != OWN_SOURCE)
        .map(flow)
        .collect()
}

fn totals(meters: &Meters, reading: &Reading) -> TotalStats {
    let (counts, snapshot) = (&reading.counts, &reading.snapshot);
    let sources = || meters.sources.all().map(|(_, source)| source);
    TotalStats {
        accepted: sources().map(|source| source.accepted.get()).sum(),
        duplicates: sources().map(|source| source.duplicates.get()).sum(),
        rejected: sources().map(rejected).sum(),
        delivered: meters
            .endpoints
            .all()
            .map(|(_, endpoint)| endpoint.delivered())
            .sum(),
        dead: counts.dead.values().sum(),
        waiting: counts.waiting.values().sum(),
        in_flight: snapshot.in_flight().map(|(_, count)| count as u64).sum(),
        lag: reading.lags().into_values().max().unwrap_or(0),
    }
}

fn rejected(source: &Source) -> u64 {
    source.rejected().map(|(_, count)| count).sum()
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
    let in_flight: BTreeMap<_, _> = reading.snapshot.in_flight().collect();
    let lags = reading.lags();
    let flow = |(name, meter): (&str, &super::meters::Endpoint)| {
        let subscriptions: Vec<&Arc<str>> = reading.senders(name).collect();
        let lag = subscriptions
            .iter()
            .filter_map(|name| lags.get(*name))
            .max();
        FlowStats {
            name: name.to_owned(),
            stopped: None,
            rate_per_second: meter.rate.per_second(now_us),
            p99_ms: meter.recent.p99_ms(now_us),
            in_flight: in_flight.get(&Arc::from(name)).copied().unwrap_or(0) as u64,
            waiting: subscriptions.iter().map(|name| reading.waiting(name)).sum(),
            held: subscriptions.iter().map(|name| reading.held(name)).sum(),
            dead: dead(name),
            lag: lag.copied().unwrap_or(0),
            delivered: meter.delivered(),
            failed: meter.failed(),
        }
    };
    meters.endpoints.configured().map(flow).collect()
}

/// Why the subscription of this name sends nothing. Its partitions stop and go on together.
fn stopped(reading: &Reading, name: &str) -> Option<Stopped> {
    let mut lanes = reading.snapshot.lanes.iter();
    let lane = lanes.find(|lane| *lane.subscription == *name)?;
    Stopped::of(lane.enabled, lane.paused)
}

fn subscriptions(meters: &Meters, reading: &Reading, now_us: u64) -> Vec<FlowStats> {
    let lags = reading.lags();
    let flow = |(name, meter): (&str, &super::meters::Subscription)| FlowStats {
        name: name.to_owned(),
        stopped: stopped(reading, name),
        rate_per_second: meter.rate.per_second(now_us),
        p99_ms: meter.recent.p99_ms(now_us),
        waiting: reading.waiting(name),
        held: reading.held(name),
        lag: lags.get(name).copied().unwrap_or(0),
        delivered: meter.delivered.get(),
        failed: meter.failed.get(),
        ..FlowStats::default()
    };
    meters.subscriptions.configured().map(flow).collect()
}
