//! What the store knows of each subscription when it comes into force.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::engine::Recovered;
use switchhook_core::plan::Plan;
use switchhook_store::{Error, Store};

/// By subscription name; those that the store has never seen are not in it.
pub(super) type All = BTreeMap<Arc<str>, Recovered>;

/// Reads it for all subscriptions of `plan`. Blocks on the disk.
pub(super) fn all(store: &dyn Store, plan: &Plan) -> Result<All, Error> {
    let mut recovered = All::new();
    for (name, cursor) in store.cursors()? {
        if plan.subscriptions.contains_key(&name) {
            let settled = store.settled_from(&name, cursor)?;
            recovered.insert(name, Recovered { cursor, settled });
        }
    }
    Ok(recovered)
}
