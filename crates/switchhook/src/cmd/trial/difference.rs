//! Where two JSON values differ, line by line: `-` was expected, `+` is what came.
//!
//! A difference inside of objects and lists is shown with its JSON pointer, and only there. Bounds: [`LINES_MAX`]
//! lines of [`WIDTH`] characters; what is left out is counted.

use serde_json::Value;

use crate::output::cut;

/// Most lines of one difference: a screen has about twice as many.
const LINES_MAX: usize = 20;
/// Longest value that is shown, in characters.
const WIDTH: usize = 160;

/// The lines for what is different between `expected` and `found`.
pub(super) fn lines(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", Some(expected), Some(found), &mut lines);
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {more} lines more"));
    }
    lines
}

fn walk(at: &str, expected: Option<&Value>, found: Option<&Value>, lines: &mut Vec<String>) {
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            for (name, value) in expected {
                walk(&below(at, name), Some(value), found.get(name), lines);
            }
            let more = found
                .iter()
                .filter(|(name, _)| !expected.contains_key(*name));
            for (name, value) in more {
                walk(&below(at, name), None, Some(value), lines);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found)))
            if expected.len() == found.len() && !at.is_empty() =>
        {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                walk(
                    &below(at, &index.to_string()),
                    Some(expected),
                    Some(found),
                    lines,
                );
            }
        }
        (expected, found) if expected != found => {
            for (mark, value) in [('-', expected), ('+', found)] {
                lines.extend(value.map(|value| line(mark, at, value)));
            }
        }
        _ => {}
    }
}

fn line(mark: char, at: &str, value: &Value) -> String {
    let space = if at.is_empty() { "" } else { "  " };
    format!("{mark} {at}{space}{}", cut(&value.to_string(), WIDTH))
}

fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_its_place() {
        for (expected, found, shown) in [
            (json!("a"), json!("b"), vec!["- \"a\"", "+ \"b\""]),
            (json!(["a"]), json!([]), vec!["- [\"a\"]", "+ []"]),
            (
                json!({"a": 1, "b": {"c/d": [1, 2]}, "gone": null}),
                json!({"a": 1, "b": {"c/d": [1, 3]}, "new": "x"}),
                vec![
                    "- /b/c~1d/1  2",
                    "+ /b/c~1d/1  3",
                    "- /gone  null",
                    "+ /new  \"x\"",
                ],
            ),
            (json!({"a": [1]}), json!({"a": [1]}), vec![]),
        ] {
            assert_eq!(lines(&expected, &found), shown);
        }
    }

    #[test]
    fn a_long_difference_ends_with_a_count() {
        let expected: Value = (0..30).map(|n| (n.to_string(), json!(n))).collect();
        let shown = lines(&expected, &json!({}));
        assert_eq!(shown.len(), LINES_MAX + 1);
        assert_eq!(shown[LINES_MAX], "… and 10 lines more");
    }
}
