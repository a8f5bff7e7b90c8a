//! The body of every refusal: RFC 9457 `application/problem+json`, the same for ingest and management.
//!
//! [`Kind`] is the table of everything that can be refused: a stable slug, a status, a title. A slug never
//! changes its meaning. Detail says what is wrong with this request, the value and the limit; the hint says
//! what to do. Neither ever holds a secret, a body of the sender or an inner error of ours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::verify::VerifyError;

use crate::config;

/// The media type of a [`Body`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Start of every `type`; the slug follows.
pub const TYPE_PREFIX: &str = "urn:switchhook:problem:";

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// [`TYPE_PREFIX`] and the slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// The slug's title.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// The slug.
    pub code: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The same as in the `X-Request-Id` header and the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Every fault of the request's body, where there can be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One fault in a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// JSON pointer to the faulty value.
    pub pointer: String,
    /// For example `SH0104`.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $slug:literal, $status:literal, $title:literal;)+) => {
        /// Everything that can be refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[doc = $doc])+ $variant),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// What it is, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

kinds! {
    /// The header that should carry the proof is missing.
    SignatureMissing = "signature-missing", 401, "the request carries no proof of its sender";
    /// The header is there and cannot be read.
    SignatureMalformed = "signature-malformed", 401, "the proof of the sender cannot be read";
    /// No secret gives this signature or token.
    SignatureMismatch = "signature-mismatch", 401, "the signature or token does not match";
    /// The signed timestamp is too far from now.
    SignatureStale = "signature-stale", 401, "the signed timestamp is too far from now";
    /// A secret of ours cannot be read.
    SecretUnavailable = "secret-unavailable", 503, "the source cannot verify requests now";
    /// No source has this name.
    SourceUnknown = "source-unknown", 404, "there is no such source";
    /// Larger than the source takes.
    BodyTooLarge = "body-too-large", 413, "the body is too large";
    /// JSON is needed.
    NotJson = "not-json", 400, "the body is not JSON";
    /// A batch must be a JSON array that is not empty.
    BatchInvalid = "batch-invalid", 400, "the batch cannot be taken";
    /// More events than one batch may hold.
    BatchTooLarge = "batch-too-large", 413, "the batch holds too many events";
    /// One identity, two bodies.
    DedupConflict = "dedup-conflict", 409, "an identity was used for two different events";
    /// More is under way than may be.
    Overloaded = "overloaded", 503, "the gateway is overloaded";
    /// No room for new events.
    StoreFull = "store-full", 503, "the store has no room for new events";
    /// The store failed and the gateway is stopping.
    StoreFailed = "store-failed", 503, "the store has failed";
    /// The gateway is stopping.
    ShuttingDown = "shutting-down", 503, "the gateway is shutting down";
    /// The request took too long to arrive.
    RequestTimeout = "request-timeout", 408, "the request did not arrive in time";
    /// The headers are too large.
    HeadersTooLarge = "headers-too-large", 431, "the headers are too large";
    /// No token, or an unknown one.
    Unauthorized = "unauthorized", 401, "a valid token is needed";
    /// No such path or thing.
    NotFound = "not-found", 404, "there is no such thing";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "the path does not take this method";
    /// A parameter or body has the wrong form.
    InvalidRequest = "invalid-request", 400, "the request cannot be understood";
    /// The body is of a kind that is not taken.
    UnsupportedMediaType = "unsupported-media-type", 415, "the media type is not taken";
    /// A resource breaks rules; `errors` names each.
    InvalidResource = "invalid-resource", 422, "the resource is not valid";
    /// The configuration file owns the resource.
    OwnedByFile = "owned-by-file", 409, "the resource belongs to the configuration file";
    /// Another resource mentions it.
    InUse = "in-use", 409, "the resource is in use";
    /// The state does not allow it now.
    Conflict = "conflict", 409, "the current state does not allow this";
    /// `If-Match` names an older version.
    PreconditionFailed = "precondition-failed", 412, "the resource has changed";
    /// The token is good, and does not allow this.
    Forbidden = "forbidden", 403, "the token does not allow this";
    /// A change must say which version it is meant for.
    PreconditionRequired = "precondition-required", 428, "the change must name the version it is meant for";
    /// The body names a version that is not the current one.
    VersionConflict = "version-conflict", 409, "the resource has another version";
    /// More requests than the token may send.
    TooManyRequests = "too-many-requests", 429, "the token sends too many requests";
    /// One idempotency key, two requests.
    IdempotencyMismatch = "idempotency-mismatch", 422, "the idempotency key was used for another request";
    /// The first request with this idempotency key is still under way.
    IdempotencyBusy = "idempotency-busy", 409, "a request with this idempotency key is under way";
    /// `Host` or `Origin` is not one of this gateway.
    HostRefused = "host-refused", 421, "the request was meant for another host";
    /// The endpoint cannot be reached or is refused by the address guard.
    EndpointUnreachable = "endpoint-unreachable", 502, "the endpoint could not be reached";
    /// A fault of ours; the log has the detail under the same request id.
    Internal = "internal", 500, "something went wrong on our side";
}

