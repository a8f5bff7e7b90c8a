//! Answers under `/api/v2`: refusals in the shape of Genesys Cloud, and the headers that it has on every answer.
//!
//! A handler returns a `Refusal` like everywhere; [`finish`] writes it out. `ININ-Correlation-Id` is the request's own or
//! a new one, and is the `contextId` of a refusal, under which the log has more. The rate of a caller that is not known is
//! the one that a client has by default, unused.

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use switchhook_wire::config::Server;
use switchhook_wire::dialect::error;
use switchhook_wire::problem::{self, Kind};
use uuid::Uuid;

use crate::control::Control;
use crate::control::answer::Refusal;
use crate::control::precondition::tagged;
use crate::identity::RateView;

/// Names one request, as Genesys Cloud does.
const CORRELATION_ID: HeaderName = HeaderName::from_static("inin-correlation-id");
/// Longest id that is taken over from a request.
const CORRELATION_ID_BYTES_MAX: usize = 64;
const RATE_COUNT: HeaderName = HeaderName::from_static("inin-ratelimit-count");
const RATE_ALLOWED: HeaderName = HeaderName::from_static("inin-ratelimit-allowed");
const RATE_RESET: HeaderName = HeaderName::from_static("inin-ratelimit-reset");
/// Where nobody is counted: the default rate of a client, and a whole window.
const RATE_UNKNOWN: RateView = RateView {
    count: 0,
    allowed: 300,
    reset_s: 60,
};

/// Whether answers to this path are those of a dialect.
pub(crate) fn is_dialect(path: &str) -> bool {
    path.starts_with("/api/v2/") || path == "/api/v2" || path == "/oauth/token"
}

/// Writes the answer out as the module says. Stands outside of everything that can refuse, and inside of what writes
/// problems.
pub(crate) async fn finish(mut request: Request, next: Next) -> Response {
    if !is_dialect(request.uri().path()) {
        return next.run(request).await;
    }
    let id = correlation_id(request.headers());
    // HTTP/2 has it in the target.
    let authority = request
        .uri()
        .authority()
        .map(|host| host.as_str().to_owned());
    if let Some(Ok(host)) = authority.map(HeaderValue::try_from) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    let mut response = next.run(request).await;
    let refusal = response.extensions_mut().remove::<Refusal>();
    let shown = id.to_str().unwrap_or_default();
    if let Some(refusal) = refusal {
        refusal.log(shown);
        write_refusal(&mut response, &refusal, shown);
    } else if is_bare_error(&response) {
        let status = response.status();
        let words = status
            .canonical_reason()
            .unwrap_or("the request was refused");
        write_body(
            &mut response,
            &error::Body::new(status.as_u16(), words, shown),
        );
    }
    let rate = response.extensions().get::<RateView>().copied();
    let rate = rate.unwrap_or(RATE_UNKNOWN);
    let headers = response.headers_mut();
    headers.insert(RATE_COUNT, rate.count.into());
    headers.insert(RATE_ALLOWED, rate.allowed.into());
    headers.insert(RATE_RESET, rate.reset_s.into());
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response
            .headers_mut()
            .entry(RETRY_AFTER)
            .or_insert_with(|| rate.reset_s.max(1).into());
    }
    response.headers_mut().insert(CORRELATION_ID, id);
    response
}

fn write_refusal(response: &mut Response, refusal: &Refusal, id: &str) {
    let problem = refusal.body();
    write_body(response, &error::Body::of_problem(problem, id));
    let headers = response.headers_mut();
    let kind = problem.known_kind();
    if let Some(seconds) = kind.and_then(Kind::retry_after_s) {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if kind == Some(Kind::Unauthorized) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(etag) = refusal.etag() {
        tagged(etag, headers);
    }
}

fn write_body(response: &mut Response, body: &error::Body) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(serde_json::to_vec(body).unwrap_or_default());
}

/// An error that some layer answered without a word of ours.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    (status.is_client_error() || status.is_server_error()) && !is_json
}

/// The request's own id where it can stand in a log, else a new one.
fn correlation_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=CORRELATION_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain)
    };
    match headers.get(CORRELATION_ID).filter(usable) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(Uuid::now_v7().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("none")),
    }
}

/// What the gateway is called by the client: the base of links. A proxy that ends TLS before us says so.
pub(super) fn base_url(control: &Control, headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Server {
        ingest,
        admin,
        tls,
        admin_tls,
        ..
    } = &control.gateway.config.server;
    let is_shared = ingest == admin && tls.is_some();
    let proxied = headers.get("x-forwarded-proto");
    let is_proxied = proxied.is_some_and(|scheme| scheme.as_bytes() == b"https");
    let is_secure = admin_tls.is_some() || is_shared || is_proxied;
    let scheme = if is_secure { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// `body` with its tag.
pub(super) fn tagged_json<T: Serialize>(status: StatusCode, body: T, etag: &str) -> Response {
    let mut response = (status, Json(body)).into_response();
    tagged(etag, response.headers_mut());
    response
}

/// There is no webhook with this id.
pub(super) fn unknown(noun: &str, id: &str) -> Refusal {
    problem::Body::not_found(noun, id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_the_request_is_kept_and_what_could_forge_a_log_line_is_not() {
        let of = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            correlation_id(&HeaderMap::from_iter([(CORRELATION_ID, value)]))
        };
        assert_eq!(of("4d3c-2e1f"), "4d3c-2e1f");
        for text in ["", "a b", "a\"b"] {
            let new = of(text);
            assert!(Uuid::try_parse(new.to_str().unwrap()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn only_paths_of_dialects_are_answered_in_their_shape() {
        for (path, expected) in [
            ("/api/v2/webhooks", true),
            ("/api/v2", true),
            ("/oauth/token", true),
            ("/api/v20", false),
            ("/v1/sources", false),
            ("/oauth/token/x", false),
        ] {
            assert_eq!(is_dialect(path), expected, "{path}");
        }
    }
}
