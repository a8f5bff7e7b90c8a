//! What the text of a URL may look like.
//!
//! The URL standard takes more than people write: it drops tabs and line breaks, reads `\` as `/`, and a host of numbers
//! in any base as an address. Other programs read the same texts differently, and so may people who look at a
//! configuration. Nobody needs any of it.

use std::fmt;

use url::{Host, Url};

use super::Blocked;

/// What not all programs read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// A tab, a line break or another control character.
    Control,
    /// A space of any kind, or a character without width.
    Space,
    /// `\`.
    Backslash,
    /// No `//` after the scheme, or more slashes than that.
    Slashes,
    /// An IPv4 address not written as four decimal numbers.
    Address,
    /// An escaped character in the host.
    Escape,
}

impl Spelling {
    /// What to do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Control | Self::Space => "write it without, or in the path as `%..`",
            Self::Backslash => "write `/`, or in the path `%5C`",
            Self::Slashes => "write `https://host/path`",
            Self::Address => "write the address as four decimal numbers, like `192.0.2.1`",
            Self::Escape => "write the host as it is",
        }
    }
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "a control character",
            Self::Space => "a space",
            Self::Backslash => "a backslash",
            Self::Slashes => "no `//`, or too many slashes, before the host",
            Self::Address => "an address in an unusual spelling",
            Self::Escape => "an escaped character in the host",
        })
    }
}

/// Refuses characters that some programs drop or change.
pub(super) fn check_text(text: &str) -> Result<(), Blocked> {
    let of = |letter: char| match letter {
        '\\' => Some(Spelling::Backslash),
        _ if letter.is_control() => Some(Spelling::Control),
        // Zero width, direction marks and the like; the soft hyphen; what is a letter to nobody.
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some(Spelling::Space),
        _ if letter.is_whitespace() => Some(Spelling::Space),
        _ => None,
    };
    match text.chars().find_map(of) {
        Some(what) => Err(Blocked::Spelling(what)),
        None => Ok(()),
    }
}

/// Refuses a host whose text is not what it means. `url` is what the text means.
pub(super) fn check_host(text: &str, url: &Url) -> Result<(), Blocked> {
    let Some((_, rest)) = text.split_once(':') else {
        return Err(Blocked::NoHost);
    };
    // Other schemes are refused for what they are.
    if !matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    let rest = rest
        .strip_prefix("//")
        .filter(|rest| !rest.starts_with('/'));
    let rest = rest.ok_or(Blocked::Spelling(Spelling::Slashes))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.contains('%') {
        return Err(Blocked::Spelling(Spelling::Escape));
    }
    if let Some(Host::Ipv4(address)) = url.host() {
        let is_plain = host.split(':').next() == Some(&*address.to_string());
        if !is_plain {
            return Err(Blocked::Spelling(Spelling::Address));
        }
    }
    Ok(())
}
