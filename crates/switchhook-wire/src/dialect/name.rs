//! The name of a resource that a dialect makes: free text is no name, so it is made of it.

use crate::config;

/// Bytes of the free text that are kept: with what is appended and the longest suffix of a secret it stays under 64.
const STEM_BYTES_MAX: usize = 32;

/// A name for what is called `title`: its letters and digits in lower case with `-` between, and 8 hex digits of
/// `chance`, which keep apart what is called the same.
#[must_use]
pub fn resource_name(title: &str, chance: u32) -> String {
    let mut stem = String::new();
    for c in title.chars() {
        if stem.len() >= STEM_BYTES_MAX {
            break;
        }
        if c.is_ascii_alphanumeric() {
            stem.push(c.to_ascii_lowercase());
        } else if !stem.is_empty() && !stem.ends_with('-') {
            stem.push('-');
        }
    }
    let stem = stem.trim_end_matches('-');
    let stem = if stem.is_empty() { "webhook" } else { stem };
    let name = format!("{stem}-{chance:08x}");
    debug_assert!(config::is_name(&name), "{name}");
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_keeps_what_can_be_read_of_the_title() {
        assert_eq!(
            resource_name("CRM Sync: Webhook (v2)", 0xab),
            "crm-sync-webhook-v2-000000ab"
        );
        assert_eq!(resource_name("  ☎  ", 1), "webhook-00000001");
    }

    proptest! {
        #[test]
        fn every_title_gives_a_name(title in ".{0,300}", chance: u32) {
            let name = resource_name(&title, chance);
            prop_assert!(config::is_name(&name));
            prop_assert!(name.len() <= STEM_BYTES_MAX + 9);
        }
    }
}
