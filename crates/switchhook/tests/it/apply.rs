//! Promise: what files declare is what the gateway has after an apply, whoever kills it in between, and where the two part
//! it is said who did it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::sender::body;
use crate::harness::{Gateway, PATIENCE, PROGRAM, SOURCE, Site, until};

fn file(url: &str) -> String {
    format!(
        r#"
name = "prod"
[policy.quick]
fixed = {{ delay = "1s" }}
[endpoint.crm]
url = "{url}"
allow_private = ["127.0.0.0/8"]
headers = {{ X-Team = "blue" }}
[group.pair]
members = ["crm"]
[subscription.web-to-crm]
sources = ["web"]
types = ["*"]
endpoint = "crm"
policy = "quick"
order = "none"
"#
    )
}

impl Site {
    /// The path of a file beside the configuration.
    fn path(&self, name: &str) -> String {
        let path = self.config().with_file_name(name);
        path.to_str().unwrap().to_owned()
    }
}

/// The exit code of a plan that tells changes by it, and the plan.
fn plan(gateway: &Gateway, file: &str) -> (Option<i32>, Value) {
    let ended = gateway.cli(&["--json", "plan", "--detailed-exitcode", "-f", file]);
    let shown = serde_json::from_str(&ended.stdout);
    (ended.code, shown.unwrap_or_else(|_| panic!("{ended:?}")))
}

#[test]
fn after_an_apply_the_plan_is_empty_and_events_flow() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let prod = site.path("prod.toml");
    site.write("prod.toml", &file(&receiver.url()));
    let (code, planned) = plan(&gateway, &prod);
    assert_eq!((code, &planned["summary"]["create"]), (Some(10), &json!(4)));
    assert_eq!(
        gateway.all("/v1/endpoints").len(),
        0,
        "a plan changes nothing"
    );
    let unconfirmed = gateway.cli(&["apply", "-f", &prod]);
    assert_eq!(unconfirmed.code, Some(2), "{unconfirmed:?}");

    let applied = gateway.cli(&["apply", "-f", &prod, "--yes"]);
    let lines: Vec<&str> = applied.ok().stdout.lines().collect();
    assert_eq!(lines[0], "created  policy/quick  version 1");
    assert_eq!(*lines.last().unwrap(), "4 done, 0 failed, 0 unchanged");
    let (code, planned) = plan(&gateway, &prod);
    assert_eq!(
        (code, &planned["summary"]["unchanged"]),
        (Some(0), &json!(4))
    );
    let crm = gateway.get("/v1/endpoints/crm");
    assert_eq!(
        (&crm["managedBy"], &crm["owner"]),
        (&json!("prod"), &json!("api"))
    );
    gateway.accept(&body("a"));
    receiver.wait_until(PATIENCE, |arrivals| arrivals.iter().any(|it| it.id == "a"));

    // A field, and a resource that is gone from the file.
    let less = file(&receiver.url())
        .replace("blue", "red")
        .replace("[group.pair]\nmembers = [\"crm\"]\n", "");
    site.write("prod.toml", &less);
    let shown = gateway.cli(&["plan", "-f", &prod]);
    let text = &shown.ok().stdout;
    assert!(text.contains("~ update   endpoint/crm"), "{text}");
    assert!(
        text.contains("/headers/X-Team  \"blue\" -> \"red\""),
        "{text}"
    );
    assert!(text.contains("- delete   group/pair"), "{text}");
    gateway.cli(&["apply", "-f", &prod, "--yes"]).ok();
    assert_eq!(plan(&gateway, &prod).0, Some(0));
    assert_eq!(gateway.ask("GET /v1/groups/pair", b"").status(), 404);
    let entries = gateway.all("/v1/audit");
    let puts = entries
        .iter()
        .filter(|it| it["action"] == "resource.put")
        .count();
    assert_eq!(puts, 5, "one entry for each change");
}

#[test]
fn a_plan_of_an_export_is_empty_even_with_secrets_that_are_not_shown() {
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let by_hand = json!({
        "url": "https://crm.example.com/hook",
        "headers": {"X-Api-Key": "literal-secret", "X-Team": "blue"},
    });
    gateway.tell("PUT /v1/endpoints/crm", &by_hand);
    gateway.tell(
        "PUT /v1/policies/p",
        &json!({"fixed": {"delay": "1m"}, "max_attempts": 3}),
    );
    let to_crm = json!({"sources": ["web"], "types": ["*"], "endpoint": "crm", "policy": "p"});
    gateway.tell("PUT /v1/subscriptions/a", &to_crm);
    let all = site.path("all.toml");
    let written = gateway.cli(&["export", "-o", &all]);
    assert!(
        written.ok().stdout.starts_with("3 resources"),
        "{written:?}"
    );
    let text = std::fs::read_to_string(&all).unwrap();
    assert!(
        !text.contains("literal-secret") && !text.contains("source.web"),
        "{text}"
    );
    let (code, planned) = plan(&gateway, &all);
    assert_eq!(
        (code, &planned["summary"]["unchanged"]),
        (Some(0), &json!(3))
    );
    // What is not shown must be written before anything else of that resource is changed.
    site.write("all.toml", &text.replace("blue", "red"));
    let refused = gateway.cli(&["plan", "-f", &all]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("SH0306"), "{refused:?}");
    let again = gateway.cli(&["export", "-o", &all]);
    assert_eq!(
        again.code,
        Some(5),
        "an export overwrites nothing: {again:?}"
    );
}

