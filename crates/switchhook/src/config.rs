//! What comes from outside the command line: environment variables, the token, and texts from files.
//!
//! No other place reads the environment or a file that a person wrote. Values of secrets are read by the
//! gateway itself at the moment of use; here it is the API token only, from `SWITCHHOOK_TOKEN` or from the
//! file that `--token-file` names, never from the command line, which every process can see.
//! Bounds: [`TEXT_BYTES_MAX`] for a file or standard input, [`TOKEN_BYTES_MAX`] for a token file.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use switchhook_core::time::UnixMs;
use switchhook_server::reload::ConfigFile;
use switchhook_wire::api::time;
use switchhook_wire::config::{Config, Loaded, load_toml, render_all};
use switchhook_wire::duration;

use crate::exit::{Code, Failure};
use crate::output::Output;

/// The configuration file that is used when none is named and it exists.
pub(crate) const FILE_DEFAULT: &str = "switchhook.toml";

/// Largest text that is read: the gateway takes configuration files of 8 MiB.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Largest token file.
const TOKEN_BYTES_MAX: u64 = 4 * 1024;

/// An environment variable that is set and is text. An empty one counts as set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One of our own settings in the environment; an empty one counts as not set.
pub(crate) fn setting(name: &str) -> Option<String> {
    variable(name).filter(|value| !value.is_empty())
}

/// The API token, from `file` or from `SWITCHHOOK_TOKEN`.
pub(crate) fn token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    match file {
        Some(path) => {
            let text = read(path, TOKEN_BYTES_MAX)?;
            Ok(Some(text.trim().to_owned()))
        }
        None => Ok(setting("SWITCHHOOK_TOKEN").map(|token| token.trim().to_owned())),
    }
}

/// The text of a file that a person named; `-` is standard input.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return stdin();
    }
    read(path, TEXT_BYTES_MAX)
}

/// All of standard input.
pub(crate) fn stdin() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Err(
            Failure::usage("standard input is a terminal, not a document")
                .hint("give -f FILE, or pipe the document in"),
        );
    }
    take(io::stdin().lock(), TEXT_BYTES_MAX, "standard input")
}

/// What was piped in, if anything was.
pub(crate) fn piped() -> Result<Option<String>, Failure> {
    if io::stdin().is_terminal() {
        return Ok(None);
    }
    let text = stdin()?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

fn read(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let shown = path.display().to_string();
    let file = fs::File::open(path).map_err(|error| unreadable(&shown, &error))?;
    take(file, bytes_max, &shown)
}

fn take(source: impl Read, bytes_max: u64, shown: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    source
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(shown, &error))?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("{shown} is larger than {bytes_max} bytes");
        return Err(Failure::new(Code::Invalid, message));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(Code::Invalid, format!("{shown} is not UTF-8 text")))
}

fn unreadable(shown: &str, error: &io::Error) -> Failure {
    let kind = error.kind();
    let code = if kind == io::ErrorKind::NotFound {
        Code::NotFound
    } else if kind == io::ErrorKind::PermissionDenied {
        Code::Denied
    } else {
        Code::Unexpected
    };
    Failure::new(code, format!("{shown} cannot be read: {error}"))
}

/// The configuration file to use: the one named, or the default one if it is there.
pub(crate) fn file(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| Some(PathBuf::from(FILE_DEFAULT)).filter(|path| path.is_file()))
}

/// Writes a file that must not exist.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let written = opened.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| {
        let code = if error.kind() == io::ErrorKind::AlreadyExists {
            Code::Conflict
        } else {
            Code::Unexpected
        };
        Failure::new(
            code,
            format!("{} cannot be written: {error}", path.display()),
        )
    })
}

