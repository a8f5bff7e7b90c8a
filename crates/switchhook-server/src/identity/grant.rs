//! OAuth 2.0 client credentials (RFC 6749, 4.4): an id and a secret for an access token.
//!
//! Only the grant itself: how the request is written, and the answer, is the dialect's. A client whose id nobody has takes
//! as long to refuse as one with a wrong secret. Each grant counts for the client's rate, so that a program without a cache
//! cannot fill the store. Bounds: [`ACCESS_TOKENS_MAX`] access tokens of a client, [`SCOPES_MAX`] names in a request.

use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};
use switchhook_core::access::Scope;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::Room;
use switchhook_wire::identity::{ClientKept, TokenKept};

use super::registry::Client;
use super::{document, mint, removal, scopes_of};
use crate::control::Control;
use crate::control::answer::Refusal;

/// Live access tokens of one client; the oldest goes when there is one more. A program needs one, and some for its copies.
pub(super) const ACCESS_TOKENS_MAX: usize = 100;
/// Names of scopes in one request: more than there are.
const SCOPES_MAX: usize = 32;

/// What a client asks for.
#[derive(Clone, Copy)]
pub(crate) struct GrantRequest<'r> {
    pub(crate) client_id: &'r str,
    pub(crate) client_secret: &'r str,
    /// Names, with spaces between them; everything that the client has when absent.
    pub(crate) scope: Option<&'r str>,
}

/// An access token.
pub(crate) struct Granted {
    /// To be shown once.
    pub(crate) access_token: String,
    pub(crate) expires_in_s: u64,
    /// Names, with spaces between them.
    pub(crate) scope: String,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum GrantError {
    /// No such client, another secret, or it has ended.
    InvalidClient,
    /// A name that is no scope or none of the client's; the text says which.
    InvalidScope(String),
    /// The client passed its rate.
    TooMany {
        /// Seconds until it may ask again.
        retry_after_s: u64,
    },
    /// It could not be done.
    Failed(Refusal),
}

impl From<Refusal> for GrantError {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal)
    }
}

/// Gives an access token to a client that proves itself.
///
/// # Errors
/// When it does not, asks for what it has not, or the store cannot be written.
pub(crate) async fn grant(
    control: &Control,
    request: GrantRequest<'_>,
) -> Result<Granted, GrantError> {
    let (registry, clock) = (&control.gateway.identity, &control.gateway.clock);
    let _turn = registry.turn().await;
    let now = clock.now();
    let known = registry.read().clients.get(request.client_id).cloned();
    let proves = proves(
        known.as_deref().map(|client| &client.kept),
        request.client_secret,
        now,
    );
    let client = known.filter(|client| proves && client.is_live(now));
    let client = client.ok_or(GrantError::InvalidClient)?;
    let (rate, monotonic_ms) = (client.kept.rate_per_minute, clock.monotonic_us() / 1_000);
    let counted = client.meter.count(rate, now, monotonic_ms);
    counted.map_err(|rate| GrantError::TooMany {
        retry_after_s: rate.reset_s,
    })?;
    let scopes = narrowed(&client.kept.scopes, request.scope)?;

    let minted = mint::mint(mint::ACCESS_TOKEN).map_err(Refusal::internal)?;
    let ends_at = now.0.saturating_add(client.kept.access_token_life_ms);
    let ends_at = ends_at.min(client.kept.expires_at.unwrap_or(u64::MAX));
    let kept = TokenKept {
        id: mint::id("tok"),
        name: client.kept.name.clone(),
        scopes,
        created_at: now.0,
        created_by: None,
        expires_at: Some(ends_at),
        rate_per_minute: None,
        client_id: Some(client.id.to_string()),
    };
    let granted = Granted {
        access_token: minted.text,
        expires_in_s: ends_at.saturating_sub(now.0) / 1_000,
        scope: kept.scopes.join(" "),
    };
    let oldest = too_many(control, &client, now);
    let id = mint::hex(&minted.hash);
    let new = document((Room::Token, &id), &kept, now, Some(UnixMs(ends_at)))?;
    let gone = oldest.iter().map(|token| {
        let id = mint::hex(&token.hash);
        removal((Room::Token, &id), now)
    });
    let batch = Batch {
        documents: std::iter::once(new).chain(gone).collect(),
        ..Batch::default()
    };
    control.write(batch).await?;
    let mut known = registry.change();
    for token in &oldest {
        known.forget_token(token);
    }
    known.adopt_token(minted.hash, kept);
    Ok(granted)
}

