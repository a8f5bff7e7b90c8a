//! `--set a.b.c=value`: changes one place of an event.
//!
//! A path is names and array positions with dots between them. It must lead to something that is
//! there: a path that leads nowhere is nearly always a slip, so it is an error that names the nearest
//! paths. The value is taken as JSON where it reads as JSON, else as text.

use serde_json::Value;

/// Paths of an event looked at for a suggestion: far more than an event has fields people set.
const PATHS_MAX: usize = 1000;

/// Paths named in an error.
const NEAREST_MAX: usize = 3;

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event has no `{path}`; nearest are {}", nearest.join(", "))]
pub struct PathError {
    /// What was given.
    pub path: String,
    /// The paths that look most like it, at most three.
    pub nearest: Vec<String>,
}

/// Sets the place at `path` to `value`.
///
/// # Errors
/// When `path` leads nowhere in `event`.
pub fn set(event: &mut Value, path: &str, value: &str) -> Result<(), PathError> {
    if find(event, path).is_none() {
        return Err(PathError {
            path: path.to_owned(),
            nearest: nearest(event, path),
        });
    }
    if let Some(place) = find(event, path) {
        *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    }
    Ok(())
}

fn find<'v>(event: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(event, |value, name| match value {
        Value::Object(fields) => fields.get_mut(name),
        Value::Array(items) => name.parse().ok().and_then(|at: usize| items.get_mut(at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn nearest(event: &Value, path: &str) -> Vec<String> {
    let mut paths = Vec::new();
    collect(event, "", &mut paths);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_lowercase();
    // The last name counts as well as the whole: people know the field, not always where it stands.
    let likeness = |known: &str| {
        let whole = strsim::jaro_winkler(&known.to_lowercase(), &path.to_lowercase());
        whole.max(strsim::jaro_winkler(&last(known), &last(path)))
    };
    let mut rated: Vec<_> = paths
        .into_iter()
        .map(|known| (likeness(&known), known))
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    rated
        .into_iter()
        .take(NEAREST_MAX)
        .map(|(_, known)| known)
        .collect()
}

fn collect(value: &Value, prefix: &str, paths: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (name, child) in children {
        if paths.len() >= PATHS_MAX {
            return;
        }
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        paths.push(path.clone());
        collect(child, &path, paths);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchhook_core::time::UnixMs;

    use super::*;
    use crate::sender::fixture;

    #[test]
    fn a_value_is_json_where_it_reads_as_json_and_text_elsewhere() {
        let cases = [
            ("12", json!(12)),
            ("true", json!(true)),
            (r#"{"a":1}"#, json!({"a": 1})),
            ("plain text", json!("plain text")),
            ("", json!("")),
        ];
        for (text, expected) in cases {
            let mut event = json!({"a": {"b": [0, "old"]}, "c": 1});
            set(&mut event, "a.b.1", text).unwrap();
            assert_eq!(event, json!({"a": {"b": [0, expected]}, "c": 1}));
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_changes_nothing_and_names_the_nearest() {
        let before = fixture("eventbridge", None, "id-1", UnixMs(0));
        let cases = [
            (
                "detail.eventBody.conversationID",
                "detail.eventBody.conversationId",
            ),
            ("conversationId", "detail.eventBody.conversationId"),
            ("detail.topicname", "detail.topicName"),
            ("resources.0", "resources"),
        ];
        for (path, expected) in cases {
            let mut event = before.clone();
            let error = set(&mut event, path, "x").unwrap_err();
            assert_eq!(event, before, "{path}");
            assert!(
                error.nearest.iter().any(|known| known == expected),
                "{error}"
            );
            assert!(error.nearest.len() <= NEAREST_MAX);
        }
    }
}
