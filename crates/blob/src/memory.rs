//! A store in memory, for `--ephemeral` and for tests. It behaves like an object store: a copy consists of parts, which
//! are put together when the copy is finished. A copy cannot be read before it is finished.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use model::digest::{Digest, DigestAlgorithm, DigestHasher};
use tokio::time::{Instant, sleep};

use crate::growing::{GrowingSource, ProgressSender};
use crate::hashing;
use crate::{
    BlobError, BlobReader, BlobStore, BlobStream, BlobWriter, BudgetPermit, Checkpoint, CopyId,
    DiskSpace, FileTimes, FinishError, GrowingCopy, Locked, StoreId, StoredCopy, UploadBatch,
    WriteClaim,
};

/// The time that a claim waits for another writer.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between two attempts to claim a copy.
const CLAIM_INTERVAL: Duration = Duration::from_millis(10);

/// A store in memory, which ends with the process.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Copies>>);

#[derive(Default)]
struct Copies {
    claimed: HashSet<CopyId>,
    parts: HashMap<CopyId, Vec<Bytes>>,
    finished: HashMap<CopyId, Arc<MemoryReader>>,
    id: Option<StoreId>,
}

impl MemoryStore {
    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn claim(&self, id: CopyId) -> Result<Box<dyn WriteClaim>, BlobError> {
        let deadline = Instant::now() + CLAIM_TIMEOUT;
        while !self.copies().claimed.insert(id) {
            if Instant::now() >= deadline {
                return Err(BlobError::Busy);
            }
            sleep(CLAIM_INTERVAL).await;
        }
        Ok(Box::new(MemoryClaim { store: self.clone(), id }))
    }

    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError> {
        let reader = self.copies().finished.get(&id).cloned();
        Ok(reader.ok_or(BlobError::NotFound)?)
    }

    async fn delete(&self, id: CopyId) -> Result<(), BlobError> {
        let mut copies = self.copies();
        copies.parts.remove(&id);
        copies.finished.remove(&id);
        Ok(())
    }

    async fn check_location(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        Ok(self.copies().id)
    }

    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        self.copies().id = id;
        Ok(())
    }

    fn is_healthy(&self) -> bool {
        true
    }

    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        Ok(None)
    }
}

/// The claim on a copy, which ends when it is dropped.
struct MemoryClaim {
    store: MemoryStore,
    id: CopyId,
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        self.store.copies().claimed.remove(&self.id);
    }
}

#[async_trait]
impl WriteClaim for MemoryClaim {
    async fn open(
        self: Box<Self>,
        algorithm: DigestAlgorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let parts = {
            let mut copies = self.store.copies();
            let finished = copies.finished.remove(&self.id).map(|reader| reader.parts.clone());
            let mut parts = finished.or_else(|| copies.parts.remove(&self.id)).unwrap_or_default();
            truncate(&mut parts, from.offset)?;
            copies.parts.insert(self.id, parts.clone());
            parts
        };
        let hasher = hashing::restore_hasher(algorithm, &from.hash_state, |take| {
            parts.iter().for_each(|part| take(part));
            Ok(())
        })?;
        let (claim, offset) = (Arc::new(*self), from.offset);
        let spool = Arc::new(MemorySpool(Mutex::new(parts)));
        let progress = ProgressSender::new(offset);
        Ok(Box::new(MemoryWriter { claim, hasher, offset, unsaved: Vec::new(), spool, progress }))
    }
}

/// Cuts off all bytes after the first `length` ones. Fails if there are fewer.
fn truncate(parts: &mut Vec<Bytes>, length: u64) -> Result<(), BlobError> {
    let mut left = length;
    parts.retain_mut(|part| {
        part.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= part.len() as u64;
        !part.is_empty()
    });
    if left == 0 { Ok(()) } else { Err(BlobError::Lost) }
}

struct MemoryWriter {
    claim: Arc<MemoryClaim>,
    hasher: DigestHasher,
    offset: u64,
    /// The parts since the last checkpoint. They belong to the copy only from the next checkpoint on, as in a multipart
    /// upload of an object store.
    unsaved: Vec<Bytes>,
    /// The bytes for readers of the unfinished copy. The store itself could not read them yet.
    spool: Arc<MemorySpool>,
    progress: ProgressSender,
}

