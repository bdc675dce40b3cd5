//! The place of the folder: whether the one that was opened is still where it was, and is itself.
//!
//! The folder's id is the name of an empty folder in it, `store-<id>`: it is made in one step, so that nobody finds
//! half of it.

use std::fs;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self as raw, Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::{BlobError, CopyId, StoreId};

const PREFIX: &str = "store-";

/// The folder as it was opened. Whatever begins in it ends in it.
pub(super) struct Root {
    pub(super) blobs: OwnedFd,
    path: PathBuf,
    stat: Stat,
    /// The first descriptor that no copy takes.
    pub(super) kept_from: RawFd,
}

impl Root {
    /// Opens the folder at `path`, which must be there.
    pub(super) fn open(path: &Path) -> Result<Self, BlobError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let blobs = raw::open(path, flags, Mode::empty())?;
        let stat = raw::fstat(&blobs)?;
        Ok(Self { blobs, path: path.to_owned(), stat, kept_from: super::kept_from() })
    }

    /// Whether what stands at the path is this folder.
    pub(super) fn is_in_place(&self) -> Result<(), BlobError> {
        match raw::stat(&self.path) {
            Ok(stat) if is_same(&stat, &self.stat) => Ok(()),
            Ok(_) => Err(self.away("is another one than was opened")),
            Err(error) => Err(self.away(&format!("cannot be found: {error}"))),
        }
    }

    /// Whether the folder has this id.
    pub(super) fn check_id(&self, id: &StoreId) -> Result<(), BlobError> {
        match raw::statat(&self.blobs, name(id), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => Err(self.away(&format!("has lost its id {id}"))),
            Err(error) => Err(self.away(&format!("cannot be read: {error}"))),
        }
    }

    /// Whether copies can be made in each of the 256 folders. One that is missing is made when it is needed.
    pub(super) fn check_shards(&self) -> Result<(), BlobError> {
        (0..=255_u8).try_for_each(|number| {
            let shard = format!("{number:02x}");
            let problem = match self.shard_problem(&shard) {
                Ok(None) | Err(Errno::NOENT) => return Ok(()),
                Ok(Some(problem)) => problem.to_owned(),
                Err(error) => format!("cannot be used: {error}"),
            };
            let path = self.path.join(&shard);
            Err(BlobError::Away(format!("in the folder of blobs, {} {problem}", path.display())))
        })
    }

    fn shard_problem(&self, shard: &str) -> Result<Option<&'static str>, Errno> {
        let stat = raw::statat(&self.blobs, shard, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Ok(Some("is a symbolic link, and must be a folder")),
            _ => return Ok(Some("is no folder")),
        }
        let access = Access::WRITE_OK | Access::EXEC_OK;
        raw::accessat(&self.blobs, shard, access, AtFlags::EACCESS).map(|()| None)
    }

    /// The folder's id, where it has one.
    pub(super) fn id(&self) -> Result<Option<StoreId>, BlobError> {
        let mut found = None;
        for entry in raw::Dir::read_from(&self.blobs)? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().ok().and_then(parse) else { continue };
            if found.replace(id).is_some() {
                let problem = format!("the folder {} has two ids", self.path.display());
                return Err(BlobError::Io(std::io::Error::other(problem)));
            }
        }
        Ok(found)
    }

    /// Gives the folder its id, or none, in place of others.
    pub(super) fn set_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        match id.map(|id| raw::mkdirat(&self.blobs, name(&id), Mode::RWXU)) {
            None | Some(Ok(()) | Err(Errno::EXIST)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
        for entry in raw::Dir::read_from(&self.blobs)? {
            let entry = entry?;
            let former = entry.file_name().to_str().ok().and_then(parse);
            if let Some(former) = former.filter(|former| Some(*former) != id) {
                raw::unlinkat(&self.blobs, name(&former), AtFlags::REMOVEDIR)?;
            }
        }
        Ok(raw::fsync(&self.blobs)?)
    }

    fn away(&self, problem: &str) -> BlobError {
        BlobError::Away(format!("the folder of blobs {} {problem}", self.path.display()))
    }
}

/// A folder of copies as it is found, before anything is made in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its id, where it has one.
    pub id: Option<StoreId>,
    /// Whether it holds a copy, or anything else in a copy's place.
    pub has_copies: bool,
}

impl Found {
    /// Looks at the folder of copies in `data`, which need not be there.
    pub fn look(data: &Path) -> Result<Self, BlobError> {
        let path = super::folder(data);
        let root = match Root::open(&path) {
            Ok(root) => root,
            Err(BlobError::NotFound) => return Ok(Self { id: None, has_copies: false }),
            Err(error) => return Err(error),
        };
        Ok(Self { id: root.id()?, has_copies: has_copies(&path)? })
    }
}

/// How many of these copies are files of these sizes in `data`.
pub fn count_present(data: &Path, copies: &[(CopyId, u64)]) -> usize {
    let folder = super::folder(data);
    let is_there = |(id, size): &&(CopyId, u64)| {
        let found = fs::symlink_metadata(folder.join(super::name(*id)));
        found.is_ok_and(|found| found.is_file() && found.len() == *size)
    };
    copies.iter().filter(is_there).count()
}

/// Whether anything is in one of the 256 folders.
fn has_copies(path: &Path) -> Result<bool, BlobError> {
    for number in 0..=255_u8 {
        match fs::read_dir(path.join(format!("{number:02x}"))) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn name(id: &StoreId) -> String {
    format!("{PREFIX}{id}")
}

fn parse(name: &str) -> Option<StoreId> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn is_same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}
