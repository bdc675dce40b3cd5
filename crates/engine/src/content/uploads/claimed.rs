//! An upload that only this request writes to: receiving its bytes, and saving or completing it.
//!
//! No other request can claim the copy at the same time. The claim is inside the store's answer and goes with it into
//! the transaction, so that it lasts until the row is decided, even if the request ends before.

use std::time::Duration;

use blob::{BlobError, BlobWriter, CopyId, FinishError};
use meta::uploads::{self, Upload};
use model::byte_range::ContentRange;
use model::digest::Digest;

use super::commit::{FinishedUpload, commit};

use crate::access::{Push, RepoAccess};
use crate::body_error::BodyError;
use crate::content::receive::{MAX_BATCH_WAIT, ReceivedBytes, UploadChunk};
use crate::error::EngineError;

/// A session as its row was when this request claimed it.
pub(in crate::content) struct ClaimedUpload<'a> {
    access: &'a RepoAccess<Push>,
    pub(in crate::content) upload: Upload,
    pub(in crate::content) writer: Box<dyn BlobWriter>,
    /// The longest time for which received bytes wait for more before they are written.
    pub(in crate::content) batch_wait: Duration,
}

impl<'a> ClaimedUpload<'a> {
    pub(super) fn new(
        access: &'a RepoAccess<Push>,
        upload: Upload,
        writer: Box<dyn BlobWriter>,
    ) -> Self {
        Self { access, upload, writer, batch_wait: MAX_BATCH_WAIT }
    }
}

impl ClaimedUpload<'_> {
    /// Receives the body. Meanwhile, the expiry of the session is moved on.
    pub(in crate::content) async fn receive(
        &mut self,
        chunk: &mut UploadChunk<'_>,
    ) -> Result<ReceivedBytes, EngineError> {
        /// The shortest interval, however short the expiry of sessions is.
        const MIN_INTERVAL: Duration = Duration::from_secs(1);
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
        let mut ticks =
            tokio::time::interval((engine.settings.upload_expiry / 4).max(MIN_INTERVAL));
        ticks.tick().await;
        let receive = engine.receive(&mut *self.writer, body, self.batch_wait);
        tokio::pin!(receive);
        let received = loop {
            tokio::select! {
                biased;
                received = &mut receive => break received?,
                _ = ticks.tick() => match self.access.extend_expiry(&self.upload).await {
                    Ok(()) => {}
                    Err(EngineError::UploadUnknown) => return Err(EngineError::UploadUnknown),
                    // Three more attempts follow before the session expires.
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

    /// Ends the session if there was no room for its body, and returns the error.
    pub(in crate::content) async fn fail(self, error: EngineError) -> EngineError {
        let Self { access, upload, writer, .. } = self;
        drop(writer);
        if matches!(error, EngineError::StorageFull | EngineError::DiskNearlyFull(_)) {
            access.discard_upload(&upload).await;
        }
        error
    }

    /// Makes the received bytes durable, and records the offset. Returns the offset.
    pub(in crate::content) async fn save(&mut self) -> Result<u64, EngineError> {
        let saved = match self.writer.checkpoint().await {
            Ok(saved) => saved,
            Err(error) => return Err(self.access.store_error(&self.upload, error).await),
        };
        let (upload, offset) = (self.upload.clone(), saved.offset);
        let expires_at = self.access.upload_expiry();
        let advanced = self
            .access
            .engine
            .write(move |tx| {
                let offset = saved.offset as i64;
                Ok(uploads::advance(tx, &upload, offset, &saved.hash_state, expires_at)?)
            })
            .await?;
        if advanced != 1 {
            return Err(EngineError::UploadUnknown);
        }
        self.upload.size = offset as i64;
        Ok(offset)
    }

    /// Makes the copy a blob, if its bytes have the expected digest.
    pub(in crate::content) async fn complete(self, digest: &Digest) -> Result<(), EngineError> {
        let Self { access, upload, writer, .. } = self;
        let stored = match writer.finish(digest).await {
            Ok(stored) => stored,
            Err(FinishError::Mismatch { actual }) => {
                // The client hashed other bytes than it sent: the session cannot be continued.
                access.abandon(&upload).await?;
                return Err(EngineError::DigestMismatch { expected: digest.clone(), actual });
            }
            Err(FinishError::Blob(error)) => return Err(access.store_error(&upload, error).await),
        };
        access.confirm_permission().await?;
        let (image, times) = (access.image.clone(), access.engine.review_times());
        let finished = FinishedUpload { upload, digest: digest.clone(), stored };
        access.engine.write(move |tx| commit(tx, &image, &finished, times)).await
    }
}

impl RepoAccess<Push> {
    /// Returns the error of a store that failed. If the bytes are gone, or there was no room for them, the session
    /// ends.
    pub(super) async fn store_error(&self, upload: &Upload, error: BlobError) -> EngineError {
        match error {
            BlobError::Unhealthy | BlobError::Full => self.discard_upload(upload).await,
            // The file was cut or deleted by something else.
            BlobError::Lost | BlobError::NotAFile => {
                tracing::warn!(
                    upload.id = %upload.id, %error,
                    "the bytes of upload {} are gone, so the upload has ended: {error}", upload.id
                );
                self.discard_upload(upload).await;
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

    /// Ends a session and frees its bytes at once, as far as store and database can. The rest is done when the
    /// session expires.
    async fn discard_upload(&self, upload: &Upload) {
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
        // The session is over, so no request continues with these bytes. Their row is in the trash, and is deleted
        // later.
        if let Some(copy) = ended
            && let Err(error) = self.engine.blobs.delete(CopyId::from(copy.to_bytes())).await
        {
            tracing::debug!(upload.id = %upload.id, %error, "the file of upload {} will be deleted later: {error}", upload.id);
        }
    }
}

/// Refuses a chunk that states a range and has another length. Its bytes are not kept: the row still has the offset
/// before it.
fn check_length(
    range: Option<ContentRange>,
    received: &ReceivedBytes,
    started: u64,
) -> Result<(), EngineError> {
    let Some(range) = range else { return Ok(()) };
    let announced = range.end - range.start + 1;
    let wrong = match received.end {
        Ok(()) => received.bytes != announced,
        Err(BodyError::Closed | BodyError::Stalled) => received.bytes > announced,
    };
    if wrong { Err(EngineError::ChunkOutOfOrder { offset: started }) } else { Ok(()) }
}
