//! `POST /v1/deadLetters:replay` and `:discard`: an action on all dead letters that match a filter, not on a page.
//! A filter that sets nothing is refused unless the body says `"all": true`.
//!
//! What matches is settled when the request comes in: what is given up later does not join. The work goes on to its end
//! even if the asker leaves, in commits of at most [`letters::CHUNK_MAX`], so that other writers get their turn. It can be
//! repeated: a letter that was replayed or discarded meanwhile is skipped by the store.
//!
//! A replay keeps the event and the delivery id, starts a new chain, is due at once, and has the policy's whole time. A key
//! that halted goes on when its dead letter is replayed, in its turn, or discarded. More than a few thousand are better
//! replayed by a job (`crate::jobs`), which is paced and can be stopped.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::Uri;
use serde_json::json as object;
use switchhook_core::delivery::{DeliveryKey, Gap, Place, Waiting};
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{AuditEntry, Replay};
use switchhook_store::query::{DeadFilter, DeadLetter};
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::api::{BulkResult, DeadLetterFilter, SelectionRequest};
use switchhook_wire::problem::{self, Kind};

use super::answer::{Answer, Refusal, json};
use super::audit::Actor;
use super::request::{Params, needed_json};
use super::selection::Selection;
use super::sight::Seen;
use super::{Control, letters};
use crate::observe::log;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Replay,
    Discard,
}

pub(super) async fn replay(
    State(control): State<Arc<Control>>,
    Extension(actor): Extension<Actor>,
    seen: Seen,
    uri: Uri,
    body: Body,
) -> Answer {
    act((control, actor, seen), uri, body, Action::Replay).await
}

pub(super) async fn discard(
    State(control): State<Arc<Control>>,
    Extension(actor): Extension<Actor>,
    seen: Seen,
    uri: Uri,
    body: Body,
) -> Answer {
    act((control, actor, seen), uri, body, Action::Discard).await
}

async fn act(
    (control, actor, Seen(sight)): (Arc<Control>, Actor, Seen),
    uri: Uri,
    body: Body,
    action: Action,
) -> Answer {
    Params::of(&uri).finish()?;
    let request: SelectionRequest = needed_json(body).await?;
    if request.filter == DeadLetterFilter::default() && !request.all {
        return Err(nothing_chosen());
    }
    let now = control.gateway.clock.now();
    let detail = object!({ "filter": &request.filter });
    let selection = Selection::of_body(request.filter)?.seen_by(sight);
    let selection = selection.frozen(now);
    let filter = control.read(move |store| selection.resolve(store)).await?;
    if request.dry_run {
        let matched = control.read(move |store| store.count_dead(&filter)).await?;
        return json(BulkResult {
            matched,
            ..BulkResult::default()
        });
    }
    let name = match action {
        Action::Replay => "deadLetters.replay",
        Action::Discard => "deadLetters.discard",
    };
    let entry = actor.entry(now, name, ("deadLetters", "selection"), &detail);
    let work = tokio::spawn(async move { work(&control, filter, action, entry).await });
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

/// `entry` tells of it in the first batch.
async fn work(
    control: &Control,
    filter: DeadFilter,
    action: Action,
    entry: AuditEntry,
) -> Answer<BulkResult> {
    let (mut after, mut matched, mut done) = (None, 0_u64, 0_u64);
    let mut audit = vec![entry];
    loop {
        let (filter, from) = (filter.clone(), after.take());
        let letters = control
            .read(move |store| letters::chunk(store, &filter, from.as_ref()))
            .await?;
        let Some(last) = letters.last() else { break };
        after = Some(letters::position(last));
        matched = matched.saturating_add(letters.len() as u64);
        let audit = std::mem::take(&mut audit);
        done = done.saturating_add(commit(control, &letters, action, audit).await?);
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
async fn commit(
    control: &Control,
    letters: &[DeadLetter],
    action: Action,
    audit: Vec<AuditEntry>,
) -> Answer<u64> {
    // Nor is a letter to be discarded while it is being moved to another place: it would be there again.
    let standing = control.gateway.dispatch.places_stand().await;
    if action == Action::Discard {
        let discards = letters
            .iter()
            .map(|letter| (letter.dead.key.clone(), letter.dead.chain))
            .collect();
        let batch = Batch {
            discards,
            audit,
            ..Batch::default()
        };
        let discarded = control.write(batch).await?.discarded;
        let mut gone = halting(letters);
        if discarded < letters.len() as u64 {
            // Someone else was faster with some, and may have replayed them: their keys still wait.
            gone = control.read(move |store| settled(store, gone)).await?;
        }
        control.gateway.dispatch.discarded(gone);
        return Ok(discarded);
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
    let batch = Batch {
        replays,
        audit,
        ..Batch::default()
    };
    let replayed = control.write(batch).await?.replayed;
    drop(standing);
    changed
        .iter()
        .for_each(|subscription| control.gateway.dispatch.rows_changed(subscription));
    Ok(replayed)
}

/// Those whose key waits for them.
fn halting(letters: &[DeadLetter]) -> Vec<(DeliveryKey, Place)> {
    let halting = letters
        .iter()
        .filter(|letter| letter.dead.gap == Gap::Halted);
    halting
        .map(|letter| (letter.dead.key.clone(), letter.dead.place))
        .collect()
}

/// Those of `deliveries` that neither wait nor are dead.
fn settled(
    store: &dyn Store,
    mut deliveries: Vec<(DeliveryKey, Place)>,
) -> Result<Vec<(DeliveryKey, Place)>, Error> {
    let mut failed = Ok(());
    deliveries.retain(|(key, _)| match store.history(key.offset) {
        Ok(history) => {
            let mut left = history.waiting.iter().map(|row| &row.key);
            let mut dead = history.dead.iter().map(|dead| &dead.key);
            !left.any(|other| other == key) && !dead.any(|other| other == key)
        }
        Err(error) => {
            failed = Err(error);
            false
        }
    });
    failed.map(|()| deliveries)
}

/// The row of a replay; `None` when nobody would serve it.
fn new_chain(letter: &DeadLetter, plan: &Plan, now: UnixMs) -> Option<Replay> {
    let dead = &letter.dead;
    let subscription = plan.subscriptions.get(&dead.key.subscription)?;
    let policy = plan.policies.get(&subscription.policy)?;
    // Its partition may have been another one under the plan of then.
    let place = plan.place(subscription, &letter.event);
    let chain = dead.chain.saturating_add(1);
    Some(Replay {
        dead_chain: Some(dead.chain),
        waiting: Waiting::replay(dead.key.clone(), place, chain, policy.max_age_ms, now),
    })
}
