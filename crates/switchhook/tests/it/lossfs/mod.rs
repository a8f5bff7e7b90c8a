//! A file system that really loses what was not synced when its power is cut.
//!
//! [`Lossfs`] mounts a [`disk::Disk`] through FUSE, so that the gateway runs on it unchanged: SQLite's WAL, its
//! shared memory and its locks are the kernel's, reads and writes come here. [`Lossfs::cut_power`] takes the
//! mount away, lets the disk forget, and mounts it again: nothing survives in a cache of the kernel.
//! Where FUSE cannot be used, [`Lossfs::mount`] says why.

pub(crate) mod disk;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use tempfile::TempDir;

use self::disk::{Disk, Loss, Refusal, Stat};

/// How long the kernel may remember a name or a length. Only one mount changes them, so: long.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Free space that is reported, in blocks of 4 KiB: 16 GiB.
const FREE_BLOCKS: u64 = 4 * 1024 * 1024;

/// A mounted disk.
pub(crate) struct Lossfs {
    disk: Arc<Mutex<Disk>>,
    at: TempDir,
    session: Option<BackgroundSession>,
}

impl Lossfs {
    /// Mounts an empty disk, or says why that cannot be done here.
    pub(crate) fn mount() -> Result<Self, String> {
        let at = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = Arc::new(Mutex::new(Disk::new()));
        let session =
            mount(&disk, at.path()).map_err(|error| format!("FUSE cannot be used: {error}"))?;
        Ok(Self {
            disk,
            at,
            session: Some(session),
        })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }

    /// The disk, for its faults.
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// Cuts the power and brings it back. Nobody may have a file open.
    pub(crate) fn cut_power(&mut self, loss: Loss, seed: u64) {
        self.unmount().unwrap();
        self.disk().cut_power(loss, seed);
        self.session = Some(mount(&self.disk, self.at.path()).unwrap());
    }

    fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        match session.umount_and_join() {
            // How the kernel answers a read that was under way when the mount went away; at rest it is ENODEV.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            ended => ended,
        }
    }
}

impl Drop for Lossfs {
    fn drop(&mut self) {
        // A test that failed must not leave a dead mount behind.
        self.unmount().ok();
    }
}

fn mount(disk: &Arc<Mutex<Disk>>, at: &Path) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("lossfs".into()), MountOption::NoAtime];
    fuser::spawn_mount(Mounted(Arc::clone(disk)), at, &config)
}

struct Mounted(Arc<Mutex<Disk>>);

impl Mounted {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
}

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::ENOENT,
            Refusal::Exists => Self::EEXIST,
            Refusal::NotEmpty => Self::ENOTEMPTY,
            Refusal::NotADirectory => Self::ENOTDIR,
            Refusal::IsADirectory => Self::EISDIR,
            Refusal::CrossDirectory => Self::EXDEV,
            Refusal::Io => Self::EIO,
        }
    }
}

fn attributes(request: &Request, stat: Stat) -> FileAttr {
    let now = SystemTime::now();
    FileAttr {
        ino: INodeNo(stat.ino),
        size: stat.len,
        blocks: stat.len.div_ceil(512),
        atime: now,
        mtime: now,
        ctime: now,
        crtime: UNIX_EPOCH,
        kind: kind(stat),
        perm: stat.mode,
        nlink: if stat.is_dir { 2 } else { 1 },
        uid: request.uid(),
        gid: request.gid(),
        rdev: 0,
        blksize: 4_096,
        flags: 0,
    }
}

fn kind(stat: Stat) -> FileType {
    if stat.is_dir {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn mode(bits: u32, umask: u32) -> u16 {
    u16::try_from(bits & !umask & 0o777).unwrap()
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn entry(request: &Request, found: Result<Stat, Refusal>, reply: ReplyEntry) {
    match found {
        Ok(stat) => reply.entry(&REMEMBERED, &attributes(request, stat), Generation(0)),
        Err(refusal) => reply.error(refusal.into()),
    }
}

fn done(result: Result<(), Refusal>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(refusal) => reply.error(refusal.into()),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(request, self.disk().find(parent.0, name), reply);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.disk().stat(ino.0) {
            Ok(stat) => reply.attr(&REMEMBERED, &attributes(request, stat)),
            Err(refusal) => reply.error(refusal.into()),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        bits: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        len: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let mode_set = bits.map_or(Ok(()), |bits| disk.set_mode(ino.0, mode(bits, 0)));
        let len_set = len.map_or(Ok(()), |len| disk.set_len(ino.0, place(len)));
        match mode_set.and(len_set).and_then(|()| disk.stat(ino.0)) {
            Ok(stat) => reply.attr(&REMEMBERED, &attributes(request, stat)),
            Err(refusal) => reply.error(refusal.into()),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        bits: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        entry(
            request,
            self.disk().make(parent.0, name, mode(bits, umask), true),
            reply,
        );
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        bits: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.disk().make(parent.0, name, mode(bits, umask), false) {
            Ok(stat) => {
                let attributes = attributes(request, stat);
                reply.created(
                    &REMEMBERED,
                    &attributes,
                    Generation(0),
                    FileHandle(0),
                    FopenFlags::empty(),
                );
            }
            Err(refusal) => reply.error(refusal.into()),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.disk().remove(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.disk().remove(parent.0, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(self.disk().rename(parent.0, name, to_parent.0, to), reply);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().read(ino.0, place(offset), size as usize) {
            Ok(bytes) => reply.data(bytes),
            Err(refusal) => reply.error(refusal.into()),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk().write(ino.0, place(offset), data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap()),
            Err(refusal) => reply.error(refusal.into()),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.disk().sync(ino.0), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.disk().sync(ino.0), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.disk().names(ino.0) {
            Ok(names) => {
                for (at, (name, stat)) in names.into_iter().enumerate().skip(place(offset)) {
                    if reply.add(INodeNo(stat.ino), at as u64 + 1, kind(stat), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(refusal) => reply.error(refusal.into()),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            FREE_BLOCKS,
            FREE_BLOCKS,
            FREE_BLOCKS,
            1_000,
            1_000,
            4_096,
            255,
            4_096,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    #[test]
    fn programs_see_their_writes_until_the_power_is_cut() {
        let mut volume = match Lossfs::mount() {
            Ok(volume) => volume,
            Err(why) => return crate::harness::skipped("the file system that loses", &why),
        };
        let path = volume.path().join("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_all().unwrap();
        File::open(volume.path()).unwrap().sync_all().unwrap();
        file.write_all(b", and not").unwrap();
        drop(file);
        fs::write(volume.path().join("b"), "nothing of this").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"synced, and not");
        volume.cut_power(Loss::All, 0);
        assert_eq!(fs::read(&path).unwrap(), b"synced");
        let names: Vec<_> = fs::read_dir(volume.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a"]);
    }
}
