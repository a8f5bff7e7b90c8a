//! Secrets in the bodies of dialects: they become secrets of the store, and bodies of resources only name them.
//!
//! Their names follow from the webhook's, so that a new value replaces the old one. A reference that is written in a body
//! stays what it is.

use std::fmt;

use serde_json::Value as Json;
use switchhook_core::secret::Secret;
use uuid::Uuid;

use super::MASK;
use crate::config::{is_credential_name, is_credential_text, secrets_in};

/// What a request says about a secret that it cannot be shown.
#[derive(Clone, Default)]
pub enum Given {
    /// Nothing, or the mask that stands for it: it stays.
    #[default]
    Kept,
    /// There is to be none.
    Removed,
    /// This one.
    Set(Secret),
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "Kept",
            Self::Removed => "Removed",
            Self::Set(_) => "Set",
        })
    }
}

impl Given {
    /// What a text means: the mask leaves what is there, an empty one removes it.
    pub(super) fn of(text: &str) -> Self {
        match text {
            MASK => Self::Kept,
            "" => Self::Removed,
            value => Self::Set(Secret::new(value.as_bytes().to_vec())),
        }
    }
}

/// A secret of the store that is to be set or deleted.
#[derive(Clone)]
pub struct SecretChange {
    /// Its name.
    pub name: String,
    /// `None` deletes it.
    pub value: Option<Secret>,
}

impl fmt::Debug for SecretChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretChange")
            .field("name", &self.name)
            .field("is_set", &self.value.is_some())
            .finish()
    }
}

/// What a secret of a webhook is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use<'a> {
    /// It signs deliveries.
    Signature,
    /// It proves who we are.
    Credential,
    /// It stands in the header of this name.
    Header(&'a str),
}

/// The name of a webhook's secret. Names of webhooks that are made here leave room for the rest; a longer one is cut, and
/// its id keeps it apart.
pub(super) fn secret_name(webhook: &str, id: Uuid, what: Use<'_>) -> String {
    /// Longest start of a name that leaves room for the longest rest.
    const START_BYTES_MAX: usize = 41;
    let rest = match what {
        Use::Signature => "signature".to_owned(),
        Use::Credential => "credential".to_owned(),
        Use::Header(header) => {
            let header = header.to_ascii_lowercase();
            let start: String = header
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(8)
                .collect();
            format!("h-{start}-{:08x}", fnv1a(header.as_bytes()))
        }
    };
    if webhook.len() <= START_BYTES_MAX {
        return format!("{webhook}-{rest}");
    }
    let start: String = webhook.chars().take(START_BYTES_MAX - 9).collect();
    let id = id.simple().to_string();
    let id: String = id.chars().take(8).collect();
    format!("{start}-{id}-{rest}")
}

/// The secrets of the webhook `webhook` that the body of its endpoint names where a dialect puts them. A name that is
/// mentioned anywhere else is not its own for that.
#[must_use]
pub fn own_secrets(webhook: &str, id: Uuid, endpoint: &Json) -> Vec<String> {
    let headers = endpoint.get("headers").and_then(Json::as_object);
    let headers = headers.into_iter().flatten();
    let headers = headers.map(|(header, value)| (Use::Header(header), value));
    let sign = endpoint.get("sign").map(|sign| (Use::Signature, sign));
    let auth = endpoint.get("auth").map(|auth| (Use::Credential, auth));
    headers
        .chain(sign)
        .chain(auth)
        .map(|(what, place)| (secret_name(webhook, id, what), secrets_in(place)))
        .filter(|(name, named)| named.contains(name.as_str()))
        .map(|(name, _)| name)
        .collect()
}

/// FNV-1a: tells the few headers of one webhook apart.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The value of a header with its credential taken out: the text to keep in the body, and the secret; `None` where it
/// holds no literal credential.
pub(super) fn taken_out(header: &str, value: &str, name: &str) -> Option<(String, Secret)> {
    let is_credential = is_credential_name(header) || is_credential_text(value);
    if !is_credential || value.is_empty() || value == MASK || value.contains("{{") {
        return None;
    }
    let reference = format!("{{{{secret:{name}}}}}");
    let (kept, secret) = match value.split_once(' ') {
        // `Bearer abc`: the word says how the rest is meant.
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("basic") =>
        {
            (format!("{scheme} {reference}"), rest.trim())
        }
        Some(_) | None => (reference, value),
    };
    Some((kept, Secret::new(secret.as_bytes().to_vec())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::is_name;

    #[test]
    fn a_literal_credential_is_taken_out_and_a_reference_is_left() {
        let out = |header, value| {
            taken_out(header, value, "n")
                .map(|(kept, secret)| (kept, String::from_utf8(secret.expose().to_vec()).unwrap()))
        };
        let some = |kept: &str, secret: &str| Some((kept.to_owned(), secret.to_owned()));
        assert_eq!(
            out("Authorization", "Bearer abc"),
            some("Bearer {{secret:n}}", "abc")
        );
        assert_eq!(out("x-api-key", "abc def"), some("{{secret:n}}", "abc def"));
        assert_eq!(out("X-Team", "blue"), None);
        assert_eq!(out("Authorization", "Bearer {{secret:crm}}"), None);
        assert_eq!(out("Authorization", MASK), None);
    }

    proptest! {
        #[test]
        fn every_webhook_and_header_gives_the_name_of_a_secret(
            webhook in "[a-z0-9][a-z0-9._-]{0,63}",
            header in "[A-Za-z0-9-]{1,80}",
            id: u128,
        ) {
            for what in [Use::Signature, Use::Credential, Use::Header(&header)] {
                let name = secret_name(&webhook, Uuid::from_u128(id), what);
                prop_assert!(is_name(&name), "{name}");
            }
        }
    }
}
