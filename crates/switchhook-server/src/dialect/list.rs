//! Lists of webhooks and event types, in pages.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderMap, Uri};
use switchhook_core::topic;
use switchhook_wire::dialect::Dialect;
use switchhook_wire::dialect::catalogue::EventType;
use switchhook_wire::dialect::page::{self, NUMBER_MAX, SIZE_DEFAULT, SIZE_MAX, Wanted};

use super::answer::base_url;
use super::found;
use crate::control::Control;
use crate::control::answer::{Answer, json};
use crate::control::request::Params;

/// Which page a request wants. `page` is another name of `pageNumber`.
pub(super) fn wanted(params: &mut Params) -> Wanted {
    let size = params
        .number("pageSize", 1..=SIZE_MAX)
        .unwrap_or(SIZE_DEFAULT);
    let number = params.number("pageNumber", 1..=NUMBER_MAX);
    let page = params.number("page", 1..=NUMBER_MAX);
    if let (Some(number), Some(page)) = (number, page)
        && number != page
    {
        let detail = format!("is {page} and `pageNumber` is {number}: name one page");
        params.faults.malformed("page", detail);
    }
    Wanted {
        size,
        number: page.or(number).unwrap_or(1),
        by_page: page.is_some(),
    }
}

pub(super) async fn webhooks(
    dialect: Dialect,
    path: &'static str,
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let mut params = Params::of(&uri);
    let wanted = wanted(&mut params);
    params.finish()?;
    let all = found::all(&*control.gateway.resources.lock().await);
    let page = page::page_of(all, wanted, path, "");
    let base = base_url(&control, &headers);
    let entities = page.entities.iter();
    let entities = entities.map(|found| dialect.encode(&found.webhook(), &base));
    let entities = entities.collect();
    json(page.with(entities))
}

pub(super) async fn event_types(uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let wanted = wanted(&mut params);
    params.finish()?;
    let all = topic::all().iter().map(|topic| EventType {
        id: topic.id.to_owned(),
        name: topic.name.to_owned(),
        description: topic.description.to_owned(),
    });
    json(page::page_of(all, wanted, "/api/v2/eventtypes", ""))
}
