//! Secrets: what is known of them, and how a value comes in. No answer holds one.

use std::fmt;

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::secret::Secret;
use switchhook_core::secret::versions::{OVERLAP_DEFAULT_MS, OVERLAP_MAX_MS, check};

use super::{Owner, fault};
use crate::duration;
use crate::problem::FieldError;

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretView {
    /// `secret`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// 1 at first, one more with each value; 0 for one of the file.
    pub version: u64,
    /// Its strong tag, as in the `ETag` header: what `If-Match` must name.
    pub etag: String,
    /// Who may change it.
    pub owner: Owner,
    /// Where the value of one of the file is read from, at each use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<SecretPlace>,
    /// Since when the current value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// For how long it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Until when the value before counts as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_until: Option<String>,
    /// The resources that mention it, for example `endpoint crm`.
    pub users: Vec<String>,
}

/// Where a value is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretPlace {
    /// This file.
    File(String),
    /// This environment variable.
    Env(String),
}

/// Secrets, by name.
pub type SecretList = super::Page<SecretView>;

/// A value for a secret, which counts at once and alone: exactly one of both members.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSet {
    /// As text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// As bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Another value for a secret, beside which the one before counts for a while: at most one of `value` and `base64`.
/// Without a value a random one is made, which nobody gets to see.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRotation {
    /// As text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// As bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// For how long both count, for example `24h`, which is what counts without it; at most `30d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
}

/// What a rotation asks for.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The new value; `None`: a random one.
    pub value: Option<Secret>,
    /// For how long the value before counts.
    pub overlap_ms: u64,
}

impl fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSet")
    }
}

impl fmt::Debug for SecretRotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overlap = &self.overlap;
        f.debug_struct("SecretRotation")
            .field("overlap", overlap)
            .finish_non_exhaustive()
    }
}

impl SecretSet {
    /// The value that is set.
    ///
    /// # Errors
    /// When there is none, or it cannot be one. No error repeats it.
    pub fn read(self) -> Result<Secret, Vec<FieldError>> {
        let value = value(self.value, self.base64)?;
        let hint = "write `{\"value\": \"…\"}`, or `base64` for bytes that are no text";
        value.ok_or_else(|| vec![fault("", "a value is needed".to_owned(), hint)])
    }
}

impl SecretRotation {
    /// What is asked for.
    ///
    /// # Errors
    /// When the value cannot be one, or the overlap is no span of time that is allowed; every fault.
    pub fn read(self) -> Result<Rotation, Vec<FieldError>> {
        let overlap = self
            .overlap
            .as_deref()
            .map_or(Ok(OVERLAP_DEFAULT_MS), |text| {
                let wrong = |detail| vec![fault("/overlap", detail, "write at most `30d`")];
                let overlap_ms = duration::parse(text).map_err(|error| wrong(error.to_string()))?;
                if overlap_ms > OVERLAP_MAX_MS {
                    return Err(wrong(format!("`{text}` is longer than 30 days")));
                }
                Ok(overlap_ms)
            });
        match (value(self.value, self.base64), overlap) {
            (Ok(value), Ok(overlap_ms)) => Ok(Rotation { value, overlap_ms }),
            (value, overlap) => {
                let faults = value.err().into_iter().chain(overlap.err());
                Err(faults.flatten().collect())
            }
        }
    }
}

/// The one of both that is there.
fn value(text: Option<String>, base64: Option<String>) -> Result<Option<Secret>, Vec<FieldError>> {
    let (pointer, bytes) = match (text, base64) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let detail = "`value` and `base64` are both set, one of them is allowed".to_owned();
            return Err(vec![fault("/base64", detail, "")]);
        }
        (Some(text), None) => ("/value", Some(text.into_bytes())),
        (None, Some(text)) => ("/base64", BASE64.decode(text.as_bytes()).ok()),
    };
    let Some(bytes) = bytes else {
        let detail = "`base64` is not base64 with its padding".to_owned();
        return Err(vec![fault(pointer, detail, "")]);
    };
    match check(&bytes) {
        Ok(()) => Ok(Some(Secret::new(bytes))),
        Err(error) => Err(vec![fault(pointer, error.to_string(), "")]),
    }
}

#[cfg(test)]
mod tests {
    use switchhook_core::secret::versions::VALUE_BYTES_MAX;

    use super::*;

    fn set(value: Option<&str>, base64: Option<&str>) -> SecretSet {
        SecretSet {
            value: value.map(str::to_owned),
            base64: base64.map(str::to_owned),
        }
    }

    #[test]
    fn a_value_is_text_or_bytes() {
        let read = |value, base64| set(value, base64).read().unwrap().expose().to_vec();
        assert_eq!(read(Some(" a\n"), None), b" a\n");
        assert_eq!(read(None, Some("AP8=")), [0, 255]);
    }

    #[test]
    fn what_is_no_value_is_refused_without_being_repeated() {
        let long = "hidden-".repeat(VALUE_BYTES_MAX / 7 + 1);
        for (set, pointer) in [
            (set(None, None), ""),
            (set(Some("hidden"), Some("aGk=")), "/base64"),
            (set(Some(""), None), "/value"),
            (set(Some(&long), None), "/value"),
            (set(None, Some("hidden!")), "/base64"),
        ] {
            assert_eq!(format!("{set:?}"), "SecretSet");
            let faults = set.read().unwrap_err();
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].pointer, pointer);
            assert!(!format!("{faults:?}").contains("hidden"), "{faults:?}");
        }
    }

    #[test]
    fn a_rotation_has_a_day_of_overlap_unless_it_says_another() {
        let overlap = |text: Option<&str>| {
            let rotation = SecretRotation {
                overlap: text.map(str::to_owned),
                ..SecretRotation::default()
            };
            rotation.read().map(|rotation| rotation.overlap_ms)
        };
        assert_eq!(overlap(None), Ok(86_400_000));
        assert_eq!(overlap(Some("0s")), Ok(0));
        assert_eq!(overlap(Some("30d")), Ok(OVERLAP_MAX_MS));
        for wrong in ["31d", "1", "soon"] {
            assert_eq!(overlap(Some(wrong)).unwrap_err()[0].pointer, "/overlap");
        }
    }

    #[test]
    fn every_fault_of_a_rotation_is_told_and_no_value() {
        let rotation = SecretRotation {
            value: Some("hidden".to_owned()),
            base64: Some("hidden".to_owned()),
            overlap: Some("soon".to_owned()),
        };
        assert!(!format!("{rotation:?}").contains("hidden"));
        let faults = rotation.read().unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| &*fault.pointer).collect();
        assert_eq!(pointers, ["/base64", "/overlap"]);
        assert!(!format!("{faults:?}").contains("hidden"));
    }
}
