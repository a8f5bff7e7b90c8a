//! Signed checkpoints of the audit log: how long it was at some moment, and the hash of its last entry.
//!
//! A checkpoint is a signed note as C2SP describes it (`c2sp.org/signed-note`, `c2sp.org/tlog-checkpoint`):
//!
//! ```text
//! switchhook-audit/0198c5d2-…        what it is, and of which store
//! 1234                               entries
//! qL0…=                              base64 of the hash of the last entry
//! time 1785000000000                 further lines, as many as there are; this one in milliseconds since 1970
//!
//! — gateway.example Zm9v…            key name, and base64 of the key's id and its ed25519 signature
//! ```
//!
//! The signature is over the text up to the empty line, with the line end before it. Several keys may have signed one note;
//! lines of keys that are not known are passed over. Where a checkpoint is kept and when one is made is not decided here.
//!
//! Bounds: a note of [`NOTE_BYTES_MAX`] bytes with [`SIGNATURES_MAX`] signatures, a key name of [`NAME_BYTES_MAX`] bytes.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use super::Hash;
use crate::sign::ed25519::{PublicKey, SigningKey};
use crate::time::UnixMs;

/// Largest note, in bytes: ours have some 250.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Most signatures of one note: those of a few witnesses.
pub const SIGNATURES_MAX: usize = 16;

/// Longest name of a key, in bytes: a DNS name fits.
pub const NAME_BYTES_MAX: usize = 255;

/// Start of the first line; the id of the store follows.
pub const ORIGIN_PREFIX: &str = "switchhook-audit/";

/// Start of the line that has the time.
const TIME_PREFIX: &str = "time ";

/// Start of a line with a signature: an em dash and a space.
pub const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// The algorithm byte of ed25519.
const ED25519: u8 = 1;

/// What is known of the log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The id of the store.
    pub store: Box<str>,
    /// Number of the last entry; 0 for none.
    pub entries: u64,
    /// The hash of the last entry; [`super::ORIGIN`] for none.
    pub head: Hash,
    /// When it was made, if it says so.
    pub at: Option<UnixMs>,
}

/// Why a text is no checkpoint, a name none of a key, or a key none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too long.
    #[error("a note has at most {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// A control character, or a line end that is not a single line feed.
    #[error("a note has no control characters but line feeds")]
    Control,
    /// No empty line before the signatures, or nothing after it.
    #[error("a note has an empty line, and signatures after it, each ended by a line feed")]
    Parts,
    /// The first line.
    #[error("the first line of a checkpoint is `{ORIGIN_PREFIX}` and the id of the store")]
    Origin,
    /// The second line.
    #[error("the second line of a checkpoint is the number of entries, without zeros before it")]
    Entries,
    /// The third line.
    #[error("the third line of a checkpoint is the base64 of 32 bytes")]
    Head,
    /// A further line.
    #[error("a further line of a checkpoint is not empty; a time is in milliseconds since 1970")]
    Extension,
    /// A signature line.
    #[error("a signature is `— `, the name of the key, and the base64 of key id and signature")]
    Signature,
    /// Too many signatures.
    #[error("a note has at most {SIGNATURES_MAX} signatures")]
    Signatures,
    /// A name of a key.
    #[error("the name of a key has 1 to {NAME_BYTES_MAX} bytes, and neither spaces nor `+`")]
    Name,
    /// A key.
    #[error("a key is its name, `+`, its id in hex, `+`, and the base64 of 1 and its 32 bytes")]
    Key,
}

/// A key that notes are checked with: `name+id+key`, as C2SP writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: Box<str>,
    public: PublicKey,
}

/// A signature of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: Box<str>,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A note that was read. Nothing is known of its signatures yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// What is signed.
    text: Box<str>,
    signatures: Vec<Signature>,
}

/// What the signatures of a note are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A known key has signed it.
    Signed,
    /// No known key claims to have signed it.
    UnknownKey,
    /// It says that a known key has signed it, which is not so.
    BadSignature,
}

/// What is signed of `checkpoint`.
#[must_use]
pub fn text(checkpoint: &Checkpoint) -> String {
    let Checkpoint {
        store,
        entries,
        head,
        at,
    } = checkpoint;
    let head = BASE64.encode(head);
    let mut text = format!("{ORIGIN_PREFIX}{store}\n{entries}\n{head}\n");
    if let Some(at) = at {
        text.push_str(&format!("{TIME_PREFIX}{}\n", at.0));
    }
    text
}

/// The whole note of `checkpoint`, signed by `key` under the name `name`.
///
/// # Errors
/// When the name is none of a key, or the id of the store does not fit into a line.
pub fn sign(checkpoint: &Checkpoint, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    let named = NoteKey::new(name, key.public_key())?;
    let text = text(checkpoint);
    if !is_origin(&checkpoint.store) {
        return Err(NoteError::Origin);
    }
    let mut signature = named.id().to_vec();
    signature.extend(key.sign(text.as_bytes()));
    let signature = BASE64.encode(&signature);
    Ok(format!("{text}\n{SIGNATURE_PREFIX}{name} {signature}\n"))
}

/// Reads a note. That it can be read says nothing of who wrote it: see [`Note::trust`].
///
/// # Errors
/// When it is no note, or not of a checkpoint of an audit log.
pub fn parse(note: &str) -> Result<Note, NoteError> {
    let (text, signatures) = parts(note)?;
    Ok(Note {
        checkpoint: checkpoint(text)?,
        text: text.into(),
        signatures,
    })
}

