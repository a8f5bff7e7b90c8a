//! Which events a subscription takes, and the id it is known by.

use bytes::Bytes;

use super::*;
use crate::id::EventId;

fn event(source: &str, kind: &str, body: &str) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(Uuid::from_u128(1)),
        source: source.into(),
        kind: kind.into(),
        key: None,
        received_at: UnixMs(0),
        headers: Arc::new([]),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A subscription of these types, each with its filter or none.
fn subscription(types: &[(&str, Option<&str>)]) -> Subscription {
    let patterns = types
        .iter()
        .map(|(kind, _)| TypePattern::parse(kind).unwrap());
    let filters = types.iter().enumerate();
    Subscription {
        filters: filters
            .filter_map(|(at, (_, filter))| Some((at, Expression::compile((*filter)?).unwrap())))
            .collect(),
        ..Subscription::new(
            "s",
            vec!["web".into()],
            patterns.collect(),
            Target::Endpoint("e".into()),
            "standard",
        )
    }
}

#[test]
fn the_id_follows_from_the_name_alone() {
    let crm = id("web-to-crm");
    assert_eq!(crm, id("web-to-crm"));
    assert_ne!(crm, id("web-to-crn"));
    assert_eq!(
        (crm.get_version_num(), crm.get_variant()),
        (8, uuid::Variant::RFC4122)
    );
    assert_eq!(subscription(&[]).id, id("s"));
    // It stands in the notes of receivers: it never changes.
    assert_eq!(crm.to_string(), "9b93829b-c109-841b-ae8d-2ac44efab222");
}

#[test]
fn a_star_stands_for_every_source_but_the_gateway_itself() {
    let from = |sources: &[&str]| Subscription {
        sources: sources.iter().map(|source| (*source).into()).collect(),
        ..subscription(&[("*", None)])
    };
    for (sources, source, taken) in [
        (&["*"][..], "web", true),
        (&["*"], OWN_SOURCE, false),
        (&["*", OWN_SOURCE], OWN_SOURCE, true),
        (&["mail"], "web", false),
        (&["mail", "*"], "web", true),
        (&[], "web", false),
    ] {
        let selection = from(sources).select(&event(source, "a", "{}"));
        let wanted = if taken {
            Selection::Taken
        } else {
            Selection::PassedOver(Mismatch::Source)
        };
        assert_eq!(selection, wanted, "{sources:?} of {source}");
    }
}

#[test]
fn no_type_takes_nothing() {
    let selection = subscription(&[]).select(&event("web", "a", "{}"));
    assert_eq!(selection, Selection::PassedOver(Mismatch::Type));
}

#[test]
fn any_type_whose_filter_holds_takes_the_event() {
    let s = subscription(&[
        ("call.*", Some("event.data.queue == 'a'")),
        ("call.ended", Some("event.data.missed")),
        ("mail", None),
    ]);
    let filter = |at, missing: Option<&str>| {
        let missing = missing.map(str::to_owned);
        Selection::PassedOver(Mismatch::Filter { at, missing })
    };
    for (kind, body, selection) in [
        ("mail", "{}", Selection::Taken),
        ("chat", "{}", Selection::PassedOver(Mismatch::Type)),
        ("call.began", r#"{"queue": "a"}"#, Selection::Taken),
        ("call.began", r#"{"queue": "b"}"#, filter(0, None)),
        ("call.began", "{}", filter(0, Some("event.data.queue"))),
        ("call.ended", r#"{"queue": "a"}"#, Selection::Taken),
        (
            "call.ended",
            r#"{"queue": "b", "missed": true}"#,
            Selection::Taken,
        ),
        (
            "call.ended",
            r#"{"queue": "b", "missed": false}"#,
            filter(0, None),
        ),
        ("call.ended", r#"{"queue": "b"}"#, filter(0, None)),
    ] {
        assert_eq!(
            s.select(&event("web", kind, body)),
            selection,
            "{kind} {body}"
        );
    }
}

#[test]
fn a_filter_that_fails_leaves_the_event_to_a_person_unless_another_takes_it() {
    let s = subscription(&[
        ("call.*", Some("event.data.n < 'a'")),
        ("call.ended", Some("event.data.missed")),
    ]);
    let selection = |body| s.select(&event("web", "call.ended", body));
    assert_eq!(selection(r#"{"n": 1, "missed": true}"#), Selection::Taken);
    for body in [r#"{"n": 1, "missed": false}"#, r#"{"n": 1}"#] {
        assert!(matches!(selection(body), Selection::Failed(_)), "{body}");
    }
    // The first is false, the second fails.
    let failed = r#"{"n": "b", "missed": "yes"}"#;
    assert!(matches!(selection(failed), Selection::Failed(_)));
}

#[test]
fn the_filter_of_a_type_is_asked_before_the_criteria_and_when() {
    let criterion = Criterion::compile("$.a", "Exists", None, None).unwrap();
    let s = Subscription {
        criteria: vec![criterion],
        when: Some(Expression::compile("event.data.b").unwrap()),
        ..subscription(&[("*", Some("event.data.c"))])
    };
    let filter = Mismatch::Filter {
        at: 0,
        missing: None,
    };
    for (body, mismatch) in [
        (r#"{"b": false, "c": false}"#, filter),
        (r#"{"b": false, "c": true}"#, Mismatch::Criterion(0)),
        (r#"{"a": 1, "b": false, "c": true}"#, Mismatch::When),
    ] {
        let selection = s.select(&event("web", "x", body));
        assert_eq!(selection, Selection::PassedOver(mismatch), "{body}");
    }
    let all = event("web", "x", r#"{"a": 1, "b": true, "c": true}"#);
    assert_eq!(s.select(&all), Selection::Taken);
}
