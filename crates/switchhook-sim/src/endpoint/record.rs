//! What a receiver keeps of the requests it got: exact counters, and which deliveries it took.
//!
//! An entry is made before the answer leaves, so a delivery that the gateway believes done is always
//! in the record of the receiver; the record may hold more (an answer can get lost on the way).
//! Bounds: [`DELIVERIES_MAX`] delivery ids in memory; what is beyond is counted as `unkept`, and an
//! audit that finds any must say so. With a file, each entry is one line of JSON and one write.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use serde_json::{Value, json};
use switchhook_core::id::DeliveryId;
use switchhook_core::time::UnixMs;

/// Delivery ids kept per receiver: about 50 MB when full.
pub const DELIVERIES_MAX: usize = 1_000_000;

/// Longest header text written to a record file, in characters.
const TEXT_LEN_MAX: usize = 128;

/// How a request ended for the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Status(u16),
    /// With RST.
    Reset,
    /// With nothing, until it gave up.
    Silence,
}

/// The record of one receiver.
#[derive(Debug)]
pub struct Record {
    name: Arc<str>,
    tally: Mutex<Tally>,
    file: Option<Arc<Lines>>,
}

#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    statuses: BTreeMap<u16, u64>,
    resets: u64,
    silences: u64,
    /// Times a 2xx was answered, by delivery.
    taken: HashMap<DeliveryId, u32>,
    repeats: u64,
    unkept: u64,
}

/// The counters of one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Requests that arrived, however they ended.
    pub requests: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests ended with RST.
    pub resets: u64,
    /// Requests never answered.
    pub silences: u64,
    /// Different deliveries answered with 2xx.
    pub delivered: u64,
    /// 2xx answers to a delivery that had one already.
    pub repeats: u64,
    /// 2xx answers without a delivery id, or beyond [`DELIVERIES_MAX`]: not in `delivered`.
    pub unkept: u64,
}

impl Record {
    pub(crate) fn new(name: Arc<str>, file: Option<Arc<Lines>>) -> Self {
        Self {
            name,
            tally: Mutex::default(),
            file,
        }
    }

    /// Enters one request. Must come before the answer is sent.
    pub(crate) fn enter(&self, at: UnixMs, headers: &HeaderMap, end: End) {
        let delivery = text(headers, "x-delivery-id");
        let id = delivery.and_then(|id| id.parse().ok());
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .enter(id, end);
        let Some(file) = &self.file else { return };
        let cut =
            |name| text(headers, name).map(|t| t.chars().take(TEXT_LEN_MAX).collect::<String>());
        let (status, how) = match end {
            End::Status(status) => (Some(status), "answered"),
            End::Reset => (None, "reset"),
            End::Silence => (None, "silence"),
        };
        file.write(&json!({
            "at": at.0,
            "receiver": &*self.name,
            "delivery": cut("x-delivery-id"),
            "attempt": cut("x-delivery-attempt"),
            "end": how,
            "status": status,
        }));
    }

    /// The counters as they stand.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Summary {
            requests: tally.requests,
            statuses: tally.statuses.clone(),
            resets: tally.resets,
            silences: tally.silences,
            delivered: tally.taken.len() as u64,
            repeats: tally.repeats,
            unkept: tally.unkept,
        }
    }

    /// How often `delivery` was answered with 2xx.
    #[must_use]
    pub fn taken(&self, delivery: DeliveryId) -> u32 {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.taken.get(&delivery).copied().unwrap_or(0)
    }
}

impl Tally {
    fn enter(&mut self, id: Option<DeliveryId>, end: End) {
        self.requests += 1;
        match end {
            End::Status(status) => *self.statuses.entry(status).or_default() += 1,
            End::Reset => self.resets += 1,
            End::Silence => self.silences += 1,
        }
        if !matches!(end, End::Status(200..=299)) {
            return;
        }
        let full = self.taken.len() >= DELIVERIES_MAX;
        match id {
            Some(id) if !full || self.taken.contains_key(&id) => {
                let times = self.taken.entry(id).or_default();
                self.repeats += u64::from(*times > 0);
                *times = times.saturating_add(1);
            }
            Some(_) | None => self.unkept += 1,
        }
    }
}

impl Summary {
    /// As JSON, the shape of `GET /records`.
    #[must_use]
    pub fn json(&self) -> Value {
        let statuses: serde_json::Map<_, _> = self
            .statuses
            .iter()
            .map(|(status, count)| (status.to_string(), json!(count)))
            .collect();
        json!({
            "requests": self.requests,
            "statuses": statuses,
            "resets": self.resets,
            "silences": self.silences,
            "delivered": self.delivered,
            "repeats": self.repeats,
            "unkept": self.unkept,
        })
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A file of JSON lines that is only appended to. Each line is one write, so that a reader or a
/// killed process never leaves two lines mixed.
#[derive(Debug)]
pub(crate) struct Lines(Mutex<File>);

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Arc::new(Self(Mutex::new(file))))
    }

    pub(crate) fn write(&self, line: &Value) {
        let mut text = line.to_string();
        text.push('\n');
        let written = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(text.as_bytes());
        if let Err(error) = written {
            tracing::error!(%error, "a record could not be written; the file is not complete");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(delivery: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("x-delivery-id"),
            delivery.parse().unwrap(),
        )])
    }

    const ID: &str = "dlv_01932b5f000070008000000000000001";

    #[test]
    fn a_delivery_counts_once_and_its_repeats_apart() {
        let record = Record::new("crm".into(), None);
        for end in [
            End::Status(503),
            End::Reset,
            End::Silence,
            End::Status(200),
            End::Status(202),
        ] {
            record.enter(UnixMs(1), &headers(ID), end);
        }
        record.enter(UnixMs(1), &HeaderMap::new(), End::Status(200));
        let expected = Summary {
            requests: 6,
            statuses: [(200, 2), (202, 1), (503, 1)].into(),
            resets: 1,
            silences: 1,
            delivered: 1,
            repeats: 1,
            unkept: 1,
        };
        assert_eq!(record.summary(), expected);
        assert_eq!(record.taken(ID.parse().unwrap()), 2);
    }

    #[test]
    fn a_file_gets_one_line_for_each_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        let record = Record::new("crm".into(), Some(Lines::open(&path).unwrap()));
        record.enter(UnixMs(7), &headers(ID), End::Status(200));
        record.enter(UnixMs(8), &HeaderMap::new(), End::Reset);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["delivery"], ID);
        assert_eq!(
            (&lines[0]["at"], &lines[0]["status"]),
            (&json!(7), &json!(200))
        );
        assert_eq!(
            (&lines[1]["end"], &lines[1]["status"]),
            (&json!("reset"), &Value::Null)
        );
    }
}