/// What is signed of any note, and its signatures.
fn parts(note: &str) -> Result<(&str, Vec<Signature>), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong);
    }
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(NoteError::Control);
    }
    // The signatures are behind the last empty line.
    let split = note.rfind("\n\n").ok_or(NoteError::Parts)?;
    let (text, signatures) = note.split_at_checked(split + 1).ok_or(NoteError::Parts)?;
    let signatures = signatures.strip_prefix('\n').unwrap_or_default();
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Parts)?;
    let signatures: Vec<Signature> = signatures
        .split('\n')
        .map(signature)
        .collect::<Result<_, _>>()?;
    if signatures.len() > SIGNATURES_MAX {
        return Err(NoteError::Signatures);
    }
    Ok((text, signatures))
}

fn checkpoint(text: &str) -> Result<Checkpoint, NoteError> {
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let store = lines
        .next()
        .and_then(|line| line.strip_prefix(ORIGIN_PREFIX))
        .filter(|store| is_origin(store))
        .ok_or(NoteError::Origin)?;
    let entries = lines.next().and_then(number).ok_or(NoteError::Entries)?;
    let head = lines
        .next()
        .and_then(|line| BASE64.decode(line.as_bytes()).ok())
        .and_then(|head| head.try_into().ok())
        .ok_or(NoteError::Head)?;
    let mut at = None;
    for line in lines {
        if line.is_empty() {
            return Err(NoteError::Extension);
        }
        if let Some(time) = line.strip_prefix(TIME_PREFIX) {
            at = Some(UnixMs(number(time).ok_or(NoteError::Extension)?));
        }
    }
    Ok(Checkpoint {
        store: store.into(),
        entries,
        head,
        at,
    })
}

/// A decimal number in its only form.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn is_origin(store: &str) -> bool {
    let is_plain = !store.chars().any(char::is_control);
    is_plain && (1..=NAME_BYTES_MAX).contains(&store.len())
}

fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(is_odd)
}

fn signature(line: &str) -> Result<Signature, NoteError> {
    let line = line.strip_prefix(SIGNATURE_PREFIX);
    let (name, bytes) = line
        .and_then(|line| line.split_once(' '))
        .ok_or(NoteError::Signature)?;
    let bytes = BASE64.decode(bytes.as_bytes());
    let bytes = bytes.map_err(|_| NoteError::Signature)?;
    match bytes.split_first_chunk() {
        Some((id, signature)) if is_name(name) && !signature.is_empty() => Ok(Signature {
            name: name.into(),
            id: *id,
            bytes: signature.to_vec(),
        }),
        Some(_) | None => Err(NoteError::Signature),
    }
}

fn trust(text: &str, signatures: &[Signature], keys: &[NoteKey]) -> Trust {
    let mut trust = Trust::UnknownKey;
    for signature in signatures {
        let known = |key: &&NoteKey| *key.name == *signature.name && key.id() == signature.id;
        let Some(key) = keys.iter().find(known) else {
            continue;
        };
        if !key.public.verifies(text.as_bytes(), &signature.bytes) {
            return Trust::BadSignature;
        }
        trust = Trust::Signed;
    }
    trust
}

impl Note {
    /// What its signatures are worth to who knows `keys`. A bad signature goes before a good one: a key signs no note
    /// twice.
    #[must_use]
    pub fn trust(&self, keys: &[NoteKey]) -> Trust {
        trust(&self.text, &self.signatures, keys)
    }

    /// The names of the keys that it says have signed it.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| &*signature.name)
    }
}

impl NoteKey {
    /// The key `public` under the name `name`.
    ///
    /// # Errors
    /// When that is no name.
    pub fn new(name: &str, public: PublicKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name);
        }
        Ok(Self {
            name: name.into(),
            public,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands for it in a signature: the start of a hash over name and key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', ED25519]);
        hash.update(self.public.as_bytes());
        let [a, b, c, d, ..] = Hash::from(hash.finalize());
        [a, b, c, d]
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend(self.public.as_bytes());
        let (name, id) = (&self.name, HEXLOWER.encode(&self.id()));
        write!(f, "{name}+{id}+{}", BASE64.encode(&key))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = BASE64.decode(key.as_bytes()).unwrap_or_default();
        let Some((&ED25519, public)) = bytes.split_first() else {
            return Err(NoteError::Key);
        };
        let public = public.try_into().map_err(|_| NoteError::Key)?;
        let key = Self::new(name, PublicKey::from_bytes(public))?;
        if HEXLOWER.encode(&key.id()) != id {
            return Err(NoteError::Key);
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Go package that the specification comes from (`golang.org/x/mod/sumdb/note`).
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
         then you don't know what your problem is.\n\n\
         \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_that_another_program_signed_is_trusted() {
        let key: NoteKey = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        let (text, signatures) = parts(NOTE).unwrap();
        let key = [key];
        assert_eq!(trust(text, &signatures, &key), Trust::Signed);
        assert_eq!(trust("other\n", &signatures, &key), Trust::BadSignature);
        assert_eq!(trust(text, &signatures, &[]), Trust::UnknownKey);
    }

    #[test]
    fn a_key_whose_id_is_another_ones_is_refused() {
        for text in [
            &KEY.replace("c74f20a3", "c74f20a4"),
            &KEY.replace("ARpc", "AhpC"),
            "PeterNeumann+c74f20a3",
            "",
        ] {
            assert_eq!(text.parse::<NoteKey>(), Err(NoteError::Key), "{text}");
        }
    }
}
