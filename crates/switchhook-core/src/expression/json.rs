//! From the value of an expression to JSON.
//!
//! Integers and doubles become numbers (a double that JSON cannot hold becomes the text `NaN`,
//! `Infinity` or `-Infinity`), bytes base64, a timestamp RFC 3339 in UTC, a duration seconds such as
//! `1.5s`, and the keys of a map text: the forms of proto3 JSON. The size is counted while it grows, so
//! that a small value that shares a large one many times cannot fill the memory.

use data_encoding::BASE64;
use serde_json::{Map, Number, Value};

use super::term::{Key, Term};
use super::{EvaluationError, OUTPUT_BYTES_MAX};

/// `term` as JSON.
///
/// # Errors
/// When its text would be longer than [`OUTPUT_BYTES_MAX`].
pub(super) fn json(term: &Term<'_>) -> Result<Value, EvaluationError> {
    Size(0).term(term)
}

/// How many bytes the JSON text has so far, without those of numbers, which are few.
struct Size(usize);

impl Size {
    fn grow(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 > OUTPUT_BYTES_MAX {
            return Err(EvaluationError::Output);
        }
        Ok(())
    }

    fn term(&mut self, term: &Term<'_>) -> Result<Value, EvaluationError> {
        Ok(match term {
            Term::Null => self.leaf(Value::Null)?,
            Term::Bool(bool) => self.leaf(Value::Bool(*bool))?,
            Term::Int(number) => self.leaf((*number).into())?,
            Term::Uint(number) => self.leaf((*number).into())?,
            Term::Double(number) => self.leaf(double(*number))?,
            Term::Text(text) => self.text(text)?,
            Term::Bytes(bytes) => {
                self.grow(BASE64.encode_len(bytes.len()) + 2)?;
                Value::String(BASE64.encode(bytes))
            }
            Term::Array(items) => {
                let items = items.iter().map(|item| self.item(&Term::from(item)));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Term::List(items) => {
                let items = items.iter().map(|item| self.item(item));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Term::Object(members) => {
                let mut object = Map::new();
                for (name, value) in *members {
                    self.grow(name.len() + 4)?;
                    object.insert(name.clone(), self.term(&Term::from(value))?);
                }
                Value::Object(object)
            }
            Term::Record(members) => {
                let mut object = Map::new();
                for (key, value) in members.iter() {
                    let name = match key {
                        Key::Bool(bool) => bool.to_string(),
                        Key::Whole(number) => number.to_string(),
                        Key::Text(text) => text.to_string(),
                    };
                    self.grow(name.len() + 4)?;
                    object.insert(name, self.term(value)?);
                }
                Value::Object(object)
            }
            Term::Timestamp(timestamp) => self.text(&timestamp.to_string())?,
            Term::Duration(duration) => self.text(&super::convert::seconds(*duration))?,
        })
    }

    /// A value of a few bytes.
    fn leaf(&mut self, value: Value) -> Result<Value, EvaluationError> {
        self.grow(2)?;
        Ok(value)
    }

    fn item(&mut self, term: &Term<'_>) -> Result<Value, EvaluationError> {
        self.grow(1)?;
        self.term(term)
    }

    fn text(&mut self, text: &str) -> Result<Value, EvaluationError> {
        self.grow(text.len() + 2)?;
        let escapes = text.bytes().map(|byte| match byte {
            b'"' | b'\\' => 1,
            0..=31 => 5,
            _ => 0,
        });
        self.grow(escapes.sum())?;
        Ok(Value::String(text.to_owned()))
    }
}

fn double(number: f64) -> Value {
    Number::from_f64(number).map_or_else(
        || {
            let name = if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            Value::String(name.into())
        },
        Value::Number,
    )
}
