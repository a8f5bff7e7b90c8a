//! What the benched gateway does besides handing events on: each flag switches one feature on, so that its cost can be
//! told from two runs.
//!
//! Events differ in their key, one after the other. A failing share makes the receiver refuse every n-th key, spread
//! evenly, so that it looks like single bad conversations and not like an endpoint that is down.

use serde_json::{Map, Value, json};
use switchhook_core::expression::Expression;
use switchhook_sim::load::driver::KEYS_DEFAULT;

/// The secret that requests are signed with. It guards nothing.
const SIGNING: &str = "whsec_YmVuY2hiZW5jaGJlbmNoYmVuY2hiZW5jaGJlbmNo";
/// The passphrase that bodies are encrypted with. It guards nothing.
const PASSPHRASE: &str = "bench bench bench";

/// Features of the gateway that is measured.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Features of the gateway")]
pub(super) struct Features {
    /// Which deliveries wait for each other
    #[arg(long, default_value = "none", value_parser = ["none", "key", "strict"])]
    order: String,
    /// Different ordering keys among the events
    #[arg(long, value_name = "N", default_value_t = KEYS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..))]
    keys: u16,
    /// Share of the keys that the receiver answers with 500, for example 1%
    #[arg(long, value_name = "SHARE", value_parser = every, conflicts_with_all = ["proxy", "encrypt"])]
    failing_share: Option<u16>,
    /// Condition in CEL; it must hold for every event: event.data.type == "bench.event"
    #[arg(long, value_name = "CEL", value_parser = condition)]
    filter: Option<String>,
    /// Copy four fields into a new body
    #[arg(long)]
    map: bool,
    /// Sign each request (Standard Webhooks)
    #[arg(long)]
    sign: bool,
    /// Encrypt each body; its time of sending cannot be read then
    #[arg(long)]
    encrypt: bool,
}

/// `1%` or `0.01`, as every how many keys one fails.
fn every(text: &str) -> Result<u16, String> {
    let percent = text.strip_suffix('%');
    let share: Option<f64> = percent.unwrap_or(text).trim().parse().ok();
    let share = share.map(|share| {
        if percent.is_some() {
            share / 100.0
        } else {
            share
        }
    });
    // A share of more than a half would be an endpoint that is down, and its breaker would open.
    let share = share.filter(|share| (0.000_1..=0.5).contains(share));
    let share = share.ok_or("write a share from 0.01% to 50%, for example 1%")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 2 to 10,000, as was checked"
    )]
    Ok((1.0 / share).round() as u16)
}

fn condition(text: &str) -> Result<String, String> {
    match Expression::compile(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Features {
    /// Different keys.
    pub(super) const fn keys(&self) -> u16 {
        self.keys
    }

    /// The path of endpoint `n` at the receiver.
    pub(super) fn path(&self, n: u16) -> String {
        match self.failing_share {
            Some(every) => format!("every-{every}-fails/e{n}"),
            None => format!("e{n}"),
        }
    }

    /// How many of the first `events` are delivered: those whose key does not fail.
    pub(super) fn delivered(&self, events: u64) -> u64 {
        let Some(every) = self.failing_share.map(u64::from) else {
            return events;
        };
        let keys = u64::from(self.keys);
        // Keys follow each other, and those fail that are a multiple of `every`.
        let (rounds, rest) = (events / keys, events % keys);
        events - rounds * keys.div_ceil(every) - rest.div_ceil(every)
    }

    /// What was asked for.
    pub(super) fn parameters(&self) -> Map<String, Value> {
        let parameters = json!({
            "order": self.order,
            "keys": self.keys,
            "failing_share": self.failing_share.map(|every| 1.0 / f64::from(every)),
            "filter": self.filter,
            "map": self.map.then_some(true),
            "sign": self.sign.then_some(true),
            "encrypt": self.encrypt.then_some(true),
        });
        parameters.as_object().cloned().unwrap_or_default()
    }

    /// Lines of the source.
    pub(super) fn source(&self) -> &'static str {
        if self.order == "none" {
            ""
        } else {
            "key = [\"/key\"]\n"
        }
    }

    /// Lines of each endpoint.
    pub(super) fn endpoint(&self) -> String {
        let mut text = String::new();
        if self.sign {
            text.push_str(&format!(
                "sign = {{ scheme = \"standard-webhooks\", secret = \"{SIGNING}\" }}\n"
            ));
        }
        if self.encrypt {
            text.push_str(&format!(
                "encrypt = {{ secret = \"{PASSPHRASE}\", key_id = \"bench\" }}\n"
            ));
        }
        text
    }

    /// Lines of each subscription.
    pub(super) fn subscription(&self) -> String {
        let mut text = format!("order = \"{}\"\n", self.order);
        if let Some(filter) = &self.filter {
            // A JSON string is a TOML string.
            text.push_str(&format!("when = {}\n", Value::from(filter.as_str())));
        }
        if self.map {
            let fields = "id = \"id\", key = \"key\", kind = \"event.type\", sent-at = \"sent-at\"";
            text.push_str(&format!("map = {{ {fields} }}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_every_how_many_keys_one_fails() {
        for (text, expected) in [
            ("1%", Some(100)),
            ("0.01", Some(100)),
            ("50%", Some(2)),
            ("33 %", Some(3)),
            ("0.01%", Some(10_000)),
            ("51%", None),
            ("0", None),
            ("-1%", None),
            ("NaN", None),
            ("x", None),
        ] {
            assert_eq!(every(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_condition_that_does_not_compile_is_refused_before_anything_starts() {
        assert!(condition("event.data.type == \"bench.event\"").is_ok());
        assert!(condition("event.data.").is_err());
    }
}
