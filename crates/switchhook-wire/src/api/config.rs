//! The gateway's own configuration: what is in force and where it comes from, its versions, and going back to one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Owner;

/// What is in force now, and how it stands to the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigView {
    /// The configuration file; absent where the gateway was started without one that can be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The version that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ConfigVersion>,
    /// SHA-256 of the file as it was last read, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_hash: Option<String>,
    /// Why the file does not count at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<ConfigPin>,
    /// How the last reading of the file ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_read: Option<ConfigRead>,
    /// Settings of the version in force that count only after a restart.
    pub restart_needed: Vec<String>,
    /// The settings that are at work.
    pub settings: ConfigSettings,
    /// Every resource, with its owner; the bodies are under `/v1/sources` and so on.
    pub resources: Vec<ConfigResource>,
}

/// A version of the configuration file that was in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigVersion {
    /// 1, 2, …
    pub number: u64,
    /// Since when.
    pub at: String,
    /// Who put it in force: the name of a token, or `start`, `signal` or `watch`.
    pub actor: String,
    /// How.
    pub cause: ConfigCause,
    /// SHA-256 of its text, in hex.
    pub hash: String,
    /// The version whose text it has, after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_of: Option<u64>,
    /// What differs from the version before, by name. Absent from the first.
    #[serde(default)]
    pub changes: Vec<ConfigChange>,
}

/// How a version came in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigCause {
    /// The gateway was started with it.
    #[default]
    Start,
    /// The file was read again.
    Reload,
    /// Somebody went back to an earlier version.
    Rollback,
}

impl ConfigCause {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Rollback => "rollback",
        }
    }
}

/// Something of the file that differs between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigChange {
    /// For example `endpoint/crm`, `secret/web` or `retention`.
    pub object: String,
    /// What became of it.
    pub change: ConfigChangeKind,
}

/// What became of a part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigChangeKind {
    /// It was not there.
    Created,
    /// It says something else.
    Changed,
    /// It is gone.
    Deleted,
}

impl ConfigChangeKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
        }
    }
}

/// Versions, the newest first.
pub type ConfigVersionList = super::Page<ConfigVersion>;

/// The query of the list of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConfigVersionQuery {
    /// Numbers below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// A version that counts in place of the file, until the file has another text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigPin {
    /// The version that is in force.
    pub version: u64,
    /// SHA-256 of the text of the file that it was rolled back from, in hex.
    pub file_hash: String,
}

/// How a reading of the file ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigRead {
    /// When.
    pub at: String,
    /// Whether what the file says is in force.
    pub succeeded: bool,
    /// Why it is not: one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The settings that are no resources, with every default filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigSettings {
    /// Where events come in.
    pub ingest: String,
    /// Where the API is.
    pub admin: String,
    /// Directory of the store.
    pub data_dir: String,
    /// How long requests under way may take to end when the gateway stops.
    pub shutdown_drain_ms: u64,
    /// Connections that a listener keeps open at once.
    pub max_connections: u32,
    /// Requests under way at once, over all endpoints.
    pub concurrency: u64,
    /// `fsync` or `os`.
    pub durability: String,
    /// How long events stay.
    pub retention_events_ms: u64,
    /// How long attempts stay.
    pub retention_attempts_ms: u64,
    /// How long dead letters stay.
    pub retention_dead_ms: u64,
    /// Bytes on disk above which the oldest events go earlier; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes_max: Option<u64>,
    /// Raised from this lag on, in events; absent when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_lag: Option<u64>,
    /// Raised from this age of the backlog on; absent when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_backlog_age_ms: Option<u64>,
    /// Raised from this share of the disk on, in thousandths; absent when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_disk_per_mille: Option<u64>,
}

/// A resource and who owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigResource {
    /// `source`, `endpoint`, `group`, `subscription` or `policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Who may change it.
    pub owner: Owner,
    /// File and line, for one of the gateway's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defined_at: Option<String>,
    /// The file that declares it by `switchhook apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Its version; 0 for one of the file.
    pub version: u64,
}

/// What a reload or a rollback did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigReloaded {
    /// The version that is in force now.
    pub version: u64,
    /// Whether anything differs from before.
    pub changed: bool,
    /// What differs, by name.
    pub changes: Vec<ConfigChange>,
    /// Settings that count only after a restart.
    pub restart_needed: Vec<String>,
    /// Set while the version counts in place of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<ConfigPin>,
    /// Only tried: nothing was changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// Goes back to an earlier version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConfigRollback {
    /// Which; the one before the one in force when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}
