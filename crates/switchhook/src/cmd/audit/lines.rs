//! A line of an export, read back as what was hashed.

use data_encoding::HEXLOWER;
use switchhook_core::audit::verifier::Verifier;
use switchhook_core::audit::{Entry, Hash};
use switchhook_core::time::UnixMs;
use switchhook_wire::api::AuditLine;

/// Has `verifier` look at the entry in `line`; else what is wrong with the line.
pub(super) fn look(verifier: &mut Verifier, line: &str) -> Result<(), String> {
    let line: AuditLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let hash = HEXLOWER.decode(line.hash.as_bytes()).ok();
    let hash: Hash = hash
        .and_then(|hash| hash.try_into().ok())
        .ok_or("its hash is not 64 digits of hex")?;
    let entry = Entry {
        number: line.number,
        at: UnixMs(line.at_ms),
        actor: &line.actor,
        action: &line.action,
        object: &line.object,
        detail: &line.detail,
    };
    verifier.entry(&entry, &hash);
    Ok(())
}
