//! The few flags that make the body of the commonest resources, in the shape of the configuration file.

use clap::Args;
use serde_json::{Map, Value, json};

/// A kind of resource, and the flags that make a body of that kind.
pub(crate) trait Flags: Args {
    /// The word for one.
    const WORD: &'static str;
    /// Its place in the API.
    const PATH: &'static str;
    /// Flags that make a whole one, for a hint.
    const EXAMPLE: &'static str;
    /// The members that the flags set; none when no flag was given.
    fn members(self) -> Map<String, Value>;
}

/// Members of an endpoint.
#[derive(Debug, Args)]
pub(crate) struct EndpointFlags {
    /// Where to send
    #[arg(long)]
    url: Option<String>,
    /// POST or PUT
    #[arg(long)]
    method: Option<String>,
    /// A header to send, `Name: value`; may hold {{secret:name}}
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Time for one request, for example 10s
    #[arg(long)]
    timeout: Option<String>,
    /// Requests under way at once
    #[arg(long, value_name = "N")]
    concurrency: Option<u16>,
    /// Address range that is allowed although it is private; also allows plain http there
    #[arg(long = "allow-private", value_name = "CIDR")]
    allow_private: Vec<String>,
}

/// Members of a source.
#[derive(Debug, Args)]
pub(crate) struct SourceFlags {
    /// What sends: open-messaging, eventbridge, genesys, standard-webhooks or webhook
    #[arg(long, value_name = "PRESET")]
    preset: Option<String>,
    /// How it proves itself, where the preset does not say: bearer, api-key, hmac, …
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
    /// Name of the secret that verifies; several while one rotates
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
    /// JSON pointer to the event type
    #[arg(long = "type", value_name = "POINTER")]
    kind: Option<String>,
    /// JSON pointer to the ordering key; several are tried in order
    #[arg(long = "key", value_name = "POINTER")]
    keys: Vec<String>,
}

/// Members of a subscription.
#[derive(Debug, Args)]
pub(crate) struct SubscriptionFlags {
    /// Source to take from; several may be given
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Event type to take: exact, template or wildcard; several may be given
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Endpoint to deliver to
    #[arg(long, value_name = "NAME", conflicts_with = "group")]
    endpoint: Option<String>,
    /// Group to deliver to
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Which deliveries wait for each other: none, key or strict
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// What must hold of an event, in CEL: event.data.queue == "vip"
    #[arg(long, value_name = "CEL")]
    when: Option<String>,
    /// Policy to retry with
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
}

/// Members of a group.
#[derive(Debug, Args)]
pub(crate) struct GroupFlags {
    /// Endpoint that is a member; several may be given
    #[arg(long = "member", value_name = "NAME")]
    members: Vec<String>,
    /// What a partition holds: key or event-type
    #[arg(long, value_name = "AFFINITY")]
    affinity: Option<String>,
    /// Partitions of each subscription, by key
    #[arg(long, value_name = "N")]
    partitions: Option<u16>,
}

/// Members of a policy.
#[derive(Debug, Args)]
pub(crate) struct PolicyFlags {
    /// The delays between attempts, for example 5s,15s,45s
    #[arg(long, value_delimiter = ',', value_name = "SPAN")]
    delays: Vec<String>,
    /// Attempts in all
    #[arg(long, value_name = "N")]
    max_attempts: Option<u16>,
    /// Give up after this
    #[arg(long, value_name = "SPAN")]
    max_age: Option<String>,
}

/// Puts `value` under `name` if there is one.
fn put(members: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value.into());
    }
}

/// `values`, unless there are none.
fn some(values: Vec<String>) -> Option<Value> {
    (!values.is_empty()).then(|| json!(values))
}

impl Flags for EndpointFlags {
    const WORD: &'static str = "endpoint";
    const PATH: &'static str = "endpoints";
    const EXAMPLE: &'static str = "--url https://crm.example.com/hook";

    fn members(self) -> Map<String, Value> {
        let headers = self.headers.iter().map(|header| {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            (name.trim().to_owned(), Value::from(value.trim()))
        });
        let headers: Map<_, _> = headers.collect();
        let mut members = Map::new();
        put(&mut members, "url", self.url);
        put(&mut members, "method", self.method);
        put(
            &mut members,
            "headers",
            (!headers.is_empty()).then_some(headers),
        );
        put(&mut members, "timeout", self.timeout);
        put(&mut members, "concurrency", self.concurrency);
        put(&mut members, "allow_private", some(self.allow_private));
        members
    }
}

