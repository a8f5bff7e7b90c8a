//! Looks through a whole audit log: does each entry follow the one before, and is it the log that the checkpoints knew?
//!
//! The chain alone finds who edits, deletes, swaps or inserts entries. Checkpoints find who then writes the chain anew
//! or cuts its end; and where the whole store was rolled back, or the signing key was taken too, those that were kept
//! outside do. Each checkpoint is compared with the entry whose number it has.
//!
//! After a break it goes on with the hash that is written, so that one edit is one finding. A checkpoint counts only when
//! a known key has signed it; one that does not is a finding itself.
//!
//! Bounds: [`FINDINGS_MAX`] findings of a kind are kept, the others counted; some hundred bytes for each checkpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::{Discriminant, discriminant};

use super::checkpoint::{self, Note, NoteKey, Trust};
use super::{Entry, Hash, ORIGIN, link};

/// Findings kept of a kind: after some the picture is clear, and many of one kind hide none of another.
pub const FINDINGS_MAX: usize = 100;

/// Where a checkpoint was kept, with a name for the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the store of the log itself. Who can change the one can change the other.
    Inside(Box<str>),
    /// Somewhere else.
    Outside(Box<str>),
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The hash of this entry is not that of itself behind the one before: one of the two was edited, deleted, swapped or
    /// inserted.
    Broken {
        /// Its number.
        number: u64,
    },
    /// There are no entries with these numbers.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The number of an entry is not higher than that of the one before.
    Disordered {
        /// Its number.
        number: u64,
        /// The number before.
        after: u64,
    },
    /// The log is another one than the checkpoint knew: it was written anew.
    Rewritten {
        /// How long it was then.
        entries: u64,
        /// Which checkpoint says so.
        known_to: Kept,
    },
    /// The checkpoint knew more entries than there are: the end was cut, or the whole store rolled back.
    Truncated {
        /// How long it was then.
        entries: u64,
        /// How long it is.
        found: u64,
        /// Which checkpoint says so.
        known_to: Kept,
    },
    /// The signature of the checkpoint is not that of the key it names.
    BadSignature(Kept),
    /// No known key has signed the checkpoint.
    UnknownKey(Kept),
    /// The checkpoint is of another store.
    OtherStore {
        /// The id of that one.
        store: Box<str>,
        /// Which checkpoint.
        kept: Kept,
    },
    /// The checkpoint cannot be read.
    Unreadable {
        /// Which.
        kept: Kept,
        /// Why.
        why: checkpoint::NoteError,
    },
}

/// What a whole log was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Number of the last entry.
    pub entries: u64,
    /// Its hash.
    pub head: Hash,
    /// Checkpoints that were signed by a known key and compared.
    pub checkpoints: u64,
    /// What is wrong, checkpoints that do not count first, then in the order of the log; empty when all is well.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub more: u64,
}

/// The checkpoints that a log is compared with.
#[derive(Debug, Default)]
pub struct Witnesses {
    keys: Vec<NoteKey>,
    store: Option<Box<str>>,
    by_entries: BTreeMap<u64, Vec<(Hash, Kept)>>,
    compared: u64,
    findings: Findings,
}

/// The look through one log.
#[derive(Debug)]
pub struct Verifier {
    witnesses: Witnesses,
    last: u64,
    head: Hash,
}

#[derive(Debug, Default)]
struct Findings {
    kept: Vec<Finding>,
    /// How many of each kind are kept; there are nine.
    kinds: Vec<(Discriminant<Finding>, usize)>,
    more: u64,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        let kind = discriminant(&finding);
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, FINDINGS_MAX)) => {
                self.more = self.more.saturating_add(1);
                return;
            }
            Some((_, count)) => *count += 1,
            None => self.kinds.push((kind, 1)),
        }
        self.kept.push(finding);
    }
}

impl Witnesses {
    /// None yet. They must be signed by one of `keys`, and be of the store with the id `store`, if that is known.
    #[must_use]
    pub fn new(keys: Vec<NoteKey>, store: Option<&str>) -> Self {
        Self {
            keys,
            store: store.map(Into::into),
            ..Self::default()
        }
    }