impl Kind {
    /// The `type` of its body.
    #[must_use]
    pub fn type_uri(self) -> String {
        format!("{TYPE_PREFIX}{}", self.slug())
    }

    /// What `Retry-After` should say, in seconds, where coming back helps.
    ///
    /// Short for load, which passes; longer where someone has to act. Open Messaging gives a request up
    /// after about 85 s, so no value is above 30.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a refusal is final unless it is listed"
    )]
    pub const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::IdempotencyBusy => Some(1),
            Self::ShuttingDown | Self::SecretUnavailable => Some(5),
            Self::StoreFull | Self::StoreFailed => Some(30),
            _ => None,
        }
    }
}

impl Body {
    /// A refusal of this kind; `detail` says what is wrong with this request.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.type_uri(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            code: kind.slug().to_owned(),
            hint: None,
            request_id: None,
            errors: Vec::new(),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the id under which the log has more.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// Adds every fault of the body.
    #[must_use]
    pub fn with_errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// The refusal's kind, unless a newer version made it.
    #[must_use]
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.slug() == self.code)
    }

    /// A body larger than `limit_bytes`.
    #[must_use]
    pub fn body_too_large(limit_bytes: usize) -> Self {
        Self::new(
            Kind::BodyTooLarge,
            format!("the body is larger than the {limit_bytes} bytes allowed"),
        )
    }

    /// A resource that breaks rules: every error of it.
    #[must_use]
    pub fn invalid_resource(problems: &[config::Problem]) -> Self {
        let errors: Vec<FieldError> = problems
            .iter()
            .filter(|problem| problem.is_error())
            .map(FieldError::from)
            .collect();
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            all => format!("{} things are wrong", all.len()),
        };
        Self::new(Kind::InvalidResource, detail).with_errors(errors)
    }

    /// No source is called `name`.
    #[must_use]
    pub fn source_unknown(name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        Self::new(Kind::SourceUnknown, format!("no source is called `{name}`"))
            .with_hint("add it to the configuration file or with `PUT /v1/sources/{name}`")
    }

    /// There is no `what` called `name`.
    #[must_use]
    pub fn not_found(what: &str, name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        Self::new(Kind::NotFound, format!("there is no {what} `{name}`"))
    }

    /// The JSON text, as bytes to send.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<&VerifyError> for Body {
    /// Tells the sender what is wrong with the proof, and nothing about our secrets.
    fn from(error: &VerifyError) -> Self {
        let kind = match error {
            VerifyError::Missing(_) => Kind::SignatureMissing,
            VerifyError::Malformed { .. } => Kind::SignatureMalformed,
            VerifyError::Mismatch => {
                return Self::new(Kind::SignatureMismatch, error.to_string())
                    .with_hint("sign the exact bytes of the body with the secret of this source");
            }
            VerifyError::Stale { .. } => {
                return Self::new(Kind::SignatureStale, error.to_string())
                    .with_hint("set the sender's clock, and sign each request when it is sent");
            }
            VerifyError::Secret(_) => {
                return Self::new(
                    Kind::SecretUnavailable,
                    "a secret of this source cannot be read",
                )
                .with_hint("the gateway's log names it");
            }
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_slug_is_unique_and_well_formed_and_its_status_is_an_error() {
        let slugs: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(
                kind.slug()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{kind:?}"
            );
            assert!((400..600).contains(&kind.status()), "{kind:?}");
        }
    }

    #[test]
    fn only_an_answer_that_asks_to_come_back_says_when() {
        for kind in Kind::ALL {
            // How long a token must wait is known only where it is counted.
            assert_eq!(
                kind.retry_after_s().is_some(),
                kind.status() == 503 || *kind == Kind::IdempotencyBusy,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_body_has_the_members_of_rfc_9457_and_reads_back_as_itself() {
        let body = Body::body_too_large(262_144)
            .with_request_id("req_1")
            .with_errors([FieldError {
                pointer: "/url".into(),
                code: "SH0104".into(),
                detail: "unknown key `ulr`".into(),
                hint: Some("did you mean `url`?".into()),
            }]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
        {
          "type": "urn:switchhook:problem:body-too-large",
          "title": "the body is too large",
          "status": 413,
          "detail": "the body is larger than the 262144 bytes allowed",
          "code": "body-too-large",
          "requestId": "req_1",
          "errors": [
            {
              "pointer": "/url",
              "code": "SH0104",
              "detail": "unknown key `ulr`",
              "hint": "did you mean `url`?"
            }
          ]
        }
        "#);
        assert_eq!(
            serde_json::from_slice::<Body>(&body.to_json()).unwrap(),
            body
        );
        assert_eq!(body.known_kind(), Some(Kind::BodyTooLarge));
    }

    #[test]
    fn a_sender_is_not_told_which_secret_is_missing() {
        let error = VerifyError::Secret(switchhook_core::secret::SecretError {
            name: "inner-name".into(),
            reason: "cannot be read: /run/secrets/web".into(),
        });
        let text = String::from_utf8(Body::from(&error).to_json()).unwrap();
        assert!(
            !text.contains("inner-name") && !text.contains("/run"),
            "{text}"
        );
    }
}
