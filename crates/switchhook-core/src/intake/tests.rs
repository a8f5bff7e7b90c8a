use super::*;
use crate::pointer::Pointer;
use crate::source::{BODY_BYTES_DEFAULT, DEDUP_WINDOW_DEFAULT_MS, Dedup, Verify};
use proptest::prelude::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn source() -> Source {
    Source {
        name: "web".into(),
        verify: Verify::None,
        kind: KindRule::Pointer(pointer("/type")),
        key: vec![pointer("/conversationId"), pointer("/userId")],
        dedup: Dedup {
            by: DedupBy::Pointers(vec![pointer("/id")]),
            window_ms: DEDUP_WINDOW_DEFAULT_MS,
        },
        body_bytes_max: BODY_BYTES_DEFAULT,
        keep_headers: vec!["x-tenant".into()],
    }
}

fn plain_source(kind: KindRule) -> Source {
    let dedup = Dedup {
        by: DedupBy::Content,
        window_ms: DEDUP_WINDOW_DEFAULT_MS,
    };
    Source {
        kind,
        key: vec![],
        dedup,
        ..source()
    }
}

fn map(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &[u8])| {
        (
            http::HeaderName::from_static(name),
            HeaderValue::from_bytes(value).unwrap(),
        )
    };
    pairs.iter().map(pair).collect()
}

fn read_body(body: &str) -> Intake {
    read(&source(), &HeaderMap::new(), body.as_bytes()).unwrap()
}

