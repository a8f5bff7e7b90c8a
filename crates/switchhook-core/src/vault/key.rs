//! The vault key: how it is written, and the id that stands for it.

use std::fmt;

use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE,
};
use sha2::{Digest, Sha256};

use super::{KEY_BYTES, KEY_ID_BYTES};
use crate::secret::Secret;

/// Which vault key it is: the first 8 bytes of a hash of it, written as 16 hex digits. Two keys of one gateway do not have
/// the same, and a hash of 256 random bits gives nothing of them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A key that data keys are sealed with.
#[derive(Debug, Clone)]
pub struct VaultKey {
    id: KeyId,
    bytes: Secret,
}

/// Why something is no vault key. Nothing of it is in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has another length in every form.
    #[error(
        "it has {0} bytes; a vault key is 32 random bytes, as they are, or as 64 hex digits, or in base64"
    )]
    Length(usize),
    /// It has the length of a written key and is none.
    #[error("it has the length of a key in {0}, and other characters in it")]
    Written(&'static str),
    /// Someone typed it.
    #[error(
        "it is 32 characters of text, which are far fewer than 256 random bits; make one with `openssl rand -hex 32`"
    )]
    Typed,
    /// It is all zeros, or the like.
    #[error("all its bytes are the same; make one with `openssl rand -hex 32`")]
    Constant,
}

impl VaultKey {
    /// The key that `written` is: 32 bytes, 64 hex digits, or 43 or 44 characters of base64 in either alphabet. Space and
    /// line breaks around a key that is written are not part of it.
    ///
    /// # Errors
    /// When it is none of these, or cannot be random.
    pub fn read(written: &[u8]) -> Result<Self, KeyError> {
        if let Ok(bytes) = <[u8; KEY_BYTES]>::try_from(written)
            && !is_text(&bytes)
        {
            return Self::new(bytes);
        }
        let text = written.trim_ascii();
        let decoded = match text.len() {
            KEY_BYTES if is_text(text) => return Err(KeyError::Typed),
            64 => HEXLOWER_PERMISSIVE
                .decode(text)
                .map_err(|_| KeyError::Written("hex"))?,
            43 | 44 => base64(text).ok_or(KeyError::Written("base64"))?,
            _ => raw_line(written)
                .ok_or(KeyError::Length(written.len()))?
                .to_vec(),
        };
        let length = decoded.len();
        Self::new(decoded.try_into().map_err(|_| KeyError::Length(length))?)
    }

    /// A key of random bytes.
    ///
    /// # Errors
    /// When all bytes are the same.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(KeyError::Constant);
        }
        let mut hash = Sha256::new();
        hash.update(b"switchhook vault key 1\n");
        hash.update(bytes);
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; KEY_ID_BYTES];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Ok(Self {
            id: KeyId(id),
            bytes: Secret::new(bytes.to_vec()),
        })
    }

    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) const fn bytes(&self) -> &Secret {
        &self.bytes
    }
}

/// 32 random bytes are all of this once in 10^13 keys.
fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// 32 bytes with the line break that an editor adds.
fn raw_line(written: &[u8]) -> Option<&[u8]> {
    let line = written.strip_suffix(b"\n")?;
    (line.len() == KEY_BYTES).then_some(line)
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|form| form.decode(text).ok())
}
