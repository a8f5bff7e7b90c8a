//! Who may do what: the scopes of tokens and OAuth clients.
//!
//! There are five. `admin` includes all others, `write` and `replay` include `read`. The names that the seed documents use
//! (`webhook:read`, `integration:edit`, …) are accepted as names of these; what was asked for is what is shown and what
//! a refusal names.
//!
//! And how often: [`Minute`] counts requests in a fixed window.

use std::fmt;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Looking.
    Read,
    /// Changing resources, pausing, breakers.
    Write,
    /// Delivering again, discarding.
    Replay,
    /// Setting secrets, and seeing what is not masked.
    Secrets,
    /// Tokens, clients, configuration, backup.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Replay,
        Self::Secrets,
        Self::Admin,
    ];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Replay => "replay",
            Self::Secrets => "secrets",
            Self::Admin => "admin",
        }
    }

    /// The scope with this word, or the one that a name of the seed documents stands for.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "webhook:read"
            | "eventtype:read"
            | "notification:webhook:read"
            | "integrations:view"
            | "integration:view" => Some(Self::Read),
            "webhook:write" | "notification:webhook:write" | "integration:edit" => {
                Some(Self::Write)
            }
            _ => Self::ALL.into_iter().find(|scope| scope.name() == name),
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Itself and what it includes.
    const fn bits(self) -> u8 {
        match self {
            Self::Read | Self::Secrets => self.bit(),
            Self::Write | Self::Replay => self.bit() | Self::Read.bit(),
            Self::Admin => 0b1_1111,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self(Scope::Admin.bits());

    /// Whether `scope` is among them.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn within(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(
            scopes
                .into_iter()
                .fold(0, |bits, scope| bits | scope.bits()),
        )
    }
}

/// Requests in a window of a minute, which begins with the first request after the window before it. Times are those of a
/// clock that does not go back, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute {
    began_ms: u64,
    count: u32,
}

/// A window, in milliseconds: rates are told per minute, as Genesys Cloud does (`facts/genesys.md`).
const WINDOW_MS: u64 = 60_000;

impl Minute {
    /// Whether one more request is allowed now. It is counted then; one that is refused is not.
    pub fn take(&mut self, allowed: u32, now_ms: u64) -> bool {
        if self.count == 0 || now_ms.saturating_sub(self.began_ms) >= WINDOW_MS {
            *self = Self {
                began_ms: now_ms,
                count: 0,
            };
        }
        let is_allowed = self.count < allowed;
        self.count += u32::from(is_allowed);
        is_allowed
    }

    /// Requests in the window.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whole seconds until the next window, at least 1.
    #[must_use]
    pub const fn left_s(&self, now_ms: u64) -> u64 {
        let end_ms = self.began_ms.saturating_add(WINDOW_MS);
        let left_s = end_ms.saturating_sub(now_ms).div_ceil(1_000);
        if left_s == 0 { 1 } else { left_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_what_it_needs_and_no_more() {
        let allowed = |scope| {
            let scopes: Scopes = [scope].into_iter().collect();
            Scope::ALL.map(|other| scopes.allow(other))
        };
        assert_eq!(allowed(Scope::Read), [true, false, false, false, false]);
        assert_eq!(allowed(Scope::Write), [true, true, false, false, false]);
        assert_eq!(allowed(Scope::Replay), [true, false, true, false, false]);
        assert_eq!(allowed(Scope::Secrets), [false, false, false, true, false]);
        assert_eq!(allowed(Scope::Admin), [true; 5]);
        assert_eq!(Scopes::ALL, [Scope::Admin].into_iter().collect());
    }

    #[test]
    fn seed_names_stand_for_scopes_and_unknown_names_for_none() {
        assert_eq!(Scope::from_name("webhook:write"), Some(Scope::Write));
        assert_eq!(Scope::from_name("integrations:view"), Some(Scope::Read));
        assert_eq!(Scope::from_name("admin"), Some(Scope::Admin));
        assert_eq!(Scope::from_name("webhook:admin"), None);
    }

    #[test]
    fn a_minute_allows_so_many_and_the_next_one_as_many_again() {
        let mut minute = Minute::default();
        let taken = |minute: &mut Minute, now_ms| (0..5).filter(|_| minute.take(3, now_ms)).count();
        assert_eq!((taken(&mut minute, 7_000), minute.count()), (3, 3));
        assert_eq!(minute.left_s(7_000), 60);
        assert_eq!((taken(&mut minute, 66_999), minute.left_s(66_999)), (0, 1));
        assert_eq!((taken(&mut minute, 67_000), minute.left_s(67_001)), (3, 60));
        assert!(!minute.take(0, 500_000));
    }
}