impl Flags for SourceFlags {
    const WORD: &'static str = "source";
    const PATH: &'static str = "sources";
    const EXAMPLE: &'static str = "--preset open-messaging --secret web";

    fn members(self) -> Map<String, Value> {
        let secrets = self
            .secrets
            .iter()
            .map(|name| format!("{{{{secret:{name}}}}}"))
            .collect();
        let mut verify = Map::new();
        put(&mut verify, "scheme", self.scheme);
        put(&mut verify, "secrets", some(secrets));
        let mut members = Map::new();
        put(&mut members, "preset", self.preset);
        put(
            &mut members,
            "verify",
            (!verify.is_empty()).then_some(verify),
        );
        put(&mut members, "type", self.kind);
        put(&mut members, "key", some(self.keys));
        members
    }
}

impl Flags for SubscriptionFlags {
    const WORD: &'static str = "subscription";
    const PATH: &'static str = "subscriptions";
    const EXAMPLE: &'static str = "--source web --endpoint crm";

    fn members(self) -> Map<String, Value> {
        let mut members = Map::new();
        put(&mut members, "sources", some(self.sources));
        put(&mut members, "endpoint", self.endpoint);
        put(&mut members, "group", self.group);
        put(&mut members, "order", self.order);
        put(&mut members, "when", self.when);
        put(&mut members, "policy", self.policy);
        put(&mut members, "types", some(self.types));
        members
    }
}

impl Flags for GroupFlags {
    const WORD: &'static str = "group";
    const PATH: &'static str = "groups";
    const EXAMPLE: &'static str = "--member crm-a --member crm-b";

    fn members(self) -> Map<String, Value> {
        let mut members = Map::new();
        put(&mut members, "members", some(self.members));
        put(&mut members, "affinity", self.affinity);
        put(&mut members, "partitions", self.partitions);
        members
    }
}

impl Flags for PolicyFlags {
    const WORD: &'static str = "policy";
    const PATH: &'static str = "policies";
    const EXAMPLE: &'static str = "--delays 5s,15s,45s";

    fn members(self) -> Map<String, Value> {
        let mut members = Map::new();
        let matrix = some(self.delays).map(|delays| json!({"delays": delays}));
        put(&mut members, "matrix", matrix);
        put(&mut members, "max_attempts", self.max_attempts);
        put(&mut members, "max_age", self.max_age);
        members
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn members<F: Flags>(line: &[&str]) -> Value {
        #[derive(Parser)]
        struct Line<F: Flags> {
            #[command(flatten)]
            flags: F,
        }
        let words = std::iter::once("x").chain(line.iter().copied());
        Value::Object(Line::<F>::try_parse_from(words).unwrap().flags.members())
    }

    #[test]
    fn flags_make_the_body_that_the_configuration_file_has() {
        assert_eq!(
            members::<EndpointFlags>(&[
                "--url",
                "http://127.0.0.1:9000/hook",
                "--allow-private",
                "127.0.0.0/8",
                "--header",
                "Authorization: Bearer {{secret:crm}}",
                "--concurrency",
                "16",
            ]),
            json!({"url": "http://127.0.0.1:9000/hook", "allow_private": ["127.0.0.0/8"], "concurrency": 16,
                "headers": {"Authorization": "Bearer {{secret:crm}}"}})
        );
        assert_eq!(
            members::<SourceFlags>(&["--preset", "open-messaging", "--secret", "web"]),
            json!({"preset": "open-messaging", "verify": {"secrets": ["{{secret:web}}"]}})
        );
        assert_eq!(
            members::<SubscriptionFlags>(&["--source", "web", "--endpoint", "crm"]),
            json!({"sources": ["web"], "endpoint": "crm"})
        );
        assert_eq!(
            members::<SubscriptionFlags>(&["--group", "pool", "--order", "key", "--when", "true"]),
            json!({"group": "pool", "order": "key", "when": "true"})
        );
        assert_eq!(
            members::<GroupFlags>(&["--member", "a", "--member", "b", "--partitions", "4"]),
            json!({"members": ["a", "b"], "partitions": 4})
        );
        assert_eq!(
            members::<PolicyFlags>(&["--delays", "5s,15s"]),
            json!({"matrix": {"delays": ["5s", "15s"]}})
        );
    }

    #[test]
    fn no_flag_makes_no_body() {
        for empty in [
            members::<EndpointFlags>(&[]),
            members::<SourceFlags>(&[]),
            members::<SubscriptionFlags>(&[]),
            members::<PolicyFlags>(&[]),
            members::<GroupFlags>(&[]),
        ] {
            assert_eq!(empty, json!({}));
        }
    }
}
