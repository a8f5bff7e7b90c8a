//! API tokens: who may use the API, and for what.
//!
//! The token itself is in the answer that makes it, and nowhere else.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::access::Scope;
use switchhook_core::time::UnixMs;

use super::{fault, time};
use crate::duration;
use crate::problem::FieldError;

/// Requests a minute of an API token that does not say.
pub const TOKEN_RATE_DEFAULT: u32 = 6_000;
/// Most requests a minute that a token or client can be given: more than the gateway answers.
pub const RATE_MAX: u32 = 1_000_000;
/// Longest name of a token or client, in characters.
pub const CALLER_NAME_CHARS_MAX: usize = 64;

/// Makes an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// What the audit log calls its holder: 1 to 64 characters, like no other token or client.
    pub name: String,
    /// What it may do: `read`, `write`, `replay`, `secrets`, `admin`.
    pub scopes: Vec<String>,
    /// When it ends (RFC 3339); without this and `expiresIn`, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// After how long it ends, for example `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// Requests a minute, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
}

/// An API token, without the token itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// `tok_` and 32 digits. It says nothing of the token.
    pub id: String,
    /// What the audit log calls its holder.
    pub name: String,
    /// What it may do, as it was asked for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// Who made it; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it ends, or has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Whether it has ended.
    pub expired: bool,
    /// When it was last used, to a minute; absent when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Requests a minute.
    pub rate_per_minute: u32,
}

/// An API token that was just made. The only answer that has the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenMade {
    /// All about it.
    #[serde(flatten)]
    pub view: TokenView,
    /// The token, for `Authorization: Bearer`. Absent in a trial (`?dryRun=true`), which makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenMade")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// What tokens and clients have in common, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerTerms {
    /// When it ends.
    pub expires_at: Option<UnixMs>,
    /// Requests a minute.
    pub rate_per_minute: u32,
}

impl TokenRequest {
    /// The terms that it asks for.
    ///
    /// # Errors
    /// Every fault of the request.
    pub fn terms(&self, now: UnixMs) -> Result<CallerTerms, Vec<FieldError>> {
        let mut faults = Vec::new();
        check_name(&self.name, &mut faults);
        check_scopes(&self.scopes, &mut faults);
        let expires_at = expiry(
            self.expires_at.as_deref(),
            self.expires_in.as_deref(),
            now,
            &mut faults,
        );
        let rate_per_minute = rate(self.rate_per_minute, TOKEN_RATE_DEFAULT, &mut faults);
        let terms = CallerTerms {
            expires_at,
            rate_per_minute,
        };
        if faults.is_empty() {
            Ok(terms)
        } else {
            Err(faults)
        }
    }
}

pub(super) fn check_name(name: &str, faults: &mut Vec<FieldError>) {
    let chars = name.chars().count();
    if !(1..=CALLER_NAME_CHARS_MAX).contains(&chars) || name.trim() != name {
        let detail = format!(
            "`name` must have 1 to {CALLER_NAME_CHARS_MAX} characters and no space around them"
        );
        faults.push(fault("/name", detail, ""));
    } else if name.chars().any(char::is_control) {
        let detail = "`name` holds a control character".to_owned();
        faults.push(fault("/name", detail, ""));
    }
}

pub(super) fn check_scopes(scopes: &[String], faults: &mut Vec<FieldError>) {
    // Those after the first five are names that clients of the dialects have for `read` and `write`.
    let known = "known are read, write, replay, secrets, admin; webhook:read, notification:webhook:read, eventtype:read, \
                 integration:view and integrations:view stand for read; webhook:write, notification:webhook:write and \
                 integration:edit for write";
    if scopes.is_empty() {
        let detail = "`scopes` is empty: it could do nothing".to_owned();
        faults.push(fault("/scopes", detail, known));
    }
    let mut seen = BTreeSet::new();
    for (at, scope) in scopes.iter().enumerate() {
        let pointer = format!("/scopes/{at}");
        let shown: String = scope.chars().take(40).collect();
        if Scope::from_name(scope).is_none() {
            faults.push(fault(&pointer, format!("`{shown}` is no scope"), known));
        } else if !seen.insert(scope) {
            faults.push(fault(&pointer, format!("`{shown}` is named twice"), ""));
        }
        if faults.len() > 50 {
            // Enough to see what is wrong.
            break;
        }
    }
}

/// When it ends, of the two ways to say it.
pub(super) fn expiry(
    at: Option<&str>,
    span: Option<&str>,
    now: UnixMs,
    faults: &mut Vec<FieldError>,
) -> Option<UnixMs> {
    let (pointer, found) = match (at, span) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            let detail = "`expiresAt` and `expiresIn` say the same: set one".to_owned();
            faults.push(fault("/expiresIn", detail, ""));
            return None;
        }
        (Some(text), None) => (
            "/expiresAt",
            time::parse(text).map_err(|error| error.to_string()),
        ),
        (None, Some(text)) => {
            let span = duration::parse(text).map_err(|error| error.to_string());
            (
                "/expiresIn",
                span.map(|ms| UnixMs(now.0.saturating_add(ms))),
            )
        }
    };
    match found {
        Ok(expires_at) if expires_at > now => Some(expires_at),
        Ok(_) => {
            faults.push(fault(pointer, "it would have ended already".to_owned(), ""));
            None
        }
        Err(detail) => {
            faults.push(fault(pointer, detail, ""));
            None
        }
    }
}

pub(super) fn rate(asked: Option<u32>, default: u32, faults: &mut Vec<FieldError>) -> u32 {
    let rate = asked.unwrap_or(default);
    if !(1..=RATE_MAX).contains(&rate) {
        let detail = format!("`ratePerMinute` is {rate}, 1 to {RATE_MAX} are allowed");
        faults.push(fault("/ratePerMinute", detail, ""));
    }
    rate
}
