//! The receiver harness of seed 003: `POST /webhook/test`, `GET /metrics` and its dead letters.
//!
//! It verifies `X-Genesys-Signature` over the raw bytes in constant time, refuses what has no `events`
//! array and writes that payload to a dead-letter file, and counts as that document does. The words of
//! the answers are part of the contract (`wire` section 6); change none of them.
//! The dead-letter file may grow to [`DEAD_LETTER_BYTES_MAX`]; after that payloads are dropped and said so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::time::UnixMs;
use switchhook_core::verify::verify;

use super::record::Lines;
use crate::NoNames;

/// Largest payload, in bytes (seed 003: 5 MB).
pub const PAYLOAD_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Most bytes of payload written to the dead-letter file in one run: a sender that keeps sending
/// nonsense must not fill the disk.
const DEAD_LETTER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The harness: its rule, its counters, its dead letters.
#[derive(Debug)]
pub(crate) struct Harness {
    rule: Verify,
    metrics: Mutex<Metrics>,
    dead_letters: Option<Arc<Lines>>,
    dead_letter_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Metrics {
    requests: u64,
    successful: u64,
    failed: u64,
    latency_total: Duration,
}

impl Harness {
    pub(crate) fn new(secret: Secret, dead_letters: Option<Arc<Lines>>) -> Self {
        let rule = Verify::Hmac {
            header: "x-genesys-signature".into(),
            prefix: "".into(),
            encoding: Encoding::Hex,
            secrets: vec![SecretRef::Literal(secret)],
        };
        Self {
            rule,
            metrics: Mutex::default(),
            dead_letters,
            dead_letter_bytes: AtomicU64::new(0),
        }
    }

    /// Judges one delivery. `body` is `None` when it was larger than [`PAYLOAD_BYTES_MAX`].
    pub(crate) fn judge(
        &self,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        now: UnixMs,
    ) -> (StatusCode, String) {
        let Some(body) = body else {
            return (StatusCode::PAYLOAD_TOO_LARGE, error("Payload too large"));
        };
        if verify(&self.rule, headers, body, &NoNames, now).is_err() {
            return (StatusCode::UNAUTHORIZED, error("Invalid signature"));
        }
        let payload: Option<Value> = serde_json::from_slice(body).ok();
        let events = payload
            .as_ref()
            .and_then(|payload| payload.get("events"))
            .and_then(Value::as_array);
        if let Some(events) = events {
            return (
                StatusCode::OK,
                format!(r#"{{"received":true,"eventCount":{}}}"#, events.len()),
            );
        }
        self.dead_letter(body, payload, now);
        (StatusCode::BAD_REQUEST, error("Invalid payload structure"))
    }

    fn dead_letter(&self, body: &[u8], payload: Option<Value>, now: UnixMs) {
        let Some(file) = &self.dead_letters else {
            return;
        };
        let size = body.len() as u64;
        if self.dead_letter_bytes.fetch_add(size, Ordering::Relaxed) > DEAD_LETTER_BYTES_MAX {
            tracing::warn!(
                size,
                "the dead-letter file has its full size; the payload is not kept"
            );
            return;
        }
        let payload =
            payload.unwrap_or_else(|| Value::String(String::from_utf8_lossy(body).into_owned()));
        file.write(
            &json!({"at": now.0, "reason": "Invalid payload structure", "payload": payload}),
        );
    }

    /// Counts one answer, as seed 003 does: whatever is not a 200 has failed.
    pub(crate) fn count(&self, status: StatusCode, took: Duration) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.requests += 1;
        metrics.latency_total += took;
        if status == StatusCode::OK {
            metrics.successful += 1;
        } else {
            metrics.failed += 1;
        }
    }

    /// The body of `GET /metrics`.
    pub(crate) fn metrics(&self) -> Value {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let total_ms = metrics.latency_total.as_secs_f64() * 1000.0;
        let average_ms = total_ms / metrics.requests.max(1) as f64;
        json!({
            "totalRequests": metrics.requests,
            "successfulDeliveries": metrics.successful,
            "failedDeliveries": metrics.failed,
            "averageLatencyMs": average_ms,
            "totalLatencyMs": total_ms,
        })
    }
}

/// The body of a refusal. Bodies are written out, not built, since their order is part of the words.
pub(crate) fn error(what: &str) -> String {
    format!(r#"{{"error":"{what}"}}"#)
}

#[cfg(test)]
pub(super) mod tests {
    use switchhook_core::verify::prove;

    use super::*;

    /// The headers with which `body` is believed.
    pub(in super::super) fn signed(secret: &Secret, body: &[u8]) -> HeaderMap {
        let rule = Harness::new(secret.clone(), None).rule;
        prove(&rule, "", body, &NoNames, UnixMs(0))
            .unwrap()
            .into_iter()
            .collect()
    }

    #[test]
    fn the_answers_are_those_of_the_contract_word_for_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead.jsonl");
        let secret = Secret::new(b"harness-secret-0123456789".to_vec());
        let harness = Harness::new(secret.clone(), Some(Lines::open(&path).unwrap()));
        let refused = r#"{"error":"Invalid payload structure"}"#;
        let cases: [(&[u8], _, _); 5] = [
            (
                br#"{"events":[1,2]}"#,
                200,
                r#"{"received":true,"eventCount":2}"#,
            ),
            (
                br#"{"events":[]}"#,
                200,
                r#"{"received":true,"eventCount":0}"#,
            ),
            (br#"{"events":{}}"#, 400, refused),
            (br#"{"event":[1]}"#, 400, refused),
            (b"no json", 400, refused),
        ];
        for (body, status, answer) in cases {
            let (got, text) = harness.judge(&signed(&secret, body), Some(body), UnixMs(7));
            assert_eq!((got.as_u16(), &*text), (status, answer));
            let unsigned = [HeaderMap::new(), signed(&Secret::new(vec![b'x'; 24]), body)];
            for headers in unsigned {
                let (got, text) = harness.judge(&headers, Some(body), UnixMs(7));
                assert_eq!(
                    (got.as_u16(), &*text),
                    (401, r#"{"error":"Invalid signature"}"#)
                );
            }
        }
        let (got, text) = harness.judge(&HeaderMap::new(), None, UnixMs(7));
        assert_eq!(
            (got.as_u16(), &*text),
            (413, r#"{"error":"Payload too large"}"#)
        );

        let dead = std::fs::read_to_string(path).unwrap();
        let payload = |line| serde_json::from_str::<Value>(line).unwrap()["payload"].take();
        let payloads: Vec<Value> = dead.lines().map(payload).collect();
        assert_eq!(
            payloads,
            [
                json!({"events": {}}),
                json!({"event": [1]}),
                json!("no json")
            ]
        );
    }
}
