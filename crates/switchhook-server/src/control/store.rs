//! `/v1/store`: how full it is, and a copy of it while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::Uri;
use serde_json::Value;
use switchhook_store::Error;
use switchhook_wire::api::{DeadCount, StoreStatus};
use switchhook_wire::problem::Kind;

use super::answer::{Answer, Refusal, json};
use super::request::{Faults, Params, needed_json};
use super::sight::Seen;
use super::{Control, ENGINE};

pub(super) async fn status(
    State(control): State<Arc<Control>>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let counts = control.read(|store| store.counts()).await?;
    let config = &control.gateway.config;
    let mut seen: BTreeMap<_, u64> = BTreeMap::new();
    for ((endpoint, reason), count) in &counts.dead {
        let known = seen.entry((endpoint, sight.reason(*reason))).or_default();
        *known = known.saturating_add(*count);
    }
    let dead = seen
        .into_iter()
        .map(|((endpoint, reason), count)| DeadCount {
            endpoint: endpoint.to_string(),
            reason: reason.name().to_owned(),
            count,
        });
    json(StoreStatus {
        engine: ENGINE.to_owned(),
        data_dir: config.server.data_dir.display().to_string(),
        durability: config.store.durability.name().to_owned(),
        events: counts.events,
        first_offset: counts.first.0,
        end_offset: counts.end.0,
        bytes: counts.bytes,
        free_bytes: Some(counts.free_bytes).filter(|bytes| *bytes != u64::MAX),
        waiting: counts.waiting.values().sum(),
        dead: dead.collect(),
        retention: control.gateway.retention.status(),
    })
}

/// Copies the store to `path`, on the machine of the gateway. The path must be absolute, since nobody at the other end
/// knows our working directory, and must not exist, so that no file is ever written over.
pub(super) async fn backup(State(control): State<Arc<Control>>, uri: Uri, body: Body) -> Answer {
    Params::of(&uri).finish()?;
    let path = backup_path(needed_json(body).await?)?;
    if tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{} exists; a backup overwrites nothing", path.display()),
        ));
    }
    let target = path.clone();
    let copied = control.read(move |store| match store.backup(&target) {
        // The path is the asker's, so that the reason is not a secret from them.
        Err(Error::File { path, reason }) => Ok(Err(format!("{}: {reason}", path.display()))),
        result => result.map(Ok),
    });
    copied
        .await?
        .map_err(|reason| Refusal::new(Kind::Conflict, reason))?;
    let bytes = tokio::fs::metadata(&path)
        .await
        .map_or(0, |file| file.len());
    json(serde_json::json!({ "path": path, "bytes": bytes }))
}

fn backup_path(body: Value) -> Answer<PathBuf> {
    let mut faults = Faults::default();
    let path = body
        .get("path")
        .and_then(Value::as_str)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    if path.is_none() {
        faults.malformed(
            "path",
            "`path` must be an absolute path on the machine of the gateway",
        );
    }
    for name in body
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| *name != "path")
    {
        faults.malformed(
            name,
            "this member does not exist here; there is only `path`",
        );
    }
    faults.none()?;
    path.ok_or_else(|| Refusal::new(Kind::InvalidRequest, "`path` is missing"))
}
