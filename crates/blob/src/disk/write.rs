//! Writing a file: each batch is hashed and written in the pool while the next one is received.

use std::fs::File;
use std::io::IoSlice;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use model::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{self, Advice};

use super::{Folder, stamp};
use crate::hashing::{self, Running, blocking};
use crate::{Batch, BlobError, BlobWriter, Checkpoint, Claim, CopyId, FinishError, Stored};

/// The kernel is asked to begin with writing after this many bytes, so that the last sync has little to do.
const WRITE_BEHIND: u64 = 8 << 20;

/// The lock on a copy, whose file may not be there yet.
pub(super) struct FileClaim {
    pub(super) folder: Arc<Folder>,
    pub(super) id: CopyId,
    pub(super) file: Option<File>,
}

#[async_trait]
impl Claim for FileClaim {
    async fn open(
        self: Box<Self>,
        algorithm: Algorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let from = from.clone();
        let open = move || self.open_at(algorithm, &from);
        let work = hashing::start(open).await.done().await?;
        let offset = work.offset;
        Ok(Box::new(FileWriter { offset, state: State::Idle(Box::new(work)) }))
    }
}

impl FileClaim {
    fn open_at(self, algorithm: Algorithm, from: &Checkpoint) -> Result<Work, BlobError> {
        let Self { folder, id, file } = self;
        let file = match file {
            Some(file) => file,
            None if from.offset == 0 => folder.create(id)?,
            None => return Err(BlobError::Lost),
        };
        let length = fs::fstat(&file)?.st_size as u64;
        if length < from.offset {
            return Err(BlobError::Lost);
        }
        if length > from.offset {
            file.set_len(from.offset)?;
        }
        let hasher =
            hashing::resume(algorithm, &from.state, |take| read_through(&file, from.offset, take))?;
        Ok(Work { folder, id, file, hasher, offset: from.offset, behind: from.offset })
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

/// What travels to the pool and back with every batch: no thread is held between two of them.
struct Work {
    folder: Arc<Folder>,
    id: CopyId,
    file: File,
    hasher: Hasher,
    offset: u64,
    /// Up to where the kernel was asked to write.
    behind: u64,
}

impl Work {
    fn append(&mut self, batch: Batch) -> Result<(), BlobError> {
        hashing::update(&mut self.hasher, &batch.frames);
        let length = batch.length();
        write_all_at(&self.file, batch.frames, self.offset)?;
        self.offset += length;
        if self.offset - self.behind >= WRITE_BEHIND {
            // Asks for dirty pages to be written, and returns before they are. It would also drop clean
            // ones, but just written ones are dirty.
            let length = NonZero::new(self.offset - self.behind);
            let _ = fs::fadvise(&self.file, self.behind, length, Advice::DontNeed);
            self.behind = self.offset;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), BlobError> {
        self.folder.check_health()?;
        self.folder.synced(fs::fdatasync(&self.file))?;
        self.folder.sync_folder(self.id)
    }

    fn finish(self, expected: &Digest) -> Result<Stored, FinishError> {
        let actual = self.hasher.clone().finish();
        if actual != *expected {
            return Err(FinishError::Mismatch { actual });
        }
        self.sync()?;
        let (size, stamp) = stamp(&self.file)?;
        if size != self.offset {
            return Err(BlobError::Lost.into());
        }
        Ok(Stored { size, stamp })
    }
}

fn write_all_at(file: &File, frames: Vec<Bytes>, mut offset: u64) -> Result<(), BlobError> {
    /// As many pieces as one call takes.
    const PIECES: usize = 256;
    let mut frames = std::collections::VecDeque::from(frames);
    while !frames.is_empty() {
        let slices: Vec<_> = frames.iter().take(PIECES).map(|frame| IoSlice::new(frame)).collect();
        let mut written = rustix::io::pwritev(file, &slices, offset)?;
        offset += written as u64;
        while let Some(frame) = frames.front_mut() {
            if frame.len() > written {
                frame.advance(written);
                break;
            }
            written -= frame.len();
            frames.pop_front();
        }
    }
    Ok(())
}

/// A file in the making.
struct FileWriter {
    offset: u64,
    state: State,
}

enum State {
    Idle(Box<Work>),
    Busy(Running<Result<Box<Work>, BlobError>>),
    /// A batch failed; what is in the file is not known.
    Broken,
}

impl FileWriter {
    /// Waits for the batch that is being written, if there is one.
    async fn work(&mut self) -> Result<Box<Work>, BlobError> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle(work) => Ok(work),
            State::Busy(running) => running.done().await,
            State::Broken => Err(BlobError::Lost),
        }
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, batch: Batch) -> Result<(), BlobError> {
        let length = batch.length();
        let mut work = self.work().await?;
        let running = hashing::start(move || work.append(batch).map(|()| work)).await;
        self.state = State::Busy(running);
        self.offset += length;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint, BlobError> {
        let work = self.work().await?;
        let (work, synced) = blocking(move || {
            let synced = work.sync();
            (work, synced)
        })
        .await;
        synced?;
        let checkpoint = Checkpoint { offset: work.offset, state: work.hasher.save() };
        self.state = State::Idle(work);
        Ok(checkpoint)
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<Stored, FinishError> {
        let (work, expected) = (self.work().await?, expected.clone());
        blocking(move || work.finish(&expected)).await
    }
}
