//! The gateway's own file while the gateway runs: reading it again, its versions, and going back to one.
//!
//! All or nothing. A text is read and checked as a whole, joined with the resources of the API, and asked what it would do
//! to deliveries that wait; then its version, what it changed and who did it are one write; then it is in force, swapped
//! as one, so that nothing ever sees half of it. Where any step says no, what was in force stays in force, and until
//! a reading succeeds an alert and a metric say so. The lock on the resources is held throughout: changes through the
//! API come before it or after it.
//!
//! Going back puts the text of an earlier version in force and *pins* it: the file on disk is left alone, and does not
//! count until it has another text, also over restarts. Only the binary reads files and environment: it hands in a
//! [`ConfigFile`]. Settings that only a restart takes over are named, everything else counts at once.
//!
//! Bounds: [`versions::VERSIONS_MAX`] versions; of one version at most [`versions::CHANGES_MAX`] changes are named.

pub(crate) mod begin;
pub(crate) mod standing;
pub(crate) mod versions;

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{AuditEntry, DocumentChange};
use switchhook_store::{Batch, Error};
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{ConfigCause, ConfigPin, ConfigReloaded, ConfigVersion};
use switchhook_wire::config::{Config, Loaded, Problem, changes, restart_needed};
use switchhook_wire::problem::FieldError;

use crate::control::{Resources, concerned};
use crate::dispatch::Stopped;
use crate::gateway::{Gateway, in_background, write};
use crate::observe::log;
use crate::secrets::vault::VaultError;
pub(crate) use standing::Reloads;

/// The configuration file as the binary reads it.
pub trait ConfigFile: Send + Sync + 'static {
    /// As problems and people call it.
    fn name(&self) -> String;

    /// Its text as it is now. May block.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn read(&self) -> Result<String, String>;

    /// What a text of it means, with the environment as it is now and paths relative to the file.
    fn check(&self, text: &str) -> Loaded;
}

/// Who wants it, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The name of a token, or what made the gateway look.
    pub(crate) actor: Arc<str>,
    /// Do it although deliveries wait.
    pub(crate) force: bool,
    /// Only try it.
    pub(crate) dry_run: bool,
}

/// What made the gateway read its file without being asked through the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// SIGHUP.
    Signal,
    /// The file has another time stamp or size.
    Watch,
}

impl Cue {
    const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Watch => "watch",
        }
    }
}

/// Why what was asked for is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the gateway was started without a file that it could read again")]
    NoFile,
    #[error("{0}")]
    Unreadable(String),
    #[error("the configuration has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    #[error("{} changes concern deliveries that wait", .0.len())]
    Stranded(Vec<FieldError>),
    #[error("version {} is pinned, and the file has not changed since it was rolled back from", .0.version)]
    Pinned(ConfigPin),
    #[error("there is no version {0}")]
    Unknown(u64),
    #[error("there is no earlier version with another text")]
    NoneBefore,
    #[error("version {0} is in force already")]
    InForce(u64),
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Dispatch(#[from] Stopped),
}

impl Refused {
    /// What is wrong with the file: one line each. Nothing where it is not the file that is wrong.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Invalid(problems) => errors(problems).map(line).collect(),
            Self::Stranded(errors) => errors.iter().map(|error| error.detail.clone()).collect(),
            Self::NoFile
            | Self::Unreadable(_)
            | Self::Pinned(_)
            | Self::Unknown(_)
            | Self::NoneBefore
            | Self::InForce(_)
            | Self::Store(_)
            | Self::Vault(_)
            | Self::Dispatch(_) => vec![self.to_string()],
        }
    }
}

/// Those problems that keep a configuration from being put in force.
pub(crate) fn errors(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().filter(|problem| problem.is_error())
}

/// A problem in one line, with its place first.
fn line(problem: &Problem) -> String {
    format!("{}: {} {}", place(problem), problem.code, problem.message)
}

/// Where in the file a problem is.
pub(crate) fn place(problem: &Problem) -> String {
    let place = &problem.place;
    let file = place.file.as_deref().unwrap_or("the API");
    match (place.line, place.column) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        (Some(_) | None, _) => format!("{file}: {}", place.path),
    }
}

/// A text that is to be in force.
struct Next {
    config: Config,
    text: String,
    hash: String,
    cause: ConfigCause,
    text_of: Option<u64>,
    pin: Option<ConfigPin>,
}

