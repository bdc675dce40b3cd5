//! Reading a copy while it is written.
//!
//! The writer tells how far the copy has grown, and whether its digest has been verified. Readers wait for that, and
//! read the bytes from where the writer puts them. They hold neither the lock of the writer nor its memory.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;

use crate::{BlobError, BlobStream};

/// The number of bytes at the end of a copy that no reader gets before the digest of the copy is verified.
pub const HELD_BACK_BYTES: u64 = 64 << 10;

/// The progress of a copy that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteProgress {
    /// The number of bytes that can be read.
    pub(crate) written: u64,
    /// Tells whether the copy is complete and has the expected digest.
    pub(crate) is_verified: bool,
}

/// The sender of the progress. When the last clone is dropped, nothing more will be written.
#[derive(Clone)]
pub(crate) struct ProgressSender(Arc<watch::Sender<WriteProgress>>);

impl ProgressSender {
    /// Creates the sender of a copy that has `written` bytes already.
    pub(crate) fn new(written: u64) -> Self {
        Self(Arc::new(watch::Sender::new(WriteProgress { written, is_verified: false })))
    }

    pub(crate) fn set_written(&self, written: u64) {
        self.0.send_modify(|progress| progress.written = written);
    }

    pub(crate) fn set_verified(&self) {
        self.0.send_modify(|progress| progress.is_verified = true);
    }

    /// Returns a reader of the copy whose bytes `source` reads.
    pub(crate) fn reader(&self, source: Arc<dyn GrowingSource>) -> GrowingCopy {
        GrowingCopy { progress: self.0.subscribe(), source }
    }
}

/// The bytes of a copy that is being written.
#[async_trait]
pub(crate) trait GrowingSource: Send + Sync {
    /// Reads some of the bytes from `start` on, at least one and at most `length`. They have been written.
    async fn read_at(self: Arc<Self>, start: u64, length: u64) -> Result<Bytes, BlobError>;
}

/// A copy that is being written, open for reading.
#[derive(Clone)]
pub struct GrowingCopy {
    progress: watch::Receiver<WriteProgress>,
    source: Arc<dyn GrowingSource>,
}

impl GrowingCopy {
    /// Streams the bytes from `start` up to `end` as they are written, of a copy that will have `size` bytes. The last
    /// [`HELD_BACK_BYTES`] of the copy come after the digest is verified. If the writer gives up, or the copy ends with
    /// another size, the stream ends with [`BlobError::Lost`].
    pub fn stream(self, start: u64, end: u64, size: u64) -> BlobStream {
        let begun = (self, start);
        Box::pin(stream::try_unfold(begun, move |(mut copy, at)| async move {
            if at >= end {
                return Ok(None);
            }
            let readable = copy.wait_beyond(at, size).await?.min(end);
            let bytes = copy.source.clone().read_at(at, readable - at).await?;
            let next = at + bytes.len() as u64;
            Ok(Some((bytes, (copy, next))))
        }))
    }

    /// Waits until more than `at` bytes may be read, and returns their number.
    async fn wait_beyond(&mut self, at: u64, size: u64) -> Result<u64, BlobError> {
        let readable = |progress: &WriteProgress| {
            if progress.is_verified {
                return progress.written;
            }
            progress.written.min(size.saturating_sub(HELD_BACK_BYTES))
        };
        let waited = self.progress.wait_for(|now| now.is_verified || readable(now) > at).await;
        let progress = *waited.map_err(|_| BlobError::Lost)?;
        if progress.is_verified && progress.written != size {
            return Err(BlobError::Lost);
        }
        Ok(readable(&progress))
    }
}
