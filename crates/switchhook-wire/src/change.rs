//! What the client of a management API keeps about its changes: the journal, the dead letters, the audit lines, and the totals.
//!
//! All four are JSON lines in a directory of the caller. None has a secret in clear: [`Planned::body`] is masked where
//! [`Planned::is_masked`] says so, and such a change can only go on with the body given again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// When, RFC 3339.
    pub at: String,
    /// Which change, `chg_…`; empty in the line of totals.
    pub id: String,
    /// What happened to it.
    #[serde(flatten)]
    pub step: Step,
}

/// A step of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum Step {
    /// It is going to be made. Written before anything is sent.
    Planned(Planned),
    /// A request is about to go out. Written before it does.
    Tried(Tried),
    /// It is in force.
    Done(Done),
    /// It failed for good.
    Failed(Failed),
    /// What is counted of the changes whose lines were left out when the journal was made shorter.
    Totals(Totals),
}

/// One logical change: operation, target and body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Where: the base URL of the API.
    pub base: String,
    /// What is done, for example `webhook.apply`.
    pub operation: String,
    /// In which dialect, for example `webhooks`.
    pub dialect: String,
    /// To what: a name or an id.
    pub target: String,
    /// What it is to become, with secrets masked; `null` for a deletion.
    pub body: Value,
    /// Whether something in `body` is masked.
    #[serde(default)]
    pub is_masked: bool,
    /// Equal for equal changes: a keyed digest of base, operation, dialect, target and the true body.
    pub identity: String,
    /// Its idempotency key, the same in every try and after a restart.
    pub key: String,
}

/// A request of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// 1, 2, … over all requests of the change.
    pub number: u32,
    /// `POST`, `PUT`, …
    pub method: String,
    /// Its path.
    pub path: String,
}

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// What was done: `created`, `updated`, `unchanged`, `deleted`, `set`.
    pub result: String,
    /// Id of what it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Requests that it took, reads included.
    pub tries: u32,
    /// From its first request to its end, in milliseconds, waits included.
    pub latency_ms: u64,
}

/// A change that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Status of the last answer; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What is wrong, in words.
    pub error: String,
    /// Whether it is certain that it is not in force. If not, a repeat must use the same key.
    pub is_certain: bool,
    /// Requests that it took, reads included.
    pub tries: u32,
    /// From its first request to its end, in milliseconds, waits included.
    pub latency_ms: u64,
}

/// A change that failed for good, kept until somebody repeats or discards it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadChange {
    /// When it failed, RFC 3339.
    pub at: String,
    /// Its id, `chg_…`.
    pub id: String,
    /// When it was planned, RFC 3339: its key is worth something for 24 hours from then.
    pub planned_at: String,
    /// The change.
    #[serde(flatten)]
    pub change: Planned,
    /// The last request that may be in force although it had no good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Tried>,
    /// How it failed.
    #[serde(flatten)]
    pub failed: Failed,
}

/// One try, as it is audited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine {
    /// When it ended, RFC 3339.
    pub at: String,
    /// Which change, `chg_…`.
    pub change: String,
    /// What is done, for example `webhook.apply`.
    pub operation: String,
    /// To what.
    pub target: String,
    /// 1, 2, … over all requests of the change; 0 for the line that ends it.
    pub number: u32,
    /// `POST`, `PUT`, …; empty for the line that ends it.
    pub method: String,
    /// Path of the request; empty for the line that ends it.
    pub path: String,
    /// Status of the answer; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `answered`, `broken`, or for the line that ends it `done` or `failed`.
    pub outcome: String,
    /// How long it took, in milliseconds; for the line that ends it the whole change.
    pub latency_ms: u64,
    /// What is wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The answer's `ININ-Correlation-Id`: support asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Counts of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Changes that ended.
    pub total: u64,
    /// Those in force.
    pub succeeded: u64,
    /// Those that failed for good.
    pub failed: u64,
    /// Requests of all of them, reads included.
    pub tries: u64,
    /// Sum of their latencies, in milliseconds.
    pub latency_ms_sum: u64,
}

/// Totals with what follows from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The counts.
    #[serde(flatten)]
    pub totals: Totals,
    /// Share of the changes that are in force, in percent; 0 when there was none.
    pub success_rate: f64,
    /// Average latency, in milliseconds; 0 when there was none.
    pub average_latency_ms: f64,
}

impl Totals {
    /// Counts one more change.
    pub const fn add(&mut self, succeeded: bool, tries: u32, latency_ms: u64) {
        self.total += 1;
        if succeeded {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
        self.tries += tries as u64;
        self.latency_ms_sum = self.latency_ms_sum.saturating_add(latency_ms);
    }

    /// Success rate and average latency.
    #[must_use]
    pub fn figures(self) -> Figures {
        let share = |part: u64| {
            if self.total == 0 {
                0.0
            } else {
                part as f64 / self.total as f64
            }
        };
        Figures {
            totals: self,
            success_rate: share(self.succeeded) * 100.0,
            average_latency_ms: share(self.latency_ms_sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_the_journal_reads_back_as_itself() {
        let planned = Planned {
            base: "https://api.example.com/".into(),
            operation: "webhook.apply".into(),
            dialect: "webhooks".into(),
            target: "analytics-1".into(),
            body: json!({"name": "analytics-1"}),
            is_masked: false,
            identity: "aa".into(),
            key: "k".into(),
        };
        let tried = Tried {
            number: 1,
            method: "POST".into(),
            path: "/api/v2/webhooks".into(),
        };
        let steps = [
            Step::Planned(planned),
            Step::Tried(tried),
            Step::Done(Done {
                result: "created".into(),
                object: Some("1".into()),
                tries: 1,
                latency_ms: 5,
            }),
            Step::Failed(Failed {
                status: None,
                error: "e".into(),
                is_certain: false,
                tries: 4,
                latency_ms: 9,
            }),
            Step::Totals(Totals {
                total: 2,
                succeeded: 1,
                failed: 1,
                tries: 5,
                latency_ms_sum: 14,
            }),
        ];
        for step in steps {
            let line = Line {
                at: "2026-11-20T10:00:00.000Z".into(),
                id: "chg_1".into(),
                step,
            };
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }

    #[test]
    fn figures_follow_from_the_totals_and_nothing_gives_zero() {
        let mut totals = Totals::default();
        assert_eq!(totals.figures().success_rate.to_bits(), 0.0_f64.to_bits());
        totals.add(true, 1, 10);
        totals.add(true, 2, 20);
        totals.add(false, 4, 90);
        totals.add(true, 1, 0);
        let json = serde_json::to_value(totals.figures()).unwrap();
        assert_eq!(json["successRate"], 75.0);
        assert_eq!(json["averageLatencyMs"], 30.0);
        assert_eq!((&json["total"], &json["tries"]), (&json!(4), &json!(8)));
    }
}
