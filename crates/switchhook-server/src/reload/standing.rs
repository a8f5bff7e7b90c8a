//! How the file and what is in force stand to each other: what is known about it in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchhook_core::time::UnixMs;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{ConfigPin, ConfigRead, ConfigVersion};
use switchhook_wire::config::Config;

use super::begin::{Given, InForce};
use super::{ConfigFile, Refused};

/// See the module.
pub(crate) struct Reloads {
    file: Option<Arc<dyn ConfigFile>>,
    state: Mutex<Standing>,
}

/// How things stand at one moment.
#[derive(Clone)]
pub(crate) struct Standing {
    /// What the text in force says.
    pub(crate) config: Arc<Config>,
    pub(crate) version: Option<ConfigVersion>,
    pub(crate) pin: Option<ConfigPin>,
    /// Of the file as it was last read.
    pub(crate) file_hash: Option<String>,
    pub(crate) last_read: Option<ConfigRead>,
    /// When the file last was read and put in force.
    succeeded_at: UnixMs,
}

impl Reloads {
    /// How the gateway was started.
    pub(crate) fn new(given: Option<Given>, begun: InForce, config: &Config, now: UnixMs) -> Self {
        let file = given.map(|given| given.file);
        let read = file.is_some().then(|| ConfigRead {
            at: rfc3339(now),
            succeeded: true,
            problems: Vec::new(),
        });
        Self {
            file,
            state: Mutex::new(Standing {
                config: Arc::new(config.clone()),
                version: begun.version,
                pin: begun.pin,
                file_hash: begun.file_hash,
                last_read: read,
                succeeded_at: now,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, Standing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) -> Result<Arc<dyn ConfigFile>, Refused> {
        self.file.clone().ok_or(Refused::NoFile)
    }

    /// As people call the file.
    pub(crate) fn file_name(&self) -> Option<String> {
        self.file.as_ref().map(|file| file.name())
    }

    /// How things stand now.
    pub(crate) fn standing(&self) -> Standing {
        self.state().clone()
    }

    /// Whether the last reading succeeded, and when one last did; `None` where there is no file.
    pub(crate) fn last(&self) -> Option<(bool, UnixMs)> {
        self.file.as_ref()?;
        let state = self.state();
        let succeeded = state.last_read.as_ref().is_none_or(|read| read.succeeded);
        Some((succeeded, state.succeeded_at))
    }

    /// The file has this text now, whether it counts or not.
    pub(super) fn set_file_hash(&self, hash: String) {
        self.state().file_hash = Some(hash);
    }

    /// Nothing is pinned any more.
    pub(super) fn unpin(&self) {
        self.state().pin = None;
    }

    /// A version came in force.
    pub(super) fn set(&self, version: ConfigVersion, config: Config, pin: Option<ConfigPin>) {
        let mut state = self.state();
        state.config = Arc::new(config);
        state.version = Some(version);
        state.pin = pin;
    }

    /// A reading of the file ended at `now`: without problems it is in force.
    pub(super) fn note(&self, problems: Vec<String>, now: UnixMs) {
        let mut state = self.state();
        let succeeded = problems.is_empty();
        if succeeded {
            state.succeeded_at = now;
        }
        state.last_read = Some(ConfigRead {
            at: rfc3339(now),
            succeeded,
            problems,
        });
    }
}
