//! The old directory of secrets: what lies in `secrets/` of the data directory moves into the store, once, at the start.
//!
//! In earlier versions each file there was the secret of its name, in clear. Such files are sealed into the store in one
//! commit, and removed after it. A file that the configuration or the vault reads from there is theirs and stays. If the store has
//! a secret of the name already, that one counts: a file with the same value is what a start that was cut off has left,
//! and goes; one with another value stays, with a warning.
//!
//! Bounds: [`FILES_MAX`] files, each at most [`VALUE_BYTES_MAX`] bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchhook_core::secret::Secret;
use switchhook_core::secret::versions::{Versions, check};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::AuditEntry;
use switchhook_store::{Batch, Store};
use switchhook_wire::config::{Config, KeyOrigin, SecretOrigin, is_name};

use super::kept::{self, Kept};
use super::vault::{StartError, Vault};
use super::{VALUE_BYTES_MAX, strip_newline};
use crate::gateway::write;

/// Files that are looked at.
const FILES_MAX: usize = 1_000;
/// Who did it, in the audit log.
const ACTOR: &str = "switchhook";

/// The secrets of the store, with those of the old directory among them from now on.
///
/// # Errors
/// When the store cannot be read or written, or a secret in it cannot be opened.
pub(crate) async fn at_start(
    config: &Config,
    vault: &Vault,
    store: &Arc<dyn Store>,
    now: UnixMs,
) -> Result<Kept, StartError> {
    let mut kept = kept::all(store, vault, now).await?;
    let directory = config.server.data_dir.join("secrets");
    let theirs = read_by_others(config);
    let look = tokio::task::spawn_blocking(move || {
        let found = look(&directory, &theirs);
        found.inspect_err(|error| {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "the old directory of secrets cannot be read");
        })
    });
    let found = look.await.ok().and_then(Result::ok).unwrap_or_default();
    let (mut batch, mut done) = (Batch::default(), Vec::new());
    for (name, (path, value)) in found {
        match kept.get(&name) {
            Some(versions) if versions.current().expose() == value.expose() => {
                done.push((name, path));
            }
            Some(_) => tracing::warn!(
                secret = &*name,
                path = %path.display(),
                "the store has another value of this secret, which counts; this file is not read: remove it"
            ),
            None => {
                let Ok(versions) = Versions::set(None, value, now) else {
                    continue;
                };
                let document = kept::document(vault, &name, &versions, now)?;
                batch.documents.push(document);
                batch.audit.push(entry(&name, now));
                kept.insert(name.clone(), Arc::new(versions));
                done.push((name, path));
            }
        }
    }
    if !batch.documents.is_empty() {
        write(&**store, batch).await?;
    }
    remove(done).await;
    Ok(kept)
}

fn entry(name: &str, now: UnixMs) -> AuditEntry {
    AuditEntry {
        at: now,
        actor: ACTOR.into(),
        action: "secret.import".into(),
        object: format!("secret/{name}").into(),
        detail: serde_json::json!({ "version": 1 }).to_string().into(),
    }
}

async fn remove(done: Vec<(Arc<str>, PathBuf)>) {
    let removal = tokio::task::spawn_blocking(move || {
        for (name, path) in &done {
            let (secret, path_shown) = (&**name, path.display());
            match fs::remove_file(path) {
                Ok(()) => {
                    tracing::info!(secret, path = %path_shown, "moved into the store; the file is removed");
                }
                Err(error) => {
                    tracing::warn!(secret, path = %path_shown, %error, "moved into the store, but the file cannot be removed: remove it");
                }
            }
        }
        let directory = done.first().and_then(|(_, path)| path.parent());
        // Only one that is empty goes.
        directory.map(fs::remove_dir).and_then(Result::err)
    });
    removal.await.ok();
}

/// The files that the configuration reads by itself, as they are on disk.
fn read_by_others(config: &Config) -> BTreeSet<PathBuf> {
    let secrets = config.secrets.values().filter_map(|origin| match origin {
        SecretOrigin::File(path) => Some(path),
        SecretOrigin::Env(_) => None,
    });
    let keys = config.vault.key.iter().chain(&config.vault.previous);
    let keys = keys.filter_map(|origin| match origin {
        KeyOrigin::File(path) => Some(path),
        KeyOrigin::Env(_) | KeyOrigin::Credential(_) => None,
    });
    let tls = [&config.server.tls, &config.server.admin_tls];
    let tls = tls.into_iter().flatten();
    let tls = tls.flat_map(|files| [&files.cert, &files.key]);
    let paths = secrets.chain(keys).chain(tls);
    paths
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect()
}

/// The secrets in `directory`, with their files. What cannot be one is passed over, with a warning where it looks like one.
fn look(
    directory: &Path,
    theirs: &BTreeSet<PathBuf>,
) -> io::Result<BTreeMap<Arc<str>, (PathBuf, Secret)>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_one = is_name(name)
            && fs::metadata(&path).is_ok_and(|metadata| metadata.is_file())
            && fs::canonicalize(&path).is_ok_and(|path| !theirs.contains(&path));
        if !is_one {
            continue;
        }
        if found.len() == FILES_MAX {
            tracing::warn!(directory = %directory.display(), "more than {FILES_MAX} files of secrets: start again for the rest");
            break;
        }
        match value(&path) {
            Ok(value) => {
                found.insert(Arc::from(name), (path.clone(), value));
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file of the old directory of secrets is left alone");
            }
        }
    }
    Ok(found)
}

fn value(path: &Path) -> io::Result<Secret> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    // Two more than a value, for the line break.
    file.take(VALUE_BYTES_MAX + 3).read_to_end(&mut bytes)?;
    strip_newline(&mut bytes);
    check(&bytes).map_err(io::Error::other)?;
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests;
