//! Whole files: what loads, what is found wrong, and how it is shown.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::subscription::{Order, Target};

use super::*;

mod endpoint;
mod faults;
mod group;
mod merge;
mod secrets;
mod source;
mod subscription;
mod trial;

/// The smallest useful file of the design.
const SMALLEST: &str = r#"
[server]
ingest = "127.0.0.1:8080"
admin = "127.0.0.1:8081"
data_dir = "./data"

[secret.web]
file = "./secrets/web"              # or env = "WEB_SECRET"

[source.web]                        # POST /in/web
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
type = "/type"                      # JSON pointer to the event type; presets know theirs
key = ["/channel/from/id"]          # ordering key, first that is present
dedup = { id = "/id", window = "25h" }

[policy.standard]
exponential = { initial = "1s", factor = 2.0, max = "10m" }    # or matrix = { delays = ["5s", "15s", "45s"] }
jitter = { additive = 0.25 }
max_attempts = 12
max_age = "24h"

[endpoint.crm]
url = "http://127.0.0.1:9000/hook"
allow_private = ["127.0.0.0/8"]     # private addresses and plain http are refused unless listed
concurrency = 16
timeout = "10s"

[subscription.web-to-crm]
sources = ["web"]
types = ["*"]
endpoint = "crm"                    # or group = "pool"
policy = "standard"
order = "none"                      # none | key | strict
"#;

/// A file that says something about everything.
const FULL: &str = r#"
version = 1

[server]
concurrency = 512

[retention]
events = "3d"
dead = "60d"
bytes = "50GiB"

[alerts]
lag = 10000
disk = "off"

[secret.web]
file = "./secrets/web"
[secret.crm]
env = "CRM"

[source.web]
preset = "genesys"
verify = { secrets = ["{{secret:web}}"] }

[endpoint.crm-1]
url = "https://crm-1.example.com/hook"
rate = "200/s"
adaptive = true
retry_budget = { share = 0.2, per_second = 1 }
breaker = { failures = 10, open_max = "10m" }
sign = [
  { scheme = "standard-webhooks", secret = "{{secret:crm}}", previous = "{{secret:web}}" },
  { scheme = "genesys", secret = "{{secret:crm}}" },
]
encrypt = { secret = "{{secret:crm}}", key_id = "2026-11" }
auth = { scheme = "oauth2", token_url = "https://login.example.com/token", client_id = "gw", client_secret = "{{secret:crm}}" }
tls = { ca = "{{secret:crm}}", client_cert = "{{secret:crm}}", client_key = "{{secret:crm}}" }

[endpoint.crm-2]
url = "https://crm-2.example.com/hook"
breaker = false

[group.crm]
members = ["crm-1", "crm-2"]
partitions = 8
failover_after = "2m"

[subscription.web-to-crm]
sources = ["web"]
types = ["v2.routing.queues.{id}.users", "v2.users.*"]
group = "crm"
on_exhausted = "halt"
when = '''event.data.eventBody.state == "ok"'''
match_criteria = [{ jsonPath = "$.eventBody.queueId", operator = "In", values = ["q1", "q2"] }]
map = { queue = "eventBody.queueName", "agent.id" = { path = "eventBody.memberId", required = true } }
format = "cloudevents"
start = { time = "2026-11-20T10:00:00Z" }

[[test]]
name = "a 429 waits"
event = { source = "web", type = "v2.users.a.presence", data = { eventBody = { state = "ok" } } }
given = { status = 429, headers = { Retry-After = "5" } }
expect = { matches = false, verdict = "retry", delay = ">= 5s" }
"#;

/// Ten different mistakes.
const TEN: &str = r#"version = 1

[server]
ingest = "localhost:8080"

[secret.web]
env = "WEB_SECRET"

[source.web]
verify = { scheme = "open-mesaging", secrets = ["{{secret:web}}"] }
type = "type"

[policy.standard]
exponential = { initial = 5, max = "10m" }
max_atempts = 8

[policy.slow]
fixed = { delay = "1h" }
matrix = { delays = ["1m"] }

[endpoint.crm]
url = "https://crm.example.com/hook"
concurrency = "many"
timeout = "${env:CRM_TIMEOUT}"

[subscription.web-to-crm]
sources = ["web"]
endpoint = "crn"
when = "event.type =="
"#;

