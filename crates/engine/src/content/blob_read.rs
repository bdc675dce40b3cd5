//! Reading blobs: opening one, sending its bytes, and recording what the bytes show about its copy.

use std::sync::Arc;
use std::time::Duration;

use blob::{BlobError, BlobReader, BlobStream, CopyDamage, CopyId, FileTimes};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use identity::micros;
use meta::Id;
use meta::blobs::{self, BlobCopy};
use meta::gc_queue;
use meta::gc_queue::ReviewKind;
use model::byte_range::ByteRange;
use model::digest::Digest;
use tokio::time::timeout;

use crate::access::{ImageHolding, Pull, RepoAccess};
use crate::cache_reads::CacheRead;
use crate::content::source::ContentSource;
use crate::copy_checks::CheckOutcome;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::remote_fetch::GrowingBlob;
use crate::reviews;

/// The longest time for which a request waits for the check of a copy, where it can be answered without the check.
const MAX_CHECK_WAIT: Duration = Duration::from_secs(2);

/// The number of times that a blob is looked for whose copy is replaced meanwhile.
const MAX_OPEN_ATTEMPTS: u32 = 3;

/// A blob that is open for reading.
#[derive(Clone)]
pub struct BlobContent {
    engine: Engine,
    repository: Id,
    digest: Digest,
    row: BlobCopy,
    reader: Arc<dyn BlobReader>,
    /// The read, if the repository deletes what nobody uses.
    pub(super) read: Option<Arc<CacheRead>>,
}

/// A blob or a manifest that is open for reading, in whole or in parts.
#[derive(Clone)]
pub enum OpenContent {
    /// A blob.
    Blob(BlobContent),
    /// A blob that is being fetched from another registry.
    Growing(GrowingBlob),
    /// The bytes of a manifest.
    Manifest(Bytes),
}

impl OpenContent {
    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Blob(blob) => blob.size(),
            Self::Growing(blob) => blob.size(),
            Self::Manifest(bytes) => bytes.len() as u64,
        }
    }

    /// Returns all bytes.
    pub fn whole(self) -> BlobStream {
        match self {
            Self::Blob(blob) => blob.whole(),
            Self::Growing(blob) => blob.whole(),
            Self::Manifest(bytes) => Box::pin(stream::iter([Ok(bytes)])),
        }
    }

    /// Returns some ranges of the bytes. Each range must be within the content.
    pub async fn parts(self, parts: &[ByteRange]) -> Result<Vec<BlobStream>, EngineError> {
        match self {
            Self::Blob(blob) => blob.parts(parts).await,
            Self::Growing(blob) => Ok(blob.parts(parts)),
            Self::Manifest(bytes) => {
                let slice =
                    |part: &ByteRange| bytes.slice(part.start as usize..=part.last() as usize);
                let parts = parts.iter().map(|part| stream::iter([Ok(slice(part))]));
                Ok(parts.map(|part| -> BlobStream { Box::pin(part) }).collect())
            }
        }
    }
}