    /// Adds the checkpoint in the text `note`.
    pub fn add(&mut self, kept: Kept, note: &str) {
        match checkpoint::parse(note) {
            Ok(note) => self.add_note(kept, &note),
            Err(why) => self.findings.add(Finding::Unreadable { kept, why }),
        }
    }

    fn add_note(&mut self, kept: Kept, note: &Note) {
        match note.trust(&self.keys) {
            Trust::Signed => {}
            Trust::UnknownKey => return self.findings.add(Finding::UnknownKey(kept)),
            Trust::BadSignature => return self.findings.add(Finding::BadSignature(kept)),
        }
        let found = &note.checkpoint;
        if self.store.as_ref().is_some_and(|id| *id != found.store) {
            let store = found.store.clone();
            return self.findings.add(Finding::OtherStore { store, kept });
        }
        self.compared = self.compared.saturating_add(1);
        let at = self.by_entries.entry(found.entries).or_default();
        at.push((found.head, kept));
    }
}

impl Verifier {
    /// Begins at the start of the log.
    #[must_use]
    pub fn new(witnesses: Witnesses) -> Self {
        let mut verifier = Self {
            witnesses,
            last: 0,
            head: ORIGIN,
        };
        verifier.compare();
        verifier
    }

    /// Looks at the next entry, which has the hash `hash`. The order is that of the log.
    pub fn entry(&mut self, entry: &Entry<'_>, hash: &Hash) {
        let number = entry.number;
        if number <= self.last {
            let after = self.last;
            return self.find(Finding::Disordered { number, after });
        }
        if number > self.last + 1 {
            self.find(Finding::Missing {
                from: self.last + 1,
                to: number - 1,
            });
            // What a checkpoint knew of a missing entry cannot be compared any more: that it is missing is found.
            self.witnesses.by_entries = self.witnesses.by_entries.split_off(&number);
        }
        if link(&self.head, entry) != *hash {
            self.find(Finding::Broken { number });
        }
        (self.last, self.head) = (number, *hash);
        self.compare();
    }

    /// The log is at its end.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let found = self.last;
        for (entries, known) in std::mem::take(&mut self.witnesses.by_entries) {
            for (_, known_to) in known {
                self.find(Finding::Truncated {
                    entries,
                    found,
                    known_to,
                });
            }
        }
        Report {
            entries: self.last,
            head: self.head,
            checkpoints: self.witnesses.compared,
            findings: self.witnesses.findings.kept,
            more: self.witnesses.findings.more,
        }
    }

    /// Compares the log up to here with the checkpoints that knew so much of it.
    fn compare(&mut self) {
        let entries = self.last;
        let known = self.witnesses.by_entries.remove(&entries);
        for (head, known_to) in known.into_iter().flatten() {
            if head != self.head {
                self.find(Finding::Rewritten { entries, known_to });
            }
        }
    }

    fn find(&mut self, finding: Finding) {
        self.witnesses.findings.add(finding);
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside(name) => write!(f, "checkpoint {name} of the store"),
            Self::Outside(name) => write!(f, "checkpoint {name} from outside"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { number } => write!(
                f,
                "the audit log breaks at entry {number}: it or the one before was edited, deleted, swapped or inserted"
            ),
            Self::Missing { from, to } if from == to => {
                write!(f, "the audit log breaks at entry {from}: it is missing")
            }
            Self::Missing { from, to } => write!(
                f,
                "the audit log breaks at entry {from}: it and all up to {to} are missing"
            ),
            Self::Disordered { number, after } => write!(
                f,
                "the audit log breaks after entry {after}: entry {number} follows it"
            ),
            Self::Rewritten { entries, known_to } => write!(
                f,
                "the audit log was written anew: its first {entries} entries are not those that {known_to} knew"
            ),
            Self::Truncated {
                entries,
                found,
                known_to,
            } => write!(
                f,
                "the audit log was cut or the store rolled back: it ends at entry {found}, {known_to} knew {entries}"
            ),
            Self::BadSignature(kept) => write!(f, "the signature of {kept} is wrong"),
            Self::UnknownKey(kept) => write!(f, "{kept} is signed by no key that is known"),
            Self::OtherStore { store, kept } => write!(f, "{kept} is of another store, {store}"),
            Self::Unreadable { kept, why } => write!(f, "{kept} cannot be read: {why}"),
        }
    }
}
