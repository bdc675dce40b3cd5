//! Reading of a copy's file. Bytes in the page cache are read on the caller's thread, bytes on the disk on another
//! thread.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use model::digest::{Digest, DigestAlgorithm, DigestHasher};
use rustix::fs::{Advice, fadvise, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{StoreFolder, size_and_times};
use crate::frame_room::max_frame_bytes;
use crate::growing::GrowingSource;
use crate::hashing::blocking;
use crate::{BlobError, BlobReader, BlobStream, FileTimes, StoredCopy};

/// The size of the largest frame of a download. A frame of this size stays in a processor's cache between the disk and
/// the socket.
const MAX_FRAME: usize = 256 << 10;
/// The size of the smaller buffers in the pool.
const HALF_FRAME: usize = MAX_FRAME / 2;
/// The size up to which buffers are allocated, and not taken from the pool.
const QUARTER_FRAME: usize = MAX_FRAME / 4;
/// The largest number of idle buffers of each size.
const MAX_IDLE_BUFFERS: usize = 16;

/// A pool of buffers. They are used again, because allocating a buffer costs as much time as filling it.
#[derive(Default)]
pub(super) struct BufferPool {
    whole: Mutex<Vec<Vec<u8>>>,
    half: Mutex<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// Returns a buffer of at least `wanted` bytes, and of not many more: a slow client keeps the buffer for a long
    /// time.
    fn take(&self, wanted: usize) -> Vec<u8> {
        if wanted <= QUARTER_FRAME {
            return vec![0; wanted];
        }
        let is_half = wanted <= HALF_FRAME;
        let (idle, length) =
            if is_half { (&self.half, HALF_FRAME) } else { (&self.whole, MAX_FRAME) };
        let idle = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| vec![0; length])
    }

    fn put(&self, buffer: Vec<u8>) {
        let idle = match buffer.len() {
            MAX_FRAME => &self.whole,
            HALF_FRAME => &self.half,
            _ => return,
        };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_BUFFERS {
            idle.push(buffer);
        }
    }
}

/// A filled buffer, which returns to the pool when its last reader drops it.
struct Frame {
    folder: Arc<StoreFolder>,
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
        self.folder.buffers.put(std::mem::take(&mut self.buffer));
    }
}

/// The open file of a copy, finished or not.
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) folder: Arc<StoreFolder>,
}

impl OpenFile {
    /// Reads the frame at `start`, of at most `left` bytes.
    async fn read_frame(self: &Arc<Self>, start: u64, left: u64) -> Result<Bytes, BlobError> {
        let max = MAX_FRAME.min(max_frame_bytes());
        let wanted = usize::try_from(left).map_or(max, |left| left.min(max));
        let buffer = self.folder.buffers.take(wanted);
        let mut frame = Frame { folder: self.folder.clone(), buffer, length: 0 };
        let mut slices = [IoSliceMut::new(&mut frame.buffer[..wanted])];
        match preadv2(&self.file, &mut slices, start, ReadWriteFlags::NOWAIT) {
            Ok(length) if length > 0 => frame.length = length,
            // The bytes are not in the page cache, or the file system cannot read without blocking.
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
            // The file has become shorter since it was opened.
            return Err(BlobError::Corrupt);
        }
        Ok(Bytes::from_owner(frame))
    }
}

#[async_trait]
impl GrowingSource for OpenFile {
    async fn read_at(self: Arc<Self>, start: u64, length: u64) -> Result<Bytes, BlobError> {
        self.read_frame(start, length).await
    }
}

/// The file of a finished copy, open for reading.
pub(super) struct FileReader {
    open: Arc<OpenFile>,
    size: u64,
    stamp: FileTimes,
}

impl FileReader {
    pub(super) fn new(file: File, folder: Arc<StoreFolder>) -> Result<Self, BlobError> {
        let StoredCopy { size, times: stamp } = size_and_times(&fstat(&file)?);
        Ok(Self { open: Arc::new(OpenFile { file, folder }), size, stamp })
    }

    /// Checks that the file has not changed since it was opened. Deleting the file changes its `ctime`, but not its
    /// bytes, so that the `ctime` of a deleted file is not compared.
    fn check_unchanged(&self) -> Result<(), BlobError> {
        let stat = fstat(&self.open.file)?;
        let StoredCopy { size, times: stamp } = size_and_times(&stat);
        let is_same = if stat.st_nlink == 0 {
            stamp.mtime_ns == self.stamp.mtime_ns
        } else {
            stamp == self.stamp
        };
        if is_same && size == self.size { Ok(()) } else { Err(BlobError::Changed) }
    }
}

#[async_trait]
impl BlobReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn times(&self) -> FileTimes {
        self.stamp
    }

    fn drop_page_cache(&self) {
        let _ = fadvise(&self.open.file, 0, None, Advice::DontNeed);
    }

    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream {
        let end = start.saturating_add(length).min(self.size);
        if length > MAX_FRAME as u64 {
            let _ = fadvise(&self.open.file, start, None, Advice::Sequential);
        }
        Box::pin(stream::try_unfold((self, start), move |(this, at)| async move {
            if at >= end {
                return Ok(None);
            }
            let bytes = this.open.read_frame(at, end - at).await?;
            let next = at + bytes.len() as u64;
            if next >= end {
                this.check_unchanged()?;
            }
            Ok(Some((bytes, (this, next))))
        }))
    }

    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream {
        let hasher = DigestHasher::new(expected.algorithm());
        let verifier = StreamVerifier { reader: self, expected, hasher, at: 0 };
        Box::pin(stream::try_unfold(Some(verifier), |verifier| async {
            let Some(verifier) = verifier else { return Ok(None) };
            verifier.next().await
        }))
    }

    async fn compute_digest(
        self: Arc<Self>,
        algorithm: DigestAlgorithm,
    ) -> Result<Digest, BlobError> {
        let read = move || {
            let (mut hasher, mut buffer, mut at) =
                (DigestHasher::new(algorithm), vec![0; 1 << 20], 0);
            loop {
                match self.open.file.read_at(&mut buffer, at)? {
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
        self.open.file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => BlobError::Corrupt,
            _ => error.into(),
        })?;
        Ok(bytes.into())
    }
}

/// The state of a stream that hashes the bytes that it reads.
struct StreamVerifier {
    reader: Arc<FileReader>,
    expected: Digest,
    hasher: DigestHasher,
    at: u64,
}

impl StreamVerifier {
    /// Reads and hashes the next frame, and returns it with the state for the frame after it. The last frame is
    /// returned only if the digest is the expected one.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, BlobError> {
        let left = self.reader.size - self.at;
        let bytes = match left {
            0 => Bytes::new(),
            left => self.reader.open.read_frame(self.at, left).await?,
        };
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
        let hasher =
            std::mem::replace(&mut this.hasher, DigestHasher::new(DigestAlgorithm::Sha256));
        if hasher.finish() != this.expected {
            return Err(BlobError::Corrupt);
        }
        Ok(Some((bytes, None)))
    }
}