/// A configuration file that can be read again: the one that was named, or the default one whenever it is there.
#[derive(Debug, Clone)]
pub(crate) struct File {
    named: Option<PathBuf>,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl File {
    /// The file at `named`, or the default one.
    pub(crate) const fn new(named: Option<PathBuf>) -> Self {
        Self { named }
    }

    /// Whether it is no file at all.
    pub(crate) fn is_stdin(&self) -> bool {
        self.named
            .as_deref()
            .is_some_and(|path| path.as_os_str() == "-")
    }

    fn path(&self) -> Option<PathBuf> {
        file(self.named.clone())
    }

    /// What changes when it is written; `None` while it is not there.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(self.path()?).ok()?;
        Some(Stamp {
            inode: found.ino(),
            bytes: found.len(),
            modified: found.modified().ok(),
        })
    }

    /// Its text; empty where no file is named and the default one is not there.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        self.path()
            .map_or_else(|| Ok(String::new()), |path| text(&path))
    }

    /// The configuration that `text` is. Warnings are said; errors end the command.
    pub(crate) fn load(&self, text: &str, output: Output) -> Result<Config, Failure> {
        let loaded = self.check(text);
        if !loaded.problems.is_empty() {
            output.must_say(&render_all(&loaded.problems));
        }
        loaded.config.ok_or_else(|| {
            Failure::new(Code::Invalid, format!("{} cannot be used", self.name()))
                .hint("mend what is named above, then run `switchhook check`")
        })
    }
}

impl ConfigFile for File {
    fn name(&self) -> String {
        let path = self.path();
        path.map_or_else(
            || FILE_DEFAULT.to_owned(),
            |path| path.display().to_string(),
        )
    }

    fn read(&self) -> Result<String, String> {
        self.text().map_err(|failure| failure.message)
    }

    fn check(&self, text: &str) -> Loaded {
        let mut loaded = load_toml(text, &self.name(), &variable);
        if let Some(config) = &mut loaded.config {
            let path = self.path();
            let directory = path
                .as_deref()
                .and_then(Path::parent)
                .unwrap_or(Path::new(""));
            config.resolve_paths(directory);
        }
        loaded
    }
}

/// The configuration in `named`, in the default file, or with every default.
///
/// Paths in it are taken relative to the file. Warnings are said; errors end the command.
pub(crate) fn load(named: Option<PathBuf>, output: Output) -> Result<Config, Failure> {
    let file = File::new(named);
    file.load(&file.text()?, output)
}

/// A time as the API wants it, from a time or a span before now.
pub(crate) fn instant(text: Option<&str>) -> Result<Option<String>, Failure> {
    text.map(|text| instant_at(text, now())).transpose()
}

fn instant_at(text: &str, now: UnixMs) -> Result<String, Failure> {
    if let Ok(span_ms) = duration::parse(text) {
        return Ok(time::rfc3339(UnixMs(now.0.saturating_sub(span_ms))));
    }
    time::parse(text).map(time::rfc3339).map_err(|_| {
        Failure::usage(format!(
            "`{text}` is neither a time such as 2026-11-20T10:00:00Z nor a span such as 15m"
        ))
    })
}

/// The wall clock.
pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a span of time from the command line.
pub(crate) fn span(text: &str) -> Result<std::time::Duration, duration::Error> {
    duration::parse(text).map(std::time::Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_out_or_is_a_span_before_now() {
        let now = UnixMs(1_763_640_900_000);
        for (text, expected) in [
            ("15m", "2025-11-20T12:00:00.000Z"),
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000Z"),
            ("2026-11-20T11:00:00+01:00", "2026-11-20T10:00:00.000Z"),
        ] {
            assert_eq!(instant_at(text, now).unwrap(), expected);
        }
        for text in ["", "15", "yesterday", "2026-11-20"] {
            assert_eq!(
                instant_at(text, now).unwrap_err().code,
                Code::Usage,
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_that_is_too_large_or_no_text_is_refused() {
        assert_eq!(take(&b"abc"[..], 3, "x").unwrap(), "abc");
        assert_eq!(
            take(&b"abcd"[..], 3, "x").unwrap_err().message,
            "x is larger than 3 bytes"
        );
        assert_eq!(
            take(&b"\xff"[..], 3, "x").unwrap_err().message,
            "x is not UTF-8 text"
        );
    }
}
