//! The gateway itself: figures, readiness, version, store, and what a probe of an endpoint found.

use serde::{Deserialize, Serialize};

/// Figures of one endpoint or subscription. Counts are since start unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStats {
    /// Its name.
    pub name: String,
    /// Attempts a second, over the last minute.
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

/// Figures over everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// When.
    pub at: String,
    /// When the gateway started.
    pub started_at: String,
    /// Everything.
    pub totals: TotalStats,
    /// By endpoint.
    pub endpoints: Vec<FlowStats>,
    /// By subscription.
    pub subscriptions: Vec<FlowStats>,
}

/// Whether the gateway can do its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyView {
    /// Whether every check holds.
    pub ready: bool,
    /// Each thing that it needs.
    pub checks: Vec<ReadyCheck>,
}

/// One thing that the gateway needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    /// For example `0.1.0`.
    pub version: String,
    /// The store engine.
    pub store: String,
}

/// The store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A number of dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// Time to resolve the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_ms: Option<f64>,
    /// Time to connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<f64>,
    /// Time of the TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ms: Option<f64>,
    /// Time in all.
    pub total_ms: f64,
    /// For example `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// What to look at, in sentences.
    pub advice: Vec<String>,
}
