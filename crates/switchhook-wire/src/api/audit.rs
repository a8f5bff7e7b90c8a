//! The audit log: what people and programs did through the API or the command line, and the checkpoints that prove it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// 1, 2, … without gaps.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who: the name of the token.
    pub actor: String,
    /// What, for example `replay.start`.
    pub action: String,
    /// To what, for example `subscription/web-to-crm`.
    pub object: String,
    /// What else is known, without secrets.
    pub detail: Value,
    /// SHA-256 over the hash of the entry before and this one, in hex.
    #[serde(default)]
    pub hash: String,
}

/// Newest entries first.
pub type AuditList = super::Page<AuditView>;

/// The query of the audit log. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditQuery {
    /// Done by this one: the name of a token or client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Exactly this, for example `resource.put`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// To this, for example `endpoint/crm`; `endpoint` stands for every one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Done at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Done before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Numbers below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// A line of the export: an entry with exactly what was hashed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine {
    /// 1, 2, … without gaps.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who: the name of the token.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// What else is known: the JSON text, character by character.
    pub detail: String,
    /// SHA-256 over the hash of the entry before and this one, in hex.
    pub hash: String,
}

/// What is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditExportQuery {
    /// The first number; 1 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// A signed checkpoint: how long the audit log was, and the hash of its last entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointView {
    /// Number of the last entry.
    pub entries: u64,
    /// When it was made.
    pub at: String,
    /// The signed note (`c2sp.org/tlog-checkpoint`), to be kept as it is.
    pub note: String,
}

/// Oldest checkpoints first.
pub type CheckpointList = super::Page<CheckpointView>;

/// The query of the checkpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CheckpointQuery {
    /// Of more entries than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// What checkpoints are checked with. The store keeps it in the same form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditKey {
    /// The id of the store, which every checkpoint names.
    pub store: String,
    /// The public key: name, id and key, joined by `+` (`c2sp.org/signed-note`).
    pub key: String,
}

impl AuditKey {
    /// Name of the setting of the store that has it.
    pub const SETTING: &'static str = "audit";
}

/// Which checkpoint was written to the file last. The store keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointFileMark {
    /// The path of the file: another one gets every checkpoint that is kept.
    pub file: String,
    /// Number of the last entry of that checkpoint.
    pub entries: u64,
}
