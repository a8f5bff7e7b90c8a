//! Who may use the management API, how often, and where their requests may come from.
//!
//! * [`mint`]: tokens and secrets. 256 bits from the system, a prefix so that one that leaks is recognised, and only the
//!   SHA-256 at rest: with so many random bits nothing slower is needed.
//! * [`registry`]: every token and OAuth client in memory, by hash, so that no request reads the store; kept current in the
//!   order of the commits. What is revoked is refused from the next request on.
//! * [`gate`]: the layer that asks who it is, whether the route is for them and whether they ask too often. What each route
//!   needs stands in `control::routes`.
//! * [`hosts`]: the layer before it, against web pages that make a browser talk to us under another name.
//! * [`grant()`]: OAuth client credentials for an access token. [`tokens`], [`clients`]: `/v1/tokens` and `/v1/clients`.
//! * [`last_use`]: when each was last used, in one write a minute at most.
//!
//! Sign-in of people by OpenID Connect would stand beside [`grant()`]: another way to a [`Caller`], with the same scopes.
//!
//! Bounds: [`registry::TOKENS_MAX`] API tokens, [`registry::CLIENTS_MAX`] clients, [`grant::ACCESS_TOKENS_MAX`] access tokens of
//! a client; each asks at most as often as its rate allows.

pub(crate) mod clients;
pub(crate) mod gate;
mod grant;
pub(crate) mod hosts;
pub(crate) mod last_use;
mod mint;
mod registry;
pub(crate) mod tokens;

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use switchhook_core::access::{Scope, Scopes};
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::{DocumentChange, Room};
use switchhook_wire::problem::{self, Kind};

use crate::control::Control;
use crate::control::answer::{Answer, Refusal};
use crate::control::ask::Ask;
use crate::control::idempotency::Kept;

pub(crate) use grant::{GrantError, GrantRequest, grant};
pub(crate) use registry::Registry;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `tok_…` of an API token, `cli_…` of an OAuth client.
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) kind: CallerKind,
    /// What they may do with the token that they showed.
    pub(crate) scopes: Scopes,
}

/// With what they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerKind {
    /// An API token.
    Token,
    /// An access token of an OAuth client.
    Client,
}

/// How much of their rate a caller has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateView {
    /// Requests in this window, this one included.
    pub(crate) count: u32,
    /// Requests that a window allows.
    pub(crate) allowed: u32,
    /// Seconds until the next window, at least 1.
    pub(crate) reset_s: u64,
}

/// What the refused route needs; goes with a 403, for the bodies of dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MissingScope(pub(crate) &'static str);

/// What these names allow together. A name that this version does not know allows nothing.
fn scopes_of(names: &[String]) -> Scopes {
    names
        .iter()
        .filter_map(|name| Scope::from_name(name))
        .collect()
}

/// Refuses to give away more than the caller has.
fn within(caller: &Caller, names: &[String]) -> Answer<()> {
    let asked = scopes_of(names);
    if asked.within(caller.scopes) == asked {
        return Ok(());
    }
    let detail = "nobody can give more scopes than they have themselves";
    Err(problem::Body::new(Kind::Forbidden, detail)
        .with_hint("leave out the scopes that your own token does not have")
        .into())
}

/// `value` as the document `id`.
fn document(
    (room, id): (Room, &str),
    value: &impl Serialize,
    now: UnixMs,
    expires_at: Option<UnixMs>,
) -> Answer<DocumentChange> {
    let body = serde_json::to_vec(value).map_err(Refusal::internal)?;
    Ok(DocumentChange {
        room,
        id: id.into(),
        body: Some(Bytes::from(body)),
        at: now,
        expires_at,
    })
}

/// That the document `id` goes.
fn removal((room, id): (Room, &str), now: UnixMs) -> DocumentChange {
    DocumentChange {
        room,
        id: id.into(),
        body: None,
        at: now,
        expires_at: None,
    }
}

/// Writes `batch` and, in the same commit, the answer that is kept for an idempotency key.
async fn commit(control: &Control, ask: &Ask, mut batch: Batch, mut response: Response) -> Answer {
    if let Some(claim) = &ask.claim {
        let (kept, whole) = Kept::of(response).await?;
        response = whole;
        let (vault, now) = (&control.gateway.vault, control.gateway.clock.now());
        let document = claim.document(kept.as_ref(), vault, now)?;
        batch.documents.extend(document);
    }
    control.write(batch).await?;
    Ok(response)
}
