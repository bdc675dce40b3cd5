//! Copies as files: `blobs/<last 2 hex of id>/<id>`, written where they stay.
//!
//! No rename and no second folder: a row is there before its file is, so that a file nobody finished is found
//! by its row, and start-up looks at nothing.

mod place;
mod read;
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
use crate::{BlobError, BlobReader, BlobStore, Claim, CopyId, DiskSpace, Stamp, StoreId};
use place::Root;
pub use place::{Found, count_present};
use read::{Buffers, FileReader};
use write::FileClaim;

/// How long a claim waits for another writer, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Descriptors that no copy takes: clients decide how many copies are open, and the database needs some.
const KEPT_DESCRIPTORS: RawFd = 32;

/// A folder of copies.
#[derive(Clone)]
pub struct DiskStore(Arc<Folder>);

/// The folder, and whether it still keeps what it is given.
struct Folder {
    path: PathBuf,
    /// What new requests go by: another one after the folder went away and came back.
    root: RwLock<Arc<Root>>,
    /// Known from when the store was asked for it or given it.
    id: Mutex<Option<StoreId>>,
    /// Whether it was away when it was last looked for.
    away: AtomicBool,
    failed: AtomicBool,
    buffers: Buffers,
}

impl DiskStore {
    /// Opens the store in `data`, and makes its folders where they are missing.
    pub fn open(data: &Path) -> Result<Self, BlobError> {
        let path = folder(data);
        let missing = !path.join("ff").is_dir();
        if missing {
            for name in 0..=255_u8 {
                std::fs::create_dir_all(path.join(format!("{name:02x}")))?;
            }
        }
        let root = Root::open(&path)?;
        if missing {
            fs::fsync(&root.blobs)?;
            File::open(data)?.sync_all()?;
        }
        Ok(Self(Arc::new(Folder {
            path,
            id: Mutex::new(root.id()?),
            root: RwLock::new(Arc::new(root)),
            away: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            buffers: Buffers::default(),
        })))
    }
}

