//! JSON pointers (RFC 6901), parsed once and followed without allocation.
//!
//! A pointer says where a rule finds something in a body: the event type, an ordering key, an id, the
//! value of a header. It decides nothing about what is there. A pointer comes from the configuration,
//! so its length is bounded by that of the file.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// A parsed JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// Text that is no JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a JSON pointer: it must be empty or start with `/`, and `~` must be followed by 0 or 1"
)]
pub struct PointerError(pub String);

impl Pointer {
    /// Reads a pointer; the empty text points at the whole document.
    ///
    /// # Errors
    /// When `text` is not a pointer after RFC 6901.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.strip_prefix('/')
            .and_then(|rest| rest.split('/').map(unescape).collect())
            .map(Self)
            .ok_or_else(|| PointerError(text.into()))
    }

    /// The value it points at.
    #[must_use]
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, token| match value {
            Value::Object(members) => members.get(token),
            Value::Array(items) => items.get(index(token)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// The text of the string, number or boolean it points at; `None` for anything else.
    #[must_use]
    pub fn text<'v>(&self, value: &'v Value) -> Option<Cow<'v, str>> {
        match self.find(value)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(true) => Some(Cow::Borrowed("true")),
            Value::Bool(false) => Some(Cow::Borrowed("false")),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

/// One reference token without its escapes.
fn unescape(token: &str) -> Option<String> {
    let mut plain = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

/// An array index: digits, without a leading zero. `-` (after the last element) never exists.
fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit());
    let zero_led = token.len() > 1 && token.starts_with('0');
    if plain && !zero_led {
        token.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_rfc_6901_point_where_it_says() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4,
            "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8
        });
        for (text, found) in [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.find(&document), Some(&found), "{text}");
            assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["a", "a/b", "/~", "/~2", "/a~", "#/a", " /a"] {
            assert_eq!(
                Pointer::parse(text),
                Err(PointerError(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn an_index_is_digits_without_a_leading_zero() {
        let document = json!({"a": ["x", "y"], "o": {"01": "named"}});
        let at = |text| Pointer::parse(text).unwrap().find(&document).cloned();
        assert_eq!(at("/a/1"), Some(json!("y")));
        for text in [
            "/a/01",
            "/a/+1",
            "/a/-",
            "/a/-1",
            "/a/2",
            "/a/",
            "/a/1/x",
            "/a/99999999999999999999",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        assert_eq!(at("/o/01"), Some(json!("named")));
    }

    #[test]
    fn only_strings_numbers_and_booleans_have_text() {
        let document = json!({"s": "x", "n": 7, "f": 1.5, "b": true, "z": null, "a": [], "o": {}});
        let text = |at| {
            Pointer::parse(at)
                .unwrap()
                .text(&document)
                .map(Cow::into_owned)
        };
        assert_eq!(text("/s").as_deref(), Some("x"));
        assert_eq!(text("/n").as_deref(), Some("7"));
        assert_eq!(text("/f").as_deref(), Some("1.5"));
        assert_eq!(text("/b").as_deref(), Some("true"));
        for at in ["/z", "/a", "/o", "/missing", ""] {
            assert_eq!(text(at), None, "{at}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_member_is_found_by_the_pointer_made_of_its_names(names in prop::collection::vec("[a-z~/0-9]{0,4}", 0..5)) {
            let document = names.iter().rev().fold(json!("leaf"), |inner, name| json!({ name: inner }));
            let pointer = Pointer::parse(&Pointer(names).to_string()).unwrap();
            prop_assert_eq!(pointer.find(&document), Some(&json!("leaf")));
        }
    }
}
