use serde_json::json;
use switchhook_wire::config::load_toml;
use switchhook_wire::config::test::Given;

use super::*;

const BASE: &str = r#"
[secret.web]
env = "WEB"
[secret.crm]
env = "CRM"

[source.web]
preset = "open-messaging"
verify = { secrets = ["{{secret:web}}"] }

[policy.quick]
matrix = { delays = ["5s", "1m"] }
jitter = { additive = 0.5 }
max_attempts = 3

[endpoint.crm]
url = "https://crm.example.com/hook"
headers = { X-Team = "team {{event:/queue}}", X-Key = "{{secret:crm}}" }
sign = [{ scheme = "standard-webhooks", secret = "{{secret:crm}}" }, { scheme = "genesys", secret = "{{secret:crm}}" }]
auth = { scheme = "bearer", token = "{{secret:crm}}" }
encrypt = { secret = "{{secret:crm}}" }

[endpoint.bi]
url = "https://bi.example.com/hook"

[group.pool]
members = ["bi", "crm"]

[subscription.vip]
sources = ["web"]
types = ["Text"]
when = 'event.data.queue == "vip"'
map = { id = "id", "to.queue" = "queue" }
endpoint = "crm"
policy = "quick"

[subscription.all]
sources = ["web"]
types = ["Text", "Structured"]
group = "pool"
policy = "quick"
"#;

/// The result of one test over [`BASE`], whose keys are `test`.
fn judged(test: &str) -> TestResult {
    let text = format!("{BASE}\n[[test]]\nname = \"t\"\n{test}\n");
    let loaded = load_toml(&text, "t.toml", &|_| None);
    let config = loaded
        .config
        .unwrap_or_else(|| panic!("{test}: {:?}", loaded.problems));
    let test = &config.tests[0];
    let Given::Event(event) = &test.event else {
        panic!("the event is written out");
    };
    judge(&config.plan, test, event)
}

fn differences(test: &str) -> Vec<(String, Value, Value)> {
    let result = judged(test);
    assert_eq!(result.error, None, "{test}");
    let differences = result.differences.into_iter();
    differences
        .map(|found| (found.what, found.expected, found.found))
        .collect()
}

const VIP: &str =
    r#"event = { source = "web", type = "Text", data = { id = "1", queue = "vip" } }"#;
const STD: &str =
    r#"event = { source = "web", type = "Text", data = { id = "1", queue = "std" } }"#;

