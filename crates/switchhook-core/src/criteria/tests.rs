use super::*;
use proptest::prelude::*;
use serde_json::json;

fn criterion(path: &str, operator: &str, value: Value) -> Criterion {
    match (operator, value) {
        ("In" | "NotIn" | "All", Value::Array(values)) => {
            Criterion::compile(path, operator, None, Some(values)).unwrap()
        }
        (_, value) => Criterion::compile(path, operator, Some(value), None).unwrap(),
    }
}

fn body() -> Value {
    json!({
        "q": "Sales", "n": 5, "f": 5.0, "null": null, "yes": true, "tags": ["a", "b", 3],
        "who": {"id": "7", "na.me": "x"},
        "parts": [{"purpose": "agent", "wait": 3}, {"purpose": "customer", "wait": 30}]
    })
}

#[test]
fn each_operator_holds_where_its_row_says() {
    for (path, operator, value, holds) in [
        ("$.q", "Equal", json!("Sales"), true),
        ("$.q", "Equal", json!("sales"), false),
        ("n", "Equal", json!(5.0), true),
        ("f", "Equal", json!(5), true),
        ("n", "Equal", json!("5"), false),
        ("null", "Equal", json!(null), true),
        ("who", "Equal", json!({"na.me": "x", "id": "7"}), true),
        ("q", "NotEqual", json!("x"), true),
        ("q", "NotEqual", json!("Sales"), false),
        ("n", "NotEqual", json!("5"), true),
        ("n", "GreaterThan", json!(4.5), true),
        ("n", "GreaterThan", json!(5), false),
        ("n", "GreaterThanOrEqual", json!(5), true),
        ("n", "LessThan", json!(6), true),
        ("n", "LessThan", json!(5), false),
        ("n", "LessThanOrEqual", json!(5), true),
        ("n", "GreaterThan", json!("4"), false),
        ("q", "GreaterThan", json!("Rales"), true),
        ("q", "LessThan", json!("Rales"), false),
        ("yes", "GreaterThan", json!(0), false),
        ("q", "In", json!(["Support", "Sales"]), true),
        ("q", "In", json!(["Support"]), false),
        ("q", "NotIn", json!(["Support"]), true),
        ("q", "NotIn", json!(["Support", "Sales"]), false),
        ("q", "Contains", json!("ale"), true),
        ("q", "Contains", json!("x"), false),
        ("tags", "Contains", json!(3.0), true),
        ("tags", "Contains", json!("c"), false),
        ("n", "Contains", json!(5), false),
        ("tags", "All", json!(["b", "a"]), true),
        ("tags", "All", json!(["b", "c"]), false),
        ("q", "All", json!(["Sales"]), false),
        ("q", "Exists", json!(true), true),
        ("q", "Exists", json!(false), false),
        ("null", "Exists", json!(true), true),
        ("tags", "Size", json!(3), true),
        ("tags", "Size", json!("3"), true),
        ("q", "Size", json!(5), true),
        ("who", "Size", json!(2), true),
        ("n", "Size", json!(5), false),
    ] {
        let found = criterion(path, operator, value.clone()).matches(&body());
        assert_eq!(found, holds, "{path} {operator} {value}");
    }
}

#[test]
fn a_missing_path_holds_only_for_exists_false() {
    for path in [
        "$.no",
        "q.x",
        "tags[9]",
        "tags.a",
        "parts[*].no",
        "q[*]",
        "n[0]",
    ] {
        for operator in OPERATORS {
            let value = match operator {
                "In" | "NotIn" | "All" => json!(["x"]),
                "Exists" => json!(true),
                _ => json!(1),
            };
            let criterion = criterion(path, operator, value);
            assert!(!criterion.matches(&body()), "{path} {operator}");
        }
        assert!(
            criterion(path, "Exists", json!(false)).matches(&body()),
            "{path}"
        );
    }
}

