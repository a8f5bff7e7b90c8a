//! How the process ends: one code per kind of failure, and the words that go with it.
//!
//! The codes are a contract with scripts (`facts` ux section 3) and never change their meaning. Every
//! command returns a [`Failure`] that carries its code, one sentence on what is wrong, and where there is
//! something to do, a hint. `main` prints it; nothing else decides how the process ends.

use std::fmt;
use std::process::ExitCode;

/// What the exit code of the process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// It worked, or there was nothing to do.
    Success = 0,
    /// A failure that nobody planned for, or a result that must not be.
    Unexpected = 1,
    /// The command line is wrong, or a question could not be asked.
    Usage = 2,
    /// A configuration, resource or payload is not valid.
    Invalid = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The state does not allow it: 409, 412, 428.
    Conflict = 5,
    /// No token, or one that may not do this: 401, 403.
    Denied = 6,
    /// Not reachable, overloaded or timed out. Safe to try again.
    Unavailable = 7,
    /// A bulk action worked for a part.
    Partial = 8,
    /// Something differs, for who asked to be told by the code: `--detailed-exitcode`.
    Differs = 10,
    /// The store failed (`EX_IOERR` of sysexits). A restart reads what is really on disk.
    Store = 74,
    /// Ctrl-C, after the drain.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) code: Code,
    /// What is wrong, lower case, no full stop. Empty when everything has been said already.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with its code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// `what` could not be done because of `error`.
    pub(crate) fn unexpected(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Code::Unexpected, format!("{what}: {error}"))
    }

    /// Ends the process with `code` and without further words.
    pub(crate) fn silent(code: Code) -> Self {
        Self::new(code, String::new())
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;
