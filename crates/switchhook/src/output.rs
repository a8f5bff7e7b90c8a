//! The only place that writes to stdout and stderr.
//!
//! Data goes to stdout and words go to stderr, so that a pipe gets data only. With `--json` each value is
//! the full object on one line; a table is a projection of it. Colour is used on a terminal only, never
//! when `NO_COLOR` is set or `TERM` is `dumb`, and never carries meaning alone.
//! A reader that goes away (`switchhook dlq export | head`) ends the process quietly.

use std::io::{self, BufRead, IsTerminal, Write};

use comfy_table::Table;
use serde::Serialize;
use switchhook_wire::duration;

use crate::exit::{Code, Failure, Outcome};

/// Longest line that is read from a person, in bytes.
const ANSWER_BYTES_MAX: u64 = 256;

/// Where a command's results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    colour: bool,
}

impl Output {
    /// An output as the flags and the terminal ask for.
    pub(crate) fn new(json: bool, quiet: bool, no_color: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = io::stderr().is_terminal() && !no_color && !set("NO_COLOR") && !dumb;
        Self {
            json,
            quiet,
            colour,
        }
    }

    /// Whether results are wanted as JSON.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether words are not wanted.
    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether stderr may be coloured.
    pub(crate) const fn is_coloured(self) -> bool {
        self.colour
    }

    /// Whether a person watches stderr on a terminal that can be drawn on.
    pub(crate) fn is_drawable(self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        io::stderr().is_terminal() && !dumb
    }

    /// Shows a result: `value` as JSON, or what `text` makes of it.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Outcome {
        if self.json {
            self.json(value)
        } else {
            self.line(&text(value))
        }
    }

    /// One value as one line of JSON on stdout.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> Outcome {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::unexpected("the result cannot be written as JSON", error))?;
        self.line(&text)
    }

    /// Data on stdout, ended by a newline. An empty text writes nothing.
    pub(crate) fn line(self, text: &str) -> Outcome {
        if text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim_end_matches('\n'))
            .and_then(|()| out.flush())
            .map_err(|error| {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    return Failure::silent(Code::Success);
                }
                Failure::unexpected("stdout cannot be written", error)
            })
    }

    /// Words on stderr, unless `--quiet`.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            self.must_say(text);
        }
    }

    /// Words on stderr that `--quiet` does not silence: readiness, a token that is shown once.
    pub(crate) fn must_say(self, text: &str) {
        // Nobody can be told that stderr is gone.
        writeln!(io::stderr().lock(), "{text}").ok();
    }

    /// Writes over the `lines` drawn last with `text`. Only on a terminal.
    pub(crate) fn redraw(self, lines: usize, text: &str) {
        let mut err = io::stderr().lock();
        if lines > 0 {
            write!(err, "\x1b[{lines}A\x1b[J").ok();
        }
        writeln!(err, "{text}").ok();
    }

    /// Says why a command failed.
    pub(crate) fn fail(self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let (error, hint, end) = if self.colour {
            ("\x1b[1;31merror:\x1b[0m", "\x1b[1;36mhint:\x1b[0m", "")
        } else {
            ("error:", "hint:", "")
        };
        let mut text = format!("{error} {}", failure.message);
        if let Some(words) = &failure.hint {
            text.push_str(&format!("\n\n{hint} {words}{end}"));
        }
        self.must_say(&text);
    }

    /// Whether a person can be asked; if not, an error that names the flag to give instead.
    pub(crate) fn can_ask(self) -> Outcome {
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            return Ok(());
        }
        Err(
            Failure::usage("this needs a confirmation, and there is no terminal to ask on")
                .hint("give --yes to go on without being asked"),
        )
    }

    /// Lets a person confirm `question`.
    ///
    /// With `count` over 100 the number must be typed, since the danger grows with it.
    pub(crate) fn confirm(self, question: &str, count: Option<u64>) -> Outcome {
        self.can_ask()?;
        let wanted = match count {
            Some(count) if count > 100 => count.to_string(),
            _ => "yes".to_owned(),
        };
        write!(io::stderr().lock(), "{question}? type {wanted}: ").ok();
        let mut answer = String::new();
        io::Read::take(io::stdin().lock(), ANSWER_BYTES_MAX)
            .read_line(&mut answer)
            .map_err(|error| Failure::unexpected("the answer cannot be read", error))?;
        if answer.trim() == wanted {
            Ok(())
        } else {
            Err(Failure::usage("not confirmed; nothing was changed"))
        }
    }
}

/// A table without borders, its columns two spaces apart.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A list as JSON, or as a table; an empty one as a word on stderr.
pub(crate) fn list<T: Serialize>(
    output: Output,
    entities: &[T],
    what: &str,
    text: impl FnOnce(&[T]) -> String,
) -> Outcome {
    if output.is_json() {
        return output.json(&entities);
    }
    if entities.is_empty() {
        output.say(&format!("no {what}"));
        return Ok(());
    }
    output.line(&text(entities))
}

/// A span of time for people: `625ms`, `5.6s`, `2m30s`, `5h12m`.
pub(crate) fn span(ms: u64) -> String {
    let rounded =
        |unit_ms: u64| duration::format(ms.saturating_add(unit_ms / 2) / unit_ms * unit_ms);
    match ms {
        0 => "0s".to_owned(),
        1..=999 => format!("{ms}ms"),
        1_000..=59_949 => {
            let text = format!("{:.1}", ms as f64 / 1_000.0);
            format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
        }
        59_950..=3_599_499 => rounded(1_000),
        _ => rounded(60_000),
    }
}

/// A number with its word: `1 event`, `2 events`.
pub(crate) fn counted(n: u64, word: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {word}{plural}")
}

/// `text` cut to `width` characters; what is cut shows as `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    // Text of senders and endpoints: a terminal must not obey it.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(plain).collect();
    }
    let kept = text.chars().take(width.saturating_sub(1)).map(plain);
    kept.chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_borders_and_no_spaces_at_the_end_of_a_line() {
        let rows = [
            ["crm".to_owned(), "1".to_owned()],
            ["wfm-long".to_owned(), String::new()],
        ];
        insta::assert_snapshot!(table(["NAME", "DEAD"], rows), @r"
        NAME      DEAD
        crm       1
        wfm-long
        ");
    }

    #[test]
    fn a_span_is_short_and_never_shows_a_unit_that_it_fills() {
        for (ms, text) in [
            (0, "0s"),
            (625, "625ms"),
            (5_000, "5s"),
            (5_625, "5.6s"),
            (59_949, "59.9s"),
            (59_950, "1m"),
            (150_400, "2m30s"),
            (3_599_499, "59m59s"),
            (3_599_500, "1h"),
            (18_734_000, "5h12m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn text_of_others_is_cut_and_cannot_steer_the_terminal() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("a\x1b[2Jb\n", 10), "a [2Jb ");
    }
}
