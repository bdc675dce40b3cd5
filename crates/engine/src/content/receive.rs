//! The way of a request body to a blob writer, in batches and within the memory that all uploads share.

use std::pin::Pin;
use std::time::Duration;

use blob::{BlobWriter, UploadBatch};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use model::byte_range::ContentRange;

use crate::body_error::BodyError;
use crate::engine::Engine;
use crate::error::EngineError;

/// The bytes of a request, as they come.
pub type UploadBody<'a> = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send + 'a>>;

/// The bytes of a request, and the properties that the request states.
pub struct UploadChunk<'a> {
    /// The range of the blob that the bytes belong to, if the request states it.
    pub range: Option<ContentRange>,
    /// The length of the body, if the request states it.
    pub announced: Option<u64>,
    /// The bytes.
    pub body: UploadBody<'a>,
}

impl<'a> From<UploadBody<'a>> for UploadChunk<'a> {
    /// Returns a chunk that states neither range nor length.
    fn from(body: UploadBody<'a>) -> Self {
        Self { range: None, announced: None, body }
    }
}

/// The number of bytes at which a batch goes to the hashing pool.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// The number of frames at which a batch goes to the hashing pool.
const MAX_BATCH_FRAMES: usize = 512;
/// The time after which a batch of a push goes to the hashing pool as it is.
pub(super) const MAX_BATCH_WAIT: Duration = Duration::from_secs(1);

/// The outcome of receiving a body.
pub(crate) struct ReceivedBytes {
    /// The number of bytes that were handed to the writer.
    pub(crate) bytes: u64,
    /// The reason why the body ended too early, if it did.
    pub(crate) end: Result<(), BodyError>,
}

impl Engine {
    /// Writes the body until it ends, breaks, or would make the blob larger than a blob may be.
    pub(crate) async fn receive(
        &self,
        writer: &mut dyn BlobWriter,
        body: &mut UploadBody<'_>,
        batch_wait: Duration,
    ) -> Result<ReceivedBytes, EngineError> {
        let limit = model::byte_range::MAX_BLOB_BYTES;
        let mut bytes = 0;
        loop {
            // The first frame waits in the buffer of the connection. Memory is taken for the bytes at hand, not for
            // those that may come, so that slow clients keep nobody else from sending.
            let first = match body.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Ok(ReceivedBytes { bytes, end: Err(error) }),
                None => return Ok(ReceivedBytes { bytes, end: Ok(()) }),
            };
            let permit = self.budget.acquire(first.len()).await;
            let batch = UploadBatch { frames: vec![first], permit };
            let (batch, end) = fill_batch(batch, body, batch_wait).await;
            let length = batch.length();
            if writer.offset() + length > limit {
                return Err(EngineError::BlobTooLarge { limit });
            }
            self.check_room(length).await?;
            writer.write(batch).await?;
            bytes += length;
            if let Some(end) = end {
                return Ok(ReceivedBytes { bytes, end });
            }
        }
    }
}

/// Adds frames until the batch is full, has waited long enough, or finds no memory for one more. That one frame is
/// kept, because it is in memory already. Returns how the body ended, if it did.
async fn fill_batch(
    mut batch: UploadBatch,
    body: &mut UploadBody<'_>,
    max_wait: Duration,
) -> (UploadBatch, Option<Result<(), BodyError>>) {
    let mut length = batch.frames[0].len();
    let deadline = tokio::time::sleep(max_wait);
    tokio::pin!(deadline);
    while length < MAX_BATCH_BYTES && batch.frames.len() < MAX_BATCH_FRAMES {
        let frame = tokio::select! {
            biased;
            frame = body.next() => frame,
            () = &mut deadline => break,
        };
        match frame {
            Some(Ok(frame)) => {
                length += frame.len();
                batch.frames.push(frame);
                if !batch.permit.grow_to(length) {
                    break;
                }
            }
            Some(Err(error)) => return (batch, Some(Err(error))),
            None => return (batch, Some(Ok(()))),
        }
    }
    (batch, None)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use blob::{BlobStore, Checkpoint, CopyId, MemoryStore};
    use futures_util::stream;
    use identity::{MasterKey, SystemClock};
    use meta::{DatabaseLocation, Meta};
    use model::digest::{Digest, DigestAlgorithm};

    use super::*;
    use crate::settings::Settings;

    /// The memory of so many bytes of uploads, and somewhere to write to.
    async fn registry(upload_memory: usize) -> (Engine, Box<dyn BlobWriter>) {
        let meta = Meta::open(DatabaseLocation::SqliteMemory).await.expect("a new database");
        let blobs = Arc::new(MemoryStore::default());
        let claim = blobs.claim(CopyId::from([7; 16])).await.expect("free");
        let writer =
            claim.open(DigestAlgorithm::Sha256, &Checkpoint::default()).await.expect("empty");
        let settings = Settings { upload_memory, ..Settings::default() };
        let master = MasterKey::new(&MasterKey::generate());
        (Engine::new(meta, blobs, Arc::new(SystemClock), settings, master), writer)
    }

    #[tokio::test]
    async fn a_byte_that_waits_for_more_takes_no_memory_for_it() {
        let (engine, mut writer) = registry(MAX_BATCH_BYTES).await;
        let slow = stream::iter([Ok(Bytes::from_static(b"x"))]).chain(stream::pending());
        let mut slow: UploadBody<'_> = Box::pin(slow);
        let mut context = Context::from_waker(Waker::noop());
        let receive = pin!(engine.receive(&mut *writer, &mut slow, MAX_BATCH_WAIT));
        assert!(receive.poll(&mut context).is_pending(), "it waits for the second byte");
        let others = pin!(engine.budget.acquire(MAX_BATCH_BYTES - (1 << 10)));
        assert!(others.poll(&mut context).is_ready(), "the rest is there for others");
    }

    #[tokio::test]
    async fn little_memory_makes_small_batches_and_nothing_else() {
        let (engine, mut writer) = registry(5 << 10).await;
        let frames: Vec<Bytes> = (0..100_u8).map(|byte| vec![byte; 3000].into()).collect();
        let digest = Digest::of(&frames.concat());
        let mut body: UploadBody<'_> = Box::pin(stream::iter(frames).map(Ok));
        let received =
            engine.receive(&mut *writer, &mut body, MAX_BATCH_WAIT).await.expect("it works");
        assert!(received.bytes == 300_000 && received.end.is_ok());
        let _ = writer.finish(&digest).await.expect("every byte in its place");
    }
}
