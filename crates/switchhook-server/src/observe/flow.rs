//! The part of `/metrics` that says how things stand now: endpoints and their breakers, cursors and partitions, jobs,
//! alerts and retention. A second room of `exposition`; the conventions are there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;
use switchhook_core::breaker::State;

use super::exposition::{Scrape, counter, gauge};

/// Most partitions that are shown one by one: a scrape must stay readable, and 10,000 subscriptions with 256 partitions
/// each are a configuration that nobody watches by partition.
const PARTITIONS_MAX: usize = 10_000;

impl Scrape {
    pub(super) fn endpoints(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let endpoints = &self.reading.snapshot.endpoints;
        let mut in_flight = gauge(to, "attempts_in_flight", "Requests under way")?;
        for now in endpoints {
            in_flight.gauge(&[("endpoint", &now.endpoint)], now.in_flight as u64)?;
        }
        let help = "1 for the state that the breaker of the endpoint is in, else 0";
        let mut breakers = gauge(to, "breaker_state", help)?;
        for now in endpoints {
            for state in State::ALL {
                let labels = [("endpoint", &*now.endpoint), ("state", state.name())];
                breakers.gauge(&labels, (now.state == *state).into())?;
            }
        }
        let mut transitions = counter(to, "breaker_transitions", "Changes of breakers")?;
        for (endpoint, meter) in self.meters.endpoints.all() {
            for ((state, cause), count) in meter.transitions() {
                let labels = [("endpoint", endpoint), ("to", state), ("cause", cause)];
                transitions.count(&labels, count)?;
            }
        }
        let help = "Requests that may be under way now";
        let mut slots = gauge(to, "endpoint_slots", help)?;
        for now in endpoints {
            slots.gauge(&[("endpoint", &now.endpoint)], now.slots_now.into())?;
        }
        let help = "Requests in a second that an endpoint gets while it recovers";
        let mut pace = gauge(to, "endpoint_pace_per_second", help)?;
        for now in endpoints {
            if let Some(per_second) = now.pace_per_second {
                pace.gauge(&[("endpoint", &now.endpoint)], per_second.into())?;
            }
        }
        let help = "Partitions of subscriptions that wait in line for a slot";
        let mut line = gauge(to, "endpoint_waiting_partitions", help)?;
        for now in endpoints {
            line.gauge(&[("endpoint", &now.endpoint)], now.waiting_lanes as u64)?;
        }
        Ok(())
    }

    pub(super) fn cursors(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let lanes = &self.reading.snapshot.lanes;
        let help = "Events in the log that the subscription has not settled";
        let mut lag = gauge(to, "lag_events", help)?;
        for (subscription, events) in self.reading.lags() {
            lag.gauge(&[("subscription", &subscription)], events)?;
        }
        let help = "The offset before which a subscription has settled everything";
        let mut committed = gauge(to, "committed_offset", help)?;
        for (subscription, offset) in self.reading.snapshot.cursors() {
            committed.gauge(&[("subscription", &subscription)], offset.0)?;
        }
        let paused: BTreeMap<&Arc<str>, bool> = lanes
            .iter()
            .map(|lane| (&lane.subscription, lane.paused))
            .collect();
        let mut gauges = gauge(to, "subscription_paused", "1 if a person paused it")?;
        for (subscription, paused) in paused {
            gauges.gauge(&[("subscription", subscription)], paused.into())?;
        }
        let enabled: BTreeMap<&Arc<str>, bool> = lanes
            .iter()
            .map(|lane| (&lane.subscription, lane.enabled))
            .collect();
        let help = "0 if the configuration switches it off";
        let mut gauges = gauge(to, "subscription_enabled", help)?;
        for (subscription, enabled) in enabled {
            gauges.gauge(&[("subscription", subscription)], enabled.into())?;
        }
        let mut keys: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        for lane in lanes {
            *keys.entry(&lane.subscription).or_default() += lane.keys as u64;
        }
        let help = "Ordering keys with a delivery that is not settled";
        let mut gauges = gauge(to, "keys_busy", help)?;
        for (subscription, count) in keys {
            gauges.gauge(&[("subscription", subscription)], count)?;
        }
        self.partitions(to)
    }

    /// Of subscriptions that have a group.
    fn partitions(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let plan = &self.reading.plan;
        let grouped: Vec<_> = self
            .reading
            .snapshot
            .lanes
            .iter()
            .filter_map(|lane| {
                let subscription = plan.subscriptions.get(&lane.subscription)?;
                let group = plan.group_of(subscription)?;
                Some((lane, &*group.name, lane.partition.to_string()))
            })
            .take(PARTITIONS_MAX)
            .collect();
        let end = self.reading.end.0;
        let help = "Events in the log that the partition has not settled, those of others included";
        let mut lag = gauge(to, "group_lag_events", help)?;
        for (lane, group, partition) in &grouped {
            let labels = [
                ("group", *group),
                ("subscription", &*lane.subscription),
                ("partition", partition),
            ];
            lag.gauge(&labels, end.saturating_sub(lane.cursor.0))?;
        }
        let help = "The offset before which the partition has settled everything";
        let mut committed = gauge(to, "group_committed_offset", help)?;
        let mut members: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (lane, group, partition) in &grouped {
            let labels = [
                ("group", *group),
                ("subscription", &*lane.subscription),
                ("partition", partition),
            ];
            committed.gauge(&labels, lane.cursor.0)?;
            if let Some(endpoint) = &lane.endpoint {
                *members.entry((group, endpoint)).or_default() += 1;
            }
        }
        let help = "Partitions that a member of a group works on";
        let mut partitions = gauge(to, "group_partitions", help)?;
        for ((group, endpoint), count) in members {
            partitions.gauge(&[("group", group), ("endpoint", endpoint)], count)?;
        }
        Ok(())
    }

    /// What goes on by itself: jobs, alerts, retention.
    pub(super) fn background(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let reading = &self.reading;
        let mut jobs = gauge(to, "jobs", "Jobs that are not over")?;
        for state in ["counting", "running", "paused"] {
            let count = reading.jobs.get(state).copied().unwrap_or(0);
            jobs.gauge(&[("state", state)], count)?;
        }
        let help = "Deliveries that jobs have put to work again";
        counter(to, "replayed", help)?.count(&[("by", "job")], reading.replayed)?;
        let mut alerts = gauge(to, "alerts_raised", "Figures that are out of bounds")?;
        for (figure, count) in &reading.alerts {
            alerts.gauge(&[("figure", figure)], *count)?;
        }
        if let Some((succeeded, at)) = reading.config {
            let help = "1 if what the configuration file says is in force, 0 if it was refused";
            gauge(to, "config_last_reload_successful", help)?.only(succeeded.into())?;
            let help = "When the configuration file was last read and put in force";
            gauge(to, "config_last_reload_timestamp_seconds", help)?.only(at.0 / 1_000)?;
        }
        let forgotten = &reading.retention;
        let mut removed = counter(to, "retention_removed", "What retention has forgotten")?;
        for (kind, count) in [
            ("events", forgotten.events),
            ("attempts", forgotten.attempts),
            ("dead_letters", forgotten.dead),
        ] {
            removed.count(&[("kind", kind)], count)?;
        }
        let help = "Disk space that retention has given back";
        counter(to, "retention_freed_bytes", help)?.total(forgotten.bytes)
    }
}
