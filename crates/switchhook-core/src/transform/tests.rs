use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::alert::watch;
use crate::event::OWN_SOURCE;
use crate::id::{EventId, Offset};
use crate::time::UnixMs;
use preset::{Preset, with_routing_key};

fn event(source: &str, kind: &str, body: &str) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(uuid::Uuid::from_u128(
            0x0190_0000_0000_7000_8000_0000_0000_0001,
        )),
        source: source.into(),
        kind: kind.into(),
        key: Some("c-1".into()),
        received_at: UnixMs(1_767_323_045_678),
        headers: Arc::from([("x-one".into(), "1".into())]),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

const BODY: &str =
    r#"{"queueName": "Sales", "a": [{"b": 1}, {"b": null}], "who": {"id": "7"}, "event": 3}"#;

fn rule(out: &str, input: &str) -> MapRule {
    MapRule::compile(out, input, None, false).unwrap()
}

fn apply(transform: &Transform, body: &str) -> Result<Option<Value>, TransformError> {
    let event = event("web", "v2.x", body);
    let made = transform.apply(&Subject::new(&event))?;
    Ok(made.map(|bytes| serde_json::from_slice(&bytes).unwrap()))
}

fn told(preset: Preset, event: &Event) -> Value {
    let made = Transform::Preset(preset)
        .apply(&Subject::new(event))
        .unwrap()
        .unwrap();
    serde_json::from_slice(&made).unwrap()
}

#[test]
fn without_a_transform_the_raw_bytes_stay() {
    assert_eq!(apply(&Transform::None, BODY), Ok(None));
    assert_eq!(apply(&Transform::default(), "no json"), Ok(None));
}

#[test]
fn a_map_fills_nested_fields_from_nested_places_and_from_the_event() {
    let map = Transform::map(vec![
        rule("queue", "queueName"),
        rule("$.agent.id", "$.who.id"),
        rule("agent.first", "a[0].b"),
        rule("agent.second", "a[1]['b']"),
        rule("meta.type", "event.type"),
        rule("meta.source", "event.source"),
        rule("meta.id", "event.id"),
        rule("meta.key", "event.key"),
        rule("meta.time", "event.time"),
        rule("meta.one", "event.headers.X-One"),
        rule("own", "$.event"),
        rule("left.out", "no.where"),
    ])
    .unwrap();
    let made = apply(&map, BODY).unwrap().unwrap();
    assert_eq!(
        made,
        json!({
            "queue": "Sales", "own": 3,
            "agent": {"id": "7", "first": 1, "second": null},
            "meta": {"type": "v2.x", "source": "web", "id": made["meta"]["id"], "key": "c-1",
                "time": "2026-01-02T03:04:05.678Z", "one": "1"}
        })
    );
    assert!(made["meta"]["id"].as_str().unwrap().starts_with("evt_"));
}

#[test]
fn a_missing_field_takes_its_default_is_left_out_or_fails() {
    let missing = |default, required| {
        let rule = MapRule::compile("x", "no", default, required).unwrap();
        apply(&Transform::map(vec![rule]).unwrap(), BODY)
    };
    assert_eq!(
        missing(Some(json!([1])), false),
        Ok(Some(json!({"x": [1]})))
    );
    assert_eq!(missing(None, false), Ok(Some(json!({}))));
    assert_eq!(
        missing(None, true),
        Err(TransformError::Required("x".into()))
    );
    let rule = MapRule::compile("x", "queueName", Some(json!(0)), false).unwrap();
    let map = Transform::map(vec![rule]).unwrap();
    assert_eq!(apply(&map, BODY), Ok(Some(json!({"x": "Sales"}))));
    assert_eq!(apply(&map, "<xml/>"), Ok(Some(json!({"x": 0}))));
}

