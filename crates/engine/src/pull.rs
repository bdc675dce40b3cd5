//! Reading manifests and blobs. Every read asks the database whether this repository holds the content;
//! a digest alone opens nothing.

use std::sync::Arc;

use blob::{BlobError, BlobReader, BlobStream, CopyId, Stamp};
use bytes::Bytes;
use futures_util::stream;
use meta::blobs::{self, Blob};
use meta::versions::{self, Version};
use meta::{Id, gc_queue};
use model::digest::Digest;
use model::range::Part;
use model::reference::Reference;

use crate::rules::check_download;
use crate::{Engine, EngineError, Pull, RepoAccess, gc, micros};

/// A manifest as it is served.
#[derive(Debug)]
pub struct PulledManifest {
    /// Its digest.
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: String,
    /// How long it is.
    pub size: u64,
    /// Its bytes; empty where only its properties were asked for.
    pub bytes: Bytes,
}

impl PulledManifest {
    fn new(version: Version, bytes: Vec<u8>) -> Self {
        Self {
            digest: version.digest,
            media_type: version.media_type,
            size: version.manifest_bytes as u64,
            bytes: bytes.into(),
        }
    }
}

/// A blob, open for reading.
#[derive(Clone)]
pub struct BlobContent {
    engine: Engine,
    digest: Digest,
    row: Blob,
    reader: Arc<dyn BlobReader>,
}

/// A blob or a manifest: of its bytes as much as is asked for.
#[derive(Clone)]
pub enum Content {
    /// A blob, open for reading.
    Blob(BlobContent),
    /// A manifest's bytes.
    Manifest(Bytes),
}

impl Content {
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
    pub async fn parts(self, parts: &[Part]) -> Result<Vec<BlobStream>, EngineError> {
        match self {
            Self::Blob(blob) => blob.parts(parts).await,
            Self::Manifest(bytes) => {
                let slice = |part: &Part| bytes.slice(part.start as usize..=part.last() as usize);
                let parts = parts.iter().map(|part| stream::iter([Ok(slice(part))]));
                Ok(parts.map(|part| -> BlobStream { Box::pin(part) }).collect())
            }
        }
    }
}

impl RepoAccess<Pull> {
    /// A manifest's properties, without counting a pull.
    pub async fn stat_manifest(
        &self,
        reference: &Reference,
    ) -> Result<PulledManifest, EngineError> {
        let (at, wanted) = (self.at.clone(), reference.clone());
        let found = self
            .engine
            .meta
            .point(move |tx| {
                let found = match &wanted {
                    Reference::Tag(tag) => versions::by_tag(tx, at.address(), tag.as_str())?,
                    Reference::Digest(digest) => versions::by_digest(tx, at.address(), digest)?,
                };
                if let Some(version) = &found {
                    check_download(tx, (&at.repository, at.image()), version)?;
                }
                Ok::<_, EngineError>(found)
            })
            .await?;
        let version = found.ok_or_else(|| EngineError::ManifestUnknown(reference.clone()))?;
        Ok(PulledManifest::new(version, Vec::new()))
    }

    /// A manifest with its bytes; counts as a pull.
    pub async fn manifest(&self, reference: &Reference) -> Result<PulledManifest, EngineError> {
        let (at, wanted) = (self.at.clone(), reference.clone());
        let found = self
            .engine
            .meta
            .point(move |tx| {
                let found = match &wanted {
                    Reference::Tag(tag) => {
                        versions::content_by_tag(tx, at.address(), tag.as_str())?
                    }
                    Reference::Digest(digest) => {
                        versions::content_by_digest(tx, at.address(), digest)?
                    }
                };
                if let Some((version, _)) = &found {
                    check_download(tx, (&at.repository, at.image()), version)?;
                }
                Ok::<_, EngineError>(found)
            })
            .await?;
        let (version, bytes) =
            found.ok_or_else(|| EngineError::ManifestUnknown(reference.clone()))?;
        self.engine.pulls.count(&version, self.engine.clock.now());
        Ok(PulledManifest::new(version, bytes))
    }

    /// How long the blob is. A client that hears of it may leave it out of a push, so its review is put off.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<u64, EngineError> {
        // In this order: what is there after its review was put off stays until then.
        self.put_off_review(digest).await?;
        Ok(self.engine.find_blob(&self.at.repository.id, digest).await?.size as u64)
    }

    /// Opens the blob for reading.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobContent, EngineError> {
        self.engine.open_blob(&self.at.repository.id, digest).await
    }

    /// Moves a waiting review of the blob's link on, at most once in a 24th of the grace.
    async fn put_off_review(&self, digest: &Digest) -> Result<(), EngineError> {
        let id = gc::link_id(&self.at.repository.id, digest);
        let grace = micros(self.engine.settings.gc_grace);
        let later = self.engine.clock.now() + grace;
        let stale = later - grace / 24;
        let wanted = id.clone();
        let waiting = self
            .engine
            .meta
            .point(move |tx| Ok::<_, EngineError>(gc_queue::waiting(tx, gc::LINK, &wanted)?))
            .await?;
        if waiting.is_some_and(|due| due < stale) {
            self.engine
                .meta
                .write(move |tx| {
                    Ok::<_, EngineError>(gc_queue::put_off(tx, (gc::LINK, &id), later, stale)?)
                })
                .await?;
        }
        Ok(())
    }
}

