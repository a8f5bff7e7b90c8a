//! `/v1/events`: what came in. Newest first; a page goes on before an offset.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Uri};
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_store::query::EventFilter;
use switchhook_wire::api::{BodyForm, EventList, EventView};
use switchhook_wire::problem::Body as Problem;

use super::Control;
use super::answer::{Answer, json};
use super::paging::{Page, next_uri, page};
use super::request::Params;

/// What a sender sent is never to be run as a page by a browser.
const NOSNIFF: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-content-type-options"),
    HeaderValue::from_static("nosniff"),
);
/// The media type of a body whose sender named none.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let filter = EventFilter {
        source: params.text("source"),
        kind: params.text("type"),
        key: params.text("key"),
        since: params.time("since"),
        until: params.time("until"),
        ..EventFilter::default()
    };
    let before = params.number("before", 1..=u64::MAX).map(Offset);
    let page_size = params.page_size();
    params.finish()?;
    let read = control.read(move |store| {
        page(
            page_size,
            before,
            |before, limit| store.events(&filter, before.copied(), limit),
            |event| (event.offset, event),
            |event| EventView::new(event, BodyForm::Absent),
        )
    });
    let Page { views, next } = read.await?;
    let next_uri = next.map(|offset| next_uri(&uri, "before", &offset.to_string()));
    json(EventList {
        entities: views,
        next_uri,
        page_size,
    })
}

/// One event; `?payload=raw` gives the exact bytes that came in.
pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    let mut params = Params::of(&uri);
    let payload = params.text("payload");
    let raw = params.faults.word("payload", payload, &["raw"], |word| {
        (word == "raw").then_some(())
    });
    params.finish()?;
    let event = find(&control, &id).await?;
    if raw.is_none() {
        return json(EventView::new(&event, BodyForm::Readable));
    }
    let written = event
        .header("content-type")
        .and_then(|written| HeaderValue::from_str(written).ok());
    Ok((
        [(CONTENT_TYPE, written.unwrap_or(BYTES)), NOSNIFF],
        event.body.clone(),
    )
        .into_response())
}

/// The event with this id.
pub(super) async fn find(control: &Control, id: &str) -> Answer<Arc<Event>> {
    let not_found = || Problem::not_found("event", id);
    let parsed: EventId = id.parse().map_err(|error| {
        let hint = format!("{error}");
        not_found().with_hint(hint)
    })?;
    let event = control.read(move |store| store.event(parsed)).await?;
    Ok(event.ok_or_else(not_found)?)
}
