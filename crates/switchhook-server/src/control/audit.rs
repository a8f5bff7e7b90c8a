//! `GET /v1/audit`: what people and programs did, newest first, and the entries that the other routes write; beside it the
//! export, which has what was hashed, and the checkpoints.
//!
//! An entry rides in the batch of what it tells about. Where dispatch makes the change (a breaker, a skip, a rebalance),
//! the entry is on disk before dispatch is asked: nothing is done without a trace. Details hold no secret and no text of
//! an event.
//!
//! Bounds: a page looks at [`SCANNED_MAX`] entries and holds `paging::READ_BYTES_MAX` of text, so that it may be shorter
//! than asked for, or empty, and not be the last: `nextUri` says. The export reads [`AT_A_TIME`] entries when the reader
//! has taken those before, and ends with the entry that was the last when it was asked for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream;
use http::Uri;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{AuditEntry, Document, Room};
use switchhook_store::query::Audited;
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{AuditLine, AuditList, AuditView, CheckpointList, CheckpointView};

use super::Control;
use super::answer::{Answer, json};
use super::export::JSON_LINES;
use super::paging::{READ_BYTES_MAX, next_uri};
use super::request::Params;
use crate::checkpoints;

/// Entries that one page looks at: some tens of milliseconds.
const SCANNED_MAX: usize = 10_000;
/// Entries that are read at once: the largest have some 130 KB.
const AT_A_TIME: usize = 100;

/// Who asks: the name of the token.
#[derive(Debug, Clone)]
pub(crate) struct Actor(pub(crate) Arc<str>);

impl Actor {
    /// That they did `action` to `object`, a kind and a name.
    pub(crate) fn entry(
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

/// Which entries. Everything that is set must hold.
#[derive(Debug, Default)]
struct Filter {
    actor: Option<String>,
    action: Option<String>,
    /// A kind and a name, or a kind alone.
    object: Option<String>,
    since: Option<UnixMs>,
    until: Option<UnixMs>,
}

impl Filter {
    fn takes(&self, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let is_object = self.object.as_deref().is_none_or(|wanted| {
            let rest = entry.object.strip_prefix(wanted);
            rest.is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('/') && !wanted.contains('/'))
            })
        });
        is(&self.actor, &entry.actor)
            && is(&self.action, &entry.action)
            && is_object
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// A page of entries.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<Audited>,
    /// The number before which the next page goes on, unless this is the last.
    next: Option<u64>,
}

pub(super) async fn list(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let filter = Filter {
        actor: params.text("actor"),
        action: params.text("action"),
        object: params.text("object"),
        since: params.time("since"),
        until: params.time("until"),
    };
    let before = params.number("before", 1..=u64::MAX);
    let page_size = params.page_size();
    params.finish()?;
    let read = control.read(move |store| page(store, &filter, before, page_size));
    let Found { entries, next } = read.await?;
    json(AuditList {
        entities: entries.into_iter().map(view).collect(),
        next_uri: next.map(|next| next_uri(&uri, "before", &next.to_string())),
        page_size,
    })
}

fn page(
    store: &dyn Store,
    filter: &Filter,
    before: Option<u64>,
    size: usize,
) -> Result<Found, Error> {
    let (mut entries, mut at) = (Vec::new(), before);
    let (mut scanned, mut bytes) = (0, 0);
    loop {
        let chunk = store.audit(at, AT_A_TIME)?;
        let is_end = chunk.len() < AT_A_TIME;
        for entry in chunk {
            if entries.len() == size || scanned == SCANNED_MAX || bytes >= READ_BYTES_MAX {
                return Ok(Found { entries, next: at });
            }
            at = Some(entry.number);
            scanned += 1;
            if filter.takes(&entry.entry) {
                bytes += entry.entry.detail.len();
                entries.push(entry);
            }
        }
        if is_end {
            return Ok(Found {
                entries,
                next: None,
            });
        }
    }
}

fn view(
    Audited {
        number,
        entry,
        hash,
    }: Audited,
) -> AuditView {
    AuditView {
        number,
        at: rfc3339(entry.at),
        actor: entry.actor.to_string(),
        action: entry.action.to_string(),
        object: entry.object.to_string(),
        detail: serde_json::from_str(&entry.detail).unwrap_or_default(),
        hash: HEXLOWER.encode(&hash),
    }
}

pub(super) async fn export(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let from = params.number("from", 1..=u64::MAX).unwrap_or(1);
    params.finish()?;
    let newest = control.read(|store| store.audit(None, 1)).await?;
    // What comes meanwhile is for the next one: this one ends.
    let until = newest.first().map_or(0, |entry| entry.number);
    let lines = stream::try_unfold(from, move |from| {
        let control = control.clone();
        async move {
            let chunk = control.read(move |store| chunk(store, from, until)).await;
            // The status is sent already: breaking the connection off is the only way to tell.
            chunk.map_err(|_| std::io::Error::other("the store could not be read"))
        }
    });
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(lines)).into_response())
}

