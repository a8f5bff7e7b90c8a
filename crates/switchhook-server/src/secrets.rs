//! Where the values of secrets come from: files, environment variables and the store, by name.
//!
//! A file is looked at each time its secret is used (one `stat`), and read again when it has changed, so
//! that a rotated secret counts at the next request or attempt without a restart. The environment cannot
//! change while the process runs; only the binary reads it, through the function given to [`Secrets::new`]. What the store
//! keeps ([`kept`]) is opened once ([`vault`]) and stays in memory until it changes; such a secret may have a value before
//! that still counts. [`watch`] tells those who wait for a secret to change that it has.
//!
//! One newline at the end is not part of the value, since every editor writes one. No value is ever in an error.
//! Bounds: [`VALUE_BYTES_MAX`] for a value; as many cached values as there are names.

pub mod import;
pub mod kept;
pub mod vault;
pub mod watch;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use switchhook_core::secret::{Lookup, Secret, SecretError, versions};
use tokio::sync::Notify;

use crate::clock::Clock;
use kept::Kept;

/// Largest value, in bytes: room for a private key with its chain.
pub const VALUE_BYTES_MAX: u64 = versions::VALUE_BYTES_MAX as u64;

/// A file changed less than this before it was read is read again at the next use: a second change within the
/// time stamp's granularity would otherwise go unseen.
const SETTLED: Duration = Duration::from_secs(1);

/// Reads an environment variable.
pub type Environment = fn(&str) -> Option<String>;

/// Where one secret's value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Env(String),
    /// In the store.
    Kept,
}

/// The secrets of the running gateway. What names there are is swapped as one.
pub struct Secrets {
    entries: ArcSwap<BTreeMap<Arc<str>, Entry>>,
    kept: ArcSwap<Kept>,
    clock: Clock,
    environment: Environment,
    replaced: Notify,
}

struct Entry {
    origin: Origin,
    cached: ArcSwapOption<Cached>,
}

struct Cached {
    stamp: Stamp,
    value: Secret,
}

/// What changes when a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Whether the last change lay far enough back when the stamp was taken.
    settled: bool,
}

impl Secrets {
    /// Secrets by name.
    #[must_use]
    pub fn new(origins: BTreeMap<Arc<str>, Origin>, environment: Environment) -> Self {
        Self {
            entries: ArcSwap::from_pointee(entries(origins)),
            kept: ArcSwap::default(),
            clock: Clock::system(),
            environment,
            replaced: Notify::new(),
        }
    }

    /// The same with those of the store.
    #[must_use]
    pub fn with_kept(self, kept: Kept) -> Self {
        self.kept.store(Arc::new(kept));
        self
    }

    /// Puts other secrets in force, all at once.
    pub fn replace(&self, origins: BTreeMap<Arc<str>, Origin>) {
        self.entries.store(Arc::new(entries(origins)));
        self.replaced.notify_one();
    }

    /// The names there are.
    fn names(&self) -> Vec<Arc<str>> {
        self.entries.load().keys().cloned().collect()
    }
}

fn entries(origins: BTreeMap<Arc<str>, Origin>) -> BTreeMap<Arc<str>, Entry> {
    origins
        .into_iter()
        .map(|(name, origin)| {
            (
                name,
                Entry {
                    origin,
                    cached: ArcSwapOption::empty(),
                },
            )
        })
        .collect()
}

impl Lookup for Secrets {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        let failed = |reason: String| SecretError {
            name: name.into(),
            reason,
        };
        let entries = self.entries.load();
        let entry = entries
            .get(name)
            .ok_or_else(|| failed("is not configured".into()))?;
        match &entry.origin {
            Origin::File(path) => entry.read_file(path).map_err(|error| {
                failed(format!("cannot be read from {}: {error}", path.display()))
            }),
            Origin::Env(variable) => (self.environment)(variable)
                .map(|value| Secret::new(value.into_bytes()))
                .ok_or_else(|| {
                    failed(format!(
                        "is not set: environment variable {variable} is missing or not UTF-8"
                    ))
                }),
            Origin::Kept => {
                let kept = self.kept.load();
                let versions = kept.get(name);
                versions
                    .map(|versions| versions.current().clone())
                    .ok_or_else(|| {
                        failed(format!(
                            "has no value; set it with `switchhook secret set {name}`"
                        ))
                    })
            }
        }
    }

    fn previous(&self, name: &str) -> Option<Secret> {
        let entries = self.entries.load();
        match entries.get(name)?.origin {
            Origin::Kept => {
                let kept = self.kept.load();
                kept.get(name)?.previous(self.clock.now()).cloned()
            }
            Origin::File(_) | Origin::Env(_) => None,
        }
    }
}

