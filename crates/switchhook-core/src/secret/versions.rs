//! The versions of a secret that the gateway keeps: the current value, and for a while the one before.
//!
//! Setting a value ends the one before at once: it was wrong, or somebody else has it. Rotating lets both count until the
//! overlap ends, so that the other side can follow. There are never more than two.
//!
//! The form of the bytes, which are sealed before they are kept: form (1), number (8), time of the current value (8), end
//! of the overlap (8, 0 for none), length of the current value (4), current value, value before. Numbers are big-endian.

use crate::secret::Secret;
use crate::time::UnixMs;

/// Largest value, in bytes: room for a private key with its chain.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// How long both values count unless something else is asked for: a day for the other side to follow.
pub const OVERLAP_DEFAULT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Longest overlap, in milliseconds: 30 days. A value that still counts after that was not rotated.
pub const OVERLAP_MAX_MS: u64 = 30 * OVERLAP_DEFAULT_MS;

const FORM: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 8 + 8 + 4;

/// A secret's values.
#[derive(Debug, Clone)]
pub struct Versions {
    number: u64,
    set_at: UnixMs,
    current: Secret,
    previous: Option<Previous>,
}

#[derive(Debug, Clone)]
struct Previous {
    value: Secret,
    until: UnixMs,
}

/// Why a value is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Anyone can sign with nothing.
    #[error("the value is empty")]
    Empty,
    /// Too long.
    #[error("the value has {0} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Nothing would change, and the one before would be lost.
    #[error("the value is the one that is in force already")]
    Same,
}

/// Whether `value` can be one.
///
/// # Errors
/// When it is empty or too long.
pub const fn check(value: &[u8]) -> Result<(), ValueError> {
    match value.len() {
        0 => Err(ValueError::Empty),
        length if length > VALUE_BYTES_MAX => Err(ValueError::TooLong(length)),
        _ => Ok(()),
    }
}

impl Versions {
    /// The first value, or one that takes the place of `before` at once.
    ///
    /// # Errors
    /// When the value is empty or too long.
    pub fn set(before: Option<&Self>, value: Secret, now: UnixMs) -> Result<Self, ValueError> {
        check(value.expose())?;
        Ok(Self {
            number: before.map_or(0, |before| before.number).saturating_add(1),
            set_at: now,
            current: value,
            previous: None,
        })
    }

    /// A new value; the current one counts for `overlap_ms` more.
    ///
    /// # Errors
    /// When the value is empty, too long, or the one that is in force.
    pub fn rotated(&self, value: Secret, overlap_ms: u64, now: UnixMs) -> Result<Self, ValueError> {
        if value.expose() == self.current.expose() {
            return Err(ValueError::Same);
        }
        let overlap_ms = overlap_ms.min(OVERLAP_MAX_MS);
        let previous = Previous {
            value: self.current.clone(),
            until: now.plus_ms(overlap_ms),
        };
        let mut rotated = Self::set(Some(self), value, now)?;
        rotated.previous = (overlap_ms > 0).then_some(previous);
        Ok(rotated)
    }

    /// 1 at first, one more with each new value.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Since when the current value counts.
    #[must_use]
    pub const fn set_at(&self) -> UnixMs {
        self.set_at
    }

    /// The current value.
    #[must_use]
    pub const fn current(&self) -> &Secret {
        &self.current
    }

    /// The value before, if it still counts.
    #[must_use]
    pub fn previous(&self, now: UnixMs) -> Option<&Secret> {
        let previous = self
            .previous
            .as_ref()
            .filter(|previous| now < previous.until);
        previous.map(|previous| &previous.value)
    }

    /// Until when the value before counts; it may have passed.
    #[must_use]
    pub fn overlap_until(&self) -> Option<UnixMs> {
        self.previous.as_ref().map(|previous| previous.until)
    }

    /// These without the value before: `None` while it counts, or if there is none.
    #[must_use]
    pub fn without_the_ended(&self, now: UnixMs) -> Option<Self> {
        let has_ended = self.overlap_until().is_some_and(|until| until <= now);
        has_ended.then(|| Self {
            previous: None,
            ..self.clone()
        })
    }

    /// The bytes that are sealed.
    #[must_use]
    pub fn write(&self) -> Secret {
        let current = self.current.expose();
        let previous = self.previous.as_ref();
        let more = previous.map_or(&[][..], |previous| previous.value.expose());
        let until = previous.map_or(0, |previous| previous.until.0);
        let length = u32::try_from(current.len()).unwrap_or(u32::MAX);
        // As long as it needs to be: what grows leaves copies behind.
        let mut bytes = Vec::with_capacity(HEAD_BYTES + current.len() + more.len());
        bytes.push(FORM);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.set_at.0.to_be_bytes());
        bytes.extend_from_slice(&until.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(current);
        bytes.extend_from_slice(more);
        Secret::new(bytes)
    }

