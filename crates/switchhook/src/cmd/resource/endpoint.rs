//! `switchhook endpoint`: resources, with how each stands; a probe; and pausing by hand.
//!
//! A list shows the breaker of each endpoint beside what is configured. A pause is a breaker that a person opened: nothing
//! is sent, deliveries wait and use up no attempt.

use std::collections::BTreeMap;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{BreakerState, PAGE_SIZE_MAX, PauseRequest, ProbeView, ResourceView};

use super::flags::{EndpointFlags, Flags as _};
use super::{Action, LIST_MAX};
use crate::client::Client;
use crate::cmd::breaker;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut, list, table};

/// Where deliveries go.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    #[command(flatten)]
    Any(Action<EndpointFlags>),
    /// Ask an endpoint whether it is there: DNS, connection, TLS, answer. Advice only
    Probe {
        /// Its name
        name: String,
    },
    /// Send nothing to it until it is resumed; deliveries wait and use up no attempt
    Pause {
        /// Its name
        name: String,
        /// Why, for whoever looks at it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Send to it again, at once
    Resume {
        /// Its name
        name: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// An endpoint as it is configured, and how it stands.
type Standing = (ResourceView, Option<BreakerState>);

impl EndpointCommand {
    /// Does it.
    pub(in crate::cmd) async fn run(self, client: &Client, output: Output) -> Outcome {
        match self {
            Self::Any(Action::List) => endpoints(client, output).await,
            Self::Any(action) => action.run(client, output).await,
            Self::Probe { name } => probe(&name, client, output).await,
            Self::Pause { name, reason } => {
                operate(&name, "pause", Some(reason), client, output).await
            }
            Self::Resume { name, reason } => operate(&name, "resume", reason, client, output).await,
        }
    }
}

async fn endpoints(client: &Client, output: Output) -> Outcome {
    let query = json!({"pageSize": PAGE_SIZE_MAX});
    let path = ["v1", EndpointFlags::PATH];
    let resources: Vec<ResourceView> = client.list(&path, &query, LIST_MAX).await?;
    let breakers = breaker::all(client).await?.into_iter();
    let mut breakers: BTreeMap<String, BreakerState> = breakers
        .map(|breaker| (breaker.endpoint.clone(), breaker))
        .collect();
    let resources = resources.into_iter();
    let all: Vec<Standing> = resources
        .map(|resource| {
            let breaker = breakers.remove(&resource.name);
            (resource, breaker)
        })
        .collect();
    if output.is_json() {
        return output.json(&all.iter().map(one_json).collect::<Vec<_>>());
    }
    let now = config::now();
    list(output, &all, EndpointFlags::PATH, |all| {
        endpoints_table(all, now)
    })
}

/// The resource with its breaker as one more member.
fn one_json((resource, breaker): &Standing) -> Value {
    let mut whole = json!(resource);
    if let (Some(members), Some(breaker)) = (whole.as_object_mut(), breaker) {
        members.insert("breaker".to_owned(), json!(breaker));
    }
    whole
}

fn endpoints_table(all: &[Standing], now: UnixMs) -> String {
    let none = || "-".to_owned();
    let rows = all.iter().map(|(resource, breaker)| {
        let breaker = breaker.as_ref();
        let url = resource.body.get("url").and_then(Value::as_str);
        [
            resource.name.clone(),
            breaker.map_or_else(none, breaker::state_text),
            breaker.map_or_else(none, |breaker| breaker::until_text(breaker, now)),
            breaker.map_or_else(none, breaker::cause_text),
            super::owner_text(resource),
            cut(url.unwrap_or("-"), 80),
        ]
    });
    let header = ["NAME", "STATE", "NEXT PROBE", "CAUSE", "OWNER", "URL"];
    table(header, rows)
}

async fn operate(
    name: &str,
    action: &str,
    reason: Option<String>,
    client: &Client,
    output: Output,
) -> Outcome {
    let path = ["v1", "endpoints", name, action];
    let asked = PauseRequest { reason };
    let found: BreakerState = client.send(Method::POST, &path, &asked).await?;
    output.show(&found, |found| breaker::line(found, config::now()))
}

async fn probe(name: &str, client: &Client, output: Output) -> Outcome {
    let path = ["v1", "endpoints", name, "probe"];
    let found: ProbeView = client.send(Method::POST, &path, &json!({})).await?;
    output.show(&found, probe_text)?;
    match found.error {
        None => Ok(()),
        Some(_) => Err(Failure::silent(Code::Unavailable)),
    }
}

fn probe_text(found: &ProbeView) -> String {
    let answer = match (found.status, &found.error) {
        (Some(status), _) => format!("{} answered {status}", found.method),
        (None, Some(error)) => format!("no answer: {}", cut(error, 200)),
        (None, None) => "no answer".to_owned(),
    };
    let mut text = format!(
        "{}  {answer} after {:.1} ms\n",
        found.endpoint, found.total_ms
    );
    for (what, ms) in [
        ("dns", found.dns_ms),
        ("connect", found.connect_ms),
        ("tls", found.tls_ms),
        ("first byte", found.first_byte_ms),
    ] {
        if let Some(ms) = ms {
            text.push_str(&format!("  {what:<11}{ms:>8.1} ms\n"));
        }
    }
    let one_of = |address: &String| match found.addresses {
        Some(count) if count > 1 => format!("{address}, one of {count}"),
        _ => address.clone(),
    };
    let address = found.address.as_ref().map(one_of);
    for (what, value) in [("address", &address), ("version", &found.tls_version)] {
        if let Some(value) = value {
            text.push_str(&format!("  {what:<11}{value}\n"));
        }
    }
    for advice in &found.advice {
        text.push_str(&format!("  {advice}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_shows_every_step_that_was_taken() {
        let found = ProbeView {
            endpoint: "crm".into(),
            method: "HEAD".into(),
            status: Some(204),
            address: Some("192.0.2.7:443".into()),
            addresses: Some(2),
            dns_ms: Some(1.25),
            connect_ms: Some(12.0),
            tls_ms: Some(20.5),
            first_byte_ms: Some(30.0),
            total_ms: 64.0,
            tls_version: Some("TLSv1.3".into()),
            ..ProbeView::default()
        };
        insta::assert_snapshot!(probe_text(&found), @r"
        crm  HEAD answered 204 after 64.0 ms
          dns             1.2 ms
          connect        12.0 ms
          tls            20.5 ms
          first byte     30.0 ms
          address    192.0.2.7:443, one of 2
          version    TLSv1.3
        ");
    }

    #[test]
    fn a_list_shows_how_each_endpoint_stands() {
        let resource = |name: &str| -> ResourceView {
            serde_json::from_value(
                json!({"kind": "endpoint", "name": name, "version": 1, "owner": "api",
                "body": {"url": "https://crm.example.com/hook"}}),
            )
            .unwrap()
        };
        let open = BreakerState {
            endpoint: "crm".into(),
            state: "open".into(),
            cause: Some("auth".into()),
            ..BreakerState::default()
        };
        let all = [(resource("crm"), Some(open)), (resource("new"), None)];
        insta::assert_snapshot!(endpoints_table(&all, UnixMs(0)), @r"
        NAME  STATE   NEXT PROBE               CAUSE  OWNER  URL
        crm   ○ open  when a person closes it  auth   api    https://crm.example.com/hook
        new   -       -                        -      api    https://crm.example.com/hook
        ");
        assert_eq!(one_json(&all[0])["breaker"]["cause"], "auth");
        assert_eq!(one_json(&all[1]).get("breaker"), None);
    }
}