/// Whether `secret` is one that the client has now. Both hashes are compared, whatever the first one says.
fn proves(client: Option<&ClientKept>, secret: &str, now: UnixMs) -> bool {
    let given = mint::hash(secret.as_bytes());
    let equal = |text: Option<&str>| {
        let kept = text.and_then(mint::unhex);
        let is_kept = Choice::from(u8::from(kept.is_some()));
        is_kept & kept.unwrap_or_default().ct_eq(&given)
    };
    let previous = client.and_then(|client| client.previous.as_ref());
    let previous = previous.filter(|previous| now.0 < previous.until);
    let current = equal(client.map(|client| &*client.secret));
    (current | equal(previous.map(|previous| &*previous.secret))).into()
}

/// The scopes of an access token: those asked for, if the client has them, else all that it has.
fn narrowed(own: &[String], asked: Option<&str>) -> Result<Vec<String>, GrantError> {
    let asked: Vec<String> = asked
        .unwrap_or_default()
        .split_ascii_whitespace()
        .take(SCOPES_MAX)
        .map(str::to_owned)
        .collect();
    if asked.is_empty() {
        return Ok(own.to_vec());
    }
    let allowed = scopes_of(own);
    for name in &asked {
        let shown: String = name.chars().take(40).collect();
        let Some(scope) = Scope::from_name(name) else {
            return Err(GrantError::InvalidScope(format!("`{shown}` is no scope")));
        };
        if !allowed.allow(scope) {
            let detail = format!("the client does not have the scope `{shown}`");
            return Err(GrantError::InvalidScope(detail));
        }
    }
    Ok(asked)
}

/// The access tokens that must go so that the client can have one more.
fn too_many(control: &Control, client: &Client, now: UnixMs) -> Vec<Arc<super::registry::Token>> {
    let live = control.gateway.identity.read().access_of(&client.id);
    let live: Vec<_> = live
        .into_iter()
        .filter(|token| token.is_live(now))
        .collect();
    let excess = (live.len() + 1).saturating_sub(ACCESS_TOKENS_MAX);
    live.into_iter().take(excess).collect()
}

#[cfg(test)]
mod tests {
    use switchhook_wire::identity::PreviousSecret;

    use super::*;

    fn client(secret: &str, previous: Option<(&str, u64)>) -> ClientKept {
        let hex = |text: &str| mint::hex(&mint::hash(text.as_bytes()));
        ClientKept {
            name: "crm".into(),
            scopes: vec!["webhook:write".into()],
            secret: hex(secret),
            previous: previous.map(|(secret, until)| PreviousSecret {
                secret: hex(secret),
                until,
            }),
            access_token_life_ms: 1,
            rate_per_minute: 1,
            created_at: 0,
            created_by: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_secret_counts_until_its_overlap_ends_and_no_other_text_does() {
        let now = UnixMs(100);
        let rotated = client("new", Some(("old", 101)));
        assert!(proves(Some(&rotated), "new", now) && proves(Some(&rotated), "old", now));
        assert!(!proves(Some(&rotated), "old", UnixMs(101)));
        assert!(!proves(Some(&rotated), "", now) && !proves(None, "", now));
        // A document that was damaged has no secret, rather than one of zeros.
        let damaged = ClientKept {
            secret: "x".into(),
            ..client("a", None)
        };
        assert!(!proves(Some(&damaged), "a", now));
    }

    #[test]
    fn an_access_token_can_be_narrowed_and_never_widened() {
        let own = ["webhook:write".to_owned()];
        let of = |asked| {
            narrowed(&own, asked).map_err(|error| match error {
                GrantError::InvalidScope(text) => text,
                GrantError::InvalidClient | GrantError::TooMany { .. } | GrantError::Failed(_) => {
                    unreachable!()
                }
            })
        };
        assert_eq!(of(None), Ok(own.to_vec()));
        assert_eq!(of(Some("  ")), Ok(own.to_vec()));
        let both = Ok(vec!["webhook:read".to_owned(), "write".to_owned()]);
        assert_eq!(of(Some("webhook:read write")), both);
        assert!(of(Some("read admin")).unwrap_err().contains("`admin`"));
        assert!(of(Some("everything")).unwrap_err().contains("is no scope"));
    }
}
