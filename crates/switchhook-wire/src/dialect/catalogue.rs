//! `GET /api/v2/eventtypes` (seed 003): what an event can be.

use serde::{Deserialize, Serialize};

/// An event type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventType {
    /// What a webhook names.
    pub id: String,
    /// A few words.
    pub name: String,
    /// What it tells.
    #[serde(default)]
    pub description: String,
}
