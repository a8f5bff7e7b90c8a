//! AES-256-GCM with a 12-byte nonce or a 16-byte iv, and always a whole tag of 16 bytes.
//!
//! A 16-byte iv is what seed 002 sends; nothing else should use one.

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{Aes256Gcm, AesGcm};

use crate::secret::Secret;

/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;

/// Why AES-GCM gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GcmError {
    /// The key has the wrong size.
    #[error("a key for AES-256 has 32 bytes, this one has {0}")]
    Key(usize),
    /// The iv has a size that is not taken.
    #[error("an iv has 12 or 16 bytes, this one has {0}")]
    Iv(usize),
    /// The plaintext is longer than 64 GiB.
    #[error("{0} bytes are more than one message can hold")]
    TooLong(usize),
    /// The tag does not fit.
    #[error("the message was altered, or was sealed with another key or for another delivery")]
    Forged,
}

/// The seed's cipher.
type Aes256GcmIv16 = AesGcm<Aes256, U16>;

/// Ciphertext and tag.
///
/// # Errors
/// When key or iv has the wrong size, or the plaintext is longer than 64 GiB.
pub fn encrypt(
    key: &Secret,
    iv: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Vec<u8>, [u8; TAG_BYTES]), GcmError> {
    let too_long = GcmError::TooLong(plaintext.len());
    let payload = Payload {
        msg: plaintext,
        aad,
    };
    let mut sealed = match iv.len() {
        12 => cipher::<Aes256Gcm>(key)?.encrypt(&nonce::<Aes256Gcm>(iv)?, payload),
        16 => cipher::<Aes256GcmIv16>(key)?.encrypt(&nonce::<Aes256GcmIv16>(iv)?, payload),
        other => return Err(GcmError::Iv(other)),
    }
    .map_err(|_| too_long.clone())?;
    let tag = sealed.split_off(plaintext.len());
    Ok((sealed, tag.try_into().map_err(|_| too_long)?))
}

/// The plaintext, if `tag` fits key, iv, `aad` and ciphertext.
///
/// # Errors
/// When it does not fit, or key or iv has the wrong size.
pub fn decrypt(
    key: &Secret,
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8; TAG_BYTES],
) -> Result<Vec<u8>, GcmError> {
    let sealed = [ciphertext, tag].concat();
    let payload = Payload { msg: &sealed, aad };
    match iv.len() {
        12 => cipher::<Aes256Gcm>(key)?.decrypt(&nonce::<Aes256Gcm>(iv)?, payload),
        16 => cipher::<Aes256GcmIv16>(key)?.decrypt(&nonce::<Aes256GcmIv16>(iv)?, payload),
        other => return Err(GcmError::Iv(other)),
    }
    .map_err(|_| GcmError::Forged)
}

fn cipher<C: KeyInit>(key: &Secret) -> Result<C, GcmError> {
    C::new_from_slice(key.expose()).map_err(|_| GcmError::Key(key.expose().len()))
}

fn nonce<C: Aead>(iv: &[u8]) -> Result<Nonce<C>, GcmError> {
    Nonce::<C>::try_from(iv).map_err(|_| GcmError::Iv(iv.len()))
}