#[test]
fn a_map_that_cannot_be_meant_is_refused() {
    for (out, input, says) in [
        ("", "a", "must not be empty"),
        ("$", "a", "an out path is made of field names"),
        ("a[0]", "a", "an out path is made of field names"),
        ("a", "b[*]", "names many places"),
        ("a", "event.typ", "an event has no `event.typ`"),
        ("a", "event.headers.", "an event has no"),
        ("a", "$..b", "recursive descent"),
        (&vec!["a"; 17].join("."), "b", "16 steps"),
    ] {
        let error = MapRule::compile(out, input, None, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{out} {input}: {error}");
    }
    assert!(MapRule::compile("a", "b", Some(json!(1)), true).is_err());
    for (one, other) in [
        ("a", "a"),
        ("a", "a.b"),
        ("a.b.c", "a.b"),
        ("$.a", "$['a']"),
    ] {
        let rules = vec![rule(one, "x"), rule("z", "x"), rule(other, "y")];
        assert!(
            matches!(Transform::map(rules), Err(MapError::Conflict(..))),
            "{one} {other}"
        );
    }
    assert_eq!(Transform::map(vec![]), Err(MapError::Rules(0)));
    let many: Vec<MapRule> = (0..201).map(|n| rule(&format!("f{n}"), "x")).collect();
    assert_eq!(Transform::map(many), Err(MapError::Rules(201)));
}

#[test]
fn a_map_never_makes_more_than_its_bound() {
    let rules = (0..20).map(|n| rule(&format!("f{n}"), "s")).collect();
    let body = json!({"s": "x".repeat(400_000)}).to_string();
    let map = Transform::map(rules).unwrap();
    assert_eq!(apply(&map, &body), Err(TransformError::TooLarge));
}

#[test]
fn a_body_expression_makes_the_body_or_says_why_not() {
    let body = |text| Transform::Body(Expression::compile(text).unwrap());
    assert_eq!(
        apply(&body("{'q': event.data.queueName}"), BODY),
        Ok(Some(json!({"q": "Sales"})))
    );
    let error = apply(&body("{'q': event.data.no}"), BODY)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "body: the event has no `event.data.no`");
}

fn alert(state: &str) -> Event {
    let body = json!({
        "title": "Breaker <open>", "severity": "critical", "summary": "crm & co: <!channel> 5xx",
        "state": state, "subject": {"kind": "endpoint", "name": "crm"}, "failures": 12
    });
    event("switchhook", "switchhook.breaker.opened", &body.to_string())
}

#[test]
fn slack_gets_text_and_blocks_in_which_nothing_is_markup() {
    let body = told(Preset::Slack, &alert("raised"));
    assert_eq!(
        body["text"],
        "Breaker &lt;open&gt;: crm &amp; co: &lt;!channel&gt; 5xx"
    );
    assert_eq!(body["blocks"][0]["text"]["text"], "Breaker <open>");
    assert_eq!(
        body["blocks"][1]["text"]["text"],
        "crm &amp; co: &lt;!channel&gt; 5xx"
    );
    let details = body["blocks"][2]["text"]["text"].as_str().unwrap();
    assert!(
        details.starts_with("```{") && details.contains("\"failures\": 12"),
        "{details}"
    );
    let context = body["blocks"][3]["elements"][0]["text"].as_str().unwrap();
    assert!(context.contains("severity: critical · state: raised · subject: endpoint/crm"));
}

