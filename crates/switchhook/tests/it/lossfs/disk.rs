//! A disk in memory that knows which writes a power failure would lose.
//!
//! Every file and directory is kept twice: as programs see it, and as it lies on the platter. A change goes
//! to the first at once and to the second when that file or directory is synced. [`Disk::cut_power`] makes
//! the second the truth again, after keeping as many of the unsynced changes as [`Loss`] says: a real disk may
//! have written any of them, in any order, and the last one in part.
//!
//! It is as strict as POSIX allows: a name is on the platter only when its directory was synced. A sync can be
//! made to fail ([`Disk::fail_sync`]); as on Linux, what it should have written is then never written.
//! Bounds: it lives in memory, and holds what one test writes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use switchhook_sim::entropy::Entropy;

/// Number of the root directory, as FUSE has it.
pub(crate) const ROOT: u64 = 1;

/// What a disk writes as a whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// Which of the unsynced changes a power failure loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of them.
    All,
    /// All after some point in each file; the last one kept is torn at a sector.
    Tail,
    /// Any: each is kept or lost by chance, as if the disk had written them in another order.
    Any,
}

/// Why a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    Exists,
    NotEmpty,
    NotADirectory,
    IsADirectory,
    /// Between directories, which nobody needs here.
    CrossDirectory,
    /// The sync that was told to fail.
    Io,
}

/// A change of a file that is not on the platter.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// Names that change together: set to a node, or taken away.
type Links = Vec<(OsString, Option<u64>)>;

#[derive(Debug, Default)]
struct File {
    seen: Vec<u8>,
    platter: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Default)]
struct Dir {
    seen: BTreeMap<OsString, u64>,
    platter: BTreeMap<OsString, u64>,
    unsynced: Vec<Links>,
}

#[derive(Debug)]
enum Kind {
    File(File),
    Dir(Dir),
}

#[derive(Debug)]
struct Node {
    mode: u16,
    kind: Kind,
}

/// What `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) ino: u64,
    pub(crate) is_dir: bool,
    pub(crate) mode: u16,
    pub(crate) len: u64,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    nodes: BTreeMap<u64, Node>,
    next_ino: u64,
    /// Syncs of files until one fails.
    fail_in: Option<u64>,
}

impl Disk {
    /// An empty disk with a root directory.
    pub(crate) fn new() -> Self {
        let root = Node {
            mode: 0o700,
            kind: Kind::Dir(Dir::default()),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_ino: ROOT + 1,
            fail_in: None,
        }
    }

    /// Lets the `nth` sync of a file from now fail; 1 is the next one. What it would have written is lost.
    pub(crate) fn fail_sync(&mut self, nth: u64) {
        self.fail_in = Some(nth);
    }

    /// Whether the sync that was told to fail has done so.
    pub(crate) fn has_failed(&self) -> bool {
        self.fail_in == Some(0)
    }

    pub(crate) fn stat(&self, ino: u64) -> Result<Stat, Refusal> {
        let node = self.nodes.get(&ino).ok_or(Refusal::NotFound)?;
        let (is_dir, len) = match &node.kind {
            Kind::File(file) => (false, file.seen.len()),
            Kind::Dir(_) => (true, 0),
        };
        Ok(Stat {
            ino,
            is_dir,
            mode: node.mode,
            len: len as u64,
        })
    }

    pub(crate) fn find(&self, parent: u64, name: &OsStr) -> Result<Stat, Refusal> {
        let ino = self.dir(parent)?.seen.get(name).ok_or(Refusal::NotFound)?;
        self.stat(*ino)
    }

    pub(crate) fn names(&self, dir: u64) -> Result<Vec<(OsString, Stat)>, Refusal> {
        let seen = &self.dir(dir)?.seen;
        seen.iter()
            .map(|(name, ino)| Ok((name.clone(), self.stat(*ino)?)))
            .collect()
    }

