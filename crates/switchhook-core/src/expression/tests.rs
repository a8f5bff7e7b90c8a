use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::{EventId, Offset};
use crate::time::UnixMs;

mod oracle;

fn event(body: &str) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(uuid::Uuid::from_u128(
            0x0190_0000_0000_7000_8000_0000_0000_0001,
        )),
        source: "genesys".into(),
        kind: "v2.conversations.end".into(),
        key: Some("c-1".into()),
        received_at: UnixMs(1_767_323_045_678),
        headers: Arc::from([("x-one".into(), "1".into()), ("x-one".into(), "2".into())]),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

const BODY: &str = r#"{
    "q": "Sales", "n": 5, "f": 2.5, "big": 18446744073709551615, "nothing": null, "yes": true,
    "tags": ["a", "b", "c"], "who": {"id": "7", "name": "Ann"},
    "parts": [{"purpose": "agent", "wait": 3}, {"purpose": "customer"}]
}"#;

fn truth(text: &str) -> Result<Truth, EvaluationError> {
    let event = event(BODY);
    Expression::compile(text)
        .unwrap()
        .is_true(&Subject::new(&event))
}

fn made(text: &str) -> Result<Value, EvaluationError> {
    let event = event(BODY);
    Expression::compile(text)
        .unwrap()
        .to_json(&Subject::new(&event))
}

fn compile_error(text: &str) -> String {
    Expression::compile(text).unwrap_err().to_string()
}

#[test]
fn a_condition_holds_of_the_event_as_cel_has_it() {
    for text in [
        r#"event.type.startsWith("v2.") && event.data.q in ["Sales", "Support"]"#,
        r#"event.source == "genesys" && event.key == 'c-1'"#,
        r#"event.headers["x-one"] == "1" && !has(event.headers.x)"#,
        r#"event.time == "2026-01-02T03:04:05.678Z""#,
        "timestamp(event.time).getHours() == 3 && timestamp(event.time).getDayOfWeek() == 5",
        r#"timestamp(event.time) - timestamp("2026-01-02T03:00:00Z") > duration("4m")"#,
        r#"event.id.startsWith("evt_")"#,
        r#"event["data"]["who"].name == "Ann""#,
        "event.data.n == 5.0 && event.data.f > 2 && event.data.n < 5u + 1u",
        "event.data.big == 18446744073709551615u",
        "event.data.nothing == null",
        r#"event.data.parts.exists(p, p.purpose == "customer")"#,
        "event.data.tags.all(t, size(t) == 1) && size(event.data.tags) == 3",
        r#"event.data.tags.exists_one(t, t == "b")"#,
        r#"event.data.tags.map(t, t + "x") == ["ax", "bx", "cx"]"#,
        r#"event.data.tags.filter(t, t != "b").map(t, t == "c", t) == ["c"]"#,
        r#""id" in event.data.who && !("x" in event.data.who)"#,
        "event.data.who.all(k, size(k) > 1)",
        "has(event.data.who.id) && !has(event.data.who.x) && !has(event.data.no.where)",
        "event.data.yes ? true : event.data.no",
        "event.data.no == 1 || true",
        "!(event.data.no == 1 && false)",
        r#"event.data.tags.join("-") == "a-b-c" && " x ".trim() == "x""#,
        r#""a,b".split(",")[1] == "b" && "aXa".replace("X", "").upperAscii() == "AA""#,
        r#"int("7") + 1 == 8 && string(1.5) == "1.5" && double(2) / 4.0 == 0.5 && -7 % 3 == -1"#,
        r#""\u00e9" == "é" && r'\n' == "\\n" && b'\377' == b'\xff' && '''a'b''' == "a'b""#,
        "0x10 == 16 && 1e3 == 1000 && .5 < 1.0 // and so on",
        "-9223372036854775808 < 0",
    ] {
        assert_eq!(truth(text), Ok(Truth::True), "{text}");
    }
}

