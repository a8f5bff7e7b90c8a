//! Names of things: event ids, delivery ids and log positions.
//!
//! An event id is made once, when the event is accepted. A delivery id is derived from the event and
//! the subscription, so that it is the same over all attempts, restarts and replays and needs no row.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// `evt_` and a `UUIDv7`: sortable by the time of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Uuid);

/// `dlv_` and 128 bits derived from the event id and the subscription name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub Uuid);

/// A position in the log. The first event has offset 1; numbers are given without gaps, retention makes some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

/// Text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}<32 hex digits>")]
pub struct IdError {
    /// What was given, cut at 64 characters.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

impl DeliveryId {
    /// The one id of `event`'s delivery to `subscription`.
    #[must_use]
    pub fn derive(event: EventId, subscription: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(event.0.as_bytes());
        hash.update(subscription.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let [
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
            b8,
            b9,
            b10,
            b11,
            b12,
            b13,
            b14,
            b15,
            ..,
        ] = digest;
        Self(Uuid::from_bytes([
            b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15,
        ]))
    }

    /// 64 bits that belong to attempt `n` of this delivery: the entropy of its jitter.
    ///
    /// Derived, not drawn, so that "next attempt at" can be shown exactly and a replayed seed gives
    /// the same schedule.
    #[must_use]
    pub fn entropy(self, n: u32) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        mix(high ^ mix(low ^ u64::from(n)))
    }
}

/// The finaliser of splitmix64: every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Offset {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

macro_rules! prefixed {
    ($name:ident, $prefix:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|rest| rest.len() == 32)
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or_else(|| IdError {
                        text: text.chars().take(64).collect(),
                        prefix: $prefix,
                    })
            }
        }
    };
}

prefixed!(EventId, "evt_");
prefixed!(DeliveryId, "dlv_");

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_as_itself_and_nothing_else_parses() {
        let id = EventId(Uuid::from_u128(0x0193_2b5f_0000_7000_8000_0000_0000_0001));
        assert_eq!(id.to_string(), "evt_01932b5f000070008000000000000001");
        assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        for wrong in ["", "evt_", "dlv_01932b5f000070008000000000000001", "evt_zz"] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delivery_id_depends_on_the_event_and_the_subscription_only() {
        let (a, b) = (EventId(Uuid::from_u128(1)), EventId(Uuid::from_u128(2)));
        assert_eq!(DeliveryId::derive(a, "crm"), DeliveryId::derive(a, "crm"));
        assert_ne!(DeliveryId::derive(a, "crm"), DeliveryId::derive(a, "bi"));
        assert_ne!(DeliveryId::derive(a, "crm"), DeliveryId::derive(b, "crm"));
    }
}
