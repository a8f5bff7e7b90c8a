//! The chain of the audit log: what makes an entry depend on all before it.
//!
//! The hash of an entry is taken over the hash of the entry before it and over every field, each with its length, so that
//! no two different logs have the same text. Whoever knows the hash of the last entry knows the whole log: a change, a
//! removal, a swap or an insertion anywhere gives another one. What protects against someone who writes the whole chain
//! anew is a signed checkpoint ([`checkpoint`]) that was taken to another place; [`verifier`] compares both.

pub mod checkpoint;
pub mod verifier;

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::time::UnixMs;

/// SHA-256.
pub type Hash = [u8; 32];

/// What stands before the first entry.
pub const ORIGIN: Hash = [0; 32];

/// An entry as it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 1, 2, … without gaps.
    pub number: u64,
    /// When.
    pub at: UnixMs,
    /// Who.
    pub actor: &'a str,
    /// What.
    pub action: &'a str,
    /// To what.
    pub object: &'a str,
    /// JSON, without secrets.
    pub detail: &'a str,
}

/// The hash of `entry`, which follows one whose hash is `before`.
#[must_use]
pub fn link(before: &Hash, entry: &Entry<'_>) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"switchhook audit 1\n");
    hash.update(before);
    hash.update(entry.number.to_be_bytes());
    hash.update(entry.at.0.to_be_bytes());
    for text in [entry.actor, entry.action, entry.object, entry.detail] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}
