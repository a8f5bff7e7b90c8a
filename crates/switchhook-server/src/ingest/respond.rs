//! The answers of ingest. The ones for accepted events are written by hand: they are the hot path.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use switchhook_core::id::EventId;
use switchhook_store::Appended;
use switchhook_wire::problem::{self, Kind};

/// What a source takes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

fn answer(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// 202: the event is on disk under this id.
pub(super) fn accepted(id: EventId, duplicate: bool) -> Response<Full<Bytes>> {
    answer(
        StatusCode::ACCEPTED,
        "application/json",
        format!(r#"{{"eventId":"{id}","duplicate":{duplicate}}}"#),
    )
}

/// 202: every event of the batch is on disk, or was there before with the same body: a batch with a conflict is refused.
pub(super) fn batch(appended: &[Appended]) -> Response<Full<Bytes>> {
    let mut body = String::with_capacity(32 + 72 * appended.len());
    body.push_str(r#"{"events":["#);
    for (index, appended) in appended.iter().enumerate() {
        let (id, duplicate) = match *appended {
            Appended::New { id, .. } => (id, false),
            Appended::Duplicate { id, .. } => (id, true),
        };
        let comma = if index == 0 { "" } else { "," };
        // Writing into a string cannot fail.
        let _ = write!(
            body,
            r#"{comma}{{"eventId":"{id}","duplicate":{duplicate}}}"#
        );
    }
    body.push_str("]}");
    answer(StatusCode::ACCEPTED, "application/json", body)
}

/// 200: the source exists and can verify requests. Names are checked words, so they need no escaping.
pub(super) fn ready(source: &str) -> Response<Full<Bytes>> {
    answer(
        StatusCode::OK,
        "application/json",
        format!(r#"{{"source":"{source}","ready":true}}"#),
    )
}

/// A refusal.
pub(super) fn refused(refusal: &problem::Body) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = answer(status, problem::MEDIA_TYPE, refusal.to_json());
    let kind = refusal.known_kind();
    if let Some(seconds) = kind.and_then(Kind::retry_after_s) {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if kind == Some(Kind::MethodNotAllowed) {
        answer.headers_mut().insert(ALLOW, METHODS);
    }
    answer
}
