//! Reading manifests and blobs. Every read asks the database whether this repository holds the content;
//! a digest alone opens nothing.

mod content;

use bytes::Bytes;
use meta::gc_queue;
use meta::versions::{self, Version};
use model::digest::Digest;
use model::reference::Reference;

use crate::rules::check_download;
use crate::{EngineError, Pull, RepoAccess, gc, micros};
pub(crate) use content::BlobContent;
pub use content::Content;

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
    fn new(version: Version, bytes: Bytes) -> Self {
        Self {
            digest: version.digest,
            media_type: version.media_type,
            size: version.manifest_bytes as u64,
            bytes,
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
        Ok(PulledManifest::new(version, Bytes::new()))
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
        let bytes = self.engine.shared_manifests.share(&version.digest, bytes)?;
        Ok(PulledManifest::new(version, bytes))
    }

    /// How long the blob is. A client that hears of it may leave it out of a push, so its review is put off.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<u64, EngineError> {
        // In this order: what is there after its review was put off stays until then.
        self.put_off_review(digest).await?;
        let blob = self.engine.open_blob(&self.at.repository.id, digest).await?;
        blob.check_soon().await?;
        Ok(blob.size())
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