    /// Makes a file or directory.
    pub(crate) fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        mode: u16,
        is_dir: bool,
    ) -> Result<Stat, Refusal> {
        if self.dir(parent)?.seen.contains_key(name) {
            return Err(Refusal::Exists);
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        let kind = if is_dir {
            Kind::Dir(Dir::default())
        } else {
            Kind::File(File::default())
        };
        self.nodes.insert(ino, Node { mode, kind });
        self.relink(parent, vec![(name.to_owned(), Some(ino))])?;
        self.stat(ino)
    }

    /// Takes a name away. The node stays for those who have it open.
    pub(crate) fn remove(&mut self, parent: u64, name: &OsStr) -> Result<(), Refusal> {
        let found = self.find(parent, name)?;
        if found.is_dir && !self.dir(found.ino)?.seen.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.relink(parent, vec![(name.to_owned(), None)])
    }

    pub(crate) fn rename(
        &mut self,
        parent: u64,
        from: &OsStr,
        to_parent: u64,
        to: &OsStr,
    ) -> Result<(), Refusal> {
        if parent != to_parent {
            return Err(Refusal::CrossDirectory);
        }
        let ino = self.find(parent, from)?.ino;
        self.relink(
            parent,
            vec![(from.to_owned(), None), (to.to_owned(), Some(ino))],
        )
    }

    pub(crate) fn set_mode(&mut self, ino: u64, mode: u16) -> Result<(), Refusal> {
        self.nodes.get_mut(&ino).ok_or(Refusal::NotFound)?.mode = mode;
        Ok(())
    }

    pub(crate) fn read(&self, ino: u64, at: usize, len: usize) -> Result<&[u8], Refusal> {
        match self.nodes.get(&ino).map(|node| &node.kind) {
            Some(Kind::File(file)) => {
                let from = at.min(file.seen.len());
                let to = at.saturating_add(len).min(file.seen.len());
                Ok(&file.seen[from..to])
            }
            Some(Kind::Dir(_)) => Err(Refusal::IsADirectory),
            None => Err(Refusal::NotFound),
        }
    }

    pub(crate) fn write(&mut self, ino: u64, at: usize, bytes: &[u8]) -> Result<(), Refusal> {
        self.change(
            ino,
            Change::Write {
                at,
                bytes: bytes.to_vec(),
            },
        )
    }

    pub(crate) fn set_len(&mut self, ino: u64, len: usize) -> Result<(), Refusal> {
        self.change(ino, Change::Length(len))
    }

    /// Puts a file or directory on the platter as it is seen.
    pub(crate) fn sync(&mut self, ino: u64) -> Result<(), Refusal> {
        match &mut self.nodes.get_mut(&ino).ok_or(Refusal::NotFound)?.kind {
            Kind::File(file) => {
                let unsynced = std::mem::take(&mut file.unsynced);
                match &mut self.fail_in {
                    Some(1) => {
                        self.fail_in = Some(0);
                        return Err(Refusal::Io);
                    }
                    Some(left) => *left = left.saturating_sub(1),
                    None => {}
                }
                unsynced
                    .iter()
                    .for_each(|change| apply(&mut file.platter, change));
            }
            Kind::Dir(dir) => {
                dir.unsynced.clear();
                dir.platter.clone_from(&dir.seen);
            }
        }
        Ok(())
    }

    /// Loses what was not synced. `seed` decides where [`Loss`] leaves it to chance.
    pub(crate) fn cut_power(&mut self, loss: Loss, seed: u64) {
        let mut entropy = Entropy::new(seed);
        self.fail_in = None;
        for node in self.nodes.values_mut() {
            match &mut node.kind {
                Kind::File(file) => {
                    let unsynced = std::mem::take(&mut file.unsynced);
                    for change in kept(unsynced, loss, &mut entropy) {
                        apply(&mut file.platter, &change);
                    }
                    file.seen.clone_from(&file.platter);
                }
                Kind::Dir(dir) => {
                    let unsynced = std::mem::take(&mut dir.unsynced);
                    // A file system keeps the order of names, whatever the disk does with data.
                    let kept = if loss == Loss::All {
                        0
                    } else {
                        entropy.below(unsynced.len() as u64 + 1)
                    };
                    for links in unsynced
                        .into_iter()
                        .take(usize::try_from(kept).unwrap_or(0))
                    {
                        relink(&mut dir.platter, &links);
                    }
                    dir.seen.clone_from(&dir.platter);
                }
            }
        }
        self.forget_unnamed();
    }

    fn dir(&self, ino: u64) -> Result<&Dir, Refusal> {
        match self.nodes.get(&ino).map(|node| &node.kind) {
            Some(Kind::Dir(dir)) => Ok(dir),
            Some(Kind::File(_)) => Err(Refusal::NotADirectory),
            None => Err(Refusal::NotFound),
        }
    }

    fn relink(&mut self, parent: u64, links: Links) -> Result<(), Refusal> {
        match self.nodes.get_mut(&parent).map(|node| &mut node.kind) {
            Some(Kind::Dir(dir)) => {
                relink(&mut dir.seen, &links);
                dir.unsynced.push(links);
                Ok(())
            }
            Some(Kind::File(_)) => Err(Refusal::NotADirectory),
            None => Err(Refusal::NotFound),
        }
    }

    fn change(&mut self, ino: u64, change: Change) -> Result<(), Refusal> {
        match self.nodes.get_mut(&ino).map(|node| &mut node.kind) {
            Some(Kind::File(file)) => {
                apply(&mut file.seen, &change);
                file.unsynced.push(change);
                Ok(())
            }
            Some(Kind::Dir(_)) => Err(Refusal::IsADirectory),
            None => Err(Refusal::NotFound),
        }
    }

    fn forget_unnamed(&mut self) {
        let mut named = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(ino) = open.pop() {
            if let Ok(dir) = self.dir(ino) {
                open.extend(dir.seen.values().filter(|ino| named.insert(**ino)));
            }
        }
        self.nodes.retain(|ino, _| named.contains(ino));
    }
}

