//! Which event types a subscription takes.
//!
//! A pattern is an exact name, a template in which `{anything}` stands for exactly one dot-separated
//! segment, `prefix.*` for that prefix and one or more further segments, or `*` for every type.
//! Templates are written the way Genesys Cloud writes its topics (`v2.routing.queues.{id}.users`); a
//! type that carries a literal `{id}` matches them too. An alias ([`crate::topic::targets`]) takes itself and
//! every topic it stands for.
//!
//! Matching compares text with text: no allocation, no backtracking, at most one pass over the type, and with an
//! alias one for each of its topics, of which there are at most ten.

use std::fmt;
use std::sync::Arc;

use crate::topic;

/// Longest event type and longest pattern, in bytes. Genesys topics stay under 120.
pub const KIND_BYTES_MAX: usize = 256;

/// A checked pattern for event types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern {
    text: Arc<str>,
    shape: Shape,
}

/// How the text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `*`
    All,
    /// No `{…}` and no `*`.
    Exact,
    /// Segment by segment.
    Segments,
    /// An alias: its own text, or one of these, segment by segment.
    Alias(&'static [&'static str]),
}

/// Text that is no pattern for event types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypePatternError {
    /// Nothing was given.
    #[error("an event type pattern must not be empty; `*` takes every type")]
    Empty,
    /// Longer than any type can be.
    #[error(
        "an event type pattern of {0} bytes matches nothing: types have at most {KIND_BYTES_MAX}"
    )]
    TooLong(usize),
    /// Control characters never stand in a type.
    #[error("event type pattern {0:?} holds a control character, which no type does")]
    Control(String),
    /// A `*` that is neither everything nor the last segment.
    #[error(
        "event type pattern `{0}`: `*` may only stand alone or as the last segment (`prefix.*`)"
    )]
    Star(String),
    /// Braces that do not enclose one whole segment.
    #[error(
        "event type pattern `{0}`: `{{` and `}}` must enclose one whole segment, as in `a.{{id}}.b`"
    )]
    Braces(String),
}

impl TypePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When `text` is empty, too long, or has `*` or braces where they mean nothing.
    pub fn parse(text: &str) -> Result<Self, TypePatternError> {
        if text.is_empty() {
            return Err(TypePatternError::Empty);
        }
        if text.len() > KIND_BYTES_MAX {
            return Err(TypePatternError::TooLong(text.len()));
        }
        if text.contains(char::is_control) {
            return Err(TypePatternError::Control(text.into()));
        }
        let shape = match text {
            "*" => Shape::All,
            _ if text.contains(['*', '{', '}']) => Shape::Segments,
            _ => topic::targets(text).map_or(Shape::Exact, Shape::Alias),
        };
        if shape == Shape::Segments {
            let stem = text.strip_suffix(".*").unwrap_or(text);
            if stem.contains('*') {
                return Err(TypePatternError::Star(text.into()));
            }
            if !stem
                .split('.')
                .all(|segment| is_any(segment) || !segment.contains(['{', '}']))
            {
                return Err(TypePatternError::Braces(text.into()));
            }
        }
        Ok(Self {
            text: text.into(),
            shape,
        })
    }

    /// Whether the event type `kind` fits.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        match self.shape {
            Shape::All => true,
            Shape::Exact => *self.text == *kind,
            Shape::Segments => matches_segments(&self.text, kind),
            Shape::Alias(targets) => {
                *self.text == *kind || targets.iter().any(|target| matches_segments(target, kind))
            }
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `segment` is `{name}`: it stands for any one segment.
pub(crate) fn is_any(segment: &str) -> bool {
    segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
}