/// All parts of a copy that is being written.
struct MemorySpool(Mutex<Vec<Bytes>>);

#[async_trait]
impl GrowingSource for MemorySpool {
    async fn read_at(self: Arc<Self>, start: u64, length: u64) -> Result<Bytes, BlobError> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slices(&parts, start, start + length).into_iter().next().ok_or(BlobError::Lost)
    }
}

impl MemoryWriter {
    fn save_parts(&mut self) {
        let mut copies = self.claim.store.copies();
        copies.parts.entry(self.claim.id).or_default().append(&mut self.unsaved);
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, batch: UploadBatch) -> Result<(), BlobError> {
        self.offset += batch.length();
        let mut hasher = self.hasher.clone();
        let hash_and_join = move || {
            let UploadBatch { frames, permit } = batch;
            hashing::update(&mut hasher, &frames);
            // Frames are slices of larger buffers, and would keep these in memory. So the bytes are copied.
            let mut part = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
            frames.iter().for_each(|frame| part.extend_from_slice(frame));
            drop::<BudgetPermit>(permit);
            (hasher, part.freeze())
        };
        let (hasher, part) = hashing::blocking(hash_and_join).await;
        self.hasher = hasher;
        self.spool.0.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        self.unsaved.push(part);
        self.progress.set_written(self.offset);
        Ok(())
    }

    async fn growing(&mut self) -> Result<GrowingCopy, BlobError> {
        Ok(self.progress.reader(self.spool.clone()))
    }

    async fn checkpoint(&mut self) -> Result<Locked<Checkpoint>, BlobError> {
        self.save_parts();
        let checkpoint = Checkpoint { offset: self.offset, hash_state: self.hasher.save() };
        Ok(Locked::new(checkpoint, self.claim.clone()))
    }

    async fn finish(
        mut self: Box<Self>,
        expected: &Digest,
    ) -> Result<Locked<StoredCopy>, FinishError> {
        let actual = self.hasher.clone().finish();
        if actual != *expected {
            return Err(FinishError::Mismatch { actual });
        }
        self.progress.set_verified();
        self.save_parts();
        let mut copies = self.claim.store.copies();
        let parts = copies.parts.remove(&self.claim.id).unwrap_or_default();
        copies.finished.insert(self.claim.id, Arc::new(MemoryReader { parts, size: self.offset }));
        drop(copies);
        Ok(Locked::new(StoredCopy { size: self.offset, times: STAMP }, self.claim))
    }
}

/// The times of all copies. They never change, because no other program can change the memory of this process.
const STAMP: FileTimes = FileTimes { mtime_ns: 0, ctime_ns: 0 };

struct MemoryReader {
    parts: Vec<Bytes>,
    size: u64,
}

/// Returns the bytes between two offsets.
fn slices(parts: &[Bytes], start: u64, end: u64) -> Vec<Bytes> {
    let (mut at, mut slices) = (0, Vec::new());
    for part in parts {
        let within = |offset: u64| offset.clamp(at, at + part.len() as u64) - at;
        let (from, to) = (within(start) as usize, within(end) as usize);
        if from < to {
            slices.push(part.slice(from..to));
        }
        at += part.len() as u64;
    }
    slices
}

#[async_trait]
impl BlobReader for MemoryReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn times(&self) -> FileTimes {
        STAMP
    }

    fn drop_page_cache(&self) {}

    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream {
        let slices = slices(&self.parts, start, start.saturating_add(length));
        Box::pin(stream::iter(slices.into_iter().map(Ok)))
    }

    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream {
        let mut hasher = DigestHasher::new(expected.algorithm());
        hashing::update(&mut hasher, &self.parts);
        if hasher.finish() == expected {
            let size = self.size;
            self.stream(0, size)
        } else {
            Box::pin(stream::iter([Err(BlobError::Corrupt)]))
        }
    }

    async fn compute_digest(
        self: Arc<Self>,
        algorithm: DigestAlgorithm,
    ) -> Result<Digest, BlobError> {
        let mut hasher = DigestHasher::new(algorithm);
        hashing::update(&mut hasher, &self.parts);
        Ok(hasher.finish())
    }

    async fn read_all(&self) -> Result<Bytes, BlobError> {
        Ok(self.parts.concat().into())
    }
}