#[test]
fn what_matches_is_compared_with_all_that_are_asked() {
    for (event, expect, found) in [
        (VIP, r#"matches = ["all", "vip"]"#, None),
        (VIP, r#"matches = ["all"]"#, Some(json!(["all", "vip"]))),
        (STD, r#"matches = ["all"]"#, None),
        (STD, "matches = false", Some(json!(["all"]))),
    ] {
        let found: Vec<_> = found.into_iter().collect();
        let differences = differences(&format!("{event}\nexpect = {{ {expect} }}"));
        let shown: Vec<_> = differences.into_iter().map(|(_, _, found)| found).collect();
        assert_eq!(shown, found, "{expect}");
    }
    let one = "subscription = \"vip\"\n";
    let line = format!("{one}{STD}\nexpect = {{ matches = false }}");
    assert_eq!(differences(&line), []);
}

#[test]
fn every_subscription_says_why_it_passes_an_event_over() {
    let why = |event: &str| {
        let result = judged(&format!(
            "subscription = \"vip\"\n{event}\nexpect = {{ matches = false }}"
        ));
        result.deliveries[0].text.clone()
    };
    assert_eq!(why(STD), "its `when` is false");
    assert_eq!(
        why(r#"event = { source = "web", type = "Typing", data = {} }"#),
        "takes other types: Text"
    );
    assert_eq!(
        why(r#"event = { source = "web", type = "Text", data = {} }"#),
        "its `when` asks for `event.data.queue`, which the event does not have"
    );
}

#[test]
fn the_body_is_that_of_the_transform_before_it_is_encrypted() {
    let body = |body: &str| {
        differences(&format!(
            "subscription = \"vip\"\n{VIP}\nexpect = {{ body = {body} }}"
        ))
    };
    assert_eq!(body(r#"{ id = "1", to = { queue = "vip" } }"#), []);
    let found = json!({"id": "1", "to": {"queue": "vip"}});
    assert_eq!(
        body(r#"{ id = "2" }"#),
        [("body".into(), json!({"id": "2"}), found)]
    );
    let text = r#"event = { source = "web", type = "Structured", body = "plain" }"#;
    assert_eq!(
        differences(&format!("{text}\nexpect = {{ body = \"plain\" }}")),
        []
    );
}

#[test]
fn headers_show_the_names_of_secrets_and_that_a_signature_is_there() {
    let headers = |headers: &str| {
        differences(&format!(
            "subscription = \"vip\"\n{VIP}\nexpect = {{ headers = {{ {headers} }} }}"
        ))
    };
    for held in [
        r#"X-Team = "team vip""#,
        r#"x-key = "<secret:crm>""#,
        r#"authorization = "Bearer <secret:crm>""#,
        r#"webhook-signature = "v1,whatever""#,
        r#"x-genesys-signature = "whatever""#,
        r#"x-delivery-attempt = "1""#,
        r#"content-type = "application/json""#,
    ] {
        assert_eq!(headers(held), [], "{held}");
    }
    let team = ("headers.x-team".to_owned(), json!("a"), json!("team vip"));
    assert_eq!(headers(r#"x-team = "a""#), [team]);
    let absent = ("headers.x-none".to_owned(), json!("a"), Value::Null);
    assert_eq!(headers(r#"x-none = "a""#), [absent]);
}

#[test]
fn verdict_and_delay_follow_from_the_answer_whatever_the_jitter() {
    let cases = [
        ("status = 204", 1, r#"verdict = "done""#, None),
        ("status = 400", 1, r#"verdict = "dead""#, None),
        ("status = 401", 1, r#"verdict = "hold""#, None),
        (
            "status = 500",
            1,
            r#"verdict = "retry", delay = "5s..7500ms""#,
            None,
        ),
        (
            "status = 500",
            1,
            r#"delay = "5s..7s""#,
            Some(json!("5s..7s500ms")),
        ),
        ("status = 500", 2, r#"delay = ">= 1m""#, None),
        ("status = 500", 3, r#"verdict = "dead""#, None),
        ("error = \"timeout\"", 1, r#"verdict = "retry""#, None),
        (
            "status = 429, headers = { Retry-After = \"30\" }",
            1,
            r#"delay = "30s""#,
            None,
        ),
        ("status = 200", 1, r#"delay = ">= 1s""#, Some(Value::Null)),
        (
            "status = 503",
            1,
            r#"verdict = "dead""#,
            Some(json!("retry")),
        ),
    ];
    for (given, attempt, expect, found) in cases {
        let line = format!(
            "subscription = \"all\"\n{VIP}\ngiven = {{ {given} }}\nattempt = {attempt}\nexpect = {{ {expect} }}"
        );
        let shown: Vec<_> = differences(&line).into_iter().map(|one| one.2).collect();
        assert_eq!(
            shown,
            found.into_iter().collect::<Vec<_>>(),
            "{given} {attempt} {expect}"
        );
    }
}

#[test]
fn what_cannot_be_judged_fails_and_says_why() {
    let line = format!("subscription = \"vip\"\n{STD}\nexpect = {{ body = \"x\" }}");
    let result = judged(&line);
    assert!(!result.passed);
    let error = result.error.unwrap_or_default();
    assert!(
        error.starts_with("no subscription takes the event"),
        "{error}"
    );
    let line = r#"
subscription = "all"
event = { source = "web", type = "Text", data = { id = "1" } }
expect = { matches = ["all"] }"#;
    assert!(judged(line).passed);
}

#[test]
fn a_delay_is_written_as_a_test_writes_it() {
    for text in ["5s", ">= 30s", "<= 1m", "5s..7s500ms", "0s"] {
        assert_eq!(delay_text(Delay::parse(text).unwrap()), text);
    }
}
