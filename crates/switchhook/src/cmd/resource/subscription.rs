//! `switchhook subscription`: resources, and pausing by hand.

use clap::Subcommand;
use http::Method;
use switchhook_wire::api::{PauseRequest, PauseState, Stopped};

use super::Action;
use super::flags::SubscriptionFlags;
use crate::client::Client;
use crate::exit::Outcome;
use crate::output::{Output, cut};

/// Which events go where.
#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionCommand {
    #[command(flatten)]
    Any(Action<SubscriptionFlags>),
    /// Send nothing for it until it is resumed; what comes in is kept
    Pause {
        /// Its name
        name: String,
        /// Why, for whoever looks at it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Go on sending
    Resume {
        /// Its name
        name: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl SubscriptionCommand {
    /// Does it.
    pub(in crate::cmd) async fn run(self, client: &Client, output: Output) -> Outcome {
        let (name, action, reason) = match self {
            Self::Any(action) => return action.run(client, output).await,
            Self::Pause { name, reason } => (name, "pause", reason),
            Self::Resume { name, reason } => (name, "resume", reason),
        };
        let path = ["v1", "subscriptions", &name, action];
        let asked = PauseRequest { reason };
        let state: PauseState = client.send(Method::POST, &path, &asked).await?;
        output.show(&state, pause_text)
    }
}

/// Whether a subscription is paused: `web-to-crm  ‖ paused  "maintenance"`.
pub(in crate::cmd) fn pause_text(state: &PauseState) -> String {
    let word = match state.stopped {
        None => "▶ runs",
        Some(Stopped::Paused) => "‖ paused",
        Some(Stopped::Disabled) if state.paused => {
            "‖ paused, and switched off by `enabled = false`"
        }
        Some(Stopped::Disabled) => "‖ switched off by `enabled = false`",
    };
    let mut text = format!("{}  {word}", state.subscription);
    if let Some(since) = &state.since {
        text.push_str(&format!("  since {since}"));
    }
    if let Some(reason) = &state.reason {
        text.push_str(&format!("  \"{}\"", cut(reason, 200)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_shape_a_word_and_a_reason() {
        let mut state = PauseState {
            subscription: "web-to-crm".into(),
            paused: true,
            stopped: Some(Stopped::Paused),
            since: Some("2026-11-20T10:00:00.000Z".into()),
            reason: Some("maintenance".into()),
        };
        assert_eq!(
            pause_text(&state),
            "web-to-crm  ‖ paused  since 2026-11-20T10:00:00.000Z  \"maintenance\""
        );
        state = PauseState {
            subscription: state.subscription,
            ..PauseState::default()
        };
        assert_eq!(pause_text(&state), "web-to-crm  ▶ runs");
        state.stopped = Some(Stopped::Disabled);
        assert_eq!(
            pause_text(&state),
            "web-to-crm  ‖ switched off by `enabled = false`"
        );
    }
}
