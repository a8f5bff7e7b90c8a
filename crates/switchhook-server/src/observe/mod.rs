//! What the gateway tells about itself in figures and log lines.
//!
//! * `meters`: the counters, moved on the hot path by [`Observe`]; `histogram` and `recent` are what they are made of.
//! * `reading`: what is looked up only when somebody asks.
//! * `exposition` and `flow`: `/metrics`, the only places that name a metric. `live`: the figures of `/v1/stats`.
//! * [`log`]: the log lines about events and deliveries, with the table of their fields.
//!
//! It decides nothing. Bounds: one meter per configured resource and one for all others; see `meters`.

mod exposition;
mod flow;
mod histogram;
mod live;
pub mod log;
mod meters;
mod process;
mod reading;
mod recent;

use std::sync::Arc;

use arc_swap::ArcSwap;
use switchhook_core::breaker::Change;
use switchhook_core::engine::Judged;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{SourceStats, StatsView};

use crate::clock::Clock;
use crate::{dispatch, ingest};
use exposition::Scrape;
use meters::Meters;
use process::Process;

pub(crate) use exposition::MEDIA_TYPE;
pub(crate) use reading::{Counted, Reading};

/// Is told of everything that happens, and shows it.
pub struct Observe {
    meters: ArcSwap<Meters>,
    clock: Clock,
    pub(crate) started_at: UnixMs,
    pub(crate) counted: Counted,
}

impl Observe {
    /// An observer of a gateway that starts now with `plan`.
    #[must_use]
    pub fn new(clock: Clock, plan: &Plan) -> Self {
        Self {
            meters: ArcSwap::from_pointee(Meters::new().adopt(plan)),
            clock,
            started_at: clock.now(),
            counted: Counted::default(),
        }
    }

    /// Another plan is in force: resources that stay keep their counts. Called by one task at a time.
    pub fn adopt(&self, plan: &Plan) {
        let meters = self.meters.load().adopt(plan);
        self.meters.store(Arc::new(meters));
    }

    /// All metrics as text of `MEDIA_TYPE`.
    pub(crate) fn metrics(&self, reading: Reading) -> String {
        let process = Process::read(reading.started_at);
        let scrape = Scrape {
            meters: self.meters.load_full(),
            reading,
        };
        exposition::text(scrape, process)
    }

    /// Figures of everything at this moment.
    pub(crate) fn live_view(&self, reading: &Reading) -> StatsView {
        let (now, now_us) = (self.clock.now(), self.clock.monotonic_us());
        live::stats(&self.meters.load(), reading, now, now_us)
    }

    /// Attempts a second to `endpoint`, over the last seconds.
    pub(crate) fn endpoint_rate(&self, endpoint: &str) -> f64 {
        let meters = self.meters.load();
        meters
            .endpoints
            .get(endpoint)
            .rate
            .per_second(self.clock.monotonic_us())
    }

    /// Deliveries done a second for `subscription`, over the last seconds.
    pub(crate) fn done_rate(&self, subscription: &str) -> f64 {
        let meters = self.meters.load();
        meters
            .subscriptions
            .get(subscription)
            .done
            .per_second(self.clock.monotonic_us())
    }

    /// A breaker changed, with an attempt or by hand.
    pub(crate) fn breaker_changed(&self, change: &Change) {
        let meters = self.meters.load();
        meters
            .endpoints
            .get(&change.endpoint)
            .breaker_changed(change);
        log::breaker_changed(change);
    }

    /// Figures of each source at this moment.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceStats> {
        live::sources(&self.meters.load(), self.clock.monotonic_us())
    }
}

impl ingest::Observer for Observe {
    fn accepted(&self, source: &str, ack_us: u64, bytes: usize) {
        self.meters
            .load()
            .sources
            .get(source)
            .accept(ack_us, bytes, self.clock.monotonic_us());
        log::accepted(source, ack_us, bytes);
    }

    fn duplicate(&self, source: &str) {
        self.meters.load().sources.get(source).duplicates.add_one();
    }

    fn rejected(&self, source: Option<&str>, code: &'static str) {
        let source = source.unwrap_or(meters::OTHER);
        self.meters.load().sources.get(source).reject(code);
        log::rejected(source, code);
    }
}

impl dispatch::Observer for Observe {
    fn judged(&self, judged: &Judged, now: UnixMs) {
        let meters = self.meters.load();
        let now_us = self.clock.monotonic_us();
        meters
            .endpoints
            .get(&judged.attempt.endpoint)
            .judged(judged, now, now_us);
        meters
            .subscriptions
            .get(&judged.attempt.key.subscription)
            .judged(judged, now_us);
        log::judged(judged, now);
        if let Some(change) = &judged.breaker {
            self.breaker_changed(change);
        }
    }
}

#[cfg(test)]
mod tests;
