//! `/v1/deadLetters`: what was given up. Oldest first; a page goes on after a place.
//!
//! A dead letter has two ids. `{subscription}:{eventId}` is looked up at once. The delivery id (`dlv_…`) that lists show
//! and receivers saw is a digest, which no index can find: it is searched for, in time that grows with their number.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::Uri;
use switchhook_core::id::{DeliveryId, EventId};
use switchhook_core::sight::Sight;
use switchhook_store::query::{DeadFilter, DeadLetter, DeadPosition, Limit};
use switchhook_store::{Error, Store};
use switchhook_wire::api::{BodyForm, DeadLetterList, DeadLetterView};
use switchhook_wire::problem::Body as Problem;

use super::Control;
use super::answer::{Answer, json};
use super::paging::{Page, READ_BYTES_MAX, next_uri, page};
use super::request::Params;
use super::selection::{Selection, place, place_text};
use super::sight::Seen;

/// Letters that are taken at once where all are gone through.
pub(super) const CHUNK_MAX: usize = 500;

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    let mut params = Params::of(&uri);
    let selection = Selection::of_query(&mut params).seen_by(sight);
    let after = params.parsed("after", place);
    let page_size = params.page_size();
    params.finish()?;
    let read = control.read(move |store| {
        let filter = selection.resolve(store)?;
        page(
            page_size,
            after,
            |after, limit| store.dead(&filter, after, limit),
            |letter| (position(letter), &letter.event),
            |letter| view(sight, letter, BodyForm::Absent),
        )
    });
    let Page { views, next } = read.await?;
    let next_uri = next.map(|position| next_uri(&uri, "after", &place_text(&position)));
    json(DeadLetterList {
        entities: views,
        next_uri,
        page_size,
    })
}

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let wanted: Option<Id> = parse(&id);
    let found = match wanted {
        Some(wanted) => control.read(move |store| find(store, &wanted)).await?,
        None => None,
    };
    let letter = found.ok_or_else(|| {
        let hint = "use `{subscription}:{eventId}`, or the delivery id `dlv_…` of a list";
        Problem::not_found("dead letter", &id).with_hint(hint)
    })?;
    json(view(sight, &letter, BodyForm::Readable))
}

/// A letter as `sight` sees it.
pub(super) fn view(sight: Sight, letter: &DeadLetter, body: BodyForm) -> DeadLetterView {
    DeadLetterView::new(&sight.dead(&letter.dead), &letter.event, body)
}

/// Where a dead letter stands in the list of all.
pub(super) fn position(letter: &DeadLetter) -> DeadPosition {
    DeadPosition {
        at: letter.dead.at,
        key: letter.dead.key.clone(),
    }
}

/// The next letters after `after`, at most [`CHUNK_MAX`].
pub(super) fn chunk(
    store: &dyn Store,
    filter: &DeadFilter,
    after: Option<&DeadPosition>,
) -> Result<Vec<DeadLetter>, Error> {
    store.dead(
        filter,
        after,
        Limit {
            items: CHUNK_MAX,
            bytes: READ_BYTES_MAX,
        },
    )
}

#[derive(Debug, Clone, PartialEq)]
enum Id {
    Of(String, EventId),
    Delivery(DeliveryId),
}

fn parse(id: &str) -> Option<Id> {
    match id.split_once(':') {
        Some((subscription, event)) => Some(Id::Of(subscription.to_owned(), event.parse().ok()?)),
        None => id.parse().ok().map(Id::Delivery),
    }
}

fn find(store: &dyn Store, id: &Id) -> Result<Option<DeadLetter>, Error> {
    match id {
        Id::Of(subscription, event) => {
            let Some(event) = store.event(*event)? else {
                return Ok(None);
            };
            let filter = DeadFilter {
                subscription: Some(subscription.clone()),
                offset: Some(event.offset),
                ..DeadFilter::default()
            };
            Ok(chunk(store, &filter, None)?.into_iter().next())
        }
        Id::Delivery(id) => {
            let is_it = |letter: &DeadLetter| {
                DeliveryId::derive(letter.event.id, &letter.dead.key.subscription) == *id
            };
            let mut after = None;
            loop {
                let letters = chunk(store, &DeadFilter::default(), after.as_ref())?;
                let Some(last) = letters.last() else {
                    return Ok(None);
                };
                after = Some(position(last));
                if let Some(found) = letters.into_iter().find(is_it) {
                    return Ok(Some(found));
                }
            }
        }
    }
}
