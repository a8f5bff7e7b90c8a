//! `[[test]]`: what a configuration says about itself. One event goes in; what must come out is written down.
//!
//! ```toml
//! [[test]]
//! name = "429 waits at least 30 s"
//! subscription = "web-to-crm"
//! event = { source = "web", type = "Text", data = { id = "1" } }
//! given = { status = 429, headers = { Retry-After = "30" } }
//! expect = { matches = ["web-to-crm"], verdict = "retry", delay = ">= 30s" }
//! ```
//!
//! A test is checked here and run elsewhere: nothing is read, sent or decided in this file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use switchhook_core::delivery::{Failure, OutcomeKind, Verdict};
use switchhook_core::filter::KIND_BYTES_MAX;
use switchhook_core::retry::ATTEMPTS_MAX;
use switchhook_core::source::BODY_BYTES_MAX;

use super::codes;
use super::document::{Document, Path};
use super::link::{Need, Target};
use super::node::{self, Value};
use super::problem::Problem;
use super::read::{Item, Report, Table, shown};
use super::subscription::reference;
use crate::duration;

const KEYS: [&str; 7] = [
    "name",
    "subscription",
    "event",
    "event_file",
    "given",
    "attempt",
    "expect",
];
/// Most tests of a file.
const TESTS_MAX: usize = 1_000;
/// Most names in `matches`, and most headers.
const LIST_MAX: usize = 100;

/// One test, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What it says.
    pub name: String,
    /// File and line, for example `switchhook.toml:42`.
    pub defined_at: Option<String>,
    /// The subscription it is about; all when absent.
    pub subscription: Option<Arc<str>>,
    /// What comes in.
    pub event: Given,
    /// What the endpoint answers, where the test is about that.
    pub answer: Option<Answer>,
    /// Which attempt gets the answer: 1, 2, …
    pub attempt: u16,
    /// What must come out.
    pub expect: Expect,
}

/// The event of a test.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Written out.
    Event(Event),
    /// In a file of JSON in the shape of `event`, to be read with [`Event::from_json`].
    File(PathBuf),
}

/// An event as a test writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Name of its source.
    pub source: Arc<str>,
    /// Event type.
    pub kind: Arc<str>,
    /// Ordering key.
    pub key: Option<Arc<str>>,
    /// Headers kept, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON text of `data`, or `body` as it is.
    pub body: String,
}

/// What an endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A status, or why there is none.
    pub outcome: OutcomeKind,
    /// Headers of the answer, names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What must come out. What is absent is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expect {
    /// Exactly these subscriptions take the event; of all, or of the one that the test is about.
    pub matches: Option<Vec<Arc<str>>>,
    /// The body that is sent: text for a body that is not JSON, else compared as JSON.
    pub body: Option<Json>,
    /// Headers that are sent, names in lower case; others may be sent too.
    pub headers: BTreeMap<String, String>,
    /// What is decided about the answer.
    pub verdict: Option<Verdict>,
    /// When the next attempt is due, counted from the end of this one.
    pub delay: Option<Delay>,
}

/// A span of time that a delay must lie in, whatever the jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Not shorter.
    pub earliest_ms: u64,
    /// Not longer; `u64::MAX` for no end.
    pub latest_ms: u64,
}

impl Event {
    /// Reads an event that lies in a file of its own.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn from_json(json: &Json) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(Document::default());
        let tree = node::from_json(json);
        let item = Item {
            node: &tree,
            path: Path::default(),
        };
        let event = event(&item, &mut report, &mut Vec::new());
        event.ok_or_else(|| report.finish())
    }
}

impl Delay {
    /// Reads `5s`, `>= 30s`, `<= 1m` or `5s..7s`.
    ///
    /// # Errors
    /// When a part is no duration, or the range is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let span = |text: &str| duration::parse(text.trim()).map_err(|error| error.to_string());
        let (earliest_ms, latest_ms) = if let Some(low) = text.strip_prefix(">=") {
            (span(low)?, u64::MAX)
        } else if let Some(high) = text.strip_prefix("<=") {
            (0, span(high)?)
        } else if let Some((low, high)) = text.split_once("..") {
            (span(low)?, span(high)?)
        } else {
            (span(text)?, span(text)?)
        };
        if earliest_ms > latest_ms {
            return Err(format!(
                "`{}` is empty: it ends before it begins",
                shown(text)
            ));
        }
        Ok(Self {
            earliest_ms,
            latest_ms,
        })
    }

    /// Whether every delay from `earliest_ms` to `latest_ms` lies in it.
    #[must_use]
    pub const fn holds(&self, band: &RangeInclusive<u64>) -> bool {
        *band.start() >= self.earliest_ms && *band.end() <= self.latest_ms
    }
}

