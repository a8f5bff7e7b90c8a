//! `[[test]]` blocks.

use serde_json::json;
use switchhook_core::delivery::{Failure, OutcomeKind, Verdict};

use super::test::{Delay, Event, Given};
use super::*;

/// What a test can be about.
pub(super) const BEFORE: &str = r#"
[source.web]
verify = { scheme = "none" }
[endpoint.e]
url = "https://example.com"
[subscription.s]
sources = ["web"]
endpoint = "e"
"#;

/// What can be wrong with a test.
pub(super) const FAULTS: &[Fault] = &[
    ("test = 1", &["SH0104"]),
    ("[[test]]\n", &["SH0102", "SH0110", "SH0102"]),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\nexpect = {}",
        &["SH0137"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\nexpect = { matches = true }",
        &["SH0103"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\nexpect = { matches = [\"t\"] }",
        &["SH0201"],
    ),
    (
        "[[test]]\nname = \"a\"\nsubscription = \"t\"\nevent_file = \"a.json\"\nexpect = { matches = false }",
        &["SH0201"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\nexpect = { verdict = \"retry\" }",
        &["SH0137"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\ngiven = { status = 503 }\nexpect = { verdict = \"fail\" }",
        &["SH0108"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\ngiven = { status = 503 }\nexpect = { delay = \"7s..5s\" }",
        &["SH0137"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\ngiven = { status = 99 }\nexpect = { verdict = \"retry\" }",
        &["SH0105"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\ngiven = { error = \"gone\" }\nexpect = { verdict = \"retry\" }",
        &["SH0108"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\ngiven = { error = \"tls\", headers = { a = \"b\" } }\n\
         expect = { verdict = \"retry\" }",
        &["SH0137"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent_file = \"a.json\"\nattempt = 0\nexpect = { matches = false }",
        &["SH0105"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent = { source = \"wbe\", type = \"T\", data = 1 }\nexpect = { matches = false }",
        &["SH0201"],
    ),
    (
        "[[test]]\nname = \"a\"\nevent = { source = \"web\", type = \"T\" }\nexpect = { matches = false }",
        &["SH0110"],
    ),
];

#[test]
fn a_test_is_read_whole() {
    let text = r#"
[[test]]
name = "429 waits"
subscription = "s"
event = { source = "web", type = "Text", key = "c1", headers = { X-Team = "blue" }, data = { id = 1 } }
given = { status = 429, headers = { Retry-After = "5" } }
attempt = 2
expect = { matches = ["s"], body = { id = 1 }, headers = { X-A = "b" }, verdict = "retry", delay = ">= 5s" }
[[test]]
name = "not taken"
event_file = "fixtures/x.json"
expect = { matches = false }
"#;
    let mut config = good(&format!("{BEFORE}{text}"));
    config.resolve_paths(Path::new("/etc/switchhook"));
    let [first, second] = config.tests.as_slice() else {
        panic!("{:?}", config.tests)
    };
    assert_eq!(
        (first.name.as_str(), first.defined_at.as_deref()),
        ("429 waits", Some("switchhook.toml:10"))
    );
    assert_eq!(
        (first.subscription.as_deref(), first.attempt),
        (Some("s"), 2)
    );
    let Given::Event(event) = &first.event else {
        panic!("{:?}", first.event)
    };
    assert_eq!(
        (&*event.source, &*event.kind, event.key.as_deref()),
        ("web", "Text", Some("c1"))
    );
    assert_eq!(
        (event.body.as_str(), event.headers["x-team"].as_str()),
        ("{\"id\":1}", "blue")
    );
    let answer = first.answer.as_ref().unwrap();
    assert_eq!(answer.outcome, OutcomeKind::Status(429));
    assert_eq!(answer.headers["retry-after"], "5");
    let expect = &first.expect;
    assert_eq!(expect.matches.as_deref(), Some(["s".into()].as_slice()));
    assert_eq!(
        (expect.body.as_ref(), expect.verdict),
        (Some(&json!({"id": 1})), Some(Verdict::Retry))
    );
    assert_eq!(expect.headers["x-a"], "b");
    assert_eq!(
        second.event,
        Given::File("/etc/switchhook/fixtures/x.json".into())
    );
    assert_eq!(second.expect.matches.as_deref(), Some([].as_slice()));
}

#[test]
fn a_failure_without_an_answer_can_be_given() {
    let text = "[[test]]\nname = \"a\"\nevent_file = \"a\"\ngiven = { error = \"timeout\" }\nexpect = { verdict = \"hold\" }";
    let config = good(&format!("{BEFORE}{text}"));
    let answer = config.tests[0].answer.as_ref().unwrap();
    assert_eq!(answer.outcome, OutcomeKind::Failed(Failure::Timeout));
}

#[test]
fn an_expected_delay_is_exact_open_or_a_range() {
    let delay = |earliest_ms, latest_ms| {
        Ok(Delay {
            earliest_ms,
            latest_ms,
        })
    };
    assert_eq!(Delay::parse("5s"), delay(5_000, 5_000));
    assert_eq!(Delay::parse(">= 30s"), delay(30_000, u64::MAX));
    assert_eq!(Delay::parse("<=1m"), delay(0, 60_000));
    assert_eq!(Delay::parse("5s..7s"), delay(5_000, 7_000));
    for text in ["", "5", "> 5s", "..7s", "7s..5s", ">= soon"] {
        assert!(Delay::parse(text).is_err(), "{text}");
    }
    let range = Delay::parse("5s..7s").unwrap();
    for (band, holds) in [
        (5_000..=7_000, true),
        (6_000..=6_000, true),
        (4_999..=6_000, false),
        (6_000..=7_001, false),
    ] {
        assert_eq!(range.holds(&band), holds, "{band:?}");
    }
}

#[test]
fn an_event_in_a_file_of_its_own_is_read_like_one_in_the_configuration() {
    let event = Event::from_json(&json!({"source": "web", "type": "T", "body": "plain"})).unwrap();
    assert_eq!((event.body.as_str(), event.key), ("plain", None));
    let problems = Event::from_json(&json!({"source": "web", "tpye": "T", "data": 1})).unwrap_err();
    let found: Vec<_> = problems
        .iter()
        .map(|p| (p.code, p.place.pointer.as_str()))
        .collect();
    assert_eq!(found, [("SH0104", "/tpye"), ("SH0102", "")]);
}
