//! The driver's request: built once, changed in place.
//!
//! The body is
//! `{"type":"bench.event","id":"<run><index>","key":"<4 hex>","sent-at":<microseconds>,"pad":"…"}`.
//! Every field that changes has a fixed length, so an unsigned request costs three small copies. A
//! signed one is put together anew, since the length of its proof is the scheme's affair.

use switchhook_core::source::Verify;
use switchhook_core::verify::prove;

use super::driver::Plan;
use super::frame;
use crate::NoNames;

/// A request.
pub(super) struct Letter {
    /// Head without the proof and the empty line.
    head: Vec<u8>,
    body: Vec<u8>,
    request: Vec<u8>,
    proof: Option<Verify>,
    keys: u64,
}

const BEFORE_ID: &str = r#"{"type":"bench.event","id":""#;
const BEFORE_KEY: &str = r#"","key":""#;
const BEFORE_SENT: &str = r#"","sent-at":"#;
const BEFORE_PAD: &str = r#","pad":""#;

/// Where the changing parts stand in the body, and how long they are.
const RUN_LEN: usize = 16;
const INDEX_LEN: usize = 16;
const KEY_LEN: usize = 4;
const SENT_LEN: usize = 16;
const INDEX_AT: usize = BEFORE_ID.len() + RUN_LEN;
const KEY_AT: usize = INDEX_AT + INDEX_LEN + BEFORE_KEY.len();
const SENT_AT: usize = KEY_AT + KEY_LEN + BEFORE_SENT.len();

impl Letter {
    /// The request of `plan`, with its fields still to be written.
    pub(super) fn new(plan: &Plan) -> Self {
        let (zeros, key) = ("0".repeat(INDEX_LEN), "0".repeat(KEY_LEN));
        let sent = "1".repeat(SENT_LEN);
        let run = plan.run;
        let mut body =
            format!("{BEFORE_ID}{run:016x}{zeros}{BEFORE_KEY}{key}{BEFORE_SENT}{sent}{BEFORE_PAD}");
        let pad = plan
            .body_bytes
            .min(frame::BODY_BYTES_MAX)
            .saturating_sub(body.len() + 2);
        body.extend(std::iter::repeat_n('.', pad));
        body.push_str("\"}");
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            plan.path,
            plan.addr,
            body.len()
        );
        let mut letter = Self {
            head: head.into(),
            body: body.into(),
            request: Vec::new(),
            proof: plan.proof.clone(),
            keys: u64::from(plan.keys.max(1)),
        };
        letter.join("");
        letter
    }

    /// The request with this index, sent at this wall-clock time.
    pub(super) fn write(&mut self, index: u64, sent_us: u64) -> &[u8] {
        let key = hex(index % self.keys);
        let index = hex(index);
        let sent = decimal(sent_us);
        let key = key.get(RUN_LEN - KEY_LEN..).unwrap_or_default();
        if self.proof.is_none() {
            let body_at = self.head.len() + 2;
            if let Some(body) = self.request.get_mut(body_at..) {
                patch(body, &index, key, &sent);
            }
        } else {
            patch(&mut self.body, &index, key, &sent);
            self.sign(std::str::from_utf8(&index).unwrap_or_default());
        }
        &self.request
    }

    fn sign(&mut self, id: &str) {
        let mut lines = String::new();
        let proof = self
            .proof
            .as_ref()
            .map(|rule| prove(rule, id, &self.body, &NoNames, crate::now()));
        // `drive` has checked that the proof can be given.
        for (name, value) in proof.into_iter().flatten().flatten() {
            let value = value.to_str().unwrap_or_default();
            lines.push_str(name.as_str());
            lines.push_str(": ");
            lines.push_str(value);
            lines.push_str("\r\n");
        }
        self.join(&lines);
    }

    fn join(&mut self, lines: &str) {
        self.request.clear();
        self.request.extend_from_slice(&self.head);
        self.request.extend_from_slice(lines.as_bytes());
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(&self.body);
    }
}

fn patch(body: &mut [u8], index: &[u8], key: &[u8], sent: &[u8]) {
    for (at, value) in [(INDEX_AT, index), (KEY_AT, key), (SENT_AT, sent)] {
        if let Some(place) = body.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

fn hex(value: u64) -> [u8; INDEX_LEN] {
    digits(value, 16)
}

fn decimal(value: u64) -> [u8; SENT_LEN] {
    digits(value, 10)
}

/// The lowest 16 digits of `value`, with leading zeros.
fn digits(mut value: u64, base: u64) -> [u8; 16] {
    let mut text = [b'0'; 16];
    for place in text.iter_mut().rev() {
        let digit = u8::try_from(value % base).unwrap_or(0);
        *place = if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        };
        value /= base;
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::load::{Pace, Until};

    #[test]
    fn a_request_is_whole_and_of_the_size_asked_for_and_only_its_fields_change() {
        let plan = Plan {
            addr: ([127, 0, 0, 1], 9).into(),
            path: "/in/bench".into(),
            connections: 2,
            pace: Pace::Closed,
            until: Until::Count(1),
            body_bytes: 1024,
            proof: None,
            run: 0xabcd,
            keys: 1000,
        };
        let mut letter = Letter::new(&plan);
        for (index, id) in [
            (7, "000000000000abcd0000000000000007"),
            (0xfff1, "000000000000abcd000000000000fff1"),
        ] {
            let request = letter.write(index, 1_767_323_045_000_123).to_vec();
            let head = frame::head(&request).unwrap().unwrap();
            assert_eq!(
                (head.body_length, request.len() - head.length),
                (1024, 1024)
            );
            let body: Value = serde_json::from_slice(&request[head.length..]).unwrap();
            assert_eq!(
                (&body["id"], &body["type"]),
                (&json!(id), &json!("bench.event"))
            );
            assert_eq!(body["key"], format!("{:04x}", index % 1000));
            assert_eq!(body["sent-at"], 1_767_323_045_000_123_u64);
        }
    }
}