/// All tests of a file.
pub(super) fn read_all(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Vec<Test>> {
    report.each(item, 0..=TESTS_MAX, |item, report| {
        read(item, report, needs)
    })
}

fn read(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<Test> {
    let table = report.table(item, &KEYS)?;
    let name = table
        .need("name", report)
        .and_then(|item| report.text(&item));
    let subscription = table.or("subscription", None, |item| {
        reference(item, report, needs, Target::Subscription).map(Some)
    });
    let event = match table.one_of(&["event", "event_file"], report) {
        Some(("event", item)) => event(&item, report, needs).map(Given::Event),
        Some((_, item)) => {
            let path = report.text(&item);
            path.map(|path| Given::File(PathBuf::from(&path.text)))
        }
        None => None,
    };
    let answer = table.or("given", None, |item| answer(item, report).map(Some));
    let attempt = table.or("attempt", 1, |item| report.integer(item, 1..=ATTEMPTS_MAX));
    let expect = table
        .need("expect", report)
        .and_then(|item| expect(&item, table.get("given").is_some(), report, needs));
    Some(Test {
        name: name?.text.clone(),
        defined_at: report.document.line(&item.node.span),
        subscription: subscription?,
        event: event?,
        answer: answer?,
        attempt: attempt?,
        expect: expect?,
    })
}

fn event(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<Event> {
    let keys = ["source", "type", "key", "headers", "data", "body"];
    let table = report.table(item, &keys)?;
    let source = table
        .need("source", report)
        .and_then(|item| reference(&item, report, needs, Target::Source));
    let kind = table.need("type", report).and_then(|item| {
        let text = &report.text(&item)?.text;
        if text.len() > KIND_BYTES_MAX {
            report.out_of_range(&item, format!("{} bytes", text.len()), 1, KIND_BYTES_MAX);
            return None;
        }
        Some(Arc::from(text.as_str()))
    });
    let key = table.or("key", None, |item| {
        report
            .text(item)
            .map(|text| Some(text.text.as_str().into()))
    });
    let headers = headers(&table, report);
    let body = table
        .one_of(&["data", "body"], report)
        .and_then(|(key, item)| {
            let body = if key == "data" {
                report.json(&item)?.to_string()
            } else {
                report.text(&item)?.text.clone()
            };
            if body.len() > BODY_BYTES_MAX {
                report.out_of_range(&item, format!("{} bytes", body.len()), 0, BODY_BYTES_MAX);
                return None;
            }
            Some(body)
        });
    Some(Event {
        source: source?,
        kind: kind?,
        key: key?,
        headers: headers?,
        body: body?,
    })
}

fn headers(table: &Table<'_>, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let Some(item) = table.get("headers") else {
        return Some(BTreeMap::new());
    };
    let fields = report.open_table(&item)?.fields;
    if fields.len() > LIST_MAX {
        let n = fields.len();
        let message = format!("{n} headers are too many, at most {LIST_MAX} are allowed");
        report.add(codes::TOO_MANY, &item, message, None);
        return None;
    }
    let mut headers = BTreeMap::new();
    for field in fields {
        let text = report.text(&item.child(field));
        headers.extend(text.map(|text| (field.key.to_ascii_lowercase(), text.text.clone())));
    }
    (headers.len() == fields.len()).then_some(headers)
}

fn answer(item: &Item<'_>, report: &mut Report) -> Option<Answer> {
    let table = report.table(item, &["status", "error", "headers"])?;
    let headers = headers(&table, report);
    let outcome = match table.one_of(&["status", "error"], report)? {
        ("status", item) => report.integer(&item, 100..=599).map(OutcomeKind::Status),
        (_, item) => {
            let failures: Vec<_> = Failure::ALL.iter().map(|f| (f.name(), *f)).collect();
            report.choice(&item, &failures).map(OutcomeKind::Failed)
        }
    };
    let outcome = outcome?;
    if let (OutcomeKind::Failed(_), Some(item)) = (outcome, table.get("headers")) {
        let message = "without an answer there are no headers".to_owned();
        report.add(codes::EXPECTATION, &item, message, None);
    }
    Some(Answer {
        outcome,
        headers: headers?,
    })
}

fn expect(
    item: &Item<'_>,
    is_answered: bool,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Expect> {
    let keys = ["matches", "body", "headers", "verdict", "delay"];
    let table = report.table(item, &keys)?;
    if keys.iter().all(|key| table.get(key).is_none()) {
        let message = "the test expects nothing, so it cannot fail".to_owned();
        report.add(codes::EXPECTATION, item, message, None);
        return None;
    }
    let matches = table.or("matches", None, |item| {
        matches(item, report, needs).map(Some)
    });
    let body = table.or("body", None, |item| report.json(item).map(Some));
    let headers = headers(&table, report);
    let verdicts = [
        ("retry", Verdict::Retry),
        ("done", Verdict::Delivered),
        ("dead", Verdict::Dead),
        ("hold", Verdict::Hold),
    ];
    let verdict = table.or("verdict", None, |item| {
        report.choice(item, &verdicts).map(Some)
    });
    let delay = table.or("delay", None, |item| {
        report
            .parsed(item, codes::EXPECTATION, Delay::parse)
            .map(Some)
    });
    for item in ["verdict", "delay"].iter().filter_map(|key| table.get(key)) {
        if !is_answered {
            let message = "what follows from an answer is asked for, and no answer is given";
            let hint = "write `given = { status = … }` or `given = { error = \"…\" }`".to_owned();
            report.add(codes::EXPECTATION, &item, message.to_owned(), Some(hint));
        }
    }
    Some(Expect {
        matches: matches?,
        body: body?,
        headers: headers?,
        verdict: verdict?,
        delay: delay?,
    })
}

/// Names of subscriptions; `false` for none.
fn matches(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<Vec<Arc<str>>> {
    if item.node.value == Value::Bool(false) {
        return Some(Vec::new());
    }
    report.each(item, 1..=LIST_MAX, |item, report| {
        reference(item, report, needs, Target::Subscription)
    })
}
