//! What a request body looks like: the event's own bytes, seed 002's envelope, or a `CloudEvent`.
//!
//! [`dress`] puts a payload into a format. A payload is the body after its transform, or that body
//! sealed (see [`crate::seal`]). JSON is spliced in byte for byte and never written anew: numbers,
//! order and white space of the sender stay. The formats:
//! * [`Format::Raw`]: the payload alone.
//! * [`Format::Envelope`]: format 2.1 of seed 002, its members in its order. A body that is not JSON
//!   becomes base64 text, and `sourceEventEncoding: "base64"` says so. Sealed: `sourceEvent` is `{}`.
//! * [`Format::CloudEvents`]: `CloudEvents` 1.0, see the `cloudevent` module.
//!
//! Outside the envelope a sealed payload is its directive as a JSON object, with the delivery id inside
//! where it is authenticated: alone, or as the data of a `CloudEvent`.
//!
//! Bounds: a body is at most what a source takes, and grows to at most twice that (hex) and some
//! hundred bytes. Event type and key are short and clean since intake.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

use crate::event::Event;
use crate::id::DeliveryId;
use crate::retry::{Jitter, Policy, Schedule, delay_ms};
use crate::seal::Sealed;
use crate::time::{UnixMs, rfc3339};

mod cloudevent;
mod object;

use object::Object;

/// The version that the envelope and its header tell.
pub const FORMAT_VERSION: &str = "2.1";
/// The header that tells it.
pub const FORMAT_VERSION_HEADER: HeaderName = HeaderName::from_static("x-format-version");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a body is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As it is.
    Raw,
    /// In seed 002's envelope.
    Envelope,
    /// As a `CloudEvent`.
    CloudEvents(Mode),
}

/// Where a `CloudEvent` keeps its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In headers; the body is the data.
    Binary,
    /// Beside the data, in one JSON object.
    Structured,
}

/// Everything that one request tells.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The event that is delivered.
    pub event: &'a Event,
    /// The delivery's id.
    pub delivery: DeliveryId,
    /// Which attempt: 1, 2, …
    pub attempt: u16,
    /// The time of the attempt.
    pub now: UnixMs,
    /// How the delivery is retried.
    pub policy: &'a Policy,
    /// What is delivered.
    pub payload: Payload<'a>,
}

/// What is delivered.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// To be read by anyone on the way.
    Clear {
        /// The body after its transform.
        body: &'a Bytes,
        /// What it is.
        content_type: &'a HeaderValue,
    },
    /// Encrypted.
    Sealed(&'a Sealed),
}

/// A request body and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dressed {
    /// The bytes to sign and send.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// Headers that belong to the format; each name once.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a body cannot be dressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DressError {
    /// A content type that is no text cannot stand in JSON.
    #[error("the content type is not visible ASCII; set one at the endpoint")]
    ContentType,
    /// A value that a header cannot carry.
    #[error("`{0}` is too long for a header, or is no text")]
    Header(HeaderName),
}

/// Puts `content` into `format`.
///
/// # Errors
/// When a `CloudEvent`'s attribute cannot be written.
pub fn dress(format: Format, content: &Content<'_>) -> Result<Dressed, DressError> {
    match format {
        Format::Raw => {
            let (body, content_type) = alone(content.payload);
            Ok(Dressed {
                body,
                content_type,
                headers: Vec::new(),
            })
        }
        Format::Envelope => Ok(envelope(content)),
        Format::CloudEvents(Mode::Binary) => cloudevent::binary(content),
        Format::CloudEvents(Mode::Structured) => cloudevent::structured(content),
    }
}

fn envelope(content: &Content<'_>) -> Dressed {
    let mut envelope = Object::default();
    envelope.text("deliveryId", &content.delivery.to_string());
    envelope.text("timestamp", &rfc3339(content.now));
    envelope.raw("retryMatrix", &RetryMatrix::of(content.policy).json());
    match content.payload {
        Payload::Sealed(sealed) => {
            envelope.raw("encryptionDirective", &directive(sealed, false));
            envelope.raw("sourceEvent", b"{}");
            envelope.text("formatVersion", FORMAT_VERSION);
        }
        Payload::Clear { body, .. } => {
            envelope.raw("encryptionDirective", b"null");
            let json = is_json(body);
            match json {
                true => envelope.raw("sourceEvent", body),
                false => envelope.base64("sourceEvent", body),
            }
            envelope.text("formatVersion", FORMAT_VERSION);
            if !json {
                envelope.text("sourceEventEncoding", "base64");
            }
        }
    }
    Dressed {
        body: envelope.finish().into(),
        content_type: JSON,
        headers: vec![(
            FORMAT_VERSION_HEADER,
            HeaderValue::from_static(FORMAT_VERSION),
        )],
    }
}

/// The payload with nothing around it, and its content type.
fn alone(payload: Payload<'_>) -> (Bytes, HeaderValue) {
    match payload {
        Payload::Clear { body, content_type } => (body.clone(), content_type.clone()),
        Payload::Sealed(sealed) => (directive(sealed, true).into(), JSON),
    }
}

fn directive(sealed: &Sealed, alone: bool) -> Vec<u8> {
    let mut directive = Object::default();
    for (name, value) in sealed.members(alone) {
        directive.text(name, &value);
    }
    directive.finish()
}

/// Whether `body` is one JSON text.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(body).is_ok()
}

/// A policy in the four numbers of the seed's envelope. They inform the receiver; nothing runs by them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryMatrix {
    /// Attempts in all.
    pub attempts: u16,
    /// Delay before the second attempt, in milliseconds, before jitter.
    pub base_interval_ms: u64,
    /// Longest delay, in milliseconds, before jitter.
    pub max_interval_ms: u64,
    /// From one delay to the next; finite and not negative.
    pub multiplier: f64,
}

impl RetryMatrix {
    /// What `policy` comes to. For delays that do not grow by a constant factor, the multiplier is the
    /// one that leads from the first to the last of them in as many steps, to three decimals.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let delay = |failed| delay_ms(&policy.schedule, Jitter::None, failed, 0, 0);
        let retries = policy.max_attempts.saturating_sub(1).max(1);
        let (max_interval_ms, multiplier) = match &policy.schedule {
            Schedule::Exponential { factor, max_ms, .. } => {
                // `max` turns a factor that is not a number into 1, as the schedule does.
                let factor = factor.max(1.0);
                (*max_ms, if factor.is_finite() { factor } else { f64::MAX })
            }
            Schedule::Fixed { delay_ms } => (*delay_ms, 1.0),
            Schedule::Matrix { .. } | Schedule::Linear { .. } => {
                let longest = (1..=retries).map(delay).max().unwrap_or(0);
                (longest, mean_factor(delay(1), delay(retries), retries - 1))
            }
        };
        Self {
            attempts: policy.max_attempts,
            base_interval_ms: delay(1),
            max_interval_ms,
            multiplier,
        }
    }

    fn json(self) -> Vec<u8> {
        let mut matrix = Object::default();
        matrix.number("attempts", self.attempts);
        matrix.number("baseIntervalMs", self.base_interval_ms);
        matrix.number("maxIntervalMs", self.max_interval_ms);
        matrix.number("multiplier", self.multiplier);
        matrix.finish()
    }
}

/// The factor that, applied `steps` times, leads from `first_ms` to `last_ms`.
fn mean_factor(first_ms: u64, last_ms: u64, steps: u16) -> f64 {
    if first_ms == 0 || steps == 0 {
        return 1.0;
    }
    let whole = last_ms as f64 / first_ms as f64;
    (whole.powf(1.0 / f64::from(steps)) * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests;
