//! The values an expression works with.
//!
//! What comes from the event or from the text of the expression is borrowed; what an operation makes is
//! shared. So to copy a value never copies what it holds, however large the body is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::number::Number;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Term<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    Bytes(Arc<[u8]>),
    /// A list of the body.
    Array(&'a [Value]),
    /// A list that was made.
    List(Arc<[Self]>),
    /// A map of the body.
    Object(&'a Map<String, Value>),
    /// A map that was made.
    Record(Arc<BTreeMap<Key<'a>, Self>>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
}

/// Text, borrowed or made.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Of(&'a str),
    Made(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Of(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

/// A key of a map. A number of any kind that is whole is the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Bool(bool),
    Whole(i128),
    Text(Text<'a>),
}

impl<'a> From<&'a Value> for Term<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Number(number) => number
                .as_i64()
                .map(Self::Int)
                .or_else(|| number.as_u64().map(Self::Uint))
                .unwrap_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN))),
            Value::String(text) => Self::text(text),
            Value::Array(items) => Self::Array(items),
            Value::Object(members) => Self::Object(members),
        }
    }
}

impl<'a> Term<'a> {
    /// Borrowed text.
    pub(super) const fn text(text: &'a str) -> Self {
        Self::Text(Text::Of(text))
    }

    /// Text that was made.
    pub(super) fn made(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text::Made(text.into()))
    }

    /// What CEL calls its type.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Array(_) | Self::List(_) => "list",
            Self::Object(_) | Self::Record(_) => "map",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
        }
    }

    /// The number it is.
    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Int(number) => Some(Number::Whole((*number).into())),
            Self::Uint(number) => Some(Number::Whole((*number).into())),
            Self::Double(number) => Some(Number::Double(*number)),
            Self::Null
            | Self::Bool(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Array(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Record(_)
            | Self::Timestamp(_)
            | Self::Duration(_) => None,
        }
    }

    /// The key it is in a map; a double only when it is whole.
    pub(super) fn key(&self) -> Option<Key<'a>> {
        match self {
            Self::Bool(bool) => Some(Key::Bool(*bool)),
            Self::Int(number) => Some(Key::Whole((*number).into())),
            Self::Uint(number) => Some(Key::Whole((*number).into())),
            Self::Double(number) if number.fract() == 0.0 && number.abs() < 1e19 => {
                #[expect(clippy::cast_possible_truncation, reason = "whole and below 1e19")]
                let whole = *number as i128;
                Some(Key::Whole(whole))
            }
            Self::Text(text) => Some(Key::Text(text.clone())),
            Self::Null
            | Self::Double(_)
            | Self::Bytes(_)
            | Self::Array(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Record(_)
            | Self::Timestamp(_)
            | Self::Duration(_) => None,
        }
    }

    /// How many items a list, or members a map has.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Array(items) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            Self::Object(members) => Some(members.len()),
            Self::Record(members) => Some(members.len()),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Timestamp(_)
            | Self::Duration(_) => None,
        }
    }

    /// Whether it is a map.
    pub(super) const fn is_map(&self) -> bool {
        matches!(self, Self::Object(_) | Self::Record(_))
    }

    /// Item `index` of a list.
    pub(super) fn item(&self, index: usize) -> Option<Self> {
        if let Self::Array(items) = self {
            return items.get(index).map(Self::from);
        }
        let Self::List(items) = self else {
            return None;
        };
        items.get(index).cloned()
    }

    /// The member of a map under `name`.
    pub(super) fn member(&self, name: &'a str) -> Option<Self> {
        if let Self::Object(members) = self {
            return members.get(name).map(Self::from);
        }
        self.at_key(&Key::Text(Text::Of(name)))
    }

    /// The member of a map under `key`.
    pub(super) fn at_key(&self, key: &Key<'a>) -> Option<Self> {
        if let (Self::Object(members), Key::Text(name)) = (self, key) {
            return members.get(&**name).map(Self::from);
        }
        let Self::Record(members) = self else {
            return None;
        };
        members.get(key).cloned()
    }

    /// What a comprehension passes over: the items of a list, or the keys of a map.
    pub(super) fn each(&self) -> Option<Each<'a>> {
        match self {
            Self::Array(items) => Some(Box::new(items.iter().map(Self::from))),
            Self::Object(members) => Some(Box::new(members.keys().map(|name| Self::text(name)))),
            Self::List(items) => {
                let items = Arc::clone(items);
                Some(Box::new(
                    (0..items.len()).filter_map(move |index| items.get(index).cloned()),
                ))
            }
            Self::Record(members) => {
                let keys: Vec<Self> = members.keys().map(Self::from).collect();
                Some(Box::new(keys.into_iter()))
            }
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Timestamp(_)
            | Self::Duration(_) => None,
        }
    }
}

/// The items of a list or the keys of a map, one after the other.
pub(super) type Each<'a> = Box<dyn Iterator<Item = Term<'a>> + 'a>;

impl<'a> From<&Key<'a>> for Term<'a> {
    fn from(key: &Key<'a>) -> Self {
        match key {
            Key::Bool(bool) => Self::Bool(*bool),
            Key::Whole(number) => i64::try_from(*number)
                .map(Self::Int)
                .or_else(|_| u64::try_from(*number).map(Self::Uint))
                .unwrap_or(Self::Null),
            Key::Text(text) => Self::Text(text.clone()),
        }
    }
}
