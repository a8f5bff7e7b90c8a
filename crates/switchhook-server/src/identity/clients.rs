//! `/v1/clients`: OAuth clients are made, listed, given new secrets and deleted.
//!
//! The secret is in the answer that makes it and nowhere else. After a rotation the one before it counts for a while too,
//! so that programs can change over; access tokens stay good. A deleted client takes its access tokens with it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode, Uri};
use serde_json::json as object;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::Room;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{ClientMade, ClientRequest, ClientRotation, ClientView};
use switchhook_wire::identity::{ClientKept, PreviousSecret};
use switchhook_wire::problem::{self, Kind};

use super::registry::{CLIENTS_MAX, Client, Known, Registry};
use super::tokens::{check_free, made, named};
use super::{Caller, commit, document, mint, removal, within};
use crate::control::Control;
use crate::control::answer::{Answer, Refusal, json};
use crate::control::ask::Ask;
use crate::control::paging::listed;
use crate::control::request::{Params, needed_json, optional_json};

pub(crate) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let (after, page_size) = (params.text("after"), params.page_size());
    params.finish()?;
    let now = control.gateway.clock.now();
    let known = control.gateway.identity.read();
    let all = known
        .clients
        .values()
        .map(|client| view(&known, client, now));
    json(listed(all, after.as_deref(), page_size, &uri, |client| {
        &client.id
    }))
}

pub(crate) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let registry = &control.gateway.identity;
    let client = found(registry, &id)?;
    json(view(&registry.read(), &client, control.gateway.clock.now()))
}

pub(crate) async fn make(
    State(control): State<Arc<Control>>,
    Extension(caller): Extension<Caller>,
    ask: Ask,
    body: Body,
) -> Answer {
    let asked: ClientRequest = needed_json(body).await?;
    let (registry, now) = (&control.gateway.identity, control.gateway.clock.now());
    let terms = asked.terms(now);
    let (terms, life_ms) = terms.map_err(|faults| Refusal::faults(Kind::InvalidRequest, faults))?;
    within(&caller, &asked.scopes)?;
    let _turn = registry.turn().await;
    check_free(registry, &asked.name)?;
    if registry.read().clients.len() >= CLIENTS_MAX {
        let detail = format!("there are {CLIENTS_MAX} clients, and there can be no more");
        return Err(Refusal::new(Kind::Conflict, detail));
    }
    let minted = mint::mint(mint::CLIENT_SECRET).map_err(Refusal::internal)?;
    let kept = ClientKept {
        name: asked.name,
        scopes: asked.scopes,
        secret: mint::hex(&minted.hash),
        previous: None,
        access_token_life_ms: life_ms,
        rate_per_minute: terms.rate_per_minute,
        created_at: now.0,
        created_by: Some(caller.name.to_string()),
        expires_at: terms.expires_at.map(|at| at.0),
    };
    let id = mint::id("cli");
    let client = Client {
        id: id.as_str().into(),
        kept: kept.clone(),
        meter: Arc::default(),
    };
    let view = view(&registry.read(), &client, now);
    if ask.flags.dry_run {
        return json(ClientMade { view, secret: None });
    }
    let response = made(
        &format!("/v1/clients/{id}"),
        ClientMade {
            view,
            secret: Some(minted.text),
        },
    );
    let detail = object!({
        "name": kept.name, "scopes": kept.scopes, "expiresAt": terms.expires_at.map(rfc3339),
        "ratePerMinute": kept.rate_per_minute, "accessTokenLifeMs": life_ms,
    });
    let batch = Batch {
        documents: vec![document((Room::Client, &id), &kept, now, None)?],
        audit: vec![
            ask.actor
                .entry(now, "client.create", ("client", &id), &detail),
        ],
        ..Batch::default()
    };
    let response = commit(&control, &ask, batch, response).await?;
    registry.change().adopt_client(&id, kept);
    Ok(response)
}