#[test]
fn what_others_own_is_refused_before_anything_is_done() {
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let (mine, yours) = (site.path("mine.toml"), site.path("yours.toml"));
    site.write(
        "mine.toml",
        "[endpoint.a]\nurl = \"https://a.example.com/\"\n",
    );
    gateway.cli(&["apply", "-f", &mine, "--yes"]).ok();
    let text = "[endpoint.a]\nurl = \"https://b.example.com/\"\n[endpoint.b]\nurl = \"https://b.example.com/\"\n";
    site.write("yours.toml", text);
    let refused = gateway.cli(&["apply", "-f", &yours, "--yes"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("mine.toml"), "{refused:?}");
    assert_eq!(gateway.all("/v1/endpoints").len(), 1);
    gateway
        .cli(&["apply", "-f", &yours, "--yes", "--take-over"])
        .ok();
    assert_eq!(gateway.get("/v1/endpoints/a")["managedBy"], "yours.toml");
    // The gateway's own file gives nothing away.
    let own =
        "[source.web]\nverify = { scheme = \"open-messaging\", secrets = [\"{{secret:web}}\"] }\n";
    site.write("yours.toml", &(text.to_owned() + own));
    let refused = gateway.cli(&["apply", "-f", &yours, "--yes", "--take-over"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("switchhook.toml:"), "{refused:?}");
    site.write(
        "yours.toml",
        "[subscription.x]\nsources = [\"web\"]\nendpoint = \"nowhere\"\n",
    );
    let invalid = gateway.cli(&["plan", "-f", &yours]);
    assert_eq!(invalid.code, Some(3), "{invalid:?}");
    assert!(invalid.stderr.contains("yours.toml:3"), "{invalid:?}");
}

/// A file of many endpoints.
fn many(count: usize) -> String {
    let one = |n| format!("[endpoint.e{n:03}]\nurl = \"https://e{n}.example.com/\"\n");
    (0..count).map(one).collect()
}

/// An apply that is still under way, and the first lines that it wrote.
fn begin(gateway: &Gateway, file: &str, lines: usize) -> std::process::Child {
    let mut child = Command::new(PROGRAM)
        .args(["apply", "-f", file, "--yes"])
        .env("SWITCHHOOK_SERVER", format!("http://{}", gateway.admin))
        .env("SWITCHHOOK_TOKEN", gateway.token.as_deref().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..lines {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("created"), "{line}");
    }
    child.stdout = Some(out.into_inner());
    child
}

#[test]
fn an_apply_that_is_killed_is_run_again_and_does_nothing_twice() {
    const COUNT: usize = 200;
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let prod = site.path("many.toml");
    site.write("many.toml", &many(COUNT));
    let mut child = begin(&gateway, &prod, 5);
    child.kill().unwrap();
    child.wait().unwrap();
    let there = gateway.all("/v1/endpoints?pageSize=500").len();
    assert!(
        (5..COUNT).contains(&there),
        "{there} of {COUNT} were made before the kill"
    );
    // The gateway is killed under the second one.
    let mut child = begin(&gateway, &prod, 5);
    gateway.kill();
    let code = until("the end of the apply", || child.try_wait().unwrap()).code();
    assert_eq!(code, Some(8), "a part was done, and it says so");
    let gateway = site.start();
    let applied = gateway.cli(&["--json", "apply", "-f", &prod, "--yes"]);
    let told: Value = serde_json::from_str(applied.ok().stdout.lines().last().unwrap()).unwrap();
    let (done, same) = (
        told["done"].as_u64().unwrap(),
        told["unchanged"].as_u64().unwrap(),
    );
    assert_eq!(done + same, COUNT as u64);
    assert!(same >= 10, "{told}");
    assert_eq!(plan(&gateway, &prod).0, Some(0));
    let endpoints = gateway.all("/v1/endpoints?pageSize=500");
    assert!(
        endpoints.iter().all(|it| it["version"] == 1),
        "one was made twice"
    );
    let entries = gateway.all("/v1/audit?pageSize=500");
    let puts = entries
        .iter()
        .filter(|it| it["action"] == "resource.put")
        .count();
    assert_eq!(puts, COUNT);
}

#[test]
fn who_was_there_first_is_named_and_not_overwritten() {
    const COUNT: usize = 300;
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let prod = site.path("many.toml");
    site.write("many.toml", &many(COUNT));
    let child = begin(&gateway, &prod, 1);
    let last = format!("e{:03}", COUNT - 1);
    let by_hand = json!({"url": "https://by-hand.example.com/"});
    gateway.tell(&format!("PUT /v1/endpoints/{last}"), &by_hand);
    let ended = child.wait_with_output().unwrap();
    let words = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(8), "{words}");
    assert!(
        words.contains(&format!("failed   endpoint/{last}: ")),
        "{words}"
    );
    assert!(
        words.contains("changed it meanwhile (resource.put"),
        "{words}"
    );
    assert_eq!(
        gateway.get(&format!("/v1/endpoints/{last}"))["body"],
        by_hand
    );

    let drift = gateway.cli(&["drift", "-f", &prod, "--detailed-exitcode"]);
    assert_eq!(drift.code, Some(10), "{drift:?}");
    assert!(
        drift
            .stdout
            .contains(&format!("differs         endpoint/{last}")),
        "{drift:?}"
    );
    assert!(
        drift.stdout.contains("1 resource not as declared"),
        "{drift:?}"
    );
    let drift = gateway.cli(&["--json", "drift", "-f", &prod]).json();
    let found = &drift["drift"][0];
    let entry = &gateway.all("/v1/audit?pageSize=500")[..];
    let expected = entry
        .iter()
        .find(|it| it["object"] == format!("endpoint/{last}"))
        .unwrap();
    assert_eq!(found["changedBy"]["actor"], expected["actor"]);
    assert_eq!(found["changedBy"]["number"], expected["number"]);
    assert_eq!(found["fields"][0]["pointer"], "/url");
}

/// Writes `hooks.toml`, which declares two webhooks at the gateway itself, and the secret of its client; the text of it.
fn two_webhooks(site: &Site, gateway: &Gateway) -> String {
    let client = json!({"name": "deployer", "scopes": ["read", "write"]});
    let made = gateway.tell("POST /v1/clients", &client);
    let text = format!(
        r#"
[genesys]
base = "http://{}"
client_id = {}
client_secret_file = "client-secret"

[webhook.presence]
name = "Presence of agents"
url = "https://stats.example.com/hook"
event_types = ["v2.users.{{id}}.presence"]
retry = {{ max_attempts = 5, duration = "1h" }}

[webhook.queues]
dialect = "integrations"
url = "https://stats.example.com/queues"
event_types = ["v2.routing.queues.{{id}}.users"]
"#,
        gateway.admin, made["id"]
    );
    site.write("hooks.toml", &text);
    site.write("client-secret", made["secret"].as_str().unwrap());
    text
}

#[test]
fn webhooks_at_a_management_api_are_planned_and_made_like_resources() {
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let hooks = site.path("hooks.toml");
    let text = two_webhooks(&site, &gateway);
    let (code, planned) = plan(&gateway, &hooks);
    assert_eq!(code, Some(10), "{planned}");
    let actions = |planned: &Value| -> Vec<String> {
        let all = planned["webhooks"].as_array().unwrap().iter();
        all.map(|it| it["action"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(actions(&planned), ["create", "create"]);
    assert_eq!(gateway.all("/v1/endpoints").len(), 0);

    let state = site.path("state");
    let apply =
        |gateway: &Gateway| gateway.cli(&["apply", "-f", &hooks, "--yes", "--state-dir", &state]);
    let applied = apply(&gateway);
    assert!(
        applied.ok().stdout.contains("2 done, 0 failed"),
        "{applied:?}"
    );
    let (code, planned) = plan(&gateway, &hooks);
    assert_eq!(
        (code, actions(&planned)),
        (Some(0), vec!["unchanged".into(); 2]),
        "{planned}"
    );
    assert_eq!(gateway.all("/v1/endpoints").len(), 2);

    site.write(
        "hooks.toml",
        &text
            .replace("\"1h\"", "\"2h\"")
            .replace("/queues\"", "/q\""),
    );
    let shown = gateway.cli(&["plan", "-f", &hooks]);
    let words = &shown.ok().stdout;
    assert!(words.contains("~ update   webhook/presence"), "{words}");
    assert!(
        words.contains("/policy/retryDuration  3600 -> 7200"),
        "{words}"
    );
    assert!(words.contains("/settings/url"), "{words}");
    let drift = gateway.cli(&["drift", "-f", &hooks]);
    let words = &drift.ok().stdout;
    assert!(
        words.contains("differs         webhook/presence"),
        "{words}"
    );
    assert!(words.ends_with("2 webhooks not as declared\n"), "{words}");
    apply(&gateway).ok();
    assert_eq!(plan(&gateway, &hooks).0, Some(0));
    // Only a policy differs.
    let text = text.replace("/queues\"", "/q\"");
    site.write("hooks.toml", &text.replace("\"1h\"", "\"3h\""));
    let (_, planned) = plan(&gateway, &hooks);
    let summary = &planned["summary"];
    assert_eq!(
        (&summary["update"], &summary["unchanged"]),
        (&json!(1), &json!(1))
    );
    let applied = apply(&gateway);
    let words = &applied.ok().stdout;
    assert!(words.starts_with("updated  Presence of agents"), "{words}");
    assert!(words.contains("1 done, 0 failed, 1 unchanged"), "{words}");
    let wrong = text.replace("presence\"]", "presense\"]");
    site.write("hooks.toml", &wrong);
    let refused = gateway.cli(&["plan", "-f", &hooks]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("did you mean"), "{refused:?}");
}
