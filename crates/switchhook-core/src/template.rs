//! Header templates: text with references that are filled when an attempt is made.
//!
//! References: `{{secret:name}}`, `{{eventId}}`, `{{deliveryId}}`, `{{attempt}}` and
//! `{{event:/json/pointer}}`. Parsing refuses what can never be filled, so that a mistake shows when
//! the configuration is read. Filling fails when a secret or a place in the body is missing, or when a
//! value could not stand in a header: visible ASCII and spaces only, which rules out header injection.
//!
//! No error and no `Debug` shows a value, neither a secret nor literal text (it may be a key). The
//! body is read as JSON only where the template points into it.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::Value;

use crate::event::Event;
use crate::id::DeliveryId;
use crate::pointer::{Pointer, PointerError};
use crate::secret::{Lookup, SecretError};

/// Longest template and longest filled value, in bytes: what common servers take for a whole header.
pub const VALUE_BYTES_MAX: usize = 8 * 1024;

/// The references there are, as they are written.
const REFERENCES: [&str; 5] = [
    "secret:name",
    "eventId",
    "deliveryId",
    "attempt",
    "event:/json/pointer",
];

/// A parsed header template.
#[derive(Clone)]
pub struct Template {
    text: Arc<str>,
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Literal(Box<str>),
    Secret(Arc<str>),
    EventId,
    DeliveryId,
    Attempt,
    Event(Pointer),
}

/// Why a text is no template, or a template cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("`{{{{` is not closed by `}}}}`")]
    Unclosed,
    /// A reference that does not exist.
    #[error("unknown reference `{{{{{name}}}}}`{}; known are {}", hint(.name), known())]
    Unknown {
        /// What was written between the braces.
        name: String,
    },
    /// `{{secret:}}`
    #[error("`{{{{secret:}}}}` names no secret")]
    NoSecretName,
    /// What follows `event:` is no pointer.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// A secret is not to be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The template points into the body, and the body is no JSON.
    #[error("`{{{{event:{0}}}}}` cannot be filled: the body is not JSON")]
    NotJson(String),
    /// Nothing that can be written as text stands there.
    #[error(
        "`{{{{event:{0}}}}}` cannot be filled: the body has no string, number or boolean there"
    )]
    NotThere(String),
    /// A value that a header cannot carry.
    #[error(
        "{0} holds characters that a header cannot carry: only visible ASCII and spaces may be sent"
    )]
    Unsendable(String),
    /// Longer than a header value may be.
    #[error("a header value of {0} bytes is too long: at most {VALUE_BYTES_MAX} are sent")]
    TooLong(usize),
}

/// What a template is filled from.
pub struct Values<'a> {
    /// The event that is sent.
    pub event: &'a Event,
    /// Its delivery id.
    pub delivery: DeliveryId,
    /// 1, 2, …
    pub attempt: u16,
    /// Where secrets come from.
    pub secrets: &'a dyn Lookup,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When a reference is not closed or not known, or the literal text could not stand in a header.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > VALUE_BYTES_MAX {
            return Err(TemplateError::TooLong(text.len()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, opened)) = rest.split_once("{{") {
            let (reference, after) = opened.split_once("}}").ok_or(TemplateError::Unclosed)?;
            push_literal(&mut parts, literal)?;
            parts.push(Part::parse(reference.trim())?);
            rest = after;
        }
        push_literal(&mut parts, rest)?;
        Ok(Self {
            text: text.into(),
            parts,
        })
    }

    /// The names of the secrets it mentions, in order.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret(name) => Some(name),
            Part::Literal(_)
            | Part::EventId
            | Part::DeliveryId
            | Part::Attempt
            | Part::Event(_) => None,
        })
    }

    /// Whether it is the same for every attempt: it has no reference.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part, Part::Literal(_)))
    }

    /// The value for one attempt; marked sensitive when a secret is in it.
    ///
    /// # Errors
    /// When a secret or a place in the body is missing, or the value could not stand in a header.
    pub fn fill(&self, values: &Values<'_>) -> Result<HeaderValue, TemplateError> {
        let mut body = None;
        let mut filled = Vec::with_capacity(self.text.len());
        for part in &self.parts {
            part.fill(values, &mut body, &mut filled)?;
        }
        if filled.len() > VALUE_BYTES_MAX {
            return Err(TemplateError::TooLong(filled.len()));
        }
        let value = HeaderValue::try_from(filled);
        let mut value = value.map_err(|_| TemplateError::Unsendable("the value".into()))?;
        value.set_sensitive(self.secrets().next().is_some());
        Ok(value)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.parts).finish()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("…"),
            Self::Secret(name) => write!(f, "secret:{name}"),
            Self::EventId => f.write_str("eventId"),
            Self::DeliveryId => f.write_str("deliveryId"),
            Self::Attempt => f.write_str("attempt"),
            Self::Event(pointer) => write!(f, "event:{pointer}"),
        }
    }
}

