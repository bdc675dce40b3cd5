//! The root folder of a store, and checks that the folder at its path is still the one that was opened.
//!
//! The id of the store is in the name of an empty folder in the root folder, `store-<id>`. A folder is created in one
//! step, so that nobody can read half of the id.

use std::fs;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self as raw, Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::{BlobError, CopyId, StoreId};

const PREFIX: &str = "store-";

/// The open root folder. An operation uses the same open folder from its beginning to its end, also if another folder
/// takes its path meanwhile.
pub(super) struct RootFolder {
    pub(super) blobs: OwnedFd,
    path: PathBuf,
    stat: Stat,
    /// The first file descriptor that no copy may take.
    pub(super) first_reserved_descriptor: RawFd,
}

impl RootFolder {
    /// Opens the folder at `path`, which must exist.
    pub(super) fn open(path: &Path) -> Result<Self, BlobError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let blobs = raw::open(path, flags, Mode::empty())?;
        let stat = raw::fstat(&blobs)?;
        let first_reserved_descriptor = super::first_reserved_descriptor();
        Ok(Self { blobs, path: path.to_owned(), stat, first_reserved_descriptor })
    }

    /// Checks that the folder at the path is this one.
    pub(super) fn is_in_place(&self) -> Result<(), BlobError> {
        match raw::stat(&self.path) {
            Ok(stat) if is_same(&stat, &self.stat) => Ok(()),
            Ok(_) => Err(self.away("is not the one that was opened")),
            Err(error) => Err(self.away(&format!("cannot be found: {error}"))),
        }
    }

    /// Checks that the folder has this id.
    pub(super) fn check_id(&self, id: &StoreId) -> Result<(), BlobError> {
        match raw::statat(&self.blobs, id_folder_name(id), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => Err(self.away(&format!("has lost its id {id}"))),
            Err(error) => Err(self.away(&format!("cannot be read: {error}"))),
        }
    }

    /// Checks that files can be created in each of the 256 shards. A missing shard is not an error: it is created when
    /// it is needed.
    pub(super) fn check_shards(&self) -> Result<(), BlobError> {
        (0..=255_u8).try_for_each(|number| {
            let shard = format!("{number:02x}");
            let problem = match self.shard_problem(&shard) {
                Ok(None) | Err(Errno::NOENT) => return Ok(()),
                Ok(Some(problem)) => problem.to_owned(),
                Err(error) => format!("cannot be used: {error}"),
            };
            let path = self.path.join(&shard);
            Err(BlobError::StoreMissing(format!(
                "in the folder of blobs, {} {problem}",
                path.display()
            )))
        })
    }

    fn shard_problem(&self, shard: &str) -> Result<Option<&'static str>, Errno> {
        let stat = raw::statat(&self.blobs, shard, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Ok(Some("is a symbolic link, but must be a folder")),
            _ => return Ok(Some("is not a folder")),
        }
        let access = Access::WRITE_OK | Access::EXEC_OK;
        raw::accessat(&self.blobs, shard, access, AtFlags::EACCESS).map(|()| None)
    }

    /// Returns the id of the folder, if it has one.
    pub(super) fn id(&self) -> Result<Option<StoreId>, BlobError> {
        let mut found = None;
        for entry in raw::Dir::read_from(&self.blobs)? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().ok().and_then(parse_id) else { continue };
            if found.replace(id).is_some() {
                let problem = format!("the folder {} has two ids", self.path.display());
                return Err(BlobError::Io(std::io::Error::other(problem)));
            }
        }
        Ok(found)
    }

    /// Sets the id of the folder, or deletes it. Any other id is deleted.
    pub(super) fn set_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        match id.map(|id| raw::mkdirat(&self.blobs, id_folder_name(&id), Mode::RWXU)) {
            None | Some(Ok(()) | Err(Errno::EXIST)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
        for entry in raw::Dir::read_from(&self.blobs)? {
            let entry = entry?;
            let found = entry.file_name().to_str().ok().and_then(parse_id);
            if let Some(other) = found.filter(|found| Some(*found) != id) {
                raw::unlinkat(&self.blobs, id_folder_name(&other), AtFlags::REMOVEDIR)?;
            }
        }
        Ok(raw::fsync(&self.blobs)?)
    }

    fn away(&self, problem: &str) -> BlobError {
        BlobError::StoreMissing(format!("the folder of blobs {} {problem}", self.path.display()))
    }
}

/// The state of a folder of copies before a store is opened in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderState {
    /// The id of the folder, if it has one.
    pub id: Option<StoreId>,
    /// Tells whether one of the 256 shards has a copy, or any other file.
    pub has_copies: bool,
}

impl FolderState {
    /// Inspects the folder of copies in `data`, without creating or changing anything. A missing folder has no id and
    /// no copies.
    pub fn inspect(data: &Path) -> Result<Self, BlobError> {
        let path = super::blobs_path(data);
        let root = match RootFolder::open(&path) {
            Ok(root) => root,
            Err(BlobError::NotFound) => return Ok(Self { id: None, has_copies: false }),
            Err(error) => return Err(error),
        };
        Ok(Self { id: root.id()?, has_copies: has_copies(&path)? })
    }
}

/// Returns how many of these copies exist as files in `data`. Each copy is given with its size, which the file must
/// have.
pub fn count_existing_copies(data: &Path, copies: &[(CopyId, u64)]) -> usize {
    let folder = super::blobs_path(data);
    let is_present = |(id, size): &&(CopyId, u64)| {
        let metadata = fs::symlink_metadata(folder.join(super::file_name(*id)));
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == *size)
    };
    copies.iter().filter(is_present).count()
}

/// Returns whether one of the 256 shards has an entry.
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

fn id_folder_name(id: &StoreId) -> String {
    format!("{PREFIX}{id}")
}

fn parse_id(name: &str) -> Option<StoreId> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn is_same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}
