//! `switchhook event`: what was accepted, and what became of it everywhere.

use clap::Subcommand;
use switchhook_wire::api::{
    AttemptView, DeliveryState, DeliveryView, EventQuery, EventView, PAGE_SIZE_MAX, TimelineView,
    time,
};

use crate::client::Client;
use crate::config;
use crate::exit::Outcome;
use crate::output::{Output, cut, list, span, table};

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List events, newest first
    List(Filter),
    /// Show an event with its body
    Get {
        /// Event id, `evt_…`
        id: String,
    },
    /// Show where an event is, and why: every delivery with its attempts
    Timeline {
        /// Event id, `evt_…`
        id: String,
    },
}

/// Which events. Everything that is set must hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Filter {
    /// From this source
    #[arg(long)]
    source: Option<String>,
    /// Of exactly this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// With this ordering key, for example a conversation id
    #[arg(long)]
    key: Option<String>,
    /// Accepted since: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Most events to list
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    match command {
        Command::List(filter) => {
            let query = EventQuery {
                source: filter.source,
                kind: filter.kind,
                key: filter.key,
                since: config::instant(filter.since.as_deref())?,
                until: config::instant(filter.until.as_deref())?,
                before: None,
                page_size: Some(filter.limit.clamp(1, PAGE_SIZE_MAX)),
            };
            let events: Vec<EventView> =
                client.list(&["v1", "events"], &query, filter.limit).await?;
            list(output, &events, "events", events_table)
        }
        Command::Get { id } => {
            let event: EventView = client.get(&["v1", "events", &id]).await?;
            output.show(&event, event_text)
        }
        Command::Timeline { id } => {
            let timeline: TimelineView = client.get(&["v1", "events", &id, "timeline"]).await?;
            output.show(&timeline, timeline_text)
        }
    }
}

fn events_table(events: &[EventView]) -> String {
    let rows = events.iter().map(|event| {
        [
            event.received_at.clone(),
            event.id.clone(),
            cut(&event.source, 24),
            cut(&event.kind, 48),
            cut(event.key.as_deref().unwrap_or("-"), 40),
            event.body_bytes.to_string(),
        ]
    });
    table(
        ["RECEIVED", "EVENT", "SOURCE", "TYPE", "KEY", "BYTES"],
        rows,
    )
}

fn event_text(event: &EventView) -> String {
    let mut text = event_head(event);
    for (name, value) in &event.headers {
        text.push_str(&format!("  {}: {}\n", cut(name, 64), cut(value, 200)));
    }
    match (&event.body, &event.body_base64) {
        (Some(body), _) => text.push_str(&format!("\n{body:#}\n")),
        (None, Some(base64)) => text.push_str(&format!("\nbase64: {base64}\n")),
        (None, None) => {}
    }
    text
}

fn event_head(event: &EventView) -> String {
    let key = event
        .key
        .as_deref()
        .map(|key| format!("  key {}", cut(key, 64)));
    format!(
        "{}  {}  {}{}  {} bytes at {}\n",
        event.id,
        cut(&event.source, 64),
        cut(&event.kind, 128),
        key.unwrap_or_default(),
        event.body_bytes,
        event.received_at,
    )
}

/// Most names in a line.
const NAMES_MAX: usize = 10;

fn timeline_text(timeline: &TimelineView) -> String {
    let mut text = event_head(&timeline.event);
    for delivery in &timeline.deliveries {
        if delivery.state != DeliveryState::NotMatched {
            text.push_str(&delivery_text(delivery));
        }
    }
    let others: Vec<_> = timeline
        .deliveries
        .iter()
        .filter(|delivery| delivery.state == DeliveryState::NotMatched)
        .map(|delivery| delivery.subscription.as_str())
        .collect();
    if !others.is_empty() {
        text.push_str(&format!("\nnot taken by {}\n", first_of(&others)));
    }
    text
}

