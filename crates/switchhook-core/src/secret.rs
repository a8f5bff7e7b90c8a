//! Secrets: how they are named in the configuration, and a value that cannot be printed.
//!
//! A secret is looked up by name at the moment of use, so that a changed one counts at once. The
//! lookup itself (files, environment, store) is the shell's; it comes in as a [`Lookup`].
//!
//! A secret that was rotated has a value before for a while ([`versions`]): whoever checks takes either, whoever signs
//! signs with both. Where only one value can be sent (a token, a password, a key), it is the current one.

pub mod versions;

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice};

/// A secret's bytes. `Debug` shows nothing, and the memory is wiped when the last copy goes.
#[derive(Clone, Debug)]
pub struct Secret(Arc<SecretSlice<u8>>);

impl Secret {
    /// Wraps `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(SecretSlice::from(bytes)))
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// A secret that could not be had. Its text names the secret, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret `{name}` {reason}")]
pub struct SecretError {
    /// The name that was looked up.
    pub name: Arc<str>,
    /// What is wrong with it, for example `is not configured`.
    pub reason: String,
}

/// Finds the current value of a secret by its name.
pub trait Lookup {
    /// # Errors
    /// When there is no such secret, or it cannot be read now.
    fn secret(&self, name: &str) -> Result<Secret, SecretError>;

    /// The value before, while both count.
    fn previous(&self, _name: &str) -> Option<Secret> {
        None
    }
}

/// Where a verification rule takes its secret from.
#[derive(Debug, Clone)]
pub enum SecretRef {
    /// `{{secret:name}}`: looked up at every use.
    Named(Arc<str>),
    /// Written out in the configuration.
    Literal(Secret),
}

impl SecretRef {
    /// The name, unless it is written out.
    #[must_use]
    pub const fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Named(name) => Some(name),
            Self::Literal(_) => None,
        }
    }

    /// The current value.
    ///
    /// # Errors
    /// As [`Lookup::secret`].
    pub fn resolve(&self, secrets: &dyn Lookup) -> Result<Secret, SecretError> {
        match self {
            Self::Named(name) => secrets.secret(name),
            Self::Literal(secret) => Ok(secret.clone()),
        }
    }

    /// The value before, while both count; an empty one counts for nothing.
    #[must_use]
    pub fn previous(&self, secrets: &dyn Lookup) -> Option<Secret> {
        let previous = secrets.previous(self.name()?)?;
        (!previous.expose().is_empty()).then_some(previous)
    }
}
