//! Why a call failed, in a form that can be shown: every fault of a refused body, and never a secret.
//!
//! A refusal is read leniently, since not every server has the same body: that of Genesys Cloud (`message`, `code`,
//! `errors`), that of RFC 6749 (`error`, `error_description`), problems (`detail`), or any text. What is taken from it is
//! cut, freed of control characters, and blotted: a server may repeat what it was sent.
//! Bounds: [`TEXT_CHARS_MAX`] for a text, [`FAULTS_MAX`] faults.

use std::fmt;

use serde_json::Value;
use switchhook_core::secret::Secret;
use switchhook_core::time::{UnixMs, rfc3339};
use switchhook_wire::duration;
use url::Url;

use crate::limits::{Class, class, is_certain};

/// Longest text of a server that is shown, in characters.
const TEXT_CHARS_MAX: usize = 1_024;
/// Most faults of one refusal that are shown: more nobody reads.
const FAULTS_MAX: usize = 100;
/// Shorter secrets are not blotted: they would blot words.
const BLOT_BYTES_MIN: usize = 4;

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The API said no.
    Refused(Box<Refusal>),
    /// No answer: not connected, cut, too slow, or too large.
    Broken {
        /// Where.
        host: String,
        /// Why.
        what: String,
        /// Whether it may have been received and acted on.
        may_have_acted: bool,
    },
    /// Not asked, since it failed again and again.
    Stopped {
        /// Where.
        host: String,
        /// The last failure.
        why: String,
        /// Until then.
        until: UnixMs,
    },
    /// A success that cannot be understood.
    Foreign {
        /// Where: method and path.
        asked: String,
        /// What was expected.
        what: String,
    },
    /// Several things are called so.
    Ambiguous {
        /// What was looked for.
        name: String,
        /// Their ids.
        ids: Vec<String>,
    },
    /// Nothing is called so.
    Absent {
        /// What was looked for.
        name: String,
    },
    /// What must outlive the process could not be written.
    Journal(String),
}

/// An answer that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked: method and path.
    pub asked: String,
    /// Its status.
    pub status: u16,
    /// Its code, for example `general.conflict`; empty where it has none.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Every fault of the body that was sent.
    pub faults: Vec<Fault>,
    /// Under this the other side's log has more.
    pub correlation_id: Option<String>,
    /// What it asked to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// One fault of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// The field; empty for the whole body.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    /// What `body` says; `blot` are the secrets that must not be in it.
    #[must_use]
    pub fn read(asked: &str, status: u16, body: &[u8], blot: &[Secret]) -> Self {
        let shown = |text: &str| shown(text, blot);
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let text = |names: &[&str]| {
            let json = json.as_ref()?;
            names
                .iter()
                .find_map(|name| json.get(name)?.as_str())
                .filter(|text| !text.is_empty())
                .map(shown)
        };
        let errors = json
            .as_ref()
            .and_then(|json| json.get("errors")?.as_array());
        let faults = errors.into_iter().flatten().take(FAULTS_MAX);
        let plain = || match json {
            Some(_) => format!("status {status} without a reason"),
            None => shown(&String::from_utf8_lossy(body)),
        };
        Self {
            asked: asked.to_owned(),
            status,
            code: text(&["code", "error"]).unwrap_or_default(),
            message: text(&["message", "error_description", "detail", "error", "title"])
                .unwrap_or_else(plain),
            faults: faults.map(|entry| fault(entry, &shown)).collect(),
            correlation_id: None,
            retry_after_ms: None,
        }
    }
}

fn fault(entry: &Value, shown: &impl Fn(&str) -> String) -> Fault {
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| entry.get(name)?.as_str());
        found.map(shown)
    };
    let whole = || {
        entry
            .as_str()
            .map_or_else(|| shown(&entry.to_string()), shown)
    };
    Fault {
        field: text(&["field", "fieldName", "pointer"]).unwrap_or_default(),
        message: text(&["message", "detail"]).unwrap_or_else(whole),
        hint: text(&["hint"]),
    }
}

/// Host and port of `url`, where it has one of its own.
#[must_use]
pub fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `text` without control characters, cut, and without any of `secrets`.
#[must_use]
pub fn shown(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    let known = secrets
        .iter()
        .filter_map(|secret| std::str::from_utf8(secret.expose()).ok());
    for secret in known.filter(|secret| secret.len() >= BLOT_BYTES_MIN) {
        text = text.replace(secret, "***");
    }
    let plain = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    plain.take(TEXT_CHARS_MAX).collect()
}