/// Names, the first of them where there are many: `switchhook explain` has all, and why.
fn first_of(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).copied().collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn delivery_text(delivery: &DeliveryView) -> String {
    let partition = match delivery.partition {
        0 => String::new(),
        partition => format!("  partition {partition}"),
    };
    let mut text = format!(
        "\n{} -> {}{partition}  {}  {}\n",
        delivery.subscription,
        delivery.endpoint,
        delivery.state.name(),
        delivery.id
    );
    let mut before: Option<&AttemptView> = None;
    for attempt in &delivery.attempts {
        let waited = waited(before, attempt);
        text.push_str(&format!(
            "  {}{waited}  {}\n",
            attempt.at,
            attempt_line(attempt)
        ));
        before = Some(attempt);
    }
    text.push_str(&format!("  {}\n", cut(&delivery.why, 400)));
    if let Some(behind) = &delivery.behind {
        let id = behind
            .event_id
            .as_deref()
            .unwrap_or("an event that is gone");
        text.push_str(&format!("  behind {id}, offset {}\n", behind.offset));
    }
    text
}

/// How long after the attempt before it began, where that is of the same chain: ` +5.6s`.
fn waited(before: Option<&AttemptView>, attempt: &AttemptView) -> String {
    let before = before.filter(|before| before.chain == attempt.chain);
    let times = before.map(|before| (time::parse(&before.at), time::parse(&attempt.at)));
    match times {
        Some((Ok(before), Ok(at))) => format!(" +{}", span(at.since_ms(before))),
        _ => String::new(),
    }
}

/// One attempt: `attempt 2  503  30 ms  retry by default: 5xx, next at …`.
pub(super) fn attempt_line(attempt: &AttemptView) -> String {
    let replay = match attempt.chain {
        0 => String::new(),
        chain => format!(" of replay {chain}"),
    };
    let mut text = format!(
        "attempt {}{replay}  {}  {} ms  {} by {}",
        attempt.n,
        result_word(attempt),
        attempt.duration_ms,
        attempt.verdict,
        attempt.rule,
    );
    if let Some(next) = &attempt.next_at {
        text.push_str(&format!(", next at {next}"));
    }
    if let Some(detail) = &attempt.detail {
        text.push_str(&format!("  ({})", cut(detail, 120)));
    }
    text
}

/// What came back: a status, or the word for why nothing did.
pub(super) fn result_word(attempt: &AttemptView) -> String {
    match (attempt.status, &attempt.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(error)) => error.clone(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_timeline_shows_each_delivery_with_its_attempts_and_why() {
        let timeline: TimelineView = serde_json::from_value(json!({
            "event": {"id": "evt_1", "offset": 1, "source": "web", "type": "Text", "key": "c1",
                "receivedAt": "2026-11-20T12:00:00.000Z", "headers": {}, "bodyBytes": 12},
            "deliveries": [
                {"id": "dlv_1", "subscription": "web-to-wfm", "endpoint": "wfm", "state": "waiting", "chain": 0,
                 "partition": 3, "behind": {"eventId": "evt_0", "offset": 7},
                 "attempts": [{"chain": 0, "n": 1, "endpoint": "wfm", "at": "2026-11-20T12:00:00.001Z",
                    "durationMs": 30, "status": 503, "rule": "default: 5xx", "verdict": "retry",
                    "detail": "busy\u{1b}[2J", "nextAt": "2026-11-20T12:00:01.000Z"},
                   {"chain": 0, "n": 2, "endpoint": "wfm", "at": "2026-11-20T12:00:01.002Z", "durationMs": 10000,
                    "error": "timeout", "rule": "default: timeout", "verdict": "retry"}],
                 "why": "it waits for attempt 2"},
                {"id": "dlv_2", "subscription": "other", "endpoint": "crm", "state": "not-matched", "chain": 0,
                 "attempts": [], "why": "the type is not taken"},
            ],
        }))
        .unwrap();
        insta::assert_snapshot!(timeline_text(&timeline), @r"
        evt_1  web  Text  key c1  12 bytes at 2026-11-20T12:00:00.000Z

        web-to-wfm -> wfm  partition 3  waiting  dlv_1
          2026-11-20T12:00:00.001Z  attempt 1  503  30 ms  retry by default: 5xx, next at 2026-11-20T12:00:01.000Z  (busy [2J)
          2026-11-20T12:00:01.002Z +1s  attempt 2  timeout  10000 ms  retry by default: timeout
          it waits for attempt 2
          behind evt_0, offset 7

        not taken by other
        ");
    }

    #[test]
    fn of_many_names_the_first_are_shown_and_the_others_counted() {
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(first_of(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(first_of(&names[..2]), "0, 1");
    }
}
