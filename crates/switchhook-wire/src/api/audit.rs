//! The audit log: what people and programs did through the API or the command line.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// Newest entries first.
pub type AuditList = super::Page<AuditView>;

/// The query of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditQuery {
    /// Numbers below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}
