//! A store on a disk. Each copy is one file, `blobs/<last 2 hex digits of id>/<id>`, which is written under its final
//! name.
//!
//! There is no temporary name and no second folder. The row of a copy is written before its file, so that an unfinished
//! file is found through its row, and the start-up does not have to search the folder.

mod read;
mod root_folder;
mod write;

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::time::{Instant, sleep};

use crate::hashing::blocking;
use crate::{
    BlobError, BlobReader, BlobStore, CopyId, DiskSpace, FileTimes, StoreId, StoredCopy, WriteClaim,
};
use read::{BufferPool, FileReader};
use root_folder::RootFolder;
pub use root_folder::{FolderState, count_existing_copies};
use write::FileClaim;

/// The time that a claim waits for another writer.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between two attempts to claim a copy.
const CLAIM_INTERVAL: Duration = Duration::from_millis(20);
/// The number of file descriptors that copies must not take. Clients decide how many copies are open, and the database
/// needs some descriptors too.
const RESERVED_DESCRIPTORS: RawFd = 32;

/// A store in a folder on a disk.
#[derive(Clone)]
pub struct DiskStore(Arc<StoreFolder>);

/// The folder of a store, and its state.
struct StoreFolder {
    path: PathBuf,
    /// The open folder, for new requests. It is replaced when the folder was away and came back.
    root: RwLock<Arc<RootFolder>>,
    /// The id of the store, if it had one when it was opened, or has been given one since.
    id: Mutex<Option<StoreId>>,
    /// Tells whether the folder was away at the last check.
    away: AtomicBool,
    /// Tells whether a sync has failed.
    failed: AtomicBool,
    buffers: BufferPool,
}

impl DiskStore {
    /// Opens the store in the folder `data`, and creates its folders if they are missing.
    pub fn open(data: &Path) -> Result<Self, BlobError> {
        let path = blobs_path(data);
        let is_missing = !path.join("ff").is_dir();
        if is_missing {
            for name in 0..=255_u8 {
                std::fs::create_dir_all(path.join(format!("{name:02x}")))?;
            }
        }
        let root = RootFolder::open(&path)?;
        if is_missing {
            fs::fsync(&root.blobs)?;
            File::open(data)?.sync_all()?;
        }
        Ok(Self(Arc::new(StoreFolder {
            path,
            id: Mutex::new(root.id()?),
            root: RwLock::new(Arc::new(root)),
            away: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            buffers: BufferPool::default(),
        })))
    }
}