    /// What [`Versions::write`] wrote; `None` if it did not.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (form, rest) = bytes.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (set_at, rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (current, previous) = rest.split_at_checked(length)?;
        let previous = Previous {
            value: Secret::new(previous.to_vec()),
            until: UnixMs(u64::from_be_bytes(*until)),
        };
        (*form == FORM).then(|| Self {
            number: u64::from_be_bytes(*number),
            set_at: UnixMs(u64::from_be_bytes(*set_at)),
            current: Secret::new(current.to_vec()),
            previous: Some(previous).filter(|previous| previous.until.0 > 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    fn first() -> Versions {
        Versions::set(None, secret("one"), NOW).unwrap()
    }

    fn values(versions: &Versions, now: UnixMs) -> (Vec<u8>, Option<Vec<u8>>) {
        let bytes = |secret: &Secret| secret.expose().to_vec();
        (bytes(versions.current()), versions.previous(now).map(bytes))
    }

    #[test]
    fn a_rotated_secret_has_two_values_until_the_overlap_ends() {
        let rotated = first().rotated(secret("two"), 500, NOW).unwrap();
        assert_eq!(rotated.number(), 2);
        let both = (b"two".to_vec(), Some(b"one".to_vec()));
        assert_eq!(values(&rotated, NOW), both);
        assert_eq!(values(&rotated, NOW.plus_ms(499)), both);
        let (end, only) = (NOW.plus_ms(500), (b"two".to_vec(), None));
        assert_eq!(values(&rotated, end), only);
        assert!(rotated.without_the_ended(NOW).is_none());
        let without = rotated.without_the_ended(end).unwrap();
        assert_eq!((without.number(), without.overlap_until()), (2, None));
        assert_eq!(values(&without, NOW), only);
    }

    #[test]
    fn a_second_rotation_ends_the_first_one() {
        let twice = first()
            .rotated(secret("two"), 500, NOW)
            .and_then(|rotated| rotated.rotated(secret("three"), 500, NOW))
            .unwrap();
        assert_eq!(
            values(&twice, NOW),
            (b"three".to_vec(), Some(b"two".to_vec()))
        );
    }

    #[test]
    fn a_value_that_is_set_is_the_only_one_at_once() {
        let rotated = first().rotated(secret("two"), 500, NOW).unwrap();
        let set = Versions::set(Some(&rotated), secret("three"), NOW).unwrap();
        assert_eq!(set.number(), 3);
        assert_eq!(values(&set, NOW), (b"three".to_vec(), None));
        let at_once = first().rotated(secret("two"), 0, NOW).unwrap();
        assert_eq!(values(&at_once, NOW), (b"two".to_vec(), None));
    }

    #[test]
    fn no_overlap_lasts_longer_than_30_days() {
        let rotated = first().rotated(secret("two"), u64::MAX, NOW).unwrap();
        assert_eq!(rotated.overlap_until(), Some(NOW.plus_ms(OVERLAP_MAX_MS)));
    }

    #[test]
    fn a_value_that_is_empty_too_long_or_the_same_is_refused() {
        let refused = |value: Secret| first().rotated(value, 0, NOW).map(|_| ());
        assert_eq!(refused(secret("")), Err(ValueError::Empty));
        assert_eq!(refused(secret("one")), Err(ValueError::Same));
        let long = |length| Secret::new(vec![b'x'; length]);
        assert!(refused(long(VALUE_BYTES_MAX)).is_ok());
        let length = VALUE_BYTES_MAX + 1;
        assert_eq!(refused(long(length)), Err(ValueError::TooLong(length)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            current in prop::collection::vec(any::<u8>(), 1..100),
            next in prop::collection::vec(any::<u8>(), 1..100),
            overlap_ms in 0..1_000_u64,
        ) {
            prop_assume!(current != next);
            let versions = Versions::set(None, Secret::new(current), NOW)
                .and_then(|first| first.rotated(Secret::new(next), overlap_ms, NOW))
                .unwrap();
            let read = Versions::read(versions.write().expose()).unwrap();
            prop_assert_eq!(values(&read, NOW), values(&versions, NOW));
            prop_assert_eq!(read.number(), versions.number());
            prop_assert_eq!(read.set_at(), versions.set_at());
            prop_assert_eq!(read.overlap_until(), versions.overlap_until());
        }

        #[test]
        fn what_was_cut_is_not_read(at in 0..HEAD_BYTES + 2) {
            let bytes = first().write();
            prop_assert!(Versions::read(&bytes.expose()[..at]).is_none());
        }
    }
}
