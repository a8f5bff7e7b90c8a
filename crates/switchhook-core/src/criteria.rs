//! The `matchCriteria` of Genesys process-automation triggers: path, operator, value (`facts` 2.3).
//!
//! Several criteria hold together; the caller joins them. Of one criterion:
//! * A path that leads nowhere never holds, not even with `NotEqual` or `NotIn`; only `Exists` with the
//!   value false holds of it. `null` is a value: it is there.
//! * Numbers compare as numbers (`1` is `1.0`), text as text, by code point and with its case. Values of
//!   different types are unequal, and none is greater.
//! * With `[*]` a criterion holds when it does for one item; `NotEqual` and `NotIn` when they do for all.
//!
//! | operator | value | holds when what is found |
//! |---|---|---|
//! | `Equal`, `NotEqual` | any | equals it, or not |
//! | `GreaterThan`, `GreaterThanOrEqual`, `LessThan`, `LessThanOrEqual` | number or text | lies there |
//! | `In`, `NotIn` | `values` | equals one of them, or none |
//! | `Contains` | any | is text with this text in it, or a list with this item |
//! | `All` | `values` | is a list that holds every one of them |
//! | `Exists` | true (also without a value) or false | is there, or not |
//! | `Size` | whole number | is a list, map or text of that many items, members or characters |
//!
//! Costs one pass over what the path leads to, for each of at most [`VALUES_MAX`] values.

pub(crate) mod path;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde_json::Value;

use crate::expression::number::Number;
use path::Path;
pub use path::PathError;

/// Most values of one criterion.
pub const VALUES_MAX: usize = 100;

/// One criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    path: Path,
    test: Test,
}

/// What is asked of the value found.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Equal(Value),
    NotEqual(Value),
    /// The orders of the value found against this one that hold.
    Ordered(&'static [Ordering], Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Contains(Value),
    All(Vec<Value>),
    Exists(bool),
    Size(u64),
}

/// The operators, as Genesys writes them.
const OPERATORS: [&str; 12] = [
    "GreaterThanOrEqual",
    "LessThanOrEqual",
    "Equal",
    "NotEqual",
    "LessThan",
    "GreaterThan",
    "NotIn",
    "In",
    "Contains",
    "All",
    "Exists",
    "Size",
];

/// Why a criterion is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CriterionError {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is no such operator.
    #[error("unknown operator `{name}`; there are {}", OPERATORS.join(", "))]
    Operator {
        /// What was written.
        name: String,
    },
    /// `value` and `values` at once.
    #[error("a criterion has `value` or `values`, not both")]
    Both,
    /// A value of the wrong kind, or none.
    #[error("operator `{operator}` needs {needs}")]
    Value {
        /// The operator.
        operator: String,
        /// What it needs.
        needs: &'static str,
    },
    /// Too many values.
    #[error("{0} values; a criterion may have at most {VALUES_MAX}")]
    Values(usize),
}

impl Criterion {
    /// Reads a criterion in the words of Genesys: `jsonPath`, `operator`, and `value` or `values`.
    ///
    /// # Errors
    /// When the path is none or uses what is not supported, the operator is unknown, or the values are
    /// not those the operator takes.
    pub fn compile(
        json_path: &str,
        operator: &str,
        value: Option<Value>,
        values: Option<Vec<Value>>,
    ) -> Result<Self, CriterionError> {
        let path = Path::parse(json_path)?;
        if !OPERATORS.contains(&operator) {
            let name = operator.chars().take(100).collect();
            return Err(CriterionError::Operator { name });
        }
        if value.is_some() && values.is_some() {
            return Err(CriterionError::Both);
        }
        let test = Test::compile(operator, value, values)?;
        Ok(Self { path, test })
    }

