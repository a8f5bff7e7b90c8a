//! Subscriptions: order, filters, bodies and starts.

use switchhook_core::envelope::{Format, Mode};
use switchhook_core::id::Offset;
use switchhook_core::subscription::{OnExhausted, Start, Subscription};
use switchhook_core::time::UnixMs;
use switchhook_core::transform::{Transform, preset::Preset};

use super::*;

/// Sources with and without keys, and a subscription of our own events.
pub(super) const BEFORE: &str = r#"
[secret.k]
env = "K"
[source.genesys]
preset = "genesys"
verify = { secrets = ["{{secret:k}}"] }
[source.messages]
preset = "open-messaging"
verify = { secrets = ["{{secret:k}}"] }
[source.plain]
verify = { scheme = "none" }
[source.keyed]
verify = { scheme = "none" }
key = ["/id"]
[endpoint.e]
url = "https://example.com/hook"
[subscription.s]
sources = ["plain"]
endpoint = "e"
"#;

/// What can be wrong with it.
pub(super) const FAULTS: &[Fault] = &[
    ("group = \"g\"", &["SH0110"]),
    ("order = \"fifo\"", &["SH0108"]),
    ("order = \"key\"", &["SH0130"]),
    ("on_exhausted = \"halt\"", &["SH0129"]),
    ("on_exhausted = \"halt\"\norder = \"none\"", &["SH0129"]),
    ("on_exhausted = \"stop\"", &["SH0108"]),
    ("start = \"today\"", &["SH0108"]),
    ("start = { offset = 0 }", &["SH0105"]),
    ("start = { time = \"2026-11-20\" }", &["SH0136"]),
    ("start = { time = 2026-11-20T10:00:00Z }", &["SH0103"]),
    (
        "start = { offset = 1, time = \"2026-11-20T10:00:00Z\" }",
        &["SH0110"],
    ),
    ("when = \"event.type ==\"", &["SH0125"]),
    ("when = \"\"", &["SH0113"]),
    ("body = \"{\"", &["SH0125"]),
    ("body = \"{}\"\nmap = { a = \"b\" }", &["SH0110"]),
    ("map = {}", &["SH0113"]),
    ("map = { a = { default = 1 } }", &["SH0102"]),
    ("map = { a = { path = \"b\", defualt = 1 } }", &["SH0104"]),
    (
        "map = { a = { path = \"b\", default = 2026-11-20 } }",
        &["SH0103"],
    ),
    ("map = { \"\" = \"b\" }", &["SH0127"]),
    ("preset = \"discord\"", &["SH0108"]),
    ("format = \"cloudevent\"", &["SH0108"]),
    (
        "match_criteria = [{ jsonPath = \"$.a\", operator = \"Equals\", value = 1 }]",
        &["SH0126"],
    ),
    (
        "match_criteria = [{ jsonPath = \"$.a\", operator = \"Equal\" }]",
        &["SH0126"],
    ),
    ("match_criteria = [{ operator = \"Exists\" }]", &["SH0102"]),
    (
        "match_criteria = [{ jsonPath = \"$.a\", json_path = \"$.a\", operator = \"Exists\" }]",
        &["SH0110"],
    ),
    ("match_criteria = []\nmatchCriteria = []", &["SH0110"]),
    ("title = \"\"", &["SH0113"]),
    ("title = 1", &["SH0103"]),
    ("description = [\"a\"]", &["SH0103"]),
    ("properties = { a = 1 }", &["SH0103"]),
    ("properties = { \"\" = \"b\" }", &["SH0105"]),
    ("properties = \"a\"", &["SH0103"]),
    ("properties = { api-key = \"***\" }", &["SH0306"]),
    ("properties = { a = \"***\" }", &[]),
    ("title = \"***\"", &[]),
    ("enabled = \"no\"", &["SH0103"]),
    ("filters = { a = \"true\" }", &["SH0140"]),
    ("types = []\nfilters = { \"*\" = \"true\" }", &["SH0140"]),
    ("filters = { \"*\" = \"event.type ==\" }", &["SH0125"]),
    ("filters = { \"*\" = \"\" }", &["SH0113"]),
    ("filters = { \"*\" = true }", &["SH0103"]),
    (
        "types = [\"a*b\"]\nfilters = { \"a*b\" = \"event.type ==\" }",
        &["SH0115", "SH0125"],
    ),
];

