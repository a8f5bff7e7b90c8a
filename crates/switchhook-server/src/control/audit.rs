//! `GET /v1/audit`: what people and programs did, newest first, and the entries that the other routes write.
//!
//! An entry rides in the batch of what it tells about. Where dispatch makes the change (a breaker, a skip, a rebalance),
//! the entry is on disk before dispatch is asked: nothing is done without a trace. Details hold no secret and no text of
//! an event.

use std::sync::Arc;

use axum::extract::State;
use http::Uri;
use serde_json::Value;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::AuditEntry;
use switchhook_store::query::Audited;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{AuditList, AuditView};

use super::Control;
use super::answer::{Answer, json};
use super::paging::next_uri;
use super::request::Params;

/// Who asks: the name of the token.
#[derive(Debug, Clone)]
pub(super) struct Actor(pub(super) Arc<str>);

impl Actor {
    /// That they did `action` to `object`, a kind and a name.
    pub(super) fn entry(
        &self,
        at: UnixMs,
        action: &'static str,
        (kind, name): (&str, &str),
        detail: &Value,
    ) -> AuditEntry {
        AuditEntry {
            at,
            actor: self.0.clone(),
            action: action.into(),
            object: format!("{kind}/{name}").into(),
            detail: detail.to_string().into(),
        }
    }
}

impl Control {
    /// Writes an entry by itself, before something is done that is no batch.
    pub(super) async fn note(&self, entry: AuditEntry) -> Answer<()> {
        let audit = vec![entry];
        self.write(Batch {
            audit,
            ..Batch::default()
        })
        .await
        .map(|_| ())
    }
}

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let before = params.number("before", 1..=u64::MAX);
    let page_size = params.page_size();
    params.finish()?;
    let read = control.read(move |store| store.audit(before, page_size.saturating_add(1)));
    let mut entries = read.await?;
    let has_more = entries.len() > page_size;
    entries.truncate(page_size);
    let last = entries.last().filter(|_| has_more);
    let next_uri = last.map(|last| next_uri(&uri, "before", &last.number.to_string()));
    json(AuditList {
        entities: entries.into_iter().map(view).collect(),
        next_uri,
        page_size,
    })
}

fn view(Audited { number, entry }: Audited) -> AuditView {
    AuditView {
        number,
        at: rfc3339(entry.at),
        actor: entry.actor.to_string(),
        action: entry.action.to_string(),
        object: entry.object.to_string(),
        detail: serde_json::from_str(&entry.detail).unwrap_or_default(),
    }
}
