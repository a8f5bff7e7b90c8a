//! `ETag`, `If-Match` and `If-None-Match`: whether a change is meant for what is there now.
//!
//! A tag is strong: it follows from the kind, name, version and shown body of a resource, so that it changes with each of
//! them, and that of a resource of the file changes with the file. What exists is only changed by a request that names
//! its tag (428 without one, 412 with another one); what does not exist is made by any request but one that names a tag.
//! Tags are compared as RFC 9110 says for `If-Match`: weak ones equal nothing.

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sha2::{Digest, Sha256};
use switchhook_wire::problem::{self, FieldError, Kind};

use super::answer::{Answer, Refusal};

/// Most tags in one header: a client knows one version, perhaps two.
const TAGS_MAX: usize = 16;
/// Most differences that a stale request is shown.
const DIFFERENCES_MAX: usize = 50;

/// What a request says about the version that it is meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Precondition {
    /// `If-Match`.
    matches: Option<Tags>,
    /// `If-None-Match`.
    differs: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

/// What is there now: its tag, and what it looks like beside what the request would make of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Current<'a> {
    pub(crate) etag: &'a str,
    /// As it is shown.
    pub(crate) body: &'a Value,
    /// As the request would have it, shown the same way.
    pub(crate) wanted: Option<&'a Value>,
}

impl Precondition {
    /// # Errors
    /// When a header cannot be read.
    pub(crate) fn of(headers: &HeaderMap) -> Answer<Self> {
        Ok(Self {
            matches: tags(headers, &IF_MATCH)?,
            differs: tags(headers, &IF_NONE_MATCH)?,
        })
    }

    /// Whether the request names a version that must be there.
    pub(crate) const fn names_one(&self) -> bool {
        self.matches.is_some()
    }

    /// Whether a read may be answered with 304: the asker has what is there.
    pub(crate) fn has(&self, etag: &str) -> bool {
        self.differs.as_ref().is_some_and(|tags| tags.name(etag))
    }

    /// Whether the request may change `what`, which is there as `current` or not at all.
    ///
    /// # Errors
    /// 428 without a tag, 412 with one that is not the current one.
    pub(crate) fn check(&self, what: &str, current: Option<Current<'_>>) -> Answer<()> {
        let Some(current) = current else {
            return match &self.matches {
                Some(_) => Err(Refusal::new(
                    Kind::PreconditionFailed,
                    format!("{what} does not exist, `If-Match` is for one that does"),
                )),
                None => Ok(()),
            };
        };
        if self.has(current.etag) {
            let detail = match self.differs {
                Some(Tags::Any) => format!("{what} exists already"),
                Some(Tags::These(_)) | None => format!("{what} has the tag that was excluded"),
            };
            return Err(stale(
                problem::Body::new(Kind::PreconditionFailed, detail),
                current,
            ));
        }
        match &self.matches {
            Some(tags) if tags.name(current.etag) => Ok(()),
            Some(_) => {
                let detail = format!("{what} has changed since: its tag is {}", current.etag);
                let body = problem::Body::new(Kind::PreconditionFailed, detail)
                    .with_hint(
                        "read it again, make your change to what is there, and send the new tag",
                    )
                    .with_errors(differences(current));
                Err(stale(body, current))
            }
            None => {
                let detail = format!("{what} exists: `If-Match` must say which version is meant");
                let body =
                    problem::Body::new(Kind::PreconditionRequired, detail).with_hint(format!(
                        "send `If-Match: {}` to change what is there now",
                        current.etag
                    ));
                Err(stale(body, current))
            }
        }
    }
}

