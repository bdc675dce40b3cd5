//! Writing of a copy's file. Batches are hashed and written while the next batches are received.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use model::digest::{Digest, DigestAlgorithm, DigestHasher};
use rustix::fs::{self, Advice, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::read::OpenFile;
use super::root_folder::RootFolder;
use super::{LockedFile, StoreFolder, delete_unused, open_file, open_shard, size_and_times};
use crate::growing::ProgressSender;
use crate::hashing::{self, blocking};
use crate::worker_queue::{BatchWorker, WorkerQueue};
use crate::{
    BlobError, BlobWriter, Checkpoint, CopyId, FinishError, GrowingCopy, Locked, StoredCopy,
    UploadBatch, WriteClaim,
};

/// The number of bytes after which the kernel is asked to begin writing them to the disk, so that the last sync has
/// little to do.
const WRITE_BEHIND: u64 = 8 << 20;

/// The lock on the file of a copy.
pub(super) struct FileClaim {
    folder: Arc<StoreFolder>,
    root: Arc<RootFolder>,
    id: CopyId,
    file: Arc<File>,
    /// Tells whether the file was created for the lock, and nothing was written to it.
    is_unused: bool,
}

/// Deletes an unused file. The row of the copy may have been deleted while the copy was claimed, and without the row
/// nobody would find the file again.
impl Drop for FileClaim {
    fn drop(&mut self) {
        if self.is_unused {
            delete_unused(&self.root, self.id, &self.file);
        }
    }
}

#[async_trait]
impl WriteClaim for FileClaim {
    async fn open(
        self: Box<Self>,
        algorithm: DigestAlgorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let from = from.clone();
        let (folder, root, id) = (self.folder.clone(), self.root.clone(), self.id);
        let (hasher, file) = blocking(move || self.open_at(algorithm, &from)).await?;
        let (offset, progress) = (file.offset, file.progress.clone());
        let (hasher, file) = (WorkerQueue::new(hasher), WorkerQueue::new(file));
        Ok(Box::new(FileWriter { offset, hasher, file, progress, folder, root, id }))
    }
}

impl FileClaim {
    /// Claims a copy. Fails with [`BlobError::Busy`] if another writer has claimed it.
    pub(super) fn take(folder: Arc<StoreFolder>, id: CopyId) -> Result<Self, BlobError> {
        let root = folder.root();
        let LockedFile { file, is_new } = folder.lock(&root, id)?;
        Ok(Self { folder, root, id, file: Arc::new(file), is_unused: is_new })
    }

    fn open_at(
        mut self,
        algorithm: DigestAlgorithm,
        from: &Checkpoint,
    ) -> Result<(DigestHasher, FileOutput), BlobError> {
        let (folder, root) = (self.folder.clone(), self.root.clone());
        let (id, file) = (self.id, self.file.clone());
        let length = fs::fstat(&file)?.st_size as u64;
        if length < from.offset {
            return Err(BlobError::Lost);
        }
        if length > from.offset {
            file.set_len(from.offset)?;
        }
        let hasher = hashing::restore_hasher(algorithm, &from.hash_state, |take| {
            read_file(&file, from.offset, take)
        })?;
        self.is_unused = false;
        let (offset, writeback, durable) = (from.offset, from.offset, from.offset);
        let progress = ProgressSender::new(offset);
        Ok((hasher, FileOutput { folder, root, id, file, offset, writeback, durable, progress }))
    }
}

/// Reads the first `length` bytes of a file, and passes them to `take`.
fn read_file(file: &File, length: u64, take: &mut dyn FnMut(&[u8])) -> Result<(), BlobError> {
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        let wanted = buffer.len().min(usize::try_from(length - offset).unwrap_or(usize::MAX));
        let read = file.read_at(&mut buffer[..wanted], offset)?;
        if read == 0 {
            return Err(BlobError::Lost);
        }
        take(&buffer[..read]);
        offset += read as u64;
    }
    Ok(())
}

impl BatchWorker for DigestHasher {
    fn process(&mut self, batch: &UploadBatch) -> Result<(), BlobError> {
        hashing::update(self, &batch.frames);
        Ok(())
    }
}

/// The file of a copy, open for writing. The file owns the lock, which ends when the file is closed.
struct FileOutput {
    folder: Arc<StoreFolder>,
    root: Arc<RootFolder>,
    id: CopyId,
    file: Arc<File>,
    /// The number of bytes that have been written.
    offset: u64,
    /// The number of bytes that the kernel was asked to write to the disk.
    writeback: u64,
    /// The number of bytes that a checkpoint has said to be durable.
    durable: u64,
    progress: ProgressSender,
}

