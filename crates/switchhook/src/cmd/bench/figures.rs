//! What the bench found, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_sim::load::driver::Report;

use super::child::Usage;

/// The figures of one subject: the gateway or the proxy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    load: Value,
    end_to_end: Value,
    accepted: u64,
    accepted_per_s: f64,
    delivered: u64,
    delivered_per_s: f64,
    /// Acknowledged deliveries that had not arrived when the time for it was over.
    missing: u64,
    cpu_s_per_10k: f64,
    peak_bytes: u64,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Results {
    /// What was asked for.
    pub(super) parameters: Value,
    /// The gateway.
    pub(super) gateway: Figures,
    /// The bare proxy, if it was measured.
    pub(super) proxy: Option<Figures>,
}

impl Figures {
    /// The figures of a load that took `elapsed` until all that arrived had arrived.
    pub(super) fn new(
        load: &Report,
        received: &Value,
        expected: u64,
        elapsed: Duration,
        used: Usage,
    ) -> Self {
        let delivered = received
            .get("answered")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        // Repeats, and events whose ack came too late to be counted, are no deliveries of this load.
        let delivered = delivered.min(expected);
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let accepted = load.accepted();
        Self {
            load: load.json(),
            end_to_end: received.get("end_to_end").cloned().unwrap_or_default(),
            accepted,
            accepted_per_s: load.accepted_per_s(),
            delivered,
            delivered_per_s: delivered as f64 / seconds,
            missing: expected.saturating_sub(delivered),
            cpu_s_per_10k: used.cpu_s * 10_000.0 / (accepted as f64).max(1.0),
            peak_bytes: used.peak_bytes,
        }
    }

    fn json(&self) -> Value {
        json!({
            "accepted": self.accepted,
            "accepted_per_s": self.accepted_per_s,
            "delivered": self.delivered,
            "delivered_per_s": self.delivered_per_s,
            "missing": self.missing,
            "ack": self.load.get("latency"),
            "end_to_end": self.end_to_end,
            "cpu_s_per_10k_events": self.cpu_s_per_10k,
            "peak_rss_bytes": self.peak_bytes,
            "driver": self.load,
        })
    }

    fn text(&self, name: &str) -> String {
        let missing = match self.missing {
            0 => String::new(),
            missing => format!("   {missing} NOT DELIVERED IN TIME"),
        };
        let ack = self.load.get("latency").map(quantiles).unwrap_or_default();
        format!(
            "{name}\n  accepted   {:>9.0} events/s      ack         {ack}\n  delivered  {:>9.0} deliveries/s  end to end  {}{missing}\n  cost       {:>9.2} CPU s for 10,000 events, {:.0} MiB peak\n",
            self.accepted_per_s,
            self.delivered_per_s,
            quantiles(&self.end_to_end),
            self.cpu_s_per_10k,
            self.peak_bytes as f64 / (1024.0 * 1024.0),
        )
    }
}

fn quantiles(latency: &Value) -> String {
    if latency.get("count").and_then(Value::as_u64) == Some(0) {
        return "not measured".to_owned();
    }
    let ms = |name: &str| latency.get(name).and_then(Value::as_f64).unwrap_or(0.0) / 1_000.0;
    format!(
        "p50 {:.1} ms  p99 {:.1} ms  p999 {:.1} ms",
        ms("p50_us"),
        ms("p99_us"),
        ms("p999_us")
    )
}

impl Results {
    /// The gateway's deliveries a second as a part of the proxy's.
    fn ratio(&self) -> Option<f64> {
        let proxy = self
            .proxy
            .as_ref()
            .filter(|proxy| proxy.delivered_per_s > 0.0)?;
        Some(self.gateway.delivered_per_s / proxy.delivered_per_s)
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "parameters": self.parameters,
            "gateway": self.gateway.json(),
            "proxy": self.proxy.as_ref().map(Figures::json),
            "ratio": self.ratio(),
        })
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let mut text = self
            .gateway
            .text("gateway, every event on disk before its ack");
        if let Some(proxy) = &self.proxy {
            text.push_str(&proxy.text("bare proxy, nothing kept"));
        }
        if let Some(ratio) = self.ratio() {
            text.push_str(&format!(
                "ratio      {:.0} % of the proxy's deliveries a second\n",
                ratio * 100.0
            ));
        }
        text
    }
}

/// The parameters on one line.
pub(super) fn parameters_text(parameters: &Value) -> String {
    let members = parameters.as_object().into_iter().flatten();
    let shown = members.filter(|(_, value)| !value.is_null());
    let shown: Vec<_> = shown
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("bench  {}", shown.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(delivered_per_s: f64, missing: u64) -> Figures {
        let latency =
            json!({"count": 1, "p50_us": 1_500, "p99_us": 9_400, "p999_us": 20_000, "max_us": 1});
        Figures {
            load: json!({"latency": latency}),
            end_to_end: latency,
            accepted: 100_000,
            accepted_per_s: 20_400.4,
            delivered: 100_000,
            delivered_per_s,
            missing,
            cpu_s_per_10k: 0.42,
            peak_bytes: 80 * 1024 * 1024,
        }
    }

    #[test]
    fn the_text_has_every_figure_and_the_ratio() {
        let results = Results {
            parameters: json!({"connections": 64, "rate_per_s": null}),
            gateway: figures(20_000.0, 0),
            proxy: Some(figures(50_000.0, 3)),
        };
        insta::assert_snapshot!(results.text(), @r"
        gateway, every event on disk before its ack
          accepted       20400 events/s      ack         p50 1.5 ms  p99 9.4 ms  p999 20.0 ms
          delivered      20000 deliveries/s  end to end  p50 1.5 ms  p99 9.4 ms  p999 20.0 ms
          cost            0.42 CPU s for 10,000 events, 80 MiB peak
        bare proxy, nothing kept
          accepted       20400 events/s      ack         p50 1.5 ms  p99 9.4 ms  p999 20.0 ms
          delivered      50000 deliveries/s  end to end  p50 1.5 ms  p99 9.4 ms  p999 20.0 ms   3 NOT DELIVERED IN TIME
          cost            0.42 CPU s for 10,000 events, 80 MiB peak
        ratio      40 % of the proxy's deliveries a second
        ");
        assert_eq!(
            parameters_text(&results.parameters),
            "bench  connections=64"
        );
        assert_eq!(results.json()["ratio"], json!(0.4));
    }
}