fn subscription(text: &str) -> Arc<Subscription> {
    let config = good(&format!("{BEFORE}{text}"));
    Arc::clone(&config.plan.subscriptions["s"])
}

/// The order of a subscription with these sources.
fn usual_order(sources: &str) -> Order {
    let text = format!("{BEFORE}[subscription.t]\nsources = [{sources}]\nendpoint = \"e\"");
    good(&text).plan.subscriptions["t"].order
}

#[test]
fn events_of_genesys_keep_the_order_of_their_key_and_others_none_unless_it_is_written() {
    for (sources, order) in [
        ("\"genesys\"", Order::Key),
        ("\"genesys\", \"messages\"", Order::Key),
        ("\"genesys\", \"plain\"", Order::None),
        ("\"keyed\"", Order::None),
        ("\"switchhook\"", Order::None),
        ("\"genesys\", \"switchhook\"", Order::None),
    ] {
        assert_eq!(usual_order(sources), order, "{sources}");
    }
    let text = format!(
        "{BEFORE}[subscription.t]\nsources = [\"genesys\"]\nendpoint = \"e\"\norder = \"none\""
    );
    assert_eq!(good(&text).plan.subscriptions["t"].order, Order::None);
    assert_eq!(subscription("order = \"strict\"").order, Order::Strict);
}

#[test]
fn a_genesys_source_without_keys_has_no_order_to_keep() {
    let text = BEFORE.replace("preset = \"genesys\"", "preset = \"genesys\"\nkey = []");
    let text = format!("{text}[subscription.t]\nsources = [\"genesys\"]\nendpoint = \"e\"");
    assert_eq!(good(&text).plan.subscriptions["t"].order, Order::None);
}

#[test]
fn halting_is_right_where_the_order_follows_from_the_sources() {
    let text = format!(
        "{BEFORE}[subscription.t]\nsources = [\"genesys\"]\nendpoint = \"e\"\non_exhausted = \"halt\""
    );
    let plan = good(&text).plan;
    let t = &plan.subscriptions["t"];
    assert_eq!((t.order, t.on_exhausted), (Order::Key, OnExhausted::Halt));
}

#[test]
fn every_start_can_be_written() {
    for (text, start) in [
        ("", Start::Now),
        ("start = \"earliest\"", Start::Earliest),
        ("start = { offset = 12 }", Start::At(Offset(12))),
        (
            "start = { time = \"2025-11-20T12:00:00.123Z\" }",
            Start::Since(UnixMs(1_763_640_000_123)),
        ),
    ] {
        assert_eq!(subscription(text).start, start, "{text}");
    }
}

#[test]
fn a_subscription_has_the_id_of_its_name_and_is_enabled_unless_it_says_otherwise() {
    let plain = subscription("");
    assert_eq!(plain.id, switchhook_core::subscription::id("s"));
    assert!(plain.enabled);
    assert!(!subscription("enabled = false").enabled);
}

#[test]
fn what_a_subscription_says_about_itself_is_checked_to_its_limits_and_shown() {
    let text = |letter: &str, n: usize| letter.repeat(n);
    let told = |title: usize, description: usize, key: usize, value: usize| {
        format!(
            "{BEFORE}title = \"{}\"\ndescription = \"{}\"\nproperties = {{ {} = \"{}\" }}",
            text("ä", title),
            text("ö", description),
            text("k", key),
            text("ü", value)
        )
    };
    let config = good(&told(256, 1_024, 128, 1_024));
    let shown = config
        .resources
        .iter()
        .find(|shown| &*shown.name == "s")
        .unwrap();
    assert_eq!(shown.body["title"], text("ä", 256));
    assert_eq!(shown.body["properties"][text("k", 128)], text("ü", 1_024));
    for (title, description, key, value) in [
        (257, 0, 1, 0),
        (1, 1_025, 1, 0),
        (1, 0, 129, 0),
        (1, 0, 1, 1_025),
    ] {
        let problems = load_text(&told(title, description, key, value)).problems;
        let found: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(found, ["SH0105"], "{title} {description} {key} {value}");
    }
    let many = |n: usize| {
        let all: Vec<String> = (0..n).map(|i| format!("k{i} = \"\"")).collect();
        format!("{BEFORE}properties = {{ {} }}", all.join(", "))
    };
    good(&many(64));
    assert_eq!(load_text(&many(65)).problems[0].code, "SH0111");
}

