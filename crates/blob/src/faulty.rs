//! A wrapper around any store, which fails on command. Tests use it to simulate a failing disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use model::digest::{Digest, DigestAlgorithm};

use crate::{
    BlobError, BlobReader, BlobStore, BlobStream, BlobWriter, Checkpoint, CopyId, DiskSpace,
    FileTimes, FinishError, GrowingCopy, Locked, StoreId, StoredCopy, UploadBatch, WriteClaim,
};

/// The operation of a store that a fault lets fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultStep {
    /// A call of [`BlobStore::claim`].
    Claim,
    /// A call of [`BlobStore::open`].
    Open,
    /// The first frame of [`BlobReader::stream`] or [`BlobReader::stream_verified`], or a call of
    /// [`BlobReader::compute_digest`].
    Read,
    /// A call of [`BlobStore::check_location`].
    CheckPlace,
    /// A call of [`BlobStore::delete`].
    Delete,
    /// A call of [`BlobWriter::write`].
    Write,
    /// A call of [`BlobWriter::checkpoint`], before the bytes are durable.
    Checkpoint,
    /// A call of [`BlobWriter::checkpoint`], after all bytes are durable: only the result is lost.
    AfterCheckpoint,
    /// A call of [`BlobWriter::finish`], before the copy is durable.
    Finish,
    /// A call of [`BlobWriter::finish`], after the copy is durable: only the result is lost.
    AfterFinish,
}

/// The planned faults of a store, and the steps that it has reached. All clones share the same lists.
#[derive(Clone, Default)]
pub struct FaultPlan(Arc<Mutex<FaultState>>);

#[derive(Default)]
struct FaultState {
    reached: Vec<FaultStep>,
    faults: Vec<Fault>,
    disk_space: Option<DiskSpace>,
}

struct Fault {
    step: FaultStep,
    /// The number of times that the step succeeds before it fails.
    after: u32,
    error: fn() -> BlobError,
}

impl FaultPlan {
    /// Lets a step fail once, after it has succeeded `after` more times.
    pub fn add(&self, step: FaultStep, after: u32, error: fn() -> BlobError) {
        self.state().faults.push(Fault { step, after, error });
    }

    /// Sets the disk space that the store reports.
    pub fn set_disk_space(&self, space: DiskSpace) {
        self.state().disk_space = Some(space);
    }

    /// Returns how often a step was reached, including failures.
    pub fn count_reached(&self, step: FaultStep) -> usize {
        self.state().reached.iter().filter(|reached| **reached == step).count()
    }

    fn state(&self) -> MutexGuard<'_, FaultState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, step: FaultStep) -> Result<(), BlobError> {
        let mut state = self.state();
        state.reached.push(step);
        let faults = &mut state.faults;
        let Some(position) = faults.iter().position(|fault| fault.step == step) else {
            return Ok(());
        };
        if faults[position].after > 0 {
            faults[position].after -= 1;
            return Ok(());
        }
        Err((faults.remove(position).error)())
    }
}

/// A store that fails as planned by [`FaultPlan`], and otherwise passes all calls to the store that it wraps.
pub struct FaultyStore<S> {
    store: S,
    faults: FaultPlan,
}

impl<S: BlobStore> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(store: S, faults: FaultPlan) -> Self {
        Self { store, faults }
    }
}

#[async_trait]
impl<S: BlobStore> BlobStore for FaultyStore<S> {
    async fn claim(&self, id: CopyId) -> Result<Box<dyn WriteClaim>, BlobError> {
        self.faults.check(FaultStep::Claim)?;
        let inner = self.store.claim(id).await?;
        Ok(Box::new(FaultyClaim { inner, faults: self.faults.clone() }))
    }

    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError> {
        self.faults.check(FaultStep::Open)?;
        let inner = self.store.open(id).await?;
        Ok(Arc::new(FaultyReader { inner, faults: self.faults.clone() }))
    }

    async fn delete(&self, id: CopyId) -> Result<(), BlobError> {
        self.faults.check(FaultStep::Delete)?;
        self.store.delete(id).await
    }

    async fn check_location(&self) -> Result<(), BlobError> {
        self.faults.check(FaultStep::CheckPlace)?;
        self.store.check_location().await
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        self.store.store_id().await
    }

    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        self.store.set_store_id(id).await
    }

    fn is_healthy(&self) -> bool {
        self.store.is_healthy()
    }

    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        let planned = self.faults.state().disk_space;
        if planned.is_some() { Ok(planned) } else { self.store.disk_space().await }
    }
}

struct FaultyReader {
    inner: Arc<dyn BlobReader>,
    faults: FaultPlan,
}

impl FaultyReader {
    /// Returns the stream, or a stream with only the planned error.
    fn or_fault(&self, stream: BlobStream) -> BlobStream {
        match self.faults.check(FaultStep::Read) {
            Ok(()) => stream,
            Err(fault) => Box::pin(stream::iter([Err(fault)])),
        }
    }
}

#[async_trait]
impl BlobReader for FaultyReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn times(&self) -> FileTimes {
        self.inner.times()
    }

    fn drop_page_cache(&self) {
        self.inner.drop_page_cache();
    }

    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream {
        self.or_fault(self.inner.clone().stream(start, length))
    }

    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream {
        self.or_fault(self.inner.clone().stream_verified(expected))
    }

    async fn compute_digest(
        self: Arc<Self>,
        algorithm: DigestAlgorithm,
    ) -> Result<Digest, BlobError> {
        self.faults.check(FaultStep::Read)?;
        self.inner.clone().compute_digest(algorithm).await
    }

    async fn read_all(&self) -> Result<Bytes, BlobError> {
        self.inner.read_all().await
    }
}

struct FaultyClaim {
    inner: Box<dyn WriteClaim>,
    faults: FaultPlan,
}

#[async_trait]
impl WriteClaim for FaultyClaim {
    async fn open(
        self: Box<Self>,
        algorithm: DigestAlgorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let inner = self.inner.open(algorithm, from).await?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults }))
    }
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    faults: FaultPlan,
}

#[async_trait]
impl BlobWriter for FaultyWriter {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn write(&mut self, batch: UploadBatch) -> Result<(), BlobError> {
        self.faults.check(FaultStep::Write)?;
        self.inner.write(batch).await
    }

    async fn growing(&mut self) -> Result<GrowingCopy, BlobError> {
        self.inner.growing().await
    }

    async fn checkpoint(&mut self) -> Result<Locked<Checkpoint>, BlobError> {
        self.faults.check(FaultStep::Checkpoint)?;
        let checkpoint = self.inner.checkpoint().await?;
        self.faults.check(FaultStep::AfterCheckpoint)?;
        Ok(checkpoint)
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Locked<StoredCopy>, FinishError> {
        self.faults.check(FaultStep::Finish)?;
        let stored = self.inner.finish(expected).await?;
        self.faults.check(FaultStep::AfterFinish)?;
        Ok(stored)
    }
}
