//! What is wrong with a change, before anything is sent: every fault at once. Pure.
//!
//! The bodies are read by the same code that the gateway reads them with. On top of it come the catalogue of event types
//! and the form of the target's URL. Whether an address may be reached is the other side's to judge: it knows its
//! allow-lists, we do not.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;
use switchhook_core::guard::check_url;
use switchhook_core::topic;
use switchhook_wire::dialect::notifications::RetryPolicy;
use switchhook_wire::dialect::{self as wire, How};
use switchhook_wire::duration;
use url::Url;

use crate::dialect::Dialect;
use crate::refusal::Fault;

/// Most attempts of a policy (seed 000).
pub const ATTEMPTS_MAX: usize = 100;
/// Longest sum of a policy's delays, in seconds (seed 000).
pub const DURATION_MAX_S: u64 = 86_400;

/// Everything that is wrong with a webhook.
///
/// # Errors
/// The faults.
pub fn webhook(dialect: Dialect, body: &Value) -> Result<(), Vec<Fault>> {
    let (sent, _) = dialect.split(body);
    let read = dialect
        .wire()
        .decode(sent.to_string().as_bytes(), How::Create);
    let mut faults: Vec<Fault> = read.err().into_iter().flatten().map(Fault::from).collect();
    faults.extend(event_types(dialect, body));
    if let Some(url) = dialect.url(body).and_then(|url| Url::parse(url).ok()) {
        faults.extend(target(dialect, &url));
    }
    // What both have found is told once.
    let mut told = Vec::new();
    faults.retain(|fault| {
        let is_new = !told.contains(&fault.field);
        told.push(fault.field.clone());
        is_new
    });
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// The event types of a webhook that nobody sends.
#[must_use]
pub fn event_types(dialect: Dialect, body: &Value) -> Vec<Fault> {
    let types = dialect.event_types(body);
    let unknown = types
        .iter()
        .enumerate()
        .filter(|(_, kind)| !topic::is_known(kind));
    let fault = |(at, kind): (usize, &String)| Fault {
        field: match dialect {
            Dialect::Webhooks => format!("eventTypes[{at}]"),
            Dialect::Lifecycle => format!("eventFilters[{at}].eventType"),
            Dialect::Integrations => format!("events[{at}]"),
        },
        message: format!(
            "`{}` is no event type",
            kind.chars().take(200).collect::<String>()
        ),
        hint: topic::nearest(kind).map(|near| format!("did you mean `{near}`?")),
    };
    unknown.map(fault).collect()
}

/// The form of a target's URL: any address is allowed.
fn target(dialect: Dialect, url: &Url) -> Option<Fault> {
    let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    check_url(url, &all).err().map(|blocked| Fault {
        field: match dialect {
            Dialect::Webhooks => "endpoint",
            Dialect::Lifecycle => "address",
            Dialect::Integrations => "settings.url",
        }
        .to_owned(),
        message: blocked.to_string(),
        hint: None,
    })
}

/// The policy with these delays: as many attempts as there are delays, which add up to its duration (seed 000).
///
/// # Errors
/// Everything that is wrong with it.
pub fn delays(texts: &[impl AsRef<str>]) -> Result<RetryPolicy, Vec<Fault>> {
    let (mut faults, mut total_s) = (Vec::new(), 0_u64);
    for (at, text) in texts.iter().enumerate() {
        let fault = |message: String| Fault {
            field: format!("delays[{at}]"),
            message,
            hint: None,
        };
        match duration::parse(text.as_ref()) {
            Err(error) => faults.push(fault(error.to_string())),
            Ok(ms) if ms % 1_000 != 0 || ms == 0 => {
                faults.push(fault(format!(
                    "`{}` is not a whole number of seconds from 1",
                    text.as_ref()
                )));
            }
            Ok(ms) => total_s = total_s.saturating_add(ms / 1_000),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    policy(texts.len(), total_s)
}

/// The policy with so many attempts whose delays add up to so many seconds.
///
/// # Errors
/// Everything that is wrong with it.
pub fn policy(attempts: usize, duration_s: u64) -> Result<RetryPolicy, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut limit = |field: &str, message: String| {
        faults.push(Fault {
            field: field.to_owned(),
            message,
            hint: None,
        });
    };
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        limit(
            "maxAttempts",
            format!("is {attempts}, 1 to {ATTEMPTS_MAX} are allowed"),
        );
    }
    if !(1..=DURATION_MAX_S).contains(&duration_s) {
        limit(
            "retryDuration",
            format!("is {duration_s} seconds, 1 to {DURATION_MAX_S} are allowed"),
        );
    }
    match u16::try_from(attempts) {
        Ok(max_attempts) if faults.is_empty() => Ok(RetryPolicy {
            max_attempts,
            retry_duration: duration_s,
        }),
        Ok(_) | Err(_) => Err(faults),
    }
}

impl From<wire::Fault> for Fault {
    fn from(fault: wire::Fault) -> Self {
        Self {
            field: fault.field,
            message: fault.detail,
            hint: fault.hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.field.as_str()).collect()
    }

    #[test]
    fn everything_that_is_wrong_with_a_webhook_is_told_at_once() {
        let body = json!({"name": "", "endpoint": "ftp://a.example/", "eventTypes": ["call:creatd", "call:created"],
            "retryPolicy": {"retryCount": 3, "retryInterval": "soon", "retryOnTimeout": true}, "stat": "enabled"});
        let faults = webhook(Dialect::Webhooks, &body).unwrap_err();
        let found = fields(&faults);
        for field in [
            "name",
            "eventTypes[0]",
            "retryPolicy.retryInterval",
            "stat",
            "endpoint",
        ] {
            assert!(found.contains(&field), "{field} in {found:?}");
        }
        let near = faults
            .iter()
            .find(|fault| fault.field == "eventTypes[0]")
            .unwrap();
        assert_eq!(near.hint.as_deref(), Some("did you mean `call:created`?"));
    }

    #[test]
    fn sixteen_event_types_are_too_many_for_one_webhook() {
        let types: Vec<String> = topic::all()
            .iter()
            .take(16)
            .map(|topic| topic.id.to_owned())
            .collect();
        let body = json!({"name": "a", "endpoint": "https://a.example/", "eventTypes": types});
        assert_eq!(
            fields(&webhook(Dialect::Webhooks, &body).unwrap_err()),
            ["eventTypes"]
        );
        let body = json!({"name": "a", "endpoint": "https://a.example/", "eventTypes": types[1..]});
        assert_eq!(webhook(Dialect::Webhooks, &body), Ok(()));
    }

    #[test]
    fn a_private_address_is_left_to_the_other_side_to_judge() {
        let body = json!({"name": "a", "address": "http://10.0.0.1:9000/hook",
            "eventFilters": [{"eventType": "call:created", "filter": "true"}]});
        assert_eq!(webhook(Dialect::Lifecycle, &body), Ok(()));
    }

    #[test]
    fn the_delays_of_seed_000_give_its_policy() {
        let policy = delays(&["5s", "15s", "45s", "135s", "405s"]).unwrap();
        assert_eq!((policy.max_attempts, policy.retry_duration), (5, 605));
    }

    #[test]
    fn limits_and_texts_that_are_no_delays_are_told() {
        let faults = delays(&["5", "soon", "5s", "500ms", "0s"]).unwrap_err();
        assert_eq!(
            fields(&faults),
            ["delays[0]", "delays[1]", "delays[3]", "delays[4]"]
        );
        assert_eq!(
            fields(&policy(0, 0).unwrap_err()),
            ["maxAttempts", "retryDuration"]
        );
        assert_eq!(fields(&policy(101, 86_400).unwrap_err()), ["maxAttempts"]);
        assert_eq!(fields(&policy(100, 86_401).unwrap_err()), ["retryDuration"]);
        assert!(policy(100, 86_400).is_ok() && policy(1, 1).is_ok());
        assert_eq!(fields(&delays(&["1d"; 2]).unwrap_err()), ["retryDuration"]);
        assert_eq!(
            fields(&delays(&[""; 0]).unwrap_err()),
            ["maxAttempts", "retryDuration"]
        );
    }
}
