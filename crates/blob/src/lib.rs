//! Bytes: the only crate that touches stored content.
//!
//! A [`BlobStore`] keeps copies, each named by a [`CopyId`] that the caller chose. It knows no digests of its
//! own, no repositories and no database: what a copy is, and whether anybody may read it, is a row elsewhere.
//!
//! The life of a copy: [`BlobStore::claim`] takes the exclusive right to write, so that the caller can look at
//! its row once more before anything changes; [`Claim::open`] goes on where that row stands;
//! [`BlobWriter::write`] takes batches; [`BlobWriter::checkpoint`] and [`BlobWriter::finish`] answer when every
//! byte is durable. What they answer is [`Held`]: the right to write goes with it, into the transaction that
//! writes the row, and ends when that has. A finished copy never changes. [`contract`] says all of this in
//! tests, which every driver passes.

mod budget;
#[cfg(any(test, doc))]
pub mod contract;
mod disk;
mod error;
pub mod faulty;
mod frame_room;
mod hashing;
mod held;
mod lane;
mod memory;
mod space;
mod store_id;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use model::digest::{Algorithm, Digest};

pub use budget::{Permit, UploadBudget};
pub use disk::{DiskStore, Found, count_present};
pub use error::{Blame, BlobError, FinishError};
pub use frame_room::with_frame_room;
pub use held::Held;
pub use memory::MemoryStore;
pub use space::DiskSpace;
pub use store_id::{StoreId, StoreIdError};

/// Names a copy: 16 bytes of the caller's choice, as text 32 lower-case hex digits.
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

/// How far a copy is: what was durable when somebody last said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many bytes.
    pub offset: u64,
    /// The running hash of these bytes. One that cannot be read is made again from them.
    pub state: Vec<u8>,
}

/// Bytes to append, and the memory they take from the budget of all uploads.
#[derive(Debug)]
pub struct Batch {
    /// The bytes, in order.
    pub frames: Vec<Bytes>,
    /// Given back when the batch is stored.
    pub permit: Permit,
}

impl Batch {
    /// How many bytes.
    pub fn length(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

/// What a finished copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// How long it is.
    pub size: u64,
    /// What its file looked like then.
    pub stamp: Stamp,
}

/// A file's times. While they stay, so did its bytes, unless the disk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When its bytes were last changed, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When anything of it was last changed.
    pub ctime_ns: i64,
}

/// Bytes on their way to a client.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// A place for copies.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Takes the right to write a copy, from other processes too, whether anything of it is there or not. While
    /// somebody else has it, waits for some seconds, then [`BlobError::Busy`].
    async fn claim(&self, id: CopyId) -> Result<Box<dyn Claim>, BlobError>;

    /// Opens a copy for reading. [`BlobError::NotFound`] where there is none.
    async fn open(&self, id: CopyId) -> Result<Arc<dyn BlobReader>, BlobError>;

    /// Removes a copy for good. One that is gone already is no error where the store is itself. Who has it open reads
    /// on.
    async fn delete(&self, id: CopyId) -> Result<(), BlobError>;

    /// Whether the store is the one that was opened, at its place and with its id. [`BlobError::Away`] where it is not:
    /// until it is back, nothing can be claimed, and a copy that it does not have may be where it was. Finds a store
    /// that came back.
    async fn check_place(&self) -> Result<(), BlobError>;

    /// The store's own id, where it has one.
    async fn store_id(&self) -> Result<Option<StoreId>, BlobError>;

    /// Gives the store its id, or none, in place of one that it may have.
    async fn set_store_id(&self, id: Option<StoreId>) -> Result<(), BlobError>;

    /// `false` after a sync failed: what the store says of durability proves nothing any more.
    fn healthy(&self) -> bool;

    /// The room of the disk that the store is on. `None`: it is on none, or the disk does not say.
    async fn disk_space(&self) -> Result<Option<DiskSpace>, BlobError>;
}

/// The right to write a copy. One that is dropped unopened leaves the store as it was.
#[async_trait]
pub trait Claim: Send {
    /// Goes on at `from`, or begins where it names no byte. Bytes beyond it are cut off;
    /// [`BlobError::Lost`] where there are fewer.
    async fn open(
        self: Box<Self>,
        algorithm: Algorithm,
        from: &Checkpoint,
    ) -> Result<Box<dyn BlobWriter>, BlobError>;
}

/// A copy in the making.
#[async_trait]
pub trait BlobWriter: Send {
    /// How many bytes were taken.
    fn offset(&self) -> u64;

    /// Appends. Returns before the bytes are stored, so that the next ones can come meanwhile; an error shows
    /// in the next call.
    async fn write(&mut self, batch: Batch) -> Result<(), BlobError>;

    /// Makes all bytes durable, and says how to go on from here.
    async fn checkpoint(&mut self) -> Result<Held<Checkpoint>, BlobError>;

    /// Makes the copy durable, if its bytes are the expected ones.
    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Held<Stored>, FinishError>;
}

/// A finished copy, open for reading.
#[async_trait]
pub trait BlobReader: Send + Sync {
    /// How long it is.
    fn size(&self) -> u64;

    /// What its file looked like when it was opened.
    fn stamp(&self) -> Stamp;

    /// Lets go of what memory holds of the copy, so that what is read next is what the disk has.
    fn forget_cached(&self);

    /// Some of its bytes. The last ones come only if the copy did not change meanwhile, else [`BlobError::Changed`].
    fn stream(self: Arc<Self>, start: u64, length: u64) -> BlobStream;

    /// All of its bytes, hashed on the way: the last ones come only if the digest is right, else
    /// [`BlobError::Corrupt`].
    fn stream_verified(self: Arc<Self>, expected: Digest) -> BlobStream;

    /// What its bytes hash to.
    async fn verify(self: Arc<Self>, algorithm: Algorithm) -> Result<Digest, BlobError>;

    /// All bytes at once, for small copies.
    async fn read_all(&self) -> Result<Bytes, BlobError>;
}