#[test]
fn teams_gets_an_adaptive_card() {
    let body = told(Preset::Teams, &alert("cleared"));
    assert_eq!(body["type"], "message");
    let card = &body["attachments"][0];
    assert_eq!(
        card["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    assert_eq!(card["content"]["type"], "AdaptiveCard");
    let title = &card["content"]["body"][0]["inlines"][0];
    assert_eq!(title["text"], "Cleared: Breaker <open>");
    assert_eq!(title["color"], "good");
}

#[test]
fn pagerduty_resolves_what_it_triggered_and_has_the_key_only_when_sent() {
    let raised = told(Preset::PagerDuty, &alert("raised"));
    let cleared = told(Preset::PagerDuty, &alert("cleared"));
    assert_eq!(raised["event_action"], "trigger");
    assert_eq!(cleared["event_action"], "resolve");
    assert_eq!(raised["dedup_key"], "endpoint/crm");
    assert_eq!(raised["dedup_key"], cleared["dedup_key"]);
    assert_eq!(raised["payload"]["severity"], "critical");
    assert_eq!(raised["payload"]["source"], "switchhook");
    assert_eq!(raised["payload"]["timestamp"], "2026-01-02T03:04:05.678Z");
    assert_eq!(raised["payload"]["custom_details"], json!({"failures": 12}));
    assert_eq!(raised.get("routing_key"), None);
    let mut keyed: Value =
        serde_json::from_slice(&with_routing_key(raised.to_string().as_bytes(), "R\"1")).unwrap();
    assert_eq!(keyed["routing_key"], "R\"1");
    keyed.as_object_mut().unwrap().remove("routing_key");
    assert_eq!(keyed, raised);
}

#[test]
fn genesys_gets_flat_fields_only() {
    let body = told(Preset::Genesys, &alert("raised"));
    assert!(body.as_object().unwrap().values().all(Value::is_string));
    assert_eq!(body["subject"], "endpoint/crm");
    assert_eq!(body["details"], r#"{"failures":12}"#);
}

#[test]
fn an_alert_of_the_gateway_resolves_the_incident_it_raised() {
    let told = |raised| {
        let transition = watch::Transition {
            figure: watch::Figure::Lag,
            subject: "to-crm".into(),
            raised,
            value: Some(12_000),
            threshold: 10_000,
            since: UnixMs(1_000),
            at: UnixMs(2_000),
        };
        let own = watch::watched(&transition, 1);
        let event = event(
            OWN_SOURCE,
            &own.kind,
            std::str::from_utf8(&own.body).unwrap(),
        );
        told(Preset::PagerDuty, &event)
    };
    let (raised, cleared) = (told(true), told(false));
    assert_eq!(raised["dedup_key"], "subscription/to-crm/lag");
    assert_eq!(raised["dedup_key"], cleared["dedup_key"]);
    assert_eq!(raised["event_action"], "trigger");
    assert_eq!(cleared["event_action"], "resolve");
    assert_eq!(raised["payload"]["severity"], "warning");
    assert_eq!(raised["payload"]["custom_details"]["threshold"], 10_000);
}

#[test]
fn two_matters_of_one_subject_are_two_incidents() {
    let key = |more: Value| {
        let mut body = json!({"subject": {"kind": "subscription", "name": "to-crm"}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let event = event("switchhook", "switchhook.alert.raised", &body.to_string());
        told(Preset::PagerDuty, &event)["dedup_key"].clone()
    };
    assert_eq!(key(json!({})), "subscription/to-crm");
    assert_eq!(key(json!({"figure": "lag"})), "subscription/to-crm/lag");
}

#[test]
fn any_other_event_is_told_by_type_and_id_whatever_its_body_claims() {
    let body = json!({"title": "Fake", "severity": "critical", "state": "cleared", "subject": "x"});
    let event = event("web", "v2.x", &body.to_string());
    let made = told(Preset::PagerDuty, &event);
    let id = event.id.to_string();
    assert_eq!(made["event_action"], "trigger");
    assert_eq!(made["dedup_key"], id);
    assert_eq!(made["payload"]["severity"], "info");
    assert_eq!(
        made["payload"]["summary"],
        format!("v2.x: v2.x {id} from web")
    );
    assert_eq!(made["payload"]["custom_details"], body);
}

#[test]
fn a_preset_is_known_by_its_name() {
    for preset in Preset::ALL {
        assert_eq!(Preset::from_name(preset.name()), Some(preset));
    }
    assert_eq!(Preset::from_name("Slack"), None);
}

/// No text block of a Slack body is longer than Slack takes.
fn slack_blocks_fit(body: &Value) -> bool {
    let blocks = body["blocks"].as_array().unwrap();
    let long = |text: &Value, most| {
        text.as_str()
            .is_none_or(|text| text.chars().count() <= most)
    };
    blocks.iter().all(|block| {
        let most = if block["type"] == "header" { 150 } else { 3000 };
        long(&block["text"]["text"], most) && long(&block["elements"][0]["text"], 3000)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_preset_stays_within_what_its_receiver_takes(
        text in "[<&>`a\\n\u{1}é😀\"]{0,40}", times in 1_usize..3000, own in any::<bool>(), alert in any::<bool>(),
    ) {
        let text = text.repeat(times);
        let body = if alert {
            json!({"title": text, "summary": text, "subject": text, "more": [text]}).to_string()
        } else {
            text.clone()
        };
        let event = event(if own { "switchhook" } else { "web" }, &format!("t{text}"), &body);
        prop_assert!(slack_blocks_fit(&told(Preset::Slack, &event)));
        prop_assert!(told(Preset::Teams, &event).to_string().len() <= 28 * 1024);
        prop_assert!(told(Preset::PagerDuty, &event).to_string().len() <= 512 * 1024);
        prop_assert!(told(Preset::PagerDuty, &event)["dedup_key"].as_str().unwrap().chars().count() <= 255);
        prop_assert!(told(Preset::Genesys, &event).to_string().len() <= 256 * 1024);
    }
}