fn matches_segments(pattern: &str, kind: &str) -> bool {
    let mut kinds = kind.split('.');
    for segment in pattern.split('.') {
        let Some(given) = kinds.next() else {
            return false;
        };
        match segment {
            "*" => return true,
            _ if segment == given || is_any(segment) => {}
            _ => return false,
        }
    }
    kinds.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_takes_what_it_says_and_nothing_else() {
        let conversation = "v2.detail.events.conversation.{id}.customer.end";
        for (pattern, kind, taken) in [
            ("*", "", true),
            ("*", "anything.at.all", true),
            ("order.paid", "order.paid", true),
            ("order.paid", "order.paid.twice", false),
            ("order.paid", "Order.paid", false),
            ("order.paid", "order", false),
            (
                conversation,
                "v2.detail.events.conversation.7e1a-0f.customer.end",
                true,
            ),
            (conversation, conversation, true),
            (
                conversation,
                "v2.detail.events.conversation.a.b.customer.end",
                false,
            ),
            (
                conversation,
                "v2.detail.events.conversation.a.customer",
                false,
            ),
            (
                conversation,
                "v2.detail.events.conversation.a.agent.end",
                false,
            ),
            ("{any}", "x", true),
            ("{any}", "x.y", false),
            ("v2.users.*", "v2.users.1", true),
            ("v2.users.*", "v2.users.1.presence", true),
            ("v2.users.*", "v2.users", false),
            ("v2.users.*", "v2.usersx.1", false),
            ("v2.{id}.*", "v2.a.b", true),
            ("v2.{id}.*", "v2.a", false),
            ("v2.{id}.*", "v3.a.b", false),
            ("a:b?c=d", "a:b?c=d", true),
        ] {
            let parsed = TypePattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(kind), taken, "{pattern} on {kind}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn an_alias_takes_itself_and_every_topic_it_stands_for() {
        let alias = TypePattern::parse("routing.queue.conversation.updated").unwrap();
        for (kind, taken) in [
            ("routing.queue.conversation.updated", true),
            ("v2.routing.queues.{id}.conversations", true),
            ("v2.routing.queues.7e1a-0f.conversations", true),
            ("v2.routing.queues.7e1a-0f.conversations.messages", true),
            ("v2.routing.queues.7e1a-0f.users", false),
            ("v2.users.7e1a-0f.conversations", false),
            ("routing.queue.conversation.created", false),
            ("routing.queue.conversation.updated.twice", false),
        ] {
            assert_eq!(alias.matches(kind), taken, "{kind}");
        }
        assert_eq!(alias.to_string(), "routing.queue.conversation.updated");
        for entry in topic::all() {
            let pattern = TypePattern::parse(entry.id).unwrap();
            assert!(pattern.matches(entry.id), "{entry:?}");
            for target in topic::targets(entry.id).unwrap_or_default() {
                assert!(
                    pattern.matches(&target.replace("{id}", "7e1a-0f")),
                    "{target}"
                );
            }
        }
    }

    #[test]
    fn a_wildcard_over_aliases_takes_no_topic_they_stand_for() {
        let wildcard = TypePattern::parse("routing.queue.*").unwrap();
        assert!(wildcard.matches("routing.queue.member.update"));
        assert!(!wildcard.matches("v2.routing.queues.7e1a-0f.users"));
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_reason() {
        use TypePatternError as E;
        let star = |text: &str| E::Star(text.into());
        let braces = |text: &str| E::Braces(text.into());
        for (text, error) in [
            ("", E::Empty),
            ("a\nb", E::Control("a\nb".into())),
            ("a*", star("a*")),
            ("*.a", star("*.a")),
            ("a.*.b", star("a.*.b")),
            ("a.**", star("a.**")),
            ("*.*", star("*.*")),
            ("a.{id", braces("a.{id")),
            ("a.id}", braces("a.id}")),
            ("a.{}", braces("a.{}")),
            ("a.{{id}}", braces("a.{{id}}")),
            ("a.x{id}", braces("a.x{id}")),
            ("a.{id}x", braces("a.{id}x")),
            ("a.{b.c}", braces("a.{b.c}")),
        ] {
            assert_eq!(TypePattern::parse(text), Err(error), "{text}");
        }
        assert!(TypePattern::parse(&"a".repeat(KIND_BYTES_MAX)).is_ok());
        let long = "a".repeat(KIND_BYTES_MAX + 1);
        assert_eq!(
            TypePattern::parse(&long),
            Err(E::TooLong(KIND_BYTES_MAX + 1))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_template_takes_its_own_filling_and_no_other_length(
            segments in prop::collection::vec("[a-z]{1,3}", 1..6),
            at in any::<prop::sample::Index>(),
            filling in "[^.]{0,8}",
        ) {
            let at = at.index(segments.len());
            let with = |text: &str| {
                let mut all = segments.clone();
                all[at] = text.to_owned();
                all.join(".")
            };
            let pattern = TypePattern::parse(&with("{x}")).unwrap();
            prop_assert!(pattern.matches(&with(&filling)));
            let longer = format!("{}.more", with(&filling));
            prop_assert!(!pattern.matches(&longer));
            let open = TypePattern::parse(&format!("{}.*", with("{x}"))).unwrap();
            prop_assert!(open.matches(&longer));
            prop_assert!(!open.matches(&with(&filling)));
        }
    }
}
