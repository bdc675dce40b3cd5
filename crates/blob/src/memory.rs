//! Copies in memory, for `--ephemeral` and for tests. It behaves like an object store: a copy is parts that
//! are put together at its end, nothing is appended to a finished one, and it cannot be read before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use model::digest::{Algorithm, Digest, Hasher};
use tokio::time::{Instant, sleep};

use crate::hashing;
use crate::{
    Batch, BlobError, BlobReader, BlobStore, BlobStream, BlobWriter, Checkpoint, Claim, CopyId,
    DiskSpace, FinishError, Held, Permit, Stamp, StoreId, Stored,
};

const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A place for copies that ends with the process.
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
    async fn claim(&self, id: CopyId) -> Result<Box<dyn Claim>, BlobError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.copies().claimed.insert(id) {
            if Instant::now() >= deadline {
                return Err(BlobError::Busy);
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(Box::new(Claimed { store: self.clone(), id }))
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

    async fn check_place(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        Ok(self.copies().id)
    }

    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        self.copies().id = id;
        Ok(())
    }

    fn healthy(&self) -> bool {
        true
    }

    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        Ok(None)
    }
}

/// The claim on a copy, given back when dropped.
struct Claimed {
    store: MemoryStore,
    id: CopyId,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.store.copies().claimed.remove(&self.id);
    }
}

#[async_trait]
impl Claim for Claimed {
    async fn open(
        self: Box<Self>,
        algorithm: Algorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let parts = {
            let mut copies = self.store.copies();
            let finished = copies.finished.remove(&self.id).map(|reader| reader.parts.clone());
            let mut parts = finished.or_else(|| copies.parts.remove(&self.id)).unwrap_or_default();
            cut(&mut parts, from.offset)?;
            copies.parts.insert(self.id, parts.clone());
            parts
        };
        let hasher = hashing::resume(algorithm, &from.state, |take| {
            parts.iter().for_each(|part| take(part));
            Ok(())
        })?;
        let claimed = Arc::new(*self);
        Ok(Box::new(MemoryWriter { claimed, hasher, offset: from.offset, new: Vec::new() }))
    }
}

/// Leaves the first `length` bytes.
fn cut(parts: &mut Vec<Bytes>, length: u64) -> Result<(), BlobError> {
    let mut left = length;
    parts.retain_mut(|part| {
        part.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= part.len() as u64;
        !part.is_empty()
    });
    if left == 0 { Ok(()) } else { Err(BlobError::Lost) }
}

struct MemoryWriter {
    claimed: Arc<Claimed>,
    hasher: Hasher,
    offset: u64,
    /// Parts since the last checkpoint: like an upload of parts, they count when it is made.
    new: Vec<Bytes>,
}

impl MemoryWriter {
    fn keep(&mut self) {
        let mut copies = self.claimed.store.copies();
        copies.parts.entry(self.claimed.id).or_default().append(&mut self.new);
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, batch: Batch) -> Result<(), BlobError> {
        self.offset += batch.length();
        let mut hasher = self.hasher.clone();
        let joined = move || {
            let Batch { frames, permit } = batch;
            hashing::update(&mut hasher, &frames);
            // Joined: frames are slices of larger buffers, which would be kept whole.
            let mut part = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
            frames.iter().for_each(|frame| part.extend_from_slice(frame));
            drop::<Permit>(permit);
            (hasher, part.freeze())
        };
        let (hasher, part) = hashing::blocking(joined).await;
        self.hasher = hasher;
        self.new.push(part);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Held<Checkpoint>, BlobError> {
        self.keep();
        let checkpoint = Checkpoint { offset: self.offset, state: self.hasher.save() };
        Ok(Held::new(checkpoint, self.claimed.clone()))
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<Held<Stored>, FinishError> {
        let actual = self.hasher.clone().finish();
        if actual != *expected {
            return Err(FinishError::Mismatch { actual });
        }
        self.keep();
        let mut copies = self.claimed.store.copies();
        let parts = copies.parts.remove(&self.claimed.id).unwrap_or_default();
        copies
            .finished
            .insert(self.claimed.id, Arc::new(MemoryReader { parts, size: self.offset }));
        drop(copies);
        Ok(Held::new(Stored { size: self.offset, stamp: STAMP }, self.claimed))
    }
}

/// Nobody changes memory behind our back.
const STAMP: Stamp = Stamp { mtime_ns: 0, ctime_ns: 0 };

struct MemoryReader {
    parts: Vec<Bytes>,
    size: u64,
}

impl MemoryReader {
    /// The parts between two offsets.
    fn slices(&self, start: u64, end: u64) -> Vec<Bytes> {
        let (mut at, mut slices) = (0, Vec::new());
        for part in &self.parts {
            let within = |offset: u64| offset.clamp(at, at + part.len() as u64) - at;
            let (from, to) = (within(start) as usize, within(end) as usize);
            if from < to {
                slices.push(part.slice(from..to));
            }
            at += part.len() as u64;
        }
        slices
    }
}

#[async_trait]
impl BlobReader for MemoryReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn stamp(&self) -> Stamp {
        STAMP
    }

    fn forget_cached(&self) {}

    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream {
        let slices = self.slices(start, start.saturating_add(length));
        Box::pin(stream::iter(slices.into_iter().map(Ok)))
    }

    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream {
        let mut hasher = Hasher::new(expected.algorithm());
        hashing::update(&mut hasher, &self.parts);
        if hasher.finish() == expected {
            let size = self.size;
            self.stream(0, size)
        } else {
            Box::pin(stream::iter([Err(BlobError::Corrupt)]))
        }
    }

    async fn verify(self: Arc<Self>, algorithm: Algorithm) -> Result<Digest, BlobError> {
        let mut hasher = Hasher::new(algorithm);
        hashing::update(&mut hasher, &self.parts);
        Ok(hasher.finish())
    }

    async fn read_all(&self) -> Result<Bytes, BlobError> {
        Ok(self.parts.concat().into())
    }
}