#[async_trait]
impl BlobStore for DiskStore {
    async fn claim(&self, id: CopyId) -> Result<Box<dyn WriteClaim>, BlobError> {
        self.0.check_health()?;
        if self.0.away.load(Ordering::Relaxed) {
            // The folder may be back since the last check.
            self.check_location().await?;
        }
        let deadline = Instant::now() + CLAIM_TIMEOUT;
        let mut has_checked = false;
        loop {
            let folder = self.0.clone();
            match blocking(move || FileClaim::take(folder, id)).await {
                Ok(claim) => return Ok(Box::new(claim)),
                // The folder of the copy is gone. The check may find that the store is back in another folder.
                Err(BlobError::NotFound) if !has_checked && self.check_location().await.is_ok() => {
                    has_checked = true;
                }
                Err(BlobError::Busy) if Instant::now() < deadline => sleep(CLAIM_INTERVAL).await,
                Err(error @ (BlobError::NotAFile | BlobError::Io(_))) => {
                    // If the cause is the folder of the copy, the check returns an error that says so.
                    self.check_location().await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError> {
        // If the kernel has the name in its cache, the file is opened on this thread. Only an open that has to read
        // from the disk takes another thread.
        let root = self.0.root();
        let file = match open_file(&root, id, OFlags::RDONLY, ResolveFlags::CACHED) {
            Err(BlobError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                blocking(move || open_file(&root, id, OFlags::RDONLY, ResolveFlags::empty()))
                    .await?
            }
            opened => opened?,
        };
        Ok(Arc::new(FileReader::new(file, self.0.clone())?))
    }

    async fn delete(&self, id: CopyId) -> Result<(), BlobError> {
        let folder = self.0.clone();
        blocking(move || folder.delete(id)).await
    }

    async fn check_location(&self) -> Result<(), BlobError> {
        let folder = self.0.clone();
        blocking(move || folder.check_place()).await
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        let folder = self.0.clone();
        blocking(move || folder.root().id()).await
    }

    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        let folder = self.0.clone();
        blocking(move || {
            folder.root().set_id(id)?;
            *folder.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
            Ok(())
        })
        .await
    }

    fn is_healthy(&self) -> bool {
        self.0.check_health().is_ok()
    }

    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        let folder = self.0.clone();
        blocking(move || folder.disk_space()).await
    }
}

impl StoreFolder {
    fn check_health(&self) -> Result<(), BlobError> {
        if self.failed.load(Ordering::Relaxed) { Err(BlobError::Unhealthy) } else { Ok(()) }
    }

    /// Records a failed sync. The kernel may have dropped the bytes that could not be written, and the next sync would
    /// succeed without them. Therefore the store takes no writes any more.
    fn check_sync(&self, outcome: Result<(), Errno>) -> Result<(), BlobError> {
        outcome.map_err(|error| {
            tracing::error!(%error, "the blob store failed to sync: {error}");
            self.failed.store(true, Ordering::Relaxed);
            BlobError::Unhealthy
        })
    }

    fn root(&self) -> Arc<RootFolder> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Locks the file of a copy. If the shard of the copy is missing, and the folder has the id of the store, the shard
    /// is created again.
    fn lock(&self, root: &RootFolder, id: CopyId) -> Result<LockedFile, BlobError> {
        match lock(root, id) {
            Err(BlobError::NotFound) => {
                let known = *self.id.lock().unwrap_or_else(PoisonError::into_inner);
                if known.is_none_or(|known| root.check_id(&known).is_err()) {
                    return Err(BlobError::NotFound);
                }
                create_shard(root, id)?;
                lock(root, id)
            }
            locked => locked,
        }
    }

    /// Checks that the folder at the configured path is the opened one, has the id of the store, and can be written to.
    /// Another folder with the same id is opened in its place: its file system may have been mounted again.
    fn check_place(&self) -> Result<(), BlobError> {
        let (root, id) = (self.root(), *self.id.lock().unwrap_or_else(PoisonError::into_inner));
        let checked = match (root.is_in_place(), id) {
            (Ok(()), Some(id)) => root.check_id(&id),
            (Ok(()), None) => Ok(()),
            (Err(away), Some(id)) => match RootFolder::open(&self.path) {
                Ok(other) if other.check_id(&id).is_ok() => {
                    *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(other);
                    Ok(())
                }
                Ok(_) | Err(_) => Err(away),
            },
            (Err(away), None) => Err(away),
        };
        let checked = checked.and_then(|()| self.root().check_shards());
        self.away.store(checked.is_err(), Ordering::Relaxed);
        checked
    }

    fn delete(&self, id: CopyId) -> Result<(), BlobError> {
        let root = self.root();
        let shard = open_shard(&root, id)?;
        let name = id.to_string();
        match fs::unlinkat(&shard, &name, AtFlags::empty()) {
            Ok(()) => {}
            // A missing file proves that the copy is deleted only if this is the right store.
            Err(Errno::NOENT) => self.check_place()?,
            Err(Errno::ISDIR | Errno::PERM) => fs::unlinkat(&shard, &name, AtFlags::REMOVEDIR)?,
            Err(error) => return Err(error.into()),
        }
        self.check_sync(fs::fsync(shard))
    }

    /// Returns the space of the file system with less free space: that of the data folder or that of the blobs, which
    /// may be on a disk of their own.
    fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        let data = self.path.parent().map(DiskSpace::of).transpose()?.flatten();
        let blobs = DiskSpace::of_open(&self.root().blobs)?;
        Ok(data.into_iter().chain(blobs).min_by_key(|space| space.free))
    }
}

/// Opens the file of a copy. No part of the path may be a symbolic link, because somebody else may have put it there.
/// The call does not block, even if a FIFO or a device has the name of the file.
fn open_file(
    root: &RootFolder,
    id: CopyId,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<File, BlobError> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = fs::openat2(&root.blobs, file_name(id), flags, mode, resolve)?;
    if file.as_raw_fd() >= root.first_reserved_descriptor {
        if flags.contains(OFlags::CREATE) {
            fs::unlinkat(&root.blobs, file_name(id), AtFlags::empty())?;
        }
        return Err(BlobError::TooManyFiles);
    }
    let kind = FileType::from_raw_mode(fs::fstat(&file)?.st_mode);
    if kind == FileType::RegularFile { Ok(file.into()) } else { Err(BlobError::NotAFile) }
}

/// The file of a copy, with an exclusive lock.
struct LockedFile {
    file: File,
    /// Tells whether the file was created only to lock it.
    is_new: bool,
}

/// Locks the file of a copy, and creates the file if it is missing. The lock ends at the latest when the process ends.
fn lock(root: &RootFolder, id: CopyId) -> Result<LockedFile, BlobError> {
    let (file, is_new) = match open_file(root, id, OFlags::RDWR, ResolveFlags::empty()) {
        Ok(file) => (file, false),
        Err(BlobError::NotFound) => (create_file(root, id)?, true),
        Err(error) => return Err(error),
    };
    match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // The file was deleted between the two calls, so that the locked file is not that of the copy any more.
        Ok(()) if fs::fstat(&file)?.st_nlink == 0 => Err(BlobError::Busy),
        Ok(()) => Ok(LockedFile { file, is_new }),
        Err(Errno::WOULDBLOCK) => Err(BlobError::Busy),
        Err(error) => Err(error.into()),
    }
}

