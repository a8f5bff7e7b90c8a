//! The gateway itself: figures, readiness, version, store, and what a probe of an endpoint found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::breaker::Stopped;

/// Figures of one endpoint or subscription. Counts are since start unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowStats {
    /// Its name.
    pub name: String,
    /// Of a subscription: why it sends nothing; absent where it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Attempts a second, over the last 10 s.
    pub rate_per_second: f64,
    /// 99th percentile of the duration of attempts over the last minute; absent without attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Requests under way now.
    pub in_flight: u64,
    /// Deliveries waiting now.
    pub waiting: u64,
    /// Of these, held.
    pub held: u64,
    /// Dead letters now.
    pub dead: u64,
    /// Events in the log that have not been looked at yet.
    pub lag: u64,
    /// Deliveries done.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// Figures of one source. Counts are since start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStats {
    /// Its name.
    pub name: String,
    /// Events accepted a second, over the last 10 s.
    pub rate_per_second: f64,
    /// 99th percentile of the time from the head of a request to its answer, over the last minute; absent without
    /// accepted events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_p99_ms: Option<f64>,
    /// Events accepted.
    pub accepted: u64,
    /// Repeats recognised.
    pub duplicates: u64,
    /// Requests refused.
    pub rejected: u64,
}

/// Figures over everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalStats {
    /// Events accepted since start.
    pub accepted: u64,
    /// Repeats recognised since start.
    pub duplicates: u64,
    /// Requests refused by ingest since start.
    pub rejected: u64,
    /// Deliveries done since start.
    pub delivered: u64,
    /// Dead letters now.
    pub dead: u64,
    /// Deliveries waiting now.
    pub waiting: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// The largest lag of a subscription now.
    pub lag: u64,
}

/// All figures at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// When.
    pub at: String,
    /// When the gateway started.
    pub started_at: String,
    /// Everything.
    pub totals: TotalStats,
    /// By source.
    #[serde(default)]
    pub sources: Vec<SourceStats>,
    /// By endpoint.
    pub endpoints: Vec<FlowStats>,
    /// By subscription.
    pub subscriptions: Vec<FlowStats>,
}

/// Whether the gateway can do its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadyView {
    /// Whether every check holds.
    pub ready: bool,
    /// Each thing that it needs.
    pub checks: Vec<ReadyCheck>,
}

/// One thing that the gateway needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadyCheck {
    /// For example `store`.
    pub name: String,
    /// Whether it is there.
    pub ready: bool,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    /// For example `0.1.0`.
    pub version: String,
    /// The store engine.
    pub store: String,
}

/// The store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// For example `embedded`.
    pub engine: String,
    /// Where it lies.
    pub data_dir: String,
    /// `fsync` or `os`.
    pub durability: String,
    /// Events in the log.
    pub events: u64,
    /// The oldest offset in the log; `endOffset` when it is empty.
    #[serde(default)]
    pub first_offset: u64,
    /// The next offset to be given.
    pub end_offset: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes free where it lies; absent in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Deliveries waiting.
    pub waiting: u64,
    /// Dead letters by endpoint and reason.
    pub dead: Vec<DeadCount>,
    /// What may be forgotten, and what was.
    #[serde(default)]
    pub retention: RetentionStatus,
}

/// How long things stay, and what retention has done since start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionStatus {
    /// Delivered events stay for this long.
    pub events_ms: u64,
    /// Attempts stay for this long.
    pub attempts_ms: u64,
    /// Dead letters stay for this long.
    pub dead_ms: u64,
    /// The store may take so many bytes; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// When it last did something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    /// Events that are gone.
    pub events: u64,
    /// Attempts that are gone.
    pub attempts: u64,
    /// Dead letters that are gone.
    pub dead: u64,
    /// Bytes given back to the file system.
    pub bytes: u64,
}

/// From when on the gateway raises an alert, and whether it does now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    /// For example `lag`, `backlog-age` or `disk`.
    pub name: String,
    /// The figure from which on it is raised; absent when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// Unit of the figure: `events`, `ms` or `per-mille`.
    pub unit: String,
    /// Whether it is raised now.
    pub raised: bool,
    /// About what, for example `subscription/web-to-crm`, with the figure now.
    pub about: Vec<AlertSubject>,
}

/// What an alert is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertSubject {
    /// For example `subscription/web-to-crm`.
    pub object: String,
    /// The figure now, in the unit of the threshold.
    pub value: u64,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// All alerts, by name.
pub type AlertList = super::Page<AlertStatus>;

/// A number of dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadCount {
    /// Endpoint name.
    pub endpoint: String,
    /// Why they were given up.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What a probe of an endpoint found. Advice only: no state changes because of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeView {
    /// Endpoint name.
    pub endpoint: String,
    /// `HEAD`, or `GET` where that was refused.
    pub method: String,
    /// Status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many addresses its name has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<u64>,
    /// Time to resolve the name; absent where the URL has an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_ms: Option<f64>,
    /// Time to connect, refused addresses before it included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<f64>,
    /// Time of the TLS handshake; absent for plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ms: Option<f64>,
    /// Time from the request to the head of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    /// Time in all.
    pub total_ms: f64,
    /// For example `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// What to look at, in sentences.
    pub advice: Vec<String>,
}
