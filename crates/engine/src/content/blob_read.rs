//! Bytes on their way out: a blob is opened, and what its copy turns out to be is written down.

use std::sync::Arc;
use std::time::Duration;

use blob::{BlobError, BlobReader, BlobStream, CopyDamage, CopyId, FileTimes};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use identity::micros;
use meta::Id;
use meta::blobs::{self, BlobCopy};
use meta::gc_queue::{self, ReviewKind};
use model::byte_range::ByteRange;
use model::digest::Digest;
use tokio::time::timeout;

use crate::access::{ImageHolding, Pull, RepoAccess};
use crate::content::source::ContentSource;
use crate::copy_checks::CheckOutcome;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews;

/// How long a request waits for the check of a copy that decides about its answer, where it can be answered without.
const MAX_CHECK_WAIT: Duration = Duration::from_secs(2);

/// How often a blob is looked for again whose copy was replaced meanwhile.
const MAX_OPEN_ATTEMPTS: u32 = 3;

/// A blob, open for reading.
#[derive(Clone)]
pub struct BlobContent {
    engine: Engine,
    repository: Id,
    digest: Digest,
    row: BlobCopy,
    reader: Arc<dyn BlobReader>,
}

/// A blob or a manifest: of its bytes as much as is asked for.
#[derive(Clone)]
pub enum OpenContent {
    /// A blob, open for reading.
    Blob(BlobContent),
    /// A manifest's bytes.
    Manifest(Bytes),
}

impl OpenContent {
    /// How long it is.
    pub fn size(&self) -> u64 {
        match self {
            Self::Blob(blob) => blob.size(),
            Self::Manifest(bytes) => bytes.len() as u64,
        }
    }

    /// All of it.
    pub fn whole(self) -> BlobStream {
        match self {
            Self::Blob(blob) => blob.whole(),
            Self::Manifest(bytes) => Box::pin(stream::iter([Ok(bytes)])),
        }
    }

    /// Parts that it has.
    pub async fn parts(self, parts: &[ByteRange]) -> Result<Vec<BlobStream>, EngineError> {
        match self {
            Self::Blob(blob) => blob.parts(parts).await,
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
    /// Opens a blob that the repository may read. Whoever asks has proved that the caller may do so there.
    pub(crate) async fn open_blob(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<BlobContent, EngineError> {
        for _ in 0..MAX_OPEN_ATTEMPTS {
            let row = self.find_blob(repository, digest).await?;
            let Some(reader) = self.open_copy(repository, digest, &row).await? else { continue };
            let (repository, digest) = (*repository, digest.clone());
            return Ok(BlobContent { engine: self.clone(), repository, digest, row, reader });
        }
        Err(EngineError::BlobUnknown(digest.clone()))
    }

    /// The blob's row. A copy that is out of service may be right: then it is back.
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
            .meta
            .read_by_key(move |tx| {
                Ok::<_, EngineError>(blobs::find_quarantined(tx, &repository, &wanted)?)
            })
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
        self.meta
            .read_by_key(move |tx| Ok::<_, EngineError>(blobs::find(tx, &repository, &wanted)?))
            .await
    }

    /// Opens a copy. What is missing or cannot be opened is looked for again before it is believed; `None`: the blob
    /// has another copy now.
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
        self.settle(&row.copy_id, digest, Err(&error)).await?;
        Err(EngineError::BlobUnknown(digest.clone()))
    }
}

impl BlobContent {
    /// How long the blob is.
    pub fn size(&self) -> u64 {
        self.row.size as u64
    }

    /// The whole blob. When its file is not as it was left, or was not checked for long, it is hashed on
    /// the way and its end is held back until the digest is right.
    pub fn whole(self) -> BlobStream {
        let (size, reader) = (self.size(), self.reader.clone());
        if self.in_doubt() {
            let stream = reader.stream_verified(self.digest.clone());
            let proves = Some(self.reader.times());
            return self.settled(stream, SentBytes { left: size, proves });
        }
        let stream = reader.stream(0, size);
        self.settled(stream, SentBytes { left: size, proves: None })
    }

