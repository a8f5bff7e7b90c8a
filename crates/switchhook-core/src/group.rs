//! Groups: several endpoints that share the deliveries of a subscription (seed 001's consumer group).
//!
//! The deliveries are divided into partitions, by the hash of the ordering key or by event type, and each
//! partition is worked off by one member. This file decides which partition an event is in, which follows
//! from the event and the configuration alone and so never changes, and which member has which partition.
//!
//! The assignment by key is sticky: as few partitions move as balance allows, and balance means that no two
//! available members differ by more than one. The assignment by event type is the seed's: type *i* goes to
//! member *i* modulo their number, whoever is available.
//!
//! Numbers: 10 members and 15 event types for each are the seed's limits, its throughput estimate is shown
//! beside the measured one.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use crate::event::Event;
use crate::filter::TypePattern;

/// Most members, unless the configuration says otherwise (seed 001).
pub const MEMBERS_MAX_DEFAULT: usize = 10;
/// Most event types for each member, unless the configuration says otherwise (seed 001).
pub const TYPES_PER_MEMBER_MAX_DEFAULT: usize = 15;
/// Partitions, unless the configuration says otherwise.
pub const PARTITIONS_DEFAULT: u16 = 16;
/// Most partitions: each is a lane with a window of its own in memory.
pub const PARTITIONS_MAX: u16 = 256;
/// A member whose breaker is open for so long loses its partitions, in milliseconds.
pub const FAILOVER_AFTER_DEFAULT_MS: u64 = 60_000;

/// Several endpoints that share the deliveries of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Names of its endpoints, in the order of the configuration.
    pub members: Vec<Arc<str>>,
    /// Partitions by key; see [`Group::partitions_for`].
    pub partitions: u16,
    /// What decides in which partition an event is.
    pub affinity: Affinity,
    /// A member whose breaker is open for so long loses its partitions, in milliseconds; `None`: it keeps them.
    pub failover_after_ms: Option<u64>,
}

/// What decides in which partition an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// Its ordering key.
    Key,
    /// The first event type of the subscription that fits it: one partition for each (seed 001).
    EventType,
}

/// Hash of an ordering key. Stable for ever: it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u64);

/// A member as the assignment sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name of the endpoint.
    pub name: Arc<str>,
    /// Whether it can take partitions.
    pub available: bool,
    /// Its breaker wants a probe: it gets one partition, so that there is something to probe with.
    pub on_trial: bool,
}

impl Group {
    /// Into how many partitions it divides the deliveries of a subscription with so many event types.
    #[must_use]
    pub fn partitions_for(&self, types: usize) -> u16 {
        match self.affinity {
            Affinity::Key => self.partitions.clamp(1, PARTITIONS_MAX),
            Affinity::EventType => u16::try_from(types)
                .unwrap_or(PARTITIONS_MAX)
                .clamp(1, PARTITIONS_MAX),
        }
    }
}

/// The hash of an ordering key: FNV-1a with 64 bits, then the final mix of MurmurHash3, since the low bits of
/// FNV alone spread numbers in a row badly. Two events whose keys collide wait for each other; no more.
#[must_use]
pub fn key_hash(key: &str) -> KeyHash {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    KeyHash(hash ^ (hash >> 33))
}

/// The partition of a key.
#[must_use]
pub fn partition_of_key(key: KeyHash, partitions: u16) -> u16 {
    u16::try_from(key.0 % u64::from(partitions.max(1))).unwrap_or(0)
}

/// The partition of an event that a subscription with these types takes.
#[must_use]
pub fn partition_of_event(group: &Group, types: &[TypePattern], event: &Event) -> u16 {
    let partitions = group.partitions_for(types.len());
    match group.affinity {
        Affinity::Key => match event.key.as_deref() {
            Some(key) => partition_of_key(key_hash(key), partitions),
            None => u16::try_from(event.offset.0 % u64::from(partitions)).unwrap_or(0),
        },
        Affinity::EventType => {
            let first = types.iter().position(|types| types.matches(&event.kind));
            let last = partitions.saturating_sub(1);
            u16::try_from(first.unwrap_or(0)).unwrap_or(last).min(last)
        }
    }
}

/// Which member works on each partition, given who did before.
///
/// By key: members that are available share the partitions evenly, and one on trial gets exactly one, so
/// long as each available member has one too. Nothing moves while nobody is available; then a member on
/// trial that has no partition gets one, so that there is something to try it with.
#[must_use]
pub fn assign(
    partitions: u16,
    members: &[Member],
    current: &[Option<Arc<str>>],
    affinity: Affinity,
) -> Vec<Option<Arc<str>>> {
    let name = |at: usize| members.get(at).map(|member| member.name.clone());
    let partitions = usize::from(partitions);
    match affinity {
        Affinity::EventType => (0..partitions)
            .map(|at| at.checked_rem(members.len()).and_then(name))
            .collect(),
        Affinity::Key => {
            let of = |owner: &Arc<str>| members.iter().position(|m| m.name == *owner);
            let owners: Vec<Option<usize>> = (0..partitions)
                .map(|at| current.get(at)?.as_ref().and_then(of))
                .collect();
            let quotas = quotas(members, &owners);
            let assigned = hand_out(&quotas, owners);
            assigned.into_iter().map(|at| name(at?)).collect()
        }
    }
}