fn kept_of(pairs: &[(&'static str, &[u8])]) -> Vec<(String, String)> {
    let read = read(&source(), &map(pairs), b"{}").unwrap();
    read.headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn a_type_is_taken_as_it_is_or_it_is_unknown() {
    let long = "x".repeat(KIND_BYTES_MAX);
    for (body, kind) in [
        (
            r#"{"type": "v2.users.{id}.presence"}"#.to_owned(),
            "v2.users.{id}.presence",
        ),
        (r#"{"type": "größe: groß?"}"#.to_owned(), "größe: groß?"),
        (r#"{"type": 7}"#.to_owned(), "7"),
        (format!(r#"{{"type": "{long}"}}"#), &long),
        (format!(r#"{{"type": "{long}x"}}"#), UNKNOWN),
        (r#"{"type": ""}"#.to_owned(), UNKNOWN),
        (r#"{"type": "a\nb"}"#.to_owned(), UNKNOWN),
        (r#"{"type": "a\u0085b"}"#.to_owned(), UNKNOWN),
        (r#"{"type": {}}"#.to_owned(), UNKNOWN),
        ("[]".to_owned(), UNKNOWN),
    ] {
        assert_eq!(&*read_body(&body).kind, kind, "{body}");
    }
}

#[test]
fn a_type_can_stand_in_a_header_or_be_fixed_and_then_the_body_may_be_anything() {
    let by_header = plain_source(KindRule::Header("x-event".into()));
    let kind = |pairs: &[_]| read(&by_header, &map(pairs), b"\xff no json").unwrap().kind;
    assert_eq!(&*kind(&[("x-event", b"order.paid")]), "order.paid");
    assert_eq!(&*kind(&[("x-event", b"a\tb")]), UNKNOWN);
    assert_eq!(&*kind(&[("x-event", b"\xff")]), UNKNOWN);
    assert_eq!(&*kind(&[]), UNKNOWN);
    let fixed = plain_source(KindRule::Fixed("f".into()));
    assert_eq!(&*read(&fixed, &HeaderMap::new(), b"").unwrap().kind, "f");
}

#[test]
fn json_is_needed_exactly_where_a_rule_points_into_the_body() {
    let plain = plain_source(KindRule::Fixed("f".into()));
    assert!(!needs_json(&plain));
    assert!(needs_json(&plain_source(KindRule::Pointer(pointer(
        "/type"
    )))));
    assert!(needs_json(&Source {
        key: vec![pointer("/k")],
        ..plain.clone()
    }));
    assert!(needs_json(&Source {
        dedup: source().dedup,
        ..plain
    }));
    for body in ["", "{", "{}x", "\u{feff}{}", "nul"] {
        assert!(
            read(&source(), &HeaderMap::new(), body.as_bytes()).is_err(),
            "{body}"
        );
    }
    assert!(read(&source(), &HeaderMap::new(), "[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn the_key_is_the_first_that_is_there() {
    for (body, key) in [
        (r#"{"conversationId": "c", "userId": "u"}"#, Some("c")),
        (r#"{"userId": "u"}"#, Some("u")),
        (r#"{"conversationId": null, "userId": 12}"#, Some("12")),
        (r#"{"conversationId": "", "userId": "u"}"#, Some("u")),
        (r#"{"other": "u"}"#, None),
    ] {
        assert_eq!(read_body(body).key.as_deref(), key, "{body}");
    }
}

#[test]
fn a_key_that_is_too_long_or_unclean_is_kept_apart_by_its_hash() {
    let of = |key: &str| {
        let body = serde_json::json!({"conversationId": key}).to_string();
        read_body(&body).key.unwrap()
    };
    let long = "k".repeat(KEY_BYTES_MAX);
    assert_eq!(*of(&long), *long);
    let hashed = of(&format!("{long}a"));
    assert!(
        hashed.starts_with("sha256:") && hashed.len() == 71,
        "{hashed}"
    );
    assert_eq!(hashed, of(&format!("{long}a")));
    assert_ne!(hashed, of(&format!("{long}b")));
    assert!(of("a\u{0}b").starts_with("sha256:"));
}

#[test]
fn only_listed_headers_that_are_text_are_kept() {
    let kept = kept_of(&[
        ("authorization", b"Bearer secret"),
        ("content-type", b"application/json"),
        ("x-tenant", "größe".as_bytes()),
        ("webhook-id", b"\xff"),
        ("x-other", b"1"),
    ]);
    let expected = [("content-type", "application/json"), ("x-tenant", "größe")];
    assert_eq!(
        kept,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn kept_headers_are_bounded_in_number_and_size() {
    let many = vec![("x-tenant", &b"t"[..]); HEADERS_MAX + 5];
    assert_eq!(kept_of(&many).len(), HEADERS_MAX);
    let huge = vec![b'x'; HEADER_BYTES_MAX];
    assert_eq!(
        kept_of(&[("x-tenant", &huge[..]), ("x-tenant", b"small")]).len(),
        1
    );
}

#[test]
fn a_trace_goes_on_only_from_a_valid_traceparent() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (value, valid) in [
        (format!("00-{trace}-b7ad6b7169203331-01"), true),
        (format!("cc-{trace}-b7ad6b7169203331-01"), true),
        (format!("cc-{trace}-b7ad6b7169203331-01-what-comes"), true),
        (format!("00-{trace}-b7ad6b7169203331-01-x"), false),
        (format!("ff-{trace}-b7ad6b7169203331-01"), false),
        (
            format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            false,
        ),
        (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
        (format!("00-{trace}-0000000000000000-01"), false),
        (format!("00-{trace}-b7ad6b7169203331"), false),
        (format!("00-{trace}-b7ad6b7169203331-1"), false),
        (format!("0-{trace}-b7ad6b7169203331-01"), false),
        (format!("00-{trace}g-b7ad6b716920333-01"), false),
        (String::new(), false),
    ] {
        let kept = kept_of(&[("traceparent", value.as_bytes()), ("tracestate", b"a=b")]);
        assert_eq!(kept.len(), if valid { 2 } else { 0 }, "{value}");
    }
    let twice = format!("00-{trace}-b7ad6b7169203331-01");
    assert!(
        kept_of(&[
            ("traceparent", twice.as_bytes()),
            ("traceparent", twice.as_bytes())
        ])
        .is_empty()
    );
}

#[test]
fn the_identity_follows_the_dedup_rule_of_the_source() {
    let (one, again) = (
        read_body(r#"{"id": 1, "n": 1}"#),
        read_body(r#"{"id": 1, "n": 2}"#),
    );
    let (one, again) = (one.identity.unwrap(), again.identity.unwrap());
    assert_eq!(one.key, again.key);
    assert_ne!(one.body_hash, again.body_hash);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_always_clean_and_bounded(kind in any::<String>(), key in ".{0,300}|[\\x00-\\xff]{0,20}") {
        let body = serde_json::json!({"type": kind, "conversationId": key}).to_string();
        let read = read_body(&body);
        for text in [Some(read.kind), read.key].into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.len() <= 256 && !text.contains(char::is_control));
        }
    }

    #[test]
    fn no_body_makes_reading_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&source(), &HeaderMap::new(), &body);
    }
}