impl Tags {
    fn name(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// The strong tag of a resource.
pub(crate) fn etag(kind: &str, name: &str, version: u64, shown: &Value) -> String {
    let mut hash = Sha256::new();
    for part in [kind.as_bytes(), name.as_bytes(), &version.to_be_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(shown.to_string());
    let hex = data_encoding::HEXLOWER.encode(hash.finalize().get(..8).unwrap_or_default());
    format!("\"{hex}\"")
}

/// Puts `etag` into an answer.
pub(crate) fn tagged(etag: &str, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, value);
    }
}

fn stale(body: problem::Body, current: Current<'_>) -> Refusal {
    Refusal::from(body).with_etag(current.etag)
}

/// Where what is there and what the request would make differ, by the top members of both.
fn differences(current: Current<'_>) -> Vec<FieldError> {
    let (Some(now), Some(Some(wanted))) = (
        current.body.as_object(),
        current.wanted.map(Value::as_object),
    ) else {
        return Vec::new();
    };
    let keys: std::collections::BTreeSet<&String> = now.keys().chain(wanted.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| now.get(*key) != wanted.get(*key));
    let absent = || "absent".to_owned();
    let said = |value: Option<&Value>| value.map_or_else(absent, |value| cut(&value.to_string()));
    differing
        .take(DIFFERENCES_MAX)
        .map(|key| FieldError {
            pointer: format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            code: "differs".to_owned(),
            detail: format!(
                "is {} now, the request has {}",
                said(now.get(key)),
                said(wanted.get(key))
            ),
            hint: None,
        })
        .collect()
}

/// At most 200 characters: a difference is to be recognised, not to be read whole.
fn cut(text: &str) -> String {
    if text.chars().count() <= 200 {
        return text.to_owned();
    }
    text.chars().take(199).chain(['…']).collect()
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Answer<Option<Tags>> {
    let unreadable = || {
        Refusal::new(
            Kind::InvalidRequest,
            format!("`{name}` must be `*` or a list of quoted tags"),
        )
    };
    let mut found = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| unreadable())?;
        if text.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"');
            // Many clients strip the quotes.
            let bare = !tag.contains('"') && tag.len() == strong.len();
            if !(quoted || bare) || found.len() == TAGS_MAX {
                return Err(unreadable());
            }
            found.push(if bare {
                format!("\"{tag}\"")
            } else {
                tag.to_owned()
            });
        }
    }
    Ok((!found.is_empty()).then_some(Tags::These(found)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(pairs: &[(HeaderName, &'static str)]) -> Precondition {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        Precondition::of(&HeaderMap::from_iter(headers)).unwrap()
    }

    fn status(ask: &Precondition, etag: Option<&str>) -> u16 {
        let (body, wanted) = (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}));
        let current = etag.map(|etag| Current {
            etag,
            body: &body,
            wanted: Some(&wanted),
        });
        ask.check("endpoint `crm`", current)
            .map_or_else(|refusal| refusal.body().status, |()| 200)
    }

    #[test]
    fn what_exists_needs_its_own_tag_and_what_does_not_needs_none() {
        for (headers, there, absent) in [
            (&[][..], 428, 200),
            (&[(IF_MATCH, "\"a\"")][..], 200, 412),
            (&[(IF_MATCH, "a")][..], 200, 412),
            (&[(IF_MATCH, "\"x\", \"a\"")][..], 200, 412),
            (&[(IF_MATCH, "*")][..], 200, 412),
            (&[(IF_MATCH, "\"b\"")][..], 412, 412),
            (&[(IF_MATCH, "W/\"a\"")][..], 412, 412),
            (&[(IF_NONE_MATCH, "*")][..], 412, 200),
            (&[(IF_NONE_MATCH, "\"a\"")][..], 412, 200),
            (&[(IF_NONE_MATCH, "*"), (IF_MATCH, "\"a\"")][..], 412, 412),
        ] {
            let ask = ask(headers);
            assert_eq!(status(&ask, Some("\"a\"")), there, "{headers:?}");
            assert_eq!(status(&ask, None), absent, "{headers:?}");
        }
    }

    #[test]
    fn a_stale_request_is_told_what_differs() {
        let (body, wanted) = (json!({"a": 1, "b": 2}), json!({"a": 1, "c": "new"}));
        let refusal = ask(&[(IF_MATCH, "\"old\"")])
            .check(
                "endpoint `crm`",
                Some(Current {
                    etag: "\"new\"",
                    body: &body,
                    wanted: Some(&wanted),
                }),
            )
            .unwrap_err();
        let told: Vec<_> = refusal
            .body()
            .errors
            .iter()
            .map(|error| (error.pointer.as_str(), error.detail.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("/b", "is 2 now, the request has absent"),
                ("/c", "is absent now, the request has \"new\""),
            ]
        );
        assert!(refusal.body().detail.contains("\"new\""));
    }

    #[test]
    fn a_header_that_is_no_tag_is_refused() {
        for text in ["\"a", "a\"", "\"a\" \"b\"x"] {
            let headers = HeaderMap::from_iter([(IF_MATCH, text.parse().unwrap())]);
            assert!(Precondition::of(&headers).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_changes_with_kind_name_version_and_body() {
        let base = etag("endpoint", "crm", 1, &json!({"a": 1}));
        assert_eq!(base, etag("endpoint", "crm", 1, &json!({"a": 1})));
        for other in [
            etag("source", "crm", 1, &json!({"a": 1})),
            etag("endpoint", "crm2", 1, &json!({"a": 1})),
            etag("endpoint", "crm", 2, &json!({"a": 1})),
            etag("endpoint", "crm", 1, &json!({"a": 2})),
        ] {
            assert_ne!(base, other);
        }
    }
}
