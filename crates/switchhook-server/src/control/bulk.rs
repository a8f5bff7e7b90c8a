//! `POST /v1/deadLetters:replay` and `:discard`: an action on all dead letters that match a filter, not on a page.
//! A filter that sets nothing is refused unless the body says `"all": true`.
//!
//! What matches is settled when the request comes in: what is given up later does not join. The work goes on to its end
//! even if the asker leaves, in commits of at most [`letters::CHUNK_MAX`], so that other writers get their turn. It can be
//! repeated: a letter that was replayed or discarded meanwhile is skipped by the store.
//!
//! A replay keeps the event and the delivery id, starts a new chain, is due at once, and has the policy's whole time.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::Uri;
use switchhook_core::delivery::Waiting;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::Replay;
use switchhook_store::query::{DeadFilter, DeadLetter};
use switchhook_wire::api::{BulkResult, DeadLetterFilter, SelectionRequest};
use switchhook_wire::problem::{self, Kind};

use super::answer::{Answer, Refusal, json};
use super::request::{Params, needed_json};
use super::selection::Selection;
use super::{Control, letters};
use crate::observe::log;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Replay,
    Discard,
}

pub(super) async fn replay(State(control): State<Arc<Control>>, uri: Uri, body: Body) -> Answer {
    act(control, uri, body, Action::Replay).await
}

pub(super) async fn discard(State(control): State<Arc<Control>>, uri: Uri, body: Body) -> Answer {
    act(control, uri, body, Action::Discard).await
}

async fn act(control: Arc<Control>, uri: Uri, body: Body, action: Action) -> Answer {
    Params::of(&uri).finish()?;
    let request: SelectionRequest = needed_json(body).await?;
    if request.filter == DeadLetterFilter::default() && !request.all {
        return Err(nothing_chosen());
    }
    let selection = Selection::of_body(request.filter)?.frozen(control.gateway.clock.now());
    let filter = control.read(move |store| selection.resolve(store)).await?;
    if request.dry_run {
        let matched = control.read(move |store| store.count_dead(&filter)).await?;
        return json(BulkResult {
            matched,
            ..BulkResult::default()
        });
    }
    let work = tokio::spawn(async move { work(&control, filter, action).await });
    json(work.await.map_err(Refusal::internal)??)
}

/// A body that sets no filter may be one whose filter was forgotten.
fn nothing_chosen() -> Refusal {
    problem::Body::new(
        Kind::InvalidRequest,
        "the filter sets nothing, and `all` is not true",
    )
    .with_hint(
        "say in `filter` which dead letters are meant, or write `\"all\": true` if all of them are",
    )
    .into()
}

async fn work(control: &Control, filter: DeadFilter, action: Action) -> Answer<BulkResult> {
    let (mut after, mut matched, mut done) = (None, 0_u64, 0_u64);
    loop {
        let (filter, from) = (filter.clone(), after.take());
        let letters = control
            .read(move |store| letters::chunk(store, &filter, from.as_ref()))
            .await?;
        let Some(last) = letters.last() else { break };
        after = Some(letters::position(last));
        matched = matched.saturating_add(letters.len() as u64);
        done = done.saturating_add(commit(control, &letters, action).await?);
    }
    let skipped = Some(matched.saturating_sub(done)).filter(|skipped| *skipped > 0);
    let result = BulkResult {
        matched,
        skipped,
        ..BulkResult::default()
    };
    Ok(match action {
        Action::Replay => {
            log::bulk("replay", matched, done);
            BulkResult {
                replayed: Some(done),
                ..result
            }
        }
        Action::Discard => {
            log::bulk("discard", matched, done);
            BulkResult {
                discarded: Some(done),
                ..result
            }
        }
    })
}

/// One chunk; how many of it were still there.
async fn commit(control: &Control, letters: &[DeadLetter], action: Action) -> Answer<u64> {
    if action == Action::Discard {
        let discards = letters
            .iter()
            .map(|letter| (letter.dead.key.clone(), letter.dead.chain))
            .collect();
        return Ok(control
            .write(Batch {
                discards,
                ..Batch::default()
            })
            .await?
            .discarded);
    }
    let (plan, now) = (
        control.gateway.plan.load_full(),
        control.gateway.clock.now(),
    );
    let replays: Vec<Replay> = letters
        .iter()
        .filter_map(|letter| new_chain(letter, &plan, now))
        .collect();
    let changed: BTreeSet<_> = replays
        .iter()
        .map(|replay| replay.waiting.key.subscription.clone())
        .collect();
    let replayed = control
        .write(Batch {
            replays,
            ..Batch::default()
        })
        .await?
        .replayed;
    changed
        .iter()
        .for_each(|subscription| control.gateway.dispatch.rows_changed(subscription));
    Ok(replayed)
}

/// The row of a replay; `None` when nobody would serve it.
fn new_chain(letter: &DeadLetter, plan: &Plan, now: UnixMs) -> Option<Replay> {
    let dead = &letter.dead;
    let policy = plan
        .policies
        .get(&plan.subscriptions.get(&dead.key.subscription)?.policy)?;
    let waiting = Waiting::replay(dead, policy.max_age_ms, now);
    Some(Replay {
        dead_chain: dead.chain,
        waiting,
    })
}