    /// Whether it holds of `body`.
    #[must_use]
    pub fn matches(&self, body: &Value) -> bool {
        let found = self.path.find_all(body);
        match &self.test {
            Test::Exists(wanted) => found.is_empty() != *wanted,
            Test::NotEqual(_) | Test::NotIn(_) => {
                !found.is_empty() && found.into_iter().all(|value| self.test.holds(value))
            }
            Test::Equal(_)
            | Test::Ordered(..)
            | Test::In(_)
            | Test::Contains(_)
            | Test::All(_)
            | Test::Size(_) => found.into_iter().any(|value| self.test.holds(value)),
        }
    }
}

impl Test {
    fn compile(
        operator: &str,
        value: Option<Value>,
        values: Option<Vec<Value>>,
    ) -> Result<Self, CriterionError> {
        use Ordering::{Equal, Greater, Less};
        let needs = |needs| CriterionError::Value {
            operator: operator.into(),
            needs,
        };
        let many = |value: Option<Value>, values: Option<Vec<Value>>| match (value, values) {
            (_, Some(values)) | (Some(Value::Array(values)), None) => match values.len() {
                0 => Err(needs("`values` with at least one value")),
                count if count > VALUES_MAX => Err(CriterionError::Values(count)),
                _ => Ok(values),
            },
            _ => Err(needs("`values`, a list")),
        };
        let orders: &[Ordering] = match operator {
            "GreaterThan" => &[Greater],
            "GreaterThanOrEqual" => &[Greater, Equal],
            "LessThan" => &[Less],
            "LessThanOrEqual" => &[Less, Equal],
            "In" => return many(value, values).map(Self::In),
            "NotIn" => return many(value, values).map(Self::NotIn),
            "All" => return many(value, values).map(Self::All),
            "Exists" if value.is_none() && values.is_none() => return Ok(Self::Exists(true)),
            _ => &[],
        };
        let value = value.ok_or_else(|| needs("`value`"))?;
        if !orders.is_empty() {
            return match value {
                Value::Number(_) | Value::String(_) => Ok(Self::Ordered(orders, value)),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    Err(needs("a number or text as `value`"))
                }
            };
        }
        match operator {
            "NotEqual" => Ok(Self::NotEqual(value)),
            "Contains" => Ok(Self::Contains(value)),
            "Exists" => flag(&value)
                .map(Self::Exists)
                .ok_or_else(|| needs("true or false as `value`")),
            "Size" => size(&value)
                .map(Self::Size)
                .ok_or_else(|| needs("a whole number as `value`")),
            _ => Ok(Self::Equal(value)),
        }
    }

    /// Whether it holds of one value found.
    fn holds(&self, found: &Value) -> bool {
        match self {
            Self::Equal(value) => same(found, value),
            Self::NotEqual(value) => !same(found, value),
            Self::Ordered(orders, value) => {
                order(found, value).is_some_and(|order| orders.contains(&order))
            }
            Self::In(values) => values.iter().any(|value| same(found, value)),
            Self::NotIn(values) => !values.iter().any(|value| same(found, value)),
            Self::Contains(value) => contains(found, value),
            Self::All(values) => {
                found.is_array() && values.iter().all(|value| contains(found, value))
            }
            Self::Exists(wanted) => *wanted,
            Self::Size(wanted) => length(found).is_some_and(|length| length as u64 == *wanted),
        }
    }
}

/// A boolean, also as text: Genesys forms write it so.
fn flag(value: &Value) -> Option<bool> {
    value
        .as_bool()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// A whole number, also as text.
fn size(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// Equality of JSON values, with numbers as numbers.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Number::from(left).order(Number::from(right)) == Some(Ordering::Equal)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

/// How two numbers or two texts compare.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Number::from(left).order(Number::from(right))
        }
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Whether text holds a text, or a list an item.
fn contains(found: &Value, part: &Value) -> bool {
    match (found, part) {
        (Value::String(found), Value::String(part)) => found.contains(part.as_str()),
        (Value::Array(items), part) => items.iter().any(|item| same(item, part)),
        _ => false,
    }
}

/// Items, members or characters.
fn length(found: &Value) -> Option<usize> {
    match found {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => Some(members.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
