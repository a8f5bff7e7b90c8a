//! stub
/// The identity of an event within its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// First 16 bytes of the SHA-256 over the source name and what identifies the event.
    pub key: [u8; 16],
    /// First 8 bytes (big endian) of the SHA-256 of the body.
    pub body_hash: u64,
}
