//! `POST /oauth/token`: OAuth 2.0 client credentials (RFC 6749). What is answered is in the shape of the RFC, not in that of
//! the rest of the API.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use switchhook_wire::dialect::oauth::{FORM_BYTES_MAX, Refusal as Refused, Token, read};
use switchhook_wire::problem;

use crate::control::Control;
use crate::control::answer::{Answer, Refusal};
use crate::identity::{self, GrantError, GrantRequest};

pub(super) async fn grant(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let form = axum::body::to_bytes(body, FORM_BYTES_MAX).await;
    let form = form.map_err(|_| Refusal::from(problem::Body::body_too_large(FORM_BYTES_MAX)))?;
    // One that is no text is no Basic header either.
    let authorization = headers
        .get(AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());
    let request = match read(authorization, &form) {
        Ok(request) => request,
        Err(refused) => return Ok(refusal(&refused, authorization.is_some())),
    };
    let scopes = request.scopes.join(" ");
    // A secret of ours is text: one that is not is a wrong one.
    let secret = std::str::from_utf8(request.client_secret.expose()).unwrap_or_default();
    let granted = identity::grant(
        &control,
        GrantRequest {
            client_id: &request.client_id,
            client_secret: secret,
            scope: (!scopes.is_empty()).then_some(&*scopes),
        },
    );
    let refused = match granted.await {
        Ok(granted) => {
            let token = Token {
                access_token: granted.access_token,
                token_type: "bearer".to_owned(),
                expires_in: granted.expires_in_s,
                scope: (!granted.scope.is_empty()).then_some(granted.scope),
            };
            return Ok(never_kept((StatusCode::OK, Json(token)).into_response()));
        }
        Err(GrantError::InvalidClient) => Refused::invalid_client(),
        Err(GrantError::InvalidScope(detail)) => Refused::invalid_scope(detail),
        Err(GrantError::TooMany { retry_after_s }) => {
            let detail = "the client asks too often";
            let body = problem::Body::new(problem::Kind::TooManyRequests, detail).with_hint(
                format!("wait {retry_after_s} s, and keep a token while it is good"),
            );
            let mut response = Refusal::from(body).into_response();
            response
                .headers_mut()
                .insert(RETRY_AFTER, retry_after_s.into());
            return Ok(response);
        }
        Err(GrantError::Failed(refusal)) => return Err(refusal),
    };
    Ok(refusal(&refused, authorization.is_some()))
}

fn refusal(refused: &Refused, by_header: bool) -> Response {
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, Json(refused)).into_response();
    // The RFC asks for it where the header was used.
    if status == StatusCode::UNAUTHORIZED && by_header {
        let basic = HeaderValue::from_static("Basic");
        response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    }
    never_kept(response)
}

/// What holds a token is not to be kept on the way (RFC 6749, 5.1).
fn never_kept(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