impl BatchWorker for FileOutput {
    fn process(&mut self, batch: &UploadBatch) -> Result<(), BlobError> {
        write_all_at(&self.file, &batch.frames, self.offset)
            .map_err(|error| self.free_space(error))?;
        self.offset += batch.length();
        self.progress.set_written(self.offset);
        if self.offset - self.writeback >= WRITE_BEHIND {
            // This asks the kernel to write dirty pages, and returns before they are written. It would also drop clean
            // pages from the cache, but pages that were just written are dirty.
            let length = NonZero::new(self.offset - self.writeback);
            let _ = fs::fadvise(&self.file, self.writeback, length, Advice::DontNeed);
            self.writeback = self.offset;
        }
        Ok(())
    }
}

impl FileOutput {
    fn sync(&self) -> Result<(), BlobError> {
        self.folder.check_health()?;
        match fs::fdatasync(&self.file) {
            // The disk has no space for bytes that the kernel had accepted. Only the bytes of this file are lost, so
            // that only this upload fails. The error says nothing about other files, and the store stays healthy.
            Err(full @ (Errno::NOSPC | Errno::DQUOT)) => return Err(self.free_space(full.into())),
            synced => self.folder.check_sync(synced)?,
        }
        self.folder.check_sync(fs::fsync(open_shard(&self.root, self.id)?))?;
        // If another folder has taken the path meanwhile, readers would look for the copy there and not find it.
        self.root.is_in_place().inspect_err(|_| self.folder.away.store(true, Ordering::Relaxed))
    }

    /// Returns the error. If the disk is full, the file is cut to its durable bytes first, to free space for other
    /// uploads. This upload has failed anyway.
    fn free_space(&self, error: BlobError) -> BlobError {
        if matches!(error, BlobError::Full) {
            let _ = self.file.set_len(self.durable);
        }
        error
    }

    fn finish(self) -> Result<Locked<StoredCopy>, BlobError> {
        self.sync()?;
        let stored = size_and_times(&fs::fstat(&self.file)?);
        if stored.size != self.offset {
            return Err(BlobError::Lost);
        }
        Ok(Locked::new(stored, self.file))
    }
}

fn write_all_at(file: &File, frames: &[Bytes], mut offset: u64) -> Result<(), BlobError> {
    /// The largest number of buffers for one call.
    const MAX_SLICES: usize = 256;
    let mut frames: VecDeque<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    while !frames.is_empty() {
        let slices: Vec<_> =
            frames.iter().take(MAX_SLICES).map(|frame| IoSlice::new(frame)).collect();
        let mut written = rustix::io::pwritev(file, &slices, offset)?;
        offset += written as u64;
        while let Some(frame) = frames.front_mut() {
            if frame.len() > written {
                *frame = &frame[written..];
                break;
            }
            written -= frame.len();
            frames.pop_front();
        }
    }
    Ok(())
}

/// The writer of a copy. Each batch goes to two workers, which hash and write it at the same time.
struct FileWriter {
    offset: u64,
    hasher: WorkerQueue<DigestHasher>,
    file: WorkerQueue<FileOutput>,
    progress: ProgressSender,
    folder: Arc<StoreFolder>,
    root: Arc<RootFolder>,
    id: CopyId,
}

#[async_trait]
impl BlobWriter for FileWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, batch: UploadBatch) -> Result<(), BlobError> {
        let batch = Arc::new(batch);
        self.file.push(batch.clone()).await?;
        self.offset += batch.length();
        self.hasher.push(batch).await
    }

    async fn growing(&mut self) -> Result<GrowingCopy, BlobError> {
        // The lock belongs to the open file of the writer, so readers open the file by its name.
        let (root, id) = (self.root.clone(), self.id);
        let open = move || open_file(&root, id, OFlags::RDONLY, ResolveFlags::empty());
        let file = blocking(open).await?;
        Ok(self.progress.reader(Arc::new(OpenFile { file, folder: self.folder.clone() })))
    }

    async fn checkpoint(&mut self) -> Result<Locked<Checkpoint>, BlobError> {
        let (hasher, file) = (self.hasher.take_worker().await?, self.file.take_worker().await?);
        let sync = move || {
            file.sync()?;
            Ok::<_, BlobError>(FileOutput { durable: file.offset, ..file })
        };
        let file = blocking(sync).await?;
        let checkpoint = Checkpoint { offset: file.offset, hash_state: hasher.save() };
        let checkpoint = Locked::new(checkpoint, file.file.clone());
        self.hasher.put_worker(hasher);
        self.file.put_worker(file);
        Ok(checkpoint)
    }

    async fn finish(
        mut self: Box<Self>,
        expected: &Digest,
    ) -> Result<Locked<StoredCopy>, FinishError> {
        let (hasher, file) = (self.hasher.take_worker().await?, self.file.take_worker().await?);
        let actual = hasher.finish();
        if actual != *expected {
            return Err(FinishError::Mismatch { actual });
        }
        self.progress.set_verified();
        Ok(blocking(move || file.finish()).await?)
    }
}
