//! Where the vault's keys come from: files, environment variables, credentials of systemd, or one that is made.
//!
//! Without `[vault] key` the first start makes a key in `vault.key` of the data directory, so that a gateway works without
//! any preparation; since a copy of the directory is then a copy of the secrets, the log warns of it. That file is never
//! overwritten, and none is made where the store holds something sealed: the key it needs exists somewhere. Once another
//! key is configured, a `vault.key` that is still there counts as a previous one.
//!
//! Bounds: [`FILE_BYTES_MAX`] for a key file; the configuration bounds how many previous keys there are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rustls::crypto::aws_lc_rs;
use switchhook_core::vault::{KEY_BYTES, KeyError, VaultKey};
use switchhook_wire::config::{KeyOrigin, Vault as Settings};

use crate::secrets::Environment;

/// The key that is made where none is configured, in the data directory.
const FILE: &str = "vault.key";
/// Only the gateway's own user may read it, and nobody writes it.
const MODE: u32 = 0o400;
/// Where systemd puts the credentials of a service.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Largest key file: a key in any form is shorter by far.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// Why a key is not to be had. No text has anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It is not there, or cannot be read.
    #[error("the vault key cannot be read from {place}: {source}")]
    Read {
        /// From where.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// What is there is no key.
    #[error("{place} is no vault key: {source}")]
    NoKey {
        /// What.
        place: String,
        /// Why not.
        source: KeyError,
    },
    /// A variable is not set.
    #[error("the vault key is not there: environment variable {0} is not set, or is not text")]
    NotSet(String),
    /// The store was sealed and the key is gone.
    #[error(
        "the store holds sealed secrets and their key is gone: {path} is not there. Put it back from where you keep it; \
         without it the secrets are lost, and with a new data directory you begin anew",
        path = .0.display()
    )]
    Gone(PathBuf),
    /// The key could not be made.
    #[error("the vault key cannot be made in {path}: {source}", path = .path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// All keys, the current one first. `has_sealed`: whether the store holds something that was sealed. Blocks on the disk.
pub(super) fn read(
    settings: &Settings,
    data_dir: &Path,
    environment: Environment,
    has_sealed: bool,
) -> Result<Vec<VaultKey>, KeysError> {
    let made = data_dir.join(FILE);
    let is_there = made
        .try_exists()
        .map_err(|source| unreadable(&made, source))?;
    let mut keys = match &settings.key {
        Some(origin) => vec![of(origin, environment)?],
        None if is_there => vec![of_file(&made)?],
        None if has_sealed => return Err(KeysError::Gone(made)),
        None => vec![make(&made)?],
    };
    for origin in &settings.previous {
        keys.push(of(origin, environment)?);
    }
    match settings.key {
        None => tracing::warn!(
            path = %made.display(),
            "the vault key lies beside the data: a copy of both is a copy of the secrets; keep it elsewhere with `[vault] key`"
        ),
        Some(_) if is_there => keys.push(of_file(&made)?),
        Some(_) => {}
    }
    Ok(keys)
}

fn of(origin: &KeyOrigin, environment: Environment) -> Result<VaultKey, KeysError> {
    match origin {
        KeyOrigin::File(path) => of_file(path),
        KeyOrigin::Env(variable) => {
            let text = environment(variable).ok_or_else(|| KeysError::NotSet(variable.clone()))?;
            VaultKey::read(text.as_bytes()).map_err(|source| KeysError::NoKey {
                place: format!("environment variable {variable}"),
                source,
            })
        }
        KeyOrigin::Credential(name) => {
            let directory = environment(CREDENTIALS_DIRECTORY)
                .ok_or_else(|| KeysError::NotSet(CREDENTIALS_DIRECTORY.to_owned()))?;
            of_file(&Path::new(&directory).join(name))
        }
    }
}

fn of_file(path: &Path) -> Result<VaultKey, KeysError> {
    let written = contents(path).map_err(|source| unreadable(path, source))?;
    VaultKey::read(&written).map_err(|source| KeysError::NoKey {
        place: path.display().to_string(),
        source,
    })
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    // Judged before it is opened: opening a pipe would wait for its writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others than its owner may read the vault key: `chmod 0400` it");
    }
    let mut written = Vec::new();
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut written)?;
    Ok(written)
}

/// Makes a key, whole or not at all, and never in the place of another one: the store is locked, so that nobody else makes
/// one at the same time, and a rename works on file systems that have no links.
fn make(path: &Path) -> Result<VaultKey, KeysError> {
    let failed = |source| KeysError::Make {
        path: path.to_owned(),
        source,
    };
    let mut bytes = [0; KEY_BYTES];
    let random = aws_lc_rs::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| failed(io::Error::other("the system gives no random numbers")))?;
    let part = path.with_extension("key.part");
    // What a start that was cut off has left.
    fs::remove_file(&part).ok();
    if fs::symlink_metadata(path).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    write(&part, &HEXLOWER.encode(&bytes))
        .and_then(|()| fs::rename(&part, path))
        .map_err(failed)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)?;
    tracing::info!(path = %path.display(), "made a vault key: keep a copy of it apart from the backups of the store");
    of_file(path)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn unreadable(path: &Path, source: io::Error) -> KeysError {
    KeysError::Read {
        place: path.display().to_string(),
        source,
    }
}
