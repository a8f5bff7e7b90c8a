//! Secrets of a resource: a reference by name, or the value written out. No message repeats a value.

use std::sync::Arc;

use switchhook_core::secret::{Secret, SecretRef};

use super::codes;
use super::link::{Need, Target};
use super::masking;
use super::read::{Item, Report};

/// A secret: `{{secret:name}}`, or its value written out, which is a warning.
pub(super) fn secret(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<SecretRef> {
    let secret = public(item, report, needs)?;
    let is_written = matches!(secret, SecretRef::Literal(_));
    if is_written && !report.text(item)?.from_env {
        let message = "a secret is written out".to_owned();
        let hint = "declare `[secret.NAME]` and write `{{secret:NAME}}`".to_owned();
        report.add(codes::LITERAL_SECRET, item, message, Some(hint));
    }
    Some(secret)
}

/// The same for what is kept with secrets but may be seen, such as a certificate: no warning.
pub(super) fn public(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<SecretRef> {
    let text = &report.text(item)?.text;
    let reference = text.strip_prefix("{{secret:");
    if let Some(name) = reference.and_then(|rest| rest.strip_suffix("}}")) {
        let name: Arc<str> = name.into();
        needs.push(Need {
            spot: report.spot(item),
            target: Target::Secret(Arc::clone(&name)),
        });
        return Some(SecretRef::Named(name));
    }
    if text.contains("{{") {
        let message = "a secret must be exactly one reference, or none".to_owned();
        let hint = "write `{{secret:name}}`".to_owned();
        report.add(codes::REFERENCE, item, message, Some(hint));
        return None;
    }
    if masking::refuse_mask(text, item, report) {
        return None;
    }
    Some(SecretRef::Literal(Secret::new(text.clone().into_bytes())))
}