impl Engine {
    /// Opens a blob that the repository may read. The caller of this function has checked the permission.
    pub(crate) async fn open_blob(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<BlobContent, EngineError> {
        self.open_found_blob(repository, digest, None).await
    }

    /// Does the same as `open_blob`, with the row of the blob if it was read already.
    pub(super) async fn open_found_blob(
        &self,
        repository: &Id,
        digest: &Digest,
        mut found: Option<BlobCopy>,
    ) -> Result<BlobContent, EngineError> {
        for _ in 0..MAX_OPEN_ATTEMPTS {
            let row = match found.take() {
                Some(row) => row,
                None => self.find_blob(repository, digest).await?,
            };
            let Some(reader) = self.open_copy(repository, digest, &row).await? else { continue };
            let (repository, digest) = (*repository, digest.clone());
            let engine = self.clone();
            return Ok(BlobContent { engine, repository, digest, row, reader, read: None });
        }
        Err(EngineError::BlobUnknown(digest.clone()))
    }

    /// Returns the row of a blob. A copy that is out of service is checked, and back in service if it is right.
    pub(crate) async fn find_blob(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<BlobCopy, EngineError> {
        if let Some(row) = self.find_live(repository, digest).await? {
            return Ok(row);
        }
        let unknown = || EngineError::BlobUnknown(digest.clone());
        let (repository, wanted) = (*repository, digest.clone());
        let quarantined = self
            .read_by_key(move |tx| Ok(blobs::find_quarantined(tx, &repository, &wanted)?))
            .await?;
        let row = quarantined.ok_or_else(unknown)?;
        let check = self.check_copy(digest, &row).outcome();
        match timeout(MAX_CHECK_WAIT, check).await {
            Ok(CheckOutcome::Sound) => {
                self.find_live(&repository, digest).await?.ok_or_else(unknown)
            }
            Ok(_) | Err(_) => Err(unknown()),
        }
    }

    async fn find_live(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<Option<BlobCopy>, EngineError> {
        let (repository, wanted) = (*repository, digest.clone());
        self.read_by_key(move |tx| Ok(blobs::find(tx, &repository, &wanted)?)).await
    }

    /// Opens a copy. If it is missing or cannot be opened, the row and the store are checked first, and opening is
    /// tried once more. Returns `None` if the blob has another copy now.
    async fn open_copy(
        &self,
        repository: &Id,
        digest: &Digest,
        row: &BlobCopy,
    ) -> Result<Option<Arc<dyn BlobReader>>, EngineError> {
        let id = CopyId::from(row.copy_id.to_bytes());
        let opened = match self.blobs.open(id).await {
            Err(error) if error.copy_damage() != CopyDamage::None => {
                let again = self.find_live(repository, digest).await?;
                if again.is_none_or(|again| again.copy_id != row.copy_id) {
                    return Ok(None);
                }
                self.blobs.check_location().await?;
                self.blobs.open(id).await
            }
            opened => opened,
        };
        let error = match opened {
            Ok(reader) if reader.size() == row.size as u64 => return Ok(Some(reader)),
            Ok(_) => BlobError::Corrupt,
            Err(error) if error.copy_damage() == CopyDamage::None => return Err(error.into()),
            Err(error) => error,
        };
        self.record_check(&row.copy_id, digest, Err(&error)).await?;
        Err(EngineError::BlobUnknown(digest.clone()))
    }
}

impl BlobContent {
    /// Returns the size of the blob.
    pub fn size(&self) -> u64 {
        self.row.size as u64
    }

    /// Returns all bytes of the blob. If its file has changed, or its last check is too old, the bytes are hashed on
    /// the way, and the end is held back until the digest is known to be right.
    pub fn whole(self) -> BlobStream {
        let (size, reader) = (self.size(), self.reader.clone());
        if self.needs_check() {
            let stream = reader.stream_verified(self.digest.clone());
            let proves = Some(self.reader.times());
            return self.recorded(stream, SentBytes { left: size, proves });
        }
        let stream = reader.stream(0, size);
        self.recorded(stream, SentBytes { left: size, proves: None })
    }

    /// Returns parts of the blob, from which no digest can be computed. If the file has changed, it is checked first.
    /// If its last check is too old, it is checked in the background.
    pub async fn parts(self, parts: &[ByteRange]) -> Result<Vec<BlobStream>, EngineError> {
        if !self.has_changed() {
            if self.needs_check() {
                self.engine.check_in_background(&self.digest, &self.row);
            }
            return Ok(self.unchecked_parts(parts));
        }
        match self.engine.check_copy(&self.digest, &self.row).outcome().await {
            // The check has opened the file by its name, so the file is opened again.
            CheckOutcome::Sound | CheckOutcome::Unknown => {
                let mut fresh = self.engine.open_blob(&self.repository, &self.digest).await?;
                fresh.read = self.read;
                if fresh.has_changed() {
                    let problem = format!("the file of blob {} could not be checked", self.digest);
                    return Err(EngineError::Unavailable(problem));
                }
                Ok(fresh.unchecked_parts(parts))
            }
            CheckOutcome::Corrupt | CheckOutcome::Missing | CheckOutcome::Unreadable => {
                Err(EngineError::BlobUnknown(self.digest))
            }
        }
    }

    /// Returns all bytes of a small blob, without a check.
    pub(crate) async fn read_all(&self) -> Result<Bytes, EngineError> {
        Ok(self.reader.read_all().await?)
    }

    /// Checks a copy whose file has changed, for a request that only asks whether the blob exists. If the check takes
    /// long, it goes on in the background and the answer does not wait for it.
    pub(crate) async fn check_if_changed(&self) -> Result<(), EngineError> {
        if !self.has_changed() {
            return Ok(());
        }
        let check = self.engine.check_copy(&self.digest, &self.row).outcome();
        match timeout(MAX_CHECK_WAIT, check).await {
            Ok(CheckOutcome::Corrupt | CheckOutcome::Missing | CheckOutcome::Unreadable) => {
                Err(EngineError::BlobUnknown(self.digest.clone()))
            }
            Ok(CheckOutcome::Sound | CheckOutcome::Unknown) | Err(_) => Ok(()),
        }
    }

    fn unchecked_parts(&self, parts: &[ByteRange]) -> Vec<BlobStream> {
        let stream = |part: &ByteRange| {
            let stream = self.reader.clone().stream(part.start, part.length);
            self.clone().recorded(stream, SentBytes { left: part.length, proves: None })
        };
        parts.iter().map(stream).collect()
    }

    /// Returns whether the times of the file differ from those in the row.
    fn has_changed(&self) -> bool {
        let FileTimes { mtime_ns, ctime_ns } = self.reader.times();
        (mtime_ns, ctime_ns) != (self.row.mtime_ns, self.row.ctime_ns)
    }

    fn needs_check(&self) -> bool {
        let age = self.engine.clock.now() - self.row.verified_at;
        self.has_changed() || age > micros(self.engine.settings.verify_after)
    }

    /// Passes a stream on, and records what it shows about the copy. This happens before the last frame, or before an
    /// end without one, because after the last byte nobody polls the stream again.
    fn recorded(self, stream: BlobStream, sent: SentBytes) -> BlobStream {
        let begun = (stream, sent, Some(self));
        Box::pin(stream::unfold(begun, |(mut stream, mut sent, mut content)| async move {
            let frame = stream.next().await?;
            let result = match &frame {
                Ok(bytes) => {
                    sent.left = sent.left.saturating_sub(bytes.len() as u64);
                    sent.proves.filter(|_| sent.left == 0).map(Ok)
                }
                Err(error) => Some(Err(error)),
            };
            if let Some(result) = result
                && let Some(content) = content.take()
            {
                content.record(result).await;
            }
            Some((frame, (stream, sent, content)))
        }))
    }

    async fn record(self, result: Result<FileTimes, &BlobError>) {
        let Self { engine, digest, row, .. } = self;
        if matches!(result, Err(BlobError::Changed)) {
            engine.check_in_background(&digest, &row);
        }
        if let Err(error) = engine.record_check(&row.copy_id, &digest, result).await {
            tracing::warn!(
                blob.digest = %digest, %error,
                "could not record the check of blob {digest}: {error}"
            );
        }
    }
}

/// The progress of a stream.
struct SentBytes {
    /// The number of bytes that are still to come.
    left: u64,
    /// The times of the file, if the end of the stream proves that its bytes are right.
    proves: Option<FileTimes>,
}

impl RepoAccess<Pull> {
    /// Returns the size of a blob, and postpones the review of its link: a client that learns that the blob exists
    /// may leave it out of a push.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<u64, EngineError> {
        let source = self.source().await?;
        if let ContentSource::Local(holding) = &source {
            // The review is postponed before the blob is looked for: a blob that is there afterwards stays until the
            // review.
            self.postpone_review(holding, digest).await?;
        }
        let stat = async |repository: &Id| {
            let blob = self.engine.open_blob(repository, digest).await?;
            blob.check_if_changed().await?;
            Ok(blob.size())
        };
        match &source {
            ContentSource::Local(holding) => stat(&holding.repository.id).await,
            ContentSource::Remote(source) => match stat(&source.holding().repository.id).await {
                Err(EngineError::BlobUnknown(digest)) => {
                    let size = source.find_missing_size(&digest).await?;
                    size.ok_or(EngineError::BlobUnknown(digest))
                }
                found => found,
            },
            ContentSource::Upstreams(source) => {
                Box::pin(source.find_blob_size(&self.engine, digest)).await
            }
        }
    }

    /// Opens a blob for reading.
    pub async fn open_blob(&self, digest: &Digest) -> Result<OpenContent, EngineError> {
        let open = async |repository: &Id, read: Option<Arc<CacheRead>>| {
            let blob = self.engine.open_blob(repository, digest).await?;
            Ok(OpenContent::Blob(BlobContent { read, ..blob }))
        };
        match self.source().await? {
            ContentSource::Local(holding) => open(&holding.repository.id, None).await,
            ContentSource::Remote(source) => {
                let repository = &source.holding().repository.id;
                let read = source.begin_read(digest);
                match open(repository, read.clone()).await {
                    Err(EngineError::BlobUnknown(_)) => {}
                    opened => return opened,
                }
                match Box::pin(source.open_missing_blob(digest)).await? {
                    Some(blob) => Ok(OpenContent::Growing(blob)),
                    None => open(repository, read).await,
                }
            }
            ContentSource::Upstreams(source) => {
                Box::pin(source.open_blob(&self.engine, digest)).await
            }
        }
    }

    /// Postpones a waiting review of the link to the blob, at most once in a 24th of the grace period.
    async fn postpone_review(
        &self,
        holding: &ImageHolding,
        digest: &Digest,
    ) -> Result<(), EngineError> {
        let id = reviews::link_id(&holding.repository.id, digest);
        let grace = micros(self.engine.settings.gc_grace);
        let later = self.engine.clock.now() + grace;
        let stale = later - grace / 24;
        let wanted = id.clone();
        let waiting = self
            .engine
            .read_by_key(move |tx| Ok(gc_queue::find_review_time(tx, ReviewKind::Link, &wanted)?))
            .await?;
        if waiting.is_some_and(|due| due < stale) {
            self.engine
                .write(move |tx| Ok(gc_queue::postpone(tx, ReviewKind::Link, &id, later, stale)?))
                .await?;
        }
        Ok(())
    }
}