/// A text and the codes that it gives.
type Fault = (&'static str, &'static [&'static str]);

fn no_env(_: &str) -> Option<String> {
    None
}

fn load_text(text: &str) -> Loaded {
    load_toml(text, "switchhook.toml", &no_env)
}

fn codes_of(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.code).collect()
}

/// The configuration of a text without errors.
fn good(text: &str) -> Config {
    let loaded = load_text(text);
    loaded
        .config
        .unwrap_or_else(|| panic!("{}", render_all(&loaded.problems)))
}

#[test]
fn the_smallest_useful_file_loads_without_problems() {
    let loaded = load_text(SMALLEST);
    assert_eq!(render_all(&loaded.problems), "");
    let config = loaded.config.unwrap();
    assert_eq!(
        config.plan.subscriptions["web-to-crm"].target,
        Target::Endpoint("crm".into())
    );
    assert_eq!(config.plan.subscriptions["web-to-crm"].order, Order::None);
    assert_eq!(config.plan.policies["standard"].max_attempts, 12);
    assert_eq!(config.plan.endpoints["crm"].concurrency, 16);
    assert!(matches!(
        config.plan.sources["web"].verify,
        Verify::Hmac {
            encoding: Encoding::Base64,
            ..
        }
    ));
    let origin = config.origin(Kind::Source, "web").unwrap();
    assert_eq!(
        (origin.owner, origin.defined_at.as_deref()),
        (Owner::File, Some("switchhook.toml:10"))
    );
}

#[test]
fn a_file_that_says_something_about_everything_loads_without_problems() {
    let loaded = load_text(FULL);
    assert_eq!(render_all(&loaded.problems), "");
    let config = loaded.config.unwrap();
    let subscription = &config.plan.subscriptions["web-to-crm"];
    assert_eq!(subscription.order, Order::Key);
    assert_eq!(config.plan.partitions(subscription), 8);
    assert_eq!((config.plan.slots, config.tests.len()), (512, 1));
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = good("");
    assert_eq!(config.server, Server::default());
    assert_eq!(config.store.durability, Durability::Fsync);
    assert_eq!(
        config
            .plan
            .policies
            .keys()
            .map(|k| &**k)
            .collect::<Vec<_>>(),
        [STANDARD]
    );
    assert_eq!(
        config.origin(Kind::Policy, STANDARD).unwrap().owner,
        Owner::BuiltIn
    );
}

#[test]
fn things_stay_for_a_week_dead_letters_for_a_month_and_alerts_are_on() {
    let config = good("");
    let (week, month) = (7 * 86_400_000, 30 * 86_400_000);
    let usual = Retention {
        events_ms: week,
        attempts_ms: week,
        dead_ms: month,
        bytes_max: None,
    };
    assert_eq!((config.retention, Retention::default()), (usual, usual));
    let alerts = Thresholds {
        lag: Some(100_000),
        backlog_age_ms: Some(900_000),
        disk_per_mille: Some(850),
    };
    assert_eq!(config.alerts, alerts);
}

#[test]
fn attempts_stay_as_long_as_events_unless_they_have_a_time_of_their_own() {
    let retention = |text: &str| good(&format!("[retention]\n{text}")).retention;
    let all = retention("events = \"2d\"\ndead = \"3650d\"\nbytes = \"50GiB\"");
    assert_eq!((all.events_ms, all.attempts_ms), (172_800_000, 172_800_000));
    assert_eq!(all.bytes_max, Some(50 << 30));
    assert_eq!(retention("attempts = \"1h\"").attempts_ms, 3_600_000);
}

#[test]
fn each_alert_can_be_moved_or_switched_off_by_itself() {
    let alerts = |text: &str| good(&format!("[alerts]\n{text}")).alerts;
    let some = alerts("lag = false\nbacklog_age = \"1h\"\ndisk = 0.9");
    assert_eq!(
        (some.lag, some.backlog_age_ms, some.disk_per_mille),
        (None, Some(3_600_000), Some(900))
    );
    assert_eq!(alerts("disk = \"off\"").disk_per_mille, None);
}

#[test]
fn ten_mistakes_are_reported_at_once_with_their_lines() {
    let loaded = load_text(TEN);
    assert!(loaded.config.is_none());
    let codes: BTreeSet<_> = codes_of(&loaded.problems).into_iter().collect();
    assert_eq!((loaded.problems.len(), codes.len()), (10, 10));
    insta::assert_snapshot!("ten_mistakes", render_all(&loaded.problems));
    insta::assert_json_snapshot!("first_of_ten_as_json", loaded.problems[0]);
}

#[test]
fn a_whole_reference_may_stand_for_a_number_and_comments_are_left_alone() {
    let env = |name: &str| (name == "N").then(|| "512".to_owned());
    let text =
        "# ${env:NOT_SET}\n[server]\nmax_connections = \"${env:N}\"\ndata_dir = \"d${env:N}\"";
    let config = load_toml(text, "f", &env).config.unwrap();
    assert_eq!(
        (config.server.max_connections, config.server.data_dir),
        (512, PathBuf::from("d512"))
    );
}

#[test]
fn relative_paths_belong_to_the_directory_of_the_file() {
    let mut config = good("[secret.a]\nfile = \"s/a\"\n[secret.b]\nfile = \"/run/b\"");
    config.resolve_paths(Path::new("/etc/switchhook"));
    assert_eq!(config.server.data_dir, Path::new("/etc/switchhook/./data"));
    assert_eq!(
        config.secrets["a"],
        SecretOrigin::File("/etc/switchhook/s/a".into())
    );
    assert_eq!(config.secrets["b"], SecretOrigin::File("/run/b".into()));
}

fn api(kind: Kind, name: &str, body: serde_json::Value) -> ApiResource {
    ApiResource {
        kind,
        name: name.to_owned(),
        body,
    }
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "([a-z\\[\\]{}=.\"'#\\n 0-9$:/é-]|\\[source.a\\]\n|verify = |secrets){0,60}") {
        let loaded = load_text(&text);
        let _ = render_all(&loaded.problems);
        prop_assert_eq!(loaded.config.is_none(), loaded.problems.iter().any(Problem::is_error));
    }

    #[test]
    fn a_mangled_file_never_panics(at in 0..FULL.len(), with in "[\\[\\]{}=\"\\n0-9a-z.é]{0,3}", cut in 0..20usize) {
        let end = (at + cut).min(FULL.len());
        let (before, after) = (FULL.get(..at).unwrap(), FULL.get(end..).unwrap());
        let text = format!("{before}{with}{after}");
        let loaded = load_text(&text);
        let _ = render_all(&loaded.problems);
    }
}
