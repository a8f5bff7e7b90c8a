//! `switchhook tail`: attempts as they happen, one line each.
//!
//! The gateway sends server-sent events; what is not wanted is left out here. A connection that ends is
//! an error with exit code 7, so that a supervisor starts the command again: silence must never look like
//! a quiet gateway.

use serde_json::json;
use switchhook_core::retry::Match;
use switchhook_wire::api::StreamItem;

use super::event::{attempt_line, result_word};
use crate::client::Client;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut};

/// Which attempts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// To this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// With this result: 503, 5xx, 500-503, timeout, connect, …
    #[arg(long, value_name = "RESULT")]
    status: Option<Match>,
    /// Only those that did not deliver
    #[arg(long)]
    failed: bool,
    /// End after this many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Args {
    fn takes(&self, item: &StreamItem) -> bool {
        let attempt = &item.attempt;
        self.endpoint
            .as_ref()
            .is_none_or(|name| *name == attempt.endpoint)
            && (!self.failed || attempt.verdict != "delivered")
            && self
                .status
                .is_none_or(|wanted| result_is(wanted, attempt.status, attempt.error.as_deref()))
    }
}

fn result_is(wanted: Match, status: Option<u16>, error: Option<&str>) -> bool {
    match wanted {
        Match::Any => true,
        Match::Failure(failure) => error == Some(failure.name()),
        Match::Status(exact) => status == Some(exact),
        Match::Class(hundred) => status.is_some_and(|status| status / 100 == u16::from(hundred)),
        Match::Range(from, to) => status.is_some_and(|status| (from..=to).contains(&status)),
    }
}

/// Shows them until the connection ends.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let mut lines = client
        .stream(&["v1", "stream"], &json!({}), "text/event-stream")
        .await?;
    output.say("watching; Ctrl-C ends it");
    let (mut message, mut shown) = (Message::default(), 0);
    while args.limit.is_none_or(|limit| shown < limit) {
        let line = tokio::select! {
            line = lines.next() => line?,
            _ = tokio::signal::ctrl_c() => return Err(Failure::silent(Code::Interrupted)),
        };
        let Some(line) = line else {
            return Err(
                Failure::new(Code::Unavailable, "the gateway ended the stream")
                    .hint("it may be shutting down; start the command again"),
            );
        };
        let Some(message) = message.feed(&line) else {
            continue;
        };
        match serde_json::from_str::<StreamItem>(&message.data) {
            Ok(item) if args.takes(&item) => {
                shown += 1;
                output.show(&item, item_line)?;
            }
            Ok(_) => {}
            // Not an attempt: a notice, for example of attempts that were missed.
            Err(_) => output.say(&cut(&format!("{}: {}", message.name, message.data), 200)),
        }
    }
    Ok(())
}

fn item_line(item: &StreamItem) -> String {
    let attempt = &item.attempt;
    format!(
        "{}  {:<8}  {} -> {}  {}  {}",
        attempt.at,
        result_word(attempt),
        item.subscription,
        attempt.endpoint,
        item.event_id,
        attempt_line(attempt),
    )
}

/// A server-sent event that is being read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    name: String,
    data: String,
}

impl Message {
    /// Takes one line; an empty one ends the event and gives it, if it has data.
    fn feed(&mut self, line: &str) -> Option<Self> {
        if line.is_empty() {
            let whole = std::mem::take(self);
            return (!whole.data.is_empty()).then_some(whole);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments keep the connection alive; ids and retry times mean nothing here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_sent_events_are_put_together_from_their_lines() {
        let mut message = Message::default();
        let text =
            ": alive\n\nevent: attempt\nid: 7\ndata: {\ndata:}\n\nevent: notice\n\ndata: x\n\n";
        let events: Vec<_> = text
            .split('\n')
            .filter_map(|line| message.feed(line))
            .collect();
        let expected = [("attempt", "{\n}"), ("", "x")].map(|(name, data)| Message {
            name: name.into(),
            data: data.into(),
        });
        assert_eq!(events, expected);
    }

    #[test]
    fn a_result_is_chosen_by_status_class_range_or_failure() {
        for (wanted, status, error, takes) in [
            ("503", Some(503), None, true),
            ("503", Some(500), None, false),
            ("5xx", Some(599), None, true),
            ("5xx", None, Some("timeout"), false),
            ("500-503", Some(503), None, true),
            ("timeout", None, Some("timeout"), true),
            ("timeout", None, Some("connect"), false),
            ("*", None, Some("connect"), true),
        ] {
            assert_eq!(
                result_is(wanted.parse().unwrap(), status, error),
                takes,
                "{wanted}"
            );
        }
    }
}