#[test]
fn a_star_asks_for_one_item_and_a_negation_for_all() {
    for (operator, value, holds) in [
        ("Equal", json!("agent"), true),
        ("Equal", json!("acd"), false),
        ("NotEqual", json!("agent"), false),
        ("NotEqual", json!("acd"), true),
        ("NotIn", json!(["acd", "customer"]), false),
        ("In", json!(["acd", "customer"]), true),
    ] {
        let criterion = criterion("$.parts[*].purpose", operator, value.clone());
        assert_eq!(criterion.matches(&body()), holds, "{operator} {value}");
    }
    assert!(criterion("parts[*].wait", "GreaterThan", json!(20)).matches(&body()));
}

#[test]
fn paths_reach_names_quoted_names_items_and_the_whole_body() {
    for (path, found) in [
        ("$", body()),
        ("$.who.id", json!("7")),
        ("who.id", json!("7")),
        ("$['who']['na.me']", json!("x")),
        ("$.who[\"na.me\"]", json!("x")),
        ("$.parts[1].wait", json!(30)),
        ("parts[0]['purpose']", json!("agent")),
    ] {
        assert_eq!(
            Path::parse(path).unwrap().find(&body()),
            Some(&found),
            "{path}"
        );
        assert!(criterion(path, "Equal", found).matches(&body()), "{path}");
    }
}

#[test]
fn what_is_not_supported_is_refused_with_the_reason() {
    for (path, says) in [
        ("", "empty"),
        ("$..q", "recursive descent"),
        ("$.parts[?(@.wait > 3)]", "filters"),
        ("$.parts[(@.length-1)]", "scripts"),
        ("$.parts[0:2]", "slices"),
        ("$.parts[0,1]", "unions"),
        ("$.parts[-1]", "brackets"),
        ("$.parts[", "brackets"),
        ("$.parts['x]", "brackets"),
        ("$q", "is no path"),
        ("$.", "is no path"),
        ("a b", "is no path"),
        ("$.*", "is no path"),
        (&"a.".repeat(300), "at most 512"),
        (&format!("a{}", ".b".repeat(16)), "16 steps"),
    ] {
        let error = Criterion::compile(path, "Exists", None, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{path}: {error}");
    }
}

#[test]
fn an_operator_takes_only_its_own_values() {
    let compile = |operator, value, values| {
        Criterion::compile("$.a", operator, value, values).map_err(|error| error.to_string())
    };
    for (operator, value, values, says) in [
        ("Like", Some(json!(1)), None, "unknown operator `Like`"),
        ("equal", Some(json!(1)), None, "unknown operator"),
        ("Equal", None, None, "needs `value`"),
        ("Equal", None, Some(vec![json!(1)]), "needs `value`"),
        ("Equal", Some(json!(1)), Some(vec![json!(1)]), "not both"),
        ("In", Some(json!(1)), None, "needs `values`"),
        ("In", None, Some(vec![]), "at least one"),
        ("In", None, Some(vec![json!(1); 101]), "at most 100"),
        ("LessThan", Some(json!(true)), None, "a number or text"),
        ("Exists", Some(json!("maybe")), None, "true or false"),
        ("Size", Some(json!(-1)), None, "whole number"),
    ] {
        let error = compile(operator, value, values).unwrap_err();
        assert!(error.contains(says), "{operator}: {error}");
    }
    assert!(compile("Exists", None, None).is_ok());
    assert!(compile("In", Some(json!(["a"])), None).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(path in ".{0,60}", dense in "[$.a0'\"*?@()\\[\\]]{0,24}") {
        let _ = Criterion::compile(&path, "Exists", None, None);
        let _ = Criterion::compile(&dense, "Exists", None, None);
    }

    #[test]
    fn not_in_is_the_opposite_of_in_wherever_something_is_found(n in -3_i64..3, values in prop::collection::vec(-3_i64..3, 1..4)) {
        let body = json!({"n": n});
        let values = json!(values);
        let is_in = criterion("n", "In", values.clone()).matches(&body);
        prop_assert_eq!(is_in, !criterion("n", "NotIn", values).matches(&body));
    }
}
