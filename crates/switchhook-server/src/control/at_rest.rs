//! How the bodies of resources are kept in the store: as they are, or sealed where a secret is written out in them.
//!
//! Most bodies name secrets and hold none; they stay readable for whoever looks into the store. One that holds a secret
//! differs from what is shown of it, and only then it is sealed as a whole. What an older version wrote in clear is sealed
//! at the next start.

use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::Value;
use switchhook_store::batch::{Resource, ResourceChange};
use switchhook_wire::config::Kind;

use super::answer::{Answer, Refusal};
use super::resources::Resources;
use crate::secrets::vault::{Vault, VaultError};

/// Start of a sealed body. No JSON starts like this.
const SEALED: &str = "sealed:";
/// What the vault binds a sealed body to, together with kind and name.
const AREA: &str = "resource";

/// The text that is kept of `body`, of which `shown` is shown.
pub(super) fn written(
    vault: &Vault,
    (kind, name): (Kind, &str),
    body: &Value,
    shown: &Value,
) -> Answer<Arc<str>> {
    let text = body.to_string();
    if body == shown {
        return Ok(text.into());
    }
    let sealed = seal(vault, &id(kind.name(), name), &text);
    sealed.map_err(Refusal::internal)
}

fn seal(vault: &Vault, id: &str, text: &str) -> Result<Arc<str>, VaultError> {
    let sealed = vault.seal(AREA, id, text.as_bytes())?;
    Ok(format!("{SEALED}{}", BASE64.encode(&sealed)).into())
}

/// Those of `rows`, as they are in the store, that hold a secret in clear, sealed; `resources` are made of the same rows.
///
/// # Errors
/// When one cannot be sealed.
pub(crate) fn sealed(
    vault: &Vault,
    resources: &Resources,
    rows: &[Resource],
) -> Result<Vec<ResourceChange>, VaultError> {
    let mut changes = Vec::new();
    for row in rows {
        let (Some(text), Some(kind)) = (row.body.as_deref(), Kind::from_name(&row.kind)) else {
            continue;
        };
        let shown = resources.listed(kind, &row.name).map(|listed| &listed.body);
        if text.starts_with(SEALED) || resources.body(kind, &row.name) == shown {
            continue;
        }
        changes.push(ResourceChange {
            kind: row.kind.clone(),
            name: row.name.clone(),
            body: Some(seal(vault, &id(&row.kind, &row.name), text)?),
            managed_by: row.managed_by.clone(),
            at: row.updated_at,
        });
    }
    Ok(changes)
}

/// `rows` with their bodies opened.
///
/// # Errors
/// When one cannot be opened with the keys that there are.
pub(crate) fn opened(vault: &Vault, mut rows: Vec<Resource>) -> Result<Vec<Resource>, VaultError> {
    for row in &mut rows {
        let Some(sealed) = row
            .body
            .as_deref()
            .and_then(|text| text.strip_prefix(SEALED))
        else {
            continue;
        };
        // What cannot be decoded cannot be opened either, and the vault says it better.
        let sealed = BASE64.decode(sealed.as_bytes()).unwrap_or_default();
        let opened = vault.open(AREA, &id(&row.kind, &row.name), &sealed)?;
        row.body = Some(String::from_utf8_lossy(opened.expose()).into());
    }
    Ok(rows)
}

/// The sealed ones of `rows` that are under a previous key, under the current one.
///
/// # Errors
/// When one cannot be opened with the keys that there are.
pub(crate) fn rewrapped(
    vault: &Vault,
    rows: &[Resource],
) -> Result<Vec<ResourceChange>, VaultError> {
    let mut changes = Vec::new();
    for row in rows {
        let Some(sealed) = row
            .body
            .as_deref()
            .and_then(|text| text.strip_prefix(SEALED))
        else {
            continue;
        };
        let sealed = BASE64.decode(sealed.as_bytes()).unwrap_or_default();
        let anew = vault.rewrapped(AREA, &id(&row.kind, &row.name), &sealed)?;
        changes.extend(anew.map(|sealed| ResourceChange {
            kind: row.kind.clone(),
            name: row.name.clone(),
            body: Some(format!("{SEALED}{}", BASE64.encode(&sealed)).into()),
            managed_by: row.managed_by.clone(),
            at: row.updated_at,
        }));
    }
    Ok(changes)
}

fn id(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}
