//! Takes a request body to a blob writer, in batches and within the memory that all uploads share.

use std::pin::Pin;
use std::time::Duration;

use blob::{Batch, BlobError, BlobStream, BlobWriter};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::{BodyError, Engine, EngineError};

/// The bytes of a request, as they come.
pub type Body<'a> = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send + 'a>>;

/// A batch goes to the hashing pool when it has this many bytes..
const BATCH_BYTES: usize = 1 << 20;
/// ..or this many frames..
const BATCH_FRAMES: usize = 512;
/// ..or waited this long for more.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// How far a body got.
pub(crate) struct Received {
    /// The bytes that were handed to the writer.
    pub(crate) bytes: u64,
    /// Whether the body ended as it should.
    pub(crate) ended: Result<(), BodyError>,
}

impl Engine {
    /// Writes the body until it ends, breaks, or would make the blob larger than it may be.
    pub(crate) async fn receive(
        &self,
        writer: &mut dyn BlobWriter,
        body: &mut Body<'_>,
    ) -> Result<Received, EngineError> {
        let limit = model::range::MAX_BLOB_BYTES;
        let mut bytes = 0;
        loop {
            // The first frame waits in the connection's own buffer. Memory for a whole batch is taken only
            // once bytes flow, so that clients that send nothing keep nobody else from sending.
            let first = match body.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Ok(Received { bytes, ended: Err(error) }),
                None => return Ok(Received { bytes, ended: Ok(()) }),
            };
            let permit = self.budget.acquire(BATCH_BYTES).await;
            let (frames, end) = fill_batch(first, body).await;
            let length: usize = frames.iter().map(Bytes::len).sum();
            if writer.offset() + length as u64 > limit {
                return Err(EngineError::BlobTooLarge { limit });
            }
            writer.write(Batch { frames, permit }).await?;
            bytes += length as u64;
            if let Some(ended) = end {
                return Ok(Received { bytes, ended });
            }
        }
    }
}

/// Adds frames until the batch is full or has waited long enough; and how the body ended, if it did.
async fn fill_batch(
    first: Bytes,
    body: &mut Body<'_>,
) -> (Vec<Bytes>, Option<Result<(), BodyError>>) {
    let mut length = first.len();
    let mut frames = vec![first];
    let deadline = tokio::time::sleep(BATCH_WAIT);
    tokio::pin!(deadline);
    while length < BATCH_BYTES && frames.len() < BATCH_FRAMES {
        let frame = tokio::select! {
            biased;
            frame = body.next() => frame,
            () = &mut deadline => break,
        };
        match frame {
            Some(Ok(frame)) => {
                length += frame.len();
                frames.push(frame);
            }
            Some(Err(error)) => return (frames, Some(Err(error))),
            None => return (frames, Some(Ok(()))),
        }
    }
    (frames, None)
}

/// Passes a checked stream of `size` bytes on, and reports before its last frame, or its end without one,
/// whether the bytes were right. After the last byte nobody asks for more.
pub(crate) fn on_end<F, Reported>(
    stream: BlobStream,
    size: u64,
    report: F,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send
where
    F: FnOnce(bool) -> Reported + Send,
    Reported: Future<Output = ()> + Send,
{
    stream::unfold((stream, size, Some(report)), |(mut stream, mut left, mut report)| async move {
        let frame = stream.next().await?;
        let sound = match &frame {
            Ok(bytes) => {
                left = left.saturating_sub(bytes.len() as u64);
                (left == 0).then_some(true)
            }
            Err(BlobError::Corrupt) => Some(false),
            // What could not be read proves nothing.
            Err(_) => None,
        };
        if let Some(sound) = sound
            && let Some(report) = report.take()
        {
            report(sound).await;
        }
        Some((frame, (stream, left, report)))
    })
}
