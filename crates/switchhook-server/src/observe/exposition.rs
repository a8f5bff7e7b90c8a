//! `/metrics`: every metric's name, help and labels, and nowhere else.
//!
//! What stands and moves now (endpoints, cursors, jobs, alerts) is in `flow`.
//! The text is made anew for each scrape from the meters and a [`Reading`]; nothing is registered ahead. Conventions
//! (`facts`, ux section 7): prefix `switchhook_`, base units, few labels. Label values are configured names, words of
//! our own tables, or `other`; never an id, a URL, a key or an event type.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::histogram::{Histogram, Shown};
use super::meters::{Meters, Named};
use super::process::Process;
use super::reading::Reading;

/// The media type of what [`text`] returns.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PREFIX: &str = "switchhook";

/// Everything that one answer shows.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) meters: Arc<Meters>,
    pub(super) reading: Reading,
}

/// All metrics as text.
pub(super) fn text(scrape: Scrape, process: Process) -> String {
    let mut text = String::new();
    let mut ours = Registry::with_prefix(PREFIX);
    ours.register_collector(Box::new(scrape));
    let mut of_process = Registry::default();
    of_process.register_collector(Box::new(process));
    // Writing into a string cannot fail.
    let _infallible = encode_registry(&mut text, &ours)
        .and_then(|()| encode_registry(&mut text, &of_process))
        .and_then(|()| encode_eof(&mut text));
    text
}

/// A metric that is being written.
pub(super) struct Family<'a>(MetricEncoder<'a>);

pub(super) type Labels<'l> = [(&'l str, &'l str)];

impl Family<'_> {
    pub(super) fn count(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        self.0
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn total(&mut self, value: u64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn gauge(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        self.0.encode_family(&labels)?.encode_gauge(&value)
    }

    pub(super) fn only(&mut self, value: u64) -> fmt::Result {
        self.0.encode_gauge(&value)
    }

    fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) -> fmt::Result {
        let Shown {
            sum,
            count,
            buckets,
        } = histogram.shown();
        if count == 0 {
            return Ok(());
        }
        self.0
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

pub(super) fn counter<'e>(
    to: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<Family<'e>, fmt::Error> {
    to.encode_descriptor(name, help, None, MetricType::Counter)
        .map(Family)
}

pub(super) fn gauge<'e>(
    to: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<Family<'e>, fmt::Error> {
    to.encode_descriptor(name, help, None, MetricType::Gauge)
        .map(Family)
}

fn histogram<'e>(
    to: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<Family<'e>, fmt::Error> {
    to.encode_descriptor(name, help, None, MetricType::Histogram)
        .map(Family)
}

impl Collector for Scrape {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        self.build(&mut to)?;
        self.ingest(&mut to)?;
        self.deliveries(&mut to)?;
        self.attempts(&mut to)?;
        self.backlog(&mut to)?;
        self.endpoints(&mut to)?;
        self.cursors(&mut to)?;
        self.background(&mut to)?;
        self.store(&mut to)
    }
}