#[test]
fn a_field_that_is_not_there_is_missing_and_named() {
    for (text, path) in [
        (r#"event.data.no == "x""#, "event.data.no"),
        ("event.data.who.x.y > 1", "event.data.who.x"),
        ("event.data.q.x == 1", "event.data.q.x"),
        ("event.data.nothing.x == 1", "event.data.nothing.x"),
        ("event.data.tags[3] == 'd'", "event.data.tags[3]"),
        ("event.data.tags[-1] == 'd'", "event.data.tags[-1]"),
        (
            r#"event.headers["x-two"] == "1""#,
            "event.headers[\"x-two\"]",
        ),
        ("event.data.no && true", "event.data.no"),
        ("event.data.parts.all(p, p.wait > 1)", "….wait"),
    ] {
        assert_eq!(truth(text), Ok(Truth::Missing(path.into())), "{text}");
        assert_eq!(
            made(text),
            Err(EvaluationError::Missing(path.into())),
            "{text}"
        );
    }
}

#[test]
fn a_body_that_is_no_json_has_no_data() {
    let event = event("<xml/>");
    let subject = Subject::new(&event);
    let is = |text| {
        Expression::compile(text)
            .unwrap()
            .is_true(&subject)
            .unwrap()
    };
    assert_eq!(is("event.data == null && !has(event.data)"), Truth::True);
    assert_eq!(
        is("event.data.q == 1"),
        Truth::Missing("event.data.q".into())
    );
}

#[test]
fn a_body_is_made_of_any_value() {
    for (text, json) in [
        (
            r#"{"id": event.data.who.id, "tags": event.data.tags, "n": event.data.n + 1}"#,
            json!({"id": "7", "tags": ["a", "b", "c"], "n": 6}),
        ),
        ("event.data.who", json!({"id": "7", "name": "Ann"})),
        ("event.key", json!("c-1")),
        ("event.headers", json!({"x-one": "1"})),
        (
            "{1: 'a', 2u: 'b', true: 'c'}",
            json!({"1": "a", "2": "b", "true": "c"}),
        ),
        (
            "[event.data.big, -1, 1.5, null]",
            json!([u64::MAX, -1, 1.5, null]),
        ),
        ("b'\\xff\\x00'", json!("/wA=")),
        ("timestamp(event.time)", json!("2026-01-02T03:04:05.678Z")),
        (
            "duration('1h') + duration('-1500ms')",
            json!("3598.500s")
                .as_str()
                .map(|_| json!("3598.5s"))
                .unwrap(),
        ),
        (
            "[1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0]",
            json!(["Infinity", "-Infinity", "NaN"]),
        ),
        ("event.data.tags + ['d']", json!(["a", "b", "c", "d"])),
    ] {
        assert_eq!(made(text), Ok(json), "{text}");
    }
    let whole = made("event").unwrap();
    assert_eq!(whole["data"], serde_json::from_str::<Value>(BODY).unwrap());
    assert_eq!(whole["type"], "v2.conversations.end");
}

#[test]
fn what_does_not_compile_is_named_with_its_place() {
    for (text, says) in [
        ("", "the end where a value should stand (line 1, column 1)"),
        ("event.data.q = 'x'", "`=` (to compare, write `==`)"),
        ("event.data.q == 'x", "does not end (line 1, column 17)"),
        ("event.dat.q", "an event has no `dat`; it has type, source"),
        (
            "data.q == 1",
            "there is no `data`; an expression begins at `event`",
        ),
        (
            "event.data.q.matches('a+')",
            "regular expressions are not supported",
        ),
        ("event.data.q.startWith('a')", "did you mean `startsWith`?"),
        ("event.data.q.contains()", "takes 1 arguments, not 0"),
        ("startsWith(event.type, 'a')", "write `x.startsWith(…)`"),
        ("event.data.tags.all(t)", "`,`"),
        (
            "event.data.tags.all(t, true, false)",
            "takes a variable and an expression",
        ),
        ("event.data.tags.all(event, true)", "cannot be a variable"),
        ("has(event.data.tags[0])", "`has` takes a field"),
        ("9223372036854775808", "an int lies between"),
        ("1x", "cannot follow a number"),
        ("'\\q'", "escape stands for nothing"),
        (
            "event.data.a\n  && # b",
            "`#` stands for nothing here (line 2, column 6)",
        ),
        (
            "event.data.q == 'a' 'b'",
            "a string where an operator or the end",
        ),
        ("event.type{}", "`{` where an operator"),
    ] {
        let error = compile_error(text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn what_does_not_work_is_an_error_and_no_match() {
    for (text, says) in [
        (
            "event.data.q > 5",
            "`>` does not join string \"Sales\" and int 5 (line 1, column 14)",
        ),
        (
            "event.data.n / 2.0 > 1.0",
            "make both the same with `int(…)` or `double(…)`",
        ),
        ("event.data.n / 0 == 1", "overflows or divides by zero"),
        ("9223372036854775807 + 1 > 0", "overflows"),
        ("-event.data.q == 'x'", "`-` does not take string"),
        (
            "event.data.q && true",
            "`&&` needs a bool here and found string",
        ),
        ("event.data.q", "the condition is string \"Sales\""),
        (
            "int(event.data.q) == 1",
            "`int` does not take string \"Sales\"",
        ),
        (
            "event.data.n.all(x, true)",
            "only a list or map can be passed over",
        ),
        ("{'a': 1, 'a': 2} == null", "the key string \"a\" twice"),
        ("{null: 1} == null", "cannot be the key"),
        ("size(5) == 1", "`size` does not take int 5"),
    ] {
        let error = truth(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn no_error_shows_more_than_a_hundred_characters_of_a_value() {
    let long = "ü".repeat(5000);
    let event = event(&json!({"long": long}).to_string());
    for text in [
        "event.data.long > 1",
        "event.data.long",
        "int(event.data.long) == 1",
    ] {
        let expression = Expression::compile(text).unwrap();
        let error = expression.is_true(&Subject::new(&event)).unwrap_err();
        assert!(error.to_string().chars().count() < 200, "{error}");
    }
    assert!(compile_error(&format!("event.{}", "a".repeat(5000))).len() < 500);
}

#[test]
fn nesting_and_chains_are_bounded_before_they_can_fill_the_stack() {
    let repeat = |text: &str| text.repeat(8192 / text.len() - 1);
    for text in [
        "(", "[", "{", "!", "-", "[[", "1?", "1?1:", "f(", "event[", "{1:", "a.map(x,", "has(",
    ] {
        compile_error(&repeat(text));
    }
    for link in [".a", "[0]", " + 1", ".trim()"] {
        let error = compile_error(&format!("event.data{}", repeat(link).get(..8000).unwrap()));
        assert!(error.contains("chains more than"), "{link}: {error}");
    }
    let parens = |count| format!("{}1{}", "(".repeat(count), ")".repeat(count));
    assert!(compile_error(&parens(49)).contains("nests more than 48"));
    assert!(Expression::compile(&parens(48)).is_ok());
    assert!(Expression::compile(&vec!["event.data.q == 'x'"; 300].join(" || ")).is_ok());
    assert!(compile_error(&"1".repeat(8193)).contains("8193 bytes, and may have at most 8192"));
}

#[test]
fn comprehensions_are_bounded_in_number_and_depth() {
    let deep = "[1].all(a, [1].all(b, [1].all(c, true)))";
    assert!(Expression::compile(deep).is_ok());
    assert!(
        compile_error("[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))")
            .contains("at most 32")
    );
    assert!(compile_error(&["[1].all(a, true)"; 33].join("&&")).contains("at most 32"));
}

#[test]
fn too_much_work_memory_or_output_ends_in_an_error_that_nothing_forgives() {
    let many = event(&json!({"l": vec![1; 1000], "s": "x".repeat(3_000_000)}).to_string());
    let subject = Subject::new(&many);
    let made = |text: &str| Expression::compile(text).unwrap().to_json(&subject);
    let cubic = "event.data.l.all(a, event.data.l.all(b, event.data.l.all(c, c > 0)))";
    for (text, error) in [
        (cubic.to_owned(), EvaluationError::Steps),
        (format!("{cubic} || true"), EvaluationError::Steps),
        (format!("false && true || {cubic}"), EvaluationError::Steps),
        (
            "event.data.s + event.data.s + event.data.s".into(),
            EvaluationError::Memory,
        ),
        (
            "event.data.l.map(x, event.data.s + 'x').size() > 0 || true".into(),
            EvaluationError::Memory,
        ),
        ("event.data.s.split('')".into(), EvaluationError::Memory),
        (
            "event.data.s.replace('x', 'xxxx')".into(),
            EvaluationError::Memory,
        ),
        ("event.data.s".into(), EvaluationError::Output),
        (
            "event.data.l.map(x, event.data.l)".into(),
            EvaluationError::Output,
        ),
        (
            format!("[{}]", vec!["event"; 1000].join(",")),
            EvaluationError::Output,
        ),
    ] {
        assert_eq!(made(&text), Err(error), "{text:.80}");
    }
    assert_eq!(made("size(event.data.s)"), Ok(json!(3_000_000)));
}

#[test]
fn a_copy_is_equal_and_shows_its_text() {
    let expression = Expression::compile("event.key == null").unwrap();
    assert_eq!(expression.clone(), expression);
    assert_ne!(expression, Expression::compile("event.key == 'x'").unwrap());
    assert_eq!(
        format!("{expression:?}"),
        r#"Expression("event.key == null")"#
    );
}

/// Any JSON, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Pieces of the language in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "event",
        ".data",
        ".a",
        ".type",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "1",
        "0x",
        "2u",
        "1.5",
        "-",
        "!",
        "+",
        "*",
        "/",
        "%",
        "==",
        "<",
        ">=",
        "&&",
        "||",
        " in ",
        "'x'",
        "b'\\xff'",
        "\"",
        "'''",
        "\\u",
        "has(",
        ".all(x,",
        ".map(y,",
        "x",
        "y",
        "size(",
        ".split(",
        "null",
        "true",
        "duration(",
        "timestamp(",
        "int(",
        "//",
        "\n",
        "é",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_and_no_body_makes_it_panic(text in prop_oneof![soup(), ".{0,40}"], data in any_json()) {
        let event = event(&data.to_string());
        if let Ok(expression) = Expression::compile(&text) {
            let subject = Subject::new(&event);
            let _ = expression.is_true(&subject);
            let _ = expression.to_json(&subject);
        }
    }

    #[test]
    fn any_expression_evaluates_to_the_same_twice(text in oracle::expression(), data in any_json()) {
        let event = event(&data.to_string());
        let expression = Expression::compile(&text).unwrap();
        let once = expression.to_json(&Subject::new(&event));
        prop_assert_eq!(once, expression.to_json(&Subject::new(&event)));
    }

    #[test]
    fn the_whole_body_comes_out_as_it_went_in(data in any_json()) {
        let event = event(&data.to_string());
        let made = Expression::compile("event.data").unwrap().to_json(&Subject::new(&event));
        let read: Value = serde_json::from_str(&data.to_string()).unwrap();
        prop_assert_eq!(made, Ok(read));
    }
}
