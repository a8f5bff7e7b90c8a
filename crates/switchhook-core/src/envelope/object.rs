//! A JSON object written member by member, in the order of the calls.
//!
//! It exists because values are spliced in as the bytes that they are; a tree of values would write
//! them anew and in another order. Names are ours: plain, and not escaped.

use std::fmt::Display;

use data_encoding::BASE64;
use serde_json::Value;

#[derive(Default)]
pub(super) struct Object(Vec<u8>);

impl Object {
    /// A value that is JSON already.
    pub(super) fn raw(&mut self, name: &str, json: &[u8]) {
        let open = if self.0.is_empty() { "{\"" } else { ",\"" };
        for part in [open.as_bytes(), name.as_bytes(), b"\":", json] {
            self.0.extend_from_slice(part);
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.raw(name, Value::from(text).to_string().as_bytes());
    }

    /// A number that is finite.
    pub(super) fn number(&mut self, name: &str, number: impl Display) {
        self.raw(name, number.to_string().as_bytes());
    }

    pub(super) fn base64(&mut self, name: &str, bytes: &[u8]) {
        self.raw(name, format!("\"{}\"", BASE64.encode(bytes)).as_bytes());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}