impl Scrape {
    fn build(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("store", self.reading.engine),
        ];
        to.encode_descriptor("build", "What runs", None, MetricType::Info)?
            .encode_info(&labels)
    }

    fn ingest(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = &self.meters.sources;
        let mut requests = counter(
            to,
            "ingest_requests",
            "Events accepted or known already, and requests refused",
        )?;
        for (source, meter) in sources.all() {
            let counted = [
                ("accepted", "none", meter.accepted.get()),
                ("duplicate", "none", meter.duplicates.get()),
            ];
            let rejected = meter
                .rejected()
                .map(|(reason, count)| ("rejected", reason, count));
            for (outcome, reason, count) in counted
                .into_iter()
                .chain(rejected)
                .filter(|(.., count)| *count > 0)
            {
                requests.count(
                    &[("source", source), ("outcome", outcome), ("reason", reason)],
                    count,
                )?;
            }
        }
        let mut ack = histogram(
            to,
            "ingest_ack_duration_seconds",
            "From the head of a request to its answer",
        )?;
        for (source, meter) in sources.all() {
            ack.histogram(&[("source", source)], &meter.ack)?;
        }
        let mut body = histogram(to, "ingest_payload_bytes", "Size of accepted bodies")?;
        for (source, meter) in sources.all() {
            body.histogram(&[("source", source)], &meter.body)?;
        }
        Ok(())
    }

    fn deliveries(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let endpoints = &self.meters.endpoints;
        let mut deliveries = counter(to, "deliveries", "Deliveries that ended")?;
        for (endpoint, meter) in endpoints.all() {
            let dead = meter.dead().map(|(_, count)| count).sum();
            deliveries.count(
                &[("endpoint", endpoint), ("outcome", "delivered")],
                meter.delivered(),
            )?;
            deliveries.count(&[("endpoint", endpoint), ("outcome", "dead")], dead)?;
        }
        let mut age = histogram(
            to,
            "delivery_age_seconds",
            "From acceptance to delivery, retries included",
        )?;
        for (endpoint, meter) in endpoints.all() {
            age.histogram(&[("endpoint", endpoint)], &meter.age)?;
        }
        let mut dead = counter(to, "dead_letters", "Deliveries given up")?;
        for (endpoint, meter) in endpoints.all() {
            for (reason, count) in meter.dead().filter(|(_, count)| *count > 0) {
                dead.count(&[("endpoint", endpoint), ("reason", reason)], count)?;
            }
        }
        Ok(())
    }

    fn attempts(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let endpoints = &self.meters.endpoints;
        let mut attempts = counter(
            to,
            "attempts",
            "Requests made, by what was decided and what came back",
        )?;
        for (endpoint, meter) in endpoints.all() {
            for ((outcome, class, reason), count) in meter.attempts() {
                let labels = [
                    ("endpoint", endpoint),
                    ("outcome", outcome),
                    ("status_class", class),
                    ("reason", reason),
                ];
                attempts.count(&labels, count)?;
            }
        }
        let mut duration = histogram(
            to,
            "attempt_duration_seconds",
            "From the start of a request to its answer",
        )?;
        for (endpoint, meter) in endpoints.all() {
            duration.histogram(
                &[("endpoint", endpoint), ("outcome", "delivered")],
                &meter.delivered_in,
            )?;
            duration.histogram(
                &[("endpoint", endpoint), ("outcome", "failed")],
                &meter.failed_in,
            )?;
        }
        let mut delay = histogram(
            to,
            "retry_delay_seconds",
            "From a failed attempt to the next one, as planned",
        )?;
        for (endpoint, meter) in endpoints.all() {
            delay.histogram(&[("endpoint", endpoint)], &meter.retry_delay)?;
        }
        Ok(())
    }

    fn backlog(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (counts, subscriptions) = (&self.reading.counts, &self.meters.subscriptions);
        let mut queue = gauge(
            to,
            "queue_events",
            "Deliveries that wait for a retry or are held",
        )?;
        let states = counts.waiting.iter().flat_map(|(name, count)| {
            let held = counts.held.get(name).copied().unwrap_or(0);
            let waiting = count.saturating_sub(held);
            [(&**name, "waiting", waiting), (&**name, "held", held)]
        });
        for ((subscription, state), count) in grouped(subscriptions, states) {
            queue.gauge(&[("subscription", subscription), ("state", state)], count)?;
        }
        let mut dead = gauge(to, "dead_letters_kept", "Dead letters that can be replayed")?;
        let kept = counts
            .dead
            .iter()
            .map(|((endpoint, reason), count)| (&**endpoint, reason.name(), *count));
        for ((endpoint, reason), count) in grouped(&self.meters.endpoints, kept) {
            dead.gauge(&[("endpoint", endpoint), ("reason", reason)], count)?;
        }
        Ok(())
    }

    fn store(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.reading.counts;
        gauge(to, "store_size_bytes", "What the store takes on disk")?.only(counts.bytes)?;
        if counts.free_bytes != u64::MAX {
            gauge(to, "store_free_bytes", "What is free where the store lies")?
                .only(counts.free_bytes)?;
        }
        let relaxed = u64::from(self.reading.relaxed);
        gauge(
            to,
            "durability_relaxed",
            "1 if an accepted event may be lost with the power",
        )?
        .only(relaxed)
    }
}

/// Counts by label, those of names that are not configured taken together.
fn grouped<'n, T: Default>(
    named: &Named<T>,
    counts: impl Iterator<Item = (&'n str, &'static str, u64)>,
) -> std::collections::BTreeMap<(&'n str, &'static str), u64> {
    let mut grouped = std::collections::BTreeMap::new();
    for (name, word, count) in counts {
        let sum: &mut u64 = grouped.entry((named.label(name), word)).or_default();
        *sum = sum.saturating_add(count);
    }
    grouped
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let started = to.encode_descriptor(
            "process_start_time_seconds",
            "When the process started",
            None,
            MetricType::Gauge,
        );
        started?.encode_gauge(&self.started_at_s)?;
        if let Some(cpu_s) = self.cpu_s {
            let cpu = to.encode_descriptor(
                "process_cpu_seconds",
                "Processor time used",
                None,
                MetricType::Counter,
            );
            cpu?.encode_counter::<NoLabelSet, _, u64>(&cpu_s, None)?;
        }
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in RAM",
                self.resident_bytes,
            ),
            ("process_open_fds", "Open files and sockets", self.open_fds),
            ("process_max_fds", "How many may be open", self.max_fds),
            ("process_threads", "Threads", self.threads),
        ] {
            if let Some(value) = value {
                gauge(&mut to, name, help)?.only(value)?;
            }
        }
        Ok(())
    }
}
