//! OAuth clients: programs that fetch a token with an id and a secret.
//!
//! The secret is in the answer that makes it, and nowhere else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::time::UnixMs;

use super::fault;
use super::token::{CallerTerms, check_name, check_scopes, expiry, rate};
use crate::duration;
use crate::problem::FieldError;

/// Requests a minute of a client that does not say: that of Genesys Cloud (`facts/genesys.md`).
pub const CLIENT_RATE_DEFAULT: u32 = 300;
/// How long an access token lives when its client does not say, in milliseconds: 24 hours, as `wire.md` promises.
pub const ACCESS_TOKEN_LIFE_DEFAULT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Shortest life of an access token, in milliseconds.
pub const ACCESS_TOKEN_LIFE_MIN_MS: u64 = 300 * 1_000;
/// Longest life of an access token, in milliseconds.
pub const ACCESS_TOKEN_LIFE_MAX_MS: u64 = 172_800 * 1_000;
/// How long the secret before the last rotation still counts when the request does not say, in milliseconds.
pub const SECRET_OVERLAP_DEFAULT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Longest overlap of two secrets, in milliseconds: an old secret that is never taken away is no rotation.
pub const SECRET_OVERLAP_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Makes an OAuth client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientRequest {
    /// What the audit log calls it: 1 to 64 characters, like no other token or client.
    pub name: String,
    /// What it may do: `read`, `write`, …, or names such as `webhook:write`.
    pub scopes: Vec<String>,
    /// When it ends (RFC 3339); without this and `expiresIn`, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// After how long it ends, for example `365d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// Requests a minute, 1 to 1,000,000, over all its access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// How long an access token lives, `5m` to `48h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_life: Option<String>,
}

/// An OAuth client, without its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientView {
    /// `cli_` and 32 digits: its `client_id`.
    pub id: String,
    /// What the audit log calls it.
    pub name: String,
    /// What it may do, as it was asked for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it ends, or has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Whether it has ended.
    pub expired: bool,
    /// When one of its access tokens was last used, to a minute; absent when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Requests a minute, over all its access tokens.
    pub rate_per_minute: u32,
    /// How long an access token lives.
    pub access_token_life_ms: u64,
    /// Access tokens that have not ended.
    pub access_tokens: u64,
    /// Until when the secret before this one counts too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_overlap_until: Option<String>,
}

/// An OAuth client that was just made or got a new secret. The only answer that has the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientMade {
    /// All about it.
    #[serde(flatten)]
    pub view: ClientView,
    /// Its `client_secret`. Absent in a trial (`?dryRun=true`), which makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl std::fmt::Debug for ClientMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientMade")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// Gives an OAuth client a new secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientRotation {
    /// How long the secret before it still counts, `0s` to `30d`; 24 hours when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
}

impl ClientRequest {
    /// The terms that it asks for, and how long its access tokens live, in milliseconds.
    ///
    /// # Errors
    /// Every fault of the request.
    pub fn terms(&self, now: UnixMs) -> Result<(CallerTerms, u64), Vec<FieldError>> {
        let mut faults = Vec::new();
        check_name(&self.name, &mut faults);
        check_scopes(&self.scopes, &mut faults);
        let expires_at = expiry(
            self.expires_at.as_deref(),
            self.expires_in.as_deref(),
            now,
            &mut faults,
        );
        let rate_per_minute = rate(self.rate_per_minute, CLIENT_RATE_DEFAULT, &mut faults);
        let life = span(
            "/accessTokenLife",
            self.access_token_life.as_deref(),
            ACCESS_TOKEN_LIFE_DEFAULT_MS,
            (ACCESS_TOKEN_LIFE_MIN_MS, ACCESS_TOKEN_LIFE_MAX_MS),
            &mut faults,
        );
        let terms = CallerTerms {
            expires_at,
            rate_per_minute,
        };
        if faults.is_empty() {
            Ok((terms, life))
        } else {
            Err(faults)
        }
    }
}

impl ClientRotation {
    /// How long the secret before it still counts, in milliseconds.
    ///
    /// # Errors
    /// When that is no span, or too long.
    pub fn overlap_ms(&self) -> Result<u64, Vec<FieldError>> {
        let mut faults = Vec::new();
        let overlap = span(
            "/overlap",
            self.overlap.as_deref(),
            SECRET_OVERLAP_DEFAULT_MS,
            (0, SECRET_OVERLAP_MAX_MS),
            &mut faults,
        );
        if faults.is_empty() {
            Ok(overlap)
        } else {
            Err(faults)
        }
    }
}

/// A span of time from `least_ms` to `most_ms`.
fn span(
    pointer: &str,
    text: Option<&str>,
    default_ms: u64,
    (least_ms, most_ms): (u64, u64),
    faults: &mut Vec<FieldError>,
) -> u64 {
    let Some(text) = text else {
        return default_ms;
    };
    match duration::parse(text) {
        Ok(ms) if (least_ms..=most_ms).contains(&ms) => ms,
        Ok(_) => {
            let (least, most) = (duration::format(least_ms), duration::format(most_ms));
            let detail = format!("`{text}` is out of range: {least} to {most} are allowed");
            faults.push(fault(pointer, detail, ""));
            default_ms
        }
        Err(error) => {
            faults.push(fault(pointer, error.to_string(), ""));
            default_ms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TokenRequest;

    fn asked(life: Option<&str>, expires_in: Option<&str>) -> ClientRequest {
        ClientRequest {
            name: "crm".to_owned(),
            scopes: vec!["webhook:write".to_owned()],
            expires_at: None,
            expires_in: expires_in.map(str::to_owned),
            rate_per_minute: None,
            access_token_life: life.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let (terms, life_ms) = asked(None, None).terms(UnixMs(7)).unwrap();
        let default = CallerTerms {
            expires_at: None,
            rate_per_minute: CLIENT_RATE_DEFAULT,
        };
        assert_eq!((terms, life_ms), (default, ACCESS_TOKEN_LIFE_DEFAULT_MS));
        assert_eq!(
            ClientRotation::default().overlap_ms(),
            Ok(SECRET_OVERLAP_DEFAULT_MS)
        );
        let (terms, _) = asked(None, Some("1s")).terms(UnixMs(7)).unwrap();
        assert_eq!(terms.expires_at, Some(UnixMs(1_007)));
    }

    #[test]
    fn an_access_token_lives_as_long_as_the_contract_allows() {
        let of = |life| {
            asked(Some(life), None)
                .terms(UnixMs(0))
                .map(|(_, life_ms)| life_ms)
        };
        assert_eq!(of("5m"), Ok(300_000));
        assert_eq!(of("48h"), Ok(172_800_000));
        for life in ["4m59s", "48h1ms", "300", "", "soon"] {
            assert_eq!(
                of(life).unwrap_err()[0].pointer,
                "/accessTokenLife",
                "{life}"
            );
        }
    }

    #[test]
    fn a_million_wrong_scopes_are_told_in_a_few_lines() {
        let asked = TokenRequest {
            name: "x".to_owned(),
            scopes: vec!["root".to_owned(); 100_000],
            expires_at: None,
            expires_in: None,
            rate_per_minute: None,
        };
        assert!(asked.terms(UnixMs(0)).unwrap_err().len() < 100);
    }
}