/// The lines from number `from` to `until`, a bounded number of them, and where the next ones begin.
fn chunk(store: &dyn Store, from: u64, until: u64) -> Result<Option<(Bytes, u64)>, Error> {
    if from > until {
        return Ok(None);
    }
    let entries = store.audit_from(from, AT_A_TIME)?;
    let mut text = String::new();
    let mut next = None;
    for entry in entries.into_iter().filter(|entry| entry.number <= until) {
        next = Some(entry.number.saturating_add(1));
        // Our own lines have no member that JSON cannot write.
        text.push_str(&serde_json::to_string(&line(entry)).unwrap_or_default());
        text.push('\n');
    }
    Ok(next.map(|next| (text.into(), next)))
}

fn line(audited: Audited) -> AuditLine {
    let hashed = audited.entry.hashed(audited.number);
    AuditLine {
        number: hashed.number,
        at_ms: hashed.at.0,
        actor: hashed.actor.to_owned(),
        action: hashed.action.to_owned(),
        object: hashed.object.to_owned(),
        detail: hashed.detail.to_owned(),
        hash: HEXLOWER.encode(&audited.hash),
    }
}

pub(super) async fn checkpoints(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut params = Params::of(&uri);
    let after = params.number("after", 0..=u64::MAX);
    let page_size = params.page_size();
    params.finish()?;
    let now = control.gateway.clock.now();
    let after = after.map(checkpoints::id);
    let read = control.read(move |store| {
        let items = page_size.saturating_add(1);
        store.documents(Room::Checkpoint, after.as_deref(), items, now)
    });
    let mut found = read.await?;
    let has_more = found.len() > page_size;
    found.truncate(page_size);
    let entities: Vec<CheckpointView> = found.iter().filter_map(checkpoint).collect();
    let last = entities.last().filter(|_| has_more);
    json(CheckpointList {
        next_uri: last.map(|last| next_uri(&uri, "after", &last.entries.to_string())),
        entities,
        page_size,
    })
}

/// A checkpoint as it is kept; what is none is passed over here and found by who verifies the store.
fn checkpoint(document: &Document) -> Option<CheckpointView> {
    Some(CheckpointView {
        entries: document.id.parse().ok()?,
        at: rfc3339(document.updated_at),
        note: std::str::from_utf8(&document.body).ok()?.to_owned(),
    })
}

pub(super) async fn key(State(control): State<Arc<Control>>) -> Answer {
    json(control.gateway.checkpoints.key())
}

#[cfg(test)]
mod tests {
    use switchhook_store::memory::Memory;

    use super::*;

    fn entry(actor: &str, object: &str, at: u64) -> AuditEntry {
        AuditEntry {
            at: UnixMs(at),
            actor: actor.into(),
            action: "resource.put".into(),
            object: object.into(),
            detail: "{}".into(),
        }
    }

    /// A log of `count` entries, of which every hundredth is by `ada`.
    fn log(count: u64) -> Memory {
        let store = Memory::new();
        let by = |n: u64| if n.is_multiple_of(100) { "ada" } else { "bob" };
        let audit = (1..=count).map(|n| entry(by(n), "endpoint/crm", n));
        let batch = Batch {
            audit: audit.collect(),
            ..Batch::default()
        };
        store.submit(batch, Box::new(|done| drop(done.unwrap())));
        store
    }

    #[test]
    fn a_filtered_list_is_whole_over_its_pages_though_some_are_empty() {
        let store = log(25_000);
        let filter = Filter {
            actor: Some("ada".into()),
            until: Some(UnixMs(10_000)),
            ..Filter::default()
        };
        let (mut numbers, mut pages, mut before) = (Vec::new(), Vec::new(), None);
        loop {
            let found = page(&store, &filter, before, 60).unwrap();
            pages.push(found.entries.len());
            numbers.extend(found.entries.iter().map(|entry| entry.number));
            before = found.next;
            if before.is_none() {
                break;
            }
        }
        let expected: Vec<u64> = (1..100).rev().map(|n| n * 100).collect();
        assert_eq!(numbers, expected);
        assert_eq!(pages, [0, 49, 50]);
    }

    #[test]
    fn an_object_is_meant_by_its_name_or_by_its_kind() {
        for (wanted, found, takes) in [
            ("endpoint/crm", "endpoint/crm", true),
            ("endpoint", "endpoint/crm", true),
            ("endpoint/crm", "endpoint/crm/x", false),
            ("endp", "endpoint/crm", false),
            ("subscription", "endpoint/crm", false),
        ] {
            let filter = Filter {
                object: Some(wanted.into()),
                ..Filter::default()
            };
            assert_eq!(
                filter.takes(&entry("ada", found, 1)),
                takes,
                "{wanted} {found}"
            );
        }
    }

    #[test]
    fn the_export_has_every_line_once_and_ends_where_the_log_ended() {
        let store = log(250);
        let (mut from, mut text) = (41, String::new());
        while let Some((lines, next)) = chunk(&store, from, 201).unwrap() {
            text.push_str(std::str::from_utf8(&lines).unwrap());
            from = next;
        }
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<AuditLine>(line).unwrap().number)
            .collect();
        assert_eq!(numbers, (41..=201).collect::<Vec<_>>());
    }
}
