//! Tokens and secrets: how they are made, and what is kept of them.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use switchhook_store::Error;
use uuid::Uuid;

/// Starts an API token.
pub(super) const TOKEN: &str = "shk_";
/// Starts the secret of an OAuth client.
pub(super) const CLIENT_SECRET: &str = "shs_";
/// Starts an access token of an OAuth client.
pub(super) const ACCESS_TOKEN: &str = "sha_";

/// Random bytes of each: 256 bits cannot be guessed.
const BYTES: usize = 32;

/// What is kept of a token or secret.
pub(super) type Hash = [u8; 32];

/// One that was just made.
pub(super) struct Minted {
    /// To be shown once.
    pub(super) text: String,
    pub(super) hash: Hash,
}

/// Makes one that starts with `prefix`.
///
/// # Errors
/// When the system has no randomness.
pub(super) fn mint(prefix: &str) -> Result<Minted, Error> {
    let mut bytes = [0; BYTES];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::Fatal("the system gives no random numbers for a token".into()))?;
    let text = format!("{prefix}{}", BASE64URL_NOPAD.encode(&bytes));
    let hash = hash(text.as_bytes());
    Ok(Minted { text, hash })
}

/// An id that starts with `prefix`; a later one sorts after an earlier one.
pub(super) fn id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// What is kept of `text`.
pub(super) fn hash(text: &[u8]) -> Hash {
    Sha256::digest(text).into()
}

/// As it stands in documents.
pub(super) fn hex(hash: &Hash) -> String {
    HEXLOWER.encode(hash)
}

/// The hash that `hex` wrote.
pub(super) fn unhex(text: &str) -> Option<Hash> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_another_one_and_as_long_as_its_bits_ask_for() {
        let (one, other) = (mint(TOKEN).unwrap(), mint(TOKEN).unwrap());
        assert_ne!(one.text, other.text);
        assert_eq!((one.text.len(), one.text.starts_with("shk_")), (47, true));
        assert_eq!(one.hash, hash(one.text.as_bytes()));
    }

    #[test]
    fn a_hash_reads_back_from_its_text_and_no_other_text_is_one() {
        let hash = hash(b"a");
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        for text in [
            "",
            "ca",
            &hex(&hash).to_uppercase(),
            &format!("{}00", hex(&hash)),
        ] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
