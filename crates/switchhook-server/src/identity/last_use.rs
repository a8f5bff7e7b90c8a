//! When each token and client was last used: in memory at each request, on disk at most once a minute, in one document.
//!
//! It is a document of its own, so that writing it can never bring a token back that was revoked meanwhile. A crash loses
//! at most a minute of it. Access tokens that have ended leave the memory at the same time.

use std::sync::Arc;
use std::time::Duration;

use switchhook_core::time::UnixMs;
use switchhook_store::batch::Room;
use switchhook_store::{Batch, Error};
use switchhook_wire::identity::LastUse;

use super::{Registry, document};
use crate::gateway::{Gateway, write};

/// Name of the document.
pub(super) const DOCUMENT: &str = "last-use";
/// How often it is written, if anything has changed.
const INTERVAL: Duration = Duration::from_secs(60);

/// Writes it again and again.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let mut written = of(&gateway.identity);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = gateway.clock.now();
        gateway.identity.change().forget_expired(now);
        let used = of(&gateway.identity);
        if used == written {
            continue;
        }
        match save(&gateway, &used, now).await {
            Ok(()) => written = used,
            // The store says so itself, and the next minute tries again.
            Err(error) => tracing::debug!(%error, "the last use of tokens was not written"),
        }
    }
}

/// Writes it once more before the store closes.
pub(crate) async fn finish(gateway: &Gateway) {
    let used = of(&gateway.identity);
    if !used.is_empty() && save(gateway, &used, gateway.clock.now()).await.is_err() {
        tracing::debug!("the last use of tokens was not written");
    }
}

fn of(registry: &Registry) -> LastUse {
    let known = registry.read();
    let used = known
        .meters()
        .filter_map(|(id, meter)| Some((id.to_owned(), meter.used_at()?.0)));
    used.collect()
}

async fn save(gateway: &Gateway, used: &LastUse, now: UnixMs) -> Result<(), Error> {
    let document = document((Room::Setting, DOCUMENT), used, now, None)
        .map_err(|refusal| Error::Refused(refusal.body().detail.clone()))?;
    let batch = Batch {
        documents: vec![document],
        ..Batch::default()
    };
    write(&*gateway.store, batch).await.map(|_| ())
}