impl Engine {
    /// Opens a blob that the repository may read. Whoever asks has proved that the caller may do so there.
    pub(crate) async fn open_blob(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<BlobContent, EngineError> {
        let mut row = self.find_blob(repository, digest).await?;
        let reader = match self.open_copy(&row).await {
            Err(BlobError::NotFound) => {
                // It may have been replaced by a new copy between the two questions.
                let again = self.find_blob(repository, digest).await?;
                if again.copy_id == row.copy_id {
                    self.quarantine(row.copy_id, digest, "its file is missing").await?;
                    return Err(EngineError::BlobUnknown(digest.clone()));
                }
                row = again;
                self.open_copy(&row).await?
            }
            opened => opened?,
        };
        if reader.size() != row.size as u64 {
            self.quarantine(row.copy_id, digest, "its file has another size").await?;
            return Err(EngineError::BlobUnknown(digest.clone()));
        }
        Ok(BlobContent { engine: self.clone(), digest: digest.clone(), row, reader })
    }

    pub(crate) async fn find_blob(
        &self,
        repository: &Id,
        digest: &Digest,
    ) -> Result<Blob, EngineError> {
        let (repository, wanted) = (*repository, digest.clone());
        self.meta
            .point(move |tx| Ok::<_, EngineError>(blobs::find(tx, &repository, &wanted)?))
            .await?
            .ok_or_else(|| EngineError::BlobUnknown(digest.clone()))
    }

    async fn open_copy(&self, row: &Blob) -> Result<Arc<dyn BlobReader>, BlobError> {
        self.blobs.open(CopyId::from(row.copy_id.to_bytes())).await
    }

    /// Takes a copy out of service: the blob answers 404, so that clients push it again.
    async fn quarantine(
        &self,
        copy: Id,
        digest: &Digest,
        why: &'static str,
    ) -> Result<(), EngineError> {
        tracing::error!(blob.digest = %digest, copy.id = %copy, "blob {digest} is quarantined: {why}");
        self.meta.write(move |tx| Ok::<_, EngineError>(blobs::quarantine(tx, &copy)?)).await?;
        Ok(())
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
        let size = self.size();
        if !self.in_doubt() {
            return self.reader.stream(0, size);
        }
        let stamp = self.reader.stamp();
        let stream = self.reader.clone().stream_verified(self.digest.clone());
        Box::pin(crate::receive::on_end(stream, size, move |sound| self.settle(stamp, sound)))
    }

    /// Parts of the blob. A file that is not as it was left is hashed first, and once: parts prove nothing.
    pub async fn parts(self, parts: &[Part]) -> Result<Vec<BlobStream>, EngineError> {
        let reader = self.reader.clone();
        let stream = |part: &Part| reader.clone().stream(part.start, part.length);
        if self.changed() {
            let stamp = self.reader.stamp();
            let actual = self.reader.clone().verify(self.digest.algorithm()).await?;
            let sound = actual == self.digest;
            let digest = self.digest.clone();
            self.settle(stamp, sound).await;
            if !sound {
                return Err(EngineError::BlobUnknown(digest));
            }
        }
        Ok(parts.iter().map(stream).collect())
    }

    /// Whether the file differs from what the row remembers of it.
    fn changed(&self) -> bool {
        let Stamp { mtime_ns, ctime_ns } = self.reader.stamp();
        (mtime_ns, ctime_ns) != (self.row.mtime_ns, self.row.ctime_ns)
    }

    fn in_doubt(&self) -> bool {
        let age = self.engine.clock.now() - self.row.verified_at;
        self.changed() || age > micros(self.engine.settings.verify_after)
    }

    /// Writes down what hashing the bytes has shown.
    async fn settle(self, stamp: Stamp, sound: bool) {
        let copy = self.row.copy_id;
        let settled = if sound {
            let now = self.engine.clock.now();
            let times = (stamp.mtime_ns, stamp.ctime_ns);
            let write = self
                .engine
                .meta
                .write(move |tx| Ok::<_, EngineError>(blobs::set_verified(tx, &copy, times, now)?));
            write.await.map(|_| ())
        } else {
            self.engine.quarantine(copy, &self.digest, "its bytes have another digest").await
        };
        if let Err(error) = settled {
            tracing::warn!(blob.digest = %self.digest, %error, "could not write down the check of blob {}", self.digest);
        }
    }
}
