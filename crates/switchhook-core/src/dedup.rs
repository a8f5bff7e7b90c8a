//! When two requests to a source are the same event.
//!
//! An identity is a hash over a mark for the kind of rule, the source and what identifies the event,
//! each part with its length before it. So sources never share identities, an id never equals a
//! content, and no two lists of parts run together. Where a rule finds nothing usable (a place or
//! header is missing, empty, or sent twice) the content decides: rather one delivery too many than two
//! events taken for one. For the same reason a number that JSON cannot hold exactly is no id.
//!
//! The window in which a repeat is recognised, and what happens to one, is not decided here.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::pointer::Pointer;
use crate::source::{Dedup, DedupBy};

/// The identity of an event within its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// First 16 bytes of the SHA-256 over the source name and what identifies the event.
    pub key: [u8; 16],
    /// First 8 bytes (big endian) of the SHA-256 of the body.
    pub body_hash: u64,
}

/// What an identity was made from. The first byte of what is hashed; stored identities depend on it.
#[derive(Clone, Copy)]
enum Mark {
    Content = 0,
    Pointers = 1,
    Header = 2,
}

/// The identity of an event of type `kind` that came through `source`; `None` where `rule` says that
/// every request is a new event.
///
/// `json` is the parsed body, if anything needed it; without it no pointer finds anything.
#[must_use]
pub fn identity(
    rule: &Dedup,
    source: &str,
    kind: &str,
    headers: &HeaderMap,
    body: &[u8],
    json: Option<&Value>,
) -> Option<Identity> {
    let body_digest: [u8; 32] = Sha256::digest(body).into();
    let by_content = || hash(Mark::Content, source, [kind.as_bytes(), &body_digest]);
    let key = match &rule.by {
        DedupBy::Off => return None,
        DedupBy::Content => by_content(),
        DedupBy::Pointers(pointers) => match json.and_then(|json| ids(pointers, json)) {
            Some(ids) => hash(Mark::Pointers, source, ids.iter().map(|id| id.as_bytes())),
            None => by_content(),
        },
        DedupBy::Header(name) => match only_value(headers, name) {
            Some(id) => hash(Mark::Header, source, [id]),
            None => by_content(),
        },
    };
    let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = body_digest;
    let body_hash = u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
    Some(Identity { key, body_hash })
}

/// The texts at all of `pointers`, or `None` where one is missing, empty or inexact.
fn ids<'v>(pointers: &[Pointer], json: &'v Value) -> Option<Vec<Cow<'v, str>>> {
    let id = |pointer: &Pointer| {
        let exact = !pointer.find(json)?.is_f64();
        pointer.text(json).filter(|text| exact && !text.is_empty())
    };
    let ids: Vec<_> = pointers.iter().map(id).collect::<Option<_>>()?;
    (!ids.is_empty()).then_some(ids)
}

/// The value of a header that was sent exactly once and is not empty.
fn only_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value.as_bytes()),
        _ => None,
    }
}

