//! Who asks, whether the route is for them, and whether they ask too often.
//!
//! What each route needs is looked up in `control::routes`; a path that does not exist needs a token all the same, so
//! that nobody learns without one which paths exist. Every request with a good token counts for its rate, also one that
//! is refused for its scope. The caller goes with the request as [`super::Caller`] and, for the audit log, as [`Actor`].

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName};
use switchhook_wire::problem::{self, Kind};

use super::registry::{Found, Token};
use super::{MissingScope, RateView};
use crate::control::Control;
use crate::control::answer::Refusal;
use crate::control::audit::Actor;
use crate::control::routes::Access;

/// What of a window is used, as `draft-ietf-httpapi-ratelimit-headers-07` names it.
const RATE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
];

/// Lets a request through that may pass.
pub(crate) async fn layer(
    State(control): State<Arc<Control>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let access = path.and_then(|path| control.needs.of(request.method(), path.as_str()));
    if access == Some(Access::Open) {
        return next.run(request).await;
    }
    let token = match holder(&control, request.headers()) {
        Ok(token) => token,
        Err(refusal) => return refusal.into_response(),
    };
    let clock = &control.gateway.clock;
    let counted = token
        .meter
        .count(token.rate, clock.now(), clock.monotonic_us() / 1_000);
    let is_v1 = request.uri().path().starts_with("/v1");
    let (rate, mut response) = match counted {
        Err(rate) => (rate, too_often(rate)),
        Ok(rate) => {
            let response = match lacks(&token, access) {
                Some(scope) => forbidden(scope),
                None => {
                    let extensions = request.extensions_mut();
                    extensions.insert(token.caller.clone());
                    extensions.insert(Actor(token.caller.name.clone()));
                    extensions.insert(rate);
                    next.run(request).await
                }
            };
            (rate, response)
        }
    };
    response.extensions_mut().insert(rate);
    if is_v1 {
        let left = rate.allowed.saturating_sub(rate.count);
        let values = [u64::from(rate.allowed), u64::from(left), rate.reset_s];
        for (name, value) in RATE_HEADERS.into_iter().zip(values) {
            response.headers_mut().insert(name, value.into());
        }
    }
    response
}

/// Whose token the request carries.
fn holder(control: &Control, headers: &HeaderMap) -> Result<Arc<Token>, Refusal> {
    let registry = &control.gateway.identity;
    let detail = match bearer(headers) {
        None => "the request carries no `Authorization: Bearer` token",
        Some(token) => match registry.find(token, control.gateway.clock.now()) {
            Found::Known(token) => return Ok(token),
            Found::Expired => "the token has expired",
            Found::Unknown => "the token is not known",
        },
    };
    let hint = "send the token that the gateway showed when it first started, or one that `switchhook token create` made";
    Err(problem::Body::new(Kind::Unauthorized, detail)
        .with_hint(hint)
        .into())
}

/// The token in `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// The scope that the route needs and the token lacks, by the name that the route has for it.
fn lacks(token: &Token, access: Option<Access>) -> Option<&'static str> {
    match access {
        Some(Access::Needs(scope, name)) if !token.caller.scopes.allow(scope) => Some(name),
        Some(Access::Needs(..) | Access::Open) | None => None,
    }
}

fn forbidden(scope: &'static str) -> Response {
    let detail = format!("this needs the scope `{scope}`, and the token does not have it");
    let body = problem::Body::new(Kind::Forbidden, detail);
    let refusal: Refusal = body.with_hint("use a token that has this scope").into();
    let mut response = refusal.into_response();
    response.extensions_mut().insert(MissingScope(scope));
    response
}

fn too_often(rate: RateView) -> Response {
    let RateView {
        allowed, reset_s, ..
    } = rate;
    let detail = format!("the token may send {allowed} requests a minute, and has sent them");
    let body = problem::Body::new(Kind::TooManyRequests, detail);
    let body = body.with_hint(format!("wait {reset_s} s, as `Retry-After` says"));
    let mut response = Refusal::from(body).into_response();
    response.headers_mut().insert(RETRY_AFTER, reset_s.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_taken_whatever_the_case_of_the_word() {
        for (header, token) in [
            ("Bearer a", Some(&b"a"[..])),
            ("bearer a b", Some(b"a b")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic a", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            assert_eq!(bearer(&headers), token, "{header}");
        }
    }
}