    /// Parts of the blob, which prove nothing. A file that is not as it was left is checked first, and one that was not
    /// checked for long is meanwhile.
    pub async fn parts(self, parts: &[ByteRange]) -> Result<Vec<BlobStream>, EngineError> {
        if !self.changed() {
            if self.in_doubt() {
                self.engine.check_in_background(&self.digest, &self.row);
            }
            return Ok(self.parts_as_they_are(parts));
        }
        match self.engine.check_copy(&self.digest, &self.row).outcome().await {
            // What was checked is what its name leads to now.
            CheckOutcome::Sound | CheckOutcome::Unknown => {
                let fresh = self.engine.open_blob(&self.repository, &self.digest).await?;
                if fresh.changed() {
                    let problem = format!("the file of blob {} could not be checked", self.digest);
                    return Err(EngineError::Unavailable(problem));
                }
                Ok(fresh.parts_as_they_are(parts))
            }
            CheckOutcome::Corrupt | CheckOutcome::Missing | CheckOutcome::Unreadable => {
                Err(EngineError::BlobUnknown(self.digest))
            }
        }
    }

    /// All of a small blob, as it is stored.
    pub(crate) async fn read_all(&self) -> Result<Bytes, EngineError> {
        Ok(self.reader.read_all().await?)
    }

    /// Checks a copy that is not as it was left, for who asks whether the blob is there. A large one is checked in the
    /// background.
    pub(crate) async fn check_soon(&self) -> Result<(), EngineError> {
        if !self.changed() {
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

    fn parts_as_they_are(&self, parts: &[ByteRange]) -> Vec<BlobStream> {
        let stream = |part: &ByteRange| {
            let stream = self.reader.clone().stream(part.start, part.length);
            self.clone().settled(stream, SentBytes { left: part.length, proves: None })
        };
        parts.iter().map(stream).collect()
    }

    /// Whether the file differs from what the row remembers of it.
    fn changed(&self) -> bool {
        let FileTimes { mtime_ns, ctime_ns } = self.reader.times();
        (mtime_ns, ctime_ns) != (self.row.mtime_ns, self.row.ctime_ns)
    }

    fn in_doubt(&self) -> bool {
        let age = self.engine.clock.now() - self.row.verified_at;
        self.changed() || age > micros(self.engine.settings.verify_after)
    }

    /// Passes a stream on, and writes down what it shows of the copy: before its last frame, or its end without one,
    /// because after the last byte nobody asks for more.
    fn settled(self, stream: BlobStream, sent: SentBytes) -> BlobStream {
        let begun = (stream, sent, Some(self));
        Box::pin(stream::unfold(begun, |(mut stream, mut sent, mut content)| async move {
            let frame = stream.next().await?;
            let found = match &frame {
                Ok(bytes) => {
                    sent.left = sent.left.saturating_sub(bytes.len() as u64);
                    sent.proves.filter(|_| sent.left == 0).map(Ok)
                }
                Err(error) => Some(Err(error)),
            };
            if let Some(found) = found
                && let Some(content) = content.take()
            {
                content.write_down(found).await;
            }
            Some((frame, (stream, sent, content)))
        }))
    }

    async fn write_down(self, found: Result<FileTimes, &BlobError>) {
        let Self { engine, digest, row, .. } = self;
        if matches!(found, Err(BlobError::Changed)) {
            engine.check_in_background(&digest, &row);
        }
        if let Err(error) = engine.settle(&row.copy_id, &digest, found).await {
            tracing::warn!(
                blob.digest = %digest, %error,
                "could not write down the check of blob {digest}: {error}"
            );
        }
    }
}

/// How far a stream is.
struct SentBytes {
    /// How many bytes are to come.
    left: u64,
    /// The file's times, where the end of the stream proves that its bytes are right.
    proves: Option<FileTimes>,
}

impl RepoAccess<Pull> {
    /// How long the blob is. A client that hears of it may leave it out of a push, so its review is put off.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<u64, EngineError> {
        let ContentSource::Local(holding) = self.source()?;
        // In this order: what is there after its review was put off stays until then.
        self.put_off_review(&holding, digest).await?;
        let blob = self.engine.open_blob(&holding.repository.id, digest).await?;
        blob.check_soon().await?;
        Ok(blob.size())
    }

    /// Opens the blob for reading.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobContent, EngineError> {
        let ContentSource::Local(holding) = self.source()?;
        self.engine.open_blob(&holding.repository.id, digest).await
    }

    /// Moves a waiting review of the blob's link on, at most once in a 24th of the grace.
    async fn put_off_review(
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
            .meta
            .read_by_key(move |tx| {
                Ok::<_, EngineError>(gc_queue::find_review_time(tx, ReviewKind::Link, &wanted)?)
            })
            .await?;
        if waiting.is_some_and(|due| due < stale) {
            self.engine
                .meta
                .write(move |tx| {
                    Ok::<_, EngineError>(gc_queue::postpone(
                        tx,
                        ReviewKind::Link,
                        &id,
                        later,
                        stale,
                    )?)
                })
                .await?;
        }
        Ok(())
    }
}