/// How many partitions each member should have.
fn quotas(members: &[Member], owners: &[Option<usize>]) -> Vec<usize> {
    let has = |at: usize| owners.iter().filter(|owner| **owner == Some(at)).count();
    let mut quotas: Vec<usize> = (0..members.len()).map(has).collect();
    let mut full = Vec::new();
    let mut on_trial = Vec::new();
    for (at, member) in members.iter().enumerate() {
        if member.on_trial {
            on_trial.push(at);
        } else if member.available {
            full.push(at);
        }
    }
    // Who has most now gets what does not divide evenly, and keeps what it has: fewest moves.
    full.sort_by_key(|at| Reverse(has(*at)));
    on_trial.sort_by_key(|at| Reverse(has(*at)));
    let mut left = owners.len();
    let mut set = |at: usize, quota: usize| {
        if let Some(old) = quotas.get_mut(at) {
            *old = quota;
        }
    };
    if full.is_empty() {
        for at in on_trial {
            set(at, has(at).max(1));
        }
        return quotas;
    }
    for at in 0..members.len() {
        set(at, 0);
    }
    for at in on_trial.iter().take(left.saturating_sub(full.len())) {
        set(*at, 1);
        left -= 1;
    }
    let (each, over) = (left / full.len(), left % full.len());
    for (place, at) in full.iter().enumerate() {
        set(*at, each + usize::from(place < over));
    }
    quotas
}

/// Gives every member its quota, and moves no partition that need not.
fn hand_out(quotas: &[usize], mut owners: Vec<Option<usize>>) -> Vec<Option<usize>> {
    let mut missing = quotas.to_vec();
    let mut free = Vec::new();
    for (at, owner) in owners.iter().enumerate() {
        match owner.and_then(|owner| missing.get_mut(owner)) {
            Some(missing) if *missing > 0 => *missing -= 1,
            Some(_) | None => free.push(at),
        }
    }
    // Without anybody available there are too few free ones: take from whoever has more than one.
    let wanted: usize = missing.iter().sum();
    let mut counts: Vec<usize> = quotas.iter().zip(&missing).map(|(q, m)| q - m).collect();
    for (at, owner) in owners.iter().enumerate().rev() {
        if free.len() >= wanted {
            break;
        }
        if let Some(count) = owner.and_then(|owner| counts.get_mut(owner))
            && *count > 1
            && !free.contains(&at)
        {
            *count -= 1;
            free.push(at);
        }
    }
    free.sort_unstable();
    for at in free {
        let most = missing
            .iter_mut()
            .enumerate()
            .rev()
            .max_by_key(|(_, m)| **m);
        if let (Some((member, missing)), Some(owner)) = (most, owners.get_mut(at))
            && *missing > 0
        {
            *missing -= 1;
            *owner = Some(member);
        }
    }
    owners
}

/// Events in a second that a subscription with so many event types may bring: the seed's estimate, 0.8 of
/// `historical_rate` (100 where there is none) for each type.
#[must_use]
pub fn estimated_throughput(types: usize, historical_rate: Option<u32>) -> u64 {
    let base = u64::from(historical_rate.filter(|rate| *rate > 0).unwrap_or(100));
    let types = u64::try_from(types).unwrap_or(u64::MAX);
    base.saturating_mul(types)
        .saturating_mul(8)
        .saturating_add(5)
        / 10
}

/// What a group may be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most members.
    pub members_max: usize,
    /// Most event types for each member.
    pub types_per_member_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members_max: MEMBERS_MAX_DEFAULT,
            types_per_member_max: TYPES_PER_MEMBER_MAX_DEFAULT,
        }
    }
}

/// Why a group is refused; the reasons are the seed's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Nobody would get anything.
    #[error("a group must have at least one endpoint")]
    NoMember,
    /// Too many members.
    #[error(
        "{members} endpoints exceed the maximum of concurrent consumers in a group, {max}: use fewer, or \
         raise the limit"
    )]
    Members {
        /// So many it has.
        members: usize,
        /// So many it may have.
        max: usize,
    },
    /// There is nothing to divide.
    #[error("a subscription to a group must have at least one event type")]
    NoType,
    /// Too many event types.
    #[error(
        "{types} event types for each endpoint exceed the maximum event types per endpoint, {max}: divide \
         the subscription, or raise the limit"
    )]
    Types {
        /// So many would go to one member.
        types: usize,
        /// So many may.
        max: usize,
    },
}

/// Everything that is wrong with giving so many event types to a group.
#[must_use]
pub fn check_limits(group: &Group, types: usize, limits: Limits) -> Vec<LimitError> {
    let members = group.members.len();
    let each = match group.affinity {
        Affinity::Key => types,
        Affinity::EventType => types.div_ceil(members.max(1)),
    };
    let mut errors = Vec::new();
    if members == 0 {
        errors.push(LimitError::NoMember);
    }
    if members > limits.members_max {
        let max = limits.members_max;
        errors.push(LimitError::Members { members, max });
    }
    if types == 0 {
        errors.push(LimitError::NoType);
    }
    if each > limits.types_per_member_max {
        let max = limits.types_per_member_max;
        errors.push(LimitError::Types { types: each, max });
    }
    errors
}
