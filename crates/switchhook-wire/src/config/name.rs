//! Names of resources and secrets: what can be one, and which secrets a body mentions.
//!
//! A name stands in paths, file names and metrics: it needs no escaping in any of them, and cannot lead out of a directory.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::codes;
use super::node::Span;
use super::problem::Problem;
use super::read::{Item, Report, shown};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Whether `name` can be the name of a resource or secret.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(allowed)
        && name.bytes().all(|b| allowed(b) || b".-_".contains(&b))
}

/// The names of the secrets that a body of the API mentions, wherever in it.
#[must_use]
pub fn secrets_in(body: &Json) -> BTreeSet<&str> {
    match body {
        Json::String(text) => text
            .split("{{secret:")
            .skip(1)
            .filter_map(|rest| rest.split_once("}}"))
            .map(|(name, _)| name)
            .filter(|name| is_name(name))
            .collect(),
        Json::Array(items) => items.iter().flat_map(secrets_in).collect(),
        Json::Object(fields) => fields.values().flat_map(secrets_in).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => BTreeSet::new(),
    }
}

/// Whether `name` can be the name of a resource; if not, that is a problem of its key.
pub(super) fn check_name(
    name: &str,
    item: &Item<'_>,
    key_span: &Span,
    report: &mut Report,
) -> bool {
    let good = is_name(name);
    if !good {
        let message = format!("`{}` cannot be a name", shown(name));
        let hint =
            "use 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit".to_owned();
        let spot = report.document.spot(key_span, &item.path);
        report.push(Problem::new(codes::NAME, spot, message, Some(hint)));
    }
    good
}
