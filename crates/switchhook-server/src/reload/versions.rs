//! The versions of the file that were in force, as the store keeps them.
//!
//! A version is a sealed document, since a file may hold secrets. Its number is its id in 20 digits, so that they come
//! back in order. The highest one is in force. Which one is pinned is a document of its own.

use std::sync::Arc;

use switchhook_core::time::UnixMs;
use switchhook_store::batch::{Document, DocumentChange, Room};
use switchhook_store::{Error, Store};
use switchhook_wire::api::{ConfigPin, ConfigVersion};

use super::Refused;
use crate::secrets::vault::{Vault, VaultError};

/// Versions that are kept: weeks of changes, and at most 400 MiB of the largest files.
pub(crate) const VERSIONS_MAX: usize = 50;
/// Changes that a version names: more than anyone reads.
pub(crate) const CHANGES_MAX: usize = 1_000;
/// Versions that are in memory with their texts at once: 32 MiB of the largest.
const PAGE: usize = 4;
/// The document that says what is pinned.
const PIN: &str = "config-pin";

/// `version` with as many changes as are kept.
pub(super) fn bounded(mut version: ConfigVersion) -> ConfigVersion {
    version.changes.truncate(CHANGES_MAX);
    version
}

fn id(number: u64) -> String {
    format!("{number:020}")
}

/// What is written when a version comes in force: itself, and that the oldest one goes.
pub(super) fn written(
    vault: &Vault,
    version: &ConfigVersion,
    text: &str,
    now: UnixMs,
) -> Result<Vec<DocumentChange>, VaultError> {
    let id_now = id(version.number);
    let plain = joined(version, text);
    let body = vault.seal(Room::Config, &id_now, &plain)?;
    let change = |id: String, body| DocumentChange {
        room: Room::Config,
        id: id.into(),
        body,
        at: now,
        expires_at: None,
    };
    let mut documents = vec![change(id_now, Some(body))];
    let goes = version.number.checked_sub(VERSIONS_MAX as u64);
    documents.extend(goes.filter(|n| *n > 0).map(|n| change(id(n), None)));
    Ok(documents)
}

/// All versions without their texts, the oldest first.
pub(crate) fn all(
    store: &dyn Store,
    vault: &Vault,
    now: UnixMs,
) -> Result<Vec<ConfigVersion>, Refused> {
    let (mut heads, mut after) = (Vec::new(), None::<Arc<str>>);
    while heads.len() < VERSIONS_MAX.saturating_mul(2) {
        let page = store.documents(Room::Config, after.as_deref(), PAGE, now)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for document in &page {
            heads.extend(opened(vault, document)?.map(|(head, _)| head));
        }
    }
    Ok(heads)
}

/// The text of a version that is there.
pub(super) fn text(
    store: &dyn Store,
    vault: &Vault,
    number: u64,
    now: UnixMs,
) -> Result<String, Refused> {
    let document = store.document(Room::Config, &id(number), now)?;
    let document = document.ok_or(Refused::Unknown(number))?;
    let opened = opened(vault, &document)?;
    opened.map(|(_, text)| text).ok_or(Refused::Unknown(number))
}

/// A version and its text; `None`, and a warning, where it cannot be read although it could be opened.
fn opened(
    vault: &Vault,
    document: &Document,
) -> Result<Option<(ConfigVersion, String)>, VaultError> {
    let plain = vault.open(Room::Config, &document.id, &document.body)?;
    let parts = split(plain.expose());
    if parts.is_none() {
        let id = &*document.id;
        tracing::warn!(
            id,
            "a version of the configuration cannot be read and is left alone"
        );
    }
    Ok(parts)
}

/// Version and text as one: the length of the first in 4 bytes, and both.
fn joined(version: &ConfigVersion, text: &str) -> Vec<u8> {
    let head = serde_json::to_vec(version).unwrap_or_default();
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &*head, text.as_bytes()].concat()
}

fn split(plain: &[u8]) -> Option<(ConfigVersion, String)> {
    let (length, rest) = plain.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (head, text) = rest.split_at_checked(length)?;
    let text = std::str::from_utf8(text).ok()?.to_owned();
    Some((serde_json::from_slice(head).ok()?, text))
}

/// The version to go back to: the one that is asked for, or the last one before `in_force` whose text is another. After a
/// rollback, before means before the one that it went back to.
pub(super) fn to_go_back_to<'k>(
    kept: &'k [ConfigVersion],
    in_force: &ConfigVersion,
    asked: Option<u64>,
) -> Result<&'k ConfigVersion, Refused> {
    let Some(asked) = asked else {
        let from = in_force.text_of.unwrap_or(in_force.number);
        let mut before = kept.iter().rev().filter(|kept| kept.number < from);
        let other = before.find(|kept| kept.hash != in_force.hash);
        return other.ok_or(Refused::NoneBefore);
    };
    let found = kept.iter().find(|kept| kept.number == asked);
    let found = found.ok_or(Refused::Unknown(asked))?;
    if found.hash == in_force.hash {
        return Err(Refused::InForce(asked));
    }
    Ok(found)
}

/// What is written about the pin.
pub(super) fn pin(pin: Option<&ConfigPin>, now: UnixMs) -> DocumentChange {
    let body = pin.map(|pin| serde_json::to_vec(pin).unwrap_or_default().into());
    DocumentChange {
        room: Room::Setting,
        id: PIN.into(),
        body,
        at: now,
        expires_at: None,
    }
}

/// What is pinned.
pub(super) fn pinned(store: &dyn Store, now: UnixMs) -> Result<Option<ConfigPin>, Error> {
    let document = store.document(Room::Setting, PIN, now)?;
    Ok(document.and_then(|document| serde_json::from_slice(&document.body).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, hash: &str, text_of: Option<u64>) -> ConfigVersion {
        ConfigVersion {
            number,
            hash: hash.into(),
            text_of,
            ..ConfigVersion::default()
        }
    }

    #[test]
    fn going_back_goes_to_the_last_other_text_and_on_from_there() {
        let all = [kept(1, "a", None), kept(2, "b", None), kept(3, "c", None)];
        let back = |all: &[ConfigVersion], asked| {
            let in_force = all.last().unwrap();
            to_go_back_to(all, in_force, asked).map(|kept| kept.number)
        };
        assert_eq!(back(&all, None).unwrap(), 2);
        assert_eq!(back(&all, Some(1)).unwrap(), 1);
        // Back again: not to the one that was left, but one further.
        let all = [all.to_vec(), vec![kept(4, "b", Some(2))]].concat();
        assert_eq!(back(&all, None).unwrap(), 1);
        assert_eq!(back(&all, Some(3)).unwrap(), 3);
        let all = [all, vec![kept(5, "a", Some(1))]].concat();
        assert!(matches!(back(&all, None), Err(Refused::NoneBefore)));
        assert!(matches!(back(&all, Some(1)), Err(Refused::InForce(1))));
        assert!(matches!(back(&all, Some(9)), Err(Refused::Unknown(9))));
    }

    #[test]
    fn a_version_and_its_text_come_apart_again_and_what_is_cut_short_does_not() {
        let version = kept(7, "a", Some(3));
        let plain = joined(&version, "[server]\n");
        assert_eq!(split(&plain), Some((version, "[server]\n".to_owned())));
        for cut in [&b""[..], b"\0\0\0\x09{}", b"\0\0\0\x02xy"] {
            assert!(split(cut).is_none(), "{cut:?}");
        }
    }
}
