//! `CloudEvents` 1.0: the same attributes in headers (binary) or beside the data (structured).
//!
//! | attribute | value |
//! |---|---|
//! | `id` | the event id |
//! | `source` | `/switchhook/` and the source's name |
//! | `type`, `time` | the event's type, and when it was accepted |
//! | `subject` | its ordering key, if it has one |
//! | `datacontenttype` | what the data is; in binary mode this is `Content-Type` |
//! | `deliveryid`, `attempt` | extensions of ours |
//!
//! Header values are percent-encoded after section 3.1.3.2 of the HTTP binding. In structured mode,
//! data of a JSON type goes verbatim into `data`, any other into `data_base64`.

use http::{HeaderName, HeaderValue};

use super::object::Object;
use super::{Content, DressError, Dressed, alone, is_json};
use crate::time::rfc3339;

const STRUCTURED: HeaderValue =
    HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// What stands before an attribute's name in a header.
const PREFIX: &str = "ce-";
const ATTEMPT: HeaderName = HeaderName::from_static("ce-attempt");

pub(super) fn binary(content: &Content<'_>) -> Result<Dressed, DressError> {
    let (body, content_type) = alone(content.payload);
    let mut attributes = attributes(content);
    attributes.push((ATTEMPT, content.attempt.to_string()));
    let headers = attributes.into_iter().map(|(name, value)| {
        let value = HeaderValue::from_str(&percent_encoded(&value));
        match value {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(DressError::Header(name)),
        }
    });
    Ok(Dressed {
        body,
        content_type,
        headers: headers.collect::<Result<_, _>>()?,
    })
}

pub(super) fn structured(content: &Content<'_>) -> Result<Dressed, DressError> {
    let (data, content_type) = alone(content.payload);
    let content_type = content_type.to_str().map_err(|_| DressError::ContentType)?;
    let mut event = Object::default();
    for (name, value) in attributes(content) {
        let name = name.as_str();
        event.text(name.strip_prefix(PREFIX).unwrap_or(name), &value);
    }
    event.number("attempt", content.attempt);
    event.text("datacontenttype", content_type);
    match is_json_type(content_type) && is_json(&data) {
        true => event.raw("data", &data),
        false => event.base64("data_base64", &data),
    }
    Ok(Dressed {
        body: event.finish().into(),
        content_type: STRUCTURED,
        headers: Vec::new(),
    })
}

/// The attributes that are text, under their header names.
fn attributes(content: &Content<'_>) -> Vec<(HeaderName, String)> {
    let event = content.event;
    let attribute = |name, value| (HeaderName::from_static(name), value);
    let mut attributes = vec![
        attribute("ce-specversion", "1.0".into()),
        attribute("ce-id", event.id.to_string()),
        attribute("ce-source", format!("/switchhook/{}", event.source)),
        attribute("ce-type", event.kind.to_string()),
        attribute("ce-time", rfc3339(event.received_at)),
        attribute("ce-deliveryid", content.delivery.to_string()),
    ];
    if let Some(key) = &event.key {
        attributes.push(attribute("ce-subject", key.to_string()));
    }
    attributes
}

/// Whether a media type says JSON: `*/json` or `*/*+json` (JSON event format, section 3.1).
fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.ends_with("/json") || (essence.contains('/') && essence.ends_with("+json"))
}

/// Space, `"`, `%` and everything outside visible ASCII as `%XY`, byte by byte of the UTF-8 text.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
    }
    encoded
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16)
        .unwrap_or('0')
        .to_ascii_uppercase()
}