#[async_trait]
impl BlobStore for DiskStore {
    async fn claim(&self, id: CopyId) -> Result<Box<dyn Claim>, BlobError> {
        self.0.check_health()?;
        if self.0.away.load(Ordering::Relaxed) {
            // It may be back, and nobody looked yet.
            self.check_place().await?;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut looked = false;
        loop {
            let folder = self.0.clone();
            match blocking(move || FileClaim::take(folder, id)).await {
                Ok(claim) => return Ok(Box::new(claim)),
                // The folder is gone that it should go to: another one may have come.
                Err(BlobError::NotFound) if !looked && self.check_place().await.is_ok() => {
                    looked = true;
                }
                Err(BlobError::Busy) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                Err(error @ (BlobError::NotAFile | BlobError::Io(_))) => {
                    // It may be the folder that something else stands in the place of.
                    self.check_place().await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError> {
        // Inline where the kernel has the name at hand; only a disk that must be asked takes a thread.
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
        blocking(move || folder.remove(id)).await
    }

    async fn check_place(&self) -> Result<(), BlobError> {
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

    fn healthy(&self) -> bool {
        self.0.check_health().is_ok()
    }

    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        let folder = self.0.clone();
        blocking(move || folder.disk_space()).await
    }
}

impl Folder {
    fn check_health(&self) -> Result<(), BlobError> {
        if self.failed.load(Ordering::Relaxed) { Err(BlobError::Unhealthy) } else { Ok(()) }
    }

    /// A sync that failed once has dropped what it should have kept; the next one would say all is well.
    fn synced(&self, outcome: Result<(), Errno>) -> Result<(), BlobError> {
        outcome.map_err(|error| {
            tracing::error!(%error, "the blob store failed to sync: {error}");
            self.failed.store(true, Ordering::Relaxed);
            BlobError::Unhealthy
        })
    }

    fn root(&self) -> Arc<Root> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Claims a copy's file. A folder in the store that is gone is made anew where the store is itself.
    fn lock(&self, root: &Root, id: CopyId) -> Result<(File, bool), BlobError> {
        match lock(root, id) {
            Err(BlobError::NotFound) => {
                let known = *self.id.lock().unwrap_or_else(PoisonError::into_inner);
                if known.is_none_or(|known| root.check_id(&known).is_err()) {
                    return Err(BlobError::NotFound);
                }
                make_shard(root, id)?;
                lock(root, id)
            }
            locked => locked,
        }
    }

    /// Whether the folder is where it was, is itself, and can be written to. One that took its place with the same id
    /// is taken for it: a file system may have been mounted once more.
    fn check_place(&self) -> Result<(), BlobError> {
        let (root, id) = (self.root(), *self.id.lock().unwrap_or_else(PoisonError::into_inner));
        let checked = match (root.is_in_place(), id) {
            (Ok(()), Some(id)) => root.check_id(&id),
            (Ok(()), None) => Ok(()),
            (Err(away), Some(id)) => match Root::open(&self.path) {
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

    fn remove(&self, id: CopyId) -> Result<(), BlobError> {
        let root = self.root();
        let shard = open_shard(&root, id)?;
        let name = id.to_string();
        match fs::unlinkat(&shard, &name, AtFlags::empty()) {
            Ok(()) => {}
            // Whether it is gone, only the store itself can say.
            Err(Errno::NOENT) => self.check_place()?,
            Err(Errno::ISDIR | Errno::PERM) => fs::unlinkat(&shard, &name, AtFlags::REMOVEDIR)?,
            Err(error) => return Err(error.into()),
        }
        self.synced(fs::fsync(shard))
    }

    /// The room of the disk with less of it: blobs may be on one of their own.
    fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        let data = self.path.parent().map(DiskSpace::of).transpose()?.flatten();
        let blobs = DiskSpace::of_open(&self.root().blobs)?;
        Ok(data.into_iter().chain(blobs).min_by_key(|space| space.free))
    }
}

/// Opens a copy's file. No part of its name may be a symbolic link, whoever put it there, and nothing that stands in
/// its place can keep the opener waiting.
fn open_file(
    root: &Root,
    id: CopyId,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<File, BlobError> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = fs::openat2(&root.blobs, name(id), flags, mode, resolve)?;
    if file.as_raw_fd() >= root.kept_from {
        if flags.contains(OFlags::CREATE) {
            fs::unlinkat(&root.blobs, name(id), AtFlags::empty())?;
        }
        return Err(BlobError::TooManyFiles);
    }
    let kind = FileType::from_raw_mode(fs::fstat(&file)?.st_mode);
    if kind == FileType::RegularFile { Ok(file.into()) } else { Err(BlobError::NotAFile) }
}

/// Locks a copy's file, and says whether it was made for that: without a file there is nothing to lock. The lock ends
/// with its process, however that ends.
fn lock(root: &Root, id: CopyId) -> Result<(File, bool), BlobError> {
    let (file, new) = match open_file(root, id, OFlags::RDWR, ResolveFlags::empty()) {
        Ok(file) => (file, false),
        Err(BlobError::NotFound) => (create(root, id)?, true),
        Err(error) => return Err(error),
    };
    match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // Removed between the two steps: what was locked is no longer the copy.
        Ok(()) if fs::fstat(&file)?.st_nlink == 0 => Err(BlobError::Busy),
        Ok(()) => Ok((file, new)),
        Err(Errno::WOULDBLOCK) => Err(BlobError::Busy),
        Err(error) => Err(error.into()),
    }
}

fn create(root: &Root, id: CopyId) -> Result<File, BlobError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    match open_file(root, id, flags, ResolveFlags::empty()) {
        // Another request began with the copy at the same moment.
        Err(BlobError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(BlobError::Busy)
        }
        created => created,
    }
}

/// Makes one of the 256 folders that is gone. What was in it is missed when it is read; what is new has to go
/// somewhere.
fn make_shard(root: &Root, id: CopyId) -> Result<(), BlobError> {
    tracing::error!("the folder {} of the store is missing and made anew", folder_name(id));
    match fs::mkdirat(&root.blobs, folder_name(id), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(fs::fsync(&root.blobs)?),
        Err(error) => Err(error.into()),
    }
}

/// Removes a locked file that nobody wrote to, unless somebody else removed it.
fn remove_unused(root: &Root, id: CopyId, file: &File) {
    if fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0) {
        let _ = fs::unlinkat(&root.blobs, name(id), AtFlags::empty());
    }
}

fn open_shard(root: &Root, id: CopyId) -> Result<OwnedFd, BlobError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(fs::openat(&root.blobs, folder_name(id), flags, Mode::empty())?)
}

/// Where the store is in the data folder.
fn folder(data: &Path) -> PathBuf {
    data.join("blobs")
}

/// The first descriptor that no copy takes. The kernel gives the lowest that is free.
fn kept_from() -> RawFd {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(RawFd::MAX);
    (limit - KEPT_DESCRIPTORS).max(limit / 2)
}

fn folder_name(id: CopyId) -> String {
    format!("{:02x}", id.0[15])
}

fn name(id: CopyId) -> String {
    format!("{}/{id}", folder_name(id))
}

fn stamp(file: &File) -> Result<(u64, Stamp), BlobError> {
    Ok(measured(&fs::fstat(file)?))
}

/// Size and times of a file.
fn measured(stat: &Stat) -> (u64, Stamp) {
    let nanos = |seconds: i64, nanos: u64| {
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos as i64)
    };
    let stamp = Stamp {
        mtime_ns: nanos(stat.st_mtime, stat.st_mtime_nsec),
        ctime_ns: nanos(stat.st_ctime, stat.st_ctime_nsec),
    };
    (stat.st_size as u64, stamp)
}

#[cfg(test)]
mod tests;
