//! An upload that one request writes to: receiving, and what becomes of the bytes.
//!
//! Nobody else can claim the copy while this request has it. What the store answers brings that right along
//! into the transaction, so that it ends with the row's fate, even where the request ends before.

use std::time::Duration;

use blob::{BlobError, BlobWriter, CopyId, FinishError};
use meta::uploads::{self, Upload};
use model::byte_range::ContentRange;
use model::digest::Digest;

use super::commit::{self, CommitTimes};

use crate::access::{Push, RepoAccess};
use crate::content::receive::{ReceivedBytes, UploadChunk};
use crate::error::{BodyError, EngineError};

/// A session as its row stood when this request claimed it.
pub(super) struct ClaimedUpload<'a> {
    pub(super) access: &'a RepoAccess<Push>,
    pub(super) upload: Upload,
    pub(super) writer: Box<dyn BlobWriter>,
}

impl ClaimedUpload<'_> {
    /// Receives the body, and keeps the session from expiring while it runs.
    pub(super) async fn receive(
        &mut self,
        chunk: &mut UploadChunk<'_>,
    ) -> Result<ReceivedBytes, EngineError> {
        /// However short sessions live.
        const AT_MOST_EVERY: Duration = Duration::from_secs(1);
        let UploadChunk { range, announced, body } = chunk;
        let (range, offset) = (*range, self.upload.size as u64);
        if range.is_some_and(|range| range.start != offset) {
            return Err(EngineError::ChunkOutOfOrder { offset });
        }
        let engine = &self.access.engine;
        // A last PUT without bytes needs no room.
        if let Some(bytes @ 1..) = *announced {
            engine.check_announced(bytes).await?;
        }
        let mut touch =
            tokio::time::interval((engine.settings.upload_expiry / 4).max(AT_MOST_EVERY));
        touch.tick().await;
        let receive = engine.receive(&mut *self.writer, body);
        tokio::pin!(receive);
        let received = loop {
            tokio::select! {
                biased;
                received = &mut receive => break received?,
                _ = touch.tick() => match self.access.touch(&self.upload).await {
                    Ok(()) => {}
                    Err(EngineError::UploadUnknown) => return Err(EngineError::UploadUnknown),
                    // There is time for three more attempts.
                    Err(error) => tracing::warn!(
                        upload.id = %self.upload.id, %error,
                        "could not keep upload {} alive yet: {error}", self.upload.id
                    ),
                }
            }
        };
        check_length(range, &received, offset)?;
        Ok(received)
    }

    /// What a body that could not be taken leads to: where there is no room for it, what came of it goes.
    pub(super) async fn broke(self, error: EngineError) -> EngineError {
        let Self { access, upload, writer } = self;
        drop(writer);
        if matches!(error, EngineError::StorageFull | EngineError::DiskNearlyFull(_)) {
            access.give_up(&upload).await;
        }
        error
    }

    /// Makes what came durable, and says so in the row.
    pub(super) async fn save(mut self) -> Result<u64, EngineError> {
        let saved = match self.writer.checkpoint().await {
            Ok(saved) => saved,
            Err(error) => return Err(self.access.failed(&self.upload, error).await),
        };
        let (upload, offset) = (self.upload, saved.offset);
        let expires_at = self.access.upload_expiry();
        let advanced = self
            .access
            .engine
            .meta
            .write(move |tx| {
                let (size, checkpoint) = (saved.offset as i64, saved.hash_state.as_slice());
                Ok::<_, EngineError>(uploads::advance(tx, &upload, size, checkpoint, expires_at)?)
            })
            .await?;
        if advanced == 1 { Ok(offset) } else { Err(EngineError::UploadUnknown) }
    }

    /// Makes the copy a blob, if its bytes are the expected ones.
    pub(super) async fn complete(self, digest: &Digest) -> Result<(), EngineError> {
        let Self { access, upload, writer } = self;
        let stored = match writer.finish(digest).await {
            Ok(stored) => stored,
            Err(FinishError::Mismatch { actual }) => {
                // The client hashed other bytes than it sent: the session cannot be saved.
                access.abandon(&upload).await?;
                return Err(EngineError::DigestMismatch { expected: digest.clone(), actual });
            }
            Err(FinishError::Blob(error)) => return Err(access.failed(&upload, error).await),
        };
        access.confirm().await?;
        let (at, digest) = (access.image.clone(), digest.clone());
        let times = CommitTimes::of(&access.engine);
        let commit = move |tx: &mut meta::Tx<'_>| {
            commit::commit(tx, &at, (&upload, &digest, &stored), times)
        };
        access.engine.meta.write(commit).await
    }
}

impl RepoAccess<Push> {
    /// What a store that failed leads to. Bytes that are gone cannot be gone on from, and what found no room
    /// shall not keep any: the session ends.
    pub(super) async fn failed(&self, upload: &Upload, error: BlobError) -> EngineError {
        match error {
            BlobError::Unhealthy | BlobError::Full => self.give_up(upload).await,
            // Somebody cut the file, or took it away.
            BlobError::Lost | BlobError::NotAFile => {
                tracing::warn!(
                    upload.id = %upload.id, %error,
                    "the bytes of upload {} are gone, and it is over: {error}", upload.id
                );
                self.give_up(upload).await;
                return EngineError::UploadUnknown;
            }
            BlobError::NotFound
            | BlobError::Busy
            | BlobError::Corrupt
            | BlobError::TooManyFiles
            | BlobError::Changed
            | BlobError::StoreMissing(_)
            | BlobError::Io(_) => {}
        }
        error.into()
    }

    /// Ends a session and gives its bytes back at once, as far as store and database can: what they cannot do
    /// now is done when it expires.
    async fn give_up(&self, upload: &Upload) {
        let ended = match self.abandon(upload).await {
            Ok(true) => upload.copy_id,
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(
                    upload.id = %upload.id, %error,
                    "upload {} is lost and could not be ended yet: {error}", upload.id
                );
                None
            }
        };
        // The session is over, so nobody else goes on with its bytes. Their row is in the trash all the same.
        if let Some(copy) = ended
            && let Err(error) = self.engine.blobs.delete(CopyId::from(copy.to_bytes())).await
        {
            tracing::debug!(upload.id = %upload.id, %error, "removed later: {error}");
        }
    }
}

/// A chunk that names its place must be as long as it says. One that is not is forgotten, not half kept:
/// the row still names the offset before it.
fn check_length(
    range: Option<ContentRange>,
    received: &ReceivedBytes,
    started: u64,
) -> Result<(), EngineError> {
    let Some(range) = range else { return Ok(()) };
    let announced = range.end - range.start + 1;
    let wrong = match received.ended {
        Ok(()) => received.bytes != announced,
        Err(BodyError::Closed | BodyError::Stalled) => received.bytes > announced,
    };
    if wrong { Err(EngineError::ChunkOutOfOrder { offset: started }) } else { Ok(()) }
}