impl Part {
    fn parse(reference: &str) -> Result<Self, TemplateError> {
        match reference.split_once(':') {
            Some(("secret", "")) => Err(TemplateError::NoSecretName),
            Some(("secret", name)) => Ok(Self::Secret(name.into())),
            Some(("event", pointer)) => Ok(Self::Event(Pointer::parse(pointer)?)),
            None if reference == "eventId" => Ok(Self::EventId),
            None if reference == "deliveryId" => Ok(Self::DeliveryId),
            None if reference == "attempt" => Ok(Self::Attempt),
            Some(_) | None => Err(TemplateError::Unknown {
                name: reference.chars().take(64).collect(),
            }),
        }
    }

    /// Appends the value of this part. `body` keeps the parsed body for the parts that follow.
    fn fill(
        &self,
        values: &Values<'_>,
        body: &mut Option<Value>,
        filled: &mut Vec<u8>,
    ) -> Result<(), TemplateError> {
        let mut append = |value: &[u8]| {
            if !is_sendable(value) {
                return Err(TemplateError::Unsendable(format!("`{{{{{self:?}}}}}`")));
            }
            filled.extend_from_slice(value);
            Ok(())
        };
        match self {
            Self::Literal(text) => append(text.as_bytes()),
            Self::Secret(name) => append(values.secrets.secret(name)?.expose()),
            Self::EventId => append(values.event.id.to_string().as_bytes()),
            Self::DeliveryId => append(values.delivery.to_string().as_bytes()),
            Self::Attempt => append(values.attempt.to_string().as_bytes()),
            Self::Event(pointer) => {
                let json = match body {
                    Some(json) => json,
                    None => {
                        let parsed = serde_json::from_slice(&values.event.body);
                        body.insert(
                            parsed.map_err(|_| TemplateError::NotJson(pointer.to_string()))?,
                        )
                    }
                };
                let text = pointer.text(json);
                append(
                    text.ok_or_else(|| TemplateError::NotThere(pointer.to_string()))?
                        .as_bytes(),
                )
            }
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) -> Result<(), TemplateError> {
    if !is_sendable(text.as_bytes()) {
        return Err(TemplateError::Unsendable("the template".into()));
    }
    if !text.is_empty() {
        parts.push(Part::Literal(text.into()));
    }
    Ok(())
}

/// Whether a header can carry it: visible ASCII and spaces.
fn is_sendable(value: &[u8]) -> bool {
    value.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// The references there are, for people.
fn known() -> String {
    REFERENCES
        .map(|reference| format!("`{{{{{reference}}}}}`"))
        .join(", ")
}

/// The reference that was probably meant: at most two letters off, regardless of case.
fn hint(name: &str) -> String {
    let word = |text: &str| {
        text.split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let written = word(name);
    let nearest = REFERENCES
        .into_iter()
        .map(|reference| (strsim::levenshtein(&written, &word(reference)), reference))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((0..=2, reference)) => format!(" (did you mean `{{{{{reference}}}}}`?)"),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests;
