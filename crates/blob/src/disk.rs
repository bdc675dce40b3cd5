//! Copies as files: `blobs/<last 2 hex of id>/<id>`, written where they stay.
//!
//! No rename and no second folder: a row is there before its file is, so that a file nobody finished is found
//! by its row, and start-up looks at nothing.

mod read;
mod write;

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::time::{Instant, sleep};

use crate::hashing::blocking;
use crate::{BlobError, BlobReader, BlobStore, Claim, CopyId, Stamp};
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
    blobs: OwnedFd,
    failed: AtomicBool,
    buffers: Buffers,
    /// The first descriptor that no copy takes. The kernel gives the lowest that is free.
    kept_from: RawFd,
}

impl DiskStore {
    /// Opens the store in `data`, and makes its folders where they are missing.
    pub fn open(data: &Path) -> Result<Self, BlobError> {
        let folder = data.join("blobs");
        let missing = !folder.join("ff").is_dir();
        if missing {
            for name in 0..=255_u8 {
                std::fs::create_dir_all(folder.join(format!("{name:02x}")))?;
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let blobs = fs::open(&folder, flags, Mode::empty())?;
        if missing {
            fs::fsync(&blobs)?;
            File::open(data)?.sync_all()?;
        }
        let (failed, buffers) = (AtomicBool::new(false), Buffers::default());
        let kept_from = kept_from();
        Ok(Self(Arc::new(Folder { blobs, failed, buffers, kept_from })))
    }
}

#[async_trait]
impl BlobStore for DiskStore {
    async fn claim(&self, id: CopyId) -> Result<Box<dyn Claim>, BlobError> {
        self.0.check_health()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let folder = self.0.clone();
            match blocking(move || FileClaim::take(folder, id)).await {
                Ok(claim) => return Ok(Box::new(claim)),
                Err(BlobError::Busy) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError> {
        // Inline where the kernel has the name at hand; only a disk that must be asked takes a thread.
        let file = match self.0.open_file(id, OFlags::RDONLY, ResolveFlags::CACHED) {
            Err(BlobError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let folder = self.0.clone();
                blocking(move || folder.open_file(id, OFlags::RDONLY, ResolveFlags::empty()))
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

    fn healthy(&self) -> bool {
        self.0.check_health().is_ok()
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

    /// Opens a copy's file. No part of its name may be a symbolic link, whoever put it there.
    fn open_file(
        &self,
        id: CopyId,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<File, BlobError> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode =
            if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = fs::openat2(&self.blobs, name(id), flags, mode, resolve)?;
        if file.as_raw_fd() >= self.kept_from {
            if flags.contains(OFlags::CREATE) {
                fs::unlinkat(&self.blobs, name(id), AtFlags::empty())?;
            }
            return Err(BlobError::TooManyFiles);
        }
        let kind = FileType::from_raw_mode(fs::fstat(&file)?.st_mode);
        if kind == FileType::RegularFile { Ok(file.into()) } else { Err(BlobError::NotAFile) }
    }

    /// Locks a copy's file, and says whether it was made for that: without a file there is nothing to lock.
    /// The lock ends with its process, however that ends.
    fn lock(&self, id: CopyId) -> Result<(File, bool), BlobError> {
        let (file, new) = match self.open_file(id, OFlags::RDWR, ResolveFlags::empty()) {
            Ok(file) => (file, false),
            Err(BlobError::NotFound) => (self.create(id)?, true),
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

    fn create(&self, id: CopyId) -> Result<File, BlobError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        match self.open_file(id, flags, ResolveFlags::empty()) {
            // Another request began with the copy at the same moment.
            Err(BlobError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(BlobError::Busy)
            }
            created => created,
        }
    }

    /// Removes a locked file that nobody wrote to, unless somebody else removed it.
    fn remove_unused(&self, id: CopyId, file: &File) {
        if fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0) {
            let _ = fs::unlinkat(&self.blobs, name(id), AtFlags::empty());
        }
    }

    fn remove(&self, id: CopyId) -> Result<(), BlobError> {
        match fs::unlinkat(&self.blobs, name(id), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => self.sync_folder(id),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_folder(&self, id: CopyId) -> Result<(), BlobError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = fs::openat(&self.blobs, folder_name(id), flags, Mode::empty())?;
        self.synced(fs::fsync(folder))
    }
}

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
    let stat = fs::fstat(file)?;
    let nanos = |seconds: i64, nanos: u64| {
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos as i64)
    };
    let stamp = Stamp {
        mtime_ns: nanos(stat.st_mtime, stat.st_mtime_nsec),
        ctime_ns: nanos(stat.st_ctime, stat.st_ctime_nsec),
    };
    Ok((stat.st_size as u64, stamp))
}

#[cfg(test)]
mod tests;
