//! Storage of bytes. Only this crate reads and writes stored content.
//!
//! A [`BlobStore`] keeps copies, each named by a [`CopyId`] that the caller chose. The store knows no repositories and
//! no database. A row elsewhere says what digest a copy has and who may read it.
//!
//! The life of a copy:
//!
//! 1. [`BlobStore::claim`] takes the exclusive right to write the copy. The caller then reads the copy's row again,
//!    before anything changes.
//! 2. [`WriteClaim::open`] continues at the offset in that row.
//! 3. [`BlobWriter::write`] appends batches.
//! 4. [`BlobWriter::checkpoint`] and [`BlobWriter::finish`] return when every byte is durable. They return a [`Locked`]
//!    value, which keeps the right to write. The caller takes the value into the transaction that writes the row, and
//!    drops it afterwards. A finished copy never changes.
//!
//! [`contract`] tests all of this, and every driver passes these tests.

mod budget;
#[cfg(any(test, doc))]
pub mod contract;
mod disk;
mod error;
pub mod faulty;
mod frame_room;
mod growing;
mod hashing;
mod locked;
mod memory;
mod space;
mod store_id;
mod worker_queue;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use model::digest::{Digest, DigestAlgorithm};

pub use budget::{BudgetPermit, UploadBudget};
pub use disk::{DiskStore, FolderState, count_existing_copies};
pub use error::{BlobError, CopyDamage, FinishError};
pub use frame_room::with_max_frame_bytes;
pub use growing::{GrowingCopy, HELD_BACK_BYTES};
pub use locked::Locked;
pub use memory::MemoryStore;
pub use space::DiskSpace;
pub use store_id::{StoreId, StoreIdError};

/// The name of a copy: 16 bytes that the caller chooses. The text form is 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CopyId([u8; 16]);

impl From<[u8; 16]> for CopyId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The progress of a copy that is not finished: the bytes that are durable, and the hash of these bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of durable bytes.
    pub offset: u64,
    /// The saved state of the hash of these bytes. If it cannot be restored, the bytes are hashed again.
    pub hash_state: Vec<u8>,
}

/// Bytes to append, and the memory that they take from the budget of all uploads.
#[derive(Debug)]
pub struct UploadBatch {
    /// The bytes, in order.
    pub frames: Vec<Bytes>,
    /// The permit for the memory of the bytes. It is returned to the budget when the batch is stored.
    pub permit: BudgetPermit,
}

impl UploadBatch {
    /// Returns the number of bytes.
    pub fn length(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

/// The size and file times of a finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCopy {
    /// The size of the copy in bytes.
    pub size: u64,
    /// The times of the copy's file when the copy was finished.
    pub times: FileTimes,
}

/// The times of a file. As long as they do not change, the bytes have not changed either, unless the disk is faulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileTimes {
    /// The time of the last change of the bytes, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The time of the last change of the bytes or the metadata, in nanoseconds since 1970.
    pub ctime_ns: i64,
}

/// A stream of the bytes of a copy.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// A store of copies.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Takes the exclusive right to write a copy, which need not exist yet. Other processes are excluded too. While
    /// another writer has the right, this waits for a few seconds, and then fails with [`BlobError::Busy`].
    async fn claim(&self, id: CopyId) -> Result<Box<dyn WriteClaim>, BlobError>;

    /// Opens a copy for reading. Fails with [`BlobError::NotFound`] if there is no such copy.
    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError>;

    /// Deletes a copy. A missing copy is not an error, as long as the store is in its place. Readers that have the copy
    /// open can read it to the end.
    async fn delete(&self, id: CopyId) -> Result<(), BlobError>;

    /// Checks that the store at the configured place is the one that was opened, and has its id.
    ///
    /// Fails with [`BlobError::StoreMissing`] if it is another store, or if there is none. Until the right store is back, no
    /// copy can be claimed, and a missing copy may still exist in the right store. A store that is back is found by
    /// this call.
    async fn check_location(&self) -> Result<(), BlobError>;

    /// Returns the id of the store, if it has one.
    async fn store_id(&self) -> Result<Option<StoreId>, BlobError>;

    /// Sets the id of the store, or deletes it.
    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError>;

    /// Returns `false` after a sync has failed. From then on, nobody knows whether bytes are durable.
    fn is_healthy(&self) -> bool;

    /// Returns the space on the disk of the store. `None` if the store is not on a disk, or the disk does not tell its
    /// size.
    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError>;
}

/// The exclusive right to write a copy. Dropping a claim that was not opened leaves the store unchanged.
#[async_trait]
pub trait WriteClaim: Send {
    /// Continues a copy at the checkpoint `from`; an empty checkpoint begins a new one. Bytes after the checkpoint are
    /// cut off. Fails with [`BlobError::Lost`] if the copy has fewer bytes than the checkpoint.
    async fn open(
        self: Box<Self>,
        algorithm: DigestAlgorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError>;
}

/// A writer of a copy that is not finished.
#[async_trait]
pub trait BlobWriter: Send {
    /// Returns the number of bytes that have been written, durable or not.
    fn offset(&self) -> u64;

    /// Appends a batch. This may return before the bytes are stored, so that the caller can receive the next batch
    /// meanwhile. An error is then returned by the next call.
    async fn write(&mut self, batch: UploadBatch) -> Result<(), BlobError>;

    /// Opens the copy for readers in this process, which get the bytes while they are written. A driver whose store
    /// cannot read an unfinished copy keeps the bytes elsewhere.
    async fn growing(&mut self) -> Result<GrowingCopy, BlobError>;

    /// Makes all bytes durable, and returns the checkpoint from which a later writer can continue.
    async fn checkpoint(&mut self) -> Result<Locked<Checkpoint>, BlobError>;

    /// Makes the copy durable and finishes it, if its bytes have the expected digest.
    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Locked<StoredCopy>, FinishError>;
}

/// A finished copy that is open for reading.
#[async_trait]
pub trait BlobReader: Send + Sync {
    /// Returns the size of the copy in bytes.
    fn size(&self) -> u64;

    /// Returns the times of the copy's file when it was opened.
    fn times(&self) -> FileTimes;

    /// Asks the kernel to drop the copy from the page cache, so that the next read comes from the disk.
    fn drop_page_cache(&self);

    /// Streams a part of the bytes. If the copy has changed since it was opened, the last frame is replaced by
    /// [`BlobError::Changed`].
    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream;

    /// Streams and hashes all bytes. If they have another digest, the last frame is replaced by [`BlobError::Corrupt`].
    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream;

    /// Reads all bytes, and returns their digest.
    async fn compute_digest(
        self: Arc<Self>,
        algorithm: DigestAlgorithm,
    ) -> Result<Digest, BlobError>;

    /// Returns all bytes at once. This is for small copies.
    async fn read_all(&self) -> Result<Bytes, BlobError>;
}
