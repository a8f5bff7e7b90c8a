//! Positions: the text that a configuration was written in, and the way from its top to a value.
//!
//! A position is shown as line, column and the line itself, with what looks like a secret starred out.

use std::ops::Range;

use super::node::Span;
use super::problem::{Place, Snippet, Spot};
use super::read::shown;

/// Longest line that a snippet shows, in characters.
const SNIPPET_CHARS_MAX: usize = 160;

/// The text that positions refer to.
#[derive(Debug, Clone, Default)]
pub(super) struct Document {
    /// Its file, unless it came through the API.
    pub(super) file: Option<String>,
    text: String,
    /// Byte at which each line starts.
    starts: Vec<usize>,
    hidden: Vec<Range<usize>>,
}

impl Document {
    /// A file with the places in it that must not be shown.
    pub(super) fn file(name: &str, text: &str, mut hidden: Vec<Range<usize>>) -> Self {
        hidden.sort_by_key(|range| range.start);
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: Some(name.to_owned()),
            text: text.to_owned(),
            starts,
            hidden,
        }
    }

    /// Place and line of `span`.
    pub(super) fn spot(&self, span: &Span, path: &Path) -> Spot {
        let mut spot = Spot {
            place: Place {
                file: self.file.clone(),
                path: path.dotted(),
                pointer: path.pointer(),
                ..Place::default()
            },
            snippet: None,
        };
        let Some(span) = span else { return spot };
        let number = self.line_number(span);
        let start = number
            .checked_sub(1)
            .and_then(|i| self.starts.get(i))
            .copied()
            .unwrap_or_default();
        let line = self
            .text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let before = line
            .get(..span.start.saturating_sub(start))
            .unwrap_or_default();
        spot.place.line = Some(number);
        spot.place.column = Some(before.chars().count() + 1);
        spot.snippet = Some(self.snippet(line, start, span));
        spot
    }

    /// File and line of `span`, for example `switchhook.toml:42`.
    pub(super) fn line(&self, span: &Span) -> Option<String> {
        let number = self.line_number(span.as_ref()?);
        self.file.as_ref().map(|file| format!("{file}:{number}"))
    }

    fn line_number(&self, span: &Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= span.start)
    }

    /// The place of a character within the string that stands at `span`: line and column of its text, from 1. The
    /// string itself where that cannot be said.
    pub(super) fn within(&self, span: &Span, line: usize, column: usize) -> Span {
        let whole = span.as_ref()?;
        let found = self.text.get(whole.clone()).and_then(|written| {
            let long = ["\"\"\"", "'''"]
                .iter()
                .any(|quotes| written.starts_with(quotes));
            let opened = written.get(if long { 3 } else { 1 }..)?;
            // A line break right after the opening quotes is not part of the text.
            let inner = match opened.strip_prefix("\r\n").or(opened.strip_prefix('\n')) {
                Some(inner) if long => inner,
                Some(_) | None => opened,
            };
            let lines = inner.split_inclusive('\n').take(line.saturating_sub(1));
            let before: usize = lines.map(str::len).sum();
            let rest = inner.get(before..)?;
            let text = rest.lines().next().unwrap_or_default();
            // An escape is longer in the file than in the text: the line is right, the column is not known.
            let column = if text.contains('\\') { 1 } else { column };
            let (at, c) = text.char_indices().nth(column.saturating_sub(1))?;
            let start = whole.end - rest.len() + at;
            Some(start..start + c.len_utf8())
        });
        found.or_else(|| span.clone())
    }

    /// The line that starts at byte `start`, the characters of `span` counted, hidden ones starred out.
    fn snippet(&self, line: &str, start: usize, span: &Range<usize>) -> Snippet {
        let first = self.hidden.partition_point(|range| range.end <= start);
        let hidden = self.hidden.get(first..).unwrap_or_default();
        let hidden = hidden
            .iter()
            .take_while(|range| range.start < start + line.len());
        let mut snippet = Snippet {
            text: String::new(),
            start: 0,
            width: 0,
        };
        for (offset, c) in line.char_indices().take(SNIPPET_CHARS_MAX) {
            let at = start + offset;
            let is_hidden = hidden.clone().any(|range| range.contains(&at));
            snippet.text.push(match c {
                '"' | '\'' => c,
                _ if is_hidden => '*',
                _ if c.is_control() => ' ',
                _ => c,
            });
            snippet.start += usize::from(at < span.start);
            snippet.width += usize::from(span.contains(&at));
        }
        snippet.width = snippet.width.max(1);
        snippet
    }
}

/// The way from the top of a configuration to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// Steps that are not part of the JSON pointer, since they name the resource and not a place in its body.
    outside: usize,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// The path of a resource made through the API; pointers start in its body.
    pub(super) fn resource(kind: &str, name: &str) -> Self {
        Self {
            steps: vec![Step::Key(kind.to_owned()), Step::Key(name.to_owned())],
            outside: 2,
        }
    }

    pub(super) fn with(&self, step: Step) -> Self {
        let mut path = self.clone();
        path.steps.push(step);
        path
    }

    fn dotted(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(&shown(key));
                }
            }
        }
        text
    }

    fn pointer(&self) -> String {
        let steps = self.steps.iter().skip(self.outside);
        steps.fold(String::new(), |text, step| match step {
            Step::Key(key) => format!("{text}/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("{text}/{index}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands at `line` and `column` of the string that `written` is.
    fn at(written: &str, line: usize, column: usize) -> String {
        let text = format!("key = {written}\n");
        let document = Document::file("f", &text, Vec::new());
        let span = document.within(&Some(6..6 + written.len()), line, column);
        text.get(span.unwrap()).unwrap().to_owned()
    }

    #[test]
    fn a_place_in_a_string_is_found_in_the_file_however_the_string_is_quoted() {
        for (written, line, column, found) in [
            ("\"abc\"", 1, 2, "b"),
            ("'aéc'", 1, 2, "é"),
            ("\"\"\"abc\"\"\"", 1, 3, "c"),
            ("\"\"\"\nab\ncd\n\"\"\"", 2, 1, "c"),
            ("'''\r\nab\r\ncd'''", 2, 2, "d"),
            ("\"abc\"", 1, 4, "\""),
        ] {
            assert_eq!(at(written, line, column), found, "{written}");
        }
    }

    #[test]
    fn where_the_place_cannot_be_said_it_is_the_line_or_the_whole_string() {
        assert_eq!(at(r#""a\tbc""#, 1, 4), "a");
        assert_eq!(at("\"abc\"", 7, 1), "\"abc\"");
        assert_eq!(at("\"\"", 1, 9), "\"\"");
        let document = Document::default();
        assert_eq!(document.within(&None, 1, 1), None);
        assert_eq!(document.within(&Some(3..9), 1, 1), Some(3..9));
    }
}
