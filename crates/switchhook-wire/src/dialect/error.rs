//! The body of a refusal under `/api/v2`: that of Genesys Cloud (`ErrorBody` of its SDKs).
//!
//! `contextId` is the same as in the header `ININ-Correlation-Id`. `errors` has one entry for every fault of a body,
//! with its field; `details` names the fields once more, since that is where the SDKs look for them.

use serde::{Deserialize, Serialize};

use crate::problem::{self, Kind};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// What is wrong, and what to do.
    pub message: String,
    /// For example `too.many.requests.retry.after`.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// Under this the gateway's log has more.
    #[serde(default)]
    pub context_id: String,
    /// The fields that are wrong.
    #[serde(default)]
    pub details: Vec<Detail>,
    /// Every fault.
    #[serde(default)]
    pub errors: Vec<Entry>,
}

/// A field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// As in [`Entry::code`].
    #[serde(default)]
    pub error_code: String,
    /// As in [`Entry::field`].
    #[serde(default)]
    pub field_name: String,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What is wrong.
    pub message: String,
    /// For example `invalid.value`.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// The field, for example `retryPolicy.retryInterval`; empty for the whole body.
    #[serde(default)]
    pub field: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Code and status of a client that passes its rate.
pub const TOO_MANY_REQUESTS: &str = "too.many.requests.retry.after";

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The body is no JSON object.
    Syntax,
    /// A field that must be there is not.
    Missing,
    /// There is no such field.
    Unknown,
    /// The value has another type, or is none of those allowed.
    Value,
    /// The value is beyond a limit.
    Range,
}

impl Code {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "bad.request",
            Self::Missing => "missing.field",
            Self::Unknown => "unknown.field",
            Self::Value => "invalid.value",
            Self::Range => "out.of.range",
        }
    }
}

/// A fault of a body. It repeats no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, for example `eventTypes[2]`; empty for the whole body.
    pub field: String,
    /// What kind of fault.
    pub code: Code,
    /// In words, with the value and the limit.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// The status of an answer that refuses a body because of `faults`: 400 where it cannot be read at all, or where a
    /// limit of dialect C is passed.
    #[must_use]
    pub fn status(faults: &[Self]) -> u16 {
        let is_limit = |fault: &Self| {
            fault.code == Code::Range
                && ["maxAttempts", "retryDuration"]
                    .iter()
                    .any(|name| fault.field.ends_with(name))
        };
        if faults.iter().any(|f| f.code == Code::Syntax || is_limit(f)) {
            400
        } else {
            422
        }
    }
}

/// Code and kind of problems, as Genesys Cloud calls them.
const fn code(kind: Kind) -> Option<&'static str> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the status says enough where Genesys Cloud has no word"
    )]
    match kind {
        Kind::Unauthorized => Some("bad.credentials"),
        Kind::Forbidden => Some("missing.permissions"),
        Kind::TooManyRequests => Some(TOO_MANY_REQUESTS),
        Kind::IdempotencyMismatch => Some("idempotency.key.reused"),
        Kind::IdempotencyBusy => Some("idempotency.key.busy"),
        Kind::VersionConflict => Some("general.conflict.version"),
        Kind::InUse => Some("resource.in.use"),
        Kind::OwnedByFile => Some("resource.owned.by.file"),
        _ => None,
    }
}

/// The code that goes with a status.
#[must_use]
pub const fn code_of_status(status: u16) -> &'static str {
    match status {
        400 => "bad.request",
        401 => "bad.credentials",
        403 => "missing.permissions",
        404 => "not.found",
        405 => "method.not.allowed",
        408 => "request.timeout",
        409 => "general.conflict",
        412 => "precondition.failed",
        413 => "request.entity.too.large",
        415 => "unsupported.media.type",
        421 => "misdirected.request",
        422 => "invalid.entity",
        428 => "precondition.required",
        429 => TOO_MANY_REQUESTS,
        503 => "service.unavailable",
        504 => "gateway.timeout",
        _ if status < 500 => "bad.request",
        _ => "internal.server.error",
    }
}

impl Body {
    /// A refusal with this status.
    #[must_use]
    pub fn new(status: u16, message: impl Into<String>, context_id: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: code_of_status(status).to_owned(),
            status,
            context_id: context_id.into(),
            ..Self::default()
        }
    }

    /// The refusal that a problem is, in the words of Genesys Cloud.
    #[must_use]
    pub fn of_problem(problem: &problem::Body, context_id: &str) -> Self {
        let message = match &problem.hint {
            Some(hint) => format!("{}: {hint}", problem.detail),
            None => problem.detail.clone(),
        };
        let code = problem.known_kind().and_then(code);
        let errors = problem.errors.iter().map(|fault| Entry {
            message: fault.detail.clone(),
            code: fault.code.clone(),
            status: problem.status,
            field: field_of_pointer(&fault.pointer),
            hint: fault.hint.clone(),
        });
        let mut body = Self::new(problem.status, message, context_id).with_errors(errors);
        if let Some(code) = code {
            code.clone_into(&mut body.code);
        }
        body
    }

    fn with_errors(mut self, errors: impl IntoIterator<Item = Entry>) -> Self {
        for entry in errors {
            if !entry.field.is_empty() {
                self.details.push(Detail {
                    error_code: entry.code.clone(),
                    field_name: entry.field.clone(),
                });
            }
            self.errors.push(entry);
        }
        self
    }
}

/// Most faults that are told of one body.
pub const FAULTS_MAX: usize = 50;

/// The problem that faults of a body are: pointers are the fields as they are, since the body of a dialect is written
/// with them.
#[must_use]
pub fn problem_of(faults: &[Fault]) -> problem::Body {
    let kind = match (
        Fault::status(faults),
        faults.iter().any(|f| f.code == Code::Syntax),
    ) {
        (400, true) => Kind::NotJson,
        (400, false) => Kind::InvalidRequest,
        _ => Kind::InvalidResource,
    };
    let errors = faults.iter().take(FAULTS_MAX).map(|f| problem::FieldError {
        pointer: f.field.clone(),
        code: f.code.name().to_owned(),
        detail: f.detail.clone(),
        hint: f.hint.clone(),
    });
    let detail = match faults {
        [only] if only.field.is_empty() => only.detail.clone(),
        [only] => format!("{}: {}", only.field, only.detail),
        several => {
            let told: Vec<String> = several
                .iter()
                .take(3)
                .map(|f| format!("{}: {}", f.field, f.detail))
                .collect();
            format!("{} things are wrong: {}", several.len(), told.join("; "))
        }
    };
    problem::Body::new(kind, detail).with_errors(errors)
}

/// `/pageSize` as `pageSize`, `/a/b` as `a.b`; a field as it is.
fn field_of_pointer(pointer: &str) -> String {
    match pointer.strip_prefix('/') {
        Some(rest) => rest.replace('/', ".").replace("~1", "/").replace("~0", "~"),
        None => pointer.to_owned(),
    }
}