fn create_file(root: &RootFolder, id: CopyId) -> Result<File, BlobError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    match open_file(root, id, flags, ResolveFlags::empty()) {
        // Another request created the file at the same moment.
        Err(BlobError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(BlobError::Busy)
        }
        created => created,
    }
}

/// Creates the shard of a copy again, one of the 256 folders. The copies that were in it are missing, which is noticed
/// when they are read. New copies need the folder.
fn create_shard(root: &RootFolder, id: CopyId) -> Result<(), BlobError> {
    tracing::error!("the folder {} of the store is missing; creating it again", shard_name(id));
    match fs::mkdirat(&root.blobs, shard_name(id), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(fs::fsync(&root.blobs)?),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a locked file that nothing was written to, unless it has been deleted already.
fn delete_unused(root: &RootFolder, id: CopyId, file: &File) {
    if fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0) {
        let _ = fs::unlinkat(&root.blobs, file_name(id), AtFlags::empty());
    }
}

fn open_shard(root: &RootFolder, id: CopyId) -> Result<OwnedFd, BlobError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(fs::openat(&root.blobs, shard_name(id), flags, Mode::empty())?)
}

/// Returns the path of the store in the data folder.
fn blobs_path(data: &Path) -> PathBuf {
    data.join("blobs")
}

/// Returns the first file descriptor that no copy may take. The kernel always uses the lowest free descriptor, so that
/// a higher one means that the lower ones are in use.
fn first_reserved_descriptor() -> RawFd {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(RawFd::MAX);
    (limit - RESERVED_DESCRIPTORS).max(limit / 2)
}

/// Returns the name of the shard of a copy: one of the 256 folders in the store.
fn shard_name(id: CopyId) -> String {
    format!("{:02x}", id.0[15])
}

/// Returns the path of a copy's file in the store.
fn file_name(id: CopyId) -> String {
    format!("{}/{id}", shard_name(id))
}

/// Returns the size and the times of a file.
fn size_and_times(stat: &Stat) -> StoredCopy {
    let nanos = |seconds: i64, nanos: u64| {
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos as i64)
    };
    let stamp = FileTimes {
        mtime_ns: nanos(stat.st_mtime, stat.st_mtime_nsec),
        ctime_ns: nanos(stat.st_ctime, stat.st_ctime_nsec),
    };
    StoredCopy { size: stat.st_size as u64, times: stamp }
}

#[cfg(test)]
mod tests;
