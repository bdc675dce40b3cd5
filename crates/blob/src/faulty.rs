//! A store that fails on command, around any other: for tests of what a failing disk leads to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use model::digest::{Algorithm, Digest};

use crate::{
    Batch, BlobError, BlobReader, BlobStore, BlobStream, BlobWriter, Checkpoint, Claim, CopyId,
    DiskSpace, FinishError, Held, Stamp, StoreId, Stored,
};

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// [`BlobStore::claim`].
    Claim,
    /// [`BlobStore::open`].
    Open,
    /// The first frame of [`BlobReader::stream`], or of [`BlobReader::stream_verified`], and [`BlobReader::verify`].
    Read,
    /// [`BlobStore::check_place`].
    CheckPlace,
    /// [`BlobStore::delete`].
    Delete,
    /// [`BlobWriter::write`].
    Write,
    /// [`BlobWriter::checkpoint`].
    Checkpoint,
    /// [`BlobWriter::checkpoint`], after everything is durable: the answer is lost, not the bytes.
    AfterCheckpoint,
    /// [`BlobWriter::finish`], before anything is durable.
    Finish,
    /// [`BlobWriter::finish`], after everything is: the answer is lost, not the bytes.
    AfterFinish,
}

/// The faults that are to come, and how far it came. Cheap to clone; every clone is the same list.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Steps>>);

#[derive(Default)]
struct Steps {
    reached: Vec<Step>,
    faults: Vec<Fault>,
    disk_space: Option<DiskSpace>,
}

struct Fault {
    step: Step,
    /// How many times the step still succeeds.
    after: u32,
    error: fn() -> BlobError,
}

impl Faults {
    /// Lets a step fail once, after it succeeded `after` times more.
    pub fn add(&self, step: Step, after: u32, error: fn() -> BlobError) {
        self.steps().faults.push(Fault { step, after, error });
    }

    /// Says how much room the disk has, from now on.
    pub fn set_disk_space(&self, space: DiskSpace) {
        self.steps().disk_space = Some(space);
    }

    /// How often a step was reached, whether it failed or not.
    pub fn reached(&self, step: Step) -> usize {
        self.steps().reached.iter().filter(|reached| **reached == step).count()
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, step: Step) -> Result<(), BlobError> {
        let mut steps = self.steps();
        steps.reached.push(step);
        let faults = &mut steps.faults;
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

/// A store that fails where [`Faults`] say so, and is otherwise what it wraps.
pub struct FaultyStore<S> {
    store: S,
    faults: Faults,
}

impl<S: BlobStore> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(store: S, faults: Faults) -> Self {
        Self { store, faults }
    }
}

#[async_trait]
impl<S: BlobStore> BlobStore for FaultyStore<S> {
    async fn claim(&self, id: CopyId) -> Result<Box<dyn Claim>, BlobError> {
        self.faults.check(Step::Claim)?;
        let inner = self.store.claim(id).await?;
        Ok(Box::new(FaultyClaim { inner, faults: self.faults.clone() }))
    }

    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError> {
        self.faults.check(Step::Open)?;
        let inner = self.store.open(id).await?;
        Ok(Arc::new(FaultyReader { inner, faults: self.faults.clone() }))
    }

    async fn delete(&self, id: CopyId) -> Result<(), BlobError> {
        self.faults.check(Step::Delete)?;
        self.store.delete(id).await
    }

    async fn check_place(&self) -> Result<(), BlobError> {
        self.faults.check(Step::CheckPlace)?;
        self.store.check_place().await
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        self.store.store_id().await
    }

    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError> {
        self.store.set_store_id(id).await
    }

    fn healthy(&self) -> bool {
        self.store.healthy()
    }

    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError> {
        let set = self.faults.steps().disk_space;
        if set.is_some() { Ok(set) } else { self.store.disk_space().await }
    }
}

struct FaultyReader {
    inner: Arc<dyn BlobReader>,
    faults: Faults,
}

impl FaultyReader {
    /// The stream, or the fault that comes in its place.
    fn or_fault(&self, stream: BlobStream) -> BlobStream {
        match self.faults.check(Step::Read) {
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

    fn stamp(&self) -> Stamp {
        self.inner.stamp()
    }

    fn forget_cached(&self) {
        self.inner.forget_cached();
    }

    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream {
        self.or_fault(self.inner.clone().stream(start, length))
    }

    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream {
        self.or_fault(self.inner.clone().stream_verified(expected))
    }

    async fn verify(self: Arc<Self>, algorithm: Algorithm) -> Result<Digest, BlobError> {
        self.faults.check(Step::Read)?;
        self.inner.clone().verify(algorithm).await
    }

    async fn read_all(&self) -> Result<Bytes, BlobError> {
        self.inner.read_all().await
    }
}

struct FaultyClaim {
    inner: Box<dyn Claim>,
    faults: Faults,
}

#[async_trait]
impl Claim for FaultyClaim {
    async fn open(
        self: Box<Self>,
        algorithm: Algorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let inner = self.inner.open(algorithm, from).await?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults }))
    }
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    faults: Faults,
}

#[async_trait]
impl BlobWriter for FaultyWriter {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn write(&mut self, batch: Batch) -> Result<(), BlobError> {
        self.faults.check(Step::Write)?;
        self.inner.write(batch).await
    }

    async fn checkpoint(&mut self) -> Result<Held<Checkpoint>, BlobError> {
        self.faults.check(Step::Checkpoint)?;
        let checkpoint = self.inner.checkpoint().await?;
        self.faults.check(Step::AfterCheckpoint)?;
        Ok(checkpoint)
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Held<Stored>, FinishError> {
        self.faults.check(Step::Finish)?;
        let stored = self.inner.finish(expected).await?;
        self.faults.check(Step::AfterFinish)?;
        Ok(stored)
    }
}
