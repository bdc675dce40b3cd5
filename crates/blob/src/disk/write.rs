//! Writing a file: batches are hashed and written while the next ones are received.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use model::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{self, Advice};
use rustix::io::Errno;

use super::place::Root;
use super::{Folder, open_shard, remove_unused, stamp};
use crate::hashing::{self, blocking};
use crate::lane::{Lane, Worker};
use crate::{Batch, BlobError, BlobWriter, Checkpoint, Claim, CopyId, FinishError, Held, Stored};

/// The kernel is asked to begin with writing after this many bytes, so that the last sync has little to do.
const WRITE_BEHIND: u64 = 8 << 20;

/// The lock on a copy's file.
pub(super) struct FileClaim {
    folder: Arc<Folder>,
    root: Arc<Root>,
    id: CopyId,
    file: Arc<File>,
    /// Whether the file was made to be locked, and nobody wrote to it yet.
    new: bool,
}

/// The row may have gone while its copy was claimed: then nobody would find the file again.
impl Drop for FileClaim {
    fn drop(&mut self) {
        if self.new {
            remove_unused(&self.root, self.id, &self.file);
        }
    }
}

#[async_trait]
impl Claim for FileClaim {
    async fn open(
        self: Box<Self>,
        algorithm: Algorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let from = from.clone();
        let (hasher, file) = blocking(move || self.open_at(algorithm, &from)).await?;
        let offset = file.offset;
        Ok(Box::new(FileWriter { offset, hasher: Lane::new(hasher), file: Lane::new(file) }))
    }
}

impl FileClaim {
    /// Claims a copy, unless somebody else has it.
    pub(super) fn take(folder: Arc<Folder>, id: CopyId) -> Result<Self, BlobError> {
        let root = folder.root();
        let (file, new) = folder.lock(&root, id)?;
        Ok(Self { folder, root, id, file: Arc::new(file), new })
    }

    fn open_at(
        mut self,
        algorithm: Algorithm,
        from: &Checkpoint,
    ) -> Result<(Hasher, Output), BlobError> {
        let (folder, root) = (self.folder.clone(), self.root.clone());
        let (id, file) = (self.id, self.file.clone());
        let length = fs::fstat(&file)?.st_size as u64;
        if length < from.offset {
            return Err(BlobError::Lost);
        }
        if length > from.offset {
            file.set_len(from.offset)?;
        }
        let hasher =
            hashing::resume(algorithm, &from.state, |take| read_through(&file, from.offset, take))?;
        self.new = false;
        let (offset, behind, durable) = (from.offset, from.offset, from.offset);
        Ok((hasher, Output { folder, root, id, file, offset, behind, durable }))
    }
}

fn read_through(file: &File, length: u64, take: &mut dyn FnMut(&[u8])) -> Result<(), BlobError> {
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

impl Worker for Hasher {
    fn take(&mut self, batch: &Batch) -> Result<(), BlobError> {
        hashing::update(self, &batch.frames);
        Ok(())
    }
}

/// A file that is written to, and what is known of it. The lock is the file's: it goes where the file goes.
struct Output {
    folder: Arc<Folder>,
    root: Arc<Root>,
    id: CopyId,
    file: Arc<File>,
    offset: u64,
    /// Up to where the kernel was asked to write.
    behind: u64,
    /// Up to where somebody was told that the bytes are durable.
    durable: u64,
}

impl Worker for Output {
    fn take(&mut self, batch: &Batch) -> Result<(), BlobError> {
        write_all_at(&self.file, &batch.frames, self.offset).map_err(|error| self.freed(error))?;
        self.offset += batch.length();
        if self.offset - self.behind >= WRITE_BEHIND {
            // Asks for dirty pages to be written, and returns before they are. It would also drop clean
            // ones, but just written ones are dirty.
            let length = NonZero::new(self.offset - self.behind);
            let _ = fs::fadvise(&self.file, self.behind, length, Advice::DontNeed);
            self.behind = self.offset;
        }
        Ok(())
    }
}

impl Output {
    fn sync(&self) -> Result<(), BlobError> {
        self.folder.check_health()?;
        match fs::fdatasync(&self.file) {
            // The kernel found no room for bytes that it had taken. Those of this file are lost, and its upload
            // with them; of what other files were told the kernel has said nothing.
            Err(full @ (Errno::NOSPC | Errno::DQUOT)) => return Err(self.freed(full.into())),
            synced => self.folder.synced(synced)?,
        }
        self.folder.synced(fs::fsync(open_shard(&self.root, self.id)?))?;
        // What went into a folder that is no longer at its place is not where the next reader looks.
        self.root.is_in_place().inspect_err(|_| self.folder.away.store(true, Ordering::Relaxed))
    }

    /// Gives back what found no room, so that others do. The upload cannot go on.
    fn freed(&self, error: BlobError) -> BlobError {
        if matches!(error, BlobError::Full) {
            let _ = self.file.set_len(self.durable);
        }
        error
    }

    fn finish(self) -> Result<Held<Stored>, BlobError> {
        self.sync()?;
        let (size, stamp) = stamp(&self.file)?;
        if size != self.offset {
            return Err(BlobError::Lost);
        }
        Ok(Held::new(Stored { size, stamp }, self.file))
    }
}

fn write_all_at(file: &File, frames: &[Bytes], mut offset: u64) -> Result<(), BlobError> {
    /// As many pieces as one call takes.
    const PIECES: usize = 256;
    let mut frames: VecDeque<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    while !frames.is_empty() {
        let slices: Vec<_> = frames.iter().take(PIECES).map(|frame| IoSlice::new(frame)).collect();
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

/// A file in the making: each batch is hashed and written, side by side.
struct FileWriter {
    offset: u64,
    hasher: Lane<Hasher>,
    file: Lane<Output>,
}

#[async_trait]
impl BlobWriter for FileWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, batch: Batch) -> Result<(), BlobError> {
        let batch = Arc::new(batch);
        self.file.push(batch.clone()).await?;
        self.offset += batch.length();
        self.hasher.push(batch).await
    }

    async fn checkpoint(&mut self) -> Result<Held<Checkpoint>, BlobError> {
        let (hasher, file) = (self.hasher.finish().await?, self.file.finish().await?);
        let synced = move || {
            file.sync()?;
            Ok::<_, BlobError>(Output { durable: file.offset, ..file })
        };
        let file = blocking(synced).await?;
        let checkpoint = Checkpoint { offset: file.offset, state: hasher.save() };
        let checkpoint = Held::new(checkpoint, file.file.clone());
        self.hasher.resume(hasher);
        self.file.resume(file);
        Ok(checkpoint)
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<Held<Stored>, FinishError> {
        let (hasher, file) = (self.hasher.finish().await?, self.file.finish().await?);
        let actual = hasher.finish();
        if actual != *expected {
            return Err(FinishError::Mismatch { actual });
        }
        Ok(blocking(move || file.finish()).await?)
    }
}