/// The hash that tells texts apart: SHA-256 in hex.
pub(crate) fn hash(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

impl Gateway {
    /// Reads the configuration file again and puts it in force. What comes of it is in the log, the metrics, the alerts
    /// and the API; the error is for who waits: the same in one line.
    ///
    /// # Errors
    /// When what was in force before still is.
    pub async fn reload_file(self: &Arc<Self>, cue: Cue) -> Result<(), String> {
        let wish = Wish {
            actor: cue.name().into(),
            force: false,
            dry_run: false,
        };
        let done = self.reload(&wish).await;
        done.map(drop).map_err(|refused| refused.to_string())
    }

    /// Reads the file again and puts it in force.
    pub(crate) async fn reload(&self, wish: &Wish) -> Result<ConfigReloaded, Refused> {
        let mut resources = self.resources.lock().await;
        let done = self.read_again(&mut resources, wish).await;
        if !wish.dry_run {
            self.note_reading(&done);
        }
        done
    }

    /// Puts the text of an earlier version in force and pins it: version `to`, or the last one with another text.
    pub(crate) async fn roll_back(
        &self,
        wish: &Wish,
        to: Option<u64>,
    ) -> Result<ConfigReloaded, Refused> {
        let mut resources = self.resources.lock().await;
        let file = self.reloads.file()?;
        let now = self.clock.now();
        let kept = self.versions().await?;
        let standing = self.reloads.standing();
        let in_force = standing.version.ok_or(Refused::NoneBefore)?;
        let target = versions::to_go_back_to(&kept, &in_force, to)?;
        let (number, hash) = (target.number, target.hash.clone());
        let (store, vault) = (self.store.clone(), self.vault.clone());
        let read = move || versions::text(&*store, &vault, number, now);
        let text = tokio::task::spawn_blocking(read).await;
        let text = text.map_err(|error| Error::Read(error.to_string()))??;
        // What the file said when it was last read, in force or refused: it counts again when it says something else.
        let file_hash = standing.file_hash.unwrap_or(in_force.hash);
        let pin = (hash != file_hash).then(|| ConfigPin {
            version: in_force.number.saturating_add(1),
            file_hash,
        });
        let config = checked(&file, &text).await?;
        let next = Next {
            config,
            text,
            hash,
            cause: ConfigCause::Rollback,
            text_of: Some(target.text_of.unwrap_or(number)),
            pin,
        };
        self.adopt(&mut resources, next, wish).await
    }

    /// The versions that are kept, the oldest first.
    pub(crate) async fn versions(&self) -> Result<Vec<ConfigVersion>, Refused> {
        let (store, vault, now) = (self.store.clone(), self.vault.clone(), self.clock.now());
        let read = tokio::task::spawn_blocking(move || versions::all(&*store, &vault, now));
        read.await.map_err(|error| Error::Read(error.to_string()))?
    }

    async fn read_again(
        &self,
        resources: &mut Resources,
        wish: &Wish,
    ) -> Result<ConfigReloaded, Refused> {
        let file = self.reloads.file()?;
        let reader = file.clone();
        let read = tokio::task::spawn_blocking(move || reader.read()).await;
        let text = read
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(Refused::Unreadable)?;
        let hash = hash(&text);
        if !wish.dry_run {
            self.reloads.set_file_hash(hash.clone());
        }
        if let Some(pin) = self
            .reloads
            .standing()
            .pin
            .filter(|pin| pin.file_hash == hash)
        {
            return Err(Refused::Pinned(pin));
        }
        let config = checked(&file, &text).await?;
        let next = Next {
            config,
            text,
            hash,
            cause: ConfigCause::Reload,
            text_of: None,
            pin: None,
        };
        self.adopt(resources, next, wish).await
    }

    /// Puts `next` in force, unless something speaks against it.
    async fn adopt(
        &self,
        resources: &mut Resources,
        next: Next,
        wish: &Wish,
    ) -> Result<ConfigReloaded, Refused> {
        let standing = self.reloads.standing();
        let joined = resources
            .with_file(&next.config)
            .map_err(Refused::Invalid)?;
        if !wish.force {
            let counts = in_background(&self.store, |store| store.counts()).await?;
            let found = concerned(&resources.plan(), &joined.plan(), &counts);
            if !found.is_empty() {
                return Err(Refused::Stranded(found));
            }
        }
        let before = standing.version.as_ref();
        let number = before.map_or(0, |version| version.number);
        let changed = before.is_none_or(|version| version.hash != next.hash);
        let mut done = ConfigReloaded {
            version: number.saturating_add(changed.into()),
            changed,
            changes: changes(&standing.config, &next.config),
            restart_needed: restart_needed(&self.config, &next.config)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            pinned: next.pin.clone(),
            dry_run: wish.dry_run,
        };
        if wish.dry_run {
            return Ok(done);
        }
        let now = self.clock.now();
        if !changed {
            if let Some(pin) = &standing.pin {
                // The file says by itself now what was pinned.
                write(&*self.store, unpinned(pin, &wish.actor, now)).await?;
                self.reloads.unpin();
            }
            return Ok(done);
        }
        let version = ConfigVersion {
            number: done.version,
            at: rfc3339(now),
            actor: wish.actor.to_string(),
            cause: next.cause,
            hash: next.hash.clone(),
            text_of: next.text_of,
            changes: done.changes.clone(),
        };
        let version = versions::bounded(version);
        done.changes.clone_from(&version.changes);
        let batch = Batch {
            documents: documents(&self.vault, &version, &next, now)?,
            audit: vec![entry(&version, &done.restart_needed, now)],
            ..Batch::default()
        };
        write(&*self.store, batch).await?;
        *resources = joined;
        self.take_over(version, next);
        self.put_in_force(resources).await?;
        log::config_in_force(&done, &wish.actor);
        Ok(done)
    }

    /// What is in memory follows what is on disk.
    fn take_over(&self, version: ConfigVersion, next: Next) {
        self.alerts.set(next.config.alerts);
        self.retention.set(next.config.retention);
        self.reloads.set(version, next.config, next.pin);
    }

    /// Tells everybody how a reading of the file ended.
    fn note_reading(&self, done: &Result<ConfigReloaded, Refused>) {
        let problems = match done {
            Ok(_) => Vec::new(),
            // The file is not at fault: nothing about it has changed.
            Err(Refused::Pinned(pin)) => return log::config_is_pinned(pin),
            Err(Refused::NoFile) => return,
            Err(refused) => refused.lines(),
        };
        log::config_refused(&problems);
        self.config_read(problems.is_empty());
        self.reloads.note(problems, self.clock.now());
    }
}

/// What a text means; every problem if it means nothing.
async fn checked(file: &Arc<dyn ConfigFile>, text: &str) -> Result<Config, Refused> {
    let (file, text) = (file.clone(), text.to_owned());
    let loaded = tokio::task::spawn_blocking(move || file.check(&text)).await;
    let loaded = loaded.map_err(|error| Refused::Unreadable(error.to_string()))?;
    loaded.config.ok_or(Refused::Invalid(loaded.problems))
}

/// The version, the one that it pushes out, and whether it is pinned.
fn documents(
    vault: &crate::secrets::vault::Vault,
    version: &ConfigVersion,
    next: &Next,
    now: UnixMs,
) -> Result<Vec<DocumentChange>, VaultError> {
    let mut documents = versions::written(vault, version, &next.text, now)?;
    documents.push(versions::pin(next.pin.as_ref(), now));
    Ok(documents)
}

/// That nothing is pinned any more, since the file has the text of the version that is in force.
fn unpinned(pin: &ConfigPin, actor: &Arc<str>, now: UnixMs) -> Batch {
    let detail = json!({ "fileHash": pin.file_hash });
    Batch {
        documents: vec![versions::pin(None, now)],
        audit: vec![AuditEntry {
            at: now,
            actor: actor.clone(),
            action: "config.unpin".into(),
            object: format!("config/{}", pin.version).into(),
            detail: detail.to_string().into(),
        }],
        ..Batch::default()
    }
}

/// That a version came in force.
fn entry(version: &ConfigVersion, restart_needed: &[String], now: UnixMs) -> AuditEntry {
    let action = match version.cause {
        ConfigCause::Start => "config.start",
        ConfigCause::Reload => "config.reload",
        ConfigCause::Rollback => "config.rollback",
    };
    let detail = json!({
        "hash": version.hash,
        "changes": version.changes,
        "restartNeeded": restart_needed,
        "textOf": version.text_of,
    });
    AuditEntry {
        at: now,
        actor: version.actor.as_str().into(),
        action: action.into(),
        object: format!("config/{}", version.number).into(),
        detail: detail.to_string().into(),
    }
}

#[cfg(test)]
mod tests;
