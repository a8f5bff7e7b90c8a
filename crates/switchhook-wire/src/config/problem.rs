//! A problem of a configuration: what, where, and what to do; as text with the line, or as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::codes::{Code, Severity};
use crate::problem::FieldError;

/// Something wrong in a configuration file or in a resource made through the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// For example `SH0104`; an entry of [`super::codes`].
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, the value and the limit.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it is.
    #[serde(rename = "where")]
    pub place: Place,
    /// The line, when there is one to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
}

/// Where a problem is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The file; absent for a resource made through the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(rename = "col", skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// As in the file, for example `policy.standard.rule[0].on`.
    pub path: String,
    /// JSON pointer into the file, or into the body of the resource made through the API.
    pub pointer: String,
}

/// A line of the file and the part of it that is meant. What looks like a secret is masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snippet {
    /// The line.
    pub text: String,
    /// Characters before the part that is meant.
    pub start: usize,
    /// Characters of that part, at least 1.
    pub width: usize,
}

impl Problem {
    pub(super) fn new(code: &Code, spot: Spot, message: String, hint: Option<String>) -> Self {
        Self {
            code: code.id,
            severity: code.severity,
            message,
            hint,
            place: spot.place,
            snippet: spot.snippet,
        }
    }

    /// Whether it keeps the configuration from being put in force.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A place with its line, ready for a problem that may be found later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) snippet: Option<Snippet>,
}

impl From<&Problem> for FieldError {
    fn from(problem: &Problem) -> Self {
        Self {
            pointer: problem.place.pointer.clone(),
            code: problem.code.to_owned(),
            detail: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

/// One problem as text: message, place, and the line with the part that is meant underlined.
#[must_use]
pub fn render(problem: &Problem) -> String {
    let mut text = format!(
        "{} {}  {}\n",
        problem.severity.name(),
        problem.code,
        problem.message
    );
    let place = &problem.place;
    let whole = match (&place.file, place.line, place.column) {
        (Some(file), Some(line), Some(column)) => {
            format!("{file}:{line}:{column}   {}", place.path)
        }
        (Some(file), _, _) => format!("{file}   {}", place.path),
        (None, _, _) if place.pointer.is_empty() => place.path.clone(),
        (None, _, _) => format!("{}   {}", place.path, place.pointer),
    };
    line(&mut text, &format!("  {}", whole.trim_end()));
    let hint = problem.hint.as_deref().unwrap_or_default();
    match (&problem.snippet, place.line) {
        (Some(snippet), Some(number)) => {
            line(&mut text, &format!("{number:>5} | {}", snippet.text));
            let (pad, carets) = (" ".repeat(snippet.start), "^".repeat(snippet.width));
            line(&mut text, &format!("      | {pad}{carets}  {hint}"));
        }
        _ if hint.is_empty() => {}
        _ => line(&mut text, &format!("      | {hint}")),
    }
    text
}

/// All problems as text, and how many there are. Errors come last, where a terminal shows them.
#[must_use]
pub fn render_all(problems: &[Problem]) -> String {
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.iter().partition(|p| p.is_error());
    let mut text = String::new();
    for problem in warnings.iter().chain(&errors) {
        text.push_str(&render(problem));
    }
    if let Some(last) = errors.last().or(warnings.last()) {
        let (errors, warnings) = (
            count(errors.len(), "error"),
            count(warnings.len(), "warning"),
        );
        let nothing = if errors.starts_with("0 ") {
            ""
        } else {
            "; nothing was changed"
        };
        line(
            &mut text,
            &format!(
                "{errors}, {warnings}{nothing}. Explain one: switchhook check --explain {}",
                last.code
            ),
        );
    }
    text
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Adds a line without trailing blanks.
fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", line.trim_end());
}
