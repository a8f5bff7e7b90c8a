//! `/v1/tokens`: API tokens are made, listed and revoked, never changed.
//!
//! The token is in the answer that makes it and nowhere else; where that request had an idempotency key, the sealed answer
//! is kept for it. The last token with the scope `admin` is revoked only with `?force=true`, since nobody could make
//! another one then but by restarting the gateway. Everything is audited, without the token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode, Uri};
use serde_json::{Value, json as object};
use switchhook_core::access::Scope;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::Room;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{TOKEN_RATE_DEFAULT, TokenMade, TokenRequest, TokenView};
use switchhook_wire::identity::TokenKept;
use switchhook_wire::problem::{self, Kind};

use super::registry::{Registry, TOKENS_MAX, Token};
use super::{Caller, commit, document, mint, removal, within};
use crate::control::Control;
use crate::control::answer::{Answer, Refusal, json};
use crate::control::ask::Ask;
use crate::control::paging::listed;
use crate::control::request::{Params, needed_json};

pub(crate) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let now = control.gateway.clock.now();
    let known = control.gateway.identity.read();
    let all = known.api.values().map(|token| shown(token, now));
    json(listed(all, after.as_deref(), page_size, &uri, |token| {
        &token.id
    }))
}

pub(crate) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let token = found(&control.gateway.identity, &id)?;
    json(shown(&token, control.gateway.clock.now()))
}

pub(crate) async fn make(
    State(control): State<Arc<Control>>,
    Extension(caller): Extension<Caller>,
    ask: Ask,
    body: Body,
) -> Answer {
    let asked: TokenRequest = needed_json(body).await?;
    let (registry, now) = (&control.gateway.identity, control.gateway.clock.now());
    let terms = asked.terms(now);
    let terms = terms.map_err(|faults| Refusal::faults(Kind::InvalidRequest, faults))?;
    within(&caller, &asked.scopes)?;
    let _turn = registry.turn().await;
    check_free(registry, &asked.name)?;
    if registry.read().api.len() >= TOKENS_MAX {
        let detail = format!("there are {TOKENS_MAX} API tokens, and there can be no more");
        let body = problem::Body::new(Kind::Conflict, detail);
        return Err(body.with_hint("revoke those that have expired").into());
    }
    let minted = mint::mint(mint::TOKEN).map_err(Refusal::internal)?;
    let kept = TokenKept {
        id: mint::id("tok"),
        name: asked.name,
        scopes: asked.scopes,
        created_at: now.0,
        created_by: Some(caller.name.to_string()),
        expires_at: terms.expires_at.map(|at| at.0),
        rate_per_minute: Some(terms.rate_per_minute),
        client_id: None,
    };
    let view = view(&kept, None, now);
    if ask.flags.dry_run {
        return json(TokenMade { view, token: None });
    }
    let response = made(
        &format!("/v1/tokens/{}", kept.id),
        TokenMade {
            view,
            token: Some(minted.text),
        },
    );
    let id = mint::hex(&minted.hash);
    let detail = object!({
        "name": kept.name, "scopes": kept.scopes, "expiresAt": terms.expires_at.map(rfc3339),
        "ratePerMinute": terms.rate_per_minute,
    });
    let batch = Batch {
        documents: vec![document((Room::Token, &id), &kept, now, None)?],
        audit: vec![
            ask.actor
                .entry(now, "token.create", ("token", &kept.id), &detail),
        ],
        ..Batch::default()
    };
    let response = commit(&control, &ask, batch, response).await?;
    registry.change().adopt_token(minted.hash, kept);
    Ok(response)
}

pub(crate) async fn delete(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    ask: Ask,
) -> Answer {
    let (registry, now) = (&control.gateway.identity, control.gateway.clock.now());
    let _turn = registry.turn().await;
    let token = found(registry, &id)?;
    let is_admin = token.is_live(now) && token.caller.scopes.allow(Scope::Admin);
    if is_admin && !ask.flags.force && !registry.read().has_admin_besides(Some(&id), now) {
        let detail = "this is the last token with the scope `admin`";
        return Err(problem::Body::new(Kind::Conflict, detail)
            .with_hint("make another one first, or repeat the request with `?force=true`: the gateway shows a new one when it starts the next time")
            .into());
    }
    let response = StatusCode::NO_CONTENT.into_response();
    if ask.flags.dry_run {
        return Ok(response);
    }
    let hash = mint::hex(&token.hash);
    let detail = named(&token.kept.name, &token.kept.scopes);
    let batch = Batch {
        documents: vec![removal((Room::Token, &hash), now)],
        audit: vec![
            ask.actor
                .entry(now, "token.delete", ("token", &id), &detail),
        ],
        ..Batch::default()
    };
    let response = commit(&control, &ask, batch, response).await?;
    registry.change().forget_token(&token);
    Ok(response)
}

fn found(registry: &Registry, id: &str) -> Answer<Arc<Token>> {
    let token = registry.read().api.get(id).cloned();
    Ok(token.ok_or_else(|| problem::Body::not_found("token", id))?)
}

fn shown(token: &Token, now: UnixMs) -> TokenView {
    view(&token.kept, token.meter.used_at(), now)
}

fn view(kept: &TokenKept, used_at: Option<UnixMs>, now: UnixMs) -> TokenView {
    TokenView {
        id: kept.id.clone(),
        name: kept.name.clone(),
        scopes: kept.scopes.clone(),
        created_at: rfc3339(UnixMs(kept.created_at)),
        created_by: kept.created_by.clone(),
        expires_at: kept.expires_at.map(|at| rfc3339(UnixMs(at))),
        expired: kept.expires_at.is_some_and(|at| at <= now.0),
        last_used_at: used_at.map(rfc3339),
        rate_per_minute: kept.rate_per_minute.unwrap_or(TOKEN_RATE_DEFAULT),
    }
}

/// What the audit log keeps of one that goes.
pub(super) fn named(name: &str, scopes: &[String]) -> Value {
    object!({ "name": name, "scopes": scopes })
}

/// Refuses a name that is taken: the audit log knows who did something by it.
pub(super) fn check_free(registry: &Registry, name: &str) -> Answer<()> {
    if registry.read().is_free(name) {
        return Ok(());
    }
    let detail = format!("a token or client is called `{name}` already");
    Err(problem::Body::new(Kind::Conflict, detail)
        .with_hint("choose another name, or delete that one first")
        .into())
}

/// 201 with what must be shown once.
pub(super) fn made(location: &str, value: impl serde::Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(value)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(LOCATION, location);
    }
    response
}
