//! The file at the start: whether it counts, what has changed since the gateway last ran, and whom that concerns.
//!
//! A start compares the file with the last version that was in force. It asks the same question as a reload: would
//! deliveries that wait be stranded? Whoever changed the file while the gateway was down is told, before anything is
//! written. After a rollback the pinned version counts as long as the file has the text that was rolled back from.

use std::sync::Arc;

use switchhook_core::time::UnixMs;
use switchhook_store::{Batch, Store};
use switchhook_wire::api::{ConfigCause, ConfigPin, ConfigVersion};
use switchhook_wire::config::{Config, changes};

use super::{ConfigFile, Refused, entry, hash, unpinned, versions};
use crate::control::{Resources, concerned};
use crate::gateway::{StartError, in_background};
use crate::secrets::vault::Vault;

/// The file with which a gateway is started.
pub(crate) struct Given {
    pub(crate) file: Arc<dyn ConfigFile>,
    pub(crate) text: String,
    /// Start although deliveries wait that the new text strands.
    pub(crate) force: bool,
}

/// What counts, as [`super::Reloads`] keeps it.
#[derive(Debug, Clone, Default)]
pub(crate) struct InForce {
    pub(crate) version: Option<ConfigVersion>,
    pub(crate) pin: Option<ConfigPin>,
    pub(crate) file_hash: Option<String>,
}

/// What the store and the file say together.
pub(crate) struct Beginning {
    /// What the gateway starts with.
    pub(crate) config: Config,
    /// What was in force when it last ran, where that differs and can still be said.
    last: Option<Config>,
    pub(crate) in_force: InForce,
    /// What is to be written before the new version is at work.
    pub(crate) batch: Option<Batch>,
}

/// What the file means for a gateway with this store.
pub(crate) async fn begin(
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    config: Config,
    given: Option<Given>,
    now: UnixMs,
) -> Result<(Beginning, Option<Given>), StartError> {
    let Some(given) = given else {
        return Ok((Beginning::without_file(config), None));
    };
    let begun = tokio::task::spawn_blocking(move || {
        let begun = Beginning::of(&*store, &vault, config, &given, now);
        (begun, given)
    });
    let begun = begun.await;
    let (begun, given) = begun.map_err(|error| StartError::Versions(error.to_string()))?;
    match begun {
        Ok(begun) => Ok((begun, Some(given))),
        Err(Refused::Invalid(problems)) => Err(StartError::Pinned(problems)),
        Err(Refused::Store(error)) => Err(StartError::Store(error)),
        Err(refused) => Err(StartError::Versions(refused.to_string())),
    }
}

impl Beginning {
    /// Of a gateway without a file that can be read again.
    pub(crate) fn without_file(config: Config) -> Self {
        Self {
            config,
            last: None,
            in_force: InForce::default(),
            batch: None,
        }
    }

    /// What the file, read as `config`, means for a gateway with this store.
    pub(crate) fn of(
        store: &dyn Store,
        vault: &Vault,
        config: Config,
        given: &Given,
        now: UnixMs,
    ) -> Result<Self, Refused> {
        let (kept, pin) = (
            versions::all(store, vault, now)?,
            versions::pinned(store, now)?,
        );
        let file_hash = hash(&given.text);
        let stale = pin.clone().filter(|pin| pin.file_hash != file_hash);
        let mut in_force = InForce {
            version: kept.last().cloned(),
            pin: pin.filter(|pin| pin.file_hash == file_hash),
            file_hash: Some(file_hash.clone()),
        };
        let last = match kept.last() {
            Some(kept) => Some((kept, versions::text(store, vault, kept.number, now)?)),
            None => None,
        };
        if let (Some(pin), Some((_, text))) = (&in_force.pin, &last) {
            crate::observe::log::config_is_pinned(pin);
            return Ok(Self {
                config: pinned(given, text, config)?,
                last: None,
                in_force,
                batch: None,
            });
        }
        if in_force
            .version
            .as_ref()
            .is_some_and(|version| version.hash == file_hash)
        {
            // The file says by itself now what was pinned: nothing is pinned any more.
            let actor = Arc::from("start");
            return Ok(Self {
                in_force,
                batch: stale.map(|pin| unpinned(&pin, &actor, now)),
                ..Self::without_file(config)
            });
        }
        let old = last
            .as_ref()
            .and_then(|(_, text)| given.file.check(text).config);
        if last.is_some() && old.is_none() {
            tracing::warn!(
                "the configuration that was in force last cannot be read any more; what waits is not compared with it"
            );
        }
        let version = next(
            last.map(|(kept, _)| kept),
            old.as_ref(),
            &config,
            file_hash,
            now,
        );
        let mut documents = versions::written(vault, &version, &given.text, now)?;
        documents.push(versions::pin(None, now));
        let batch = Batch {
            documents,
            audit: vec![entry(&version, &[], now)],
            ..Batch::default()
        };
        in_force.version = Some(version);
        Ok(Self {
            config,
            last: old,
            in_force,
            batch: Some(batch),
        })
    }

    /// Whether these resources may take the place of what was in force last.
    ///
    /// # Errors
    /// When that concerns deliveries that wait.
    pub(crate) async fn may_replace(
        &self,
        resources: &Resources,
        store: &Arc<dyn Store>,
    ) -> Result<(), StartError> {
        let Some(last) = &self.last else {
            return Ok(());
        };
        // What the API made meanwhile may not fit the old file any more: then the file's own resources are compared.
        let joined = resources.with_file(last).map(|old| old.plan());
        let old = joined.unwrap_or_else(|_| Arc::new(last.plan.clone()));
        let counts = in_background(store, |store| store.counts()).await?;
        let found = concerned(&old, &resources.plan(), &counts);
        if found.is_empty() {
            return Ok(());
        }
        let found = found.into_iter().map(|error| error.detail);
        Err(StartError::Stranded(found.collect()))
    }
}

/// The version that a start with another text makes.
fn next(
    last: Option<&ConfigVersion>,
    old: Option<&Config>,
    config: &Config,
    hash: String,
    now: UnixMs,
) -> ConfigVersion {
    versions::bounded(ConfigVersion {
        number: last.map_or(1, |last| last.number.saturating_add(1)),
        at: switchhook_wire::api::time::rfc3339(now),
        actor: "start".to_owned(),
        cause: ConfigCause::Start,
        hash,
        text_of: None,
        changes: old.map(|old| changes(old, config)).unwrap_or_default(),
    })
}

/// The pinned version. Where the data is and how it is written is taken from the file: the store was opened with it.
fn pinned(given: &Given, text: &str, file: Config) -> Result<Config, Refused> {
    let loaded = given.file.check(text);
    let mut config = loaded.config.ok_or(Refused::Invalid(loaded.problems))?;
    config.server.data_dir = file.server.data_dir;
    config.store = file.store;
    config.vault = file.vault;
    Ok(config)
}
