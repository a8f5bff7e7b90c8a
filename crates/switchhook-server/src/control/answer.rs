//! Answers: JSON, and refusals as problems (RFC 9457) with the id under which the log has more.
//!
//! A handler returns a [`Refusal`]; [`finish`] writes it out, gives every answer its `X-Request-Id` and logs faults of
//! ours under the same id. The cause of such a fault is never in the answer.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use switchhook_store::Error as StoreError;
use switchhook_wire::problem::{self, FieldError, Kind};
use uuid::Uuid;

use super::precondition::tagged;
use crate::dispatch::Stopped;

/// Names one request, in the answer, in a problem and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a request.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// What a handler answers.
pub(crate) type Answer<T = Response> = Result<T, Refusal>;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Arc<Refused>);

#[derive(Debug, Clone)]
struct Refused {
    body: problem::Body,
    /// The tag of what is there.
    etag: Option<String>,
    /// For the log alone.
    cause: Option<String>,
}

impl Refusal {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        problem::Body::new(kind, detail).into()
    }

    /// A fault of ours.
    pub(crate) fn internal(cause: impl ToString) -> Self {
        Self::caused(Kind::Internal, "the request could not be completed", cause)
    }

    fn caused(kind: Kind, detail: &str, cause: impl ToString) -> Self {
        let body = problem::Body::new(kind, detail)
            .with_hint("the gateway's log has the reason under this request id");
        Self(Arc::new(Refused {
            body,
            etag: None,
            cause: Some(cause.to_string()),
        }))
    }

    /// With the tag of what is there, for who wants to try again.
    pub(crate) fn with_etag(self, etag: &str) -> Self {
        let mut refused = Arc::unwrap_or_clone(self.0);
        refused.etag = Some(etag.to_owned());
        Self(Arc::new(refused))
    }

    /// The tag of what is there.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.0.etag.as_deref()
    }

    /// Writes a fault of ours into the log; `id` is what the answer calls the request.
    pub(crate) fn log(&self, id: &str) {
        if let Some(cause) = &self.0.cause {
            tracing::error!(request = id, cause, "request failed");
        }
    }

    /// What is answered.
    pub(crate) fn body(&self) -> &problem::Body {
        &self.0.body
    }

    /// A request whose parts are wrong: every fault at once.
    pub(crate) fn faults(kind: Kind, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} faults were found", several.len()),
        };
        problem::Body::new(kind, detail).with_errors(errors).into()
    }
}

impl From<problem::Body> for Refusal {
    fn from(body: problem::Body) -> Self {
        Self(Arc::new(Refused {
            body,
            etag: None,
            cause: None,
        }))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full { .. } => Self::new(Kind::StoreFull, "the disk is almost full"),
            StoreError::Overloaded { .. } => {
                Self::new(Kind::Overloaded, "too much waits to be written")
            }
            StoreError::Closed => Self::from(Stopped::Closed),
            StoreError::Refused(_) => Self::internal(error),
            StoreError::Fatal(_)
            | StoreError::Locked(_)
            | StoreError::Damaged { .. }
            | StoreError::TooNew { .. }
            | StoreError::Read(_)
            | StoreError::File { .. }
            | _ => Self::caused(Kind::StoreFailed, "the store could not do it", error),
        }
    }
}

impl From<Stopped> for Refusal {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Store(error) => {
                Self::caused(Kind::StoreFailed, "the store could not do it", error)
            }
            Stopped::Closed => Self::new(Kind::ShuttingDown, "the gateway is stopping"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// 200 with `value` as JSON.
pub(crate) fn json<T: serde::Serialize>(value: T) -> Answer {
    Ok(Json(value).into_response())
}

/// Gives the answer its request id, and writes out a refusal. The outermost layer.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let mut response = next.run(request).await;
    if let Some(Refusal(refused)) = response.extensions_mut().remove::<Refusal>() {
        let id = id.to_str().unwrap_or_default();
        if let Some(cause) = &refused.cause {
            tracing::error!(request = id, cause, "request failed");
        }
        if let Some(etag) = &refused.etag {
            tagged(etag, response.headers_mut());
        }
        write_problem(&mut response, refused.body.clone().with_request_id(id));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Lets what changes something run to its end, also when the client hangs up in between: what is on disk and what is
/// in force must not part.
pub(super) async fn carry_through(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Refusal::internal(error.to_string()).into_response(),
    }
}

fn write_problem(response: &mut Response, body: problem::Body) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
    let kind = body.known_kind();
    if let Some(seconds) = kind.and_then(Kind::retry_after_s) {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if kind == Some(Kind::Unauthorized) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = Body::from(body.to_json());
}

/// The request's own id where it can stand in a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain)
    };
    let new = || HeaderValue::try_from(format!("req_{}", Uuid::now_v7().simple()));
    match headers.get(REQUEST_ID).filter(usable) {
        Some(id) => id.clone(),
        None => new().unwrap_or_else(|_| HeaderValue::from_static("req_none")),
    }
}
