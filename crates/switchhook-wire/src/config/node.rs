//! A configuration as a tree, whatever it was written in: TOML with positions, or JSON without.
//!
//! The tree keeps every value as it was written. What the values mean is for [`super::read`] to say.

use std::ops::Range;
use std::str::FromStr;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes in the text that a value came from; `None` for JSON.
pub(super) type Span = Option<Range<usize>>;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

impl Node {
    /// The value of `key`, when this is a table that has it.
    pub(super) fn field(&self, key: &str) -> Option<&Self> {
        let field = self.fields().iter().find(|field| field.key == key)?;
        Some(&field.node)
    }

    /// The first thing in it that JSON does not have, in words.
    pub(super) fn no_json(&self) -> Option<&'static str> {
        match &self.value {
            Value::Other("null") => None,
            Value::Other(what) => Some(what),
            Value::Table(fields) => fields.iter().find_map(|field| field.node.no_json()),
            Value::Array(nodes) => nodes.iter().find_map(Self::no_json),
            Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Unfilled => None,
        }
    }

    /// The fields of a table; none when this is something else.
    pub(super) fn fields(&self) -> &[Field] {
        if let Value::Table(fields) = &self.value {
            fields
        } else {
            &[]
        }
    }
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Table(Vec<Field>),
    Array(Vec<Node>),
    Text(Text),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// Something that no key takes, in words.
    Other(&'static str),
    /// A string whose reference could not be filled. That has been reported; no more is said about it.
    Unfilled,
}

/// A string. One that was exactly one reference to the environment may stand for a number or a boolean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    /// A part of it came from the environment, so that it is not what the file says.
    pub(super) from_env: bool,
    /// All of it is one reference.
    pub(super) is_reference: bool,
}

/// A key of a table and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for messages.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Array(_) => "a list",
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "a boolean",
            Self::Other(what) => what,
            Self::Unfilled => "an unknown value",
        }
    }

    /// The number or boolean that a string stands for, when it was exactly one reference.
    pub(super) fn filled_in<T: FromStr>(&self) -> Option<T> {
        if let Self::Text(text) = self
            && text.is_reference
        {
            return text.text.parse().ok();
        }
        None
    }

    fn text(text: String) -> Self {
        Self::Text(Text {
            text,
            from_env: false,
            is_reference: false,
        })
    }
}

/// The tree of a TOML table.
pub(super) fn from_toml(table: &Spanned<DeTable<'_>>) -> Node {
    Node {
        span: Some(table.span()),
        value: toml_table(table.get_ref()),
    }
}

fn toml_table(table: &DeTable<'_>) -> Value {
    let fields = table.iter().map(|(key, value)| Field {
        key: key.get_ref().to_string(),
        key_span: Some(key.span()),
        node: Node {
            span: Some(value.span()),
            value: toml_value(value.get_ref()),
        },
    });
    Value::Table(fields.collect())
}

fn toml_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("an integer beyond 64 bits"), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map_or(Value::Other("a number that is not finite"), Value::Float),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| Node {
                    span: Some(item.span()),
                    value: toml_value(item.get_ref()),
                })
                .collect(),
        ),
        DeValue::Table(table) => toml_table(table),
    }
}

/// The tree of a JSON value.
pub(super) fn from_json(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Other("null"),
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) if !number.is_u64() => Value::Float(float),
            (None, _) => Value::Other("an integer beyond 64 bits"),
        },
        Json::String(text) => Value::text(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(fields) => Value::Table(
            fields
                .iter()
                .map(|(key, value)| Field {
                    key: key.clone(),
                    key_span: None,
                    node: from_json(value),
                })
                .collect(),
        ),
    };
    Node { span: None, value }
}

/// The tree as JSON, for showing a resource of the file.
pub(super) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Table(fields) => Json::Object(
            fields
                .iter()
                .map(|f| (f.key.clone(), to_json(&f.node)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Text(text) => Json::String(text.text.clone()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(value) => Json::Bool(*value),
        Value::Other(_) | Value::Unfilled => Json::Null,
    }
}
