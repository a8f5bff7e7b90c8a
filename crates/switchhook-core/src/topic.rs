//! The event types that are known by name, and what an alias stands for.
//!
//! There is one catalogue (`table`): topics of Genesys Cloud as templates, our own event types, and the
//! aliases of `wire.md` section 4. It serves lists of event types, hints, and dialects that refuse a type
//! nobody sends. A subscription may name any other type as well: a source can have types of its own.
//!
//! A pattern that is an alias takes the alias itself and every topic it stands for; see [`crate::filter`].

mod table;
#[cfg(test)]
mod tests;

use crate::filter::{KIND_BYTES_MAX, TypePattern, is_any};

/// An event type of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// A topic template such as `v2.users.{id}.presence`, or a name.
    pub id: &'static str,
    /// What it is called, in a few words.
    pub name: &'static str,
    /// When it is sent, in a sentence or two.
    pub description: &'static str,
}

/// The catalogue, sorted by id.
#[must_use]
pub const fn all() -> &'static [Topic] {
    table::ALL
}

/// The topics that `alias` stands for; `None` where it is no alias.
#[must_use]
pub fn targets(alias: &str) -> Option<&'static [&'static str]> {
    let at = table::ALIASES.binary_search_by(|(name, _)| (*name).cmp(alias));
    table::ALIASES.get(at.ok()?).map(|(_, targets)| *targets)
}

/// Whether `kind` is in the catalogue, is a topic with its ids filled in, or is a pattern that takes some of it.
#[must_use]
pub fn is_known(kind: &str) -> bool {
    TypePattern::parse(kind).is_ok() && all().iter().any(|topic| meets(kind, topic.id))
}

/// The id in the catalogue that `kind` was probably meant to be, if one is near. Where a topic has `{id}`, `kind` may have
/// anything.
#[must_use]
pub fn nearest(kind: &str) -> Option<&'static str> {
    if kind.len() > KIND_BYTES_MAX {
        return None;
    }
    let ids = all().iter().map(|topic| topic.id);
    let (distance, best) = ids
        .map(|id| (strsim::damerau_levenshtein(&like(kind, id), id), id))
        .min()?;
    // As with names of keys: one slip, and one more for every four letters.
    (distance <= 1 + best.len() / 4).then_some(best)
}

/// `kind` with the `{id}` of `topic` in place of its own segments, so far as both have as many.
fn like(kind: &str, topic: &str) -> String {
    if kind.split('.').count() != topic.split('.').count() {
        return kind.to_owned();
    }
    let pairs = kind.split('.').zip(topic.split('.'));
    let segments = pairs.map(|(own, theirs)| if is_any(theirs) { theirs } else { own });
    segments.collect::<Vec<_>>().join(".")
}

/// Whether the pattern `kind` and the template `topic` have an event type in common.
fn meets(kind: &str, topic: &str) -> bool {
    let mut theirs = topic.split('.');
    for own in kind.split('.') {
        let Some(given) = theirs.next() else {
            return false;
        };
        if own == "*" {
            return true;
        }
        if own != given && !is_any(own) && !is_any(given) {
            return false;
        }
    }
    theirs.next().is_none()
}
