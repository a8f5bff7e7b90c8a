//! Takes a batch apart: a JSON array whose elements are events.
//!
//! Each element keeps its exact bytes; nothing is re-serialised. A batch is taken as a whole or refused as a whole: also
//! when the identity of one element is that of another event with another body, in the log or in the batch.
//! Bound: [`EVENTS_MAX`] elements.

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use switchhook_wire::problem::Kind;

/// Most events in one batch: with bodies of 5 MiB, events of the usual size do not reach it.
pub const EVENTS_MAX: usize = 1_000;

/// Why a body is no batch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not a JSON array.
    #[error("a batch must be a JSON array: {0}")]
    NotArray(serde_json::Error),
    /// It has too many elements.
    #[error("the batch has {0} events, {EVENTS_MAX} are allowed")]
    TooMany(usize),
}

impl Error {
    /// How it is refused.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotArray(error) if error.is_data() => Kind::BatchInvalid,
            Self::NotArray(_) => Kind::NotJson,
            Self::TooMany(_) => Kind::BatchTooLarge,
        }
    }
}

/// The exact bytes of each element, in order.
///
/// # Errors
/// See [`Error`].
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let Elements { first, count } = serde_json::from_slice(body).map_err(Error::NotArray)?;
    if count > EVENTS_MAX {
        return Err(Error::TooMany(count));
    }
    Ok(first
        .into_iter()
        .map(|element| element.get().as_bytes())
        .collect())
}

/// The dedup key of element `index`, where `key` came from a header and so is the same for the whole batch.
#[must_use]
pub fn key_of_element(key: [u8; 16], index: usize) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update(key)
        .chain_update((index as u64).to_be_bytes())
        .finalize();
    let mut of_element = [0; 16];
    of_element
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    of_element
}

/// The first [`EVENTS_MAX`] elements, and how many there are. The rest is read over, so that nothing grows with it.
struct Elements<'a> {
    first: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;

        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut elements: A,
            ) -> Result<Elements<'de>, A::Error> {
                let mut first = Vec::new();
                while first.len() < EVENTS_MAX {
                    match elements.next_element()? {
                        Some(element) => first.push(element),
                        None => break,
                    }
                }
                let mut count = first.len();
                while count >= EVENTS_MAX && elements.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Elements { first, count })
            }
        }

        deserializer.deserialize_seq(Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_keeps_its_exact_bytes() {
        let body = b" [ {\"a\" : 1.0}, \"x\\u0041\" ,[ 1 ],null]\n";
        let elements = split(body).unwrap();
        assert_eq!(
            elements,
            [&b"{\"a\" : 1.0}"[..], b"\"x\\u0041\"", b"[ 1 ]", b"null"]
        );
        assert!(split(b"[]").unwrap().is_empty());
    }

    #[test]
    fn a_body_that_is_no_array_or_no_json_is_refused() {
        for (body, kind) in [
            (&b"{}"[..], Kind::BatchInvalid),
            (b"1", Kind::BatchInvalid),
            (b"", Kind::NotJson),
            (b"[1,", Kind::NotJson),
            (b"[1]x", Kind::NotJson),
            (b"[1,\xff]", Kind::NotJson),
        ] {
            assert_eq!(
                split(body).unwrap_err().kind(),
                kind,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn a_thousand_events_are_taken_and_one_more_is_not() {
        let array = |count: usize| format!("[{}]", vec!["0"; count].join(",")).into_bytes();
        assert_eq!(split(&array(EVENTS_MAX)).unwrap().len(), EVENTS_MAX);
        assert!(matches!(
            split(&array(EVENTS_MAX + 5)),
            Err(Error::TooMany(1_005))
        ));
    }

    #[test]
    fn elements_that_share_a_header_have_different_keys() {
        let key = [7; 16];
        assert_ne!(key_of_element(key, 0), key_of_element(key, 1));
        assert_eq!(key_of_element(key, 1), key_of_element(key, 1));
    }
}