#[test]
fn filters_stand_with_every_place_of_their_type() {
    let s = subscription(
        "types = [\"a.*\", \"b\", \"a.*\"]\nfilters = { \"a.*\" = \"event.data.n > 1\" }",
    );
    let texts: Vec<_> = s
        .filters
        .iter()
        .map(|(at, filter)| (*at, filter.text()))
        .collect();
    assert_eq!(texts, [(0, "event.data.n > 1"), (2, "event.data.n > 1")]);
    assert_eq!(
        subscription("filters = { \"*\" = \"true\" }").filters.len(),
        1
    );
}

#[test]
fn an_empty_list_of_types_and_a_star_for_the_sources_are_taken() {
    let text = BEFORE.replace("sources = [\"plain\"]", "sources = [\"*\"]");
    let s = Arc::clone(&good(&format!("{text}types = []")).plan.subscriptions["s"]);
    assert!(s.types.is_empty());
    assert_eq!(*s.sources, [Arc::from("*")]);
    // A source that is added later must not change the order, so that it has to be written.
    let all = usual_order("\"*\"");
    assert_eq!(all, Order::None);
    let keyed = good(&format!("{text}order = \"key\""));
    assert_eq!(keyed.plan.subscriptions["s"].order, Order::Key);
}

#[test]
fn criteria_are_taken_as_triggers_of_genesys_write_them() {
    for text in [
        "match_criteria = [{ json_path = \"$.mediaType\", operator = \"Equal\", value = \"VOICE\" }]",
        "matchCriteria = [{ jsonPath = \"$.queueId\", operator = \"In\", values = [\"a\", \"b\"] }]",
    ] {
        assert_eq!(subscription(text).criteria.len(), 1, "{text}");
    }
}

#[test]
fn every_body_and_format_can_be_written() {
    let made = |text: &str| subscription(text).transform.clone();
    assert_eq!(made(""), Transform::None);
    assert_eq!(made("preset = \"teams\""), Transform::Preset(Preset::Teams));
    assert!(matches!(made("body = \"event.data\""), Transform::Body(_)));
    let map =
        "map = { queue = \"queueName\", \"agent.id\" = { path = \"memberId\", default = 0 } }";
    assert!(matches!(made(map), Transform::Map(rules) if rules.len() == 2));
    for (name, format) in [
        ("raw", Format::Raw),
        ("envelope", Format::Envelope),
        ("cloudevents", Format::CloudEvents(Mode::Structured)),
        ("cloudevents-binary", Format::CloudEvents(Mode::Binary)),
    ] {
        assert_eq!(subscription(&format!("format = \"{name}\"")).format, format);
    }
}

#[test]
fn a_fault_in_an_expression_is_shown_where_it_is() {
    let text = r#"[endpoint.e]
url = "https://example.com"
[subscription.a]
sources = ["switchhook"]
endpoint = "e"
when = 'event.type == "a" && event.nothing == 1'
[subscription.b]
sources = ["switchhook"]
endpoint = "e"
body = """
{
  "id": event.data.id,
  "text": event.data.text + ,
}
"""
[subscription.c]
sources = ["switchhook"]
endpoint = "e"
match_criteria = [
  { jsonPath = "$.a", operator = "Exists" },
  { jsonPath = "$.a", operator = "Like", value = "b" },
]
map = { "a.b" = "c" }
"#;
    insta::assert_snapshot!("expression_problems", render_all(&load_text(text).problems));
}
