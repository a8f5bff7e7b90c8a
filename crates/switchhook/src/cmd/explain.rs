//! `switchhook explain`: for every subscription why it took an event or not, and where the delivery is now and why.

use switchhook_core::time::UnixMs;
use switchhook_wire::api::{DeliveryState, ExplainedDelivery, ExplainedSubscription, Explanation};

use super::breaker;
use crate::client::Client;
use crate::config;
use crate::exit::Outcome;
use crate::output::{Output, counted, cut};

/// What to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Event id, `evt_…`
    id: String,
}

/// Explains it.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let found: Explanation = client.get(&["v1", "events", &args.id, "explain"]).await?;
    output.show(&found, |found| explanation_text(found, config::now()))
}

fn explanation_text(found: &Explanation, now: UnixMs) -> String {
    let event = &found.event;
    let key = event.key.as_deref();
    let key = key
        .map(|key| format!("  key {}", cut(key, 64)))
        .unwrap_or_default();
    let mut text = format!(
        "{}  {}  {}{key}  offset {}  accepted {}\n",
        event.id,
        cut(&event.source, 64),
        cut(&event.kind, 128),
        event.offset,
        event.received_at,
    );
    if found.subscriptions.is_empty() {
        text.push_str("\nthere is no subscription; make one: switchhook subscription set --help\n");
    }
    for one in &found.subscriptions {
        text.push_str(&subscription_text(one, &event.id, now));
    }
    text
}

fn subscription_text(one: &ExplainedSubscription, event: &str, now: UnixMs) -> String {
    let mark = if one.taken { '✓' } else { '✗' };
    let mut text = format!("\n{mark} {}  {}", one.subscription, cut(&one.text, 400));
    if let Some(detail) = one
        .detail
        .as_ref()
        .filter(|detail| !one.text.contains(*detail))
    {
        text.push_str(&format!(" ({})", cut(detail, 400)));
    }
    text.push('\n');
    if let Some(delivery) = &one.delivery {
        text.push_str(&delivery_text(delivery, event, now));
    }
    text
}

fn delivery_text(delivery: &ExplainedDelivery, event: &str, now: UnixMs) -> String {
    let mut text = format!(
        "    {}  {}",
        delivery.state.name(),
        counted(delivery.attempts, "attempt")
    );
    if let Some(partition) = delivery.partition {
        text.push_str(&format!("  partition {partition}"));
    }
    match &delivery.endpoint {
        Some(endpoint) => text.push_str(&format!("  to {endpoint}")),
        None => text.push_str("  given to no endpoint"),
    }
    match (&delivery.next_attempt_at, &delivery.breaker) {
        (Some(next), _) => {
            text.push_str(&format!("  next attempt {}", breaker::ahead(next, now)));
        }
        (None, Some(state)) => text.push_str(&format!(
            "  {}, next probe {}",
            breaker::state_text(state),
            breaker::until_text(state, now)
        )),
        (None, None) => {}
    }
    text.push_str(&format!("\n    {}\n", cut(&delivery.why, 400)));
    if let Some(behind) = &delivery.behind {
        let id = behind
            .event_id
            .as_deref()
            .unwrap_or("an event that is gone");
        text.push_str(&format!("    behind {id}, offset {}\n", behind.offset));
    }
    if delivery.state == DeliveryState::Dead {
        text.push_str(&format!(
            "    try it again: switchhook dlq replay --event {event}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_has_a_line_for_each_subscription_and_says_where_the_delivery_is() {
        let found: Explanation = serde_json::from_value(json!({
            "event": {"id": "evt_1", "offset": 12, "source": "web", "type": "Text", "key": "c-1",
                "receivedAt": "2026-11-20T09:59:00.000Z"},
            "subscriptions": [
                {"subscription": "to-bi", "taken": false, "why": "type", "text": "it takes other types",
                 "detail": "v2.users.{id}.presence"},
                {"subscription": "to-crm", "taken": true, "why": "taken", "text": "everything fits",
                 "delivery": {"id": "dlv_1", "state": "held", "why": "the breaker of crm is open", "attempts": 1,
                    "partition": 3, "endpoint": "crm",
                    "behind": {"eventId": "evt_0", "offset": 9},
                    "breaker": {"endpoint": "crm", "state": "open", "cause": "failures", "inFlight": 0, "slots": 1,
                        "slotsConfigured": 5, "since": "2026-11-20T09:59:10.000Z",
                        "until": "2026-11-20T10:00:18.000Z"}}},
            ],
        }))
        .unwrap();
        let now = UnixMs(1_795_168_800_000);
        insta::assert_snapshot!(explanation_text(&found, now), @r"
        evt_1  web  Text  key c-1  offset 12  accepted 2026-11-20T09:59:00.000Z

        ✗ to-bi  it takes other types (v2.users.{id}.presence)

        ✓ to-crm  everything fits
            held  1 attempt  partition 3  to crm  ○ open, next probe in 18s
            the breaker of crm is open
            behind evt_0, offset 9
        ");
    }
}