/// Gives a client a new secret.
pub(crate) async fn rotate(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    ask: Ask,
    body: Body,
) -> Answer {
    let asked: ClientRotation = optional_json(body).await?.unwrap_or_default();
    let overlap = asked.overlap_ms();
    let overlap_ms = overlap.map_err(|faults| Refusal::faults(Kind::InvalidRequest, faults))?;
    let (registry, now) = (&control.gateway.identity, control.gateway.clock.now());
    let _turn = registry.turn().await;
    let client = found(registry, &id)?;
    let minted = mint::mint(mint::CLIENT_SECRET).map_err(Refusal::internal)?;
    let until = now.0.saturating_add(overlap_ms);
    let kept = ClientKept {
        secret: mint::hex(&minted.hash),
        previous: (until > now.0).then(|| PreviousSecret {
            secret: client.kept.secret.clone(),
            until,
        }),
        ..client.kept.clone()
    };
    let rotated = Client {
        kept: kept.clone(),
        ..(*client).clone()
    };
    let view = view(&registry.read(), &rotated, now);
    if ask.flags.dry_run {
        return json(ClientMade { view, secret: None });
    }
    let detail = object!({ "name": kept.name, "overlapUntil": view.secret_overlap_until });
    let mut response = Json(ClientMade {
        view,
        secret: Some(minted.text),
    })
    .into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    let batch = Batch {
        documents: vec![document((Room::Client, &id), &kept, now, None)?],
        audit: vec![
            ask.actor
                .entry(now, "client.rotate", ("client", &id), &detail),
        ],
        ..Batch::default()
    };
    let response = commit(&control, &ask, batch, response).await?;
    registry.change().adopt_client(&id, kept);
    Ok(response)
}

pub(crate) async fn delete(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    ask: Ask,
) -> Answer {
    let (registry, now) = (&control.gateway.identity, control.gateway.clock.now());
    let _turn = registry.turn().await;
    let client = found(registry, &id)?;
    let response = StatusCode::NO_CONTENT.into_response();
    if ask.flags.dry_run {
        return Ok(response);
    }
    let access = registry.read().access_of(&id);
    let access = access
        .iter()
        .map(|token| removal((Room::Token, &mint::hex(&token.hash)), now));
    let detail = named(&client.kept.name, &client.kept.scopes);
    let batch = Batch {
        documents: access.chain([removal((Room::Client, &id), now)]).collect(),
        audit: vec![
            ask.actor
                .entry(now, "client.delete", ("client", &id), &detail),
        ],
        ..Batch::default()
    };
    let response = commit(&control, &ask, batch, response).await?;
    registry.change().forget_client(&id);
    Ok(response)
}

fn found(registry: &Registry, id: &str) -> Answer<Arc<Client>> {
    let client = registry.read().clients.get(id).cloned();
    Ok(client.ok_or_else(|| problem::Body::not_found("client", id))?)
}

fn view(known: &Known, client: &Client, now: UnixMs) -> ClientView {
    let Client { id, kept, meter } = client;
    let access = known.access_of(id);
    let live = access.iter().filter(|token| token.is_live(now)).count();
    let previous = kept.previous.as_ref();
    ClientView {
        id: id.to_string(),
        name: kept.name.clone(),
        scopes: kept.scopes.clone(),
        created_at: rfc3339(UnixMs(kept.created_at)),
        created_by: kept.created_by.clone(),
        expires_at: kept.expires_at.map(|at| rfc3339(UnixMs(at))),
        expired: !client.is_live(now),
        last_used_at: meter.used_at().map(rfc3339),
        rate_per_minute: kept.rate_per_minute,
        access_token_life_ms: kept.access_token_life_ms,
        access_tokens: live as u64,
        secret_overlap_until: previous
            .filter(|previous| now.0 < previous.until)
            .map(|previous| rfc3339(UnixMs(previous.until))),
    }
}
