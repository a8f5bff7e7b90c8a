//! The bodies of the `/v1` API: what the server writes and the CLI reads.
//!
//! Conventions: camelCase; times are RFC 3339 in UTC with milliseconds; spans are whole milliseconds and
//! say so in their name; ids are prefixed text; a member that has no value is left out. Lists are a
//! [`Page`]. Requests refuse unknown members, so that a misspelt filter cannot select everything; answers
//! may gain members. Words for states and reasons are those of `switchhook_core::delivery`.

mod audit;
mod breaker;
mod client;
mod config;
mod delivery;
mod event;
mod explain;
mod gateway;
mod group;
mod job;
mod resource;
mod secret;
mod selection;
pub mod time;
mod token;
mod trial;

pub use audit::*;
pub use breaker::*;
pub use client::*;
pub use config::*;
pub use delivery::*;
pub use event::*;
pub use explain::*;
pub use gateway::*;
pub use group::*;
pub use job::*;
pub use resource::*;
use schemars::JsonSchema;
pub use secret::*;
pub use selection::*;
use serde::{Deserialize, Serialize};
pub use token::*;

use crate::problem::FieldError;
pub use trial::*;

/// Entities of a list page when the request does not say.
pub const PAGE_SIZE_DEFAULT: usize = 50;
/// Most entities of one page: a bound on the memory and time of one answer.
pub const PAGE_SIZE_MAX: usize = 500;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What was asked for.
    pub entities: Vec<T>,
    /// Path and query of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_uri: Option<String>,
    /// Most entities that a page of this request holds.
    pub page_size: usize,
}

/// The query of a list that is in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ListQuery {
    /// Names after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// Something wrong in a request that its form alone does not show; an empty hint is none.
fn fault(pointer: &str, detail: String, hint: &str) -> FieldError {
    FieldError {
        pointer: pointer.to_owned(),
        code: "invalid".to_owned(),
        detail,
        hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
    }
}

#[cfg(test)]
mod tests;