impl Entry {
    fn read_file(&self, path: &Path) -> io::Result<Secret> {
        let metadata = std::fs::metadata(path)?;
        if let Some(cached) = &*self.cached.load()
            && cached.stamp.settled
            && cached.stamp == Stamp::of(&metadata)
        {
            return Ok(cached.value.clone());
        }
        // Judged before it is opened: opening a pipe would wait for its writer.
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = File::open(path)?;
        // The stamp is taken before the bytes: a change in between shows at the next use.
        let stamp = Stamp::of(&file.metadata()?);
        let mut bytes = Vec::new();
        file.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > VALUE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it is larger than {VALUE_BYTES_MAX} bytes"
            )));
        }
        strip_newline(&mut bytes);
        let value = Secret::new(bytes);
        self.cached.store(Some(Arc::new(Cached {
            stamp,
            value: value.clone(),
        })));
        Ok(value)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let age = metadata
            .modified()
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            settled: age.is_some_and(|age| age > SETTLED),
        }
    }
}

fn strip_newline(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn environment(variable: &str) -> Option<String> {
        (variable == "WEB_SECRET").then(|| "from the environment".to_owned())
    }

    fn secrets(origin: Origin) -> Secrets {
        Secrets::new(BTreeMap::from([("web".into(), origin)]), environment)
    }

    fn value(secrets: &Secrets) -> Vec<u8> {
        secrets.secret("web").unwrap().expose().to_vec()
    }

    fn backdate(path: &Path) {
        let past = SystemTime::now() - Duration::from_secs(60);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(past)
            .unwrap();
    }

    #[test]
    fn a_changed_file_counts_at_the_next_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web");
        fs::write(&path, "one\n").unwrap();
        let secrets = secrets(Origin::File(path.clone()));
        assert_eq!(value(&secrets), b"one");
        // Same length, same inode, within one tick of the clock.
        fs::write(&path, "two\n").unwrap();
        assert_eq!(value(&secrets), b"two");
        backdate(&path);
        assert_eq!(value(&secrets), b"two");
        // Replaced by a rename, as secret stores do it.
        let other = dir.path().join("other");
        fs::write(&other, "three").unwrap();
        backdate(&other);
        fs::rename(&other, &path).unwrap();
        assert_eq!(value(&secrets), b"three");
    }

    #[test]
    fn a_file_that_did_not_change_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web");
        fs::write(&path, "one").unwrap();
        backdate(&path);
        let secrets = secrets(Origin::File(path));
        value(&secrets);
        let cached = || {
            secrets
                .entries
                .load()
                .get("web")
                .and_then(|entry| entry.cached.load_full())
                .unwrap()
        };
        let before = cached();
        value(&secrets);
        assert!(Arc::ptr_eq(&before, &cached()));
    }

    #[test]
    fn only_one_newline_at_the_end_is_no_part_of_the_value() {
        for (text, expected) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            (" a ", " a "),
            ("\n", ""),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            strip_newline(&mut bytes);
            assert_eq!(bytes, expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_had_is_named_with_its_place_and_without_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        fs::write(&large, vec![b'x'; 65_537]).unwrap();
        let missing = dir.path().join("missing");
        for (origin, text) in [
            (
                Origin::File(missing.clone()),
                format!("secret `web` cannot be read from {}", missing.display()),
            ),
            (Origin::File(large), "it is larger than 65536 bytes".into()),
            (
                Origin::File(dir.path().into()),
                "it is not a regular file".into(),
            ),
            (
                Origin::Env("NO_SUCH".into()),
                "environment variable NO_SUCH is missing".into(),
            ),
        ] {
            let error = secrets(origin).secret("web").unwrap_err().to_string();
            assert!(error.contains(&text) && !error.contains("xxx"), "{error}");
        }
        let error = secrets(Origin::Env("WEB_SECRET".into()))
            .secret("other")
            .unwrap_err();
        assert_eq!(error.to_string(), "secret `other` is not configured");
    }

    #[test]
    fn replaced_secrets_are_in_force_at_once() {
        let secrets = secrets(Origin::Env("WEB_SECRET".into()));
        assert_eq!(value(&secrets), b"from the environment");
        secrets.replace(BTreeMap::new());
        assert!(secrets.secret("web").is_err());
    }
}