impl Error {
    /// The status of a refusal.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Broken { .. }
            | Self::Stopped { .. }
            | Self::Foreign { .. }
            | Self::Ambiguous { .. }
            | Self::Absent { .. }
            | Self::Journal(_) => None,
        }
    }

    /// What it means for whoever asked. A journal that cannot be written is of none of these.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        match self {
            Self::Refused(refusal) => Some(class(refusal.status)),
            Self::Broken { .. } | Self::Stopped { .. } => Some(Class::Unavailable),
            Self::Foreign { .. } => Some(Class::Foreign),
            Self::Ambiguous { .. } => Some(Class::Conflict),
            Self::Absent { .. } => Some(Class::NotFound),
            Self::Journal(_) => None,
        }
    }

    /// Whether it is certain that the request changed nothing.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        match self {
            Self::Refused(refusal) => is_certain(refusal.status),
            Self::Broken { may_have_acted, .. } => !*may_have_acted,
            Self::Stopped { .. }
            | Self::Ambiguous { .. }
            | Self::Absent { .. }
            | Self::Journal(_) => true,
            Self::Foreign { .. } => false,
        }
    }

    /// The other side's id for it.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.correlation_id.as_deref(),
            Self::Broken { .. }
            | Self::Stopped { .. }
            | Self::Foreign { .. }
            | Self::Ambiguous { .. }
            | Self::Absent { .. }
            | Self::Journal(_) => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} was answered with {}: {}",
            self.asked, self.status, self.message
        )?;
        if let Some(ms) = self
            .retry_after_ms
            .filter(|_| matches!(self.status, 429 | 503))
        {
            write!(f, "; it asks to wait {}", duration::format(ms))?;
        }
        for fault in &self.faults {
            let at = if fault.field.is_empty() {
                "body"
            } else {
                &fault.field
            };
            write!(f, "\n  {at}: {}", fault.message)?;
            if let Some(hint) = &fault.hint {
                write!(f, "; {hint}")?;
            }
        }
        match &self.correlation_id {
            Some(id) => write!(f, "\n  correlation id {id}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Broken { host, what, .. } => write!(f, "{host} gave no answer: {what}"),
            Self::Stopped { host, why, until } => write!(
                f,
                "{host} is not asked until {} since it failed several times in a row; last: {why}",
                rfc3339(*until)
            ),
            Self::Foreign { asked, what } => {
                write!(
                    f,
                    "{asked} was answered with something that is not of this API: {what}"
                )
            }
            Self::Ambiguous { name, ids } => {
                write!(
                    f,
                    "{} webhooks are called `{name}`: {}",
                    ids.len(),
                    ids.join(", ")
                )
            }
            Self::Absent { name } => write!(
                f,
                "there is no webhook with the name or id `{}`",
                shown(name, &[])
            ),
            Self::Journal(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Refusal {
        let blot = [Secret::new(b"s3cret-of-client".to_vec())];
        Refusal::read("POST /api/v2/webhooks", status, body.as_bytes(), &blot)
    }

    #[test]
    fn a_422_is_shown_with_every_fault() {
        let body = r#"{"message":"2 faults","code":"invalid.entity","status":422,"errors":[
            {"message":"`call:creatd` is no event type","code":"invalid.value","field":"eventTypes[0]","hint":"did you mean `call:created`?"},
            "a bare one", {"detail": "odd", "fieldName": "name"}]}"#;
        let refusal = read(422, body);
        assert_eq!(refusal.code, "invalid.entity");
        assert_eq!(
            refusal.to_string(),
            "POST /api/v2/webhooks was answered with 422: 2 faults\n  \
             eventTypes[0]: `call:creatd` is no event type; did you mean `call:created`?\n  \
             body: a bare one\n  name: odd"
        );
    }

    #[test]
    fn every_kind_of_body_gives_its_reason() {
        for (body, message) in [
            (
                r#"{"error":"invalid_client","error_description":"no such client"}"#,
                "no such client",
            ),
            (r#"{"error":"invalid_client"}"#, "invalid_client"),
            (r#"{"detail":"a problem"}"#, "a problem"),
            ("{}", "status 400 without a reason"),
            ("<html>Bad\r\nGateway</html>", "<html>Bad  Gateway</html>"),
        ] {
            assert_eq!(read(400, body).message, message);
        }
    }

    #[test]
    fn what_a_server_repeats_of_a_secret_is_not_shown_nor_what_would_steer_a_terminal() {
        let refusal = read(
            400,
            "{\"message\":\"got s3cret-of-client\",\"errors\":[\"s3cret-of-client\\u001b[2J\"]}",
        );
        let text = format!("{refusal} {refusal:?}");
        assert!(
            !text.contains("s3cret-of-client") && !text.contains('\x1b'),
            "{text}"
        );
        assert!(text.contains("got ***"), "{text}");
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(5_000));
        assert_eq!(read(400, &long).message.len(), TEXT_CHARS_MAX);
    }
}
