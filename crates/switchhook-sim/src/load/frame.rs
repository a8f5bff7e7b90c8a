//! Where an HTTP/1.1 message with a `Content-Length` ends. Nothing else of HTTP is understood.
//!
//! Bounds: a head of at most [`HEAD_BYTES_MAX`], a body of at most [`BODY_BYTES_MAX`].

/// Longest head, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Longest body, in bytes: the largest event there is (seed 003: 5 MB).
pub(crate) const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// A complete head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes up to and including the empty line.
    pub(crate) length: usize,
    /// Bytes that follow as the body.
    pub(crate) body_length: usize,
}

/// A message whose end cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unframed {
    #[error("the head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the body is longer than {BODY_BYTES_MAX} bytes")]
    BodyTooLong,
    #[error("the content-length is no number")]
    Length,
    #[error("the body is chunked; only content-length is understood")]
    Chunked,
}

impl From<Unframed> for std::io::Error {
    fn from(error: Unframed) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// The head at the start of `buffer`, `None` while it is not complete.
pub(crate) fn head(buffer: &[u8]) -> Result<Option<Head>, Unframed> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if buffer.len() > HEAD_BYTES_MAX {
            Err(Unframed::HeadTooLong)
        } else {
            Ok(None)
        };
    };
    let mut body_length = 0;
    for line in buffer
        .get(..end)
        .unwrap_or_default()
        .split(|byte| *byte == b'\n')
    {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let Some((name, value)) = line.split_at_checked(colon) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).map(|text| text.trim_matches([':', ' ', '\r']));
            body_length = digits
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or(Unframed::Length)?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Unframed::Chunked);
        }
    }
    if body_length > BODY_BYTES_MAX {
        return Err(Unframed::BodyTooLong);
    }
    Ok(Some(Head {
        length: end + 4,
        body_length,
    }))
}

/// The status in the first line of an answer.
pub(crate) fn status(buffer: &[u8]) -> Option<u16> {
    let digits = buffer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_when_it_is_complete_and_its_length_is_read_in_any_case() {
        let cases: [(&[u8], _); 8] = [
            (b"", Ok(None)),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Ok(None)),
            (
                b"HTTP/1.1 204 No Content\r\n\r\n",
                Ok(Some(Head {
                    length: 27,
                    body_length: 0,
                })),
            ),
            (
                b"POST / HTTP/1.1\r\nContent-LENGTH:  12 \r\n\r\nbody",
                Ok(Some(Head {
                    length: 41,
                    body_length: 12,
                })),
            ),
            (
                b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
                Err(Unframed::Length),
            ),
            (
                b"POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n",
                Err(Unframed::BodyTooLong),
            ),
            (
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(Unframed::Chunked),
            ),
            (&[b'a'; HEAD_BYTES_MAX + 1], Err(Unframed::HeadTooLong)),
        ];
        for (text, expected) in cases {
            assert_eq!(head(text), expected, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(status(b"HTTP/1.1 503 Busy\r\n"), Some(503));
        assert_eq!(status(b"HTTP/1.1 5"), None);
    }
}
