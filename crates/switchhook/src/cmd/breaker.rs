//! `switchhook breaker`: how endpoints stand, and opening or closing a breaker by hand.
//!
//! State is a shape and a word, never a colour alone. An open breaker loses nothing: deliveries wait and use up no
//! attempt.

use clap::Subcommand;
use http::Method;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{BreakerCommand, BreakerState, BreakerWish, PAGE_SIZE_MAX, time};

use super::resource::LIST_MAX;
use crate::client::Client;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, cut, list, span, table};

/// What to do with breakers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the breakers of all endpoints
    List,
    /// Send nothing to an endpoint until somebody closes its breaker
    Open {
        /// Name of the endpoint
        name: String,
        /// Why, for whoever looks at it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Send to an endpoint again, at once
    Close {
        /// Name of the endpoint
        name: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    let (name, reason, state) = match command {
        Command::List => {
            let all = all(client).await?;
            let now = config::now();
            return list(output, &all, "endpoints", |all| breakers_table(all, now));
        }
        Command::Open { name, reason } => (name, reason, BreakerWish::Open),
        Command::Close { name, reason } => (name, reason, BreakerWish::Closed),
    };
    let path = ["v1", "endpoints", &name, "breaker"];
    let asked = BreakerCommand { state, reason };
    let found: BreakerState = client.send(Method::PUT, &path, &asked).await?;
    output.show(&found, |found| line(found, config::now()))
}

/// All breakers, by endpoint.
pub(super) async fn all(client: &Client) -> Result<Vec<BreakerState>, Failure> {
    let query = serde_json::json!({"pageSize": PAGE_SIZE_MAX});
    Ok(client.list(&["v1", "breakers"], &query, LIST_MAX).await?)
}

/// The shape of a breaker's state, for those who do not see colours.
pub(super) fn shape(state: &str) -> &'static str {
    match state {
        "closed" => "●",
        "half-open" => "◐",
        _ => "○",
    }
}

/// Shape and word of a state: `○ open`.
pub(crate) fn state_text(breaker: &BreakerState) -> String {
    format!("{} {}", shape(&breaker.state), breaker.state)
}

/// Why it is not closed; `-` when it is.
pub(super) fn cause_text(breaker: &BreakerState) -> String {
    let known = breaker.cause.clone().filter(|_| breaker.state != "closed");
    known.unwrap_or_else(|| "-".to_owned())
}

/// When the next probe may go out: `in 18s`, or what else ends it.
pub(super) fn until_text(breaker: &BreakerState, now: UnixMs) -> String {
    if let Some(until) = &breaker.until {
        return ahead(until, now);
    }
    match (&*breaker.state, &breaker.paused_until) {
        ("closed", Some(until)) => format!("{} (Retry-After)", ahead(until, now)),
        ("closed" | "half-open", _) => "-".to_owned(),
        _ => "when a person closes it".to_owned(),
    }
}

/// How far ahead of `now` the time in `text` lies: `in 18s`, `now`; as it is when it is no time.
pub(super) fn ahead(text: &str, now: UnixMs) -> String {
    match time::parse(text).map(|at| at.since_ms(now)) {
        Ok(0) => "now".to_owned(),
        Ok(ms) => format!("in {}", span(ms)),
        Err(_) => text.to_owned(),
    }
}

/// How long before `now` the time in `text` lies: `4m12s`; as it is when it is no time.
pub(super) fn ago(text: &str, now: UnixMs) -> String {
    time::parse(text).map_or_else(|_| text.to_owned(), |at| span(now.since_ms(at)))
}

/// One breaker in one line.
pub(super) fn line(breaker: &BreakerState, now: UnixMs) -> String {
    let mut text = format!("{}  {}", breaker.endpoint, state_text(breaker));
    if breaker.state != "closed" {
        let (cause, until) = (cause_text(breaker), until_text(breaker, now));
        text.push_str(&format!("  cause {cause}, next probe: {until}"));
    }
    if let Some(reason) = &breaker.reason {
        text.push_str(&format!("  \"{}\"", cut(reason, 200)));
    }
    text
}

fn breakers_table(all: &[BreakerState], now: UnixMs) -> String {
    let rows = all.iter().map(|breaker| {
        let pace = breaker.pace_per_second;
        let pace = pace.map(|pace| format!(", {pace}/s")).unwrap_or_default();
        let (slots, configured) = (breaker.slots, breaker.slots_configured);
        [
            breaker.endpoint.clone(),
            state_text(breaker),
            ago(&breaker.since, now),
            until_text(breaker, now),
            cause_text(breaker),
            format!("{} of {slots}/{configured}{pace}", breaker.in_flight),
            cut(breaker.reason.as_deref().unwrap_or("-"), 80),
        ]
    });
    let header = [
        "ENDPOINT",
        "STATE",
        "FOR",
        "NEXT PROBE",
        "CAUSE",
        "IN FLIGHT",
        "REASON",
    ];
    table(header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20T10:00:00Z
    const NOW: UnixMs = UnixMs(1_795_168_800_000);

    fn breaker(endpoint: &str, state: &str) -> BreakerState {
        BreakerState {
            endpoint: endpoint.into(),
            state: state.into(),
            since: "2026-11-20T09:55:48.000Z".into(),
            slots: 5,
            slots_configured: 5,
            ..BreakerState::default()
        }
    }

    #[test]
    fn a_breaker_shows_shape_word_until_and_cause() {
        let open = BreakerState {
            cause: Some("failures".into()),
            until: Some("2026-11-20T10:00:18.000Z".into()),
            reason: Some("503 Service Unavailable".into()),
            ..breaker("wfm", "open")
        };
        let by_hand = BreakerState {
            cause: Some("operator".into()),
            ..breaker("bi", "open")
        };
        let ramp = BreakerState {
            cause: Some("failures".into()),
            pace_per_second: Some(8),
            slots: 2,
            in_flight: 1,
            ..breaker("erp", "half-open")
        };
        let asked = BreakerState {
            paused_until: Some("2026-11-20T10:00:03.000Z".into()),
            ..breaker("sms", "closed")
        };
        assert_eq!(
            line(&open, NOW),
            "wfm  ○ open  cause failures, next probe: in 18s  \"503 Service Unavailable\""
        );
        let all = [breaker("crm", "closed"), open, by_hand, ramp, asked];
        insta::assert_snapshot!(breakers_table(&all, NOW), @r"
        ENDPOINT  STATE        FOR    NEXT PROBE               CAUSE     IN FLIGHT      REASON
        crm       ● closed     4m12s  -                        -         0 of 5/5       -
        wfm       ○ open       4m12s  in 18s                   failures  0 of 5/5       503 Service Unavailable
        bi        ○ open       4m12s  when a person closes it  operator  0 of 5/5       -
        erp       ◐ half-open  4m12s  -                        failures  1 of 2/5, 8/s  -
        sms       ● closed     4m12s  in 3s (Retry-After)      -         0 of 5/5       -
        ");
    }
}
