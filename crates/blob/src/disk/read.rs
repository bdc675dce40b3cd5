//! Reading a file: from the page cache on the caller's own thread, from the disk on another.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use model::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{Advice, fadvise, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Folder, measured, stamp};
use crate::frame_room::frame_room;
use crate::hashing::blocking;
use crate::{BlobError, BlobReader, BlobStream, Stamp};

/// What one frame of a download holds at most. It stays in a processor's cache between disk and socket.
const FRAME: usize = 256 << 10;
/// The buffers of smaller frames.
const HALF_FRAME: usize = FRAME / 2;
/// Up to this, buffers are made anew.
const QUARTER_FRAME: usize = FRAME / 4;
/// How many buffers wait for the next download.
const IDLE_BUFFERS: usize = 16;

/// Buffers that were used before: making a new one costs as much as filling it.
#[derive(Default)]
pub(super) struct Buffers {
    whole: Mutex<Vec<Vec<u8>>>,
    half: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer for so many bytes, and not for many more: it waits as long as its reader does.
    fn take(&self, wanted: usize) -> Vec<u8> {
        if wanted <= QUARTER_FRAME {
            return vec![0; wanted];
        }
        let is_half = wanted <= HALF_FRAME;
        let (idle, length) = if is_half { (&self.half, HALF_FRAME) } else { (&self.whole, FRAME) };
        let idle = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| vec![0; length])
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let idle = match buffer.len() {
            FRAME => &self.whole,
            HALF_FRAME => &self.half,
            _ => return,
        };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_BUFFERS {
            idle.push(buffer);
        }
    }
}

/// A filled buffer that goes back when the last reader is done with it.
struct Frame {
    folder: Arc<Folder>,
    buffer: Vec<u8>,
    length: usize,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.folder.buffers.give_back(std::mem::take(&mut self.buffer));
    }
}

/// A file, open for reading.
pub(super) struct FileReader {
    file: File,
    folder: Arc<Folder>,
    size: u64,
    stamp: Stamp,
}

impl FileReader {
    pub(super) fn new(file: File, folder: Arc<Folder>) -> Result<Self, BlobError> {
        let (size, stamp) = stamp(&file)?;
        Ok(Self { file, folder, size, stamp })
    }

    /// Whether the file is as it was when it was opened. That its name was removed meanwhile does not count.
    fn check_unchanged(&self) -> Result<(), BlobError> {
        let stat = fstat(&self.file)?;
        let (size, now) = measured(&stat);
        let same = if stat.st_nlink == 0 {
            now.mtime_ns == self.stamp.mtime_ns
        } else {
            now == self.stamp
        };
        if same && size == self.size { Ok(()) } else { Err(BlobError::Changed) }
    }

    /// The next frame at `start`, of at most `left` bytes.
    async fn frame(self: &Arc<Self>, start: u64, left: u64) -> Result<Bytes, BlobError> {
        let most = FRAME.min(frame_room());
        let wanted = usize::try_from(left).map_or(most, |left| left.min(most));
        let buffer = self.folder.buffers.take(wanted);
        let mut frame = Frame { folder: self.folder.clone(), buffer, length: 0 };
        let mut slices = [IoSliceMut::new(&mut frame.buffer[..wanted])];
        match preadv2(&self.file, &mut slices, start, ReadWriteFlags::NOWAIT) {
            Ok(length) if length > 0 => frame.length = length,
            // Not in memory, or the file system cannot tell.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => {
                let this = self.clone();
                frame = blocking(move || {
                    frame.length = this.file.read_at(&mut frame.buffer[..wanted], start)?;
                    Ok::<_, BlobError>(frame)
                })
                .await?;
            }
            Err(error) => return Err(error.into()),
        }
        if frame.length == 0 {
            // Shorter than when it was opened: somebody else cut it.
            return Err(BlobError::Corrupt);
        }
        Ok(Bytes::from_owner(frame))
    }
}

#[async_trait]
impl BlobReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn forget_cached(&self) {
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream {
        let end = start.saturating_add(length).min(self.size);
        if length > FRAME as u64 {
            let _ = fadvise(&self.file, start, None, Advice::Sequential);
        }
        Box::pin(stream::try_unfold((self, start), move |(this, at)| async move {
            if at >= end {
                return Ok(None);
            }
            let bytes = this.frame(at, end - at).await?;
            let next = at + bytes.len() as u64;
            if next >= end {
                this.check_unchanged()?;
            }
            Ok(Some((bytes, (this, next))))
        }))
    }

    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream {
        let hasher = Hasher::new(expected.algorithm());
        let checked = Checked { reader: self, expected, hasher, at: 0 };
        Box::pin(stream::try_unfold(Some(checked), |checked| async {
            let Some(checked) = checked else { return Ok(None) };
            checked.next().await
        }))
    }

    async fn verify(self: Arc<Self>, algorithm: Algorithm) -> Result<Digest, BlobError> {
        let read = move || {
            let (mut hasher, mut buffer, mut at) = (Hasher::new(algorithm), vec![0; 1 << 20], 0);
            loop {
                match self.file.read_at(&mut buffer, at)? {
                    0 => return Ok(hasher.finish()),
                    read => {
                        hasher.update(&buffer[..read]);
                        at += read as u64;
                    }
                }
            }
        };
        blocking(read).await
    }

    async fn read_all(&self) -> Result<Bytes, BlobError> {
        let length = usize::try_from(self.size).map_err(|_| BlobError::Full)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => BlobError::Corrupt,
            _ => error.into(),
        })?;
        Ok(bytes.into())
    }
}

/// A download that is hashed on its way.
struct Checked {
    reader: Arc<FileReader>,
    expected: Digest,
    hasher: Hasher,
    at: u64,
}

impl Checked {
    /// The next frame; the last one only when the digest is right.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, BlobError> {
        let left = self.reader.size - self.at;
        let bytes = if left == 0 { Bytes::new() } else { self.reader.frame(self.at, left).await? };
        let hashed = bytes.clone();
        let mut this = blocking(move || {
            self.hasher.update(&hashed);
            self.at += hashed.len() as u64;
            self
        })
        .await;
        if this.at < this.reader.size {
            return Ok(Some((bytes, Some(this))));
        }
        let hasher = std::mem::replace(&mut this.hasher, Hasher::new(Algorithm::Sha256));
        if hasher.finish() != this.expected {
            return Err(BlobError::Corrupt);
        }
        Ok(Some((bytes, None)))
    }
}
