//! What the store keeps of tokens and OAuth clients. Of what authenticates somebody it has the SHA-256 only.
//!
//! Members that are not known are passed over, so that an older version reads what a newer one wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An API token, or an access token of an OAuth client. It is kept under the hex SHA-256 of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenKept {
    /// `tok_` and 32 digits.
    pub id: String,
    /// What the audit log calls its holder.
    pub name: String,
    /// What it may do, as it was asked for.
    pub scopes: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Requests a minute; the default where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// Whose access token it is; absent for an API token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// An OAuth client, kept under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientKept {
    /// What the audit log calls it.
    pub name: String,
    /// What it may do, as it was asked for.
    pub scopes: Vec<String>,
    /// Hex SHA-256 of its secret.
    pub secret: String,
    /// The secret before that one, while it still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    /// How long an access token lives, in milliseconds.
    pub access_token_life_ms: u64,
    /// Requests a minute.
    pub rate_per_minute: u32,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecret {
    /// Hex SHA-256.
    pub secret: String,
    /// Until when it counts, in milliseconds since 1970.
    pub until: u64,
}

/// When each token and client was last used, in milliseconds since 1970, by id.
pub type LastUse = BTreeMap<String, u64>;
