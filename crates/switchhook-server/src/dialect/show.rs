//! Looking at one webhook.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use switchhook_core::access::Scope;
use switchhook_core::secret::Lookup;
use switchhook_wire::config::Kind;
use switchhook_wire::dialect::{Dialect, credential, flat as shape, integrations};

use super::answer::{base_url, tagged_json};
use super::change::find;
use super::found::{Found, whole_body};
use crate::control::Control;
use crate::control::answer::Answer;
use crate::control::precondition::{Precondition, tagged};
use crate::identity::Caller;

pub(super) async fn webhook(
    dialect: Dialect,
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let found = find(&*control.gateway.resources.lock().await, dialect, &id)?;
    let webhook = found.webhook();
    let body = dialect.encode(&webhook, &base_url(&control, &headers));
    read(&headers, &webhook.etag, body)
}

pub(super) async fn bindings(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let resources = control.gateway.resources.lock().await;
    let webhook = find(&resources, Dialect::Integrations, &id)?.webhook();
    read(
        &headers,
        &webhook.etag,
        integrations::encode_bindings(&webhook),
    )
}

/// Dialect E. Who may read secrets gets the credential too.
pub(super) async fn flat(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Answer {
    let resources = control.gateway.resources.lock().await;
    let found = find(&resources, Dialect::Flat, &id)?;
    let endpoint = whole_body(&resources, Kind::Endpoint, &found.endpoint);
    drop(resources);
    let text = credential(&endpoint).filter(|_| caller.scopes.allow(Scope::Secrets));
    let value = text.and_then(|text| filled(&text, &*control.gateway.secrets));
    let webhook = found.webhook();
    let is_clear = value.is_some();
    let body = shape::encode(&webhook, value);
    if is_clear {
        // What holds a secret is not to be kept on the way.
        let mut response = tagged_json(StatusCode::OK, body, &webhook.etag);
        let never = http::HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(http::header::CACHE_CONTROL, never);
        return Ok(response);
    }
    read(&headers, &webhook.etag, body)
}

/// `body`, or 304 where the asker has it.
fn read<T: Serialize>(headers: &HeaderMap, etag: &str, body: T) -> Answer {
    if Precondition::of(headers)?.has(etag) {
        let mut response: Response = StatusCode::NOT_MODIFIED.into_response();
        tagged(etag, response.headers_mut());
        return Ok(response);
    }
    Ok(tagged_json(StatusCode::OK, body, etag))
}

/// `text` with its references to secrets filled in; `None` where one cannot be read now.
fn filled(text: &str, secrets: &dyn Lookup) -> Option<String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{secret:") {
        let (name, after) = after.split_once("}}")?;
        let secret = secrets.secret(name).ok()?;
        filled.push_str(before);
        filled.push_str(std::str::from_utf8(secret.expose()).ok()?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// Where the webhook's endpoint is now, by the name that an attempt has.
pub(super) fn url_of(found: &Found) -> &str {
    found
        .endpoint
        .body
        .get("url")
        .and_then(|url| url.as_str())
        .unwrap_or_default()
}
