//! What body a subscription sends: the event's own bytes, or one made of it.
//!
//! * A map copies fields: the field mapping of seed 004, with nested paths on both sides. An input is a
//!   path into the JSON body (`a.b`, `$.a[0].b`), or `event.type`, `event.id`, `event.key`, `event.time`,
//!   `event.source` or `event.headers.name`; a body's own field `event` is `$.event`. What is not there
//!   takes the default; without one it is left out, or fails the delivery where it is `required`. `null`
//!   is a value and is copied. A body that is no JSON has no fields.
//! * A body in CEL: [`crate::expression`].
//! * A preset: [`preset`].
//!
//! Bounds: [`RULES_MAX`] rules of at most 16 steps, [`MAPPED_BYTES_MAX`] bytes made by a map. The fields
//! of a map come out sorted by name, so the same event makes the same bytes.

pub mod preset;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::criteria::path::{Path, PathError, Step};
use crate::event::Event;
use crate::expression::{EvaluationError, Expression, Subject};
use crate::time::rfc3339;

/// Most rules of one map.
pub const RULES_MAX: usize = 200;
/// Most bytes a map makes: as many as the largest body accepted has.
pub const MAPPED_BYTES_MAX: usize = 5 * 1024 * 1024;

/// What body is made of an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Transform {
    /// The raw bytes stay as they are.
    #[default]
    None,
    /// Fields are copied into a new object; made by [`Transform::map`].
    Map(Arc<[MapRule]>),
    /// An expression makes the body.
    Body(Expression),
    /// A ready-made body.
    Preset(preset::Preset),
}

/// One field of a map: where it goes, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct MapRule {
    out: Box<[Box<str>]>,
    input: Input,
    default: Option<Value>,
    required: bool,
}

/// Where a field comes from.
#[derive(Debug, Clone, PartialEq)]
enum Input {
    Type,
    Source,
    Time,
    Id,
    Key,
    Header(Box<str>),
    Body(Path),
}

/// Why a map is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// A path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An out path that does not name a field.
    #[error("`{0}` cannot be filled: an out path is made of field names, as in `a.b.c`")]
    Out(String),
    /// An input that names many places.
    #[error("`{0}` names many places; a field takes one, so `[*]` cannot stand here")]
    Many(String),
    /// An input that begins with `event.` and goes nowhere.
    #[error(
        "an event has no `{0}`; it has type, id, key, time, source and headers.name \
         (a field `event` of the body is `$.event`)"
    )]
    Meta(String),
    /// A field that is required and has a default.
    #[error("`{0}` is required and has a default; only one of them can be meant")]
    RequiredDefault(String),
    /// Two rules for one place.
    #[error("`{0}` and `{1}` fill the same place")]
    Conflict(String, String),
    /// No rules, or too many.
    #[error("a map has between 1 and {RULES_MAX} rules, not {0}")]
    Rules(usize),
}

/// Why no body could be made. The delivery is a dead letter with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// The expression failed.
    #[error("body: {0}")]
    Expression(#[from] EvaluationError),
    /// A required field that is not there: where it should have gone.
    #[error("map: the event has nothing for the required field `{0}`")]
    Required(String),
    /// Too much.
    #[error("map: the body would have more than {MAPPED_BYTES_MAX} bytes")]
    TooLarge,
}

impl MapRule {
    /// The field `out` is filled from `input`; see the module about both.
    ///
    /// # Errors
    /// When one of the paths is none, names something that cannot be, or `required` comes with a default.
    pub fn compile(
        out: &str,
        input: &str,
        default: Option<Value>,
        required: bool,
    ) -> Result<Self, MapError> {
        if required && default.is_some() {
            return Err(MapError::RequiredDefault(out.into()));
        }
        let path = Path::parse(out)?;
        let names = path.steps().iter().map(|step| match step {
            Step::Name(name) => Some(name.clone()),
            Step::Index(_) | Step::Every => None,
        });
        let names: Option<Box<[Box<str>]>> = names.collect();
        let names = names
            .filter(|names| !names.is_empty())
            .ok_or_else(|| MapError::Out(out.into()))?;
        Ok(Self {
            out: names,
            input: Input::compile(input)?,
            default,
            required,
        })
    }

    fn value<'s>(&'s self, subject: &'s Subject<'_>) -> Option<Cow<'s, Value>> {
        let found = if let Input::Body(path) = &self.input {
            subject
                .json()
                .and_then(|body| path.find(body))
                .map(Cow::Borrowed)
        } else {
            let meta = self.input.meta(subject.event());
            meta.map(Value::String).map(Cow::Owned)
        };
        found.or(self.default.as_ref().map(Cow::Borrowed))
    }
}