fn relink(names: &mut BTreeMap<OsString, u64>, links: &Links) {
    for (name, ino) in links {
        match ino {
            Some(ino) => names.insert(name.clone(), *ino),
            None => names.remove(name),
        };
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(len) => bytes.resize(*len, 0),
        Change::Write { at, bytes: new } => {
            let end = at + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(new);
        }
    }
}

/// The changes that reached the platter although nobody asked for it.
fn kept(unsynced: Vec<Change>, loss: Loss, entropy: &mut Entropy) -> Vec<Change> {
    let mut kept: Vec<Change> = match loss {
        Loss::All => return Vec::new(),
        Loss::Tail => {
            let count = entropy.below(unsynced.len() as u64 + 1);
            unsynced
                .into_iter()
                .take(usize::try_from(count).unwrap_or(0))
                .collect()
        }
        Loss::Any => unsynced
            .into_iter()
            .filter(|_| entropy.below(2) == 0)
            .collect(),
    };
    if let Some(Change::Write { at, bytes }) = kept.last_mut() {
        // Sectors lie at multiples of their size in the file, wherever the write begins.
        let first = SECTOR_BYTES - *at % SECTOR_BYTES;
        let sectors = 1 + bytes.len().saturating_sub(first).div_ceil(SECTOR_BYTES);
        let written = usize::try_from(entropy.below(sectors as u64 + 1)).unwrap_or(0);
        let len = if written == 0 {
            0
        } else {
            first + (written - 1) * SECTOR_BYTES
        };
        bytes.truncate(len);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(disk: &mut Disk) -> u64 {
        let ino = disk.make(ROOT, OsStr::new("a"), 0o600, false).unwrap().ino;
        disk.sync(ROOT).unwrap();
        ino
    }

    fn content(disk: &Disk, ino: u64) -> Vec<u8> {
        disk.read(ino, 0, usize::MAX).unwrap().to_vec()
    }

    #[test]
    fn what_was_not_synced_is_lost_and_what_was_is_kept() {
        let mut disk = Disk::new();
        let ino = file(&mut disk);
        disk.write(ino, 0, b"kept").unwrap();
        disk.sync(ino).unwrap();
        disk.write(ino, 2, b"lost").unwrap();
        assert_eq!(content(&disk, ino), b"kelost");
        disk.cut_power(Loss::All, 0);
        assert_eq!(content(&disk, ino), b"kept");
        disk.set_len(ino, 1).unwrap();
        disk.cut_power(Loss::All, 0);
        assert_eq!(content(&disk, ino), b"kept");
    }

    #[test]
    fn a_name_is_kept_only_when_its_directory_was_synced() {
        let mut disk = Disk::new();
        let ino = disk.make(ROOT, OsStr::new("b"), 0o600, false).unwrap().ino;
        disk.write(ino, 0, b"x").unwrap();
        disk.sync(ino).unwrap();
        disk.cut_power(Loss::All, 0);
        assert_eq!(disk.find(ROOT, OsStr::new("b")), Err(Refusal::NotFound));
        assert_eq!(
            disk.stat(ino),
            Err(Refusal::NotFound),
            "the data went with the name"
        );

        let ino = file(&mut disk);
        disk.rename(ROOT, OsStr::new("a"), ROOT, OsStr::new("c"))
            .unwrap();
        disk.cut_power(Loss::All, 0);
        assert_eq!(disk.find(ROOT, OsStr::new("a")).unwrap().ino, ino);
        disk.remove(ROOT, OsStr::new("a")).unwrap();
        disk.sync(ROOT).unwrap();
        disk.cut_power(Loss::All, 0);
        assert_eq!(disk.names(ROOT).unwrap(), []);
    }

    #[test]
    fn the_last_write_that_is_kept_is_torn_at_a_sector() {
        let mut lengths = BTreeSet::new();
        for seed in 0..200 {
            let mut disk = Disk::new();
            let ino = file(&mut disk);
            disk.write(ino, 0, &[1; 100]).unwrap();
            disk.sync(ino).unwrap();
            disk.write(ino, 100, &[2; 1_200]).unwrap();
            disk.cut_power(Loss::Tail, seed);
            lengths.insert(content(&disk, ino).len());
        }
        assert_eq!(lengths, BTreeSet::from([100, 512, 1_024, 1_300]));
    }

    #[test]
    fn a_later_write_can_survive_an_earlier_one() {
        let survives = |seed| {
            let mut disk = Disk::new();
            let ino = file(&mut disk);
            disk.write(ino, 0, &[1; 512]).unwrap();
            disk.write(ino, 512, &[2; 512]).unwrap();
            disk.cut_power(Loss::Any, seed);
            content(&disk, ino).len() == 1_024 && content(&disk, ino)[0] == 0
        };
        assert!((0..200).any(survives) && !(0..200).all(survives));
    }

    #[test]
    fn what_a_failed_sync_should_have_written_is_never_written() {
        let mut disk = Disk::new();
        let ino = file(&mut disk);
        disk.fail_sync(2);
        disk.write(ino, 0, b"a").unwrap();
        assert_eq!(disk.sync(ino), Ok(()));
        disk.write(ino, 0, b"b").unwrap();
        assert!(!disk.has_failed());
        assert_eq!(disk.sync(ino), Err(Refusal::Io));
        assert!(disk.has_failed());
        assert_eq!(disk.sync(ino), Ok(()), "asked again, it claims success");
        disk.cut_power(Loss::All, 0);
        assert_eq!(content(&disk, ino), b"a");
    }
}