fn hash<'p>(mark: Mark, source: &'p str, parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update([mark as u8]);
    for part in std::iter::once(source.as_bytes()).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(digest) {
        *to = from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rule(by: DedupBy) -> Dedup {
        Dedup {
            by,
            window_ms: 60_000,
        }
    }

    fn by_pointers(texts: &[&str]) -> Dedup {
        rule(DedupBy::Pointers(
            texts
                .iter()
                .map(|text| Pointer::parse(text).unwrap())
                .collect(),
        ))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn of(rule: &Dedup, source: &str, kind: &str, body: &Value) -> [u8; 16] {
        let bytes = body.to_string();
        identity(
            rule,
            source,
            kind,
            &HeaderMap::new(),
            bytes.as_bytes(),
            Some(body),
        )
        .unwrap()
        .key
    }

    #[test]
    fn content_is_source_type_and_body_together() {
        let (rule, body) = (rule(DedupBy::Content), json!({"a": 1}));
        let key = of(&rule, "web", "t", &body);
        assert_eq!(key, of(&rule, "web", "t", &body));
        assert_ne!(key, of(&rule, "crm", "t", &body));
        assert_ne!(key, of(&rule, "web", "u", &body));
        assert_ne!(key, of(&rule, "web", "t", &json!({"a": 2})));
        assert_ne!(of(&rule, "ab", "c", &body), of(&rule, "a", "bc", &body));
    }

    #[test]
    fn pointers_identify_whatever_the_rest_of_the_body_is() {
        let rule = by_pointers(&["/id", "/n"]);
        let key = of(&rule, "web", "t", &json!({"id": "a", "n": 1, "x": 1}));
        assert_eq!(
            key,
            of(&rule, "web", "u", &json!({"id": "a", "n": 1, "x": 2}))
        );
        assert_ne!(key, of(&rule, "crm", "t", &json!({"id": "a", "n": 1})));
        assert_ne!(key, of(&rule, "web", "t", &json!({"id": "a", "n": 2})));
        let joined = |a, b| {
            of(
                &by_pointers(&["/a", "/b"]),
                "web",
                "t",
                &json!({"a": a, "b": b}),
            )
        };
        assert_ne!(joined("x", "yz"), joined("xy", "z"));
    }

    #[test]
    fn the_body_hash_is_the_start_of_its_sha_256() {
        let rule = rule(DedupBy::Content);
        let found = identity(&rule, "web", "t", &HeaderMap::new(), b"abc", None).unwrap();
        assert_eq!(found.body_hash, 0xba78_16bf_8f01_cfea);
    }

    #[test]
    fn the_content_decides_where_any_part_of_the_id_is_missing_empty_or_inexact() {
        let content = rule(DedupBy::Content);
        for body in [
            json!({"id": "a"}),
            json!({"id": "a", "n": null}),
            json!({"id": "", "n": 1}),
            json!({"id": {}, "n": 1}),
            json!({"id": 1e30, "n": 1}),
            json!([]),
        ] {
            let key = of(&by_pointers(&["/id", "/n"]), "web", "t", &body);
            assert_eq!(key, of(&content, "web", "t", &body), "{body}");
        }
        let body = json!({"id": 1});
        assert_eq!(
            of(&by_pointers(&[]), "web", "t", &body),
            of(&content, "web", "t", &body)
        );
    }

    #[test]
    fn a_header_identifies_when_it_comes_once() {
        let by_header = rule(DedupBy::Header("webhook-id".into()));
        let key = |pairs: &[_], body: &[u8]| {
            identity(&by_header, "web", "t", &headers(pairs), body, None)
                .unwrap()
                .key
        };
        let once = key(&[("webhook-id", "msg_1")], b"one");
        assert_eq!(once, key(&[("webhook-id", "msg_1")], b"two"));
        assert_ne!(once, key(&[("webhook-id", "msg_2")], b"one"));
        let content = identity(
            &rule(DedupBy::Content),
            "web",
            "t",
            &HeaderMap::new(),
            b"one",
            None,
        )
        .unwrap()
        .key;
        for unusable in [
            &[][..],
            &[("webhook-id", "")],
            &[("webhook-id", "a"), ("webhook-id", "a")],
        ] {
            assert_eq!(key(unusable, b"one"), content, "{unusable:?}");
        }
    }

    #[test]
    fn no_identity_is_made_where_every_request_is_new() {
        assert_eq!(
            identity(
                &rule(DedupBy::Off),
                "web",
                "t",
                &HeaderMap::new(),
                b"",
                None
            ),
            None
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_id_never_equals_a_content_nor_the_same_id_elsewhere(id in ".{1,20}", source in "[a-z]{1,8}") {
            let body = json!({"id": id});
            let pointed = of(&by_pointers(&["/id"]), &source, "t", &body);
            prop_assert_ne!(pointed, of(&rule(DedupBy::Content), &source, "t", &body));
            prop_assert_ne!(pointed, of(&by_pointers(&["/id"]), &format!("{source}x"), "t", &body));
        }
    }
}
