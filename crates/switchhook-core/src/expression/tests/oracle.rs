//! The evaluator against the `cel` crate: random expressions come to the same in both.
//!
//! Left out are the places where they differ: fields that are missing, and what `call` and `evaluate` say
//! beyond the language. The crate lets a map be added to a list, which the language does not.

use cel::objects::{Key as CelKey, Map as CelMap};
use cel::{Context, Program, Value as CelValue};

use super::*;

/// Expressions over `event.data`, most of which make sense.
pub(super) fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "event.data.q",
        "event.data.n",
        "event.data.f",
        "event.data.tags",
        "event.data.who",
        "event.data.yes",
        "event.data.nothing",
        "event.type",
        "0",
        "1",
        "-3",
        "7",
        "2u",
        "1.5",
        "-0.5",
        "true",
        "false",
        "null",
        "'a'",
        "'Sales'",
        "\"\\u00e9\"",
        "[]",
        "[1, 2.0, 3u]",
        "['a', 'b']",
        "{'a': 1}",
        "{1: 'x'}",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(4, 24, 3, |inner| {
            let operator = prop::sample::select(vec![
                "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in",
            ]);
            let call = prop::sample::select(vec![
                "size(X)",
                "!X",
                "-(X)",
                "int(X)",
                "double(X)",
                "string(X)",
                "X.startsWith('S')",
                "X.contains('a')",
                "X.all(v, v == 'a')",
                "X.exists(v, v == 'a')",
                "X.map(v, [v])",
                "X.filter(v, v != 'a')",
                "X.exists_one(v, v == 'b')",
                "X.map(v, v == 1, v)",
                "[X]",
                "{'k': X}",
                "X == X",
            ]);
            prop_oneof![
                (inner.clone(), operator, inner.clone())
                    .prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
                (call, inner.clone()).prop_map(|(call, x)| call.replace('X', &format!("({x})"))),
                (inner.clone(), inner.clone(), inner)
                    .prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            ]
        })
}

/// A JSON value as the crate holds it, with whole numbers as `int`.
fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap().into(),
        },
        Value::String(text) => text.clone().into(),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (CelKey::from(name.clone()), to_cel(value)));
            CelValue::Map(CelMap {
                map: Arc::new(members.collect()),
            })
        }
    }
}

/// The body, with no map of more than one member: the crate passes over those in any order.
fn data() -> Value {
    let mut data: Value = serde_json::from_str(BODY).unwrap();
    data["who"] = json!({"id": "7"});
    data
}

/// What the crate makes of `text`, or `None` where it fails.
fn theirs(text: &str) -> Option<Value> {
    let mut context = Context::default();
    let event = json!({"type": "v2.conversations.end", "data": data()});
    context.add_variable_from_value("event", to_cel(&event));
    Program::compile(text)
        .unwrap()
        .execute(&context)
        .ok()?
        .json()
        .ok()
}

/// What we make of it.
fn ours(text: &str) -> Option<Value> {
    let event = event(&data().to_string());
    let expression = Expression::compile(text).unwrap();
    expression.to_json(&Subject::new(&event)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_comes_to_what_the_cel_crate_comes_to(text in expression()) {
        let (ours, theirs) = (ours(&text), theirs(&text));
        let adds_map = text.contains('+') && text.contains(['{', 'w']);
        if !(adds_map && ours.is_none()) {
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