impl Input {
    fn compile(text: &str) -> Result<Self, MapError> {
        if let Some(name) = text.strip_prefix("event.") {
            return Ok(match name {
                "type" => Self::Type,
                "source" => Self::Source,
                "time" => Self::Time,
                "id" => Self::Id,
                "key" => Self::Key,
                _ => match name.strip_prefix("headers.") {
                    Some(header) if !header.is_empty() => {
                        Self::Header(header.to_ascii_lowercase().into())
                    }
                    Some(_) | None => return Err(MapError::Meta(text.into())),
                },
            });
        }
        let path = Path::parse(text)?;
        if path.steps().contains(&Step::Every) {
            return Err(MapError::Many(text.into()));
        }
        Ok(Self::Body(path))
    }

    /// What the event itself says, beside its body.
    fn meta(&self, event: &Event) -> Option<String> {
        match self {
            Self::Type => Some(event.kind.to_string()),
            Self::Source => Some(event.source.to_string()),
            Self::Time => Some(rfc3339(event.received_at)),
            Self::Id => Some(event.id.to_string()),
            Self::Key => event.key.as_deref().map(str::to_owned),
            Self::Header(name) => event.header(name).map(str::to_owned),
            Self::Body(_) => None,
        }
    }
}

impl Transform {
    /// A map of `rules`.
    ///
    /// # Errors
    /// When there are none or more than [`RULES_MAX`], or one fills what another fills, too.
    pub fn map(rules: Vec<MapRule>) -> Result<Self, MapError> {
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(MapError::Rules(rules.len()));
        }
        for (index, rule) in rules.iter().enumerate() {
            for earlier in rules.iter().take(index) {
                if rule.out.starts_with(&earlier.out) || earlier.out.starts_with(&rule.out) {
                    return Err(MapError::Conflict(
                        earlier.out.join("."),
                        rule.out.join("."),
                    ));
                }
            }
        }
        Ok(Self::Map(rules.into()))
    }

    /// The body made of `subject`; `None` when the raw bytes stay.
    ///
    /// # Errors
    /// When the expression fails, a required field is missing, or the body would be too large.
    pub fn apply(&self, subject: &Subject<'_>) -> Result<Option<Bytes>, TransformError> {
        match self {
            Self::None => Ok(None),
            Self::Map(rules) => mapped(rules, subject).map(Some),
            Self::Body(expression) => {
                let json = expression.to_json(subject)?;
                Ok(Some(json.to_string().into()))
            }
            Self::Preset(preset) => Ok(Some(preset.body(subject).to_string().into())),
        }
    }
}

/// The fields on their places.
enum Place<'s> {
    Leaf(Cow<'s, Value>),
    Object(BTreeMap<&'s str, Self>),
}

fn mapped(rules: &[MapRule], subject: &Subject<'_>) -> Result<Bytes, TransformError> {
    let mut root = BTreeMap::new();
    for rule in rules {
        match rule.value(subject) {
            Some(value) => put(&mut root, &rule.out, value),
            None if rule.required => return Err(TransformError::Required(rule.out.join("."))),
            None => {}
        }
    }
    let mut body = Bounded(Vec::with_capacity(256));
    match write(&mut body, &Place::Object(root)) {
        Ok(()) => Ok(body.0.into()),
        Err(_) => Err(TransformError::TooLarge),
    }
}

/// Puts `value` where `names` lead. No two rules lead to one place: [`Transform::map`] saw to it.
fn put<'s>(
    object: &mut BTreeMap<&'s str, Place<'s>>,
    names: &'s [Box<str>],
    value: Cow<'s, Value>,
) {
    let Some((name, rest)) = names.split_first() else {
        return;
    };
    if rest.is_empty() {
        object.insert(name, Place::Leaf(value));
        return;
    }
    let inner = object
        .entry(name)
        .or_insert_with(|| Place::Object(BTreeMap::new()));
    if let Place::Object(inner) = inner {
        put(inner, rest, value);
    }
}

/// Writes JSON straight from where the values lie: the body is not copied first.
fn write(body: &mut Bounded, place: &Place<'_>) -> io::Result<()> {
    match place {
        Place::Leaf(value) => Ok(serde_json::to_writer(body, value.as_ref())?),
        Place::Object(members) => {
            for (index, (name, member)) in members.iter().enumerate() {
                io::Write::write_all(body, if index == 0 { b"{" } else { b"," })?;
                serde_json::to_writer(&mut *body, name)?;
                io::Write::write_all(body, b":")?;
                write(body, member)?;
            }
            io::Write::write_all(body, if members.is_empty() { b"{}" } else { b"}" })
        }
    }
}

/// Memory that takes at most [`MAPPED_BYTES_MAX`] bytes.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAPPED_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
